/* SPDX-License-Identifier: MIT */
/*
 * What is refused is explained: dev_ioctl_why(). Only ours, the kernel gives no reasons.
 *
 * One test has sentences by name. The other walks all requests with arguments in which one word after the other is
 * wrong, on machines of all kinds, and demands a reason of everything that is not a success, and none of a success.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/kvm/kvm.h"

static struct refusal why;
static char text[512];

static long ask(int fd, unsigned long request, unsigned long arg)
{
	long r = dev_ioctl_why(port.dev, fd, request, arg, NULL, &why);

	text[0] = 0;
	if (why.why)
		refusal_text(&why, text, sizeof(text));
	return r;
}

static void refused(
	int fd, unsigned long request, const void *arg, long error, const char *sentence)
{
	assert_int_equal(ask(fd, request, (unsigned long)arg), error);
	assert_string_equal(text, sentence);
}

static void refused_value(
	int fd, unsigned long request, unsigned long arg, long error, const char *sentence)
{
	refused(fd, request, (void *)arg, error, sentence);
}

/* ---- sentences ---- */

static void test_sregs(void **state)
{
	struct kvm_sregs good = {.cr0 = 0}, s;
	struct guest g;

	guest_open(&g);
	assert_int_equal(kvm_p(g.vcpu, KVM_GET_SREGS, &good), 0);
#define SREGS(field, value, sentence)                                                              \
	(s = good, s.field = (value), refused(g.vcpu, KVM_SET_SREGS, &s, -EINVAL, sentence))
	SREGS(cs.l, 1, "cs.l: 64-bit code needs LME and LMA in efer, and PG in cr0");
	SREGS(cr0, 1ull << 32, "cr0 0x100000000: bits 63 to 32 are reserved");
	SREGS(cr0, 0x80000000, "cr0 0x80000000: PG needs PE");
	SREGS(cr0, 0x20000000, "cr0 0x20000000: NW needs CD");
	SREGS(cr4, 1 << 22, "cr4 0x400000: CPUID does not offer the bits 0x400000");
	SREGS(efer, 0x1000, "efer 0x1000: the bits 0x1000 are not offered");
	SREGS(efer, 0x400, "efer 0x400: LMA needs LME, and PG in cr0");
	SREGS(apic_base, 0xfee00001, "apic_base 0xfee00001: the bits 0x1 are reserved");
	SREGS(apic_base, 0xfee00400,
		"apic_base 0xfee00400: bit 10 (x2APIC) needs bit 11 (enabled)");
	good.cr0 = 0x80000001;
	SREGS(efer, 0x500, "cr4 0x0: long mode needs PAE");
	good.cr4 = 0x20;
	SREGS(efer, 0x100, "efer 0x100: LMA must be set, because LME and PG in cr0 are");
	good.efer = 0x500;
	SREGS(cr3, 1ull << 52, "cr3 0x10000000000000: physical addresses have only 36 bits");
	guest_close(&g);
}

static void test_vectors(void **state)
{
	struct kvm_xcrs x = {.nr_xcrs = 1};
	static struct kvm_xsave image;
	u64 *header = (u64 *)&image + 64;
	struct guest g;

	guest_open(&g);
	x.xcrs[0].value = 0x207;
	refused(g.vcpu, KVM_SET_XCRS, &x, -EINVAL,
		"xcr0 bit 9: PKU is not offered to guests; take features from "
		"KVM_GET_SUPPORTED_CPUID, "
		"not from the host");
	x.xcrs[0].value = 7;
	refused(g.vcpu, KVM_SET_XCRS, &x, -EINVAL,
		"xcr0 bit 1: leaf 0xd of this vCPU's CPUID does not offer this component");
	x.xcrs[0].value = 2;
	refused(g.vcpu, KVM_SET_XCRS, &x, -EINVAL,
		"xcr0 bit 0: must be set, because x87 is always enabled");
	x.nr_xcrs = 17;
	refused(g.vcpu, KVM_SET_XCRS, &x, -EINVAL, "nr_xcrs 17: at most 16 are allowed");
	header[0] = 1 << 18;
	refused(g.vcpu, KVM_SET_XSAVE, &image, -EINVAL,
		"xstate_bv bit 18: AMX is not offered to guests; take features from "
		"KVM_GET_SUPPORTED_CPUID, not from the host");
	header[0] = 3;
	((u32 *)&image)[6] = 0x80000000;
	refused(g.vcpu, KVM_SET_XSAVE, &image, -EINVAL,
		"mxcsr: the processor does not have the bits 0x80000000");
	header[1] = 1;
	refused(g.vcpu, KVM_SET_XSAVE, &image, -EINVAL,
		"xcomp_bv 0x1: the image must have the standard format");
	guest_close(&g);
}

static void test_vcpu(void **state)
{
	struct {
		u32 n, pad;
		struct kvm_msr_entry e[3];
	} m = {.n = 3,
		.e = {{.index = 0x277, .data = 0x0606060606060606},
			{.index = 0xc0000080, .data = 2}}};
	struct kvm_vcpu_events e = {.flags = KVM_VCPUEVENT_VALID_PAYLOAD};
	struct kvm_debugregs d = {.dr7 = 1ull << 32};
	struct kvm_mp_state mp = {.mp_state = KVM_MP_STATE_HALTED};
	struct kvm_enable_cap cap = {.cap = KVM_CAP_HYPERV_SYNIC};
	struct guest g;

	guest_open(&g);
	refused(g.vcpu, KVM_SET_MSRS, &m, 1,
		"entries[1], MSR 0xc0000080: the bits 0x2 are reserved or not offered");
	m.e[1].index = 0x12345;
	refused(g.vcpu, KVM_SET_MSRS, &m, 1, "entries[1], MSR 0x12345: there is no such MSR");
	refused(g.vcpu, KVM_SET_VCPU_EVENTS, &e, -EINVAL,
		"flags: VALID_PAYLOAD needs KVM_CAP_EXCEPTION_PAYLOAD, which is not enabled");
	e = (struct kvm_vcpu_events){.exception = {.injected = 1, .nr = 32}};
	refused(g.vcpu, KVM_SET_VCPU_EVENTS, &e, -EINVAL,
		"exception.nr 32: must be 0 to 31, but not 2 (NMI)");
	refused(g.vcpu, KVM_SET_DEBUGREGS, &d, -EINVAL,
		"dr6 0x0, dr7 0x100000000: bits 63 to 32 are reserved");
	refused(g.vcpu, KVM_SET_MP_STATE, &mp, -EINVAL,
		"mp_state 3: without an irqchip only 0 (runnable) is possible");
	refused(g.vcpu, KVM_ENABLE_CAP, &cap, -EINVAL,
		"there is no local APIC: create the irqchip before the vCPU");
	g.run->kvm_dirty_regs = 8;
	refused_value(g.vcpu, KVM_RUN, 0, -EINVAL,
		"kvm_valid_regs or kvm_dirty_regs: the bits 0x8 are unknown");
	g.run->kvm_dirty_regs = KVM_SYNC_X86_SREGS;
	g.run->s.regs.sregs.cr0 = 0x80000000;
	refused_value(g.vcpu, KVM_RUN, 0, -EINVAL, "cr0 0x80000000: PG needs PE");
	guest_close(&g);
}

static void test_vm(void **state)
{
	struct kvm_userspace_memory_region r = {.slot = 4, .memory_size = 0x2000};
	struct kvm_irqfd irqfd = {.fd = 1};
	struct kvm_irqchip chip = {.chip_id = 3};
	struct kvm_create_device device = {.type = KVM_DEV_TYPE_XICS};
	struct {
		u32 n, flags;
		struct kvm_irq_routing_entry e[2];
	} routing = {.n = 2, .e = {{.type = KVM_IRQ_ROUTING_MSI}, {.gsi = 5000, .type = 2}}};
	struct guest g;

	guest_open_irqchip(&g);
	r.userspace_addr = (unsigned long)g.ram;
	refused(g.vm, KVM_SET_USER_MEMORY_REGION, &r, -EEXIST,
		"slot 4 overlaps slot 0, which is at 0x1000");
	r.slot = 0;
	refused(g.vm, KVM_SET_USER_MEMORY_REGION, &r, -EINVAL,
		"memory_size 0x2000: slot 0 exists with size 0x10000; delete it first");
	refused_value(g.vm, KVM_CREATE_VCPU, 0, -EEXIST, "vCPU id 0: this vCPU already exists");
	refused_value(g.vm, KVM_CREATE_VCPU, 4096, -EINVAL, "vCPU id 4096: must be below 1024");
	refused_value(g.vm, KVM_CREATE_IRQCHIP, 0, -EEXIST, "the VM already has an irqchip");
	refused(g.vm, KVM_GET_IRQCHIP, &chip, -EINVAL,
		"chip_id 3: the PICs are 0 and 1, the IOAPIC is 2");
	refused(g.vm, KVM_CREATE_DEVICE, &device, -ENODEV,
		"type 3: the only device on x86 is KVM_DEV_TYPE_VFIO, 4");
	device.type = KVM_DEV_TYPE_VFIO;
	assert_int_equal(kvm_p(g.vm, KVM_CREATE_DEVICE, &device), 0);
	refused(g.vm, KVM_CREATE_DEVICE, &device, -EBUSY, "the VM already has its VFIO device");
	kvm_close((int)device.fd);
	refused(g.vm, KVM_SET_GSI_ROUTING, &routing, -EINVAL,
		"entries[1]: gsi 5000: must be below 4096");
	refused(g.vm, KVM_IRQFD, &irqfd, -EINVAL, "fd 1 is not an eventfd");
	irqfd.flags = KVM_IRQFD_FLAG_RESAMPLE;
	irqfd.resamplefd = 2;
	refused(g.vm, KVM_IRQFD, &irqfd, -EINVAL, "fd 1 or resamplefd 2 is not an eventfd");
	guest_close(&g);
}

static void test_msrs(void **state)
{
	static const struct {
		u32 index;
		u64 value;
		const char *why;
	} msrs[] = {
		{0x1b, 0xfee00001, "apic_base 0xfee00001: the bits 0x1 are reserved"},
		{0x17b, 5, "the value must be all ones or all zeroes"},
		{0x140, 1, "PLATFORM_INFO, MSR 0xce, does not offer CPUID faulting"},
		{0x200, 2, "0x2 is not a memory type"},
		{0x277, 2, "0x2: every byte must be a memory type"},
		{0x2ff, 2, "0x2: reserved bits are set, or the type is not a memory type"},
		{0x400, 5, "a CTL register must be all ones or all zeroes"},
		{0x47c, 0, "this vCPU has only 3 banks"},
		{0x802, 0, "this MSR exists only while the APIC is in x2APIC mode"},
		{0x12345, 0, "there is no such MSR"},
		{0x4b564d03, 0x3f, "the bits 0x3e are reserved or not offered"},
		{0xc0000080, 2, "the bits 0x2 are reserved or not offered"},
		{0xc0000082, 1ull << 60, "0x1000000000000000 is not a canonical address"},
	};
	struct {
		u32 n, pad;
		struct kvm_msr_entry e;
	} m = {.n = 1, .e = {.index = 0xce}};
	u64 mce = 3 | 1 << 8;
	char expected[160];
	struct guest g;

	guest_open_irqchip(&g);
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_MSRS, &m), 1);
	assert_int_equal(kvm_p(g.vcpu, KVM_X86_SETUP_MCE, &mce), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++) {
		m.e = (struct kvm_msr_entry){.index = msrs[i].index, .data = msrs[i].value};
		snprintf(expected, sizeof(expected), "entries[0], MSR 0x%x: %s", msrs[i].index,
			msrs[i].why);
		refused(g.vcpu, KVM_SET_MSRS, &m, 0, expected);
	}
	guest_close(&g);
}

/* CPUID, and what it decides; after the first KVM_RUN it stays. */
static void test_cpuid(void **state)
{
	struct {
		u32 n, pad;
		struct kvm_cpuid_entry2 e[2];
	} c = {.n = 2,
		.e = {{.function = 0xd, .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX, .eax = 7},
			{.function = 0x80000008, .eax = 39 << 8 | 40}}};
	struct kvm_xcrs x = {.nr_xcrs = 1, .xcrs = {{.value = 5}}};
	struct guest g;

	guest_open(&g);
	refused(g.vcpu, KVM_SET_CPUID2, &c, -EINVAL,
		"entries[1]: leaf 0x80000008 has 39 bits of linear address, but only 48 are "
		"supported");
	c.n = 300;
	refused(g.vcpu, KVM_SET_CPUID2, &c, -E2BIG, "nent 300: at most 256 entries are allowed");
	c.n = 1;
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_CPUID2, &c), 0);
	refused(g.vcpu, KVM_SET_XCRS, &x, -EINVAL, "xcr0 bit 2: AVX needs SSE, bit 1");
	g.run->cr8 = 16;
	refused_value(g.vcpu, KVM_RUN, 0, -EINVAL, "cr8 0x10: CR8 has only 4 bits");
	g.run->cr8 = 0;
	GUEST_CODE(&g, 0xf4);
	run_to(&g, KVM_EXIT_HLT);
	c.n = 2;
	refused(g.vcpu, KVM_SET_CPUID2, &c, -EINVAL,
		"the vCPU has run: its CPUID can change only before the first KVM_RUN");
	guest_close(&g);
}

/* ---- everything ---- */

static union {
	u64 words[2048];
	u32 half[4096];
} arg, base;

static bool speaks_for_itself(long error)
{
	return error == -EFAULT || error == -ENOMEM || error == -EMFILE || error == -EFBIG;
}

static const struct request *first_request(unsigned *ret_count)
{
	*ret_count = kvm_interface.request_count;
	return kvm_interface.requests;
}

static bool is_batch(const struct request *q)
{
	return q->number == KVM_GET_MSRS || q->number == KVM_SET_MSRS;
}

static bool makes_descriptor(u32 number)
{
	return number == KVM_CREATE_VM || number == KVM_CREATE_VCPU ||
	       number == KVM_CREATE_GUEST_MEMFD || number == KVM_GET_STATS_FD;
}

static void try(const struct request *q, int fd, unsigned long a)
{
	long r = ask(fd, q->number, a);

	if (r >= 0 && makes_descriptor(q->number))
		kvm_close((int)r);
	if (r >= 0 && !is_batch(q) && why.why)
		fail_msg("%s succeeds, yet says: %s", q->name, text);
	if (r < 0 && !speaks_for_itself(r) && !why.why)
		fail_msg("%s is refused with %ld and says nothing", q->name, r);
	if (why.why && (strpbrk(text, "\"\\\n") || strlen(text) < 8 || strlen(text) > 200))
		fail_msg("%s: no sentence: %s", q->name, text);
}

/* The words of the argument, one at a time; in lists, those of the first entries. */
static void try_words(const struct request *q, int fd)
{
	static const u32 wrong[] = {1, 2, 0x1000, 0x80000000, ~0u};
	unsigned n = q->size ? q->size / 4u : 32;

	for (unsigned i = 0; i < n; i++)
		for (unsigned j = 0; j < ARRAY_SIZE(wrong); j++) {
			arg = base;
			arg.half[i] = wrong[j];
			try(q, fd, (unsigned long)&arg);
		}
	arg = base;
	try(q, fd, (unsigned long)&arg);
	memset(&arg, 0xff, sizeof(arg));
	try(q, fd, (unsigned long)&arg);
	try(q, fd, BAD_POINTER);
}

static void try_values(const struct request *q, int fd)
{
	static const u64 values[] = {1, 2, 63, 1000, 4096, 1 << 20, 0xffffe000, 1ull << 32, ~0ull};

	for (unsigned i = 0; i < ARRAY_SIZE(values); i++)
		try(q, fd, values[i]);
}

/* What is there now, if it can be had: most of it is right then. */
static void start_with_state(const struct request *q, int fd)
{
	const struct request *get;
	unsigned n;
	char name[64];

	memset(&base, 0, sizeof(base));
	snprintf(name, sizeof(name), "KVM_GET_%s", q->name + strlen("KVM_SET_"));
	for (get = first_request(&n); n; n--, get++)
		if (get->on == q->on && !strcmp(get->name, name) && get->arg_kind == ARG_OUT &&
			get->size == q->size)
			kvm_p(fd, get->number, &base);
}

static void try_on(const struct request *q, int fd)
{
	if (q->arg_kind == ARG_ZERO || q->arg_kind == ARG_NONE || q->arg_kind == ARG_VALUE) {
		try_values(q, fd);
		return;
	}
	memset(&base, 0, sizeof(base));
	try_words(q, fd);
	if (q->arg_kind == ARG_PTR)
		base.half[0] = 2; /* entries */
	else
		start_with_state(q, fd);
	try_words(q, fd);
}

static void try_request(const struct request *q, const struct guest *g)
{
	const int fd[] = {[DEV_SYSTEM] = g->sys, [DEV_VM] = g->vm, [DEV_VCPU] = g->vcpu};
	struct kvm_create_device d = {.type = KVM_DEV_TYPE_VFIO};

	if (q->on != &kvm_vfio_ops) {
		try_on(q, fd[q->on->kind]);
		return;
	}
	assert_int_equal(kvm_p(g->vm, KVM_CREATE_DEVICE, &d), 0);
	try_on(q, (int)d.fd);
	kvm_close((int)d.fd);
}

/* guest_open(), before the vcpu. */
static void open_other(struct guest *g, u32 cap, u64 value, unsigned long type)
{
	struct kvm_enable_cap e = {.cap = cap, .args = {value}};

	g->sys = kvm_open();
	g->vm = kvm(g->sys, KVM_CREATE_VM, type);
	assert_true(g->vm >= 0);
	assert_int_equal(cap ? kvm_p(g->vm, KVM_ENABLE_CAP, &e) : 0, 0);
	g->vcpu = kvm(g->vm, KVM_CREATE_VCPU, 0);
	assert_true(g->vcpu >= 0);
}

static void close_other(const struct guest *g)
{
	kvm_close(g->vcpu);
	kvm_close(g->vm);
	kvm_close(g->sys);
}

static void test_all(void **state)
{
	static const struct {
		u32 cap;
		u64 value;
		unsigned long type;
	} kinds[] = {{0, 0, KVM_X86_DEFAULT_VM}, {0, 0, KVM_X86_SW_PROTECTED_VM},
		{KVM_CAP_SPLIT_IRQCHIP, 24, 0}, {KVM_CAP_DIRTY_LOG_RING, 4096, 0},
		{KVM_CAP_X2APIC_API, 3, 0}, {KVM_CAP_EXCEPTION_PAYLOAD, 1, 0}};
	const struct request *q;
	struct guest g;
	unsigned n;

	for (unsigned i = 0; i < ARRAY_SIZE(kinds); i++)
		for (q = first_request(&n); n; n--, q++) {
			open_other(&g, kinds[i].cap, kinds[i].value, kinds[i].type);
			try_request(q, &g);
			close_other(&g);
		}
	for (q = first_request(&n); n; n--, q++) {
		guest_open_irqchip(&g);
		try_request(q, &g);
		guest_close(&g);
	}
}

/* ---- threads ---- */

struct asker {
	int vm;
	unsigned long id;
};

static void *keep_asking(void *opaque)
{
	const struct asker *a = opaque;
	struct refusal r;
	unsigned long wrong = 0;

	for (int i = 0; i < 3000; i++)
		if (dev_ioctl_why(port.dev, a->vm, KVM_CREATE_VCPU, a->id, NULL, &r) != -EINVAL ||
			!r.why || r.number[0] != a->id)
			wrong++;
	return (void *)wrong;
}

/* Everybody hears his own. */
static void test_threads(void **state)
{
	struct asker a, b;
	pthread_t thread;
	struct guest g;
	void *wrong;

	guest_open(&g);
	a = (struct asker){g.vm, 5000};
	b = (struct asker){g.vm, 6000};
	assert_int_equal(pthread_create(&thread, NULL, keep_asking, &a), 0);
	assert_null(keep_asking(&b));
	assert_int_equal(pthread_join(thread, &wrong), 0);
	assert_null(wrong);
	guest_close(&g);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sregs),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_vcpu),
		cmocka_unit_test(test_vm),
		cmocka_unit_test(test_msrs),
		cmocka_unit_test(test_cpuid),
		cmocka_unit_test(test_all),
		cmocka_unit_test(test_threads),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
