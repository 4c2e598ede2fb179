/* SPDX-License-Identifier: MIT */
/*
 * The driver for the Microsoft hypervisor: KVM's requests served through /dev/mshv.
 *
 * What that hypervisor has, it is asked for: processors with their registers, local APICs, memory, the record of written
 * pages. What it leaves to its user is here: the instruction behind an access to a device, repeated port I/O, the chips
 * beside the local APICs, and the moment at which a vector is injected where there are none.
 *
 * Numbers stand for the VM and its vCPUs in place of descriptors. A partition is made with or without local APICs, which
 * libkvm's caller decides after KVM_CREATE_VM; so it is made at the first request that needs it.
 *
 * A partition's `lock` guards its making and the slots, `chips.lock` the chips; the second may be taken inside the
 * first. A vCPU's own fields belong to the thread that uses it.
 */
#ifndef LIBKVM_MSHV_MSHV_H
#define LIBKVM_MSHV_MSHV_H

#include <pthread.h>
#include <stdatomic.h>

#include "libkvm/context.h"
#include "libkvm/mshv/chips.h"
#include "libkvm/mshv/emulate.h"
#include "uapi/mshv.h"
#include "x86/hyperv_root.h"

#define MAX_VPS   256
#define MAX_SLOTS 4096

/* What stands for the VM, and for vCPU 0: above all descriptors that a process may have. */
#define VM_NUMBER   0x40000000
#define VCPU_NUMBER 0x40000001

struct mem_slot {
	u64 gpa, len;
	u8 *hva; /* NULL: free */
	bool read_only;
	u64 *written; /* the pages that this driver wrote for the guest; NULL: writes are not recorded */
};

/* Slots by where they are. */
struct slot_place {
	struct gpa_range range;
	u32 id;
};

/* What the last exit wants to be done before the guest goes on. */
enum awaits { AWAITS_NONE, AWAITS_IO, AWAITS_MMIO_READ, AWAITS_MMIO_WRITE };

struct partition;

/* A page that was walked to, for the time of one instruction. */
struct known_page {
	bool valid;
	u64 gva_page, gpa_page;
};

struct vp {
	struct partition *p;
	u32 index;
	int fd;
	struct kvm_run *run;           /* behind it one page of port data */
	struct hv_register_page *page; /* NULL: the hypervisor has none */
	struct hv_message message;     /* the last one */
	enum awaits awaits;
	struct emu emu;             /* the instruction of an MMIO exit */
	u8 writes_done;             /* of its writes */
	struct known_page known[2]; /* for reading, for writing */
	u64 shown_cr8;
	bool has_mask;
	u64 mask;      /* signals that are blocked while it runs */
	int vector;    /* to be injected; -1: none */
	unsigned nmis; /* likewise; two at most (SDM 3:6.7.1: one is served, one waits) */
	u64 notify;    /* which deliverability the hypervisor is to tell of */
	struct kvm_guest_debug debug;
	u64 own_debugregs[6]; /* the guest's, while the program's breakpoints are in their place */
	bool own_trap;        /* the guest's TF, while it is stepped */
	bool stepped;         /* an emulated instruction was a step */
	struct kvm_cpuid2 *cpuid; /* what was registered last, */
	bool has_results;         /* and that something was */
};

struct partition {
	struct mshv *mshv;
	int fd; /* -1: not made yet */
	bool lapics;
	bool tracks;     /* written pages are recorded */
	u32 intercepted; /* exceptions, by bits of their vectors */
	pthread_mutex_t lock;
	struct mem_slot slots[MAX_SLOTS];
	struct ranges places;
	struct vp *_Atomic vps[MAX_VPS];
	struct chips chips;
};

/* The state of the driver. */
struct mshv {
	const struct port_ops *port;
	void *port_state;
	int fd;
	struct partition *vm; /* NULL: none */
	pthread_mutex_t lock; /* guards: */
	struct kvm_cpuid2 *supported;
};

/* A request that is being served; of what it is made, the other pointers are NULL. */
struct ask {
	struct mshv *m;
	struct partition *p;
	struct vp *v;
	void *arg;
	struct refusal *why;
};

/* Below, long results are >= 0 or -errno, said in *why. */

/* ---- to the hypervisor: hvcall.c ---- */

long mshv_ioctl(
	struct mshv *m, int fd, unsigned long request, const void *arg, struct refusal *why);
/* A hypercall of the root's. */
long hvcall(struct mshv *m, int fd, struct mshv_root_hvcall *call, struct refusal *why);
/* A simple one without a result. */
long hvcall_in(struct mshv *m, int fd, u16 code, const void *in, size_t size, struct refusal *why);
long vp_read(struct vp *v, const u32 *names, struct hv_value128 *values, unsigned n,
	struct refusal *why);
long vp_write(struct vp *v, const struct hv_register *registers, unsigned n, struct refusal *why);
long vp_read_one(struct vp *v, u32 name, u64 *ret, struct refusal *why);
long vp_write_one(struct vp *v, u32 name, u64 value, struct refusal *why);
/* A page of state, at a page's boundary. */
long vp_read_state(struct vp *v, u8 type, void *page, struct refusal *why);
long vp_write_state(struct vp *v, u8 type, void *page, struct refusal *why);
long property_get(struct mshv *m, int fd, u32 code, u64 *ret, struct refusal *why);
long property_set(struct mshv *m, int fd, u32 code, u64 value, struct refusal *why);

/* ---- partitions and processors: partition.c ---- */

/* The descriptor of one that is ready for memory and processors. */
long partition_open(struct mshv *m, bool lapics, struct refusal *why);
/* That of the VM, unless it is there. */
long partition_ensure(struct partition *p, struct refusal *why);
void partition_drop(struct partition *p);
/* v->index says which. */
long vp_open(struct mshv *m, int partition, struct vp *v, struct refusal *why);
void vp_close(struct mshv *m, struct vp *v);

/* ---- memory: memory.c, access.c ---- */

/* Into a partition that is new. */
long memory_map_all(struct partition *p, struct refusal *why);
void memory_begin(struct partition *p);
void memory_end(struct partition *p);
/* Under the lock: where it is, NULL if there is no memory, or none to be written; a page to be written counts as written. */
u8 *memory_at(struct partition *p, u64 gpa, bool write);

long vp_translate(struct vp *v, u64 gva, u64 flags, struct hv_translated *ret, struct refusal *why);
/* Fills v->emu for the instruction that a message is about, of which it has n bytes. */
long access_begin(struct vp *v, const struct hv_intercept_header *h, const u8 *bytes, unsigned n,
	struct refusal *why);
/* Puts the registers of v->emu into the processor. complete: the instruction is over. */
long access_end(struct vp *v, bool complete, struct refusal *why);
/* Between memory of the guest's and our own; false if the program has taken it away. */
bool access_copy(u8 *host, void *own, size_t n, bool to_host);
/* Of the code that a message is about: 2, 4 or 8 bytes. */
u8 access_mode(const struct hv_intercept_header *h);

/* ---- registers: regs.c ---- */

long vp_load(struct vp *v, struct emu_regs *ret, struct refusal *why);
long vp_store(struct vp *v, const struct emu_regs *regs, struct refusal *why);
long vp_segments(struct vp *v, struct hv_segment ret[6], struct refusal *why);
/* -E2BIG with the number that there are. */
long msr_list_fill(struct vp *v, struct kvm_msr_list *list);

/* ---- events: events.c ---- */

/* The guest gets the exception before its next instruction. */
long vp_inject(struct vp *v, const struct emu_fault *fault, struct refusal *why);
/* 1: what the program wants to wait for is there, as the exit says. */
long events_before_run(struct vp *v, struct refusal *why);
void events_deliverable(struct vp *v);
/* An instruction that was emulated is over, and with it the shadow of the one before. */
long events_end_shadow(struct vp *v, struct refusal *why);
long events_take_cr8(struct vp *v, struct refusal *why);
/* What kvm_run tells of each exit. */
void events_show(struct vp *v);

/* ---- debugging: debug.c ---- */

/* 1: the step is done. */
long debug_before_run(struct vp *v, struct refusal *why);
void debug_after_run(struct vp *v);
long debug_intercept(struct vp *v, struct refusal *why);
static inline bool debug_steps(const struct vp *v)
{
	return v->debug.control & KVM_GUESTDBG_SINGLESTEP;
}
static inline bool debug_has_breakpoints(const struct vp *v)
{
	return v->debug.control & KVM_GUESTDBG_USE_HW_BP;
}

/* ---- running: run.c, io.c, mmio.c. 1: there is an exit for the program; 0: the guest goes on. ---- */

long vp_serve_run(struct vp *v, struct refusal *why);
/* What an attempt at an instruction ends with that is not done. */
long exit_failed_instruction(struct vp *v, enum emu_result result, struct refusal *why);
long io_intercept(struct vp *v, struct refusal *why);
long io_complete(struct vp *v, struct refusal *why);
long mmio_intercept(struct vp *v, struct refusal *why);
long mmio_take_read(struct vp *v, struct refusal *why);
long mmio_take_write(struct vp *v);

/* ---- the VM and its vCPUs: vm.c ---- */

void partition_close(struct mshv *m);
int vp_map_area(struct vp *v, void *at);
void vp_destroy(struct vp *v);

#define REQUEST(of, name, argument, handler) long handler(struct ask *c);
#include "libkvm/mshv/requests.def"
#undef REQUEST

#endif
