/* SPDX-License-Identifier: MIT */
/*
 * What a guest of KVM is offered to spare it exits: the end of an interrupt by a flag in memory
 * (MSR_KVM_PV_EOI_EN), and page faults of the host that it need not wait for (MSR_KVM_ASYNC_PF_*).
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <linux/kvm_para.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define FLAG   0x3000u /* where the guest has its flag; also an offset in ram */
#define VECTOR 0x40
#define STACK  0x7000u

static bool msr_set_on(int vcpu, u32 index, u64 value)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = {{.nmsrs = 1}, {.index = index, .data = value}};

	return kvm_p(vcpu, KVM_SET_MSRS, &m) == 1;
}

static u64 msr_get_on(int vcpu, u32 index)
{
	struct {
		struct kvm_msrs head;
		struct kvm_msr_entry e;
	} m = {{.nmsrs = 1}, {.index = index}};

	assert_int_equal(kvm_p(vcpu, KVM_GET_MSRS, &m), 1);
	return m.e.data;
}

/* ---- what is offered ---- */

static void test_offered(void **state)
{
	static const u32 wanted[] = {
		MSR_KVM_ASYNC_PF_EN, MSR_KVM_PV_EOI_EN, MSR_KVM_ASYNC_PF_INT, MSR_KVM_ASYNC_PF_ACK};
	const u32 features =
		BIT(KVM_FEATURE_ASYNC_PF) | BIT(KVM_FEATURE_PV_EOI) | BIT(KVM_FEATURE_ASYNC_PF_INT);
	struct kvm_msr_list *list = calloc(1, sizeof(*list) + 1024 * sizeof(u32));
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));
	int sys = kvm_open();
	unsigned found = 0;

	list->nmsrs = 1024;
	cpuid->nent = 256;
	assert_int_equal(kvm(sys, KVM_CHECK_EXTENSION, KVM_CAP_ASYNC_PF), 1);
	assert_int_equal(kvm(sys, KVM_CHECK_EXTENSION, KVM_CAP_ASYNC_PF_INT), 1);
	assert_int_equal(kvm_p(sys, KVM_GET_MSR_INDEX_LIST, list), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(wanted); i++)
		for (unsigned j = 0; j < list->nmsrs; j++)
			found += list->indices[j] == wanted[i];
	assert_int_equal(found, ARRAY_SIZE(wanted));
	assert_int_equal(kvm_p(sys, KVM_GET_SUPPORTED_CPUID, cpuid), 0);
	for (unsigned i = 0; i < cpuid->nent; i++)
		if (cpuid->entries[i].function == KVM_CPUID_FEATURES)
			assert_int_equal(cpuid->entries[i].eax & features, features);
	free(cpuid);
	free(list);
	kvm_close(sys);
}

/* ---- what may be written ---- */

struct write {
	u32 index;
	u64 value;
	bool works;
	u64 then; /* what is read afterwards */
};

#define NO_RAM 0xf0000000u
#define LAST   (RAM_GPA + RAM_BYTES - 4)

static const struct write with_chip[] = {
	{MSR_KVM_ASYNC_PF_EN, FLAG | 1, true, FLAG | 1},
	{MSR_KVM_ASYNC_PF_EN, FLAG | 0xf, true, FLAG | 0xf},
	{MSR_KVM_ASYNC_PF_EN, FLAG | 0x10, false, FLAG | 0xf},
	{MSR_KVM_ASYNC_PF_EN, FLAG | 0x29, false, FLAG | 0xf},
	{MSR_KVM_ASYNC_PF_EN, NO_RAM | 1, true, NO_RAM | 1},
	{MSR_KVM_ASYNC_PF_EN, NO_RAM | 9, false, NO_RAM | 9},
	{MSR_KVM_ASYNC_PF_EN, 0, true, 0},
	{MSR_KVM_ASYNC_PF_INT, 0xff, true, 0xff},
	{MSR_KVM_ASYNC_PF_INT, 0x100, false, 0xff},
	{MSR_KVM_ASYNC_PF_ACK, 1, true, 0},
	{MSR_KVM_ASYNC_PF_ACK, ~0ull, true, 0},
};

static const struct write without_chip[] = {
	{MSR_KVM_ASYNC_PF_EN, 0, true, 0},
	{MSR_KVM_ASYNC_PF_EN, FLAG, false, 0},
	{MSR_KVM_ASYNC_PF_INT, 0x40, false, 0},
};

static const struct write always[] = {
	{MSR_KVM_PV_EOI_EN, FLAG | 1, true, FLAG | 1},
	{MSR_KVM_PV_EOI_EN, FLAG | 2, false, FLAG | 1},
	{MSR_KVM_PV_EOI_EN, FLAG | 3, false, FLAG | 1},
	{MSR_KVM_PV_EOI_EN, FLAG + 4, true, FLAG + 4},
	{MSR_KVM_PV_EOI_EN, NO_RAM | 1, false, FLAG + 4},
	{MSR_KVM_PV_EOI_EN, NO_RAM, true, NO_RAM},
	{MSR_KVM_PV_EOI_EN, LAST | 1, true, LAST | 1},
	{MSR_KVM_PV_EOI_EN, (LAST + 4) | 1, false, LAST | 1},
	{MSR_KVM_PV_EOI_EN, 0, true, 0},
};

static void write_all(const struct guest *g, const struct write *w, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		assert_int_equal(msr_set_on(g->vcpu, w[i].index, w[i].value), w[i].works);
		assert_int_equal(msr_get_on(g->vcpu, w[i].index), w[i].then);
	}
}

static void test_values(void **state)
{
	struct guest g;

	guest_open_irqchip(&g);
	write_all(&g, with_chip, ARRAY_SIZE(with_chip));
	write_all(&g, always, ARRAY_SIZE(always));
	guest_close(&g);
	guest_open(&g);
	write_all(&g, without_chip, ARRAY_SIZE(without_chip));
	write_all(&g, always, ARRAY_SIZE(always));
	if (differs("a VMM may restore that there is no vector, also without a local APIC"))
		assert_true(msr_set_on(g.vcpu, MSR_KVM_ASYNC_PF_INT, 0));
	guest_close(&g);
}

/* ---- PV EOI: a guest in real mode that waits, and its handler ---- */

#define MAIN    0x1000u
#define HANDLER 0x1100u

static void all_features(int sys, int vcpu)
{
	struct kvm_cpuid2 *cpuid = calloc(1, sizeof(*cpuid) + 256 * sizeof(cpuid->entries[0]));

	cpuid->nent = 256;
	assert_int_equal(kvm_p(sys, KVM_GET_SUPPORTED_CPUID, cpuid), 0);
	assert_int_equal(kvm_p(vcpu, KVM_SET_CPUID2, cpuid), 0);
	free(cpuid);
}

static void x2apic_on(int sys, int vcpu)
{
	struct kvm_sregs s;
	struct kvm_lapic_state lapic;
	u32 svr = 0x1ff;

	all_features(sys, vcpu);
	assert_int_equal(kvm_p(vcpu, KVM_GET_SREGS, &s), 0);
	s.apic_base |= 0x400;
	assert_int_equal(kvm_p(vcpu, KVM_SET_SREGS, &s), 0);
	assert_int_equal(kvm_p(vcpu, KVM_GET_LAPIC, &lapic), 0);
	memcpy(lapic.regs + 0xf0, &svr, sizeof(svr));
	assert_int_equal(kvm_p(vcpu, KVM_SET_LAPIC, &lapic), 0);
}

/* sti; jmp to itself; its handler for VECTOR at HANDLER. */
static void waiting(struct guest *g, const u8 *handler, size_t n)
{
	const u16 vector[2] = {HANDLER, 0};
	struct kvm_regs r;

	GUEST_CODE(g, 0xfb, 0xeb, 0xfe);
	memcpy(g->ram + HANDLER - RAM_GPA, handler, n);
	/* The vector table is at 0x1800, where there is memory. */
	struct kvm_sregs s;
	assert_int_equal(kvm_p(g->vcpu, KVM_GET_SREGS, &s), 0);
	s.idt.base = 0x1800;
	s.idt.limit = 0x3ff;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_SREGS, &s), 0);
	memcpy(g->ram + 0x1800 - RAM_GPA + VECTOR * 4, vector, sizeof(vector));
	r = regs_of(g);
	r.rsp = STACK;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_REGS, &r), 0);
}

#define WAITING(g, ...)                                                                            \
	do {                                                                                       \
		static const u8 handler_[] = {__VA_ARGS__};                                        \
		waiting(g, handler_, sizeof(handler_));                                            \
	} while (0)

/* btr $0, FLAG: was it set? Then out e1h, else out e0h; iret */
#define END_BY_FLAG                                                                                \
	0x0f, 0xba, 0x36, FLAG & 0xff, FLAG >> 8, 0, 0x73, 0x03, 0xe6, 0xe1, 0xcf, 0xe6, 0xe0, 0xcf
/* mov $80Bh, %ecx; xor %eax, %eax; xor %edx, %edx; wrmsr: the register */
#define END_BY_REGISTER 0x66, 0xb9, 0x0b, 0x08, 0, 0, 0x66, 0x31, 0xc0, 0x66, 0x31, 0xd2, 0x0f, 0x30

static void open_eoi(struct guest *g)
{
	guest_open_irqchip(g);
	x2apic_on(g->sys, g->vcpu);
	assert_true(msr_set_on(g->vcpu, MSR_KVM_PV_EOI_EN, FLAG | KVM_MSR_ENABLED));
}

static u8 *flag_of(const struct guest *g)
{
	return g->ram + FLAG - RAM_GPA;
}

static void interrupt(const struct guest *g, bool level)
{
	struct kvm_msi msi = {.address_lo = 0xfee00000, .data = VECTOR | (level ? 0xc000 : 0)};

	assert_int_equal(kvm_p(g->vm, KVM_SIGNAL_MSI, &msi), 1);
}

static bool in_service(const struct guest *g)
{
	struct kvm_lapic_state lapic;

	assert_int_equal(kvm_p(g->vcpu, KVM_GET_LAPIC, &lapic), 0);
	return lapic.regs[0x100 + VECTOR / 32 * 16 + VECTOR % 32 / 8] & BIT(VECTOR % 8);
}

static u16 port_after(const struct guest *g)
{
	run_to(g, KVM_EXIT_IO);
	return g->run->io.port;
}

/* Linux need not set the flag, and does not where the processor keeps the APIC's registers (APICv). */
static bool never_set(void)
{
	struct guest g;
	bool set;

	open_eoi(&g);
	WAITING(&g, END_BY_FLAG);
	interrupt(&g, false);
	set = port_after(&g) == 0xe1;
	guest_close(&g);
	if (port.real && !set)
		printf("# this kernel does not use the flag: not compared\n");
	return port.real && !set;
}

static void test_by_flag(void **state)
{
	struct guest g;

	if (never_set())
		return;
	open_eoi(&g);
	WAITING(&g, END_BY_FLAG);
	for (int i = 0; i < 3; i++) {
		interrupt(&g, false);
		assert_int_equal(port_after(&g), 0xe1);
		assert_false(in_service(&g));
		assert_int_equal(*flag_of(&g), 0);
	}
	guest_close(&g);
}

/* The flag is never set where user space can see it: what is saved is the APIC's state alone. */
static void test_not_cleared(void **state)
{
	struct guest g;

	if (never_set())
		return;
	open_eoi(&g);
	WAITING(&g, 0xe6, 0xe2, END_BY_FLAG);
	interrupt(&g, false);
	assert_int_equal(port_after(&g), 0xe2);
	assert_true(in_service(&g));
	assert_int_equal(*flag_of(&g), 0);
	assert_int_equal(port_after(&g), 0xe1);
	assert_false(in_service(&g));
	guest_close(&g);
}

static void test_by_register(void **state)
{
	struct guest g;

	if (never_set())
		return;
	open_eoi(&g);
	WAITING(&g, END_BY_REGISTER, 0xe6, 0xe2, 0xcf);
	for (int i = 0; i < 2; i++) {
		interrupt(&g, false);
		assert_int_equal(port_after(&g), 0xe2);
		assert_false(in_service(&g));
		assert_int_equal(*flag_of(&g), 0);
	}
	guest_close(&g);
}

/* IOAPIC pin 17, level-triggered: it has to hear of the end. */
static void test_level(void **state)
{
	struct kvm_irqchip chip = {.chip_id = KVM_IRQCHIP_IOAPIC};
	struct kvm_irq_level line = {.irq = 17, .level = 1};
	struct guest g;

	if (never_set())
		return;
	open_eoi(&g);
	assert_int_equal(kvm_p(g.vm, KVM_GET_IRQCHIP, &chip), 0);
	chip.chip.ioapic.redirtbl[17].bits = VECTOR | 1 << 15;
	assert_int_equal(kvm_p(g.vm, KVM_SET_IRQCHIP, &chip), 0);
	WAITING(&g, END_BY_FLAG);
	assert_int_equal(kvm_p(g.vm, KVM_IRQ_LINE, &line), 0);
	assert_int_equal(port_after(&g), 0xe0);
	assert_true(in_service(&g));
	guest_close(&g);
}

/* wrmsr of 0 in the handler: from then on the word is the guest's own. */
static void test_switched_off(void **state)
{
	struct guest g;

	if (never_set())
		return;
	open_eoi(&g);
	WAITING(&g, 0x66, 0xb9, 4, 0x4d, 0x56, 0x4b, 0x66, 0x31, 0xc0, 0x66, 0x31, 0xd2, 0x0f, 0x30,
		0xc6, 0x06, FLAG & 0xff, FLAG >> 8, 0xaa, /* movb $0xaa, FLAG */
		0xe6, 0xe2, END_BY_REGISTER, 0xe6, 0xe3, 0xcf);
	interrupt(&g, false);
	assert_int_equal(port_after(&g), 0xe2);
	assert_true(in_service(&g));
	assert_int_equal(*flag_of(&g), 0xaa);
	assert_int_equal(port_after(&g), 0xe3);
	assert_false(in_service(&g));
	assert_int_equal(*flag_of(&g), 0xaa);
	guest_close(&g);
}

/* INIT ends it: what comes up again has other things in that place. */
static void test_init(void **state)
{
	struct kvm_msi init = {.address_lo = 0xfee00000, .data = 5 << 8};
	struct guest g;

	open_eoi(&g);
	assert_true(msr_set_on(g.vcpu, MSR_KVM_ASYNC_PF_INT, 0x50));
	assert_true(msr_set_on(g.vcpu, MSR_KVM_ASYNC_PF_EN, (FLAG + 64) | 9));
	GUEST_CODE(&g, 0xe6, 0xe2, 0xeb, 0xfe);
	assert_int_equal(port_after(&g), 0xe2);
	assert_int_equal(kvm_p(g.vm, KVM_SIGNAL_MSI, &init), 1);
	/* It begins at the reset vector, where there is no memory. */
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), 0);
	assert_int_equal(msr_get_on(g.vcpu, MSR_KVM_PV_EOI_EN), 0);
	assert_int_equal(msr_get_on(g.vcpu, MSR_KVM_ASYNC_PF_EN), 0);
	assert_int_equal(msr_get_on(g.vcpu, MSR_KVM_ASYNC_PF_INT), 0);
	guest_close(&g);
}

/* The page is written on the guest's behalf, and a VMM that copies memory must learn of it. */
static void test_dirty(void **state)
{
	struct kvm_userspace_memory_region slot = {.guest_phys_addr = RAM_GPA,
		.memory_size = RAM_BYTES,
		.flags = KVM_MEM_LOG_DIRTY_PAGES};
	struct guest g;
	u64 bits = 0;
	struct kvm_dirty_log log = {.dirty_bitmap = &bits};

	open_eoi(&g);
	slot.userspace_addr = (unsigned long)g.ram;
	WAITING(&g, 0xe6, 0xe2, 0xcf);
	assert_int_equal(kvm_p(g.vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	interrupt(&g, false);
	assert_int_equal(port_after(&g), 0xe2);
	assert_int_equal(kvm_p(g.vm, KVM_GET_DIRTY_LOG, &log), 0);
	assert_true(bits & BIT64((FLAG - RAM_GPA) / 4096));
	guest_close(&g);
}

/* The flag lies in a slot of its own, which goes away while the interrupt is in service. */
static void test_memory_gone(void **state)
{
	void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region slot = {.slot = 1,
		.guest_phys_addr = 0x20000,
		.memory_size = 4096,
		.userspace_addr = (unsigned long)page};
	struct guest g;

	if (never_set())
		return;
	open_eoi(&g);
	assert_int_equal(kvm_p(g.vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	assert_true(msr_set_on(g.vcpu, MSR_KVM_PV_EOI_EN, 0x20000 | KVM_MSR_ENABLED));
	WAITING(&g, 0xe6, 0xe2, 0xe6, 0xe3, END_BY_REGISTER, 0xe6, 0xe4, 0xcf);
	interrupt(&g, false);
	assert_int_equal(port_after(&g), 0xe2);
	slot.memory_size = 0;
	assert_int_equal(kvm_p(g.vm, KVM_SET_USER_MEMORY_REGION, &slot), 0);
	assert_int_equal(port_after(&g), 0xe3);
	assert_true(in_service(&g));
	assert_int_equal(port_after(&g), 0xe4);
	assert_false(in_service(&g));
	interrupt(&g, false);
	assert_int_equal(port_after(&g), 0xe2);
	guest_close(&g);
	munmap(page, 4096);
}

/* ---- two processors that interrupt each other, each with its own flag ---- */

#define ROUNDS 2000

struct player {
	pthread_t thread;
	int vcpu;
	struct kvm_run *run;
	long ended[2]; /* by the register, by the flag */
};

/* Each interrupt makes one for the other: handlers are placed with the other's number and their own flag. */
static void place_player(struct guest *g, unsigned me)
{
	u32 flag = FLAG + 64 * me, at = HANDLER + 0x80 * me, other = !me;
	const u8 handler[] = {0x0f, 0xba, 0x36, (u8)flag, (u8)(flag >> 8), 0, /* btr $0, flag */
		0xb3, 1, 0x72, 16,                                            /* mov $1, %bl; jc */
		END_BY_REGISTER, 0xb3, 0,                                     /* mov $0, %bl */
		0x66, 0xb9, 0x30, 0x08, 0, 0, 0x66, 0xb8, VECTOR, 0, 0, 0,    /* ICR := VECTOR, */
		0x66, 0xba, (u8)other, 0, 0, 0, 0x0f, 0x30,                   /* to the other */
		0x88, 0xd8, 0xe6, 0xe1, 0xcf}; /* mov %bl, %al; out; iret */
	const u16 vector[2] = {(u16)at, 0};

	memcpy(g->ram + at - RAM_GPA, handler, sizeof(handler));
	memcpy(g->ram + 0x1800 + 0x400 * me - RAM_GPA + VECTOR * 4, vector, sizeof(vector));
}

static void start_player(int sys, struct player *p, unsigned me)
{
	struct kvm_mp_state runnable = {KVM_MP_STATE_RUNNABLE};
	struct kvm_regs r = {.rip = MAIN, .rflags = 2, .rsp = STACK + 0x1000 * me};
	struct kvm_sregs s;

	x2apic_on(sys, p->vcpu);
	assert_int_equal(kvm_p(p->vcpu, KVM_GET_SREGS, &s), 0);
	s.cs.base = s.cs.selector = 0;
	s.idt.base = 0x1800 + 0x400 * me;
	s.idt.limit = 0x3ff;
	assert_int_equal(kvm_p(p->vcpu, KVM_SET_SREGS, &s), 0);
	assert_int_equal(kvm_p(p->vcpu, KVM_SET_REGS, &r), 0);
	assert_int_equal(kvm_p(p->vcpu, KVM_SET_MP_STATE, &runnable), 0);
	assert_true(msr_set_on(p->vcpu, MSR_KVM_PV_EOI_EN, (FLAG + 64 * me) | KVM_MSR_ENABLED));
}

static void *play(void *arg)
{
	struct player *p = arg;

	while (p->ended[0] + p->ended[1] < ROUNDS) {
		if (kvm(p->vcpu, KVM_RUN, 0) || p->run->exit_reason != KVM_EXIT_IO)
			return "KVM_RUN";
		if (p->run->io.port != 0xe1)
			return "another port";
		p->ended[*((u8 *)p->run + p->run->io.data_offset) & 1]++;
	}
	return NULL;
}

static void test_two(void **state)
{
	struct player p[2] = {{0}};
	size_t size;
	struct guest g;

	if (never_set())
		return;
	guest_open_irqchip(&g);
	size = (size_t)kvm(g.sys, KVM_GET_VCPU_MMAP_SIZE, 0);
	GUEST_CODE(&g, 0xfb, 0xeb, 0xfe);
	p[0] = (struct player){.vcpu = g.vcpu, .run = g.run};
	p[1].vcpu = (int)kvm(g.vm, KVM_CREATE_VCPU, 1);
	p[1].run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, p[1].vcpu, 0);
	assert_true(p[1].run != MAP_FAILED);
	for (unsigned i = 0; i < 2; i++) {
		place_player(&g, i);
		start_player(g.sys, &p[i], i);
	}
	interrupt(&g, false);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&p[i].thread, NULL, play, &p[i]), 0);
	for (unsigned i = 0; i < 2; i++) {
		void *failed;

		pthread_join(p[i].thread, &failed);
		assert_null(failed);
		assert_int_equal(p[i].ended[0], 0);
	}
	munmap(p[1].run, size);
	kvm_close(p[1].vcpu);
	guest_close(&g);
}

/* ---- the wall clock ---- */

/* It is written where its MSR says, and 0, which VMMs write at each reset, says nowhere. */
static void test_wall_clock(void **state)
{
	static const u32 msr[] = {MSR_KVM_WALL_CLOCK, MSR_KVM_WALL_CLOCK_NEW};
	u8 *low = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region r = {
		.slot = 5, .memory_size = 4096, .userspace_addr = (unsigned long)low};
	static const u8 untouched[16] = {0};
	struct guest g;

	assert_true(low != MAP_FAILED);
	guest_open(&g);
	assert_int_equal(kvm_p(g.vm, KVM_SET_USER_MEMORY_REGION, &r), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(msr); i++) {
		assert_true(msr_set_on(g.vcpu, msr[i], 0));
		assert_int_equal(msr_get_on(g.vcpu, msr[i]), 0);
		assert_memory_equal(low, untouched, sizeof(untouched));
		assert_true(msr_set_on(g.vcpu, msr[i], RAM_GPA + 64 * i));
		assert_memory_not_equal(g.ram + 64 * i, untouched, 12);
	}
	guest_close(&g);
	munmap(low, 4096);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_offered),
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_by_flag),
		cmocka_unit_test(test_not_cleared),
		cmocka_unit_test(test_by_register),
		cmocka_unit_test(test_level),
		cmocka_unit_test(test_switched_off),
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_dirty),
		cmocka_unit_test(test_memory_gone),
		cmocka_unit_test(test_two),
		cmocka_unit_test(test_wall_clock),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
