/* SPDX-License-Identifier: MIT */
/*
 * libkvm: create and run virtual machines through the KVM interface.
 *
 * The interface of the library of that name that came with kvm-userspace (state of December 2008),
 * written anew: the same names and types, so that programs written for it compile and work on today's
 * kernels, and on machines without any KVM, where the calls reach uservisor's own engine.
 *
 * Order of use: kvm_init, kvm_create (or kvm_create_vm and kvm_create_irqchip), memory,
 * kvm_create_vcpu, registers, kvm_run in one thread per vCPU, kvm_finalize.
 *
 * Errors: functions that return int give -errno and leave errno set, those that return a pointer give
 * NULL and leave errno set, unless said otherwise. One sentence on what went wrong goes to stderr, or
 * wherever uv_kvm_set_log says. The library never ends the process.
 *
 * Threads: one thread at a time may use one vCPU. What makes the VM or ends it (kvm_disable_..., kvm_create,
 * kvm_create_vm, kvm_create_irqchip, kvm_init_coalesced_mmio, kvm_finalize), and uv_kvm_set_log, want the context for
 * themselves. Everything else may be called from any thread.
 *
 * libkvm(3) tells all this in full, and what the library does to the process: signal handlers, descriptors, fork.
 *
 * Names that begin with uv_kvm_ are additions to the old interface; they stand at the end.
 */
#ifndef LIBKVM_H
#define LIBKVM_H

#ifndef __user
#define __user
#endif

#include <linux/kvm.h>
#include <signal.h>
#include <stdint.h>
#include <sys/select.h> /* sigset_t, which <signal.h> keeps from strict C99 */

#if !defined(__x86_64__)
#error "libkvm: only x86-64 is supported"
#endif

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)
#pragma GCC diagnostic push
#ifdef __cplusplus
#pragma GCC diagnostic ignored "-Wshadow" /* kvm_run is also a structure of <linux/kvm.h> */
#endif

/* Kernel headers dropped this when the kernel dropped the old device assignment. */
#ifndef KVM_CAP_DEVICE_ASSIGNMENT
#define KVM_CAP_DEVICE_ASSIGNMENT 17
#endif

struct kvm_context;
typedef struct kvm_context *kvm_context_t;

/*
 * What the program does for the guest. The first argument is the `opaque` of kvm_init; `env` is the last
 * argument of kvm_run. The structure is used in place: it must live as long as the context and members may be
 * changed while no vCPU runs. A NULL member stands for: reads give all ones, writes are dropped, halt, shutdown,
 * debug, tpr_access and io_window end kvm_run with 1, the rest do nothing.
 *
 * A handler that returns non-zero ends kvm_run with that value. Elements of a repeated string instruction that the
 * hypervisor hands over together (some do so, some one by one) are all delivered first, and the first non-zero result
 * counts; the next kvm_run goes on with the rest.
 */
struct kvm_callbacks {
	/* Port reads of 1, 2 and 4 bytes: fill *data. */
	int (*inb)(void *opaque, uint16_t addr, uint8_t *data);
	int (*inw)(void *opaque, uint16_t addr, uint16_t *data);
	int (*inl)(void *opaque, uint16_t addr, uint32_t *data);
	/* Port writes of 1, 2 and 4 bytes. */
	int (*outb)(void *opaque, uint16_t addr, uint8_t data);
	int (*outw)(void *opaque, uint16_t addr, uint16_t data);
	int (*outl)(void *opaque, uint16_t addr, uint32_t data);
	/* Accesses to guest-physical addresses without memory, at most 8 bytes. */
	int (*mmio_read)(void *opaque, uint64_t addr, uint8_t *data, int len);
	int (*mmio_write)(void *opaque, uint64_t addr, uint8_t *data, int len);
	/* A breakpoint or single step asked for with kvm_set_guest_debug. */
	int (*debug)(void *opaque, void *env, struct kvm_debug_exit_arch *arch_info);
	/* The vCPU executed HLT; only without an irqchip in the kernel. 0 enters the guest again at once. */
	int (*halt)(void *opaque, int vcpu);
	/* Triple fault, or the guest asked the hypervisor for shutdown or reset. */
	int (*shutdown)(void *opaque, void *env);
	/* A signal interrupted the vCPU, or one that waited for its SIPI has it; non-zero makes kvm_run return. NULL
	 * tells these two apart: the latter goes on. */
	int (*io_window)(void *opaque);
	/* Only without an irqchip in the kernel, before each entry: 1 asks for an exit when the guest can take an
	 * interrupt. */
	int (*try_push_interrupts)(void *opaque);
	/* First thing before each entry. */
	void (*push_nmi)(void *opaque);
	/* After and before each entry. When pre_kvm_run returns non-zero, kvm_run ends with that value and
	 * post_kvm_run is not called. */
	void (*post_kvm_run)(void *opaque, void *env);
	int (*pre_kvm_run)(void *opaque, void *env);
	/* The guest touched the TPR; see kvm_enable_tpr_access_reporting. */
	int (*tpr_access)(void *opaque, int vcpu, uint64_t rip, int is_write);
};

/* ---- Life cycle ------------------------------------------------------------------------------------- */

/* Opens the hypervisor. NULL with errno set: nothing to clean up then. */
kvm_context_t kvm_init(struct kvm_callbacks *callbacks, void *opaque);

/* Releases everything the library made: descriptors, vCPU areas and the memory it allocated itself. Every kvm_run
 * must have returned. NULL is accepted. */
void kvm_finalize(kvm_context_t kvm);

/* Before kvm_create: leave interrupt controllers, or only the timer, to the program. Without an irqchip there is no
 * PIT either. */
void kvm_disable_irqchip_creation(kvm_context_t kvm);
void kvm_disable_pit_creation(kvm_context_t kvm);

/*
 * Creates the VM, its irqchip and PIT, and guest memory of `phys_mem_bytes` (rounded up to pages):
 *
 *   0          .. 0xA0000       at *phys_mem
 *   0xC0000    .. 0xE0000000    at *phys_mem + 0xC0000
 *   4 GiB      ..               at *phys_mem + 4 GiB, what did not fit below 0xE0000000
 *
 * so a guest-physical address is an offset from *phys_mem everywhere. These regions give way to
 * kvm_create_phys_mem and kvm_register_phys_mem. With phys_mem NULL or phys_mem_bytes 0 no memory is made.
 * vCPU 0 exists from the first call that names it. After a failure the context is as before.
 */
int kvm_create(kvm_context_t kvm, unsigned long phys_mem_bytes, void **phys_mem);

/* Only the VM, without anything in it. -EEXIST the second time. */
int kvm_create_vm(kvm_context_t kvm);

/* The interrupt controllers (unless disabled), for programs that use kvm_create_vm. Before any vCPU. Whether it
 * worked is said by kvm_irqchip_in_kernel. */
void kvm_create_irqchip(kvm_context_t kvm);

/* Creates the vCPU with number `slot`, preferably from the thread that will run it. */
int kvm_create_vcpu(kvm_context_t kvm, int slot);

/* 1 when the hypervisor has the capability KVM_CAP_..., else 0. */
int kvm_check_extension(kvm_context_t kvm, int ext);

int kvm_irqchip_in_kernel(kvm_context_t kvm);
int kvm_pit_in_kernel(kvm_context_t kvm);

/* 1 when changes of the program's memory map are seen by the guest. */
int kvm_has_sync_mmu(kvm_context_t kvm);

/* ---- Running ---------------------------------------------------------------------------------------- */

/*
 * Runs the vCPU and serves its exits through the callbacks, until a callback returns non-zero (that value is
 * returned) or the vCPU cannot go on (-errno: -ENOEXEC when the processor refused the state, -EFAULT for an
 * exception that nobody handles or memory that is not there, -EIO when the hypervisor failed, -EPROTO for an exit
 * that nobody asked for; what is known about it and the vCPU's state go the way of messages). A signal ends the
 * guest's turn and io_window is asked.
 *
 * A vCPU that still is as it was created begins at 0xfffffff0; or, as on kernels before 3.9, at 0xffff0 when there
 * is memory there and none at the former.
 */
int kvm_run(kvm_context_t kvm, int vcpu, void *env);

/* Signals blocked while the guest runs (NULL: as in the thread). One that only this mask unblocks ends the guest's
 * turn and stays pending. */
int kvm_set_signal_mask(kvm_context_t kvm, int vcpu, const sigset_t *sigset);

/* State as of the last exit; no system call. 0 with errno set when there is no such vCPU. */
int kvm_get_interrupt_flag(kvm_context_t kvm, int vcpu);
uint64_t kvm_get_apic_base(kvm_context_t kvm, int vcpu);
int kvm_is_ready_for_interrupt_injection(kvm_context_t kvm, int vcpu);
__u64 kvm_get_cr8(kvm_context_t kvm, int vcpu);
/* Taken over at the next entry, without an irqchip in the kernel only. */
void kvm_set_cr8(kvm_context_t kvm, int vcpu, uint64_t cr8);

/* ---- Registers (the vCPU must not be running) --------------------------------------------------------- */

int kvm_get_regs(kvm_context_t kvm, int vcpu, struct kvm_regs *regs);
int kvm_set_regs(kvm_context_t kvm, int vcpu, struct kvm_regs *regs);
int kvm_get_fpu(kvm_context_t kvm, int vcpu, struct kvm_fpu *fpu);
int kvm_set_fpu(kvm_context_t kvm, int vcpu, struct kvm_fpu *fpu);
int kvm_get_sregs(kvm_context_t kvm, int vcpu, struct kvm_sregs *regs);
int kvm_set_sregs(kvm_context_t kvm, int vcpu, struct kvm_sregs *regs);

/* -ENOSYS when the hypervisor has no MP states. */
int kvm_get_mpstate(kvm_context_t kvm, int vcpu, struct kvm_mp_state *mp_state);
int kvm_set_mpstate(kvm_context_t kvm, int vcpu, struct kvm_mp_state *mp_state);

/* Back to waiting for INIT and SIPI. */
static inline int kvm_reset_mpstate(kvm_context_t kvm, int vcpu)
{
	struct kvm_mp_state state = {KVM_MP_STATE_UNINITIALIZED};

	return kvm_set_mpstate(kvm, vcpu, &state);
}

/* The MSRs worth saving; the caller frees it. */
struct kvm_msr_list *kvm_get_msr_list(kvm_context_t kvm);
/* How many of the n were done (a smaller number is the index of the refused one), or -errno. */
int kvm_get_msrs(kvm_context_t kvm, int vcpu, struct kvm_msr_entry *msrs, int n);
int kvm_set_msrs(kvm_context_t kvm, int vcpu, struct kvm_msr_entry *msrs, int n);

/* CPUID without sub-leaves; see uv_kvm_setup_cpuid2. */
int kvm_setup_cpuid(kvm_context_t kvm, int vcpu, int nent, struct kvm_cpuid_entry *entries);

int kvm_set_guest_debug(kvm_context_t kvm, int vcpu, struct kvm_guest_debug *dbg);

/* General and system registers as text. */
void kvm_show_regs(kvm_context_t kvm, int vcpu);
/* Everything known about the vCPU as text. */
int kvm_dump_vcpu(kvm_context_t kvm, int vcpu);

/* ---- Interrupts ------------------------------------------------------------------------------------- */

/* Sets an interrupt line. 0 when there is no irqchip in the kernel (the program must deliver it), else 1. */
int kvm_set_irq_level(kvm_context_t kvm, int irq, int level);
/* Queues vector `irq`; without an irqchip in the kernel. Ask kvm_is_ready_for_interrupt_injection first. */
int kvm_inject_irq(kvm_context_t kvm, int vcpu, unsigned irq);
int kvm_inject_nmi(kvm_context_t kvm, int vcpu);

/* State of the chips in the kernel. 0 and nothing happens when the chip is not there. */
int kvm_get_irqchip(kvm_context_t kvm, struct kvm_irqchip *chip);
int kvm_set_irqchip(kvm_context_t kvm, struct kvm_irqchip *chip);
int kvm_get_lapic(kvm_context_t kvm, int vcpu, struct kvm_lapic_state *s);
int kvm_set_lapic(kvm_context_t kvm, int vcpu, struct kvm_lapic_state *s);
int kvm_get_pit(kvm_context_t kvm, struct kvm_pit_state *s);
int kvm_set_pit(kvm_context_t kvm, struct kvm_pit_state *s);

/* tpr_access callbacks on or off; -ENOSYS when the hypervisor has none. */
int kvm_enable_tpr_access_reporting(kvm_context_t kvm, int vcpu);
int kvm_disable_tpr_access_reporting(kvm_context_t kvm, int vcpu);
int kvm_enable_vapic(kvm_context_t kvm, int vcpu, uint64_t vapic);

/* ---- Memory ----------------------------------------------------------------------------------------- */

/* Allocates zeroed guest memory; `log` records writes to it, without `writable` guest writes become MMIO. */
void *kvm_create_phys_mem(
	kvm_context_t kvm, unsigned long phys_start, unsigned long len, int log, int writable);
/* Gives the guest memory of the program's. -EEXIST: overlaps; -EINVAL: not page aligned; -EFAULT: NULL;
 * -ENOSPC: no slot left. */
int kvm_register_phys_mem(kvm_context_t kvm, unsigned long phys_start, void *userspace_addr,
	unsigned long len, int log);
/* Removes the region that contains phys_start; memory of kvm_create_phys_mem is freed. `len` is not looked at. */
void kvm_destroy_phys_mem(kvm_context_t kvm, unsigned long phys_start, unsigned long len);
/* Removes the whole region that contains the range, if one does. */
void kvm_unregister_memory_area(kvm_context_t kvm, uint64_t phys_start, unsigned long len);
/* 1 when one region contains the whole range. */
int kvm_is_containing_region(kvm_context_t kvm, unsigned long phys_start, unsigned long size);
/* Always 1 on hypervisors of today. */
int kvm_destroy_memory_region_works(kvm_context_t kvm);

/*
 * Guest accesses to [phys_start, phys_start + len) behave as if to target_phys, whatever memory is there now or
 * later; without any they are MMIO. An alias covers memory that is there itself until it is destroyed. Creating one
 * at the start of another replaces that, with len 0 removes it. What is written through an alias is recorded as
 * written to the target. -EINVAL: not page aligned, or the end wraps around; -EEXIST: overlaps another alias;
 * -ENOSPC: no slot left. Aliases of aliases are not followed. Regions that have to be split or joined are out of the
 * guest's sight for a moment: no vCPU that may touch them may be running.
 */
int kvm_create_memory_alias(
	kvm_context_t kvm, uint64_t phys_start, uint64_t len, uint64_t target_phys);
/* 0 also when no alias begins there. */
int kvm_destroy_memory_alias(kvm_context_t kvm, uint64_t phys_start);

/*
 * Pages written since the last call, of the region that contains phys_addr: bit n of the array of unsigned longs is
 * page n of the region. -ENOENT when there is no such region or its writes are not recorded.
 */
int kvm_get_dirty_pages(kvm_context_t kvm, unsigned long phys_addr, void *buf);
/* The same for each region wholly inside [phys_addr, end_addr), through cb; a non-zero result of cb ends it and is
 * returned. */
int kvm_get_dirty_pages_range(kvm_context_t kvm, unsigned long phys_addr, unsigned long end_addr,
	void *buf, void *opaque,
	int (*cb)(unsigned long start, unsigned long len, void *bitmap, void *opaque));
/* The same two for pages that exist on the host; the second takes a length. */
int kvm_get_mem_map(kvm_context_t kvm, unsigned long phys_addr, void *bitmap);
int kvm_get_mem_map_range(kvm_context_t kvm, unsigned long phys_addr, unsigned long len, void *buf,
	void *opaque,
	int (*cb)(unsigned long start, unsigned long len, void *bitmap, void *opaque));

/* Recording on and off, counted per region (`len` is not looked at), or for all regions at once; _reset ends the
 * latter, and regions created with `log` go on. */
int kvm_dirty_pages_log_enable_slot(kvm_context_t kvm, uint64_t phys_start, uint64_t len);
int kvm_dirty_pages_log_disable_slot(kvm_context_t kvm, uint64_t phys_start, uint64_t len);
int kvm_dirty_pages_log_enable_all(kvm_context_t kvm);
int kvm_dirty_pages_log_reset(kvm_context_t kvm);

/* Writes into the range may be collected and delivered to mmio_write later, before any other exit. */
int kvm_init_coalesced_mmio(kvm_context_t kvm);
int kvm_register_coalesced_mmio(kvm_context_t kvm, uint64_t addr, uint32_t size);
int kvm_unregister_coalesced_mmio(kvm_context_t kvm, uint64_t addr, uint32_t size);

/* Shadow page limit; the value read is the one last set, or 0. */
int kvm_set_shadow_pages(kvm_context_t kvm, unsigned int nrshadow_pages);
int kvm_get_shadow_pages(kvm_context_t kvm, unsigned int *nrshadow_pages);

/* ---- Device assignment: gone from kernels since 2017, -ENOTTY ------------------------------------------ */

/* Kernel headers that still have these define this word with them. */
#ifndef KVM_DEV_ASSIGN_ENABLE_IOMMU
#define KVM_DEV_ASSIGN_ENABLE_IOMMU (1 << 0)

struct kvm_assigned_pci_dev {
	__u32 assigned_dev_id;
	__u32 busnr;
	__u32 devfn;
	__u32 flags;
	__u32 segnr;
	__u32 reserved[11];
};

struct kvm_assigned_irq {
	__u32 assigned_dev_id;
	__u32 host_irq;
	__u32 guest_irq;
	__u32 flags;
	__u32 reserved[12];
};
#endif

int kvm_assign_pci_device(kvm_context_t kvm, struct kvm_assigned_pci_dev *assigned_dev);
int kvm_assign_irq(kvm_context_t kvm, struct kvm_assigned_irq *assigned_irq);

/* ---- Additions to the old interface -------------------------------------------------------------------- */

/*
 * Where text goes, one call a line, without the newline: a sentence for each error, and what kvm_show_regs and
 * kvm_dump_vcpu were asked for. NULL stands for stderr. The function may change errno and must not call the library.
 */
enum uv_kvm_log_kind { UV_KVM_LOG_ERROR, UV_KVM_LOG_DUMP };
typedef void (*uv_kvm_log_fn)(void *opaque, enum uv_kvm_log_kind kind, const char *line);
void uv_kvm_set_log(kvm_context_t kvm, uv_kvm_log_fn log, void *opaque);

/*
 * kvm_init with a choice of engine: "kernel" is the system's /dev/kvm, "soft" the engine in this library. NULL
 * takes the environment variable LIBKVM_ENGINE (the same two words), and without it the kernel's, or the soft one
 * where /dev/kvm cannot be opened or the processor shows no virtualization hardware (what then calls itself
 * /dev/kvm cannot run ordinary guests). errno EINVAL: no such word. `log` is set as by uv_kvm_set_log, and
 * gets the reason of a failure of this call too.
 */
kvm_context_t uv_kvm_init(struct kvm_callbacks *callbacks, void *opaque, const char *engine,
	uv_kvm_log_fn log, void *log_opaque);
/* "kernel" or "soft". */
const char *uv_kvm_engine(kvm_context_t kvm);

/* The CPUID leaves that the engine can give a guest (the caller frees it), and setting them, sub-leaves included. */
struct kvm_cpuid2 *uv_kvm_supported_cpuid(kvm_context_t kvm);
int uv_kvm_setup_cpuid2(
	kvm_context_t kvm, int vcpu, int nent, const struct kvm_cpuid_entry2 *entries);

#pragma GCC diagnostic pop
#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
