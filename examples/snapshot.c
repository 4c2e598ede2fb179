/* SPDX-License-Identifier: MIT */
/*
 * snapshot: runs a guest half-way, saves it, destroys the virtual machine, restores the guest into a new one, and lets
 * it finish there. The guest stores its intermediate results in every kind of state that a machine has, and reports them
 * at the end.
 *
 *     cc snapshot.c -o snapshot $(pkg-config --cflags --libs libkvm) && ./snapshot
 *
 * prints
 *
 *     straight: step 10, register 0x94f0af1a, memory 385, xmm 55, MSR 3628800, PIC 0x04, timer 0x34
 *     saved:    step 5
 *     restored: step 10, register 0x94f0af1a, memory 385, xmm 55, MSR 3628800, PIC 0x04, timer 0x34
 */
#define _POSIX_C_SOURCE 200809L
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libkvm.h>

#define MEMORY 0x10000ul
#define CODE   0x1000
#define STEP   0xf1 /* ports: a step is done, */
#define RESULT 0xf2 /* a result, */
#define EXIT   0xf4 /* the end */
#define HALF   5

__asm__(".pushsection .rodata\n"
	".code16\n"
	"guest:\n"
	"	movb $0x34, %al\n" /* timer: counter 0 in mode 2 */
	"	outb %al, $0x43\n"
	"	movb $0x01, %al\n" /* PIC: the mask of its inputs */
	"	outb %al, $0x21\n"
	"	movl $0x175, %ecx\n" /* MSR: IA32_SYSENTER_ESP, of no other use here */
	"	movl $1, %eax\n"
	"	xorl %edx, %edx\n"
	"	wrmsr\n"
	"	movl $0x200, %eax\n" /* vector registers on: CR4.OSFXSR */
	"	movl %eax, %cr4\n"
	"	movl $1, %ebx\n"         /* ebx: the step */
	".Lstep: imull $1664525, %ebp\n" /* register: a pseudo-random number */
	"	addl $1013904223, %ebp\n"
	"	movl %ebx, %eax\n" /* memory: the sum of squares */
	"	imull %ebx, %eax\n"
	"	addl %eax, 0x2000\n"
	"	movups %xmm0, 0x2010\n" /* vector register: the sum */
	"	addl %ebx, 0x2010\n"
	"	movups 0x2010, %xmm0\n"
	"	rdmsr\n" /* MSR: the product */
	"	imull %ebx, %eax\n"
	"	wrmsr\n"
	"	inb $0x21, %al\n" /* PIC: one bit, moving on */
	"	rolb $1, %al\n"
	"	outb %al, $0x21\n"
	"	outb %al, $0xf1\n"
	"	incl %ebx\n"
	"	cmpl $10, %ebx\n"
	"	jbe .Lstep\n"
	"	movw $0xf2, %dx\n"
	"	movl %ebp, %eax\n"
	"	outl %eax, %dx\n"
	"	movl 0x2000, %eax\n"
	"	outl %eax, %dx\n"
	"	movups %xmm0, 0x2010\n"
	"	movl 0x2010, %eax\n"
	"	outl %eax, %dx\n"
	"	rdmsr\n"
	"	movw $0xf2, %dx\n"
	"	outl %eax, %dx\n"
	"	xorl %eax, %eax\n"
	"	inb $0x21, %al\n"
	"	outl %eax, %dx\n"
	"	movb $0xe2, %al\n" /* ask counter 0 how it was programmed */
	"	outb %al, $0x43\n"
	"	inb $0x40, %al\n"
	"	andb $0x3f, %al\n"
	"	outl %eax, %dx\n"
	"	outb %al, $0xf4\n"
	"guest_end:\n"
	".code64\n"
	".popsection\n");
extern const unsigned char guest[], guest_end[];

struct machine {
	kvm_context_t kvm;
	char *memory;
	int step, stop_after;
	uint32_t results[6];
	int count;
};

struct state {
	char memory[MEMORY];
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_lapic_state lapic;
	struct kvm_mp_state mp;
	struct kvm_irqchip chips[3]; /* two PICs and the IOAPIC */
	struct kvm_pit_state pit;
	struct kvm_msr_entry *msrs;
	int nmsrs;
};

/* errno says why: every call of the library sets it. */
static void check(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

/*
 * At an exit the guest stands in the middle of an instruction, which the next entry completes: nothing to save yet. A
 * signal that is blocked here but not in the guest lets the next entry do that and nothing else.
 */
static int on_byte(void *opaque, uint16_t port, uint8_t byte)
{
	struct machine *m = opaque;

	(void)byte;
	if (port == STEP && ++m->step == m->stop_after)
		raise(SIGUSR1);
	return port == EXIT ? EXIT : 0;
}

static int on_long(void *opaque, uint16_t port, uint32_t value)
{
	struct machine *m = opaque;

	if (port == RESULT && m->count < 6)
		m->results[m->count++] = value;
	return 0;
}

/* The signal has come, and the guest stands between two instructions. */
static int on_signal(void *opaque)
{
	sigset_t set;
	int number;

	(void)opaque;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigwait(&set, &number);
	return number;
}

static struct kvm_callbacks callbacks = {.outb = on_byte, .outl = on_long, .io_window = on_signal};

static void machine_create(struct machine *m, int stop_after)
{
	sigset_t none;
	void *memory;

	memset(m, 0, sizeof(*m));
	m->stop_after = stop_after;
	m->kvm = kvm_init(&callbacks, m);
	check(m->kvm != NULL, "kvm_init");
	check(kvm_create(m->kvm, MEMORY, &memory) == 0, "kvm_create");
	m->memory = memory;
	sigemptyset(&none);
	check(kvm_set_signal_mask(m->kvm, 0, &none) == 0, "kvm_set_signal_mask");
}

static void machine_boot(struct machine *m)
{
	struct kvm_regs regs = {.rip = 0, .rflags = 2};
	struct kvm_sregs sregs;

	memcpy(m->memory + CODE, guest, (size_t)(guest_end - guest));
	check(kvm_get_sregs(m->kvm, 0, &sregs) == 0, "kvm_get_sregs");
	sregs.cs.selector = CODE >> 4;
	sregs.cs.base = CODE;
	check(kvm_set_sregs(m->kvm, 0, &sregs) == 0, "kvm_set_sregs");
	check(kvm_set_regs(m->kvm, 0, &regs) == 0, "kvm_set_regs");
}

/*
 * No vCPU runs, here and in the next. The interface knows no debug registers, no AVX and no event that is half
 * delivered; this guest has none.
 */
static void machine_save(struct machine *m, struct state *s)
{
	struct kvm_msr_list *list = kvm_get_msr_list(m->kvm);

	memcpy(s->memory, m->memory, MEMORY);
	check(kvm_get_regs(m->kvm, 0, &s->regs) == 0, "kvm_get_regs");
	check(kvm_get_sregs(m->kvm, 0, &s->sregs) == 0, "kvm_get_sregs");
	check(kvm_get_fpu(m->kvm, 0, &s->fpu) == 0, "kvm_get_fpu");
	check(kvm_get_lapic(m->kvm, 0, &s->lapic) == 0, "kvm_get_lapic");
	check(kvm_get_mpstate(m->kvm, 0, &s->mp) == 0, "kvm_get_mpstate");
	for (unsigned i = 0; i < 3; i++) {
		s->chips[i].chip_id = i;
		check(kvm_get_irqchip(m->kvm, &s->chips[i]) == 0, "kvm_get_irqchip");
	}
	check(kvm_get_pit(m->kvm, &s->pit) == 0, "kvm_get_pit");

	check(list != NULL, "kvm_get_msr_list");
	s->nmsrs = (int)list->nmsrs;
	s->msrs = calloc(list->nmsrs, sizeof(s->msrs[0]));
	check(s->msrs != NULL, "calloc");
	for (int i = 0; i < s->nmsrs; i++)
		s->msrs[i].index = list->indices[i];
	check(kvm_get_msrs(m->kvm, 0, s->msrs, s->nmsrs) == s->nmsrs, "kvm_get_msrs");
	free(list);
}

/* The system registers come first, they say which others there are; what may start something comes last. */
static void machine_restore(struct machine *m, struct state *s)
{
	memcpy(m->memory, s->memory, MEMORY);
	check(kvm_set_sregs(m->kvm, 0, &s->sregs) == 0, "kvm_set_sregs");
	check(kvm_set_regs(m->kvm, 0, &s->regs) == 0, "kvm_set_regs");
	check(kvm_set_fpu(m->kvm, 0, &s->fpu) == 0, "kvm_set_fpu");
	check(kvm_set_lapic(m->kvm, 0, &s->lapic) == 0, "kvm_set_lapic");
	check(kvm_set_msrs(m->kvm, 0, s->msrs, s->nmsrs) == s->nmsrs, "kvm_set_msrs");
	for (unsigned i = 0; i < 3; i++)
		check(kvm_set_irqchip(m->kvm, &s->chips[i]) == 0, "kvm_set_irqchip");
	check(kvm_set_pit(m->kvm, &s->pit) == 0, "kvm_set_pit");
	check(kvm_set_mpstate(m->kvm, 0, &s->mp) == 0, "kvm_set_mpstate");
	free(s->msrs);
}

static void machine_finish(struct machine *m, const char *title)
{
	const uint32_t *r = m->results;

	check(kvm_run(m->kvm, 0, NULL) == EXIT, "kvm_run, to the end");
	printf("%-9s step %d, register %#x, memory %u, xmm %u, MSR %u, PIC %#04x, timer %#x\n",
		title, m->step, r[0], r[1], r[2], r[3], r[4], r[5]);
	kvm_finalize(m->kvm);
}

int main(void)
{
	struct machine m;
	struct state state;
	sigset_t blocked;

	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	check(sigprocmask(SIG_BLOCK, &blocked, NULL) == 0, "sigprocmask");

	machine_create(&m, 0);
	machine_boot(&m);
	machine_finish(&m, "straight:");

	machine_create(&m, HALF);
	machine_boot(&m);
	check(kvm_run(m.kvm, 0, NULL) == SIGUSR1, "kvm_run, half-way");
	machine_save(&m, &state);
	printf("saved:    step %d\n", m.step);
	kvm_finalize(m.kvm);

	machine_create(&m, 0);
	m.step = HALF;
	machine_restore(&m, &state);
	machine_finish(&m, "restored:");
	return 0;
}
