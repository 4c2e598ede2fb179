/* SPDX-License-Identifier: MIT */
/*
 * The filters of the three threads, for seccomp(2).
 *
 * A system call is let through by the instruction that makes it, and by nothing that memory or registers say alone. Of
 * two filters the stricter answer counts, and a listener belongs to the filter that answers SECCOMP_RET_USER_NOTIF.
 */
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sys/syscall.h>

#include "cage/cage_priv.h"

#define RET_USER_NOTIF   0x7fc00000u /* SECCOMP_RET_USER_NOTIF, Linux 5.0 */
#define RET_KILL_PROCESS 0x80000000u

struct rule {
	u32 nr;
	u64 ip;
	u64 key; /* the first argument; 0: any */
	u32 action;
};

static void put(struct bpf_filter *f, u16 code, u8 otherwise, u32 k)
{
	f->insn[f->prog.len++] = (struct sock_filter){code, 0, otherwise, k};
}

/* Unless the word at this offset of struct seccomp_data is k, skip the next n instructions. */
static void skip_unless(struct bpf_filter *f, u32 offset, u32 k, u8 n)
{
	put(f, BPF_LD | BPF_W | BPF_ABS, 0, offset);
	put(f, BPF_JMP | BPF_JEQ | BPF_K, n, k);
}

static void put_rule(struct bpf_filter *f, const struct rule *r)
{
	const u32 ip = offsetof(struct seccomp_data, instruction_pointer),
		  key = offsetof(struct seccomp_data, args);
	u8 left = r->key ? 9 : 5;

	skip_unless(f, offsetof(struct seccomp_data, nr), r->nr, left);
	skip_unless(f, ip, (u32)r->ip, left -= 2);
	skip_unless(f, ip + 4, (u32)(r->ip >> 32), left -= 2);
	if (r->key) {
		skip_unless(f, key, (u32)r->key, left -= 2);
		skip_unless(f, key + 4, (u32)(r->key >> 32), left -= 2);
	}
	put(f, BPF_RET | BPF_K, 0, r->action);
}

static void make(struct bpf_filter *f, const struct rule *rules, unsigned n, u32 otherwise)
{
	f->prog = (struct sock_fprog){0, f->insn};
	put(f, BPF_LD | BPF_W | BPF_ABS, 0, offsetof(struct seccomp_data, arch));
	f->insn[f->prog.len++] =
		(struct sock_filter){BPF_JMP | BPF_JEQ | BPF_K, 1, 0, AUDIT_ARCH_X86_64};
	put(f, BPF_RET | BPF_K, 0, otherwise);
	for (unsigned i = 0; i < n; i++)
		put_rule(f, &rules[i]);
	put(f, BPF_RET | BPF_K, 0, otherwise);
}

#define MAKE(f, rules, otherwise) make(f, rules, ARRAY_SIZE(rules), otherwise)

void filters_make(struct filters *f, u64 key)
{
	const u64 parked = stub_at(cage_stub_parked), returned = stub_at(cage_stub_returned),
		  mapper_parked = stub_at(cage_stub_mapper_parked),
		  mapped = stub_at(cage_stub_mapped), watched = stub_at(cage_stub_watched);
	const u32 allow = SECCOMP_RET_ALLOW, notify = RET_USER_NOTIF;
	const struct rule runner_listener[] = {{NR_PARK, parked, 0, notify}},
			  mapper_listener[] = {{NR_PARK, mapper_parked, 0, notify}};
	const struct rule runner[] = {
		{NR_PARK, parked, 0, allow},
		{SYS_rt_sigreturn, returned, key, allow},
	};
	const struct rule mapper[] = {
		{NR_PARK, mapper_parked, 0, allow},
		{SYS_mremap, mapped, 0, allow},
		{SYS_mprotect, mapped, 0, allow},
		{SYS_munmap, mapped, 0, allow},
		{SYS_exit_group, mapped, 0, allow},
	};
	const struct rule watcher[] = {
		{SYS_epoll_wait, watched, 0, allow},
		{SYS_exit_group, watched, 0, allow},
	};

	MAKE(&f->runner_listener, runner_listener, allow);
	MAKE(&f->runner, runner, SECCOMP_RET_TRAP);
	MAKE(&f->mapper_listener, mapper_listener, allow);
	MAKE(&f->mapper, mapper, RET_KILL_PROCESS);
	MAKE(&f->watcher, watcher, RET_KILL_PROCESS);
}
