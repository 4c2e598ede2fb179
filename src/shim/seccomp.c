/* SPDX-License-Identifier: MIT */
/*
 * A program's sandbox. Its filter stays in force for everything that the program and its libraries
 * do; in front of it come a few instructions that let the engine's own calls through: from its one system-call
 * instruction (base/sys.h), and with the secret of this process in an argument. The kernel keeps a filter over execve(), so
 * the address alone would not do: a program that is executed under it maps what it likes there. The secret is not in
 * its memory. Whoever can already make the program itself jump anywhere can jump there, too: that is the price of
 * an engine inside the sandbox.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "base/sys.h"
#include "shim/shim.h"

#define FILTER_MAX 4096 /* BPF_MAXINSNS */

#define LOAD_AT(offset)      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (u32)(offset))
#define LOAD(field)          LOAD_AT(offsetof(struct seccomp_data, field))
#define LOAD_HIGH(field)     LOAD_AT(offsetof(struct seccomp_data, field) + 4)
#define IF_EQUAL(k, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (u32)(k), yes, no)
#define XOR(k)               BPF_STMT(BPF_ALU | BPF_XOR | BPF_K, (u32)(k))
/* The accumulator is 0 if the field is key, and it takes the same time if half of it is, or nothing. */
#define COMPARE(field, key)                                                                        \
	LOAD(field), XOR(key), BPF_STMT(BPF_MISC | BPF_TAX, 0), LOAD_HIGH(field),                  \
		XOR((key) >> 32), BPF_STMT(BPF_ALU | BPF_OR | BPF_X, 0)

/* How far it is from a place to the end of what follows. */
enum { SIXTH = 7, FIFTH = 14, RESTORER = 21, ALLOW = 27, OWN = 28 };
#define TO(label, at) ((label) - (at)-1)

/*
 * Both registers are 0 at the start of a filter, and are again at the start of the program's. The two
 * places are some bytes apart, so the upper half of their addresses is the same. From the second only the return from a
 * handler is let through, which has no argument for a secret. That is a number of 64-bit calls: by the same one `int $0x80`
 * is chmod(2), and it is as long as `syscall`.
 */
static unsigned prologue(struct sock_filter *ret)
{
	const u64 ip = (u64)sys_return, high = ip >> 32, key = sys_key;
	const struct sock_filter code[] = {
		[0] = LOAD(instruction_pointer),
		[1] = IF_EQUAL(ip, TO(3, 1), 0),
		[2] = IF_EQUAL((u64)sys_restorer_return, TO(RESTORER, 2), TO(OWN, 2)),
		[3] = LOAD_HIGH(instruction_pointer),
		[4] = IF_EQUAL(high, 0, TO(OWN, 4)),
		[5] = LOAD(arch),
		[6] = IF_EQUAL(AUDIT_ARCH_X86_64, 0, TO(OWN, 6)),
		[SIXTH] = COMPARE(args[5], key),
		[13] = IF_EQUAL(0, TO(ALLOW, 13), 0),
		[FIFTH] = COMPARE(args[4], key),
		[20] = IF_EQUAL(0, TO(ALLOW, 20), TO(OWN, 20)),
		[RESTORER] = LOAD_HIGH(instruction_pointer),
		[22] = IF_EQUAL(high, 0, TO(OWN, 22)),
		[23] = LOAD(arch),
		[24] = IF_EQUAL(AUDIT_ARCH_X86_64, 0, TO(OWN, 24)),
		[25] = LOAD(nr),
		[26] = IF_EQUAL(SYS_rt_sigreturn, 0, TO(OWN, 26)),
		[ALLOW] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		[OWN] = BPF_STMT(BPF_LDX | BPF_IMM, 0),
		BPF_STMT(BPF_LD | BPF_IMM, 0),
	};

	memcpy(ret, code, sizeof(code));
	return ARRAY_SIZE(code);
}

struct page {
	struct sock_fprog prog;
	struct sock_filter code[FILTER_MAX];
};

/* What is wrong with the program's memory, the kernel will say. */
static bool read_program(void *to, const void *from, size_t n)
{
	return !sys_copy(to, from, n);
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
	if (shim_mode() == SHIM_KERNEL || !sys_key_make())
		return NULL;
	p = sys_mmap(NULL, sizeof(*p), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (make(p, filter))
		return &p->prog;
	sys_munmap(p, sizeof(*p));
	return NULL;
}
