/* SPDX-License-Identifier: MIT */
/* Checking a seccomp filter when it is installed: see bpf.h. */
#include <errno.h>

#include "shim/inject/bpf.h"

static bool is_jump(u16 code)
{
	return BPF_CLASS(code) == BPF_JMP;
}

static bool alu_ok(const struct sock_filter *f)
{
	bool constant = BPF_SRC(f->code) == BPF_K;

	if (f->code & ~0xf8 & ~(BPF_ALU))
		return false;
	switch (BPF_OP(f->code)) {
	case BPF_ADD:
	case BPF_SUB:
	case BPF_MUL:
	case BPF_AND:
	case BPF_OR:
	case BPF_XOR: return true;
	case BPF_DIV: return !constant || f->k;
	case BPF_LSH:
	case BPF_RSH: return !constant || f->k < 32;
	case BPF_NEG: return constant;
	default: return false;
	}
}

static bool jump_ok(const struct sock_filter *f, unsigned at, unsigned count)
{
	switch (f->code) {
	case BPF_JMP | BPF_JA: return f->k < count - at - 1;
	case BPF_JMP | BPF_JEQ | BPF_K:
	case BPF_JMP | BPF_JEQ | BPF_X:
	case BPF_JMP | BPF_JGE | BPF_K:
	case BPF_JMP | BPF_JGE | BPF_X:
	case BPF_JMP | BPF_JGT | BPF_K:
	case BPF_JMP | BPF_JGT | BPF_X:
	case BPF_JMP | BPF_JSET | BPF_K:
	case BPF_JMP | BPF_JSET | BPF_X: return at + f->jt + 1 < count && at + f->jf + 1 < count;
	default: return false;
	}
}

static bool insn_ok(const struct sock_filter *f, unsigned at, unsigned count)
{
	switch (f->code) {
	case BPF_LD | BPF_W | BPF_ABS: return f->k < sizeof(struct seccomp_data) && !(f->k & 3);
	case BPF_LD | BPF_MEM:
	case BPF_LDX | BPF_MEM:
	case BPF_ST:
	case BPF_STX: return f->k < BPF_MEMWORDS;
	case BPF_LD | BPF_W | BPF_LEN:
	case BPF_LDX | BPF_W | BPF_LEN:
	case BPF_LD | BPF_IMM:
	case BPF_LDX | BPF_IMM:
	case BPF_MISC | BPF_TAX:
	case BPF_MISC | BPF_TXA:
	case BPF_RET | BPF_K:
	case BPF_RET | BPF_A: return true;
	}
	if (is_jump(f->code))
		return jump_ok(f, at, count);
	return BPF_CLASS(f->code) == BPF_ALU && alu_ok(f);
}

/* What each instruction may rely on: the words that every path to it has written. */
static bool memory_ok(const struct sock_filter *f, unsigned count)
{
	u16 reach[BPF_INSNS_MAX], valid = 0;
	unsigned at;

	for (at = 0; at < count; at++)
		reach[at] = 0xffff;
	for (at = 0; at < count; at++) {
		u16 code = f[at].code;

		valid &= reach[at];
		if (code == BPF_ST || code == BPF_STX)
			valid |= (u16)BIT(f[at].k);
		if ((code == (BPF_LD | BPF_MEM) || code == (BPF_LDX | BPF_MEM)) &&
			!(valid & BIT(f[at].k)))
			return false;
		if (!is_jump(code))
			continue;
		if (BPF_OP(code) == BPF_JA) {
			reach[at + 1 + f[at].k] &= valid;
		} else {
			reach[at + 1 + f[at].jt] &= valid;
			reach[at + 1 + f[at].jf] &= valid;
		}
		valid = 0xffff; /* what comes next is reached by jumps only, which have said theirs */
	}
	return true;
}

int bpf_check(const struct sock_filter *f, unsigned count)
{
	unsigned at;

	if (!count || count > BPF_INSNS_MAX)
		return -EINVAL;
	for (at = 0; at < count; at++)
		if (!insn_ok(&f[at], at, count))
			return -EINVAL;
	if (BPF_CLASS(f[count - 1].code) != BPF_RET || !memory_ok(f, count))
		return -EINVAL;
	return 0;
}
