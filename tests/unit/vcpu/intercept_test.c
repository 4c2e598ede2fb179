/* SPDX-License-Identifier: MIT */
/*
 * OPT_INTERCEPTS: what the engine does not serve leaves in front of the instruction, and nothing has happened. And what it
 * serves does not.
 */
#include "tests/unit/world/partition.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/core/vcpu.h"
#include "engine/core/xsave.h"
#include "engine/irqchip.h"

/* ---- ports ---- */

static void port_is(u32 reason, u16 port, unsigned size, bool string, bool rep, unsigned insn_len)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct exit *x = leaves(reason);

		assert_int_equal(x->io.port, port);
		assert_int_equal(x->io.size, size);
		assert_int_equal(x->io.string, string);
		assert_int_equal(x->io.rep, rep);
		insn_is(insn_len);
	}
}

static void ports(void **state)
{
	GUEST(0x66, 0xe5, 0x70, SAY);
	port_is(EXIT_IO_IN, 0x70, 2, false, false, 3);
	goes_on();
	GUEST(0xef, SAY);
	set_gpr(RDX, 0x1234);
	port_is(EXIT_IO_OUT, 0x1234, 4, false, false, 1);
	goes_on();
	/* It has gone by without being answered. */
	GUEST(0xe4, 0x71, 0xe4, 0x71, SAY);
	port_is(EXIT_IO_IN, 0x71, 1, false, false, 2);
	set_rip(CODE + 2);
	port_is(EXIT_IO_IN, 0x71, 1, false, false, 2);
	goes_on();
}

static void string_ports(void **state)
{
	GUEST(0xf3, 0x66, 0x6d, SAY);
	set_gpr(RDX, 0x1f0);
	set_gpr(RDI, DATA + 0xffc);
	set_gpr(RCX, 600);
	port_is(EXIT_IO_IN, 0x1f0, 2, true, true, 3);
	goes_on();
	GUEST(0x6e, SAY);
	set_gpr(RSI, DATA);
	set_gpr(RDX, 0xe9);
	port_is(EXIT_IO_OUT, 0xe9, 1, true, false, 1);
	goes_on();
	GUEST(0xf3, 0x6f, 0xf3, 0x6d, SAY); /* nothing to do */
	set_gpr(RCX, 0);
	set_gpr(RSI, DEVICE);
	says();
}

/* The shadow in front of which it leaves goes with the instruction. */
static void shadow_stays(void **state)
{
	GUEST(0x8e, 0xd0, 0xe6, 0x70, SAY);
	set_gpr(RAX, 0x10);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x70);
	assert_int_equal(events_of(w.v).shadow, SHADOW_MOVSS);
	port_is(EXIT_IO_OUT, 0x70, 1, false, false, 2);
	goes_on();
	assert_int_equal(events_of(w.v).shadow, 0);
}

/* To go on behind an exit says nothing about the guest's code; to go elsewhere does. */
static void going_on_is_cheap(void **state)
{
	const struct cpu *cpu = &w.v->cpu;
	u64 epoch;

	GUEST(0xe6, 0x98, SAY);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x98);
	epoch = cpu->fetch_epoch;
	set_gpr(RAX, 1);
	set_rip(CODE + 2);
	assert_int_equal(cpu->fetch_epoch, epoch);
	assert_int_equal(cpu->exit_request, 0);
	says();
	epoch = cpu->fetch_epoch;
	set_rip(CODE);
	assert_true(cpu->fetch_epoch > epoch);
}

/* An interrupt that IF alone has held comes when the VMM sets IF. */
static void interrupt_flag_by_vmm(void **state)
{
	struct msi msi = {.address = APIC, .data = 0x41};

	GUEST(0xc7, 0x03, 0xff, 0x01, 0x00, 0x00, 0xe6, 0x98, SAY); /* enable the local APIC; out */
	set_gpr(RBX, APIC + 0xf0);
	gate(0x41, HANDLER);
	WORLD_PUT(&w, HANDLER, 0xe6, 0x97);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x98);
	assert_true(irq_msi(w.m, &msi) > 0);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x98);
	set_rip(CODE + 8);
	set_rflags(w.v, FL_IF);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x97);
}

/* ---- device memory ---- */

static void moves(void **state)
{
	GUEST(0x8b, 0x43, 0x12, SAY); /* mov eax, [rbx + 12h] */
	touches(EXIT_MMIO_READ, DEVICE + 0x12, 4, false, 3);
	goes_on();
	GUEST(0x48, 0x89, 0x0b, SAY); /* mov [rbx], rcx */
	touches(EXIT_MMIO_WRITE, DEVICE, 8, false, 3);
	assert_memory_equal(vcpu_exit(w.v)->mmio.data, "\x22\x22\x22\x22\x22\x22\x22\x22", 8);
	goes_on();
	GUEST(0xa2, 0x00, 0x00, 0x05, 0x00, 0x00, 0x00, 0x00, 0x00, SAY); /* mov [50000h], al */
	touches(EXIT_MMIO_WRITE, DEVICE, 1, false, 9);
	goes_on();
}

/* Two reads of the same register: the first is not an answer to the second. */
static void nothing_is_answered(void **state)
{
	GUEST(0x8b, 0x03, 0x8b, 0x0b, SAY);
	touches(EXIT_MMIO_READ, DEVICE, 4, false, 2);
	set_rip(CODE + 2);
	touches(EXIT_MMIO_READ, DEVICE, 4, false, 2);
	goes_on();
}

static void read_modify_write(void **state)
{
	GUEST(0x01, 0x03, SAY); /* add [rbx], eax */
	touches(EXIT_MMIO_READ, DEVICE, 4, true, 2);
	goes_on();
	GUEST(0xf0, 0x48, 0x0f, 0xc1, 0x0b, SAY); /* lock xadd [rbx], rcx */
	touches(EXIT_MMIO_READ, DEVICE, 8, true, 5);
	goes_on();
	GUEST(0x0f, 0xab, 0x03, SAY); /* bts [rbx], eax */
	set_gpr(RAX, 9);
	touches(EXIT_MMIO_READ, DEVICE, 4, true, 3);
	goes_on();
	GUEST(0x0f, 0xa3, 0x03, SAY); /* bt */
	set_gpr(RAX, 9);
	touches(EXIT_MMIO_READ, DEVICE, 4, false, 3);
	goes_on();
}

/* The page is RAM to be read: it is the store that leaves, when everything has been computed. */
static void read_only_slot(void **state)
{
	put_slot(SLOT_READONLY, 0x1000);
	*(u32 *)(w.ram + DATA) = 0x7fffffff;
	GUEST(0x81, 0x03, 0x01, 0x00, 0x00, 0x00, SAY); /* add dword [rbx], 1 */
	touches(EXIT_MMIO_WRITE, DEVICE, 4, true, 6);
	assert_int_equal(*(u32 *)vcpu_exit(w.v)->mmio.data, 0x80000000);
	goes_on();
	GUEST(0xf0, 0x0f, 0xc1, 0x0b, SAY); /* lock xadd [rbx], ecx */
	touches(EXIT_MMIO_WRITE, DEVICE, 4, true, 4);
	goes_on();
	GUEST(0x8b, 0x03, SAY);
	says();
	assert_int_equal((u32)gpr_of(w.v, RAX), 0x7fffffff);
}

/* A stack that is not empty, and values that are not those of reset. */
static void fill_vectors(void)
{
	struct vcpu_state s;
	struct fpu_image *f = (struct fpu_image *)s.xsave;

	vcpu_get(w.v, ST_XSAVE, &s);
	f->fcw = FCW_RESET;
	f->fsw = 3 << 11;
	f->ftw = 0x3f;
	f->mxcsr = MXCSR_RESET;
	for (unsigned n = 0; n < 8; n++) {
		memset(f->st[n], 0, 16);
		*(u64 *)f->st[n] = 0xc123456789abcdef;
		*(u16 *)(f->st[n] + 8) = (u16)(0x3fff + n);
		memset(f->xmm[n], (int)n + 0x30, 16);
	}
	f->xstate_bv = 3;
	assert_int_equal(vcpu_set(w.v, ST_XSAVE, &s), 0);
}

/* What computes the value to be stored changes more than the general registers. */
static void vector_state(void **state)
{
	static const struct {
		u8 bytes[8];
		u8 len, size;
		bool rom; /* the page can be read */
		u32 reason;
		bool rmw;
	} cases[] = {
		{{0xdd, 0x1b}, 2, 8, true, EXIT_MMIO_WRITE, false}, /* fstp qword [rbx] */
		{{0xdf, 0x3b}, 2, 8, true, EXIT_MMIO_WRITE, false}, /* fistp qword [rbx] */
		{{0xdd, 0x1b}, 2, 8, false, EXIT_MMIO_READ, true},  /* x87 stores read first */
		{{0x0f, 0x7f, 0x0b}, 3, 8, true, EXIT_MMIO_WRITE, false},  /* movq [rbx], mm1 */
		{{0x0f, 0x7f, 0x0b}, 3, 8, false, EXIT_MMIO_WRITE, false}, /* the same */
		{{0x0f, 0x29, 0x0b}, 3, 8, false, EXIT_MMIO_WRITE, false}, /* movaps [rbx], xmm1 */
		{{0x0f, 0xae, 0x03}, 3, 8, false, EXIT_MMIO_WRITE, false}, /* fxsave */
		{{0xd9, 0x33}, 2, 8, false, EXIT_MMIO_WRITE, false},       /* fnstenv */
		{{0xdd, 0x33}, 2, 8, false, EXIT_MMIO_WRITE, false},       /* fnsave */
		{{0xf3, 0x0f, 0x58, 0x03}, 4, 4, false, EXIT_MMIO_READ,
			false}, /* addss xmm0, [rbx] */
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		if (cases[i].rom)
			put_slot(SLOT_READONLY, 0x1000);
		memset(w.ram + CODE, 0x90, 16);
		world_put(&w, CODE, cases[i].bytes, cases[i].len);
		WORLD_PUT(&w, CODE + 8, SAY);
		start_at(CODE);
		fill_vectors();
		touches(cases[i].reason, DEVICE, cases[i].size, cases[i].rmw, cases[i].len);
		goes_on();
		if (cases[i].rom)
			put_slot(0, 0);
	}
}

static void stacks(void **state)
{
	GUEST(0x50, SAY);
	set_gpr(RSP, DEVICE + 8);
	touches(EXIT_MMIO_WRITE, DEVICE, 8, false, 1);
	goes_on();
	GUEST(0xe8, 0x00, 0x00, 0x00, 0x00, SAY); /* call */
	set_gpr(RSP, DEVICE + 8);
	touches(EXIT_MMIO_WRITE, DEVICE, 8, false, 5);
	goes_on();
	GUEST(0x8f, 0x03, SAY); /* pop [rbx] */
	touches(EXIT_MMIO_WRITE, DEVICE, 8, false, 2);
	goes_on();
	GUEST(0xff, 0x33, SAY); /* push [rbx] */
	touches(EXIT_MMIO_READ, DEVICE, 8, false, 2);
	goes_on();
	GUEST(0xc8, 0x10, 0x00, 0x00, SAY); /* enter */
	set_gpr(RSP, DEVICE + 8);
	touches(EXIT_MMIO_WRITE, DEVICE, 8, false, 4);
	goes_on();
}

static void strings(void **state)
{
	GUEST(0xa5, SAY); /* movsd, from a device to a device */
	set_gpr(RSI, DEVICE);
	set_gpr(RDI, DEVICE + 0x100);
	touches(EXIT_MMIO_READ, DEVICE, 4, false, 1);
	goes_on();
	GUEST(0xf3, 0xa4, SAY); /* rep movsb, from RAM */
	set_gpr(RSI, DATA);
	set_gpr(RDI, DEVICE + 0x100);
	set_gpr(RCX, 3);
	touches(EXIT_MMIO_WRITE, DEVICE + 0x100, 1, false, 2);
	goes_on();
}

/* Elements before the border are done, and it is the first one behind it that is asked for, again and again. */
static void string_over_the_border(void **state)
{
	static const u8 forty[0x40] = {[0 ... 0x3f] = 0x44};

	GUEST(0xf3, 0xab, SAY); /* rep stosd */
	set_gpr(RAX, 0x44444444);
	set_gpr(RDI, RAM_BYTES - 0x40);
	set_gpr(RCX, 0x20);
	for (unsigned i = 0; i < 3; i++) {
		const struct exit *x = run_to(w.v, EXIT_MMIO_WRITE);

		assert_int_equal(x->mmio.gpa, RAM_BYTES);
		assert_int_equal(x->mmio.gva, RAM_BYTES);
		assert_int_equal(x->mmio.len, 4);
		assert_int_equal(gpr_of(w.v, RDI), RAM_BYTES);
		assert_int_equal(gpr_of(w.v, RCX), 0x10);
		assert_int_equal(rip_of(w.v), CODE);
		insn_is(2);
	}
	assert_memory_equal(w.ram + RAM_BYTES - 0x40, forty, 0x40);
	goes_on();
}

/* Of an access that is RAM in part it is the other part that is told, and the RAM has not changed. */
static void access_over_the_border(void **state)
{
	GUEST(0x48, 0x89, 0x0b, SAY);
	set_gpr(RBX, RAM_BYTES - 3);
	touches(EXIT_MMIO_WRITE, RAM_BYTES, 5, false, 3);
	assert_memory_equal(vcpu_exit(w.v)->mmio.data, "\x22\x22\x22\x22\x22", 5);
	assert_memory_equal(w.ram + RAM_BYTES - 3, "\0\0", 3);
	goes_on();
	GUEST(0x48, 0x8b, 0x0b, SAY);
	set_gpr(RBX, RAM_BYTES - 3);
	touches(EXIT_MMIO_READ, RAM_BYTES, 5, false, 3);
	goes_on();
}

/* ---- what the engine serves ---- */

static u64 take(int fd)
{
	u64 n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : 0;
}

static void ioeventfds(void **state)
{
	struct ioeventfd_config c = {.addr = DEVICE + 8,
		.len = 4,
		.fd = eventfd(0, EFD_NONBLOCK),
		.has_match = true,
		.match = 0x22222222};

	assert_int_equal(ioeventfd_assign(w.m, &c), 0);
	GUEST(0x89, 0x4b, 0x08, 0x89, 0x4b, 0x08, SAY); /* mov [rbx + 8], ecx, twice */
	says();
	assert_int_equal(take(c.fd), 2);
	GUEST(0x89, 0x43, 0x08, SAY); /* another value */
	touches(EXIT_MMIO_WRITE, DEVICE + 8, 4, false, 3);
	goes_on();
	GUEST(0x66, 0x89, 0x4b, 0x08, SAY); /* another length */
	touches(EXIT_MMIO_WRITE, DEVICE + 8, 2, false, 4);
	goes_on();
	GUEST(0x8b, 0x4b, 0x08, SAY); /* a read */
	touches(EXIT_MMIO_READ, DEVICE + 8, 4, false, 3);
	goes_on();
	/* The first of these is served, and says nothing about the second. */
	GUEST(0x89, 0x4b, 0x08, 0x89, 0x43, 0x08, SAY);
	set_rip(CODE + 3);
	touches(EXIT_MMIO_WRITE, DEVICE + 8, 4, false, 3);
	set_rip(CODE);
	assert_int_equal(run_to(w.v, EXIT_MMIO_WRITE)->mmio.gpa, DEVICE + 8);
	assert_int_equal(rip_of(w.v), CODE + 3);
	goes_on();
	assert_int_equal(take(c.fd), 1);
	assert_int_equal(ioeventfd_deassign(w.m, &c), 0);
	close(c.fd);
}

static void local_apic(void **state)
{
	struct vcpu_state s;

	GUEST(0xc7, 0x03, 0x50, 0x00, 0x00, 0x00, /* mov dword [rbx], 50h */
		0x83, 0x03, 0x10,                 /* add dword [rbx], 10h */
		0x8b, 0x0b, SAY);
	set_gpr(RBX, APIC + 0x80);
	says();
	assert_int_equal(gpr_of(w.v, RCX), 0x60);
	/* From it to a device: the read is done inside, the write leaves, and both are done anew. */
	GUEST(0xa5, SAY);
	set_gpr(RSI, APIC + 0x80);
	set_gpr(RDI, DEVICE);
	touches(EXIT_MMIO_WRITE, DEVICE, 4, false, 1);
	assert_int_equal(vcpu_exit(w.v)->mmio.data[0], 0x60);
	vcpu_get(w.v, ST_SREGS, &s);
	s.cr8 = 3;
	assert_int_equal(vcpu_set(w.v, ST_SREGS, &s), 0);
	touches(EXIT_MMIO_WRITE, DEVICE, 4, false, 1);
	assert_int_equal(vcpu_exit(w.v)->mmio.data[0], 0x30);
	goes_on();
}

/* In x2APIC mode, or disabled, its page is like any other. */
static void local_apic_unmapped(void **state)
{
	struct vcpu_state s;

	for (unsigned x2 = 0; x2 < 2; x2++) {
		GUEST(0x8b, 0x03, SAY);
		vcpu_get(w.v, ST_SREGS, &s);
		s.apic_base = APIC | (x2 ? 0xd00 : 0x100);
		assert_int_equal(vcpu_set(w.v, ST_SREGS, &s), 0);
		set_gpr(RBX, APIC + 0x80);
		touches(EXIT_MMIO_READ, APIC + 0x80, 4, false, 2);
		goes_on();
	}
}

/* EOI of a level-triggered interrupt, by MMIO: told once it has completed, and of an edge-triggered one not. */
static void eoi(void **state)
{
	static const u8 code[] = {0xc7, 0x43, 0x70, 0xff, 0x01, 0x00, 0x00, /* enable it */
		0xfb, 0x90, SAY};
	static const u8 handler[] = {0xc7, 0x43, 0x30, 0x00, 0x00, 0x00, 0x00, 0x48, 0xcf};

	gate(0x41, HANDLER);
	world_put(&w, HANDLER, handler, sizeof(handler));
	world_put(&w, CODE, code, sizeof(code));
	for (unsigned level = 0; level < 2; level++) {
		struct msi msi = {.address = 0xfee00000, .data = 0x41 | level << 15 | level << 14};

		start_at(CODE);
		set_gpr(RBX, APIC + 0x80);
		if (level == 0) { /* enabled, from now on */
			says();
			start_at(CODE);
			set_gpr(RBX, APIC + 0x80);
		}
		assert_true(irq_msi(w.m, &msi) > 0);
		if (level) {
			assert_int_equal(run_to(w.v, EXIT_IOAPIC_EOI)->vector, 0x41);
			assert_int_equal(rip_of(w.v), HANDLER + 7);
			no_insn();
		}
		says();
	}
}

static void msrs(void **state)
{
	assert_int_equal(machine_set_msr_exits(w.m, MSR_WHY_UNKNOWN), 0);
	GUEST(0x0f, 0x32, 0x0f, 0x32, SAY);
	set_gpr(RCX, 0x12345678);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(leaves(EXIT_RDMSR)->msr.index, 0x12345678);
		insn_is(2);
	}
	set_rip(CODE + 2);
	leaves(EXIT_RDMSR);
	goes_on();
}

static void halt_and_shutdown(void **state)
{
	GUEST(0x0f, 0x0b);
	set_idt(w.v, IDT_AT, 0);
	run_to(w.v, EXIT_SHUTDOWN);
	no_insn();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_WAYS(ports),
		BOTH_WAYS(string_ports),
		BOTH_WAYS(shadow_stays),
		BOTH_WAYS(going_on_is_cheap),
		BOTH_WAYS(interrupt_flag_by_vmm),
		BOTH_WAYS(moves),
		BOTH_WAYS(nothing_is_answered),
		BOTH_WAYS(read_modify_write),
		BOTH_WAYS(read_only_slot),
		BOTH_WAYS(vector_state),
		BOTH_WAYS(stacks),
		BOTH_WAYS(strings),
		BOTH_WAYS(string_over_the_border),
		BOTH_WAYS(access_over_the_border),
		BOTH_WAYS(ioeventfds),
		BOTH_WAYS(local_apic),
		BOTH_WAYS(local_apic_unmapped),
		BOTH_WAYS(eoi),
		BOTH_WAYS(msrs),
		BOTH_WAYS(halt_and_shutdown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
