/* SPDX-License-Identifier: MIT */
/*
 * libkvm: create and run virtual machines through the KVM interface.
 *
 * This is a new implementation of the library of the same name from kvm-userspace (as of December 2008). Names and
 * types are the same, so programs written for that library compile and work: on today's kernels, and on machines
 * without KVM, where libkvm runs the guest on uservisor's own engine.
 *
 * Order of use: kvm_init, kvm_create (or kvm_create_vm and kvm_create_irqchip), memory, kvm_create_vcpu, registers,
 * kvm_run in one thread for each vCPU, kvm_finalize.
 *
 * Errors: on failure, a function that returns int returns -errno, and a function that returns a pointer returns NULL.
 * Both set errno. Exceptions are stated below. The library also writes one sentence about the failure to stderr, or
 * calls the function given to uv_kvm_set_log. It never ends the process.
 *
 * Threads: a vCPU may be used by one thread at a time. These functions need the context for themselves:
 * kvm_disable_..., kvm_create, kvm_create_vm, kvm_create_irqchip, kvm_init_coalesced_mmio, kvm_finalize and
 * uv_kvm_set_log. All other functions may be called from any thread.
 *
 * libkvm(3) has the details, and describes what the library does to the process: signal handlers, descriptors, fork.
 *
 * Names that begin with uv_kvm_ are additions to the old interface. They are at the end of this file.
 */
#ifndef LIBKVM_H
#define LIBKVM_H

#ifndef __user
#define __user
#endif

#include <linux/kvm.h>
#include <signal.h>
#include <stdint.h>
#include <sys/select.h> /* sigset_t, which <signal.h> does not define in strict C99 */

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

/* Kernel headers dropped this constant together with the old device assignment. */
#ifndef KVM_CAP_DEVICE_ASSIGNMENT
#define KVM_CAP_DEVICE_ASSIGNMENT 17
#endif

struct kvm_context;
typedef struct kvm_context *kvm_context_t;

/*
 * Callbacks: the functions that the program provides for the guest. `opaque` is the argument of kvm_init, and `env` is
 * the last argument of kvm_run. The library uses the structure in place: it must live as long as the context, and its
 * members may be changed while no vCPU runs.
 *
 * A member may be NULL. Then reads give all ones and writes are dropped; halt, shutdown, debug, tpr_access and
 * io_window end kvm_run with 1; the other callbacks do nothing.
 *
 * A callback that returns non-zero ends kvm_run, which returns that value. A hypervisor may hand over several elements
 * of a repeated string instruction together. All of them are delivered first, kvm_run then returns the first non-zero
 * result, and the next kvm_run continues with the rest.
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
	/* Accesses of at most 8 bytes to guest-physical addresses without memory. */
	int (*mmio_read)(void *opaque, uint64_t addr, uint8_t *data, int len);
	int (*mmio_write)(void *opaque, uint64_t addr, uint8_t *data, int len);
	/* The vCPU met a breakpoint or single step that kvm_set_guest_debug asked for. */
	int (*debug)(void *opaque, void *env, struct kvm_debug_exit_arch *arch_info);
	/* The vCPU executed HLT; only without an irqchip in the kernel. 0 enters the guest again at once. */
	int (*halt)(void *opaque, int vcpu);
	/* The guest had a triple fault, or asked the hypervisor for a shutdown or reset. */
	int (*shutdown)(void *opaque, void *env);
	/* A signal interrupted the vCPU, or a vCPU that waited for its SIPI has received it. Non-zero ends kvm_run. If
	 * the member is NULL, a signal ends kvm_run with 1, and after a SIPI the vCPU continues. */
	int (*io_window)(void *opaque);
	/* Called before each entry; only without an irqchip in the kernel. 1 asks for an exit as soon as the guest can
	 * take an interrupt. */
	int (*try_push_interrupts)(void *opaque);
	/* Called before each entry, before all other callbacks. */
	void (*push_nmi)(void *opaque);
	/* Called after and before each entry. If pre_kvm_run returns non-zero, kvm_run returns that value without a call
	 * of post_kvm_run. */
	void (*post_kvm_run)(void *opaque, void *env);
	int (*pre_kvm_run)(void *opaque, void *env);
	/* The guest accessed its TPR; see kvm_enable_tpr_access_reporting. */
	int (*tpr_access)(void *opaque, int vcpu, uint64_t rip, int is_write);
};

/* ---- Life cycle ------------------------------------------------------------------------------------- */

/* Opens the hypervisor. On failure it returns NULL and sets errno, and there is nothing to clean up. */
kvm_context_t kvm_init(struct kvm_callbacks *callbacks, void *opaque);

/* Releases everything that the library made: descriptors, vCPU areas and the memory that it allocated. Every kvm_run
 * must have returned. NULL is accepted. */
void kvm_finalize(kvm_context_t kvm);

/* These leave the interrupt controllers, or only the timer, to the program. Call them before kvm_create. Without an
 * irqchip there is no PIT either. */
void kvm_disable_irqchip_creation(kvm_context_t kvm);
void kvm_disable_pit_creation(kvm_context_t kvm);

/*
 * Creates the VM, its irqchip and PIT, and guest memory of `phys_mem_bytes` (rounded up to pages):
 *
 *   0          .. 0xA0000       at *phys_mem
 *   0xC0000    .. 0xE0000000    at *phys_mem + 0xC0000
 *   4 GiB      ..               at *phys_mem + 4 GiB, what did not fit below 0xE0000000
 *
 * A guest-physical address is thus the offset from *phys_mem. Memory of kvm_create_phys_mem and kvm_register_phys_mem
 * takes the place of these regions. If phys_mem is NULL or phys_mem_bytes is 0, no memory is made. vCPU 0 exists from
 * the first call that names it. After a failure the context is as before.
 */
int kvm_create(kvm_context_t kvm, unsigned long phys_mem_bytes, void **phys_mem);

/* Creates only the VM, with nothing in it. -EEXIST if there is one. */
int kvm_create_vm(kvm_context_t kvm);

/* Creates the interrupt controllers, unless they are disabled, for programs that use kvm_create_vm. Call it before the
 * first vCPU is created. kvm_irqchip_in_kernel tells whether it succeeded. */
void kvm_create_irqchip(kvm_context_t kvm);

/* Creates the vCPU with number `slot`, preferably from the thread that will run it. */
int kvm_create_vcpu(kvm_context_t kvm, int slot);

/* 1 if the hypervisor has the capability `ext`, a KVM_CAP_... constant, else 0. */
int kvm_check_extension(kvm_context_t kvm, int ext);

/* 1 if the hypervisor, or for /dev/mshv the library, has the interrupt controllers, or the timer, else 0. */
int kvm_irqchip_in_kernel(kvm_context_t kvm);
int kvm_pit_in_kernel(kvm_context_t kvm);

/* 1 if the guest sees changes of the program's memory map. */
int kvm_has_sync_mmu(kvm_context_t kvm);

/* ---- Running ---------------------------------------------------------------------------------------- */

/*
 * Runs the vCPU and serves its exits through the callbacks. When a callback returns non-zero, kvm_run returns that
 * value. When the vCPU cannot continue, kvm_run returns an error: -ENOEXEC if the processor refused the state, -EFAULT
 * for an exception that has no handler or for missing memory, -EIO if the hypervisor failed, -EPROTO for an unexpected
 * exit. The library then writes the details and the vCPU's state as messages. A signal makes the vCPU leave the guest,
 * and kvm_run calls io_window.
 *
 * A vCPU whose registers have not been set starts at 0xfffffff0. If there is no memory there but there is at 0xffff0,
 * it starts at 0xffff0, as on kernels before 3.9.
 */
int kvm_run(kvm_context_t kvm, int vcpu, void *env);

/* Sets the signals that are blocked while the guest runs (NULL: those that the thread blocks). A signal that only this
 * mask unblocks makes the vCPU leave the guest and stays pending. */
int kvm_set_signal_mask(kvm_context_t kvm, int vcpu, const sigset_t *sigset);

/* State as of the last exit. No system call is made. 0, and errno, if there is no such vCPU. */
int kvm_get_interrupt_flag(kvm_context_t kvm, int vcpu);
uint64_t kvm_get_apic_base(kvm_context_t kvm, int vcpu);
int kvm_is_ready_for_interrupt_injection(kvm_context_t kvm, int vcpu);
__u64 kvm_get_cr8(kvm_context_t kvm, int vcpu);
/* Takes effect at the next entry; only without an irqchip in the kernel. */
void kvm_set_cr8(kvm_context_t kvm, int vcpu, uint64_t cr8);

/* ---- Registers (the vCPU must not be running) --------------------------------------------------------- */

int kvm_get_regs(kvm_context_t kvm, int vcpu, struct kvm_regs *regs);
int kvm_set_regs(kvm_context_t kvm, int vcpu, struct kvm_regs *regs);
int kvm_get_fpu(kvm_context_t kvm, int vcpu, struct kvm_fpu *fpu);
int kvm_set_fpu(kvm_context_t kvm, int vcpu, struct kvm_fpu *fpu);
int kvm_get_sregs(kvm_context_t kvm, int vcpu, struct kvm_sregs *regs);
int kvm_set_sregs(kvm_context_t kvm, int vcpu, struct kvm_sregs *regs);

/* -ENOSYS if the hypervisor has no MP states. */
int kvm_get_mpstate(kvm_context_t kvm, int vcpu, struct kvm_mp_state *mp_state);
int kvm_set_mpstate(kvm_context_t kvm, int vcpu, struct kvm_mp_state *mp_state);

/* Makes the vCPU wait for INIT and SIPI again. */
static inline int kvm_reset_mpstate(kvm_context_t kvm, int vcpu)
{
	struct kvm_mp_state state = {KVM_MP_STATE_UNINITIALIZED};

	return kvm_set_mpstate(kvm, vcpu, &state);
}

/* The list of MSRs that a program should save. The caller frees it. */
struct kvm_msr_list *kvm_get_msr_list(kvm_context_t kvm);
/* The number of MSRs that were read or written, or -errno. A number below n is the index of the refused MSR. */
int kvm_get_msrs(kvm_context_t kvm, int vcpu, struct kvm_msr_entry *msrs, int n);
int kvm_set_msrs(kvm_context_t kvm, int vcpu, struct kvm_msr_entry *msrs, int n);

/* Sets CPUID, without sub-leaves; see uv_kvm_setup_cpuid2. */
int kvm_setup_cpuid(kvm_context_t kvm, int vcpu, int nent, struct kvm_cpuid_entry *entries);

/* Sets breakpoints and single steps, or injects an exception. */
int kvm_set_guest_debug(kvm_context_t kvm, int vcpu, struct kvm_guest_debug *dbg);

/* Writes general and system registers as text. */
void kvm_show_regs(kvm_context_t kvm, int vcpu);
/* Writes the whole state of the vCPU as text. */
int kvm_dump_vcpu(kvm_context_t kvm, int vcpu);

/* ---- Interrupts ------------------------------------------------------------------------------------- */

/* Sets an interrupt line. 1, or 0 without an irqchip in the kernel: then the program must deliver the interrupt. */
int kvm_set_irq_level(kvm_context_t kvm, int irq, int level);
/* Queues vector `irq`; only without an irqchip in the kernel. First ask kvm_is_ready_for_interrupt_injection. */
int kvm_inject_irq(kvm_context_t kvm, int vcpu, unsigned irq);
int kvm_inject_nmi(kvm_context_t kvm, int vcpu);

/* State of the chips in the kernel. If the chip does not exist, these return 0 and do nothing. */
int kvm_get_irqchip(kvm_context_t kvm, struct kvm_irqchip *chip);
int kvm_set_irqchip(kvm_context_t kvm, struct kvm_irqchip *chip);
int kvm_get_lapic(kvm_context_t kvm, int vcpu, struct kvm_lapic_state *s);
int kvm_set_lapic(kvm_context_t kvm, int vcpu, struct kvm_lapic_state *s);
int kvm_get_pit(kvm_context_t kvm, struct kvm_pit_state *s);
int kvm_set_pit(kvm_context_t kvm, struct kvm_pit_state *s);

/* Switch calls of tpr_access on or off. -ENOSYS if the hypervisor cannot report these accesses. */
int kvm_enable_tpr_access_reporting(kvm_context_t kvm, int vcpu);
int kvm_disable_tpr_access_reporting(kvm_context_t kvm, int vcpu);
/* Shares the TPR with the guest in a byte of guest memory; 0 ends that. */
int kvm_enable_vapic(kvm_context_t kvm, int vcpu, uint64_t vapic);

/* ---- Memory ----------------------------------------------------------------------------------------- */

/* Allocates zeroed guest memory. With `log`, guest writes are recorded. Without `writable`, guest writes are MMIO. */
void *kvm_create_phys_mem(
	kvm_context_t kvm, unsigned long phys_start, unsigned long len, int log, int writable);
/* Gives memory of the program to the guest. -EEXIST: it overlaps a region; -EINVAL: it is not page aligned; -EFAULT:
 * the address is NULL; -ENOSPC: no slot is left. */
int kvm_register_phys_mem(kvm_context_t kvm, unsigned long phys_start, void *userspace_addr,
	unsigned long len, int log);
/* Removes the region that contains phys_start, and frees memory of kvm_create_phys_mem. `len` is ignored. */
void kvm_destroy_phys_mem(kvm_context_t kvm, unsigned long phys_start, unsigned long len);
/* Removes the region that contains the whole range, if there is one. */
void kvm_unregister_memory_area(kvm_context_t kvm, uint64_t phys_start, unsigned long len);
/* 1 if one region contains the whole range. */
int kvm_is_containing_region(kvm_context_t kvm, unsigned long phys_start, unsigned long size);
/* 1 if regions can be removed, as on all hypervisors of today. */
int kvm_destroy_memory_region_works(kvm_context_t kvm);

/*
 * Makes an alias: guest accesses to [phys_start, phys_start + len) go to the memory that is at target_phys at the time
 * of the access. If there is none, they are MMIO. Until the alias is destroyed, it hides memory in its own range. A new
 * alias at the start of an old one replaces it; len 0 removes it. A write through an alias is recorded as a write to the
 * target. Aliases of aliases are not followed. A region that has to be split or joined disappears for a moment: no vCPU
 * that may access it may be running.
 *
 * -EINVAL: not page aligned, or the end wraps around; -EEXIST: it overlaps another alias; -ENOSPC: no slot is left.
 */
int kvm_create_memory_alias(
	kvm_context_t kvm, uint64_t phys_start, uint64_t len, uint64_t target_phys);
/* 0 also if no alias begins there. */
int kvm_destroy_memory_alias(kvm_context_t kvm, uint64_t phys_start);

/*
 * The pages that the guest has written since the last call, in the region that contains phys_addr. `buf` is an array
 * of unsigned longs, and its bit n is page n of the region. -ENOENT if there is no such region or its writes are not
 * recorded.
 */
int kvm_get_dirty_pages(kvm_context_t kvm, unsigned long phys_addr, void *buf);
/* The same for each region that is wholly inside [phys_addr, end_addr). Each result is passed to cb. If cb returns
 * non-zero, the function stops and returns that value. */
int kvm_get_dirty_pages_range(kvm_context_t kvm, unsigned long phys_addr, unsigned long end_addr,
	void *buf, void *opaque,
	int (*cb)(unsigned long start, unsigned long len, void *bitmap, void *opaque));
/* The same two functions for pages that exist in the host's memory. The second one takes a length. */
int kvm_get_mem_map(kvm_context_t kvm, unsigned long phys_addr, void *bitmap);
int kvm_get_mem_map_range(kvm_context_t kvm, unsigned long phys_addr, unsigned long len, void *buf,
	void *opaque,
	int (*cb)(unsigned long start, unsigned long len, void *bitmap, void *opaque));

/* Switch the recording of writes on and off: for one region, with a count of the calls (`len` is ignored), or for all
 * regions. _reset undoes _enable_all; regions that were created with `log` are still recorded. */
int kvm_dirty_pages_log_enable_slot(kvm_context_t kvm, uint64_t phys_start, uint64_t len);
int kvm_dirty_pages_log_disable_slot(kvm_context_t kvm, uint64_t phys_start, uint64_t len);
int kvm_dirty_pages_log_enable_all(kvm_context_t kvm);
int kvm_dirty_pages_log_reset(kvm_context_t kvm);

/* Register a range whose writes may be collected. Collected writes reach mmio_write later, before any other exit. */
int kvm_init_coalesced_mmio(kvm_context_t kvm);
int kvm_register_coalesced_mmio(kvm_context_t kvm, uint64_t addr, uint32_t size);
int kvm_unregister_coalesced_mmio(kvm_context_t kvm, uint64_t addr, uint32_t size);

/* The limit of shadow pages. Reading it gives the number that was set last, or 0. */
int kvm_set_shadow_pages(kvm_context_t kvm, unsigned int nrshadow_pages);
int kvm_get_shadow_pages(kvm_context_t kvm, unsigned int *nrshadow_pages);

/* ---- Device assignment: gone from kernels since 2017, -ENOTTY ------------------------------------------ */

/* Kernel headers that still have these structures define this constant together with them. */
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
 * Sets the function that receives the library's text: a sentence for each error, and the text of kvm_show_regs and
 * kvm_dump_vcpu. It is called once for each line, without the newline. NULL stands for stderr. The function may change
 * errno and must not call the library.
 */
enum uv_kvm_log_kind { UV_KVM_LOG_ERROR, UV_KVM_LOG_DUMP };
typedef void (*uv_kvm_log_fn)(void *opaque, enum uv_kvm_log_kind kind, const char *line);
void uv_kvm_set_log(kvm_context_t kvm, uv_kvm_log_fn log, void *opaque);

/*
 * kvm_init with a choice of the engine: "kernel" is the system's /dev/kvm, "soft" is the engine in this library, "mshv"
 * is the same engine through the Microsoft hypervisor's interface, and "mshv-kernel" is the system's /dev/mshv. With
 * NULL the environment variable LIBKVM_ENGINE chooses, with the same words. Without the variable, the library takes the
 * kernel's KVM, or the soft engine if /dev/kvm cannot be opened or the processor shows no virtualization hardware. (A
 * /dev/kvm on such a processor cannot run ordinary guests.) errno is EINVAL for any other word. `log` is set as by
 * uv_kvm_set_log, and also receives the reason if this call fails.
 */
kvm_context_t uv_kvm_init(struct kvm_callbacks *callbacks, void *opaque, const char *engine,
	uv_kvm_log_fn log, void *log_opaque);
/* The engine of the context, by one of these names. */
const char *uv_kvm_engine(kvm_context_t kvm);

/* The CPUID leaves that the engine can give a guest; the caller frees them. */
struct kvm_cpuid2 *uv_kvm_supported_cpuid(kvm_context_t kvm);
/* Sets CPUID, with sub-leaves. */
int uv_kvm_setup_cpuid2(
	kvm_context_t kvm, int vcpu, int nent, const struct kvm_cpuid_entry2 *entries);

#pragma GCC diagnostic pop
#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
