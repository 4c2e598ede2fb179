/* SPDX-License-Identifier: MIT */
/*
 * What this host can run of the cases: some have no IA-32, no LDT, or kill a process that loads a selector which they
 * have let it make. So a case of each kind is tried in a child, and whatever becomes of the child but the right
 * result is a no.
 *
 * TESTS_WITHOUT=code32,fsgsbase does without on a host that has them (docs/testing.md).
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hostcpu.h"
#include "insn/diff.h"

#define ANSWER    0x2a51
#define PATIENCE  30 /* seconds, for what takes none */
#define FLAT_CODE (L_CODE + (u64)L_CODE_RW * PAGE_SIZE)

enum { CAN_64, CAN_32, CAN_SEG32, CAN_SEG16, KINDS };

static const char *const kind_name[KINDS] = {
	"64-bit code with bases of fs and gs",
	"32-bit code",
	"32-bit code with segments",
	"16-bit code with segments",
};

/* Of the process: what it is and may do does not change. */
static bool can[KINDS];
static char why_not[KINDS][64];
static bool fsgsbase;

/* Which kind a case is, or -1 if no process can be in its mode. */
static int kind_of(const struct insn_case *c)
{
	if (c->kind == KIND_FLAT)
		return c->mode == 8 ? CAN_64 : CAN_32;
	return c->kind != KIND_PROT ? -1 : c->mode == 4 ? CAN_SEG32 : CAN_SEG16;
}

static bool without(const char *what)
{
	const char *list = getenv("TESTS_WITHOUT");
	size_t n = strlen(what);

	for (const char *at = list; at && (at = strstr(at, what)); at += n)
		if ((at == list || at[-1] == ',') && (!at[n] || at[n] == ','))
			return true;
	return false;
}

/* ---- one case of each kind: ax becomes ANSWER ---- */

static void make_segments(struct insn_case *c)
{
	u32 big = c->mode == 4 ? SEG_DB : 0;

	for (unsigned i = 0; i < 6; i++)
		c->seg[i] = (struct seg_state){.selector = LOW_SELECTOR(i),
			.base = i == SEG_CS ? LOW_CODE : LOW_DATA,
			.limit = 0xffff,
			.attr = (i == SEG_CS ? 0xfb : 0xf3) | big};
	c->start.gpr[RSP] = 0x800;
	c->start.rip = 0x100;
}

static void make_case(int kind, struct insn_case *c)
{
	static const u8 mode[KINDS] = {8, 4, 4, 2};
	u64 land = kind == CAN_64 ? L_LAND : L_LAND32;
	s32 rel;

	memset(c, 0, sizeof(*c));
	c->mode = mode[kind];
	c->cpl = 3;
	c->kind = kind >= CAN_SEG32 ? KIND_PROT : KIND_FLAT;
	c->start.rflags = FL_FIXED | FL_IF;
	c->start.rip = FLAT_CODE;
	c->start.fs_base = kind == CAN_64 ? L_DATA + 1 : 0;
	c->start.gs_base = kind == CAN_64 ? L_DATA + 2 : 0;
	memcpy(c->start.xsave, (const u16[]){0x37f}, 2);
	memcpy(c->start.xsave + 24, (const u32[]){0x1f80}, 4);
	if (c->kind == KIND_PROT)
		make_segments(c);
	memcpy(c->code, "\xb8\x51\x2a\x00\x00",
		5); /* mov eax, ANSWER; of 16-bit code: mov ax; add [bx+si], al */
	c->bytes = c->at[1] = c->mode == 2 ? 3 : 5;
	c->count = 1;
	if (c->kind == KIND_PROT) {
		c->code[c->bytes++] = 0xcc;
		return;
	}
	rel = (s32)(land - (c->start.rip + 10));
	c->code[5] = 0xe9;
	memcpy(c->code + 6, &rel, 4);
	c->bytes = 10;
}

/* Its code in a page of its own, which is not the guest's. */
static bool load(const struct insn_case *c)
{
	u64 page = c->kind == KIND_PROT ? LOW_CODE : FLAT_CODE;
	void *p = mmap((void *)page, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (p != (void *)page)
		return false;
	memcpy((u8 *)p + c->start.rip % PAGE_SIZE, c->code, c->bytes);
	for (unsigned i = 0; c->kind == KIND_PROT && i < 6; i++)
		if (!host_set_segment(LOW_ENTRY + i, &c->seg[i]))
			return false;
	return true;
}

static bool right(const struct insn_case *c, const struct outcome *o)
{
	return o->end == END_DONE && (u16)o->regs.gpr[RAX] == ANSWER &&
	       (c->mode != 8 || (o->regs.fs_base == c->start.fs_base &&
					o->regs.gs_base == c->start.gs_base));
}

/* ---- in a child ---- */

_Noreturn static void child(int kind)
{
	static struct insn_case c;
	static struct outcome o;
	struct itimerval every = {.it_interval.tv_sec = 1, .it_value.tv_sec = 1};

	setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
	setitimer(ITIMER_REAL, &every, NULL); /* a child has none, and the case might not end */
	make_case(kind, &c);
	if (!load(&c))
		_exit(2);
	host_run(&c, &o);
	_exit(right(&c, &o) ? 0 : 1);
}

/* false: it has not ended in time, and is killed. */
static bool ended(pid_t pid, int *status)
{
	for (unsigned ms = 0; ms < PATIENCE * 1000; ms++) {
		pid_t r = waitpid(pid, status, WNOHANG);

		if (r == pid || (r < 0 && errno != EINTR))
			return r == pid;
		usleep(1000);
	}
	kill(pid, SIGKILL);
	waitpid(pid, status, 0);
	return false;
}

static bool tried(int kind, char why[64])
{
	int status = 0;
	pid_t pid = fork();

	if (!pid)
		child(kind);
	if (pid < 0 || !ended(pid, &status))
		strcpy(why, pid < 0 ? "no child to try it" : "it hung");
	else if (WIFSIGNALED(status))
		snprintf(why, 64, "%s", strsignal(WTERMSIG(status)));
	else if (WEXITSTATUS(status))
		strcpy(why, WEXITSTATUS(status) == 2 ? "no descriptors in the LDT" : "a fault");
	else
		return true;
	return false;
}

void host_probe(void)
{
	for (int kind = 0; kind < KINDS; kind++) {
		if (kind != CAN_64 && without("code32"))
			strcpy(why_not[kind], "TESTS_WITHOUT=code32");
		else
			can[kind] = tried(kind, why_not[kind]);
	}
}

bool host_fsgsbase(void)
{
	struct host_cpu cpu;

	host_cpu_look(&cpu);
	fsgsbase = cpu.fsgsbase && !without("fsgsbase");
	return fsgsbase;
}

/* ---- answers ---- */

static bool needs_fsgsbase(const struct insn_case *c)
{
	struct insn in;

	for (unsigned i = 0; i < c->count; i++)
		if (insn_decode(&in, c->code + c->at[i], MIN(c->bytes - c->at[i], 15u), c->mode) ==
				INSN_OK &&
			in.desc->op >= OP_RDFSBASE && in.desc->op <= OP_WRGSBASE)
			return true;
	return false;
}

bool host_can(const struct insn_case *c)
{
	int kind = kind_of(c);

	return kind >= 0 && can[kind] && (fsgsbase || !needs_fsgsbase(c));
}

void host_say(FILE *out)
{
	for (int kind = 0; kind < KINDS; kind++)
		if (!can[kind])
			fprintf(out, "insn: not compared with this host, which has no %s: %s\n",
				kind_name[kind], why_not[kind]);
	if (!fsgsbase)
		fprintf(out, "insn: not compared with this host, which has no FSGSBASE: "
			     "rdfsbase and the like\n");
}
