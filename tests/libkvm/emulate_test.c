/* SPDX-License-Identifier: MIT */
/*
 * Instructions with device operands, in code of 16, 32 and 64 bits: the same bytes and registers on this engine and on
 * the soft one must leave the same registers, flags, memory and accesses to the device. Operands lie on the device, in
 * memory, and across the border between them.
 */
#include <stdlib.h>
#include <string.h>

#include "vm.h"
#include "x86/regs.h"

#define DEVICE 0xa0000u
#define TABLES 0x10000 /* page tables of 64-bit mode */
#define STACK  0x8000
#define DATA   0x9fc0 /* memory that strings come from and go to */

/* ---- two machines in one mode ---- */

struct pair {
	struct vm vm[2]; /* this engine, and the soft one */
	unsigned mode;   /* 2, 4, 8 */
};

static struct kvm_segment flat(unsigned mode, bool code)
{
	return (struct kvm_segment){
		.limit = 0xffffffff,
		.selector = code ? 8 : 16,
		.type = code ? 11 : 3,
		.s = 1,
		.present = 1,
		.g = 1,
		.db = !code || mode == 4,
		.l = code && mode == 8,
	};
}

/* The first 2 MiB, where they are. */
static void identity_map(u8 *mem)
{
	const u64 entries[3] = {TABLES + 0x1003, TABLES + 0x2003, 0x83};

	memset(mem + TABLES, 0, 3 * PAGE_SIZE);
	for (unsigned i = 0; i < ARRAY_SIZE(entries); i++)
		memcpy(mem + TABLES + i * PAGE_SIZE, &entries[i], sizeof(entries[i]));
}

static void protect(struct vm *vm, unsigned mode)
{
	const struct kvm_segment data = flat(mode, false);
	struct kvm_sregs s;

	assert_int_equal(kvm_get_sregs(vm->kvm, 0, &s), 0);
	s.cs = flat(mode, true);
	s.ds = s.es = s.ss = s.fs = s.gs = data;
	s.cr0 |= CR0_PE;
	if (mode == 8) {
		identity_map(vm->mem);
		s.cr0 |= CR0_PG;
		s.cr3 = TABLES;
		s.cr4 |= CR4_PAE;
		s.efer = EFER_LME | EFER_LMA;
	}
	assert_int_equal(kvm_set_sregs(vm->kvm, 0, &s), 0);
}

/* Real mode reaches the device by its segments. */
static void set_segments(struct vm *vm)
{
	struct kvm_sregs s;

	assert_int_equal(kvm_get_sregs(vm->kvm, 0, &s), 0);
	s.cs.base = s.cs.selector = 0;
	s.ds.base = s.es.base = DEVICE - 0x8000;
	assert_int_equal(kvm_set_sregs(vm->kvm, 0, &s), 0);
}

static void pair_create(struct pair *p, unsigned mode)
{
	const char *mine = vm_engine;

	p->mode = mode;
	for (unsigned i = 0; i < 2; i++) {
		vm_engine = i ? "soft" : mine;
		vm_create(&p->vm[i], MEM);
		if (mode == 2)
			set_segments(&p->vm[i]);
		else
			protect(&p->vm[i], mode);
	}
	vm_engine = mine;
}

static void pair_destroy(struct pair *p)
{
	vm_destroy(&p->vm[0]);
	vm_destroy(&p->vm[1]);
}

/* ---- one instruction on both ---- */

struct sample {
	u8 bytes[16];
	unsigned size;
	struct kvm_regs regs;
	u64 device; /* what the device gives */
};

static int run_sample(struct vm *vm, const struct sample *s, struct kvm_regs *ret)
{
	struct kvm_regs regs = s->regs;
	int r;

	memcpy(vm->mem + CODE, s->bytes, s->size);
	vm->mem[CODE + s->size] = 0xf4;
	for (unsigned i = 0; i < 0x80; i++)
		vm->mem[DATA + i] = (u8)(i * 37);
	memset(vm->mem + STACK - 64, 0x5a, 128);
	memset(vm->mem + DEVICE - 64, 0x5a, 64);
	vm->in_value = s->device;
	vm_forget(vm);
	assert_int_equal(kvm_set_regs(vm->kvm, 0, &regs), 0);
	r = vm_run(vm);
	assert_int_equal(kvm_get_regs(vm->kvm, 0, ret), 0);
	return r;
}

static void tell(const struct pair *p, const struct sample *s, const struct kvm_regs regs[2])
{
	for (unsigned i = 0; i < s->size; i++)
		print_error("%02x ", s->bytes[i]);
	print_error("in %u-byte code\n", p->mode);
	for (unsigned i = 0; i < 2; i++)
		print_error("%s: rip %llx flags %llx rax %llx rcx %llx rdx %llx rbx %llx rsp %llx "
			    "rsi %llx rdi %llx %s\n",
			i ? "soft" : vm_engine, regs[i].rip, regs[i].rflags, regs[i].rax,
			regs[i].rcx, regs[i].rdx, regs[i].rbx, regs[i].rsp, regs[i].rsi,
			regs[i].rdi, p->vm[i].trace);
	fail();
}

static void compare(struct pair *p, const struct sample *s)
{
	struct kvm_regs regs[2];
	const int r = run_sample(&p->vm[0], s, &regs[0]);
	u8 *a = p->vm[0].mem, *b = p->vm[1].mem;

	if (run_sample(&p->vm[1], s, &regs[1]) != 7)
		fail_msg("the sample itself does not run");
	if (r != 7 || memcmp(&regs[0], &regs[1], sizeof(regs[0])) ||
		strcmp(p->vm[0].trace, p->vm[1].trace) || memcmp(a + DATA, b + DATA, 0x80) ||
		memcmp(a + STACK - 64, b + STACK - 64, 128) ||
		memcmp(a + DEVICE - 64, b + DEVICE - 64, 64))
		tell(p, s, regs);
}

/* ---- which instructions ---- */

#define ANY 0xff /* modrm.reg is any register */
struct form {
	u8 bytes[2], n;
	u8 reg; /* modrm.reg, or ANY */
	u8 imm; /* 1, or WIDE */
	bool narrow;
};
#define WIDE 9

static const struct form forms[] = {
	{{0x00}, 1, ANY, 0, true},
	{{0x01}, 1, ANY, 0, false},
	{{0x0a}, 1, ANY, 0, true},
	{{0x11}, 1, ANY, 0, false},
	{{0x1b}, 1, ANY, 0, false},
	{{0x21}, 1, ANY, 0, false},
	{{0x2b}, 1, ANY, 0, false},
	{{0x31}, 1, ANY, 0, false},
	{{0x39}, 1, ANY, 0, false},
	{{0x3b}, 1, ANY, 0, false},
	{{0x80}, 1, 1, 1, true},
	{{0x81}, 1, 4, WIDE, false},
	{{0x83}, 1, 5, 1, false},
	{{0x84}, 1, ANY, 0, true},
	{{0x85}, 1, ANY, 0, false},
	{{0x87}, 1, ANY, 0, false},
	{{0x88}, 1, ANY, 0, true},
	{{0x89}, 1, ANY, 0, false},
	{{0x8a}, 1, ANY, 0, true},
	{{0x8b}, 1, ANY, 0, false},
	{{0x8c}, 1, 3, 0, false},
	{{0x8f}, 1, 0, 0, false},
	{{0xc6}, 1, 0, 1, true},
	{{0xc7}, 1, 0, WIDE, false},
	{{0xf6}, 1, 3, 0, true},
	{{0xf7}, 1, 2, 0, false},
	{{0xf7}, 1, 0, WIDE, false},
	{{0xff}, 1, 0, 0, false},
	{{0xff}, 1, 1, 0, false},
	{{0xff}, 1, 6, 0, false},
	{{0x0f, 0x4c}, 2, ANY, 0, false},
	{{0x0f, 0x95}, 2, 0, 0, true},
	{{0x0f, 0xa3}, 2, ANY, 0, false},
	{{0x0f, 0xab}, 2, ANY, 0, false},
	{{0x0f, 0xba}, 2, 7, 1, false},
	{{0x0f, 0xb1}, 2, ANY, 0, false},
	{{0x0f, 0xb6}, 2, ANY, 0, false},
	{{0x0f, 0xbf}, 2, ANY, 0, false},
	{{0x0f, 0xc1}, 2, ANY, 0, false},
};

static u64 any(void)
{
	const u64 v = (u64)mrand48() << 32 ^ (u64)mrand48();

	return mrand48() & 1 ? v : v & 0xff;
}

static unsigned below(unsigned n)
{
	return (unsigned)lrand48() % n;
}

/* Where an operand may be: within the device, or with its first bytes still in memory. */
static u64 place(const struct pair *p)
{
	const u64 at = (mrand48() & 1 ? 0x100 : 0) + below(16) - 8;

	return p->mode == 2 ? 0x8000 + at : DEVICE + at;
}

static struct sample any_state(const struct pair *p)
{
	return (struct sample){
		.device = any(),
		.regs = {.rax = any(),
			.rcx = any(),
			.rdx = any(),
			.rbx = place(p),
			.rsi = any(),
			.rdi = any(),
			.rbp = any(),
			.rsp = STACK,
			.rip = CODE,
			.rflags = (any() & FL_STATUS) | FL_FIXED},
	};
}

/* Registers that may be operands: not the stack pointer, and not the one that leads to the operand. */
static u8 any_reg(void)
{
	static const u8 regs[] = {RAX, RCX, RDX, RBP, RSI, RDI};

	return regs[below(ARRAY_SIZE(regs))];
}

static void add(struct sample *s, u8 byte)
{
	s->bytes[s->size++] = byte;
}

/* 16-bit code has BX as its base, or EBX with a prefix; the operand's size changes with one as well. */
static void any_form(const struct pair *p, struct sample *s)
{
	const struct form *f = &forms[below(ARRAY_SIZE(forms))];
	const bool other = !f->narrow && mrand48() & 1, base32 = p->mode == 2 && mrand48() & 1;
	const bool quad = p->mode == 8 && !other && !f->narrow && mrand48() & 1;
	const unsigned imm = f->imm == WIDE ? ((p->mode == 2) != other ? 2 : 4) : f->imm;
	const u8 reg = f->reg == ANY ? any_reg() : f->reg;

	if (other)
		add(s, 0x66);
	if (base32)
		add(s, 0x67);
	if (quad)
		add(s, 0x48);
	for (unsigned i = 0; i < f->n; i++)
		add(s, f->bytes[i]);
	add(s, (u8)(reg << 3 | (p->mode == 2 && !base32 ? 7 : 3)));
	for (unsigned i = 0; i < imm; i++)
		add(s, (u8)any());
	/* A bit's number leads away from the operand, but not far. */
	if (f->bytes[0] == 0x0f && (f->bytes[1] == 0xa3 || f->bytes[1] == 0xab))
		s->regs.rax = s->regs.rcx = s->regs.rdx = s->regs.rbp = s->regs.rsi = s->regs.rdi =
			below(64);
}

static void any_string(const struct pair *p, struct sample *s)
{
	static const u8 opcodes[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
	static const u8 reps[] = {0, 0xf3, 0xf2};
	const u8 rep = reps[below(3)];
	const bool from_device = mrand48() & 1;

	if (rep)
		add(s, rep);
	if (mrand48() & 1)
		add(s, 0x66);
	else if (p->mode == 8 && mrand48() & 1)
		add(s, 0x48);
	add(s, opcodes[below(ARRAY_SIZE(opcodes))]);
	s->regs.rcx = below(5);
	s->regs.rflags |= mrand48() & 1 ? FL_DF : 0;
	s->regs.rsi = s->regs.rdi = place(p);
	if (p->mode == 2)
		return;
	if (from_device)
		s->regs.rdi = DATA + 0x40;
	else
		s->regs.rsi = DATA + 0x40;
}

/* Ports, with memory or a device at the other end... of which the latter cannot be. */
static void any_port(const struct pair *p, struct sample *s)
{
	static const u8 opcodes[] = {0x6c, 0x6d, 0x6e, 0x6f, 0xec, 0xed, 0xee, 0xef};
	const u8 opcode = opcodes[below(ARRAY_SIZE(opcodes))];

	if (opcode < 0x70 && mrand48() & 1)
		add(s, 0xf3);
	if (mrand48() & 1)
		add(s, 0x66);
	add(s, opcode);
	s->regs.rcx = below(5);
	s->regs.rdx = 0x55;
	s->regs.rflags |= mrand48() & 1 ? FL_DF : 0;
	s->regs.rsi = s->regs.rdi = p->mode == 2 ? 0x8000 - 0x20 : DATA + 0x40;
}

/* ---- the tests ---- */

static void compare_many(unsigned mode, void (*make)(const struct pair *p, struct sample *s))
{
	static struct pair p;

	pair_create(&p, mode);
	srand48(mode);
	for (unsigned i = 0; i < 3000; i++) {
		struct sample s = any_state(&p);

		make(&p, &s);
		compare(&p, &s);
	}
	pair_destroy(&p);
}

/* The emulator of another KVM leaves undefined flags in other states, and cannot do all of these. */
static bool can_compare(void)
{
	return strcmp(vm_engine, "kernel") != 0;
}

static void operands(void **state)
{
	if (!can_compare())
		vm_skip(NULL, "only our own emulators are compared");
	compare_many(2, any_form);
	compare_many(4, any_form);
	compare_many(8, any_form);
}

static void strings(void **state)
{
	if (!can_compare())
		vm_skip(NULL, "only our own emulators are compared");
	compare_many(2, any_string);
	compare_many(4, any_string);
	compare_many(8, any_string);
}

static void ports(void **state)
{
	if (!can_compare())
		vm_skip(NULL, "only our own emulators are compared");
	compare_many(2, any_port);
	compare_many(4, any_port);
	compare_many(8, any_port);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(operands),
		cmocka_unit_test(strings),
		cmocka_unit_test(ports),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
