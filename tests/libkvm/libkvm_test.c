/* SPDX-License-Identifier: MIT */
/*
 * The control library from the outside, on one engine: libkvm_test kernel|soft. Everything is seen through the
 * callbacks, the guest's memory and the results.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "vm.h"

#define MEM (2ul << 20)

/* ---- Life ------------------------------------------------------------------------------------------- */

static void init_refuses(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};

	errno = 0;
	assert_null(uv_kvm_init(&cb, NULL, "steam", vm_quiet, NULL));
	assert_int_equal(errno, EINVAL);
	assert_null(uv_kvm_init(NULL, NULL, vm_engine, vm_quiet, NULL));
	kvm_finalize(NULL);
}

static void engine_from_environment(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};
	kvm_context_t kvm;

	setenv("LIBKVM_ENGINE", vm_engine, 1);
	kvm = kvm_init(&cb, NULL);
	unsetenv("LIBKVM_ENGINE");
	assert_non_null(kvm);
	assert_string_equal(uv_kvm_engine(kvm), vm_engine);
	kvm_finalize(kvm);
}

/* A context without a VM leaves every descriptor of the program alone. */
static void finalize_early(void **state)
{
	struct kvm_callbacks cb = {.inb = NULL};
	kvm_context_t kvm = uv_kvm_init(&cb, NULL, vm_engine, vm_quiet, NULL);
	int before = dup(0);

	assert_non_null(kvm);
	assert_int_equal(kvm_check_extension(kvm, KVM_CAP_USER_MEMORY), 1);
	assert_int_equal(kvm_check_extension(kvm, KVM_CAP_NR_MEMSLOTS), 1);
	assert_int_equal(kvm_check_extension(kvm, 99999), 0);
	assert_int_equal(kvm_get_regs(kvm, 0, &(struct kvm_regs){.rax = 0}), -EBADF);
	kvm_finalize(kvm);
	assert_int_not_equal(fcntl(0, F_GETFD), before < 0 ? 0 : -1);
	close(before);
}

static unsigned open_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void finalize_closes_all(void **state)
{
	unsigned before = open_descriptors();
	struct vm vm;

	vm_create(&vm, MEM);
	for (int i = 0; i < 4; i++)
		assert_int_equal(kvm_create_vcpu(vm.kvm, i), 0);
	assert_non_null(kvm_create_phys_mem(vm.kvm, 16 << 20, PAGE_SIZE, 0, 1));
	vm_destroy(&vm);
	assert_int_equal(open_descriptors(), before);
}

static void vm_only_once(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_create_vm(vm.kvm), -EEXIST);
	assert_int_equal(errno, EEXIST);
	vm_destroy(&vm);
}

/* vCPU 0 comes with its first use and can still be asked for once. */
static void vcpu_zero(void **state)
{
	struct kvm_regs regs;
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_get_regs(vm.kvm, 0, &regs), 0);
	assert_int_equal(regs.rip, 0xfff0);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 0), 0);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 0), -EEXIST);
	assert_int_equal(kvm_get_regs(vm.kvm, 1, &regs), -EINVAL);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), 0);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), -EEXIST);
	assert_int_equal(kvm_create_vcpu(vm.kvm, -1), -EINVAL);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1 << 30), -EINVAL);
	assert_int_equal(kvm_get_regs(vm.kvm, 1, &regs), 0);
	vm_destroy(&vm);
}

static void many_vcpus(void **state)
{
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	for (int i = 0; i < 20; i++)
		assert_int_equal(kvm_create_vcpu(vm.kvm, i), 0);
	vm_destroy(&vm);
}

/* ---- Exits ------------------------------------------------------------------------------------------ */

GUEST(ports_code, "movb $0x5a, %al; outb %al, $0x10\n"
		  "movw $0x1234, %ax; outw %ax, $0x12\n"
		  "movl $0x12345678, %eax; outl %eax, $0x14\n"
		  "inb $0x20, %al; movb %al, 0x2000\n"
		  "inw $0x22, %ax; movw %ax, 0x2002\n"
		  "inl $0x24, %eax; movl %eax, 0x2004\n"
		  "hlt");

static void ports(void **state)
{
	struct vm vm;
	u32 dword;

	vm_create(&vm, MEM);
	LOAD(&vm, ports_code);
	vm.in_value = 0xcafe1200;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(
		vm.trace, "outb:10=5a outw:12=1234 outl:14=12345678 inb:20 inw:22 inl:24 halt:0 ");
	assert_int_equal(vm.mem[0x2000], 0x00);
	assert_int_equal(vm.mem[0x2002], 0x01);
	memcpy(&dword, vm.mem + 0x2004, 4);
	assert_int_equal(dword, 0xcafe1201);
	vm_destroy(&vm);
}

GUEST(string_code, "cld\nmovw $0x2000, %di; movw $5, %cx; movw $0x30, %dx\n"
		   "rep insb\n"
		   "movw $0x2000, %si; movw $3, %cx; movw $0x31, %dx\n"
		   "rep outsb\n"
		   "hlt");

static void strings(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, string_code);
	vm.in_value = 0x40;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "inb:30 inb:30 inb:30 inb:30 inb:30 "
				      "outb:31=40 outb:31=41 outb:31=42 halt:0 ");
	assert_memory_equal(vm.mem + 0x2000, "@ABCD", 5);
	vm_destroy(&vm);
}

/* A handler that wants out ends kvm_run with its value, and the next run goes on behind the instruction. */
static void handler_ends_run(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, ports_code);
	vm.ret_io = 33;
	assert_int_equal(vm_run(&vm), 33);
	assert_string_equal(vm.trace, "outb:10=5a ");
	vm.ret_io = 0;
	vm_forget(&vm);
	assert_int_equal(vm_run(&vm), 7);
	assert_memory_equal(vm.trace, "outw:12=1234 ", 13);
	vm_destroy(&vm);
}

GUEST(mmio_code, "movw $0xa000, %ax; movw %ax, %ds\n"
		 "movb $0x77, 0x10\n"
		 "movw 0x20, %bx\n"
		 "movw %bx, %cs:0x2000\n"
		 "hlt");

static void mmio(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, mmio_code);
	vm.in_value = 0xbeef;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "write:a0010/1=77 read:a0020/2 halt:0 ");
	assert_int_equal(vm.mem[0x2000], 0xef);
	assert_int_equal(vm.mem[0x2001], 0xbe);
	vm_destroy(&vm);
}

/* Without handlers: reads are all ones, writes vanish, halt ends the run with 1. */
static void no_handlers(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, ports_code);
	memset(&vm.callbacks, 0, sizeof(vm.callbacks));
	assert_int_equal(vm_run(&vm), 1);
	assert_int_equal(vm.mem[0x2000], 0xff);
	assert_int_equal(vm.mem[0x2007], 0xff);
	LOAD(&vm, mmio_code);
	assert_int_equal(vm_run(&vm), 1);
	assert_int_equal(vm.mem[0x2000], 0xff);
	vm_destroy(&vm);
}

/* An empty IDT and an exception: triple fault. */
GUEST(fault_code, "lidtw %cs:0x1100\nud2");

static void triple_fault(void **state)
{
	struct vm vm;
	int r;

	vm_create(&vm, MEM);
	LOAD(&vm, fault_code);
	memset(vm.mem + 0x1100, 0, 6);
	r = vm_run(&vm);
	if (r == -EIO && !strcmp(vm_engine, "kernel")) {
		vm_destroy(&vm); /* a KVM without hardware emulates real mode, and not its faults */
		skip();
	}
	assert_int_equal(r, 7);
	assert_string_equal(vm.trace, "shutdown ");
	vm_destroy(&vm);
}

GUEST(nop_code, "nop\nnop\nhlt");

static void single_step(void **state)
{
	struct kvm_guest_debug debug = {.control = KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP};
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, nop_code);
	assert_int_equal(kvm_set_guest_debug(vm.kvm, 0, &debug), 0);
	assert_int_equal(vm_run(&vm), 8);
	assert_int_equal(vm_run(&vm), 8);
	assert_string_equal(vm.trace, "debug:1@1001 debug:1@1002 ");
	debug.control = 0;
	assert_int_equal(kvm_set_guest_debug(vm.kvm, 0, &debug), 0);
	assert_int_equal(vm_run(&vm), 7);
	vm_destroy(&vm);
}

/* ---- The loop --------------------------------------------------------------------------------------- */

static void add(void *opaque, const char *word)
{
	strcat(((struct vm *)opaque)->trace, word);
}

static void trace_nmi(void *opaque)
{
	add(opaque, "nmi ");
}

static int trace_push(void *opaque)
{
	add(opaque, "push ");
	return ((struct vm *)opaque)->ret_push;
}

static int trace_pre(void *opaque, void *env)
{
	add(opaque, env == &((struct vm *)opaque)->env ? "pre " : "pre:wrong-env ");
	return ((struct vm *)opaque)->ret_pre;
}

static void trace_post(void *opaque, void *env)
{
	add(opaque, "post ");
	errno = EBADMSG; /* may do so */
}

static void trace_hooks(struct vm *vm)
{
	vm->callbacks.push_nmi = trace_nmi;
	vm->callbacks.try_push_interrupts = trace_push;
	vm->callbacks.pre_kvm_run = trace_pre;
	vm->callbacks.post_kvm_run = trace_post;
}

GUEST(out_code, "outb %al, $0x10\nhlt");

static void callback_order(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, out_code);
	trace_hooks(&vm);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "nmi push pre post outb:10=0 nmi push pre post halt:0 ");
	vm_forget(&vm);
	vm.ret_pre = 12;
	assert_int_equal(vm_run(&vm), 12);
	assert_string_equal(vm.trace, "nmi push pre ");
	vm_destroy(&vm);
}

/* With interrupt controllers in the engine nobody is asked for interrupts. */
static void callback_order_irqchip(void **state)
{
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	LOAD(&vm, out_code);
	trace_hooks(&vm);
	vm.ret_io = 5;
	assert_int_equal(vm_run(&vm), 5);
	assert_string_equal(vm.trace, "nmi pre post outb:10=0 ");
	vm_destroy(&vm);
}

static int handler_calls;

static void on_signal(int number)
{
	handler_calls++;
}

static sigset_t only(int number)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, number);
	return set;
}

GUEST(spin_code, "1: jmp 1b");

/* A blocked signal that the mask lets in ends the guest's turn, stays pending, and runs no handler. */
static void signal_mask(void **state)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t usr1 = only(SIGUSR1), none, pending;
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, spin_code);
	sigaction(SIGUSR1, &action, NULL);
	pthread_sigmask(SIG_BLOCK, &usr1, NULL);
	sigemptyset(&none);
	assert_int_equal(kvm_set_signal_mask(vm.kvm, 0, &none), 0);
	pthread_kill(pthread_self(), SIGUSR1);
	handler_calls = 0;
	assert_int_equal(vm_run(&vm), 8);
	assert_string_equal(vm.trace, "window ");
	assert_int_equal(handler_calls, 0);
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGUSR1));
	assert_int_equal(vm_run(&vm), 8);
	sigwaitinfo(&usr1, NULL);
	pthread_sigmask(SIG_UNBLOCK, &usr1, NULL);
	assert_int_equal(kvm_set_signal_mask(vm.kvm, 0, NULL), 0);
	vm_destroy(&vm);
}

static void *kick_later(void *opaque)
{
	usleep(50000);
	pthread_kill(*(pthread_t *)opaque, SIGUSR1);
	return NULL;
}

/* From another thread, while the guest spins. */
static void signal_from_outside(void **state)
{
	struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
	pthread_t self = pthread_self(), kicker;
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, spin_code);
	sigaction(SIGUSR1, &action, NULL);
	handler_calls = 0;
	pthread_create(&kicker, NULL, kick_later, &self);
	assert_int_equal(vm_run(&vm), 8);
	pthread_join(kicker, NULL);
	assert_int_equal(handler_calls, 1);
	vm_destroy(&vm);
}

/* ---- Memory ----------------------------------------------------------------------------------------- */

/* Stores at 0x9ffff (memory), 0xa0000 (hole), 0xc0000 (memory). */
GUEST(layout_code, "movw $0x9000, %ax; movw %ax, %ds; movb $1, 0xffff\n"
		   "movw $0xa000, %ax; movw %ax, %ds; movb $2, 0\n"
		   "movw $0xc000, %ax; movw %ax, %ds; movb $3, 0\n"
		   "hlt");

static void create_layout(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, layout_code);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "write:a0000/1=2 halt:0 ");
	assert_int_equal(vm.mem[0x9ffff], 1);
	assert_int_equal(vm.mem[0xc0000], 3);
	assert_true(kvm_is_containing_region(vm.kvm, 0, 0xa0000));
	assert_false(kvm_is_containing_region(vm.kvm, 0, 0xa0001));
	assert_false(kvm_is_containing_region(vm.kvm, 0xa0000, 1));
	assert_true(kvm_is_containing_region(vm.kvm, 0xc0000, MEM - 0xc0000));
	assert_false(kvm_is_containing_region(vm.kvm, MEM, 1));
	vm_destroy(&vm);
}

/* What does not fit below 0xe0000000 lies at 4 GiB; the host address is still base plus guest address. */
static void create_large(void **state)
{
	const unsigned long size = 4ul << 30;
	struct vm vm;

	vm_create(&vm, size);
	assert_true(kvm_is_containing_region(vm.kvm, 0xc0000, 0xe0000000 - 0xc0000));
	assert_false(kvm_is_containing_region(vm.kvm, 0xe0000000, 1));
	assert_true(kvm_is_containing_region(vm.kvm, 1ul << 32, 0x20000000));
	assert_false(kvm_is_containing_region(vm.kvm, (1ul << 32) + 0x20000000, 1));
	vm.mem[(1ul << 32) + 0x1fffffff] = 1;
	vm_destroy(&vm);
}

static void create_small(void **state)
{
	struct vm vm;

	vm_create(&vm, 5000);
	assert_true(kvm_is_containing_region(vm.kvm, 0, 0x2000));
	assert_false(kvm_is_containing_region(vm.kvm, 0, 0x2001));
	vm_destroy(&vm);
	vm_create(&vm, 0);
	assert_false(kvm_is_containing_region(vm.kvm, 0, 1));
	vm_destroy(&vm);
}

/* Old programs put their own memory over what kvm_create made. */
static void provisional_gives_way(void **state)
{
	struct vm vm;
	void *own;

	vm_create(&vm, MEM);
	own = mmap(NULL, 0x4000, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_int_equal(kvm_register_phys_mem(vm.kvm, 0x8000, own, 0x4000, 0), 0);
	assert_true(kvm_is_containing_region(vm.kvm, 0, 0x8000));
	assert_true(kvm_is_containing_region(vm.kvm, 0x8000, 0x4000));
	assert_false(kvm_is_containing_region(vm.kvm, 0x7fff, 2));
	assert_true(kvm_is_containing_region(vm.kvm, 0xc000, 0xa0000 - 0xc000));
	assert_int_equal(kvm_register_phys_mem(vm.kvm, 0x9000, own, 0x1000, 0), -EEXIST);
	assert_null(kvm_create_phys_mem(vm.kvm, 0, MEM, 0, 1));
	assert_int_equal(errno, EEXIST);
	kvm_destroy_phys_mem(vm.kvm, 0x8000, 0);
	vm.mem = kvm_create_phys_mem(vm.kvm, 0, MEM, 0, 1);
	assert_non_null(vm.mem);
	LOAD(&vm, layout_code);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "halt:0 "); /* no hole any more */
	assert_int_equal(vm.mem[0xa0000], 2);
	vm_destroy(&vm);
	munmap(own, 0x4000);
}

static void bad_regions(void **state)
{
	static u8 page[2 * 4096] __attribute__((aligned(4096)));
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_register_phys_mem(vm.kvm, 0x1000001, page, 0x1000, 0), -EINVAL);
	assert_int_equal(kvm_register_phys_mem(vm.kvm, 0x1000000, page, 0x1001, 0), -EINVAL);
	assert_int_equal(kvm_register_phys_mem(vm.kvm, 0x1000000, page + 1, 0x1000, 0), -EINVAL);
	assert_int_equal(kvm_register_phys_mem(vm.kvm, 0x1000000, page, 0, 0), -EINVAL);
	assert_int_equal(kvm_register_phys_mem(vm.kvm, -0x1000ul, page, 0x2000, 0), -EINVAL);
	assert_null(kvm_create_phys_mem(vm.kvm, 0x1000001, 0x1000, 0, 1));
	kvm_destroy_phys_mem(vm.kvm, 0x5000000, 0x1000); /* nothing there: nothing happens */
	kvm_unregister_memory_area(vm.kvm, 0x5000000, 0x1000);
	vm_destroy(&vm);
}

GUEST(rom_code, "movw $0x8000, %ax; movw %ax, %ds\n"
		"movb 0, %bl; movb $0x99, 1; movb %bl, %cs:0x2000\nhlt");

static void read_only_memory(void **state)
{
	struct vm vm;
	u8 *rom;

	vm_create(&vm, 0x80000);
	rom = kvm_create_phys_mem(vm.kvm, 0x80000, 0x1000, 0, 0);
	assert_non_null(rom);
	rom[0] = 0x42;
	LOAD(&vm, rom_code);
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "write:80001/1=99 halt:0 ");
	assert_int_equal(vm.mem[0x2000], 0x42);
	assert_int_equal(rom[1], 0);
	vm_destroy(&vm);
}

/* Pages 2 and 3 of the first region, from CODE in page 1. */
GUEST(dirty_code, "movb $1, 0x2000\nmovb $1, 0x3fff\nhlt");

static u64 dirty_bits(struct vm *vm)
{
	static u64 bitmap[64];

	memset(bitmap, 0, sizeof(bitmap));
	assert_int_equal(kvm_get_dirty_pages(vm->kvm, 0x1234, bitmap), 0);
	return bitmap[0] & 0xc;
}

static void run_dirty(struct vm *vm)
{
	LOAD(vm, dirty_code);
	assert_int_equal(vm_run(vm), 7);
}

/* Counted per region; off at zero, never below. */
static void dirty_log_counts(void **state)
{
	u64 bitmap[64];
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0, bitmap), -ENOENT);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 1ul << 40, bitmap), -ENOENT);
	assert_int_equal(kvm_dirty_pages_log_enable_slot(vm.kvm, 1ul << 40, 1), -EINVAL);
	assert_int_equal(kvm_dirty_pages_log_disable_slot(vm.kvm, 0, 1), 0);
	assert_int_equal(kvm_dirty_pages_log_enable_slot(vm.kvm, 0, 1), 0);
	assert_int_equal(kvm_dirty_pages_log_enable_slot(vm.kvm, 0x1000, 1), 0);
	dirty_bits(&vm);
	run_dirty(&vm);
	assert_int_equal(dirty_bits(&vm), 0xc);
	assert_int_equal(dirty_bits(&vm), 0);
	assert_int_equal(kvm_dirty_pages_log_disable_slot(vm.kvm, 0, 1), 0);
	run_dirty(&vm);
	assert_int_equal(dirty_bits(&vm), 0xc);
	assert_int_equal(kvm_dirty_pages_log_disable_slot(vm.kvm, 0, 1), 0);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0, bitmap), -ENOENT);
	vm_destroy(&vm);
}

/* enable_all covers regions made later; reset leaves those that were created with logging. */
static void dirty_log_all(void **state)
{
	u64 bitmap[64];
	struct vm vm;

	vm_create(&vm, 0x80000);
	assert_non_null(kvm_create_phys_mem(vm.kvm, 0x1000000, 0x10000, 1, 1));
	assert_int_equal(kvm_dirty_pages_log_enable_all(vm.kvm), 0);
	assert_non_null(kvm_create_phys_mem(vm.kvm, 0x2000000, 0x10000, 0, 1));
	run_dirty(&vm);
	assert_int_equal(dirty_bits(&vm), 0xc);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0x2000000, bitmap), 0);
	assert_int_equal(kvm_dirty_pages_log_reset(vm.kvm), 0);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0, bitmap), -ENOENT);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0x2000000, bitmap), -ENOENT);
	assert_int_equal(kvm_get_dirty_pages(vm.kvm, 0x1000000, bitmap), 0);
	vm_destroy(&vm);
}

struct regions {
	unsigned n;
	unsigned long start[8], len[8];
	int stop_after;
};

static int on_region(unsigned long start, unsigned long len, void *bitmap, void *opaque)
{
	struct regions *r = opaque;

	r->start[r->n] = start;
	r->len[r->n] = len;
	return ++r->n == (unsigned)r->stop_after ? 55 : 0;
}

static void dirty_range(void **state)
{
	u64 *bitmap = calloc(64, 8);
	struct regions all = {.n = 0}, first = {.stop_after = 1}, inner = {.n = 0}, map = {.n = 0};
	struct vm vm;

	vm_create(&vm, MEM);
	kvm_dirty_pages_log_enable_all(vm.kvm);
	assert_int_equal(kvm_get_dirty_pages_range(vm.kvm, 0, ~0ul, bitmap, &all, on_region), 0);
	assert_int_equal(all.n, 2);
	assert_int_equal(all.len[0], 0xa0000);
	assert_int_equal(all.start[1], 0xc0000);
	assert_int_equal(kvm_get_dirty_pages_range(vm.kvm, 0, ~0ul, bitmap, &first, on_region), 55);
	assert_int_equal(first.n, 1);
	kvm_get_dirty_pages_range(vm.kvm, 0xc0000, MEM, bitmap, &inner, on_region);
	assert_int_equal(inner.n, 1); /* an end, not a length */
	vm.mem[0x5000] = 1;
	assert_int_equal(kvm_get_mem_map(vm.kvm, 0, bitmap), 0);
	assert_true(bitmap[0] & BIT64(5));
	assert_int_equal(kvm_get_mem_map(vm.kvm, 0xa0000, bitmap), -EINVAL);
	assert_int_equal(kvm_get_mem_map_range(vm.kvm, 0, MEM, bitmap, &map, on_region), 0);
	assert_int_equal(map.n, 2);
	vm_destroy(&vm);
	free(bitmap);
}

/* Collected writes arrive before the exit that follows them. */
static void coalesced_writes(void **state)
{
	struct vm vm;
	int r;

	vm_create(&vm, MEM);
	LOAD(&vm, mmio_code);
	r = kvm_register_coalesced_mmio(vm.kvm, 0xa0000, 0x18);
	if (r == -ENOSYS) {
		vm_destroy(&vm);
		skip();
	}
	assert_int_equal(r, 0);
	vm.in_value = 0xbeef;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "write:a0010/1=77 read:a0020/2 halt:0 ");
	assert_int_equal(kvm_unregister_coalesced_mmio(vm.kvm, 0xa0000, 0x18), 0);
	vm_destroy(&vm);
}

/* ---- Interrupts ------------------------------------------------------------------------------------- */

/* Vector 0x21 to 0x1100, which reports. */
GUEST(irq_code, "movw $0x1100, 0x84\nmovw $0, 0x86\n"
		"outb %al, $0x50\n"
		"sti\nnop\n1: jmp 1b\n"
		".fill 0x100 - (. - irq_code), 1, 0x90\noutb %al, $0x51\nhlt");

/* Injection waits for the guest to be ready, which try_push_interrupts finds out. */
static int push_when_ready(void *opaque)
{
	struct vm *vm = opaque;

	if (!kvm_is_ready_for_interrupt_injection(vm->kvm, 0) || vm->ret_push)
		return 1;
	vm->ret_push = 1;
	assert_int_equal(kvm_get_interrupt_flag(vm->kvm, 0), 1);
	assert_int_equal(kvm_inject_irq(vm->kvm, 0, 0x21), 0);
	return 0;
}

static void injection(void **state)
{
	struct vm vm;

	vm_create(&vm, MEM);
	LOAD(&vm, irq_code);
	vm.callbacks.try_push_interrupts = push_when_ready;
	assert_int_equal(vm_run(&vm), 7);
	assert_string_equal(vm.trace, "outb:50=0 outb:51=0 halt:0 ");
	assert_int_equal(kvm_inject_irq(vm.kvm, 0, 256), -EINVAL);
	vm_destroy(&vm);
}

static void lines(void **state)
{
	struct kvm_irqchip chip;
	struct kvm_lapic_state lapic;
	struct kvm_pit_state pit;
	struct vm vm;

	vm_create(&vm, MEM);
	assert_false(kvm_irqchip_in_kernel(vm.kvm));
	assert_false(kvm_pit_in_kernel(vm.kvm));
	assert_int_equal(kvm_set_irq_level(vm.kvm, 4, 1), 0);
	memset(&chip, 0x5a, sizeof(chip));
	assert_int_equal(kvm_get_irqchip(vm.kvm, &chip), 0);
	assert_int_equal(chip.chip_id, 0x5a5a5a5a); /* not touched */
	vm_destroy(&vm);

	vm_create_with_irqchip(&vm, MEM);
	assert_true(kvm_irqchip_in_kernel(vm.kvm));
	assert_true(kvm_pit_in_kernel(vm.kvm));
	assert_int_equal(kvm_set_irq_level(vm.kvm, 4, 1), 1);
	chip.chip_id = KVM_IRQCHIP_PIC_MASTER;
	assert_int_equal(kvm_get_irqchip(vm.kvm, &chip), 0);
	assert_int_equal(chip.chip.pic.irr & 0x10, 0x10);
	assert_int_equal(kvm_set_irqchip(vm.kvm, &chip), 0);
	chip.chip_id = 3;
	assert_int_equal(kvm_get_irqchip(vm.kvm, &chip), -EINVAL);
	assert_int_equal(kvm_get_lapic(vm.kvm, 0, &lapic), 0);
	assert_int_equal(kvm_set_lapic(vm.kvm, 0, &lapic), 0);
	assert_int_equal(kvm_get_pit(vm.kvm, &pit), 0);
	assert_int_equal(kvm_set_pit(vm.kvm, &pit), 0);
	assert_int_equal(kvm_inject_irq(vm.kvm, 0, 0x20), -ENXIO);
	vm_destroy(&vm);
}

/* ---- Registers -------------------------------------------------------------------------------------- */

static void registers(void **state)
{
	struct kvm_regs regs = {.rax = 0x1122334455667788, .rip = 0x4321, .rflags = 2}, back;
	struct kvm_fpu fpu = {.fcw = 0x27f, .mxcsr = 0x1f80}, fpu_back;
	struct kvm_mp_state mp;
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	assert_int_equal(kvm_set_regs(vm.kvm, 0, &regs), 0);
	assert_int_equal(kvm_get_regs(vm.kvm, 0, &back), 0);
	assert_memory_equal(&regs, &back, sizeof(regs));
	fpu.xmm[15][15] = 0x77;
	assert_int_equal(kvm_set_fpu(vm.kvm, 0, &fpu), 0);
	assert_int_equal(kvm_get_fpu(vm.kvm, 0, &fpu_back), 0);
	assert_int_equal(fpu_back.fcw, 0x27f);
	assert_int_equal(fpu_back.xmm[15][15], 0x77);
	assert_int_equal(kvm_create_vcpu(vm.kvm, 1), 0);
	assert_int_equal(kvm_get_mpstate(vm.kvm, 1, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	mp.mp_state = KVM_MP_STATE_RUNNABLE;
	assert_int_equal(kvm_set_mpstate(vm.kvm, 1, &mp), 0);
	assert_int_equal(kvm_reset_mpstate(vm.kvm, 1), 0);
	assert_int_equal(kvm_get_mpstate(vm.kvm, 1, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	vm_destroy(&vm);
}

static void msrs(void **state)
{
	struct kvm_msr_entry entries[2] = {
		{.index = 0xc0000081, .data = 0x1234}, {.index = 0xc0000082, .data = 0x5678}};
	struct kvm_msr_list *list;
	struct vm vm;

	vm_create(&vm, MEM);
	list = kvm_get_msr_list(vm.kvm);
	assert_non_null(list);
	assert_in_range(list->nmsrs, 5, 1000);
	free(list);
	assert_int_equal(kvm_set_msrs(vm.kvm, 0, entries, 2), 2);
	entries[0].data = entries[1].data = 0;
	assert_int_equal(kvm_get_msrs(vm.kvm, 0, entries, 2), 2);
	assert_int_equal(entries[0].data, 0x1234);
	assert_int_equal(entries[1].data, 0x5678);
	entries[1].index = 0x12345; /* no such MSR: its index is the result */
	assert_int_equal(kvm_get_msrs(vm.kvm, 0, entries, 2), 1);
	assert_int_equal(kvm_get_msrs(vm.kvm, 0, NULL, 0), 0);
	assert_int_equal(kvm_set_msrs(vm.kvm, 0, NULL, -1), -EINVAL);
	vm_destroy(&vm);
}

GUEST(cpuid_code, "movl $0x40000000, %eax\ncpuid\nmovl %ebx, 0x2000\nhlt");

/* The old format without sub-leaves, and the new one. */
static void cpuid(void **state)
{
	struct kvm_cpuid_entry old = {.function = 0x40000000, .ebx = 0x44434241};
	struct kvm_cpuid_entry2 new = {.function = 0x40000000, .ebx = 0x64636261};
	struct kvm_cpuid2 *offered;
	struct vm vm;

	vm_create(&vm, MEM);
	offered = uv_kvm_supported_cpuid(vm.kvm);
	assert_non_null(offered);
	assert_in_range(offered->nent, 5, 1000);
	LOAD(&vm, cpuid_code);
	assert_int_equal(uv_kvm_setup_cpuid2(vm.kvm, 0, 1, &new), 0);
	assert_int_equal(kvm_setup_cpuid(vm.kvm, 0, 1, &old), 0);
	assert_int_equal(vm_run(&vm), 7);
	assert_memory_equal(vm.mem + 0x2000, "ABCD", 4);
	assert_int_equal(kvm_setup_cpuid(vm.kvm, 0, 1 << 20, &old), -E2BIG);
	free(offered);
	vm_destroy(&vm);
}

static void collect(void *opaque, enum uv_kvm_log_kind kind, const char *line)
{
	char *text = opaque;

	assert_int_equal(kind, UV_KVM_LOG_DUMP);
	if (strlen(text) + strlen(line) + 2 < 65536) {
		strcat(text, line);
		strcat(text, "\n");
	}
}

static void text(void **state)
{
	struct kvm_regs regs = {.rbx = 0xfeedfacecafebeef, .rflags = 2};
	char *seen = calloc(1, 65536);
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	uv_kvm_set_log(vm.kvm, collect, seen);
	assert_int_equal(kvm_set_regs(vm.kvm, 0, &regs), 0);
	kvm_show_regs(vm.kvm, 0);
	assert_non_null(strstr(seen, "rbx feedfacecafebeef"));
	assert_non_null(strstr(seen, "cs  f000 (00000000ffff0000/"));
	assert_null(strstr(seen, "msr c0000081"));
	seen[0] = 0;
	assert_int_equal(kvm_dump_vcpu(vm.kvm, 0), 0);
	assert_non_null(strstr(seen, "rbx feedfacecafebeef"));
	assert_non_null(strstr(seen, "msr c0000081"));
	assert_non_null(strstr(seen, "lapic 000:"));
	uv_kvm_set_log(vm.kvm, NULL, NULL);
	assert_int_equal(kvm_dump_vcpu(vm.kvm, 5), -EINVAL);
	vm_destroy(&vm);
	free(seen);
}

static void gone_and_small(void **state)
{
	unsigned int pages = 99;
	struct vm vm;

	vm_create(&vm, MEM);
	assert_int_equal(kvm_assign_pci_device(vm.kvm, NULL), -ENOTTY);
	assert_int_equal(kvm_assign_irq(vm.kvm, NULL), -ENOTTY);
	assert_int_equal(kvm_destroy_memory_region_works(vm.kvm), 1);
	assert_int_equal(kvm_has_sync_mmu(vm.kvm), 1);
	if (kvm_check_extension(vm.kvm, KVM_CAP_MMU_SHADOW_CACHE_CONTROL)) {
		assert_int_equal(kvm_set_shadow_pages(vm.kvm, 200), 0);
		assert_int_equal(kvm_get_shadow_pages(vm.kvm, &pages), 0);
		assert_int_equal(pages, 200);
	}
	kvm_set_cr8(vm.kvm, 0, 5);
	assert_int_equal(kvm_get_cr8(vm.kvm, 0), 5);
	vm_destroy(&vm);
}

/* Nothing is shared between two contexts. */
static void two_contexts(void **state)
{
	struct vm a, b;

	vm_create(&a, MEM);
	vm_create(&b, 0x10000);
	LOAD(&a, ports_code);
	LOAD(&b, out_code);
	assert_int_equal(vm_run(&b), 7);
	assert_int_equal(vm_run(&a), 7);
	assert_string_equal(b.trace, "outb:10=0 halt:0 ");
	assert_false(kvm_is_containing_region(b.kvm, 0x20000, 1));
	vm_destroy(&b);
	assert_true(kvm_is_containing_region(a.kvm, 0x20000, 1));
	vm_destroy(&a);
}

static int engine_missing(void)
{
	struct kvm_callbacks cb = {.inb = NULL};
	kvm_context_t kvm = uv_kvm_init(&cb, NULL, vm_engine, vm_quiet, NULL);

	kvm_finalize(kvm);
	return !kvm;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(init_refuses),
		cmocka_unit_test(engine_from_environment),
		cmocka_unit_test(finalize_early),
		cmocka_unit_test(finalize_closes_all),
		cmocka_unit_test(vm_only_once),
		cmocka_unit_test(vcpu_zero),
		cmocka_unit_test(many_vcpus),
		cmocka_unit_test(ports),
		cmocka_unit_test(strings),
		cmocka_unit_test(handler_ends_run),
		cmocka_unit_test(mmio),
		cmocka_unit_test(no_handlers),
		cmocka_unit_test(triple_fault),
		cmocka_unit_test(single_step),
		cmocka_unit_test(callback_order),
		cmocka_unit_test(callback_order_irqchip),
		cmocka_unit_test(signal_mask),
		cmocka_unit_test(signal_from_outside),
		cmocka_unit_test(create_layout),
		cmocka_unit_test(create_large),
		cmocka_unit_test(create_small),
		cmocka_unit_test(provisional_gives_way),
		cmocka_unit_test(bad_regions),
		cmocka_unit_test(read_only_memory),
		cmocka_unit_test(dirty_log_counts),
		cmocka_unit_test(dirty_log_all),
		cmocka_unit_test(dirty_range),
		cmocka_unit_test(coalesced_writes),
		cmocka_unit_test(injection),
		cmocka_unit_test(lines),
		cmocka_unit_test(registers),
		cmocka_unit_test(msrs),
		cmocka_unit_test(cpuid),
		cmocka_unit_test(text),
		cmocka_unit_test(gone_and_small),
		cmocka_unit_test(two_contexts),
	};

	vm_engine = argc > 1 ? argv[1] : "soft";
	if (engine_missing()) {
		printf("skipped: engine %s cannot be used here (%s)\n", vm_engine, strerror(errno));
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL) ? 1 : 0;
}
