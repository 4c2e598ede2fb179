/* SPDX-License-Identifier: MIT */
/*
 * Running guest code: the runner's frame is written, the runner goes on, and its next frame is read.
 *
 * The frame is in memory that guest code can write, and code can come to the instruction where the runner waits by a jump.
 * So nothing in a frame decides anything here: what is read is handed to the caller as data of the guest, and all that the
 * kernel takes from a frame is written before the runner goes on.
 */
#include <errno.h>
#include <string.h>

#include "cage/cage_priv.h"

#define BITS_ID   0x200000u
#define BITS_NT   0x4000u
#define BITS_RF   0x10000u
#define BITS_IF   0x200u
#define BITS_1    0x2u
/* CF PF AF ZF SF TF DF OF, NT, AC, ID: what CPL 3 can change. */
#define BITS_USER 0x244dd5u

#define VECTOR_BP   3
#define VECTOR_OF   4
#define VECTOR_GP   13
#define VECTOR_PF   14
#define ERROR_FETCH 0x14 /* by user code, of what is not there */

/* The XSAVE image: SDM 1:13.4. */
#define IMAGE_FCW         0
#define IMAGE_MXCSR       24
#define IMAGE_MXCSR_MASK  28
#define IMAGE_SOFTWARE    464
#define IMAGE_XSTATE_BV   512
#define IMAGE_HEADER_REST 520
#define IMAGE_HEADER_END  576
#define SOFTWARE_MAGIC    0x46505853u /* uapi/asm/sigcontext.h: FP_XSTATE_MAGIC1 */
#define SOFTWARE_END      0x46505845u
#define SOFTWARE_FEATURES 8
#define SOFTWARE_SIZE     16

/* Written to frame.link at each stop; the kernel writes 0 with each frame. */
#define OURS 0x756f7279206f776eull

/* Where siginfo tells more. */
#define INFO_ADDRESS  16
#define INFO_ARCH     28
#define ARCH_I386     0x40000003u
#define LENGTH_OF_INT 2 /* and of SYSCALL */

static u64 get64(const u8 *at)
{
	u64 v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static u32 get32(const u8 *at)
{
	u32 v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static void set32(u8 *at, u32 v)
{
	memcpy(at, &v, sizeof(v));
}

/* ---- kicks ---- */

/*
 * The signal is blocked while the runner waits, so that one that comes too early stays pending, and stops guest code before
 * its first instruction: no kick is lost.
 */
void cage_kick(struct cage *c)
{
	if (c->alive)
		sys_raw(SYS_tgkill, c->pid, c->runner_tid, CAGE_SIGNAL, 0, 0, (long)sys_key);
}

/* ---- waiting for the runner ---- */

static bool at_its_place(const struct cage *c, const struct notice *n)
{
	return n->ip == stub_at(cage_stub_parked) && n->args[1] == c->info_at &&
	       n->args[2] == c->frame_at;
}

/*
 * A signal that ends the wait is a kick. Guest code stops at every kick, because it cannot block the signal: only a return from a signal
 * could, and that takes the key. So this ends without a limit of time.
 */
static int wait_for_stop(struct cage *c, struct notice *ret)
{
	int r;

	while ((r = seat_wait(&c->runner, ret)) == -EINTR)
		cage_kick(c);
	return !r && !at_its_place(c, ret) ? -EPROTO : r;
}

/* ---- going on ---- */

static void write_frame(const struct cage *c, const struct cage_regs *regs)
{
	struct kernel_frame f = c->first;
	const u64 *g = regs->gpr;

	f.link = cage_frame(c)->link;
	f.rax = g[0], f.rcx = g[1], f.rdx = g[2], f.rbx = g[3];
	f.rsp = g[4], f.rbp = g[5], f.rsi = g[6], f.rdi = g[7];
	f.r8 = g[8], f.r9 = g[9], f.r10 = g[10], f.r11 = g[11];
	f.r12 = g[12], f.r13 = g[13], f.r14 = g[14], f.r15 = g[15];
	f.rip = regs->rip;
	f.rflags = (regs->rflags & BITS_USER) | BITS_IF | BITS_1;
	*cage_frame(c) = f;
}

/* What the kernel would refuse, and what it goes by. */
static void write_image(const struct cage *c)
{
	u8 *image = cage_image(c);
	u64 features = get64(image + IMAGE_XSTATE_BV) & get64(c->software + SOFTWARE_FEATURES);

	memcpy(image + IMAGE_SOFTWARE, c->software, sizeof(c->software));
	memcpy(image + IMAGE_XSTATE_BV, &features, sizeof(features));
	memset(image + IMAGE_HEADER_REST, 0, IMAGE_HEADER_END - IMAGE_HEADER_REST);
	set32(image + IMAGE_MXCSR, get32(image + IMAGE_MXCSR) & c->mxcsr_mask);
	set32(image + c->xstate_size, SOFTWARE_END);
}

static void write_all(const struct cage *c, const struct cage_regs *regs)
{
	struct cage_control *control = cage_control(c);

	write_frame(c, regs);
	write_image(c);
	control->fs_base = regs->fs_base;
	control->gs_base = regs->gs_base;
	control->rflags = (regs->rflags & (BITS_ID | BITS_NT)) | BITS_IF | BITS_1;
}

/*
 * Where the kernel cannot wake a thread on the processor of the one that wakes it (Linux before 6.6), the two would be on two
 * processors that wake each other from idleness at each stop, which takes several times as long as the stop. So the cage
 * goes where its caller is.
 */
static void move_here(struct cage *c)
{
	u64 set[16] = {0};
	unsigned cpu;

	if (c->same_cpu || sys_getcpu(&cpu) || cpu == c->cpu || cpu >= 8 * sizeof(set))
		return;
	set[cpu / 64] = 1ull << cpu % 64;
	if (!SYS_CALL3(SYS_sched_setaffinity, c->runner_tid, sizeof(set), set) &&
		!SYS_CALL3(SYS_sched_setaffinity, c->mapper_tid, sizeof(set), set))
		c->cpu = cpu;
}

/*
 * -ENOENT: what stops all threads (SIGSTOP, a freezer, a debugger) has interrupted the wait, and it begins again with a
 * new number. Not so a signal with a handler: all are blocked where an honest runner waits. Where code has jumped to that place
 * none is, and the kernel writes a frame, with a vector state that is not the caller's: frame.link tells.
 */
static int go_on(struct cage *c, const struct cage_regs *regs)
{
	struct notice n;
	int r;

	for (;;) {
		write_all(c, regs);
		r = seat_answer(&c->runner, c->key);
		if (r == -ENOENT)
			r = wait_for_stop(c, &n);
		else
			return r;
		if (r || cage_frame(c)->link != OURS)
			return -EPROTO;
	}
}

/* ---- what a stop tells ---- */

static void read_regs(const struct kernel_frame *f, const struct notice *n, struct cage_regs *regs)
{
	const u64 gpr[16] = {f->rax, f->rcx, f->rdx, f->rbx, f->rsp, f->rbp, f->rsi, f->rdi, f->r8,
		f->r9, f->r10, f->r11, f->r12, f->r13, f->r14, f->r15};

	memcpy(regs->gpr, gpr, sizeof(gpr));
	regs->rip = f->rip;
	regs->rflags = (regs->rflags & ~(u64)(BITS_USER | BITS_RF)) | (f->rflags & BITS_USER);
	regs->fs_base = n->args[3];
	regs->gs_base = n->args[4];
}

static enum cage_stop tell(struct cage_event *e, enum cage_stop stop, u32 vector, u32 error)
{
	*e = (struct cage_event){.vector = vector, .error = error};
	return stop;
}

static enum cage_stop tell_fault(struct cage_event *e, u64 address, u32 error)
{
	*e = (struct cage_event){address, error, VECTOR_PF};
	return CAGE_FAULT;
}

/*
 * The kernel executes the page of vsyscalls itself, from the call of it to the return, and asks the filter. To the guest that is no
 * system call but the fetch of an instruction. RAX is lost, as it is by a vsyscall.
 */
static enum cage_stop tell_vsyscall(u64 address, struct cage_regs *regs, struct cage_event *e)
{
	regs->rip = address;
	regs->gpr[4] -= 8;
	return tell_fault(e, address, ERROR_FETCH);
}

static enum cage_stop tell_call(const u8 *info, struct cage_regs *regs, struct cage_event *e)
{
	if (get64(info + INFO_ADDRESS) >> 63)
		return tell_vsyscall(get64(info + INFO_ADDRESS), regs, e);
	regs->rip -= LENGTH_OF_INT;
	return tell(e, CAGE_TRAP, get32(info + INFO_ARCH) == ARCH_I386 ? 0x80 : CAGE_SYSCALL, 0);
}

/* How far behind its instruction rip is: #BP and #OF are traps (SDM 3:7.15). */
static u64 length_of_trap(u32 vector, u8 last_byte)
{
	if (vector == VECTOR_BP)
		return last_byte == 0xcc ? 1 : LENGTH_OF_INT;
	return vector == VECTOR_OF ? LENGTH_OF_INT : 0;
}

static enum cage_stop tell_stop(const struct kernel_frame *f, const u8 *info,
	const struct notice *n, struct cage_regs *regs, struct cage_event *e)
{
	const u32 vector = (u32)f->trapno & 0x1f;

	if ((u32)n->args[0] == SIGTRAP && get32(info + INFO_CODE) == CODE_HIT)
		return tell(e, CAGE_BREAK, 0, 0);
	switch ((u32)n->args[0]) {
	case CAGE_SIGNAL: return tell(e, CAGE_KICKED, 0, 0);
	case SIGSYS: return tell_call(info, regs, e);
	default:
		if (vector == VECTOR_PF)
			return tell_fault(e, f->cr2, (u32)f->error);
		regs->rip -= length_of_trap(vector, (u8)n->args[5]);
		return tell(e, CAGE_TRAP, vector, (u32)f->error);
	}
}

/* WRFSBASE would fault on these; the host's addresses have 48 bits or 57. */
static bool canonical(u64 base)
{
	return (u64)((s64)(base << 16) >> 16) == base;
}

/* Honest code can have none of these in its registers, and who loads them would fault. */
static bool is_honest(const struct cage *c, const struct kernel_frame *f, const struct notice *n)
{
	return f->cs == c->first.cs && !cage_owns(c, f->rip) && canonical(f->rip) &&
	       canonical(n->args[3]) && canonical(n->args[4]);
}

/* Copied once: nobody writes to it now, but nothing here shall depend on that. */
static enum cage_stop tell_all(
	struct cage *c, const struct notice *n, struct cage_regs *regs, struct cage_event *e)
{
	const struct kernel_frame f = *cage_frame(c);
	u8 info[128];

	cage_frame(c)->link = OURS;
	memcpy(info, c->region + (c->info_at - CAGE_AREA), sizeof(info));
	if (!is_honest(c, &f, n))
		return cage_lost(c);
	set32(cage_image(c) + IMAGE_MXCSR, get32(cage_image(c) + IMAGE_MXCSR) & c->mxcsr_mask);
	read_regs(&f, n, regs);
	return tell_stop(&f, info, n, regs, e);
}

enum cage_stop cage_run(struct cage *c, struct cage_regs *regs, struct cage_event *e)
{
	struct notice n;

	if (!c->alive)
		return CAGE_LOST;
	if (cage_owns(c, regs->rip) || cage_owns(c, regs->gpr[4]))
		return tell_fault(e, regs->rip, ERROR_FETCH);
	if (!canonical(regs->fs_base) || !canonical(regs->gs_base) || !canonical(regs->rip))
		return tell(e, CAGE_TRAP, VECTOR_GP, 0);
	move_here(c);
	if (go_on(c, regs) || wait_for_stop(c, &n))
		return cage_lost(c);
	return tell_all(c, &n, regs, e);
}

/* ---- the first stop ---- */

static bool in_frame(u64 at, u64 bytes)
{
	return at >= CAGE_AREA + CAGE_FRAME &&
	       at + bytes <= CAGE_AREA + CAGE_FRAME + CAGE_FRAME_SIZE && at + bytes >= at;
}

/* No guest code has run, but kernels differ. */
static int learn(struct cage *c)
{
	const u8 *software;
	u32 mask;

	c->first = *cage_frame(c);
	if (!in_frame(c->first.fpstate, IMAGE_HEADER_END))
		return -EOPNOTSUPP;
	software = cage_image(c) + IMAGE_SOFTWARE;
	memcpy(c->software, software, sizeof(c->software));
	c->xstate_size = get32(software + SOFTWARE_SIZE);
	mask = get32(cage_image(c) + IMAGE_MXCSR_MASK);
	c->mxcsr_mask = mask ? mask : 0xffbf; /* SDM 1:11.6.6 */
	if (get32(software) != SOFTWARE_MAGIC || c->xstate_size < IMAGE_HEADER_END ||
		!in_frame(c->first.fpstate, c->xstate_size + sizeof(u32)))
		return -EOPNOTSUPP;
	return 0;
}

int runner_begin(struct cage *c)
{
	struct notice n;
	int r;

	do
		r = seat_wait(&c->runner, &n);
	while (r == -EINTR);
	if (r)
		return r;
	c->info_at = n.args[1];
	c->frame_at = n.args[2];
	if (n.args[0] != SIGILL || !at_its_place(c, &n) || c->frame_at % 8 ||
		!in_frame(c->frame_at, sizeof(struct kernel_frame)) || !in_frame(c->info_at, 128))
		return -EOPNOTSUPP;
	cage_control(c)->rsp = c->frame_at;
	cage_control(c)->dispatch = 1;
	r = learn(c);
	if (!r)
		runner_scrub(c);
	return r;
}

/* The image with all components in their initial state. */
void runner_scrub(struct cage *c)
{
	const u16 fcw = 0x37f;
	struct cage_control *control = cage_control(c);

	memset(c->region + CAGE_FRAME, 0, CAGE_FRAME_SIZE);
	memcpy(cage_image(c) + IMAGE_FCW, &fcw, sizeof(fcw));
	set32(cage_image(c) + IMAGE_MXCSR, 0x1f80);
	set32(cage_image(c) + IMAGE_MXCSR_MASK, c->mxcsr_mask);
	control->fs_base = control->gs_base = control->rflags = 0;
	cage_frame(c)->link = OURS;
}

void *cage_xstate(struct cage *c, u64 *size)
{
	*size = c->xstate_size;
	return c->bytes ? cage_image(c) : NULL;
}
