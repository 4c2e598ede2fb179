/* SPDX-License-Identifier: MIT */
/*
 * The emulator of libkvm's driver for the Microsoft hypervisor against this processor. An instruction whose operand is at
 * rbx (or at rsi and rdi) runs here on plain memory, and is emulated with the same bytes as a device, or half of it as
 * one. Registers, flags and memory must be the same, and the device must have been accessed as the operand says.
 *
 * What this processor cannot show (16- and 32-bit code, faults) is compared with numbers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

#include "libkvm/mshv/emulate.h"

#define FLAGS  (FL_STATUS | FL_DF)
#define BUFFER 64 /* bytes around the operand */
#define MIDDLE 32

/* Memory of the guest: two buffers. What lies behind `plain` is memory, and behind the other a device. */
struct world {
	u8 device[BUFFER], plain[BUFFER];
	u64 reads, writes; /* bytes that the device was asked for */
};

struct native {
	u64 rax, rcx, rdx, rbx, rsi, rdi, rflags;
};

static u8 *code;

/* ---- this processor ---- */

__attribute__((noinline)) static void run_native(struct native *n, const u8 *bytes, size_t size)
{
	u64 flags = n->rflags;

	memcpy(code, bytes, size);
	code[size] = 0xc3;
	/* The red zone of this function stays whole. */
	__asm__ volatile("leaq -256(%%rsp), %%rsp\n"
			 "pushq %[flags]\npopfq\n"
			 "call *%[code]\n"
			 "pushfq\npopq %[flags]\ncld\n"
			 "leaq 256(%%rsp), %%rsp"
			 : "+a"(n->rax), "+c"(n->rcx), "+d"(n->rdx), "+b"(n->rbx), "+S"(n->rsi),
			 "+D"(n->rdi), [flags] "+r"(flags)
			 : [code] "r"(code)
			 : "memory", "cc");
	n->rflags = flags;
}

/* ---- the emulator ---- */

static enum emu_result find(
	void *opaque, u64 gva, bool write, struct emu_place *ret, struct emu_fault *ret_fault)
{
	struct world *w = opaque;
	u8 *at = (u8 *)gva; /* NOLINT: identity */

	ret->gpa = gva;
	ret->host = at >= w->plain && at < w->plain + BUFFER ? at : NULL;
	if (ret->host || (at >= w->device && at < w->device + BUFFER))
		return EMU_DONE;
	*ret_fault = (struct emu_fault){X86_PF, true, write ? PF_W : 0, gva};
	return EMU_FAULT;
}

static bool copy(u8 *host, void *own, size_t n, bool to_host)
{
	memcpy(to_host ? host : own, to_host ? own : host, n);
	return true;
}

static void take_writes(struct emu *e, struct world *w)
{
	for (unsigned i = 0; i < e->n_writes; i++) {
		memcpy((u8 *)e->writes[i].gpa, &e->writes[i].value, e->writes[i].len); /* NOLINT */
		w->writes += e->writes[i].len;
	}
}

/* One call of emulate(), with all questions answered. */
static enum emu_result run_once(struct emu *e, struct world *w)
{
	enum emu_result r;

	e->n_reads = 0;
	while ((r = emulate(e)) == EMU_READ) {
		struct emu_piece *p = &e->reads[e->n_reads++];

		*p = e->need;
		p->value = 0xa5a5a5a5a5a5a5a5; /* more than was asked for must not be taken */
		memcpy(&p->value, (u8 *)p->gpa, p->len); /* NOLINT */
		w->reads += p->len;
	}
	if (r == EMU_DONE)
		take_writes(e, w);
	return r;
}

static void begin(struct emu *e, struct world *w, const u8 *bytes, size_t size, u8 mode)
{
	memset(e, 0, sizeof(*e));
	e->mode = mode;
	e->find = find;
	e->copy = copy;
	e->opaque = w;
	memcpy(e->bytes, bytes, size);
	e->n_bytes = (u8)size;
	e->regs.rip = 0x1000;
	e->address_bits = 48;
	for (unsigned i = 0; i < 6; i++)
		e->segment[i] = (struct hv_segment){
			.limit = 0xffffffff, .attr = SEG_P | SEG_S | SEG_DB | SEG_G | 3};
}

static void load(struct emu *e, const struct native *n)
{
	e->regs.gpr[RAX] = n->rax;
	e->regs.gpr[RCX] = n->rcx;
	e->regs.gpr[RDX] = n->rdx;
	e->regs.gpr[RBX] = n->rbx;
	e->regs.gpr[RSI] = n->rsi;
	e->regs.gpr[RDI] = n->rdi;
	e->regs.rflags = n->rflags;
}

/* ---- comparing ---- */

static void say(const char *what, const u8 *bytes, size_t size)
{
	print_error("%s:", what);
	for (size_t i = 0; i < size; i++)
		print_error(" %02x", bytes[i]);
	print_error("\n");
}

static bool same(const struct emu *e, const struct native *n, u64 undefined)
{
	return e->regs.gpr[RAX] == n->rax && e->regs.gpr[RCX] == n->rcx &&
	       e->regs.gpr[RDX] == n->rdx && e->regs.gpr[RBX] == n->rbx &&
	       e->regs.gpr[RSI] == n->rsi && e->regs.gpr[RDI] == n->rdi &&
	       !((e->regs.rflags ^ n->rflags) & FLAGS & ~undefined);
}

static u64 any(void)
{
	static const u64 edges[] = {0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000,
		0xffffffff, 0x7fffffffffffffff, 0x8000000000000000, ~0ull};
	u64 random = (u64)mrand48() << 32 ^ (u64)mrand48();

	return mrand48() & 1 ? random : edges[(u64)lrand48() % ARRAY_SIZE(edges)];
}

static void fill(struct world *w)
{
	for (unsigned i = 0; i < BUFFER; i += 8) {
		const u64 a = any(), b = any();

		memcpy(w->device + i, &a, 8);
		memcpy(w->plain + i, &b, 8);
	}
	w->reads = w->writes = 0;
}

/* Both ways from the same beginning: strings to their end. */
static void compare(const u8 *bytes, size_t size, struct native start, struct world *w)
{
	static struct emu e;
	struct world before = *w, after;
	struct native n = start;
	enum emu_result r;

	run_native(&n, bytes, size);
	after = *w;
	*w = before;
	begin(&e, w, bytes, size, 8);
	load(&e, &start);
	do
		r = run_once(&e, w);
	while (r == EMU_DONE && e.again);
	if (r != EMU_DONE || !same(&e, &n, 0) || memcmp(w->device, after.device, BUFFER) ||
		memcmp(w->plain, after.plain, BUFFER) || e.regs.rip != 0x1000 + size) {
		say("differs", bytes, size);
		print_error("result %d, flags %lx and natively %lx, rax %lx %lx rdx %lx %lx\n", r,
			e.regs.rflags, n.rflags, e.regs.gpr[RAX], n.rax, e.regs.gpr[RDX], n.rdx);
		fail();
	}
}

/* ---- instructions with one operand at rbx ---- */

struct form {
	const char *name;
	u8 bytes[4]; /* the opcode, from 0F on if it has that */
	u8 n;
	u8 modrm; /* with rbx as base; register dl, dx, edx, rdx, or a group's number */
	u8 imm;   /* bytes of an immediate; Z: 2 or 4 by operand size */
	bool bytes_only;
};
#define Z           9
#define AT_RBX(reg) (3 | (reg) << 3)
#define GROUP(name, opcode, number, imm)                                                           \
	{                                                                                          \
		name, {opcode}, 1, AT_RBX(number), imm, !((opcode)&1)                              \
	}
#define BOTH_WIDTHS(name, opcode, imm)                                                             \
	{name, {opcode}, 1, AT_RBX(RDX), imm, true},                                               \
	{                                                                                          \
		name, {(opcode) + 1}, 1, AT_RBX(RDX), (imm), false                                 \
	}
#define ARITHMETIC(name, n)                                                                        \
	BOTH_WIDTHS(name, 8 * (n), 0), BOTH_WIDTHS(name, 8 * (n) + 2, 0), GROUP(name, 0x80, n, 1), \
		GROUP(name, 0x81, n, Z),                                                           \
	{                                                                                          \
		name, {0x83}, 1, AT_RBX(n), 1, false                                               \
	}
#define LONG(name, opcode, reg, imm, narrow)                                                       \
	{                                                                                          \
		name, {0x0f, opcode}, 2, AT_RBX(reg), imm, narrow                                  \
	}
#define CONDITION(cc) LONG("cmov", 0x40 + (cc), RDX, 0, false), LONG("set", 0x90 + (cc), 0, 0, true)

static const struct form forms[] = {
	ARITHMETIC("add", 0),
	ARITHMETIC("or", 1),
	ARITHMETIC("adc", 2),
	ARITHMETIC("sbb", 3),
	ARITHMETIC("and", 4),
	ARITHMETIC("sub", 5),
	ARITHMETIC("xor", 6),
	ARITHMETIC("cmp", 7),
	BOTH_WIDTHS("test", 0x84, 0),
	BOTH_WIDTHS("xchg", 0x86, 0),
	BOTH_WIDTHS("mov", 0x88, 0),
	BOTH_WIDTHS("mov", 0x8a, 0),
	GROUP("mov", 0xc6, 0, 1),
	GROUP("mov", 0xc7, 0, Z),
	GROUP("test", 0xf6, 0, 1),
	GROUP("test", 0xf7, 0, Z),
	GROUP("not", 0xf6, 2, 0),
	GROUP("not", 0xf7, 2, 0),
	GROUP("neg", 0xf6, 3, 0),
	GROUP("neg", 0xf7, 3, 0),
	GROUP("inc", 0xfe, 0, 0),
	GROUP("inc", 0xff, 0, 0),
	GROUP("dec", 0xfe, 1, 0),
	GROUP("dec", 0xff, 1, 0),
	LONG("movzx", 0xb6, RDX, 0, false),
	LONG("movzx", 0xb7, RDX, 0, false),
	LONG("movsx", 0xbe, RDX, 0, false),
	LONG("movsx", 0xbf, RDX, 0, false),
	LONG("cmpxchg", 0xb0, RDX, 0, true),
	LONG("cmpxchg", 0xb1, RDX, 0, false),
	LONG("xadd", 0xc0, RDX, 0, true),
	LONG("xadd", 0xc1, RDX, 0, false),
	LONG("bt", 0xba, 4, 1, false),
	LONG("bts", 0xba, 5, 1, false),
	LONG("btr", 0xba, 6, 1, false),
	LONG("btc", 0xba, 7, 1, false),
	CONDITION(0),
	CONDITION(1),
	CONDITION(2),
	CONDITION(3),
	CONDITION(4),
	CONDITION(5),
	CONDITION(6),
	CONDITION(7),
	CONDITION(8),
	CONDITION(9),
	CONDITION(10),
	CONDITION(11),
	CONDITION(12),
	CONDITION(13),
	CONDITION(14),
	CONDITION(15),
};

/* Prefixes for operands of 2, 4 and 8 bytes. */
static const u8 width_prefix[] = {0x66, 0, 0x48};

static size_t assemble(u8 *to, const struct form *f, u8 prefix)
{
	size_t n = 0, imm = f->imm == Z ? (prefix == 0x66 ? 2u : 4u) : f->imm;
	const u64 value = any();

	if (prefix)
		to[n++] = prefix;
	memcpy(to + n, f->bytes, f->n);
	n += f->n;
	to[n++] = f->modrm;
	memcpy(to + n, &value, imm);
	return n + imm;
}

static struct native any_start(struct world *w)
{
	const struct native n = {
		.rax = any(),
		.rcx = any(),
		.rdx = any(),
		.rbx = (u64)(w->device + MIDDLE),
		.rsi = any(),
		.rdi = any(),
		.rflags = (any() & FL_STATUS) | FL_FIXED | FL_IF,
	};

	return n;
}

static void compare_form(const struct form *f, u8 prefix)
{
	static struct world w;
	u8 bytes[16];

	for (unsigned i = 0; i < 200; i++) {
		struct native start = any_start(&w);
		const size_t size = assemble(bytes, f, prefix);

		fill(&w);
		if (i % 4 == 0) /* so that a comparison with it finds the same */
			memcpy(w.device + MIDDLE, &start.rax, sizeof(start.rax));
		compare(bytes, size, start, &w);
	}
}

static void one_operand(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
		const size_t widths = forms[i].bytes_only ? 1 : ARRAY_SIZE(width_prefix);

		for (size_t p = 0; p < widths; p++)
			compare_form(&forms[i], forms[i].bytes_only ? 0 : width_prefix[p]);
	}
}

/* dh: without REX, the register of number 6; with one it would be sil. */
static void high_bytes(void **state)
{
	static const u8 store[] = {0x88, 0x33}, load_it[] = {0x8a, 0x33},
			low[] = {0x40, 0x88, 0x33};
	static struct world w;

	for (unsigned i = 0; i < 100; i++) {
		struct native start = any_start(&w);

		fill(&w);
		compare(store, sizeof(store), start, &w);
		compare(load_it, sizeof(load_it), start, &w);
		compare(low, sizeof(low), start, &w);
	}
}

/* A bit's number in a register reaches beyond the operand, in both directions. */
static void bits_beyond(void **state)
{
	static const u8 opcodes[] = {0xa3, 0xab, 0xb3, 0xbb};
	static struct world w;

	for (unsigned i = 0; i < 2000; i++) {
		const u8 prefix = width_prefix[i % 3];
		const u8 bytes[] = {prefix ? prefix : 0x3e, 0x0f, opcodes[i % 4], AT_RBX(RDX)};
		struct native start = any_start(&w);

		fill(&w);
		start.rdx = (u64)(lrand48() % 384 - 192);
		if (prefix != 0x48) /* only the operand's width counts */
			start.rdx = prefix ? (start.rdx & 0xffff) | any() << 16
					   : (start.rdx & 0xffffffff) | any() << 32;
		compare(bytes, sizeof(bytes), start, &w);
	}
}

/* ---- strings ---- */

static void compare_string(u8 opcode, u8 prefix, u8 rep)
{
	static struct world w;
	u8 bytes[4];
	size_t n = 0;
	struct native start = any_start(&w);
	const bool from_device = mrand48() & 1;

	fill(&w);
	if (rep)
		bytes[n++] = rep;
	if (prefix)
		bytes[n++] = prefix;
	bytes[n++] = opcode;
	start.rflags |= mrand48() & 1 ? FL_DF : 0;
	start.rcx = (u64)(lrand48() % 4);
	start.rsi = (u64)((from_device ? w.device : w.plain) + MIDDLE);
	start.rdi = (u64)((from_device ? w.plain : w.device) + MIDDLE);
	if (mrand48() & 1) /* else comparisons end at once */
		memcpy(w.plain, w.device, BUFFER);
	compare(bytes, n, start, &w);
}

static void strings(void **state)
{
	static const u8 opcodes[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};
	static const u8 reps[] = {0, 0xf3, 0xf2};

	for (unsigned i = 0; i < 20000; i++)
		compare_string(opcodes[i % 10], width_prefix[(u64)lrand48() % 3],
			reps[(u64)lrand48() % 3]);
}

/* ---- the stack, absolute addresses, other modes: with numbers ---- */

struct machine_code {
	u8 bytes[12];
	u8 n;
};
#define CODE(...) ((struct machine_code){{__VA_ARGS__}, sizeof((u8[]){__VA_ARGS__})})

static enum emu_result go(struct emu *e, struct world *w, struct machine_code c, u8 mode)
{
	const struct emu_regs regs = e->regs;

	begin(e, w, c.bytes, c.n, mode);
	e->regs = regs;
	e->regs.rip = 0x1000;
	return run_once(e, w);
}

static void stack(void **state)
{
	static struct world w;
	struct emu e = {.regs.rip = 0};
	u64 value;

	fill(&w);
	e.regs.gpr[RBX] = (u64)(w.device + MIDDLE);
	e.regs.gpr[RSP] = (u64)(w.plain + MIDDLE);
	assert_int_equal(go(&e, &w, CODE(0xff, 0x33), 8), EMU_DONE); /* push (%rbx) */
	assert_true(e.regs.gpr[RSP] == (u64)(w.plain + MIDDLE - 8));
	assert_memory_equal(w.plain + MIDDLE - 8, w.device + MIDDLE, 8);
	value = 0x1122334455667788;
	memcpy(w.plain + MIDDLE - 8, &value, 8);
	assert_int_equal(go(&e, &w, CODE(0x8f, 0x03), 8), EMU_DONE); /* pop (%rbx) */
	assert_true(e.regs.gpr[RSP] == (u64)(w.plain + MIDDLE));
	assert_memory_equal(w.device + MIDDLE, &value, 8);
	/* A stack on a device. */
	e.regs.gpr[RSP] = (u64)(w.device + MIDDLE);
	assert_int_equal(go(&e, &w, CODE(0x6a, 0xfe), 8), EMU_DONE); /* push $-2 */
	value = (u64)-2;
	assert_memory_equal(w.device + MIDDLE - 8, &value, 8);
	assert_int_equal(go(&e, &w, CODE(0x59), 8), EMU_DONE); /* pop %rcx */
	assert_true(e.regs.gpr[RCX] == (u64)-2);
	assert_true(e.regs.gpr[RSP] == (u64)(w.device + MIDDLE));
	/* pop to where the new stack pointer points */
	value = 0x99;
	memcpy(w.device + MIDDLE, &value, 8);
	assert_int_equal(go(&e, &w, CODE(0x8f, 0x04, 0x24), 8), EMU_DONE); /* pop (%rsp) */
	assert_memory_equal(w.device + MIDDLE + 8, &value, 8);
}

/* What begins in the last bytes of a page continues in another, and each part is one access. */
static u8 page_of[2][PAGE_SIZE];

static enum emu_result find_pages(
	void *opaque, u64 gva, bool write, struct emu_place *ret, struct emu_fault *ret_fault)
{
	const u64 page = gva / PAGE_SIZE;

	if (page > 2) {
		*ret_fault = (struct emu_fault){X86_PF, true, write ? PF_W : 0, gva};
		return EMU_FAULT;
	}
	/* Page 0 is memory, page 1 a device; page 2 is page 0 again. */
	ret->gpa = gva;
	ret->host = page == 1 ? NULL : page_of[0] + gva % PAGE_SIZE;
	return EMU_DONE;
}

static enum emu_result go_paged(struct emu *e, struct machine_code c, u8 mode, u64 at)
{
	begin(e, NULL, c.bytes, c.n, mode);
	e->find = find_pages;
	e->regs.gpr[RBX] = at;
	e->regs.gpr[RDX] = 0x8877665544332211;
	e->n_reads = 0;
	return emulate(e);
}

static void across_pages(void **state)
{
	const struct machine_code load_it = CODE(0x48, 0x8b, 0x13), store = CODE(0x48, 0x89, 0x13);
	static struct emu e;

	memset(page_of, 0x5a, sizeof(page_of));
	/* Memory, then the device. */
	assert_int_equal(go_paged(&e, load_it, 8, PAGE_SIZE - 3), EMU_READ);
	assert_int_equal(e.need.gpa, PAGE_SIZE);
	assert_int_equal(e.need.len, 5);
	e.need.value = 0x1122334455667788;
	e.reads[e.n_reads++] = e.need;
	assert_int_equal(emulate(&e), EMU_DONE);
	assert_true(e.regs.gpr[RDX] == 0x44556677885a5a5a);
	assert_int_equal(go_paged(&e, store, 8, PAGE_SIZE - 3), EMU_DONE);
	assert_int_equal(e.n_writes, 1);
	assert_int_equal(e.writes[0].gpa, PAGE_SIZE);
	assert_int_equal(e.writes[0].len, 5);
	assert_true(e.writes[0].value == 0x8877665544);
	assert_memory_equal(page_of[0] + PAGE_SIZE - 3, "\x11\x22\x33", 3);
	/* The device, then memory. */
	assert_int_equal(go_paged(&e, load_it, 8, 2 * PAGE_SIZE - 2), EMU_READ);
	assert_int_equal(e.need.len, 2);
}

/* A page that is not there: nothing was done, not even to the part that is there. */
static void faults(void **state)
{
	static struct emu e;

	memset(page_of, 0x5a, sizeof(page_of));
	assert_int_equal(go_paged(&e, CODE(0x48, 0x89, 0x13), 8, 3 * PAGE_SIZE - 4), EMU_FAULT);
	assert_int_equal(e.fault.vector, X86_PF);
	assert_int_equal(e.fault.error, PF_W);
	assert_true(e.fault.address == 3 * PAGE_SIZE);
	assert_int_equal(page_of[0][PAGE_SIZE - 4], 0x5a);
	assert_int_equal(e.regs.rip, 0x1000);
	/* Not canonical; by way of the stack it is another exception. */
	assert_int_equal(go_paged(&e, CODE(0x8b, 0x13), 8, 1ull << 47), EMU_FAULT);
	assert_int_equal(e.fault.vector, X86_GP);
	assert_int_equal(go_paged(&e, CODE(0x36, 0x8b, 0x13), 4, 0x10000), EMU_FAULT);
	assert_int_equal(e.fault.vector, X86_PF);
	begin(&e, NULL, (const u8[]){0x8b, 0x13}, 2, 4); /* mov (%ebx), %edx */
	e.find = find_pages;
	e.segment[SEG_DS].limit = 0x1002;
	e.regs.gpr[RBX] = 0x1000;
	assert_int_equal(emulate(&e), EMU_FAULT);
	assert_int_equal(e.fault.vector, X86_GP);
	e.segment[SEG_DS].limit = 0x1003;
	assert_int_equal(emulate(&e), EMU_READ);
	e.segment[SEG_DS].attr = SEG_P | SEG_S | 1; /* read-only data */
	e.bytes[0] = 0x89;
	assert_int_equal(emulate(&e), EMU_FAULT);
}

/* Memory that the program has taken away is no exception for the guest. */
static bool cannot_copy(u8 *host, void *own, size_t n, bool to_host)
{
	return false;
}

static void memory_lost(void **state)
{
	static struct emu e;

	begin(&e, NULL, (const u8[]){0x8b, 0x13}, 2, 8); /* mov (%rbx), %edx */
	e.find = find_pages;
	e.copy = cannot_copy;
	e.regs.gpr[RBX] = 0x10;
	assert_int_equal(emulate(&e), EMU_LOST);
	e.bytes[0] = 0x89;
	assert_int_equal(emulate(&e), EMU_LOST);
	assert_int_equal(e.regs.rip, 0x1000);
}

/* 16-bit code: segments have bases, addresses and rip wrap around. */
static void real_mode(void **state)
{
	static const u8 bytes[] = {0x26, 0x89, 0x57, 0x04}; /* mov %dx, %es:4(%bx) */
	static struct emu e;

	begin(&e, NULL, bytes, sizeof(bytes), 2);
	e.find = find_pages;
	e.real = true;
	e.segment[SEG_ES] = (struct hv_segment){.base = 0x1000, .limit = 0xffff};
	e.regs.gpr[RBX] = 0xaaaa0010;
	e.regs.gpr[RDX] = 0x12345678;
	e.regs.rip = 0xfffe;
	assert_int_equal(emulate(&e), EMU_DONE);
	assert_int_equal(e.n_writes, 1);
	assert_int_equal(e.writes[0].gpa, 0x1014);
	assert_int_equal(e.writes[0].len, 2);
	assert_int_equal(e.writes[0].value, 0x5678);
	assert_int_equal(e.regs.rip, 2);
	/* stosb at the end of the segment: di wraps, the upper half of edi stays. */
	begin(&e, NULL, (const u8[]){0xaa}, 1, 2);
	e.find = find_pages;
	e.real = true;
	e.segment[SEG_ES] = (struct hv_segment){.base = 0xfffff000u - 0xe000, .limit = 0xffff};
	e.segment[SEG_ES].base = 0x1000 - 0xf000 + 0x100000000;
	e.regs.gpr[RDI] = 0x7777ffff;
	assert_int_equal(emulate(&e), EMU_DONE);
	assert_int_equal(e.writes[0].gpa, 0x1fff);
	assert_int_equal(e.regs.gpr[RDI], 0x77770000);
}

/* mov between al, ax, eax, rax and an absolute address. */
static void absolute(void **state)
{
	static const u8 bytes[] = {0x48, 0xa3, 0x08, 0x10, 0, 0, 0, 0, 0, 0};
	static struct emu e;

	begin(&e, NULL, bytes, sizeof(bytes), 8);
	e.find = find_pages;
	e.regs.gpr[RAX] = 0x1122334455667788;
	assert_int_equal(emulate(&e), EMU_DONE);
	assert_int_equal(e.writes[0].gpa, 0x1008);
	assert_true(e.writes[0].value == 0x1122334455667788);
	assert_int_equal(e.regs.rip, 0x100a);
	e.bytes[1] = 0xa1;
	assert_int_equal(emulate(&e), EMU_READ);
	e.need.value = 5;
	e.reads[e.n_reads++] = e.need;
	assert_int_equal(emulate(&e), EMU_DONE);
	assert_int_equal(e.regs.gpr[RAX], 5);
}

/* Others are refused before anything is done. */
static void unknown(void **state)
{
	static const struct machine_code codes[] = {
		{{0xf7, 0x23}, 2},             /* mul (%rbx) */
		{{0xff, 0x23}, 2},             /* jmp *(%rbx) */
		{{0xd1, 0x23}, 2},             /* shl (%rbx) */
		{{0x0f, 0x6f, 0x03}, 3},       /* movq (%rbx), %mm0 */
		{{0xc5, 0xf8, 0x28, 0x03}, 4}, /* vmovaps (%rbx), %xmm0 */
		{{0x0f, 0x0b}, 2},             /* ud2 */
		{{0x48}, 1},                   /* its end is not known */
	};
	static struct world w;
	struct emu e = {.regs.rip = 0};

	e.regs.gpr[RBX] = (u64)(w.device + MIDDLE);
	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		fill(&w);
		assert_int_equal(go(&e, &w, codes[i], 8), EMU_UNKNOWN);
		assert_int_equal(w.reads + w.writes, 0);
		assert_int_equal(e.regs.rip, 0x1000);
	}
}

static int make_code(void **state)
{
	code = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	srand48(1);
	return code == MAP_FAILED ? -1 : 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_operand),
		cmocka_unit_test(high_bytes),
		cmocka_unit_test(bits_beyond),
		cmocka_unit_test(strings),
		cmocka_unit_test(stack),
		cmocka_unit_test(across_pages),
		cmocka_unit_test(faults),
		cmocka_unit_test(memory_lost),
		cmocka_unit_test(real_mode),
		cmocka_unit_test(absolute),
		cmocka_unit_test(unknown),
	};

	return cmocka_run_group_tests(tests, make_code, NULL);
}
