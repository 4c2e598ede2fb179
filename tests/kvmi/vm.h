/* SPDX-License-Identifier: MIT */
/*
 * A machine of our KVM in this process, of which each vcpu has a thread that runs it until it halts. Guests are written
 * beside the tests: GUEST(). They tell what they find by OUT, which is kept until the test asks.
 */
#ifndef TESTS_KVMI_VM_H
#define TESTS_KVMI_VM_H

#include <errno.h> /* KVM_E* are these */
#include <pthread.h>

#include "tests/kvmi/harness.h"
#include "uapi/kvm_more.h"
#include "uapi/kvmi.h"

/* ---- guest-physical memory, which is linear memory too ---- */

#define VM_CODE    0x1000  /* 8 KiB for each vcpu */
#define VM_DATA    0x10000 /* pages for tests; VM_PAGE(n) */
#define VM_STACK   0x20000 /* the end of vcpu 0's; 4 KiB each, upwards */
#define VM_GDT     0x30000
#define VM_IDT     0x31000
#define VM_TSS     0x32000 /* 256 bytes each */
#define VM_GATES   0x33000 /* 16 bytes of code for each vector */
#define VM_TABLES  0x40000 /* PML4, PDPT, two directories, a table of the first 2 MiB */
#define VM_BYTES   0x200000
#define VM_HOLE    0x800000   /* nothing is there */
#define VM_MMIO    0xd0000000 /* neither */
#define VM_PAGE(n) (VM_DATA + (n)*0x1000)
#define VM_PT      (VM_TABLES + 0x4000) /* the table of the first 2 MiB */
/* The same memory again, at this linear address, by tables of its own. */
#define VM_ALIAS   0x40000000

#define MAX_CPUS 4

/* Selectors */
enum {
	SEL_CODE64 = 0x08,
	SEL_DATA = 0x10,
	SEL_CODE32 = 0x18,
	SEL_UDATA = 0x23,
	SEL_UCODE64 = 0x2b,
	SEL_TSS = 0x30,
	SEL_CODE16 = 0x40,
	SEL_LDT = 0x50,
	SEL_UCODE32 = 0x63
};

/* ---- what a vcpu has told ---- */

/* OUT to this port by a handler of an exception: the vector; then come rip, the error code and CR2. */
#define PORT_VECTOR 0x20
#define PORT_RIP    0x21
#define PORT_ERROR  0x22
#define PORT_CR2    0x23
/* KVM_RUN has returned something else than an OUT: value is the exit's reason or -errno, and the thread is over. */
#define VM_ENDED    0x10000

struct told {
	u32 port;
	s64 value;
};

struct cpu {
	struct vm *vm;
	unsigned index;
	int fd;
	struct kvm_run *run;
	pthread_t thread;
	bool started, stop, over;
	struct told told[1024];
	unsigned made, taken;
};

struct vm {
	struct dev *dev;
	bool has_dev; /* and nobody else */
	int sys, fd, ram_fd;
	u8 *ram;
	unsigned cpus;
	struct cpu cpu[MAX_CPUS];
	bool released;
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

/* With the interrupt controllers in the engine: HLT sleeps, and vcpus but the first wait for INIT and SIPI. */
#define VM_IRQCHIP 1
/* RAM is a file, from page 1 of it on. */
#define VM_MEMFD   2
struct vm *vm_open(unsigned cpus, unsigned flags);
/* It looks for the tool that the text tells: dev_set_tool(). */
struct vm *vm_open_for(const char *tool, unsigned cpus, unsigned flags);
/* With others in this dev, which stays the caller's. */
struct vm *vm_open_in(struct dev *dev, unsigned cpus, unsigned flags);
/* One more */
void vm_add_cpu(struct vm *vm);
void vm_close(struct vm *vm);
/* The machine without its descriptors: for tests that have closed them. */
void vm_forget(struct vm *vm);

/* A request: result or -errno. Each refusal must come with a reason. */
long kvm(struct vm *vm, int fd, unsigned long request, unsigned long arg);
static inline long kvm_p(struct vm *vm, int fd, unsigned long request, const void *arg)
{
	return kvm(vm, fd, request, (unsigned long)arg);
}

/* ---- guests ---- */

enum mode { REAL, PROT16, PROT32, COMPAT, LONG, USER /* 64-bit, level 3, IOPL 3 */, USER32 };

/* Puts the code into the memory of vcpu n, and sets all registers. */
void vm_guest(struct vm *vm, unsigned n, enum mode mode, const u8 *code, const u8 *end);
#define VM_GUEST(vm, n, mode, name) vm_guest(vm, n, mode, guest_##name, guest_##name##_end)
/* Where the label is that a guest of vcpu n has. */
#define AT_LABEL(n, name, label)                                                                   \
	(VM_CODE + (n)*0x2000 + (u64)(guest_##name##_##label - guest_##name))
void vm_set(struct vm *vm, unsigned n, void (*change)(struct kvm_regs *r, u64 value), u64 value);
struct kvm_regs vm_regs(struct vm *vm, unsigned n);
struct kvm_sregs vm_sregs(struct vm *vm, unsigned n);
void vm_set_sregs(struct vm *vm, unsigned n, const struct kvm_sregs *s);

/*
 * In front of a guest's code is a loop, in which vcpus wait for vm_begin(): they run there, so they answer commands.
 */
void vm_start(struct vm *vm, unsigned n);
/* Starts all. */
void vm_go(struct vm *vm);
void vm_begin(struct vm *vm);
/* Makes KVM_RUN return, and waits for the thread. */
void vm_stop(struct vm *vm, unsigned n);

/* The next that vcpu n tells must be an OUT to this port: its value. */
u64 vm_out(struct vm *vm, unsigned n, u32 port);
/* The next must be its end: the reason. */
s64 vm_ended(struct vm *vm, unsigned n);
void vm_expect(struct vm *vm, unsigned n, u32 port, u64 value, const char *file, int line);
#define VM_OUT(vm, n, port, value) vm_expect(vm, n, port, value, __FILE__, __LINE__)
/* A handler was called, of this vector. Returns the error code; ret_rip: what it would return to. */
u64 vm_vector(struct vm *vm, unsigned n, u64 vector, u64 *ret_rip);
/* Has it told anything that nobody has asked for? */
bool vm_silent(struct vm *vm, unsigned n);

/* Memory of the guest, while it runs. */
static inline u64 vm_read64(struct vm *vm, u64 gpa)
{
	return __atomic_load_n((u64 *)(vm->ram + gpa), __ATOMIC_ACQUIRE);
}
static inline void vm_write64(struct vm *vm, u64 gpa, u64 value)
{
	__atomic_store_n((u64 *)(vm->ram + gpa), value, __ATOMIC_RELEASE);
}
/* Waits until the counter at gpa has changed from what it is now. */
void vm_moves(struct vm *vm, u64 gpa);
/* Waits until the 64 bits there are this. */
void vm_wait64(struct vm *vm, u64 gpa, u64 value);

/*
 * Code for a guest. It moves nowhere and needs no address of its own; it has VM_DATA as DATA, and PAGE1 and PAGE2 behind it.
 * A label LABEL_(name, here) is for AT_LABEL.
 */
#define GUEST_BITS(bits, name, text)                                                               \
	__asm__(".pushsection .rodata\n.code" #bits "\nguest_" #name ":\n" text "\nguest_" #name   \
		"_end:\n.code64\n.popsection\n");                                                  \
	extern const u8 guest_##name[], guest_##name##_end[]
#define GUEST64(name, text)      GUEST_BITS(64, name, text)
#define GUEST32(name, text)      GUEST_BITS(32, name, text)
#define GUEST16(name, text)      GUEST_BITS(16, name, text)
#define GUEST_LABEL(name, label) extern const u8 guest_##name##_##label[]

__asm__(".set DATA, 0x10000\n"
	".set PAGE1, 0x11000\n"
	".set PAGE2, 0x12000\n"
	".set ALIAS, 0x40000000\n"
	/* mov value, %eax; out %eax, port */
	".macro TELL port, value\n"
	"movl $\\value, %eax\n"
	"outl %eax, $\\port\n"
	".endm\n");

#endif
