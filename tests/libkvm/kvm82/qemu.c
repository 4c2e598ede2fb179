/* SPDX-License-Identifier: MIT */
/*
 * A machine as the main user of kvm-82's libkvm built it: memory, firmware and video memory of its own, one lock around
 * everything but the guest, interrupts pushed by hand, a video window that is an alias, CPUID set by table, and live
 * migration by the log of written pages. Written in the C and for the interface of 2008.
 *
 * prints
 *
 *     cpu: HandMadeGuest
 *     vga: pages written: 0 1 16 17
 *     ticks: yes
 *     migrated while it ran: yes
 *     vga: pages written: 16
 *     sum after migration: right
 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <libkvm.h>

#define PAGE        4096
#define LOW_RAM     0xa0000
#define RAM_SIZE    (2 * 1024 * 1024)
#define BIOS_SIZE   0x10000
#define BIOS        (0x100000000ul - BIOS_SIZE)
#define ISA_BIOS    0xf0000
#define VRAM        0xe0000000ul
#define VRAM_SIZE   (32 * PAGE)
#define VGA_WINDOW  0xa0000
#define VGA_BANK    0x10000
#define SIG_IPI     SIGUSR1
#define TICK_VECTOR 0x20
#define DATA        0x2000 /* the guest's: ticks, rounds, sum */

enum { PORT_CHAR = 0xf1, PORT_BANK = 0xf2, PORT_PHASE = 0xf3 };

/* The firmware; its first instruction is at its end. ebp: rounds to go; the host sets it. */
__asm__(".pushsection .rodata\n"
	".code16\n"
	"bios:\n"
	"	xorw %ax, %ax\n"
	"	movw %ax, %ds\n"
	"	movw %ax, %ss\n"
	"	movw $0x1000, %sp\n"
	"	movw $bios_tick - bios, 0x20 * 4\n"
	"	movw $0xf000, 0x20 * 4 + 2\n"
	"	xorl %eax, %eax\n"
	"	cpuid\n"
	"	movl %ebx, 0x1800\n"
	"	movl %edx, 0x1804\n"
	"	movl %ecx, 0x1808\n"
	"	movw $0x1800, %si\n"
	"	movw $12, %cx\n"
	"	movw $0xf1, %dx\n"
	"	cld\n"
	"	rep outsb\n"
	"	movl $1, %eax\n"
	"	cpuid\n"
	"	movl %ebx, 0x1800\n"
	"	movb 0x1800, %al\n"
	"	outb %al, $0xf1\n"
	"	movb $0x0a, %al\n"
	"	outb %al, $0xf1\n"
	/* Two pages in each bank of the video memory, through the window. */
	"	movw $0xa000, %ax\n"
	"	movw %ax, %es\n"
	"	movb $0x11, %es:0\n"
	"	movb $0x22, %es:0x1000\n"
	"	movb $1, %al\n"
	"	outb %al, $0xf2\n"
	"	movb $0x33, %es:0\n"
	"	movb $0x44, %es:0x1000\n"
	"	outb %al, $0xf3\n"
	"	sti\n"
	/* Until the host says so: add one to the first byte of each paragraph of 64 KiB. */
	"1:	movw $0x1000, %ax\n"
	"	movw %ax, %es\n"
	"	xorw %di, %di\n"
	"2:	incb %es:(%di)\n"
	"	addw $16, %di\n"
	"	jnc 2b\n"
	"	incl 0x2004\n"
	"	cmpl $0, 0x200c\n"
	"	je 1b\n"
	"	cli\n"
	"	movw $0xa000, %ax\n"
	"	movw %ax, %es\n"
	"	movb $0x55, %es:0\n"
	/* All paragraphs have the same number, the rounds' last byte. */
	"	movw $0x1000, %ax\n"
	"	movw %ax, %es\n"
	"	xorw %di, %di\n"
	"	xorw %bx, %bx\n"
	"	movb 0x2004, %al\n"
	"3:	cmpb %al, %es:(%di)\n"
	"	je 4f\n"
	"	incw %bx\n"
	"4:	addw $16, %di\n"
	"	jnc 3b\n"
	"	movw %bx, 0x2008\n"
	"	outb %al, $0xf3\n"
	"	hlt\n"
	"bios_tick: incl 0x2000\n"
	"	iretw\n"
	"	.org bios + 0xfff0\n"
	"	ljmpw $0xf000, $0\n"
	"	.org bios + 0x10000\n"
	".code64\n"
	".popsection\n");
extern const unsigned char bios[];

/* What a machine needs; there is one at a time. */
typedef struct CPUState {
	int stop, stopped, interrupt, phase;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_fpu fpu;
	struct kvm_msr_entry *msrs;
	int nmsrs;
} CPUState;

static kvm_context_t kvm_context;
static pthread_mutex_t qemu_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t qemu_cond = PTHREAD_COND_INITIALIZER;
static pthread_t vcpu_thread;
static CPUState *cpu_single_env;
static CPUState first_cpu;
static unsigned char *phys_ram, *phys_bios, *phys_vram;

static void die(const char *what, int r)
{
	fprintf(stderr, "%s: %s\n", what, strerror(-r));
	exit(1);
}

static int qemu_inb(void *opaque, uint16_t addr, uint8_t *data)
{
	*data = 0xff;
	return 0;
}

static void set_bank(int bank)
{
	int r = kvm_create_memory_alias(kvm_context, VGA_WINDOW, VGA_BANK, VRAM + bank * VGA_BANK);

	if (r < 0)
		die("kvm_create_memory_alias", r);
}

static int qemu_outb(void *opaque, uint16_t addr, uint8_t data)
{
	switch (addr) {
	case PORT_CHAR: putchar(data); break;
	case PORT_BANK: set_bank(data); break;
	case PORT_PHASE:
		cpu_single_env->phase++;
		pthread_cond_broadcast(&qemu_cond);
		break;
	}
	return 0;
}

static int qemu_mmio_read(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	memset(data, 0xff, len);
	return 0;
}

static int qemu_mmio_write(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	return 0;
}

static int qemu_halt(void *opaque, int vcpu)
{
	return 1;
}

static int qemu_shutdown(void *opaque, void *env)
{
	fprintf(stderr, "shutdown\n");
	exit(1);
}

static int qemu_io_window(void *opaque)
{
	return 1;
}

static int qemu_try_push_interrupts(void *opaque)
{
	CPUState *env = cpu_single_env;

	if (env->interrupt && kvm_is_ready_for_interrupt_injection(kvm_context, 0) &&
		kvm_get_interrupt_flag(kvm_context, 0)) {
		int r = kvm_inject_irq(kvm_context, 0, TICK_VECTOR);

		if (r < 0)
			die("kvm_inject_irq", r);
		env->interrupt = 0;
	}
	return env->interrupt;
}

static void qemu_push_nmi(void *opaque)
{
}

static void qemu_post_kvm_run(void *opaque, void *data)
{
	pthread_mutex_lock(&qemu_mutex);
	cpu_single_env = data;
	kvm_get_cr8(kvm_context, 0);
	kvm_get_apic_base(kvm_context, 0);
}

static int qemu_pre_kvm_run(void *opaque, void *data)
{
	kvm_set_cr8(kvm_context, 0, 0);
	if (((CPUState *)data)->stop)
		return 1;
	pthread_mutex_unlock(&qemu_mutex);
	return 0;
}

static struct kvm_callbacks qemu_kvm_ops = {
	.inb = qemu_inb,
	.outb = qemu_outb,
	.mmio_read = qemu_mmio_read,
	.mmio_write = qemu_mmio_write,
	.halt = qemu_halt,
	.shutdown = qemu_shutdown,
	.io_window = qemu_io_window,
	.try_push_interrupts = qemu_try_push_interrupts,
	.push_nmi = qemu_push_nmi,
	.post_kvm_run = qemu_post_kvm_run,
	.pre_kvm_run = qemu_pre_kvm_run,
};

static unsigned char *get_memory(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		die("mmap", -errno);
	return p;
}

static void register_memory(unsigned long start, void *mem, unsigned long size, int log)
{
	int r = kvm_register_phys_mem(kvm_context, start, mem, size, log);

	if (r < 0)
		die("kvm_register_phys_mem", r);
}

static void machine_init(void)
{
	void *unused;
	int r;

	kvm_context = kvm_init(&qemu_kvm_ops, NULL);
	if (!kvm_context)
		die("kvm_init", -errno);
	kvm_disable_irqchip_creation(kvm_context);
	kvm_disable_pit_creation(kvm_context);
	r = kvm_create(kvm_context, 0, &unused);
	if (r < 0)
		die("kvm_create", r);
	phys_ram = get_memory(RAM_SIZE);
	phys_bios = get_memory(BIOS_SIZE);
	phys_vram = get_memory(VRAM_SIZE);
	register_memory(0, phys_ram, LOW_RAM, 0);
	register_memory(0x100000, phys_ram + 0x100000, RAM_SIZE - 0x100000, 0);
	memcpy(phys_bios, bios, BIOS_SIZE);
	register_memory(BIOS, phys_bios, BIOS_SIZE, 0);
	r = kvm_create_memory_alias(kvm_context, ISA_BIOS, BIOS_SIZE, BIOS);
	if (r < 0)
		die("kvm_create_memory_alias", r);
	register_memory(VRAM, phys_vram, VRAM_SIZE, 1);
	set_bank(0);
}

static void machine_exit(void)
{
	if (kvm_destroy_memory_alias(kvm_context, VGA_WINDOW) < 0)
		die("kvm_destroy_memory_alias", -errno);
	kvm_unregister_memory_area(kvm_context, VRAM, VRAM_SIZE);
	if (kvm_is_containing_region(kvm_context, VRAM, VRAM_SIZE))
		die("kvm_unregister_memory_area", -EBUSY);
	kvm_finalize(kvm_context);
	munmap(phys_ram, RAM_SIZE);
	munmap(phys_bios, BIOS_SIZE);
	munmap(phys_vram, VRAM_SIZE);
}

static void cpu_set_cpuid(void)
{
	struct kvm_cpuid_entry entries[2];
	int r;

	memset(entries, 0, sizeof(entries));
	entries[0].function = 0;
	entries[0].eax = 1;
	memcpy(&entries[0].ebx, "Hand", 4);
	memcpy(&entries[0].edx, "Made", 4);
	memcpy(&entries[0].ecx, "Gues", 4);
	entries[1].function = 1;
	entries[1].eax = 0x623;
	entries[1].ebx = 't';
	entries[1].edx = 1 << 4 | 1 << 5 | 1 << 24;
	r = kvm_setup_cpuid(kvm_context, 0, 2, entries);
	if (r < 0)
		die("kvm_setup_cpuid", r);
}

static void cpu_load(CPUState *env)
{
	if (kvm_set_sregs(kvm_context, 0, &env->sregs) < 0 ||
		kvm_set_regs(kvm_context, 0, &env->regs) < 0 ||
		kvm_set_fpu(kvm_context, 0, &env->fpu) < 0)
		die("cpu_load", -errno);
	if (kvm_set_msrs(kvm_context, 0, env->msrs, env->nmsrs) != env->nmsrs)
		die("kvm_set_msrs", -errno);
	free(env->msrs);
	env->msrs = NULL;
}

static void cpu_save(CPUState *env)
{
	static const unsigned indices[] = {0x174, 0x175, 0x176, 0xc0000081};
	int i;

	if (kvm_get_sregs(kvm_context, 0, &env->sregs) < 0 ||
		kvm_get_regs(kvm_context, 0, &env->regs) < 0 ||
		kvm_get_fpu(kvm_context, 0, &env->fpu) < 0)
		die("cpu_save", -errno);
	env->msrs = calloc(4, sizeof(*env->msrs));
	for (i = 0; i < 4; i++)
		env->msrs[i].index = indices[i];
	env->nmsrs = kvm_get_msrs(kvm_context, 0, env->msrs, 4);
}

/* The thread of the cpu: runs until it is told to stop, with the lock held but in the guest. */
static void *ap_main_loop(void *arg)
{
	CPUState *env = arg;
	sigset_t set;
	int r, n;

	sigemptyset(&set);
	sigaddset(&set, SIG_IPI);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_mutex_lock(&qemu_mutex);
	cpu_single_env = env;
	r = kvm_create_vcpu(kvm_context, 0);
	if (r < 0)
		die("kvm_create_vcpu", r);
	cpu_set_cpuid();
	if (env->msrs)
		cpu_load(env);
	sigemptyset(&set);
	r = kvm_set_signal_mask(kvm_context, 0, &set);
	if (r < 0)
		die("kvm_set_signal_mask", r);
	while (!env->stop) {
		struct timespec now = {0, 0};

		cpu_single_env = env;
		r = kvm_run(kvm_context, 0, env);
		if (r < 0)
			die("kvm_run", r);
		sigaddset(&set, SIG_IPI);
		do
			n = sigtimedwait(&set, NULL, &now);
		while (n > 0);
		if (env->phase == 2)
			break;
	}
	cpu_save(env);
	env->stopped = 1;
	pthread_cond_broadcast(&qemu_cond);
	pthread_mutex_unlock(&qemu_mutex);
	return NULL;
}

static void vm_start(CPUState *env)
{
	env->stop = env->stopped = 0;
	if (pthread_create(&vcpu_thread, NULL, ap_main_loop, env))
		die("pthread_create", -EAGAIN);
}

static void vm_stop(CPUState *env)
{
	pthread_mutex_lock(&qemu_mutex);
	env->stop = 1;
	pthread_kill(vcpu_thread, SIG_IPI);
	while (!env->stopped)
		pthread_cond_wait(&qemu_cond, &qemu_mutex);
	pthread_mutex_unlock(&qemu_mutex);
	pthread_join(vcpu_thread, NULL);
}

static void wait_for_phase(CPUState *env, int phase)
{
	pthread_mutex_lock(&qemu_mutex);
	while (env->phase < phase)
		pthread_cond_wait(&qemu_cond, &qemu_mutex);
	pthread_mutex_unlock(&qemu_mutex);
}

static unsigned guest_long(unsigned addr)
{
	return *(volatile unsigned *)(phys_ram + addr);
}

/* The clock: an interrupt whenever the one before was seen. */
static int ticks_arrive(CPUState *env)
{
	int i;

	for (i = 0; i < 10; i++) {
		unsigned before = guest_long(DATA), tries = 0;

		pthread_mutex_lock(&qemu_mutex);
		env->interrupt = 1;
		pthread_kill(vcpu_thread, SIG_IPI);
		pthread_mutex_unlock(&qemu_mutex);
		while (guest_long(DATA) == before)
			if (++tries == 20000)
				return 0;
			else
				usleep(1000);
	}
	return 1;
}

static void vga_update(void)
{
	unsigned long bitmap[1];
	int i, r;

	pthread_mutex_lock(&qemu_mutex);
	r = kvm_get_dirty_pages(kvm_context, VRAM, bitmap);
	pthread_mutex_unlock(&qemu_mutex);
	if (r < 0)
		die("kvm_get_dirty_pages", r);
	printf("vga: pages written:");
	for (i = 0; i < VRAM_SIZE / PAGE; i++)
		if (bitmap[0] >> i & 1)
			printf(" %d", i);
	printf("\n");
}

/* ---- Migration --------------------------------------------------------------------------------------- */

static unsigned char *stream; /* what the other side has received */

static int send_dirty(unsigned long start, unsigned long len, void *bitmap, void *opaque)
{
	unsigned long *bits = bitmap, i;

	for (i = 0; i < len / PAGE; i++)
		if (bits[i / 64] >> i % 64 & 1) {
			memcpy(stream + start + i * PAGE, phys_ram + start + i * PAGE, PAGE);
			++*(int *)opaque;
		}
	return 0;
}

static int send_round(void)
{
	static unsigned long bitmap[RAM_SIZE / PAGE / 64 + 1];
	int sent = 0, r;

	r = kvm_get_dirty_pages_range(kvm_context, 0, RAM_SIZE, bitmap, &sent, send_dirty);
	if (r < 0)
		die("kvm_get_dirty_pages_range", r);
	return sent;
}

/* All memory once, then what was written meanwhile, at last what was written until the cpu stopped. */
static int migrate(CPUState *env)
{
	int i, meanwhile = 0;
	unsigned rounds = guest_long(DATA + 4);

	pthread_mutex_lock(&qemu_mutex);
	if (kvm_dirty_pages_log_enable_all(kvm_context) < 0)
		die("kvm_dirty_pages_log_enable_all", -errno);
	stream = get_memory(RAM_SIZE);
	memcpy(stream, phys_ram, RAM_SIZE);
	pthread_mutex_unlock(&qemu_mutex);
	for (i = 0; i < 5; i++) {
		while (guest_long(DATA + 4) - rounds < 3)
			usleep(1000);
		rounds = guest_long(DATA + 4);
		pthread_mutex_lock(&qemu_mutex);
		meanwhile += send_round();
		pthread_mutex_unlock(&qemu_mutex);
	}
	vm_stop(env);
	send_round();
	if (kvm_dirty_pages_log_reset(kvm_context) < 0)
		die("kvm_dirty_pages_log_reset", -errno);
	return meanwhile > 16;
}

int main(void)
{
	CPUState *env = &first_cpu;

	machine_init();
	printf("cpu: ");
	vm_start(env);
	wait_for_phase(env, 1);
	vga_update();
	printf("ticks: %s\n", ticks_arrive(env) ? "yes" : "no");
	printf("migrated while it ran: %s\n", migrate(env) ? "yes" : "no");
	machine_exit();

	machine_init();
	memcpy(phys_ram, stream, LOW_RAM);
	munmap(stream, RAM_SIZE);
	set_bank(1);
	*(volatile unsigned *)(phys_ram + DATA + 12) = 1;
	vm_start(env);
	wait_for_phase(env, 2);
	pthread_join(vcpu_thread, NULL);
	vga_update();
	printf("sum after migration: %s\n",
		(guest_long(DATA + 8) & 0xffff) == 0 ? "right" : "WRONG");
	machine_exit();
	return 0;
}
