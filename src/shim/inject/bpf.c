/* SPDX-License-Identifier: MIT */
/* Running a seccomp filter: see bpf.h, and bare.c for what may be used here. */
#include "shim/inject/bpf.h"

struct registers {
	u32 a, x, memory[BPF_MEMWORDS];
};

static u32 source(const struct sock_filter *f, const struct registers *r)
{
	return BPF_SRC(f->code) == BPF_X ? r->x : f->k;
}

/* False: a division by 0, which ends the program with the answer 0. */
static bool alu(const struct sock_filter *f, struct registers *r)
{
	u32 s = source(f, r);

	switch (BPF_OP(f->code)) {
	case BPF_ADD: r->a += s; break;
	case BPF_SUB: r->a -= s; break;
	case BPF_MUL: r->a *= s; break;
	case BPF_AND: r->a &= s; break;
	case BPF_OR: r->a |= s; break;
	case BPF_XOR: r->a ^= s; break;
	case BPF_LSH: r->a <<= s & 31; break;
	case BPF_RSH: r->a >>= s & 31; break;
	case BPF_NEG: r->a = -r->a; break;
	case BPF_DIV:
		if (!s)
			return false;
		r->a /= s;
		break;
	}
	return true;
}

static bool condition(const struct sock_filter *f, const struct registers *r)
{
	u32 s = source(f, r);

	switch (BPF_OP(f->code)) {
	case BPF_JEQ: return r->a == s;
	case BPF_JGT: return r->a > s;
	case BPF_JGE: return r->a >= s;
	default: return r->a & s;
	}
}

static u32 load(const struct sock_filter *f, const struct registers *r, const void *data)
{
	switch (BPF_MODE(f->code)) {
	case BPF_ABS: return ((const u32 *)data)[f->k / sizeof(u32)];
	case BPF_LEN: return sizeof(struct seccomp_data);
	case BPF_MEM: return r->memory[f->k];
	default: return f->k;
	}
}

u32 bpf_run(const struct sock_filter *f, const struct seccomp_data *data)
{
	struct registers r; /* memory is written before it is read: bpf_check() */

	r.a = r.x = 0;
	for (;; f++) {
		switch (BPF_CLASS(f->code)) {
		case BPF_LD: r.a = load(f, &r, data); break;
		case BPF_LDX: r.x = load(f, &r, data); break;
		case BPF_ST: r.memory[f->k] = r.a; break;
		case BPF_STX: r.memory[f->k] = r.x; break;
		case BPF_RET: return BPF_RVAL(f->code) == BPF_A ? r.a : f->k;
		case BPF_JMP:
			f += BPF_OP(f->code) == BPF_JA ? f->k : condition(f, &r) ? f->jt : f->jf;
			break;
		case BPF_ALU:
			if (!alu(f, &r))
				return 0;
			break;
		default: /* BPF_MISC */
			if (BPF_MISCOP(f->code) == BPF_TAX)
				r.x = r.a;
			else
				r.a = r.x;
		}
	}
}
