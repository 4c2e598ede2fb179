/* SPDX-License-Identifier: MIT */
/*
 * Private to abi/kvm: what stands behind a descriptor, and how a request reaches its handler.
 *
 * ioctls.def lists every request once. dispatch.c finds the row by descriptor kind and whole
 * request number, copies the argument as the row says, takes the vcpu's mutex and calls the
 * handler. Handlers see only private copies of the caller's structures; the one exception is
 * kvm_run, which the caller can change at any time: read each field once.
 *
 * Machine state lives in the engine. Here is only what the interface itself remembers.
 */
#ifndef ABI_KVM_KVM_H
#define ABI_KVM_KVM_H

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "abi/dev.h"
#include "base/hold.h"
#include "base/sys.h"
#include "base/types.h"
#include "engine/engine.h"
#include "uapi/kvm_more.h"

/* ---- descriptors (object.c) ---- */

struct call;
struct object;

/* One kind of descriptor. What is NULL is not for it. */
struct fd_ops {
	const char *
		name; /* of its memfd: other processes recognise it by that. It may begin with another kind's. */
	enum dev_kind kind; /* what it is to those who look on */
	/* Nothing stands behind it, so it works in any process; others in the address space alone that made them. */
	bool anywhere;
	int unknown; /* -errno for a request that it does not have */
	/* Requests for which signals need not be kept off. */
	bool (*takes_no_lock)(u32 number);
	long (*ioctl)(struct call *c, u32 number);
	/* May it be mapped so? 0 or -errno. NULL: not at all. */
	int (*mmap_check)(int prot, int flags, size_t len, u64 offset);
	int (*fallocate)(const struct object *o, int fd, int mode, s64 offset, s64 len);
	void (*release)(void *behind); /* the last descriptor is closed, the last call over */
};

struct kvm_vm;
struct kvm_vcpu;

/*
 * What the descriptors of one file have in common. Its memory stays an object until dev_destroy()
 * (freed ones are reused), so a look-up may touch one that is going away: see object_get().
 */
struct object {
	_Atomic u32 refs; /* table entries, calls in progress, whose owner it is; 0: free */
	u32 fds;          /* table entries alone; under dev->lock */
	const struct fd_ops *_Atomic ops;
	bool foreign; /* came from another process: only recognised, never served */
	u32 mm;       /* dev->mm at creation: differs in a forked child */
	u64 st_dev, st_ino;
	void *behind;         /* what ops->release() frees */
	struct object *owner; /* which it holds until then, as a vcpu its vm; or NULL */
	struct object *next;  /* all objects of the dev */
};

/* Look up and hold; NULL if fd is none of ours. */
struct object *object_get(struct dev *d, int fd);
void object_put(struct dev *d, struct object *o);
/*
 * A new memfd with an object behind it, size bytes long; behind is filled in by the caller before fd_publish() makes it
 * reachable. owner, which the caller holds, is held as well, or is NULL. Returns the descriptor or -errno. These take the
 * table's lock: signals are kept off, as in every request.
 */
struct fd_spec {
	const struct fd_ops *ops;
	struct object *owner;
	const char *suffix; /* to the name; NULL: none */
	size_t size;
	bool not_cloexec;
};
int fd_create(struct dev *d, const struct fd_spec *q, struct object **ret);
int fd_publish(struct dev *d, int fd, struct object *o);  /* fd or -errno, then all is freed */
void fd_abandon(struct dev *d, int fd, struct object *o); /* instead of fd_publish() */

/* ---- KVM's kinds (kinds.c) ---- */

extern const struct fd_ops kvm_system_ops, kvm_vm_ops, kvm_vcpu_ops, kvm_guest_memfd_ops,
	kvm_vfio_ops;
extern const struct interface kvm_interface;

long dispatch_system(struct call *c, u32 number);
long dispatch_vm(struct call *c, u32 number);
long dispatch_vcpu(struct call *c, u32 number);
long dispatch_vfio(struct call *c, u32 number);
bool system_takes_no_lock(u32 number);
bool vm_takes_no_lock(u32 number);
int vcpu_mmap_check(int prot, int flags, size_t len, u64 offset);
int guest_memfd_fallocate(const struct object *o, int fd, int mode, s64 offset, s64 len);
void vm_release(void *kvm_vm);
void guest_memfd_release(void *kvm_guest_memfd);
void vfio_release(void *kvm_vfio);

/* ---- what is behind them ---- */

#define COALESCED_ZONES_MAX 1000 /* as many devices as a Linux VM has room for */
struct coalesced_zone {
	u64 addr;
	u32 size;
	bool pio;
};

struct stats_page {
	u8 *page; /* NULL: nobody has asked */
	size_t size;
	int fd;
};

struct kvm_vm {
	struct dev *dev;
	struct object *object;
	struct machine *machine;
	/* Changes of everything below; what is atomic is read without it. */
	pthread_mutex_t lock;
	unsigned created_vcpus;
	struct kvm_vcpu *vcpus;
	u32 boot_id;
	u32 max_ids; /* KVM_CAP_MAX_VCPU_ID: ids are below it; 0: nobody has asked for less */
	bool pit;
	bool private_memory;               /* KVM_X86_SW_PROTECTED_VM */
	_Atomic u32 ring_bytes;            /* dirty ring of each vcpu, 0: none */
	_Atomic u64 quirks_off, exits_off; /* KVM_CAP_DISABLE_QUIRKS2, KVM_CAP_X86_DISABLE_EXITS */
	_Atomic bool exception_payload;    /* KVM_CAP_EXCEPTION_PAYLOAD enabled */
	_Atomic bool triple_fault_event;   /* KVM_CAP_X86_TRIPLE_FAULT_EVENT enabled */
	_Atomic bool x2apic_ids;           /* KVM_CAP_X2APIC_API: MSI addresses carry 32-bit ids */
	_Atomic bool no_broadcast_quirk;   /* KVM_CAP_X2APIC_API, its other flag */
	_Atomic bool vfio;                 /* has its VFIO device */
	struct stats_page stats;
	/* The ring is on page 2 of the first vcpu's file, so only that vcpu coalesces. */
	struct kvm_vcpu *ring_vcpu;
	_Atomic unsigned zone_count;
	struct coalesced_zone zones[COALESCED_ZONES_MAX];
};

#define RUN_PAGES     3
#define PIO_OFFSET    (KVM_PIO_PAGE_OFFSET * PAGE_SIZE)
#define RING_OFFSET   (KVM_COALESCED_MMIO_PAGE_OFFSET * PAGE_SIZE)
#define CPUID_MAX     256
#define MSR_BATCH_MAX 256

struct kvm_vcpu {
	struct kvm_vm *vm;
	struct kvm_vcpu *next; /* of the vm's */
	struct vcpu *cpu;
	struct kvm_run *run;  /* RUN_PAGES shared with the caller */
	pthread_mutex_t lock; /* held during every request on this vcpu */
	struct hold *hold;    /* of the thread in KVM_RUN, or NULL: */
	u64 caller_mask;      /* signals that it had blocked */
	u64 noted;            /* and that came before all were blocked: see hold.h */
	u64 sigset;           /* KVM_SET_SIGNAL_MASK */
	bool sigset_active;
	int signal_fd;     /* readable while a signal is pending that ends KVM_RUN */
	u64 signal_fd_set; /* which signals it looks for */
	bool has_run;
	u64 cr8; /* the engine's, as last seen: kvm_run.cr8 is only set if it differs */
	struct stats_page stats;
	struct cpuid_entry *cpuid; /* as set by the caller */
	unsigned cpuid_count;
};

/* ---- requests (dispatch.c, ioctls.def) ---- */

static inline void signals_block(u64 *old)
{
	const u64 all = SIG_ASYNC;

	sys_sigprocmask(SIG_SETMASK, &all, old);
}

/* Handlers of signals that came meanwhile run now; they need not return. */
static inline void signals_restore(u64 old)
{
	/* A thread that has them all blocked itself, as those of many VMMs have, needs no more. */
	if ((old | SIG_BIT(SIGKILL) | SIG_BIT(SIGSTOP)) != SIG_ASYNC)
		sys_sigprocmask(SIG_SETMASK, &old, NULL);
}

enum arg_kind {
	ARG_NONE, /* ignored: clients leave garbage in the register */
	ARG_ZERO, /* must be 0, else -EINVAL */
	ARG_VALUE,
	ARG_IN,    /* pointer to a structure that the request reads, */
	ARG_OUT,   /* writes on success, */
	ARG_INOUT, /* or both */
	ARG_PTR,   /* pointer that the handler copies itself: variable size, or checks come first */
};

struct call {
	struct dev *dev;
	void *behind;      /* the descriptor; of what type, its kind knows */
	void *vm;          /* behind its owner, or, where it has none, behind itself */
	struct hold *hold; /* by which signals are kept off; NULL: they are blocked, */
	u64 caller_mask;   /* and the calling thread has blocked these, for KVM_RUN */
	unsigned long arg;
	void *data;          /* private copy for ARG_IN, ARG_OUT, ARG_INOUT */
	struct refusal *why; /* for refuse(); NULL: nobody asks */
};

typedef long (*request_handler)(struct call *c);

struct request {
	const char *name;
	const struct fd_ops *on; /* the kind of descriptor that has it */
	request_handler handler;
	u32 number;
	u16 size;    /* of the structure, 0 for the other kinds */
	u8 arg_kind; /* enum arg_kind */
};

/* Copies the argument as the row says, and calls the handler. */
long request_serve(const struct request *r, struct call *c);
/* The answer where there is no row. */
long request_unknown(struct call *c, const struct fd_ops *on, u32 number);

/* One device of the kernel's that we stand in for. */
struct interface {
	const char *path;
	const struct fd_ops *const *kinds; /* up to NULL; the first is what opening it gives */
	const struct request *requests;
	unsigned request_count;
};
/* All of them, up to NULL: kinds.c. */
extern const struct interface *const interfaces[];

#define SYS(name, kind, size, handler)    long handler(struct call *c);
#define VM(name, kind, size, handler)     long handler(struct call *c);
#define VCPU(name, kind, size, handler)   long handler(struct call *c);
#define DEVICE(name, kind, size, handler) long handler(struct call *c);
#include "abi/kvm/ioctls.def"

/* ---- the caller's memory (user.c): 0 or -EFAULT, never a fault ---- */

int copy_in(struct dev *d, void *to, unsigned long from, size_t n);
int copy_out(struct dev *d, unsigned long to, const void *from, size_t n);
int dev_pid(const struct dev *d);
u32 dev_mm(const struct dev *d); /* which address space: changes in a forked child */
/* A copy of n items that follow a header; NULL in *ret if n is 0. Free with free(). */
int copy_in_array(struct dev *d, void **ret, unsigned long from, size_t n, size_t item);

/* ---- what a request is about ---- */

/* Of requests on a vm and on what belongs to one; NULL on /dev/kvm. */
static inline struct kvm_vm *vm_of(const struct call *c)
{
	return c->vm;
}

/* Of requests on a vcpu; NULL on /dev/kvm. */
static inline struct kvm_vcpu *vcpu_of(const struct call *c)
{
	return c->behind;
}

/* ---- why (base/refusal.h) ---- */

/* What the engine has answered about the vcpu, and its reason with it. */
static inline long vcpu_answered(struct call *c, long r)
{
	if (unlikely(r < 0) && c->why)
		*c->why = *vcpu_refusal(vcpu_of(c)->cpu);
	return r;
}

#define AFTER_VCPUS "there are vCPUs already: make this request before the first KVM_CREATE_VCPU"
#define NO_IRQCHIP                                                                                 \
	"there is no irqchip: create one with KVM_CREATE_IRQCHIP or KVM_CAP_SPLIT_IRQCHIP"
#define NO_FULL_IRQCHIP                                                                            \
	"there is no PIC and no IOAPIC: create them with KVM_CREATE_IRQCHIP, not with "            \
	"KVM_CAP_SPLIT_IRQCHIP"

/* Bits that must be 0: -EINVAL if there are any. */
static inline long check_flags(struct call *c, u64 flags, u64 known)
{
	if (likely(!(flags & ~known)))
		return 0;
	return refuse(
		c->why, -EINVAL, "flags 0x%lx: the bits 0x%lx are unknown", flags, flags & ~known);
}

/* ---- shared between files ---- */

long vm_limit_ids(struct call *c, u64 max_ids); /* under vm->lock */
/* As the engine's SLOT_ID(): KVM_CAP_MULTI_ADDRESS_SPACE puts the address space above bit 15. */
static inline bool slot_valid(u32 slot)
{
	return slot >> 16 < MACHINE_SPACES && (slot & 0xffff) < MACHINE_MAX_SLOTS;
}

/* KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2 and KVM_CAP_DIRTY_LOG_RING*. Under vm->lock. */
long enable_manual_dirty_log(struct call *c, u64 flags);
long enable_dirty_ring(struct call *c, u64 bytes);
/* Write n CPUID entries and their number; -E2BIG, with nothing written, if the caller has less room. */
long entries_out(struct call *c, const struct cpuid_entry *e, unsigned n);
/* Explains what machine_create_irqchip() has returned. */
long irqchip_created(struct call *c, long r);
long vcpu_enable_hyperv(struct call *c, const struct kvm_enable_cap *e);

long capability_value(struct kvm_vm *vm, u32 cap);
long nested_state_bytes(void); /* what KVM_CAP_NESTED_STATE says */

void regs_get(struct kvm_vcpu *v, struct kvm_regs *ret);
long regs_set(struct call *c, const struct kvm_regs *r);
void sregs_get(struct kvm_vcpu *v, struct kvm_sregs *ret);
long sregs_set(struct call *c, const struct kvm_sregs *r);
void events_get(struct kvm_vcpu *v, struct kvm_vcpu_events *ret);
long events_set(struct call *c, const struct kvm_vcpu_events *e);

void stats_free(struct stats_page *s);

/*
 * Address in this process of guest_memfd memory for a slot of vm. -EBADF, -EINVAL. It stays mapped until *ret is put;
 * what has been made a slot by then is unbound in time.
 */
int guest_memfd_hold(
	struct call *c, int fd, u64 offset, u64 size, u64 *ret_address, struct object **ret);
u64 vm_memory_attributes(const struct kvm_vm *vm); /* those that can be set; vm may be NULL */

/* Put a write into the ring of coalesced writes; false: it must exit. */
bool coalesced_write(struct kvm_vcpu *v, bool pio, u64 addr, u32 len, const void *data);
/* kvm_run holds the answer to the exit that the engine showed last. */
void exit_take_answer(struct kvm_vcpu *v);
/* Show it; what KVM_RUN returns. r: what vcpu_run() returned. */
int exit_show(struct kvm_vcpu *v, int r);
bool run_poll(void *kvm_vcpu);
void run_init(struct kvm_vcpu *v);

static inline bool vm_has_irqchip(const struct kvm_vm *vm)
{
	return machine_irqchip(vm->machine) != IRQCHIP_NONE;
}

#endif
