/* SPDX-License-Identifier: MIT */
/*
 * KVM_RUN with small real-mode guests: what each exit shows, where rip is then, and the
 * ways in beside it (immediate_exit, interrupt window, synchronised registers, coalesced writes). Signals are in
 * signal_test.c.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>

static u64 rip_of(struct guest *g)
{
	return regs_of(g).rip;
}

static void *io_data(struct guest *g)
{
	return (u8 *)g->run + g->run->io.data_offset;
}

/* The textbook guest: 2 + 2 on the serial port. */
static void test_hello(void **state)
{
	struct guest g;
	struct kvm_regs r;
	char text[3] = "";
	int i;

	guest_open(&g);
	GUEST_CODE(&g, 0xba, 0xf8, 0x03, /* mov $0x3f8, %dx */
		0x00, 0xd8,              /* add %bl, %al */
		0x04, '0',               /* add $'0', %al */
		0xee,                    /* out %al, (%dx) */
		0xb0, '\n',              /* mov $'\n', %al */
		0xee,                    /* out %al, (%dx) */
		0xf4);                   /* hlt */
	r = regs_of(&g);
	r.rax = r.rbx = 2;
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_REGS, &r), 0);
	for (i = 0; i < 2; i++) {
		run_to(&g, KVM_EXIT_IO);
		assert_int_equal(g.run->io.direction, KVM_EXIT_IO_OUT);
		assert_int_equal(g.run->io.port, 0x3f8);
		assert_int_equal(g.run->io.size, 1);
		assert_int_equal(g.run->io.count, 1);
		assert_int_equal(g.run->io.data_offset, 0x1000);
		text[i] = *(char *)io_data(&g);
		if (!port.real) /* out_test.c: kernels that emulate it are past it */
			assert_int_equal(rip_of(&g), i ? 0x100a : 0x1007);
	}
	assert_string_equal(text, "4\n");
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(rip_of(&g), 0x100c);
	guest_close(&g);
}

static void test_reset_state(void **state)
{
	struct guest g;
	struct kvm_sregs s;
	struct kvm_regs r;

	guest_open(&g);
	r = regs_of(&g);
	assert_int_equal(r.rip, 0xfff0);
	assert_int_equal(r.rflags, 2);
	assert_int_equal(r.rax, 0);
	assert_int_equal(kvm_p(g.vcpu, KVM_GET_SREGS, &s), 0);
	assert_int_equal(s.cs.selector, 0xf000);
	assert_int_equal(s.cs.base, 0xffff0000);
	assert_int_equal(s.cs.limit, 0xffff);
	assert_int_equal(s.cs.type, 11);
	assert_int_equal(s.ds.type, 3);
	assert_int_equal(s.tr.type, 11);
	assert_int_equal(s.ldt.type, 2);
	assert_int_equal(s.gdt.limit, 0xffff);
	assert_int_equal(s.idt.limit, 0xffff);
	assert_int_equal(s.cr0, 0x60000010);
	assert_int_equal(s.apic_base, 0xfee00900);
	guest_close(&g);
}

static void test_in(void **state)
{
	struct guest g;

	guest_open(&g);
	GUEST_CODE(&g, 0xed, /* in (%dx), %ax */
		0xf4);
	run_to(&g, KVM_EXIT_IO);
	assert_int_equal(g.run->io.direction, KVM_EXIT_IO_IN);
	assert_int_equal(g.run->io.size, 2);
	assert_int_equal(rip_of(&g), 0x1000); /* still at it */
	*(u16 *)io_data(&g) = 0x7777;
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rax, 0x7777);
	guest_close(&g);
}

/* What was there is no answer: a VMM that has no such port leaves it alone, and the guest reads 0. */
static void test_in_unanswered(void **state)
{
	struct guest g;

	guest_open(&g);
	GUEST_CODE(&g, 0x66, 0xed, /* in (%dx), %eax */
		0xef,              /* out %ax, (%dx) */
		0xed,              /* in (%dx), %ax */
		0xf4);
	memset((u8 *)g.run + 0x1000, 0xee, 16); /* io_data(), once there is an exit */
	run_to(&g, KVM_EXIT_IO);
	assert_int_equal(*(u32 *)io_data(&g), 0);
	memset(io_data(&g), 0x55, 4);
	run_to(&g, KVM_EXIT_IO);
	assert_int_equal(*(u16 *)io_data(&g), 0x5555);
	run_to(&g, KVM_EXIT_IO);
	assert_int_equal(*(u16 *)io_data(&g), 0);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rax & 0xffff, 0);
	guest_close(&g);
}

static void test_string_io(void **state)
{
	struct guest g;
	int i;

	guest_open(&g);
	GUEST_CODE(&g, 0xb9, 5, 0,            /* mov $5, %cx */
		0xbf, 0x00, 0x20,             /* mov $0x2000, %di */
		0xf3, 0x6c,                   /* rep insb */
		0xb9, 5, 0, 0xbe, 0x00, 0x20, /* mov $0x2000, %si */
		0xf3, 0x6e,                   /* rep outsb */
		0xf4);
	run_to(&g, KVM_EXIT_IO);
	assert_int_equal(g.run->io.count, 5);
	memcpy(io_data(&g), "abcde", 5);
	for (i = 0; i < 5; i++) {
		run_to(&g, KVM_EXIT_IO);
		assert_int_equal(g.run->io.count, 1);
		assert_int_equal(*(char *)io_data(&g), "abcde"[i]);
	}
	assert_memory_equal(g.ram + 0x1000, "abcde", 5);
	run_to(&g, KVM_EXIT_HLT);
	guest_close(&g);
}

static void test_mmio(void **state)
{
	struct guest g;

	guest_open(&g);
	GUEST_CODE(&g, 0xb8, 0x00, 0xa0, 0x8e, 0xd8, /* mov $0xa000, %ax; mov %ax, %ds */
		0xa1, 0x10, 0x00,                    /* mov 0x10, %ax */
		0xa3, 0x20, 0x00,                    /* mov %ax, 0x20 */
		0xf4);
	run_to(&g, KVM_EXIT_MMIO);
	assert_int_equal(g.run->mmio.phys_addr, 0xa0010);
	assert_int_equal(g.run->mmio.len, 2);
	assert_int_equal(g.run->mmio.is_write, 0);
	assert_int_equal(rip_of(&g), 0x1005);
	g.run->mmio.data[0] = 0x34;
	g.run->mmio.data[1] = 0x12;
	run_to(&g, KVM_EXIT_MMIO);
	assert_int_equal(g.run->mmio.phys_addr, 0xa0020);
	assert_int_equal(g.run->mmio.is_write, 1);
	assert_memory_equal(g.run->mmio.data, "\x34\x12", 2);
	assert_int_equal(rip_of(&g), 0x100b);
	run_to(&g, KVM_EXIT_HLT);
	guest_close(&g);
}

/* A write to a read-only slot is an MMIO exit; reading and running there goes on. */
static void test_readonly_slot(void **state)
{
	struct guest g;
	u8 *rom = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region r = {
		1, KVM_MEM_READONLY, 0x20000, 4096, (unsigned long)rom};

	guest_open(&g);
	assert_int_equal(kvm_p(g.vm, KVM_SET_USER_MEMORY_REGION, &r), 0);
	rom[0] = 0x5a;
	GUEST_CODE(&g, 0xb8, 0x00, 0x20, 0x8e, 0xd8, /* ds = 0x2000 */
		0xc6, 0x06, 0x00, 0x00, 0x11,        /* movb $0x11, 0 */
		0xa0, 0x00, 0x00,                    /* mov 0, %al */
		0xf4);
	run_to(&g, KVM_EXIT_MMIO);
	assert_int_equal(g.run->mmio.phys_addr, 0x20000);
	assert_int_equal(g.run->mmio.is_write, 1);
	assert_int_equal(g.run->mmio.data[0], 0x11);
	assert_int_equal(rip_of(&g), 0x100a);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rax & 0xff, 0x5a);
	assert_int_equal(rom[0], 0x5a);
	guest_close(&g);
	munmap(rom, 4096);
}

static void test_immediate_exit(void **state)
{
	struct guest g;

	guest_open(&g);
	GUEST_CODE(&g, 0xed, 0xf4);
	run_to(&g, KVM_EXIT_IO);
	*(u16 *)io_data(&g) = 7777;
	g.run->immediate_exit = 1;
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_IO); /* untouched */
	assert_int_equal(regs_of(&g).rax, 7777);
	assert_int_equal(rip_of(&g), 0x1001);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
	g.run->immediate_exit = 0;
	run_to(&g, KVM_EXIT_HLT);
	guest_close(&g);
}

static void test_shutdown(void **state)
{
	struct guest g;
	struct kvm_sregs s;

	guest_open(&g);
	GUEST_CODE(&g, 0x0f, 0x0b); /* ud2, with no IDT to find a handler in */
	assert_int_equal(kvm_p(g.vcpu, KVM_GET_SREGS, &s), 0);
	s.idt.limit = 0;
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_SREGS, &s), 0);
	run_to(&g, KVM_EXIT_SHUTDOWN);
	guest_close(&g);
}

static void test_dirty_log(void **state)
{
	struct guest g;
	u64 bitmap = 0;
	struct kvm_dirty_log log = {.dirty_bitmap = &bitmap};
	struct kvm_userspace_memory_region r = {0, KVM_MEM_LOG_DIRTY_PAGES, RAM_GPA, RAM_BYTES};

	guest_open(&g);
	GUEST_CODE(&g, 0xa2, 0x00, 0x90, /* mov %al, 0x9000: page 8 of the slot */
		0xa2, 0x00, 0xa0,        /* page 9 */
		0xf4);
	r.userspace_addr = (unsigned long)g.ram;
	assert_int_equal(kvm_p(g.vm, KVM_SET_USER_MEMORY_REGION, &r), 0);
	run_to(&g, KVM_EXIT_HLT);
	g.ram[0x3000] = 1; /* ours is not logged */
	assert_int_equal(kvm_p(g.vm, KVM_GET_DIRTY_LOG, &log), 0);
	assert_int_equal(bitmap & 0xfffe, 0x300); /* page 0, the code's: dirty_test.c */
	assert_int_equal(kvm_p(g.vm, KVM_GET_DIRTY_LOG, &log), 0);
	assert_int_equal(bitmap, 0);
	guest_close(&g);
}

static void test_irq_window(void **state)
{
	struct guest g;
	struct kvm_interrupt irq = {0x20};

	guest_open(&g);
	/* RAM starts at 0x1000, so the interrupt table goes there too. */
	GUEST_CODE(&g, 0x0f, 0x01, 0x1e, 0x40, 0x10,         /* lidt 0x1040 */
		0xfb,                                        /* sti */
		0x90, 0xeb, 0xfd);                           /* nop; jmp . */
	memcpy(g.ram + 0x40, "\xff\x03\x00\x20\x00\x00", 6); /* IDT at 0x2000 */
	memcpy(g.ram + 0x1080, "\x00\x30\x00\x00", 4);       /* vector 0x20: 0:0x3000 */
	g.ram[0x2000] = 0xf4;
	g.run->request_interrupt_window = 1;
	run_to(&g, KVM_EXIT_IRQ_WINDOW_OPEN);
	assert_int_equal(g.run->ready_for_interrupt_injection, 1);
	assert_int_equal(g.run->if_flag, 1);
	g.run->request_interrupt_window = 0;
	assert_int_equal(kvm_p(g.vcpu, KVM_INTERRUPT, &irq), 0);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(rip_of(&g), 0x3001);
	assert_int_equal(g.run->if_flag, 0);
	guest_close(&g);
}

static void test_sync_regs(void **state)
{
	struct guest g;

	guest_open(&g);
	GUEST_CODE(&g, 0x01, 0xd8, 0xf4, /* add %bx, %ax; hlt */
		0x01, 0xd8, 0xf4);
	g.run->kvm_valid_regs = 8;
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINVAL);
	g.run->kvm_valid_regs = KVM_SYNC_X86_VALID_FIELDS;
	g.run->kvm_dirty_regs = 8;
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINVAL);
	g.run->kvm_dirty_regs = 0;
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(g.run->s.regs.regs.rip, 0x1003);
	assert_int_equal(g.run->s.regs.sregs.cr0, 0x60000010);
	g.run->s.regs.regs.rax = 3;
	g.run->s.regs.regs.rbx = 4;
	g.run->kvm_dirty_regs = KVM_SYNC_X86_REGS;
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(g.run->s.regs.regs.rax, 7);
	assert_int_equal(g.run->kvm_dirty_regs, 0);
	guest_close(&g);
}

static void test_coalesced(void **state)
{
	struct guest g;
	struct kvm_coalesced_mmio_ring *ring;
	struct kvm_coalesced_mmio_zone z = {.addr = 0xa0000, .size = 0x100};

	guest_open(&g);
	ring = (void *)((u8 *)g.run + 0x2000);
	assert_int_equal(kvm_p(g.vm, KVM_REGISTER_COALESCED_MMIO, &z), 0);
	z = (struct kvm_coalesced_mmio_zone){.addr = 0x80, .size = 1, .pio = 1};
	assert_int_equal(kvm_p(g.vm, KVM_REGISTER_COALESCED_MMIO, &z), 0);
	GUEST_CODE(&g, 0xb8, 0x00, 0xa0, 0x8e, 0xd8, /* ds = 0xa000 */
		0xa3, 0x20, 0x00,                    /* mov %ax, 0x20: in the zone */
		0xe6, 0x80,                          /* out %al, $0x80: in the other */
		0xa3, 0xff, 0x00,                    /* mov %ax, 0xff: half outside */
		0xf4);
	run_to(&g, KVM_EXIT_MMIO);
	assert_int_equal(g.run->mmio.phys_addr, 0xa00ff);
	assert_int_equal(ring->first, 0);
	assert_int_equal(ring->last, 2);
	assert_int_equal(ring->coalesced_mmio[0].phys_addr, 0xa0020);
	assert_int_equal(ring->coalesced_mmio[0].len, 2);
	assert_memory_equal(ring->coalesced_mmio[0].data, "\x00\xa0", 2);
	assert_int_equal(ring->coalesced_mmio[1].phys_addr, 0x80);
	assert_int_equal(ring->coalesced_mmio[1].pio, 1);
	run_to(&g, KVM_EXIT_HLT);
	guest_close(&g);
}

static void test_single_step(void **state)
{
	struct guest g;
	struct kvm_guest_debug d = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP};

	guest_open(&g);
	GUEST_CODE(&g, 0x90, 0x90, 0xf4);
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_GUEST_DEBUG, &d), 0);
	run_to(&g, KVM_EXIT_DEBUG);
	assert_int_equal(g.run->debug.arch.exception, 1);
	assert_int_equal(g.run->debug.arch.pc, 0x1001);
	assert_true(g.run->debug.arch.dr6 & (1 << 14));
	d.control = 0;
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_GUEST_DEBUG, &d), 0);
	run_to(&g, KVM_EXIT_HLT);
	guest_close(&g);
}

/* Ours only: kernels that emulate real mode in software (kvm_pvm, old VMX) miss INT3 there. */
static void test_breakpoint(void **state)
{
	struct guest g;
	struct kvm_guest_debug d = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_USE_SW_BP};

	if (port.real)
		skip();
	guest_open(&g);
	GUEST_CODE(&g, 0x90, 0xcc, 0xf4);
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_GUEST_DEBUG, &d), 0);
	run_to(&g, KVM_EXIT_DEBUG);
	assert_int_equal(g.run->debug.arch.exception, 3);
	assert_int_equal(g.run->debug.arch.pc, 0x1001);
	guest_close(&g);
}

/*
 * The engine's handlers for synchronous signals are installed with the first machine; cmocka puts its
 * own over them for each test.
 */
static struct sigaction engine_segv;

static void find_engine_handler(void)
{
	struct guest g;

	guest_open(&g);
	guest_close(&g);
	sigaction(SIGSEGV, NULL, &engine_segv);
}

/* RAM that the caller protects: EFAULT, and nothing has happened. Real mode is emulated by kernels. */
static void test_protected_ram(void **state)
{
	struct guest g;

	if (port.real)
		skip();
	guest_open(&g);
	GUEST_CODE(&g, 0xa2, 0x00, 0x90, 0xf4); /* mov %al, 0x9000; hlt */
	sigaction(SIGSEGV, &engine_segv, NULL);
	mprotect(g.ram + 0x8000, 4096, PROT_READ);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EFAULT);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(rip_of(&g), 0x1000);
	mprotect(g.ram + 0x8000, 4096, PROT_READ | PROT_WRITE);
	run_to(&g, KVM_EXIT_HLT);
	guest_close(&g);
}

static void test_user_msr(void **state)
{
	struct guest g;
	struct kvm_enable_cap e = {
		.cap = KVM_CAP_X86_USER_SPACE_MSR, .args = {KVM_MSR_EXIT_REASON_UNKNOWN}};
	struct kvm_regs r;

	guest_open(&g);
	assert_int_equal(kvm_p(g.vm, KVM_ENABLE_CAP, &e), 0);
	GUEST_CODE(&g, 0x66, 0xb9, 0xef, 0xbe, 0xad, 0xde, /* mov $0xdeadbeef, %ecx */
		0x0f, 0x32,                                /* rdmsr */
		0x0f, 0x30,                                /* wrmsr */
		0xf4);
	run_to(&g, KVM_EXIT_X86_RDMSR);
	assert_int_equal(g.run->msr.index, 0xdeadbeef);
	assert_int_equal(g.run->msr.reason, KVM_MSR_EXIT_REASON_UNKNOWN);
	g.run->msr.data = 0x1122334455667788;
	run_to(&g, KVM_EXIT_X86_WRMSR);
	assert_int_equal(g.run->msr.data, 0x1122334455667788);
	r = regs_of(&g);
	assert_int_equal(r.rax, 0x55667788);
	assert_int_equal(r.rdx, 0x11223344);
	run_to(&g, KVM_EXIT_HLT);
	guest_close(&g);
}

/* A vcpu that is made to halt in the middle of an access: whoever wants out gets out, and the access is not lost. */
static void test_halted_in_access(void **state)
{
	struct kvm_mp_state halted = {KVM_MP_STATE_HALTED}, runnable = {KVM_MP_STATE_RUNNABLE};
	struct guest g;

	guest_open_irqchip(&g);
	GUEST_CODE(&g, 0xe4, 0x10, 0xe6, 0x80); /* in al, 10h; out 80h, al */
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_IO);
	*((u8 *)g.run + g.run->io.data_offset) = 0x5a;
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_MP_STATE, &halted), 0);
	g.run->immediate_exit = 1;
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), -EINTR);
	g.run->immediate_exit = 0;
	assert_int_equal(kvm_p(g.vcpu, KVM_SET_MP_STATE, &runnable), 0);
	assert_int_equal(kvm(g.vcpu, KVM_RUN, 0), 0);
	assert_int_equal(g.run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(*((u8 *)g.run + g.run->io.data_offset), 0x5a);
	guest_close(&g);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hello),
		cmocka_unit_test(test_reset_state),
		cmocka_unit_test(test_in),
		cmocka_unit_test(test_in_unanswered),
		cmocka_unit_test(test_string_io),
		cmocka_unit_test(test_mmio),
		cmocka_unit_test(test_readonly_slot),
		cmocka_unit_test(test_immediate_exit),
		cmocka_unit_test(test_shutdown),
		cmocka_unit_test(test_dirty_log),
		cmocka_unit_test(test_irq_window),
		cmocka_unit_test(test_sync_regs),
		cmocka_unit_test(test_coalesced),
		cmocka_unit_test(test_single_step),
		cmocka_unit_test(test_breakpoint),
		cmocka_unit_test(test_protected_ram),
		cmocka_unit_test(test_user_msr),
		cmocka_unit_test(test_halted_in_access),
	};

	port_start(argc, argv);
	find_engine_handler();
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
