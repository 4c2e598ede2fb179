/* SPDX-License-Identifier: MIT */
/*
 * A program's sandbox. Its filter stays in force for everything that the program and its libraries
 * do; in front of it come a few instructions that let calls from the engine's one system-call
 * instruction (base/sys.h) through. Whoever can already make the program jump anywhere can jump
 * there, too: that is the price of an engine inside the sandbox.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "base/sys.h"
#include "shim/shim.h"

#define FILTER_MAX 4096 /* BPF_MAXINSNS */

#define LOAD(field)        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define SKIP_UNLESS(k, to) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (u32)(k), 0, to)
#define IP_HIGH            offsetof(struct seccomp_data, instruction_pointer) + 4

/*
 * The accumulator is 0 at the start of a filter, and is again at the start of the program's. The two
 * places are some bytes apart, so the upper half of their addresses is the same.
 */
static unsigned prologue(struct sock_filter *ret)
{
	const u64 ip = (u64)sys_return;
	const struct sock_filter code[] = {
		LOAD(instruction_pointer),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (u32)ip, 1, 0),
		SKIP_UNLESS((u64)sys_restorer_return, 3),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, IP_HIGH),
		SKIP_UNLESS(ip >> 32, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_LD | BPF_IMM, 0),
	};

	memcpy(ret, code, sizeof(code));
	return ARRAY_SIZE(code);
}

struct page {
	struct sock_fprog prog;
	struct sock_filter code[FILTER_MAX];
};

/* The program's memory: what is wrong with it, the kernel will say. */
static bool read_program(void *to, const void *from, size_t n)
{
	struct iovec here = {to, n}, there = {(void *)from, n};

	return sys_process_vm_readv(sys_getpid(), &here, &there) == (ssize_t)n;
}

static bool make(struct page *p, const struct sock_fprog *filter)
{
	unsigned n = prologue(p->code);
	struct sock_fprog own;

	if (!read_program(&own, filter, sizeof(own)) || !own.len || own.len > FILTER_MAX - n ||
		!read_program(p->code + n, own.filter, own.len * sizeof(*p->code)))
		return false;
	p->prog.len = (u16)(n + own.len);
	p->prog.filter = p->code;
	return true;
}

/*
 * Also before the first open: /dev/kvm may be opened in the sandbox. Not by malloc(): after this the
 * program may not be allowed to give memory back.
 */
struct sock_fprog *shim_seccomp(const struct sock_fprog *filter, struct sock_fprog *old)
{
	struct page *p;

	if (!filter) {
		sys_munmap(old, sizeof(*p));
		return NULL;
	}
	if (shim_mode() == SHIM_KERNEL)
		return NULL;
	p = sys_mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (make(p, filter))
		return &p->prog;
	sys_munmap(p, sizeof(*p));
	return NULL;
}
