/* SPDX-License-Identifier: MIT */
/*
 * OPT_INTERCEPTS: what the engine does not serve leaves in front of the instruction, and nothing has happened. Each guest is 64-bit
 * code under tables that map everything to itself, and runs twice: by step() only, and translated.
 */
#include "tests/unit/world/world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "engine/core/stat.h"
#include "engine/core/vcpu.h"
#include "engine/core/xsave.h"
#include "engine/irqchip.h"

#define PML4     0x10000
#define PDPT     0x11000
#define GDT_AT   0x12000
#define IDT_AT   0x13000
#define HANDLER  0x14000
#define RAM      0x20000
#define DEVICE   0x50000u /* in no slot */
#define APIC     0xfee00000u
#define APIC_TPR (APIC + 0x80)

static struct world w;
static bool step_only;

static int setup(void)
{
	static const u64 gdt[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff};
	u64 pml4 = PDPT | 7;

	world_open(&w, IRQCHIP_SPLIT);
	machine_set_option(w.m, OPT_INTERCEPTS, 1);
	world_give_cpuid(w.v);
	w.v->cpu.step_only = step_only;
	world_put(&w, PML4, &pml4, sizeof(pml4));
	for (u64 i = 0; i < 4; i++)
		world_put(&w, PDPT + 8 * (u32)i, &(u64){i << 30 | 0x87}, 8);
	world_put(&w, GDT_AT, gdt, sizeof(gdt));
	return 0;
}

static int setup_step(void **state)
{
	step_only = true;
	return setup();
}

static int setup_translate(void **state)
{
	step_only = false;
	return setup();
}

static int teardown(void **state)
{
	world_close(&w);
	return 0;
}

#define BOTH_WAYS(test)                                                                            \
	{#test " step", test, setup_step, teardown, NULL},                                         \
	{                                                                                          \
#test " translate", test, setup_translate, teardown, NULL                          \
	}

/* ---- a guest ---- */

static void start_at(u64 rip)
{
	struct vcpu_state s;

	vcpu_get(w.v, ST_REGS | ST_SREGS | ST_XSAVE | ST_XCR, &s);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s.seg[i] = (struct segment){.limit = ~0u, .attr = 0xc093, .selector = 0x10};
	s.seg[SEG_CS].attr = 0xa09b;
	s.seg[SEG_CS].selector = 8;
	s.gdt = (struct dtable){.base = GDT_AT, .limit = 0x17};
	s.idt = (struct dtable){.base = IDT_AT, .limit = 0xfff};
	s.cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET;
	s.cr3 = PML4;
	s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXSAVE;
	s.efer = EFER_LME | EFER_LMA;
	s.xcr0 = 7;
	for (unsigned i = 0; i < GPR_COUNT; i++)
		s.gpr[i] = 0x1111111111111111ull * (i + 1);
	s.gpr[RSP] = STACK;
	s.gpr[RBX] = DEVICE;
	s.rip = rip;
	s.rflags = FL_FIXED | FL_CF | FL_ZF;
	assert_int_equal(vcpu_set(w.v, ST_REGS | ST_SREGS | ST_XSAVE | ST_XCR, &s), 0);
}

#define GUEST(...)                                                                                 \
	do {                                                                                       \
		WORLD_PUT(&w, CODE, __VA_ARGS__);                                                  \
		start_at(CODE);                                                                    \
	} while (0)

static void set_gpr(unsigned reg, u64 value)
{
	struct vcpu_state s;

	vcpu_get(w.v, ST_REGS, &s);
	s.gpr[reg] = value;
	assert_int_equal(vcpu_set(w.v, ST_REGS, &s), 0);
}

static void set_rip(u64 rip)
{
	struct vcpu_state s;

	vcpu_get(w.v, ST_REGS, &s);
	s.rip = rip;
	assert_int_equal(vcpu_set(w.v, ST_REGS, &s), 0);
}

#define ALL (ST_REGS | ST_SREGS | ST_XSAVE | ST_XCR | ST_DEBUG | ST_EVENT)
static struct vcpu_state before;

/* The guest leaves in front of its first instruction: the whole state is as it was. */
static const struct exit *leaves(u32 reason)
{
	struct vcpu_state after;
	const struct exit *x;

	memset(&before, 0, sizeof(before));
	memset(&after, 0, sizeof(after));
	vcpu_get(w.v, ALL, &before);
	x = run_to(w.v, reason);
	vcpu_get(w.v, ALL, &after);
	assert_memory_equal(before.gpr, after.gpr, sizeof(before.gpr));
	/* Flags that the instruction overwrites whole may have gone already. */
	if (!step_only && !((before.rflags ^ after.rflags) & ~(u64)FL_STATUS))
		after.rflags = before.rflags;
	assert_int_equal(before.rflags, after.rflags);
	assert_int_equal(before.rip, after.rip);
	/* What is not in use may be shown in either way. */
	((struct fpu_image *)before.xsave)->xstate_bv =
		((struct fpu_image *)after.xsave)->xstate_bv = 0;
	assert_memory_equal(&before, &after, sizeof(before));
	return x;
}

static void insn_is(unsigned len)
{
	const struct exit_insn *in = vcpu_exit_insn(w.v);
	static const u8 zero[16];

	assert_int_equal(in->len, len);
	assert_true(in->count >= len && in->count <= 16);
	assert_memory_equal(in->bytes, w.ram + rip_of(w.v), in->count);
	assert_memory_equal(in->bytes + in->count, zero, 16u - in->count);
}

static void no_insn(void)
{
	assert_int_equal(vcpu_exit_insn(w.v)->len, 0);
	assert_int_equal(vcpu_exit_insn(w.v)->count, 0);
}

/* On this part of device memory; again, because rip stays. */
static void touches(u32 reason, u64 gpa, unsigned len, bool rmw, unsigned insn_len)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct exit *x = leaves(reason);

		assert_int_equal(x->mmio.gpa, gpa);
		assert_int_equal(x->mmio.len, len);
		assert_true(x->mmio.gva_valid);
		assert_int_equal(x->mmio.gva, gpa);
		assert_int_equal(x->mmio.rmw, rmw);
		assert_false(x->mmio.walk);
		insn_is(insn_len);
	}
}

/* Past it, to an OUT that says that the guest has come so far. */
static void goes_on(void)
{
	set_rip(rip_of(w.v) + vcpu_exit_insn(w.v)->len);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x99);
}
#define SAY 0xe6, 0x99

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
	set_gpr(RDI, RAM + 0xffc);
	set_gpr(RCX, 600);
	port_is(EXIT_IO_IN, 0x1f0, 2, true, true, 3);
	goes_on();
	GUEST(0x6e, SAY);
	set_gpr(RSI, RAM);
	set_gpr(RDX, 0xe9);
	port_is(EXIT_IO_OUT, 0xe9, 1, true, false, 1);
	goes_on();
	GUEST(0xf3, 0x6f, 0xf3, 0x6d, SAY); /* nothing to do */
	set_gpr(RCX, 0);
	set_gpr(RSI, DEVICE);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x99);
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

/* ---- device memory ---- */

static void moves(void **state)
{
	GUEST(0x8b, 0x43, 0x12, SAY); /* mov eax, [rbx + 12h] */
	touches(EXIT_MMIO_READ, DEVICE + 0x12, 4, false, 3);
	goes_on();
	GUEST(0x48, 0x89, 0x0b, SAY); /* mov [rbx], rcx */
	touches(EXIT_MMIO_WRITE, DEVICE, 8, false, 3);
	assert_int_equal(*(u64 *)vcpu_exit(w.v)->mmio.data, gpr_of(w.v, RCX));
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
	struct memslot_config c = {.id = 1,
		.flags = SLOT_READONLY,
		.gpa = DEVICE,
		.size = 0x1000,
		.hva = (u64)w.ram + RAM};

	assert_int_equal(machine_set_memslot(w.m, &c), 0);
	*(u32 *)(w.ram + RAM) = 0x7fffffff;
	GUEST(0x81, 0x03, 0x01, 0x00, 0x00, 0x00, SAY); /* add dword [rbx], 1 */
	touches(EXIT_MMIO_WRITE, DEVICE, 4, true, 6);
	assert_int_equal(*(u32 *)vcpu_exit(w.v)->mmio.data, 0x80000000);
	goes_on();
	GUEST(0xf0, 0x0f, 0xc1, 0x0b, SAY); /* lock xadd [rbx], ecx */
	touches(EXIT_MMIO_WRITE, DEVICE, 4, true, 4);
	goes_on();
	GUEST(0x8b, 0x03, SAY);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x99);
	assert_int_equal((u32)gpr_of(w.v, RAX), 0x7fffffff);
}

/* What computes the value to be stored changes more than the general registers. */
static void vector_state(void **state)
{
	static const struct {
		u8 bytes[8];
		u8 len, size;
		u32 reason;
		bool rmw;
	} cases[] = {
		{{0xdd, 0x1b}, 2, 8, EXIT_MMIO_WRITE, false},            /* fstp qword [rbx] */
		{{0xdf, 0x3b}, 2, 8, EXIT_MMIO_WRITE, false},            /* fistp qword [rbx] */
		{{0x0f, 0x7f, 0x0b}, 3, 8, EXIT_MMIO_WRITE, false},      /* movq [rbx], mm1 */
		{{0x0f, 0x29, 0x0b}, 3, 8, EXIT_MMIO_WRITE, false},      /* movaps [rbx], xmm1 */
		{{0x0f, 0xae, 0x03}, 3, 8, EXIT_MMIO_WRITE, false},      /* fxsave */
		{{0xd9, 0x33}, 2, 8, EXIT_MMIO_WRITE, false},            /* fnstenv */
		{{0xdd, 0x33}, 2, 8, EXIT_MMIO_WRITE, false},            /* fnsave */
		{{0xf3, 0x0f, 0x58, 0x03}, 4, 4, EXIT_MMIO_READ, false}, /* addss xmm0, [rbx] */
	};
	struct memslot_config c = {.id = 1,
		.flags = SLOT_READONLY,
		.gpa = DEVICE,
		.size = 0x1000,
		.hva = (u64)w.ram + RAM};

	assert_int_equal(machine_set_memslot(w.m, &c), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct fpu_image *f = (struct fpu_image *)before.xsave;

		if (cases[i].reason == EXIT_MMIO_READ) {
			c.size = 0;
			assert_int_equal(machine_set_memslot(w.m, &c), 0);
		}
		start_at(CODE);
		memset(w.ram + CODE, 0x90, 16);
		world_put(&w, CODE, cases[i].bytes, cases[i].len);
		WORLD_PUT(&w, CODE + 8, SAY);
		vcpu_get(w.v, ST_XSAVE, &before);
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
		assert_int_equal(vcpu_set(w.v, ST_XSAVE, &before), 0);
		touches(cases[i].reason, DEVICE, cases[i].size, cases[i].rmw, cases[i].len);
		goes_on();
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
	set_gpr(RSI, RAM);
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
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x99);
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
	GUEST(0xc7, 0x03, 0x50, 0x00, 0x00, 0x00, /* mov dword [rbx], 50h */
		0x83, 0x03, 0x10,                 /* add dword [rbx], 10h */
		0x8b, 0x0b, SAY);
	set_gpr(RBX, APIC_TPR);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x99);
	assert_int_equal(gpr_of(w.v, RCX), 0x60);
	/* From it to a device: the read is done inside, the write leaves, and both are done anew. */
	GUEST(0xa5, SAY);
	set_gpr(RSI, APIC_TPR);
	set_gpr(RDI, DEVICE);
	touches(EXIT_MMIO_WRITE, DEVICE, 4, false, 1);
	assert_int_equal(vcpu_exit(w.v)->mmio.data[0], 0x60);
	goes_on();
}

static void gate(u8 vector, u64 handler)
{
	u64 low = (handler & 0xffff) | 8 << 16 | 0x8e00ull << 32 | (handler >> 16 & 0xffff) << 48;

	world_put(&w, IDT_AT + vector * 16u, &low, 8);
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
			assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x99);
			start_at(CODE);
			set_gpr(RBX, APIC + 0x80);
		}
		assert_true(irq_msi(w.m, &msi) > 0);
		if (level) {
			assert_int_equal(run_to(w.v, EXIT_IOAPIC_EOI)->vector, 0x41);
			assert_int_equal(rip_of(w.v), HANDLER + 7);
			no_insn();
		}
		assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x99);
	}
}

/* ---- events, tables and code that are not in RAM ---- */

/* The stack of an interrupt's frame: there is no instruction to be done, and the exit comes again. */
static void delivery(void **state)
{
	GUEST(0x0f, 0x0b); /* #UD */
	gate(X86_UD, HANDLER);
	WORLD_PUT(&w, HANDLER, SAY);
	set_gpr(RSP, DEVICE + 0x100);
	for (unsigned i = 0; i < 3; i++) {
		const struct exit *x = run_to(w.v, EXIT_MMIO_WRITE);

		assert_int_equal(x->mmio.gpa, DEVICE + 0x100 - 40);
		assert_int_equal(rip_of(w.v), CODE);
		no_insn();
	}
	set_gpr(RSP, STACK);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x99);
	assert_int_equal(rip_of(w.v), HANDLER);
}

static void tables(void **state)
{
	u64 to_device = DEVICE | 7;
	u64 gva = 0x8000000000 + 0x40000000ull * 5 + 0x123;

	world_put(&w, PML4 + 8, &to_device, 8);
	GUEST(0x8a, 0x03, SAY);
	set_gpr(RBX, gva);
	for (unsigned i = 0; i < 2; i++) {
		const struct exit *x = leaves(EXIT_MMIO_READ);

		assert_true(x->mmio.walk && x->mmio.gva_valid);
		assert_int_equal(x->mmio.gpa, DEVICE + 5 * 8);
		assert_int_equal(x->mmio.gva, gva);
		assert_int_equal(x->mmio.len, 8);
		insn_is(2);
	}
	goes_on();
	/* Of the local APIC's page no table is read. */
	to_device = APIC | 7;
	world_put(&w, PML4 + 8, &to_device, 8);
	start_at(CODE);
	set_gpr(RBX, gva);
	assert_int_equal(leaves(EXIT_MMIO_READ)->mmio.gpa, APIC + 5 * 8);
}

static void fetches(void **state)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct exit *x;

		start_at(DEVICE + 0x123);
		x = leaves(EXIT_MMIO_FETCH);
		assert_int_equal(x->mmio.gpa, DEVICE + 0x123);
		assert_int_equal(x->mmio.gva, DEVICE + 0x123);
		assert_true(x->mmio.gva_valid);
		no_insn();
	}
	/* One that begins in RAM: what there is of it is shown. */
	WORLD_PUT(&w, RAM_BYTES - 2, 0xb8, 0x01);
	start_at(RAM_BYTES - 2);
	assert_int_equal(leaves(EXIT_MMIO_FETCH)->mmio.gpa, RAM_BYTES);
	assert_int_equal(vcpu_exit_insn(w.v)->len, 0);
	assert_int_equal(vcpu_exit_insn(w.v)->count, 2);
	assert_memory_equal(vcpu_exit_insn(w.v)->bytes, "\xb8\x01", 2);
	/* One that ends there is done. */
	WORLD_PUT(&w, RAM_BYTES - 2, 0x0c, 0x80);
	start_at(RAM_BYTES - 2);
	assert_int_equal(run_to(w.v, EXIT_MMIO_FETCH)->mmio.gpa, RAM_BYTES);
	assert_int_equal(gpr_of(w.v, RAX) & 0xff, 0x91);
	/* At the end of RAM, an instruction that waits for an answer of a device of the engine. */
	WORLD_PUT(&w, RAM_BYTES - 2, 0x8b, 0x0b);
	start_at(RAM_BYTES - 2);
	set_gpr(RBX, APIC + 0x30);
	assert_int_equal(run_to(w.v, EXIT_MMIO_FETCH)->mmio.gpa, RAM_BYTES);
	assert_int_equal(gpr_of(w.v, RCX) & 0xf0, 0x10);
}

static void put_slot(u32 flags, u64 size)
{
	struct memslot_config c = {
		.id = 1, .flags = flags, .gpa = DEVICE, .size = size, .hva = (u64)w.ram + RAM};

	assert_int_equal(machine_set_memslot(w.m, &c), 0);
}

/* Data as ever, and no code, also if it was some before. */
static void no_execute(void **state)
{
	static const u8 code[] = {0xff, 0xc0, 0xff, 0xc0, SAY}; /* inc eax, twice */

	put_slot(0, 0x2000);
	world_put(&w, RAM, code, sizeof(code));
	start_at(DEVICE);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x99);
	put_slot(0, 0);
	put_slot(SLOT_NOEXEC, 0x2000);
	for (unsigned i = 0; i < 2; i++) {
		start_at(DEVICE + i * 2);
		assert_int_equal(leaves(EXIT_MMIO_FETCH)->mmio.gpa, DEVICE + i * 2);
		assert_int_equal(vcpu_exit(w.v)->mmio.gva, DEVICE + i * 2);
		no_insn();
	}
	GUEST(0x48, 0x83, 0x03, 0x01, SAY); /* add qword [rbx], 1 */
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x99);
	assert_int_equal(w.ram[RAM], 0x00); /* ff and 1 */
	put_slot(0, 0);
	put_slot(0, 0x2000);
	world_put(&w, RAM, code, sizeof(code));
	start_at(DEVICE);
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, 0x99);
}

/* An instruction that begins in code and ends where there is none, after one that does not. */
static void into_no_execute(void **state)
{
	struct memslot_config c = {.id = 2, .gpa = DEVICE - 0x1000, .size = 0x1000};

	put_slot(SLOT_NOEXEC, 0x2000);
	c.hva = (u64)w.ram + RAM + 0x8000;
	assert_int_equal(machine_set_memslot(w.m, &c), 0);
	WORLD_PUT(&w, RAM + 0x8ffb, 0xff, 0xc0, 0x48, 0xc7, 0xc1); /* inc eax; mov rcx, */
	start_at(DEVICE - 3);
	assert_int_equal(leaves(EXIT_MMIO_FETCH)->mmio.gpa, DEVICE);
	assert_int_equal(vcpu_exit_insn(w.v)->count, 3);
	assert_memory_equal(vcpu_exit_insn(w.v)->bytes, "\x48\xc7\xc1", 3);
	start_at(DEVICE - 5);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(run_to(w.v, EXIT_MMIO_FETCH)->mmio.gpa, DEVICE);
		assert_int_equal(rip_of(w.v), DEVICE - 3);
		assert_int_equal(gpr_of(w.v, RAX) & 0xff, 0x12);
	}
}

/* ---- the memory map changes while the guest runs ---- */

static _Atomic bool ends;

static void *change_slots(void *unused)
{
	for (unsigned i = 0; !atomic_load(&ends); i++) {
		static const u32 flags[] = {0, SLOT_READONLY, SLOT_NOEXEC};

		put_slot(flags[i % 3], 0x1000);
		put_slot(0, 0);
	}
	return NULL;
}

/* The VMM does the store where it finds it: none is lost and none done twice. */
static void do_store(u64 *target, u64 *count)
{
	const struct exit *x = vcpu_exit(w.v);
	u64 value;

	memcpy(&value, x->mmio.data, 8);
	assert_int_equal(x->reason, EXIT_MMIO_WRITE);
	assert_int_equal(x->mmio.gpa, DEVICE);
	assert_int_equal(rip_of(w.v), CODE + 3);
	assert_int_equal(value, gpr_of(w.v, RCX));
	assert_true(value == *target + 1);
	*target = *count = value;
	set_rip(CODE + 6);
}

static void slots_change(void **state)
{
	u64 count = 0, *target = (u64 *)(w.ram + RAM);
	pthread_t t;

	/* inc rcx; mov [rbx], rcx; cmp rcx, [RAM]; jne to the out; jmp to the start */
	GUEST(0x48, 0xff, 0xc1, 0x48, 0x89, 0x0b, 0x48, 0x3b, 0x0c, 0x25, 0x00, 0x00, 0x02, 0x00,
		0x75, 0x02, 0xeb, 0xee, SAY);
	set_gpr(RCX, 0);
	atomic_store(&ends, false);
	assert_int_equal(pthread_create(&t, NULL, change_slots, NULL), 0);
	for (unsigned i = 0; i < 300; i++) {
		assert_int_equal(vcpu_run(w.v, 0), 0);
		do_store(target, &count);
	}
	atomic_store(&ends, true);
	pthread_join(t, NULL);
	assert_true(count >= 300);
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
		BOTH_WAYS(eoi),
		BOTH_WAYS(delivery),
		BOTH_WAYS(tables),
		BOTH_WAYS(fetches),
		BOTH_WAYS(no_execute),
		BOTH_WAYS(into_no_execute),
		BOTH_WAYS(slots_change),
		BOTH_WAYS(msrs),
		BOTH_WAYS(halt_and_shutdown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
