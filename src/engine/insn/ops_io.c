/* SPDX-License-Identifier: MIT */
/*
 * Port input and output.
 *
 * Input asks before it has any effect: EXIT_IO_IN with rip at the instruction, which is restarted and
 * finds the answer in cpu->answers (value: the first item; io_data and io_count: all items of a
 * string input). Output has completed when it leaves: EXIT_IO_OUT in cpu->exit, the handler returns
 * CPU_OK. (User space is shown an OUT with rip on it, answer.c.) As a kernel's KVM does it, `rep ins` asks
 * for many items in one exit, up to the end of the destination page, and `rep outs` tells one item per exit with
 * rip at the instruction until the count is exhausted.
 *
 * With OPT_INTERCEPTS each of these instructions leaves once, in front, and is the caller's to do.
 */
#include "engine/cpu/iopl.h"
#include "engine/core/debug.h"
#include "engine/core/answer.h"
#include "engine/cpu/segment.h"
#include "engine/insn/operand.h"
#include "engine/insn/ops.h"
#include "engine/mem/mem.h"
#include "engine/tap/ask.h"

#define TSS_IO_BASE 0x66 /* SDM 3:7.2.1, the same place in the 64-bit TSS */

static bool tss_has_io_map(const struct segment *tr)
{
	unsigned type = SEG_TYPE(tr->attr) & ~2u; /* without the busy bit */

	return !(tr->attr & SEG_UNUSABLE) && (tr->attr & SEG_P) && type == 9 &&
	       tr->limit >= TSS_IO_BASE + 1;
}

/* The I/O permission bit map, SDM 1:19.5.2: two bytes are always read. */
static int io_map_check(struct cpu *cpu, u16 port, unsigned size)
{
	const struct segment *tr = &cpu->seg[SEG_TR];
	u64 base, bits;
	int r;

	if (!tss_has_io_map(tr))
		return cpu_gp0(cpu);
	r = mem_read_u64(cpu, tr->base + TSS_IO_BASE, &base, 2, ACC_READ | ACC_SYSTEM);
	if (r)
		return r;
	u64 at = base + port / 8;
	if (at + 1 > tr->limit)
		return cpu_gp0(cpu);
	r = mem_read_u64(cpu, tr->base + at, &bits, 2, ACC_READ | ACC_SYSTEM);
	if (r)
		return r;
	return bits >> (port & 7) & ((1u << size) - 1) ? cpu_gp0(cpu) : CPU_OK;
}

static int io_check(struct cpu *cpu, u16 port, unsigned size)
{
	debug_note_port(cpu, port, size);
	if (likely(iopl_allows(cpu) && !cpu_v86(cpu)))
		return CPU_OK;
	if (!cpu_protected(cpu))
		return CPU_OK;
	return io_map_check(cpu, port, size);
}

/* Port transfers are at most 4 bytes wide, whatever REX.W says. */
static unsigned io_size(const struct insn *in)
{
	return MIN(in->op_size, 4);
}

static int io_ask(struct cpu *cpu, u16 port, unsigned size, u32 count)
{
	cpu_exit_begin(cpu, EXIT_IO_IN);
	cpu->exit.io.port = port;
	cpu->exit.io.size = size;
	cpu->exit.io.count = count;
	cpu->exit.io.data = cpu->io_data;
	cpu->exit.io.string = cpu->exit.io.rep = false;
	return ask_outside(cpu);
}

static void io_tell(struct cpu *cpu, u16 port, unsigned size, u64 value)
{
	cpu_exit_begin(cpu, EXIT_IO_OUT);
	cpu->exit.io.port = port;
	cpu->exit.io.size = size;
	cpu->exit.io.count = 1;
	cpu->exit.io.data = cpu->io_data;
	cpu->exit.io.string = cpu->exit.io.rep = false;
	for (unsigned i = 0; i < size; i++)
		cpu->io_data[i] = value >> 8 * i;
}

static bool is_repeated(const struct insn *in)
{
	return in->pfx & (PFX_REP | PFX_REPNE);
}

/* OPT_INTERCEPTS */
static int io_intercept(struct cpu *cpu, u32 reason, u16 port, const struct insn *in)
{
	bool string = insn_class(in) & OC_STRING;

	cpu_exit_in_front(cpu, reason);
	cpu->exit.io.port = port;
	cpu->exit.io.size = io_size(in);
	cpu->exit.io.count = 1;
	cpu->exit.io.data = cpu->io_data;
	cpu->exit.io.string = string;
	cpu->exit.io.rep = string && is_repeated(in);
	return ask_outside(cpu);
}

static int io_in(struct cpu *cpu, const struct insn *in, u16 port)
{
	unsigned size = io_size(in);
	const struct answer *a;
	int r = io_check(cpu, port, size);

	if (r)
		return r;
	if (machine_intercepts(cpu->machine))
		return io_intercept(cpu, EXIT_IO_IN, port, in);
	a = answer_to(cpu, EXIT_IO_IN, port, size);
	if (!a)
		return io_ask(cpu, port, size, 1);
	reg_write(cpu, RAX, size, true, a->value);
	return CPU_OK;
}

static int io_out(struct cpu *cpu, const struct insn *in, u16 port)
{
	unsigned size = io_size(in);
	int r = io_check(cpu, port, size);

	if (r)
		return r;
	if (machine_intercepts(cpu->machine))
		return io_intercept(cpu, EXIT_IO_OUT, port, in);
	io_tell(cpu, port, size, cpu->gpr[RAX]);
	cpu->out.rip = cpu->rip;
	cpu->out.next = cpu->next_rip;
	cpu->out.string = false;
	return CPU_OK;
}

int op_in_imm(struct cpu *cpu, const struct insn *in)
{
	return io_in(cpu, in, (u8)in->imm);
}

int op_in_dx(struct cpu *cpu, const struct insn *in)
{
	return io_in(cpu, in, cpu->gpr[RDX]);
}

int op_out_imm(struct cpu *cpu, const struct insn *in)
{
	return io_out(cpu, in, (u8)in->imm);
}

int op_out_dx(struct cpu *cpu, const struct insn *in)
{
	return io_out(cpu, in, cpu->gpr[RDX]);
}

/* ---- string forms ---- */

static u64 address_mask(const struct insn *in)
{
	return in->addr_size == 8 ? ~0ull : in->addr_size == 4 ? 0xffffffffull : 0xffffull;
}

static u64 io_remaining(const struct cpu *cpu, const struct insn *in)
{
	return is_repeated(in) ? cpu->gpr[RCX] & address_mask(in) : 1;
}

/* Move the pointer and the count past n items; stay at the instruction if items remain. */
static void io_advance(struct cpu *cpu, const struct insn *in, unsigned reg, u64 n, u64 remaining)
{
	u64 bytes = n * io_size(in);

	if (cpu->rflags & FL_DF)
		bytes = -bytes;
	reg_write(cpu, reg, in->addr_size, true, cpu->gpr[reg] + bytes);
	if (is_repeated(in))
		reg_write(cpu, RCX, in->addr_size, true, cpu->gpr[RCX] - n);
	if (n < remaining)
		cpu->next_rip = cpu->rip;
}

static bool ins_in_segment(struct cpu *cpu, const struct insn *in, u64 n)
{
	u64 off = cpu->gpr[RDI] & address_mask(in), unused;

	return !seg_linear(cpu, SEG_ES, off, n * io_size(in), ACC_WRITE, &unused);
}

/* To MMIO it is one posted write each. */
static bool ins_to_ram(struct cpu *cpu, const struct insn *in, u64 lin)
{
	void *host;

	return !mem_host(cpu, lin, io_size(in), ACC_WRITE, &host) && host;
}

/* How many of the remaining items one exit can carry: those that the destination page takes. */
static u64 ins_batch(struct cpu *cpu, const struct insn *in, u64 lin, u64 remaining)
{
	unsigned size = io_size(in), in_page = PAGE_SIZE - (lin & (PAGE_SIZE - 1));
	u64 off = cpu->gpr[RDI] & address_mask(in);

	if ((cpu->rflags & (FL_DF | FL_TF)) || cpu->debug_step || cpu->watch_data ||
		tap_wants(cpu, TAP_STEP) || cpu->debug_hits)
		return 1;
	u64 n = MIN(remaining, MIN(in_page, EXIT_IO_DATA_MAX) / size);
	if (n <= 1 || n * size - 1 > address_mask(in) - off)
		return 1;
	return ins_in_segment(cpu, in, n) && ins_to_ram(cpu, in, lin) ? n : 1;
}

/* As many as were read, also if the page's rights have changed since. But the caller may have taken the memory away. */
static u64 ins_answered(struct cpu *cpu, const struct insn *in, u64 lin, u64 remaining)
{
	u64 n = MIN(MAX(cpu->answers.io_count, 1u), remaining);

	if (n <= 1 || !ins_in_segment(cpu, in, n))
		return 1;
	return tap_wants(cpu, TAP_PAGE) || ins_to_ram(cpu, in, lin) ? n : 1;
}

int op_ins(struct cpu *cpu, const struct insn *in)
{
	u64 remaining = io_remaining(cpu, in), lin;
	const struct answer *a;
	u16 port = cpu->gpr[RDX];
	unsigned size = io_size(in);

	if (remaining == 0)
		return CPU_OK;
	int r = io_check(cpu, port, size);
	if (!r)
		r = seg_aligned(
			cpu, SEG_ES, cpu->gpr[RDI] & address_mask(in), size, size, ACC_WRITE, &lin);
	if (!r)
		r = mem_probe_write(cpu, lin, size, ACC_WRITE);
	if (r)
		return r;
	if (machine_intercepts(cpu->machine))
		return io_intercept(cpu, EXIT_IO_IN, port, in);
	a = answer_to(cpu, EXIT_IO_IN, port, size);
	if (!a)
		return io_ask(cpu, port, size, ins_batch(cpu, in, lin, remaining));
	u64 n = ins_answered(cpu, in, lin, remaining);
	r = mem_write(cpu, lin, n > 1 ? (const void *)cpu->io_data : (const void *)&a->value,
		n * size, ACC_WRITE);
	if (r)
		return r;
	io_advance(cpu, in, RDI, n, remaining);
	return CPU_OK;
}

int op_outs(struct cpu *cpu, const struct insn *in)
{
	u64 remaining = io_remaining(cpu, in), lin, value;
	u16 port = cpu->gpr[RDX];
	unsigned size = io_size(in);

	if (remaining == 0)
		return CPU_OK;
	int r = io_check(cpu, port, size);
	if (!r)
		r = seg_aligned(
			cpu, in->seg, cpu->gpr[RSI] & address_mask(in), size, size, ACC_READ, &lin);
	if (!r && machine_intercepts(cpu->machine))
		r = mem_probe_read(cpu, lin, size, ACC_READ);
	else if (!r)
		r = mem_read_u64(cpu, lin, &value, size, ACC_READ);
	if (r)
		return r;
	if (machine_intercepts(cpu->machine))
		return io_intercept(cpu, EXIT_IO_OUT, port, in);
	io_advance(cpu, in, RSI, 1, remaining);
	io_tell(cpu, port, size, value);
	cpu->out.string = true;
	return CPU_OK;
}
