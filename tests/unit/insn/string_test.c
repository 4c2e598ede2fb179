/* SPDX-License-Identifier: MIT */
/* String instructions against an element-by-element model, and what stops them half-way. */
#include <signal.h>
#include <sys/mman.h>
#include <ucontext.h>

#include "engine/host/hostmem.h"
#include "tests/unit/world/insns.h"
#include "engine/insn/step.h"

#define RIP 0x1000

/* ---- model: one element at a time, as the SDM's pseudocode ---- */

struct model {
	u8 mem[WORLD_SIZE];
	u64 rax, rcx, rsi, rdi, flags;
};
static struct model m;

static u64 model_load(u64 at, unsigned size)
{
	u64 v = 0;

	memcpy(&v, m.mem + at, size);
	return v;
}

static u64 merge(u64 old, u64 v, unsigned size)
{
	return size == 8 ? v : size == 4 ? (u32)v : (old & (~0ull << size * 8)) | v;
}

/* Status flags of a - b. */
static u64 model_compare(u64 a, u64 b, unsigned size)
{
	u64 sign = 1ull << (size * 8 - 1), mask = sign | (sign - 1), d = (a - b) & mask;

	a &= mask;
	b &= mask;
	return (a < b ? FL_CF : 0) | (d == 0 ? FL_ZF : 0) | (d & sign ? FL_SF : 0) |
	       ((a ^ b) & (a ^ d) & sign ? FL_OF : 0) | ((a ^ b ^ d) & 16 ? FL_AF : 0) |
	       (!__builtin_parity(d & 0xff) ? FL_PF : 0);
}

enum kind { K_MOVS, K_CMPS, K_STOS, K_LODS, K_SCAS, K_COUNT };
static const u8 opcodes[K_COUNT] = {0xa4, 0xa6, 0xaa, 0xac, 0xae};

/* One iteration; true if the repetition ends by its condition. */
static bool model_element(enum kind kind, unsigned size, bool down, bool ne)
{
	u64 step = down ? -(u64)size : size;
	bool compares = kind == K_CMPS || kind == K_SCAS;

	switch (kind) {
	case K_MOVS: memmove(m.mem + m.rdi, m.mem + m.rsi, size); break;
	case K_STOS: memcpy(m.mem + m.rdi, &m.rax, size); break;
	case K_LODS: m.rax = merge(m.rax, model_load(m.rsi, size), size); break;
	case K_CMPS:
		m.flags = model_compare(model_load(m.rsi, size), model_load(m.rdi, size), size);
		break;
	default: m.flags = model_compare(m.rax, model_load(m.rdi, size), size); break;
	}
	if (kind == K_MOVS || kind == K_CMPS || kind == K_LODS)
		m.rsi += step;
	if (kind != K_LODS)
		m.rdi += step;
	return compares && ne == (bool)(m.flags & FL_ZF);
}

static void model_run(enum kind kind, unsigned size, bool down, u8 prefix)
{
	if (!prefix) {
		model_element(kind, size, down, false);
		return;
	}
	while (m.rcx) {
		m.rcx--;
		if (model_element(kind, size, down, prefix == 0xf2))
			return;
	}
}

static unsigned encode(u8 *b, enum kind kind, unsigned size, u8 prefix)
{
	unsigned n = 0;

	if (size == 2)
		b[n++] = 0x66;
	if (prefix)
		b[n++] = prefix;
	if (size == 8)
		b[n++] = 0x48;
	b[n++] = opcodes[kind] + (size > 1);
	return n;
}

static void copy_world_to_model(void)
{
	memcpy(m.mem, w.mem, WORLD_SIZE);
	m.rax = w.cpu->gpr[RAX];
	m.rcx = w.cpu->gpr[RCX];
	m.rsi = w.cpu->gpr[RSI];
	m.rdi = w.cpu->gpr[RDI];
	m.flags = w.cpu->rflags & FL_STATUS;
}

static void assert_as_model(void)
{
	assert_int_equal(w.cpu->gpr[RAX], m.rax);
	assert_int_equal(w.cpu->gpr[RCX], m.rcx);
	assert_int_equal(w.cpu->gpr[RSI], m.rsi);
	assert_int_equal(w.cpu->gpr[RDI], m.rdi);
	assert_int_equal(w.cpu->rflags & FL_STATUS, m.flags);
	assert_memory_equal(w.mem + DATA - 0x4000, m.mem + DATA - 0x4000, 0x10000);
}

static void run_case(enum kind kind, unsigned size, bool down, u8 prefix, u64 from, u64 to, u64 n)
{
	u8 b[4];
	unsigned len = encode(b, kind, size, prefix);

	w.cpu->gpr[RSI] = from;
	w.cpu->gpr[RDI] = to;
	w.cpu->gpr[RCX] = n;
	w.cpu->rflags = FL_FIXED | FL_CF | FL_OF | (down ? FL_DF : 0);
	w.cpu->rip = RIP;
	copy_world_to_model();
	model_run(kind, size, down, prefix);
	assert_int_equal(exec_bytes(b, len), CPU_OK);
	assert_int_equal(w.cpu->rip, RIP + len);
	assert_as_model();
}

static u64 seed = 1;
static u64 rnd(u64 n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (seed >> 33) % n;
}

/* Few different byte values, so that comparisons go on for a while. */
static void fill(unsigned values)
{
	for (unsigned i = 0; i < 0x8000; i++)
		w.mem[DATA + i] = (u8)(0x80 + rnd(values));
}

/* All instructions, sizes, directions and prefixes; starts near page ends; overlaps both ways. */
static void all_forms_agree_with_model(void **state)
{
	static const u8 prefixes[] = {0, 0xf3, 0xf2};

	start_long(0);
	for (unsigned i = 0; i < 3000; i++) {
		enum kind kind = i % K_COUNT;
		unsigned size = 1u << rnd(4);
		u64 from = DATA + 0x3000 + rnd(0x2000), to = from + rnd(2) * 64 - 32;
		if (rnd(2))
			to = DATA + 0x3ff0 + rnd(32);
		fill(rnd(4) ? 1 : 2);
		if (rnd(3) == 0)
			w.mem[DATA + 0x3000 + rnd(0x2000)] = 7;
		w.cpu->gpr[RAX] = rnd(2) ? 0x8080808080808080 : rnd(~0ull);
		run_case(kind, size, rnd(2), prefixes[rnd(3)], from, to,
			rnd(3) ? rnd(40) : rnd(1000));
	}
}

/* The same where the destination has no host address and everything goes one by one. */
static void pages_without_host_address(void **state)
{
	for (unsigned i = 0; i < 40; i++) {
		bool down = i & 1;
		unsigned size = 1u << (i / 2 & 3);
		start_long(0);
		for (unsigned k = 0; k < 0x1000; k++)
			w.mem[DATA + k] = (u8)rnd(256);
		w.cpu->gpr[RSI] = DATA + 0x100;
		w.cpu->gpr[RDI] = NOHOST + 0x100;
		w.cpu->gpr[RCX] = 20;
		w.cpu->rflags |= down ? FL_DF : 0;
		copy_world_to_model();
		model_run(K_MOVS, size, down, 0xf3);
		u8 b[4];
		assert_int_equal(exec_bytes(b, encode(b, K_MOVS, size, 0xf3)), CPU_OK);
		assert_as_model();
	}
}

/* The elements before the faulting one are done, the registers are at it, and rip too. */
static void fault_in_the_middle(void **state)
{
	start_long(0);
	memset(w.mem + DATA, 0x5a, 64);
	w.cpu->gpr[RSI] = DATA;
	w.cpu->gpr[RDI] = BAD - 24;
	w.cpu->gpr[RCX] = 8;
	assert_fault(EXEC(0xf3, 0x48, 0xa5), X86_PF, PF_W);
	assert_int_equal(w.cpu->exc.cr2, BAD);
	assert_int_equal(w.cpu->gpr[RCX], 5);
	assert_int_equal(w.cpu->gpr[RDI], BAD);
	assert_int_equal(w.cpu->gpr[RSI], DATA + 24);
	assert_int_equal(w.cpu->rip, RIP);
	assert_int_equal(peek(BAD - 8, 8), 0x5a5a5a5a5a5a5a5a);

	/* an element that straddles into the bad page: nothing of it is written */
	w.cpu->gpr[RDI] = BAD - 12;
	w.cpu->gpr[RCX] = 4;
	poke(BAD - 4, 0, 4);
	assert_fault(EXEC(0xf3, 0x48, 0xab), X86_PF, PF_W);
	assert_int_equal(w.cpu->exc.cr2, BAD);
	assert_int_equal(w.cpu->gpr[RDI], BAD - 4);
	assert_int_equal(w.cpu->gpr[RCX], 3);
	assert_int_equal(peek(BAD - 4, 4), 0);
}

static void fault_downwards(void **state)
{
	start_long(0);
	w.cpu->rflags |= FL_DF;
	w.cpu->gpr[RSI] = BAD + 0x1000 + 8;
	w.cpu->gpr[RDI] = DATA + 0x100;
	w.cpu->gpr[RCX] = 10;
	assert_fault(EXEC(0xf3, 0xa5), X86_PF, 0); /* movsd */
	assert_int_equal(w.cpu->exc.cr2, BAD + 0xffc);
	assert_int_equal(w.cpu->gpr[RCX], 7);
	assert_int_equal(w.cpu->gpr[RSI], BAD + 0xffc);
	assert_int_equal(w.cpu->gpr[RDI], DATA + 0x100 - 12);
}

static void write_protected_destination(void **state)
{
	start_long(0);
	w.cpu->gpr[RDI] = RO + 8;
	w.cpu->gpr[RCX] = 3;
	assert_fault(EXEC(0xf3, 0xaa), X86_PF, PF_W | PF_P);
	assert_int_equal(w.cpu->gpr[RCX], 3);
	assert_int_equal(EXEC(0xf3, 0xae), CPU_OK); /* scas only reads */
}

static void zero_count_touches_nothing(void **state)
{
	start_long(0);
	w.cpu->rflags |= FL_ZF | FL_CF;
	w.cpu->gpr[RSI] = w.cpu->gpr[RDI] = BAD;
	static const u8 ops[] = {0xa4, 0xa6, 0xaa, 0xac, 0xae, 0x6c, 0x6e};
	for (unsigned i = 0; i < ARRAY_SIZE(ops); i++)
		assert_int_equal(EXEC(0xf3, ops[i]), CPU_OK);
	assert_int_equal(w.cpu->gpr[RDI], BAD);
	assert_int_equal(w.cpu->rflags & FL_STATUS, FL_ZF | FL_CF);
}

static void interruptible_between_chunks(void **state)
{
	start_long(0);
	w.cpu->exit_request = REQ_EVENT;
	w.cpu->gpr[RSI] = DATA + 0xff0;
	w.cpu->gpr[RDI] = DATA + 0x4000;
	w.cpu->gpr[RCX] = 0x20;
	assert_int_equal(EXEC(0xf3, 0xa4), CPU_OK);
	assert_int_equal(w.cpu->rip, RIP);
	assert_int_equal(w.cpu->gpr[RCX], 0x10);
	assert_int_equal(EXEC(0xf3, 0xa4), CPU_OK);
	assert_int_equal(w.cpu->rip, RIP + 2);
	assert_int_equal(w.cpu->gpr[RCX], 0);
}

static void single_step_takes_one_element(void **state)
{
	start_long(0);
	w.cpu->rflags |= FL_TF;
	w.cpu->gpr[RDI] = DATA;
	w.cpu->gpr[RCX] = 3;
	for (unsigned left = 2; left < 3; left--) {
		assert_int_equal(w.cpu->rip, RIP);
		assert_fault(EXEC(0xf3, 0xaa), X86_DB, NO_ERROR);
		assert_int_equal(w.cpu->exc.dr6, DR6_BS);
		assert_int_equal(w.cpu->gpr[RCX], left);
	}
	assert_int_equal(w.cpu->rip, RIP + 2);
}

static void mmio_source(void **state)
{
	start_long(0);
	w.cpu->gpr[RSI] = MMIO + 4;
	w.cpu->gpr[RDI] = DATA;
	w.cpu->gpr[RCX] = 2;
	assert_int_equal(EXEC(0xf3, 0xa5), CPU_EXIT);
	assert_int_equal(w.cpu->exit.mmio.gpa, MMIO + 4);
	assert_int_equal(w.cpu->gpr[RCX], 2);
	answer(EXIT_MMIO_READ, MMIO + 4, 4, 0x11223344);
	assert_int_equal(EXEC(0xf3, 0xa5), CPU_OK);
	assert_int_equal(w.cpu->rip, RIP); /* the answer belonged to this element alone */
	assert_int_equal(w.cpu->gpr[RCX], 1);
	assert_int_equal(peek(DATA, 8), 0x11223344);
	assert_int_equal(EXEC(0xf3, 0xa5), CPU_EXIT);
	assert_int_equal(w.cpu->exit.mmio.gpa, MMIO + 8);
}

static void mmio_destination(void **state)
{
	start_long(0);
	w.cpu->gpr[RDI] = MMIO;
	w.cpu->gpr[RAX] = 0xabcd;
	w.cpu->gpr[RCX] = 3;
	assert_int_equal(EXEC(0xf3, 0xab), CPU_OK);
	assert_int_equal(w.cpu->posted_count, 1);
	assert_int_equal(w.cpu->posted[0].gpa, MMIO);
	assert_int_equal(w.cpu->posted[0].data[0], 0xcd);
	assert_int_equal(w.cpu->rip, RIP);
	assert_int_equal(w.cpu->gpr[RCX], 2);
}

static void address_size_32_in_64bit_mode(void **state)
{
	start_long(0);
	w.cpu->gpr[RSI] = 0xffffffff00000000 | DATA;
	w.cpu->gpr[RDI] = 0xffffffff00000000 | (DATA + 0x100);
	w.cpu->gpr[RCX] = 0xffffffff00000004;
	poke(DATA, 0x1234567, 4);
	assert_int_equal(EXEC(0xf3, 0x67, 0xa4), CPU_OK);
	assert_int_equal(peek(DATA + 0x100, 4), 0x1234567);
	assert_int_equal(w.cpu->gpr[RSI], DATA + 4); /* 32-bit results are zero-extended */
	assert_int_equal(w.cpu->gpr[RCX], 0);
}

/* Intel's processors cut the counter, and the pointers of MOVS and STOS, before they do anything. */
static void upper_halves_by_vendor(void **state)
{
	static const struct {
		u8 op;
		bool rsi, rdi; /* are cut */
	} t[] = {{0xa4, true, true}, {0xaa, false, true}, {0xac, false, false},
		{0xa6, false, false}};
	const u64 high = 0x1234567800000000;

	for (unsigned i = 0; i < 2 * ARRAY_SIZE(t); i++) {
		bool intel = i & 1;

		start_long(0);
		w.cpu->host_amd = !intel;
		w.cpu->gpr[RCX] = high;
		w.cpu->gpr[RSI] = w.cpu->gpr[RDI] = high | BAD;
		assert_int_equal(EXEC(0xf3, 0x67, t[i / 2].op), CPU_OK);
		assert_int_equal(w.cpu->gpr[RCX], intel ? 0 : high);
		assert_int_equal(w.cpu->gpr[RSI], (intel && t[i / 2].rsi ? 0 : high) | BAD);
		assert_int_equal(w.cpu->gpr[RDI], (intel && t[i / 2].rdi ? 0 : high) | BAD);
		w.cpu->gpr[RCX] = high | 1;
		assert_fault(EXEC(0xf3, 0x67, t[i / 2].op), X86_PF, t[i / 2].op == 0xaa ? PF_W : 0);
		assert_int_equal(w.cpu->gpr[RCX], (intel ? 0 : high) | 1);
	}
}

/* SDM 2, REP: the flags of before. AMD's processors leave those of the last comparison. */
static void flags_of_a_fault_by_vendor(void **state)
{
	for (unsigned i = 0; i < 4; i++) {
		bool intel = i & 1, scas = i & 2;

		start_long(0);
		w.cpu->host_amd = !intel;
		memset(w.mem + BAD - 4, 1, 4);
		memset(w.mem + DATA, 1, 8);
		w.cpu->gpr[RAX] = 1;
		w.cpu->gpr[RSI] = DATA;
		w.cpu->gpr[RDI] = BAD - 4;
		w.cpu->gpr[RCX] = 8;
		w.cpu->rflags |= FL_CF | FL_OF;
		assert_fault(EXEC(0xf3, scas ? 0xae : 0xa6), X86_PF, 0);
		assert_int_equal(w.cpu->gpr[RCX], 4);
		assert_int_equal(w.cpu->rflags & FL_STATUS, intel ? FL_CF | FL_OF : FL_ZF | FL_PF);
	}
}

static void offset_wraps_at_64k(void **state)
{
	start_real();
	w.cpu->seg[SEG_DS].base = 0x20000;
	w.cpu->seg[SEG_ES].base = 0x30000;
	poke(0x2fffe, 0x2211, 2);
	poke(0x20000, 0x4433, 2);
	w.cpu->gpr[RSI] = 0xffffe;
	w.cpu->gpr[RCX] = 4;
	assert_int_equal(EXEC(0xf3, 0xa4), CPU_OK);
	assert_int_equal(peek(0x30000, 4), 0x44332211);
	assert_int_equal(w.cpu->gpr[RSI], 0xf0002); /* upper half kept */

	w.cpu->gpr[RSI] = 0; /* downwards through 0 */
	w.cpu->gpr[RDI] = 0x103;
	w.cpu->gpr[RCX] = 3;
	w.cpu->rflags |= FL_DF;
	assert_int_equal(EXEC(0xf3, 0xa4), CPU_OK);
	assert_int_equal(w.cpu->gpr[RSI], 0xfffd);
	assert_int_equal(w.mem[0x30103], 0x33);
	assert_int_equal(w.mem[0x30102], 0x22);
	assert_int_equal(w.mem[0x30101], 0x11);

	w.cpu->rflags &= ~FL_DF; /* a word that does not fit below 64 KiB */
	w.cpu->gpr[RSI] = 0xffff;
	w.cpu->gpr[RCX] = 1;
	assert_gp(EXEC(0xf3, 0xa5));
}

static void segment_limit_stops_exactly(void **state)
{
	start_protected(0);
	w.cpu->seg[SEG_ES].limit = DATA + 9;
	w.cpu->gpr[RDI] = DATA;
	w.cpu->gpr[RCX] = 100;
	assert_gp(EXEC(0xf3, 0xab)); /* stosd */
	assert_int_equal(w.cpu->gpr[RDI], DATA + 8);
	assert_int_equal(w.cpu->gpr[RCX], 98);
}

static void segment_override_moves_source_only(void **state)
{
	start_long(0);
	w.cpu->seg[SEG_FS].base = 0x1000;
	poke(DATA + 0x1000, 0x77, 1);
	w.cpu->gpr[RSI] = DATA;
	w.cpu->gpr[RDI] = DATA + 0x40;
	assert_int_equal(EXEC(0x64, 0xa4), CPU_OK);
	assert_int_equal(w.mem[DATA + 0x40], 0x77);
}

static void on_host_fault(int signo, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	u64 pc = (u64)regs[REG_RIP];

	if (!host_mem_fixup(&pc))
		abort();
	regs[REG_RIP] = (greg_t)pc;
}

/* The VMM took the page away: an exit at the first element that the host refuses, both directions. */
static void host_refuses_a_page(void **state)
{
	struct sigaction old, sa = {.sa_sigaction = on_host_fault, .sa_flags = SA_SIGINFO};

	start_long(0);
	sigaction(SIGSEGV, &sa, &old);
	mprotect(w.mem + DATA + 0x1000, 0x1000, PROT_NONE);
	w.cpu->gpr[RDI] = DATA + 0xff0;
	w.cpu->gpr[RCX] = 8;
	assert_int_equal(EXEC(0xf3, 0xab), CPU_EXIT);
	assert_int_equal(w.cpu->exit.reason, EXIT_MEMORY_FAULT);
	assert_int_equal(w.cpu->gpr[RCX], 4);
	assert_int_equal(w.cpu->gpr[RDI], DATA + 0x1000);
	assert_int_equal(w.cpu->rip, RIP);
	w.cpu->rflags |= FL_DF;
	w.cpu->gpr[RSI] = DATA + 0x2008;
	w.cpu->gpr[RDI] = DATA + 0x3008;
	w.cpu->gpr[RCX] = 9;
	assert_int_equal(EXEC(0xf3, 0x48, 0xa7), CPU_EXIT);
	assert_int_equal(w.cpu->gpr[RSI], DATA + 0x1ff8);
	assert_int_equal(w.cpu->gpr[RCX], 7);
	w.cpu->gpr[RBX] = DATA + 0x1000;
	w.cpu->gpr[RAX] = 0;
	assert_int_equal(EXEC(0xf0, 0x0f, 0xab, 0x03), CPU_EXIT); /* lock bts */
	mprotect(w.mem + DATA + 0x1000, 0x1000, PROT_READ | PROT_WRITE);
	assert_int_equal(EXEC(0xf0, 0x0f, 0xab, 0x03), CPU_OK);
	assert_int_equal(w.mem[DATA + 0x1000], 1);
	sigaction(SIGSEGV, &old, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_forms_agree_with_model),
		cmocka_unit_test(pages_without_host_address),
		cmocka_unit_test(fault_in_the_middle),
		cmocka_unit_test(fault_downwards),
		cmocka_unit_test(write_protected_destination),
		cmocka_unit_test(zero_count_touches_nothing),
		cmocka_unit_test(interruptible_between_chunks),
		cmocka_unit_test(single_step_takes_one_element),
		cmocka_unit_test(mmio_source),
		cmocka_unit_test(mmio_destination),
		cmocka_unit_test(address_size_32_in_64bit_mode),
		cmocka_unit_test(upper_halves_by_vendor),
		cmocka_unit_test(flags_of_a_fault_by_vendor),
		cmocka_unit_test(offset_wraps_at_64k),
		cmocka_unit_test(segment_limit_stops_exactly),
		cmocka_unit_test(segment_override_moves_source_only),
		cmocka_unit_test(host_refuses_a_page),
	};

	return cmocka_run_group_tests(tests, NULL, processor_close);
}
