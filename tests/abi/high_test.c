/* SPDX-License-Identifier: MIT */
/*
 * Addresses that a guest hands over in MSRs and hypercalls, with bits set that no address has: 52 and up, of which the engine
 * keeps one to tell SMRAM from what lies at the same address outside. Nothing of SMRAM may change, whatever the guest is told.
 */
#include <string.h>
#include <sys/mman.h>

#include "tests/abi/port.h"

#define IS(fd, req, p, want) assert_int_equal(kvm_p(fd, req, p), want)

#define SMRAM       0xa0000
#define SMRAM_BYTES 0x10000
#define PATTERN     0xcc
#define PML4        0x2000
#define PDPT        0x3000
#define PD          0x4000
#define SINK        0x9000 /* where the same writes go to without those bits */

struct place {
	const char *name;
	u32 index;
	u64 enable; /* bits of the value beside the address */
	bool writes; /* at once, so that what has been written at SINK shows that this test sees it */
	u32 before; /* an MSR that must not be 0 first */
};

static const struct place msrs[] = {
	{"KVM_WALL_CLOCK", 0x11, 0, true},
	{"KVM_SYSTEM_TIME", 0x12, 1, true},
	{"KVM_WALL_CLOCK_NEW", 0x4b564d00, 0, true},
	{"KVM_SYSTEM_TIME_NEW", 0x4b564d01, 1, true},
	{"KVM_ASYNC_PF_EN", 0x4b564d02, 1, false},
	{"KVM_ASYNC_PF_EN with interrupts", 0x4b564d02, 9, false},
	{"KVM_STEAL_TIME", 0x4b564d03, 1, false},
	{"KVM_PV_EOI_EN", 0x4b564d04, 1, false},
	{"HV_HYPERCALL", 0x40000001, 1, true, 0x40000000},
	{"HV_REFERENCE_TSC", 0x40000021, 1, false, 0x40000000},
	{"HV_VP_ASSIST_PAGE", 0x40000073, 1, false},
	{"HV_SIEFP", 0x40000082, 1, false},
	{"HV_SIMP", 0x40000083, 1, false},
};

struct scene {
	struct guest g;
	u8 *smram;
};

static u8 *at(struct scene *s, u64 gpa)
{
	return s->g.ram + (gpa - RAM_GPA);
}

static void put(struct scene *s, u64 gpa, u64 value)
{
	memcpy(at(s, gpa), &value, sizeof(value));
}

static void set_cpuid(struct scene *s)
{
	struct {
		struct kvm_cpuid2 h;
		struct kvm_cpuid_entry2 e[256];
	} c = {.h.nent = 200}, hv = {.h.nent = 40};
	u32 n = 0;

	IS(s->g.sys, KVM_GET_SUPPORTED_CPUID, &c, 0);
	if (!kvm_p(s->g.sys, KVM_GET_SUPPORTED_HV_CPUID, &hv)) {
		/* KVM's own leaves make room; its MSRs stay. */
		for (u32 i = 0; i < c.h.nent; i++) {
			c.e[n] = c.e[i];
			if (c.e[n].function >> 28 == 4)
				c.e[n].function += 0x100;
			n++;
		}
		memcpy(&c.e[n], hv.e, hv.h.nent * sizeof(hv.e[0]));
		c.h.nent = n + hv.h.nent;
	}
	IS(s->g.vcpu, KVM_SET_CPUID2, &c, 0);
}

/* The first 2 MiB map themselves. */
static void long_mode(struct scene *s)
{
	const struct kvm_segment cs = {
		.limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
	const struct kvm_segment ds = {
		.limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
	struct kvm_sregs r;

	put(s, PML4, PDPT | 3);
	put(s, PDPT, PD | 3);
	put(s, PD, 0x83);
	IS(s->g.vcpu, KVM_GET_SREGS, &r, 0);
	r.cs = cs;
	r.ds = r.es = r.ss = ds;
	r.cr0 = 0x80000031;
	r.cr3 = PML4;
	r.cr4 = 0x20;
	r.efer = 0x500;
	r.idt.limit = 0;
	IS(s->g.vcpu, KVM_SET_SREGS, &r, 0);
}

static bool open_scene(struct scene *s)
{
	const struct kvm_enable_cap synic = {.cap = KVM_CAP_HYPERV_SYNIC2};
	struct kvm_userspace_memory_region r = {
		.slot = 1 << 16, .guest_phys_addr = SMRAM, .memory_size = SMRAM_BYTES};

	guest_open_irqchip(&s->g);
	s->smram =
		mmap(NULL, SMRAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(s->smram != MAP_FAILED);
	memset(s->smram, PATTERN, SMRAM_BYTES);
	if (kvm(s->g.sys, KVM_CHECK_EXTENSION, KVM_CAP_X86_SMM) != 1)
		return false;
	r.userspace_addr = (unsigned long)s->smram;
	IS(s->g.vm, KVM_SET_USER_MEMORY_REGION, &r, 0);
	kvm_p(s->g.vcpu, KVM_ENABLE_CAP, &synic);
	set_cpuid(s);
	return true;
}

static void close_scene(struct scene *s)
{
	guest_close(&s->g);
	munmap(s->smram, SMRAM_BYTES);
}

static void check_smram(struct scene *s, const char *what, unsigned bit)
{
	for (unsigned i = 0; i < SMRAM_BYTES; i++)
		if (s->smram[i] != PATTERN)
			fail_msg("%s with bit %u writes to SMRAM at %#x", what, bit, SMRAM + i);
}

/* Registers as given; the code, then HLT, which with an irqchip is asleep: OUT. True: no exception. */
static bool guest_does(struct scene *s, struct kvm_regs r, const void *code, size_t n)
{
	static const u8 out[] = {0xe6, 0x10};

	long_mode(s);
	memcpy(at(s, RAM_GPA), code, n);
	memcpy(at(s, RAM_GPA + n), out, sizeof(out));
	r.rip = RAM_GPA;
	r.rflags = 2;
	r.rsp = 0x8000;
	IS(s->g.vcpu, KVM_SET_REGS, &r, 0);
	assert_int_equal(kvm(s->g.vcpu, KVM_RUN, 0), 0);
	return s->g.run->exit_reason == KVM_EXIT_IO;
}

static bool write_msr(struct scene *s, u32 index, u64 value)
{
	const struct kvm_regs r = {.rcx = index, .rax = (u32)value, .rdx = value >> 32};

	return guest_does(s, r, (u8[]){0x0f, 0x30}, 2);
}

/* By the guest and by the VMM; then the vcpu enters again, which is when some of them are written. */
static void one_write(struct scene *s, const struct place *p, unsigned bit)
{
	const u64 value = BIT64(bit) | SMRAM | p->enable;
	struct {
		struct kvm_msrs h;
		struct kvm_msr_entry e;
	} m = {.h.nmsrs = 1, .e = {.index = p->index, .data = value}};

	if (p->before)
		write_msr(s, p->before, 1);
	write_msr(s, p->index, value);
	check_smram(s, p->name, bit);
	kvm_p(s->g.vcpu, KVM_SET_MSRS, &m);
	guest_does(s, (struct kvm_regs){0}, "\x90", 1);
	check_smram(s, p->name, bit);
	m.e.data = 0;
	kvm_p(s->g.vcpu, KVM_SET_MSRS, &m);
}

/* Without those bits it does write, in RAM: else nothing has been tested. */
static void control(struct scene *s, const struct place *p)
{
	u8 sink[64];

	memset(at(s, SINK), PATTERN, sizeof(sink));
	memset(sink, PATTERN, sizeof(sink));
	if (p->before)
		assert_true(write_msr(s, p->before, 1));
	if (write_msr(s, p->index, SINK | p->enable) && p->writes)
		assert_memory_not_equal(at(s, SINK), sink, sizeof(sink));
	else
		assert_false(p->writes && !port.real);
}

static void test_msrs(void **state)
{
	struct scene s;

	if (open_scene(&s))
		for (unsigned i = 0; i < ARRAY_SIZE(msrs); i++) {
			control(&s, &msrs[i]);
			for (unsigned bit = 52; bit < 64; bit++)
				one_write(&s, &msrs[i], bit);
		}
	close_scene(&s);
}

/* KVM_HC_CLOCK_PAIRING and two of Hyper-V's with their input in memory: each register that may be an address. */
static void test_hypercalls(void **state)
{
	const u8 call[] = {0x0f, 0x01, 0xc1};
	struct scene s;

	if (open_scene(&s))
		for (unsigned bit = 52; bit < 64; bit++) {
			const u64 a = BIT64(bit) | SMRAM;

			guest_does(&s, (struct kvm_regs){.rax = 9, .rbx = a}, call, sizeof(call));
			check_smram(&s, "KVM_HC_CLOCK_PAIRING", bit);
			write_msr(&s, 0x40000000, 1);
			for (u64 nr = 2; nr < 0x60; nr++) {
				guest_does(&s,
					(struct kvm_regs){
						.rcx = nr | 1ull << 32, .rdx = a, .r8 = a},
					call, sizeof(call));
				check_smram(&s, "a hypercall of Hyper-V", bit);
			}
			write_msr(&s, 0x40000000, 0);
		}
	close_scene(&s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_msrs),
		cmocka_unit_test(test_hypercalls),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
