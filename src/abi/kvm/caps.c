/* SPDX-License-Identifier: MIT */
/*
 * Capabilities: what KVM_CHECK_EXTENSION answers, and what KVM_ENABLE_CAP switches on.
 *
 * A number that is not in the table is 0, "no". Booleans are exactly 1: clients compare with ==.
 */
#include <errno.h>
#include <sched.h>
#include <unistd.h>

#include <linux/kvm_para.h>

#include "abi/kvm/caps.h"
#include "abi/kvm/memory.h"
#include "introspect/maps.h"

#define GUEST_DEBUG_BITS                                                                           \
	(KVM_GUESTDBG_ENABLE | KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_USE_SW_BP |                  \
		KVM_GUESTDBG_USE_HW_BP | KVM_GUESTDBG_INJECT_DB | KVM_GUESTDBG_INJECT_BP |         \
		KVM_GUESTDBG_BLOCKIRQ)
#define CLOCK_FLAGS (KVM_CLOCK_TSC_STABLE | KVM_CLOCK_REALTIME | KVM_CLOCK_HOST_TSC)
/* All that Linux 6.12 has on every processor; those that the engine does not know change nothing here. */
#define QUIRKS                                                                                     \
	(KVM_X86_QUIRK_LINT0_REENABLED | KVM_X86_QUIRK_CD_NW_CLEARED |                             \
		KVM_X86_QUIRK_LAPIC_MMIO_HOLE | KVM_X86_QUIRK_OUT_7E_INC_RIP |                     \
		KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT | KVM_X86_QUIRK_FIX_HYPERCALL_INSN |            \
		KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS | KVM_X86_QUIRK_SLOT_ZAP_ALL |                 \
		KVM_X86_QUIRK_STUFF_FEATURE_MSRS)
_Static_assert(KVM_X86_QUIRK_LINT0_REENABLED == QUIRK_LINT0_REENABLED &&
		       KVM_X86_QUIRK_LAPIC_MMIO_HOLE == QUIRK_LAPIC_MMIO_HOLE &&
		       KVM_X86_QUIRK_OUT_7E_INC_RIP == QUIRK_OUT_7E_INC_RIP &&
		       KVM_X86_QUIRK_MISC_ENABLE_NO_MWAIT == QUIRK_MISC_ENABLE_NO_MWAIT &&
		       KVM_X86_QUIRK_FIX_HYPERCALL_INSN == QUIRK_FIX_HYPERCALL_INSN &&
		       KVM_X86_QUIRK_MWAIT_NEVER_UD_FAULTS == QUIRK_MWAIT_NEVER_UD_FAULTS &&
		       KVM_X86_QUIRK_STUFF_FEATURE_MSRS == QUIRK_STUFF_FEATURE_MSRS,
	"quirks pass through");
/* PAUSE and C-states never exit; MWAIT does nothing, which is no reason to promise that it sleeps. */
#define DISABLE_EXITS                                                                              \
	(KVM_X86_DISABLE_EXITS_HLT | KVM_X86_DISABLE_EXITS_PAUSE | KVM_X86_DISABLE_EXITS_CSTATE)
_Static_assert(KVM_X86_DISABLE_EXITS_HLT == NO_EXIT_HLT, "passes through");
#define HYPERCALL_EXITS BIT(KVM_HC_MAP_GPA_RANGE)
#define X2APIC_FLAGS    (KVM_X2APIC_API_USE_32BIT_IDS | KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK)

static const struct {
	u32 cap;
	u32 value;
} capabilities[] = {
	{KVM_CAP_IRQCHIP, 1},
	{KVM_CAP_HLT, 1},
	{KVM_CAP_MMU_SHADOW_CACHE_CONTROL, 1},
	{KVM_CAP_USER_MEMORY, 1},
	{KVM_CAP_SET_TSS_ADDR, 1},
	{KVM_CAP_VAPIC, 1},
	{KVM_CAP_EXT_CPUID, 1},
	{KVM_CAP_CLOCKSOURCE, 1},
	{KVM_CAP_NR_MEMSLOTS, MACHINE_MAX_SLOTS},
	{KVM_CAP_PIT, 1},
	{KVM_CAP_NOP_IO_DELAY, 1},
	{KVM_CAP_MP_STATE, 1},
	{KVM_CAP_COALESCED_MMIO, KVM_COALESCED_MMIO_PAGE_OFFSET},
	{KVM_CAP_SYNC_MMU, 1},
	{KVM_CAP_DESTROY_MEMORY_REGION_WORKS, 1},
	{KVM_CAP_USER_NMI, 1},
	{KVM_CAP_SET_GUEST_DEBUG, 1},
	{KVM_CAP_REINJECT_CONTROL, 1},
	{KVM_CAP_IRQ_ROUTING, IRQ_ROUTES_MAX},
	{KVM_CAP_IRQ_INJECT_STATUS, 1},
	{KVM_CAP_JOIN_MEMORY_REGIONS_WORKS, 1},
	{KVM_CAP_MCE, 32},
	{KVM_CAP_IRQFD, 1},
	{KVM_CAP_PIT2, 1},
	{KVM_CAP_SET_BOOT_CPU_ID, 1},
	{KVM_CAP_PIT_STATE2, 1},
	{KVM_CAP_IOEVENTFD, 1},
	{KVM_CAP_SET_IDENTITY_MAP_ADDR, 1},
	{KVM_CAP_ADJUST_CLOCK, CLOCK_FLAGS},
	{KVM_CAP_INTERNAL_ERROR_DATA, 1},
	{KVM_CAP_ASYNC_PF, 1},
	{KVM_CAP_VCPU_EVENTS, 1},
	{KVM_CAP_PCI_SEGMENT, 1},
	{KVM_CAP_DEBUGREGS, 1},
	{KVM_CAP_X86_ROBUST_SINGLESTEP, 1},
	{KVM_CAP_ENABLE_CAP, 1},
	{KVM_CAP_XSAVE, 1},
	{KVM_CAP_XCRS, 1},
	{KVM_CAP_GET_TSC_KHZ, 1},
	{KVM_CAP_MAX_VCPUS, MACHINE_MAX_VCPUS},
	{KVM_CAP_TSC_CONTROL, 1},
	{KVM_CAP_TSC_DEADLINE_TIMER, 1},
	{KVM_CAP_SYNC_REGS, KVM_SYNC_X86_VALID_FIELDS},
	{KVM_CAP_KVMCLOCK_CTRL, 1},
	{KVM_CAP_SIGNAL_MSI, 1},
	{KVM_CAP_READONLY_MEM, 1},
	{KVM_CAP_DEVICE_CTRL, 1},
	{KVM_CAP_IRQFD_RESAMPLE, 1},
	{KVM_CAP_EXT_EMUL_CPUID, 1},
	{KVM_CAP_IOAPIC_POLARITY_IGNORED, 1},
	{KVM_CAP_ENABLE_CAP_VM, 1},
	{KVM_CAP_IOEVENTFD_NO_LENGTH, 1},
	{KVM_CAP_CHECK_EXTENSION_VM, 1},
	{KVM_CAP_DISABLE_QUIRKS, 1},
	{KVM_CAP_SPLIT_IRQCHIP, 1},
	{KVM_CAP_IOEVENTFD_ANY_LENGTH, 1},
	{KVM_CAP_MAX_VCPU_ID, MACHINE_MAX_VCPUS},
	{KVM_CAP_X86_SMM, 1},
	{KVM_CAP_MULTI_ADDRESS_SPACE, MACHINE_SPACES},
	{KVM_CAP_X2APIC_API, X2APIC_FLAGS},
	{KVM_CAP_IMMEDIATE_EXIT, 1},
	{KVM_CAP_GET_MSR_FEATURES, 1},
	{KVM_CAP_MSR_PLATFORM_INFO, 1},
	{KVM_CAP_COALESCED_PIO, 1},
	{KVM_CAP_EXCEPTION_PAYLOAD, 1},
	{KVM_CAP_X86_DISABLE_EXITS, DISABLE_EXITS},
	{KVM_CAP_X86_USER_SPACE_MSR, 1},
	{KVM_CAP_X86_MSR_FILTER, 1},
	{KVM_CAP_INTROSPECTION, KVMI_VERSION},
	{KVM_CAP_ENFORCE_PV_FEATURE_CPUID, 1},
	{KVM_CAP_ASYNC_PF_INT, 1},
	{KVM_CAP_EXIT_HYPERCALL, HYPERCALL_EXITS},
	{KVM_CAP_SET_GUEST_DEBUG2, GUEST_DEBUG_BITS},
	{KVM_CAP_BINARY_STATS_FD, 1},
	{KVM_CAP_SREGS2, 1},
	{KVM_CAP_VM_TSC_CONTROL, 1},
	{KVM_CAP_HYPERV, 1},
	{KVM_CAP_HYPERV_VAPIC, 1},
	{KVM_CAP_HYPERV_SPIN, 1},
	{KVM_CAP_HYPERV_TIME, 1},
	{KVM_CAP_HYPERV_SYNIC, 1},
	{KVM_CAP_HYPERV_SYNIC2, 1},
	{KVM_CAP_HYPERV_VP_INDEX, 1},
	{KVM_CAP_HYPERV_EVENTFD, 1},
	{KVM_CAP_HYPERV_TLBFLUSH, 1},
	{KVM_CAP_HYPERV_SEND_IPI, 1},
	{KVM_CAP_HYPERV_CPUID, 1},
	{KVM_CAP_SYS_HYPERV_CPUID, 1},
	{KVM_CAP_HYPERV_ENFORCE_CPUID, 1},
	{KVM_CAP_XEN_HVM, KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL},
	{KVM_CAP_X86_TRIPLE_FAULT_EVENT, 1},
	{KVM_CAP_SMALLER_MAXPHYADDR, 1},
	{KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1},
	{KVM_CAP_XSAVE2, sizeof(struct kvm_xsave)},
	{KVM_CAP_SYS_ATTRIBUTES, 1},
	{KVM_CAP_DISABLE_QUIRKS2, QUIRKS},
	{KVM_CAP_SYSTEM_EVENT_DATA, 1},
	{KVM_CAP_USER_MEMORY2, 1},
	{KVM_CAP_MEMORY_FAULT_INFO, 1},
	{KVM_CAP_VM_TYPES, BIT(KVM_X86_DEFAULT_VM) | BIT(KVM_X86_SW_PROTECTED_VM)},
	{KVM_CAP_PRE_FAULT_MEMORY, 1},
	{KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2,
		KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET},
	{KVM_CAP_DIRTY_LOG_RING, 65536 * sizeof(struct kvm_dirty_gfn)},
	{KVM_CAP_DIRTY_LOG_RING_ACQ_REL, 65536 * sizeof(struct kvm_dirty_gfn)},
	{KVM_CAP_X86_APIC_BUS_CYCLES_NS, 1},
};

/* Processors of the host: more vcpus than that work, but share them. */
static long recommended_vcpus(void)
{
	long n = sysconf(_SC_NPROCESSORS_ONLN);

	return n < 1 ? 1 : MIN(n, (long)MACHINE_MAX_VCPUS);
}

long capability_value(struct kvm_vm *vm, u32 cap)
{
	unsigned i;

	if (cap == KVM_CAP_NR_VCPUS)
		return recommended_vcpus();
	if (cap == KVM_CAP_NESTED_STATE)
		return nested_state_bytes();
	if (cap == KVM_CAP_MEMORY_ATTRIBUTES)
		return (long)vm_memory_attributes(vm);
	if (cap == KVM_CAP_GUEST_MEMFD)
		return !vm || vm->private_memory;
	for (i = 0; i < ARRAY_SIZE(capabilities); i++)
		if (capabilities[i].cap == cap)
			return capabilities[i].value;
	return 0;
}

/* What most of them take in args[0]: bits that are known, -EINVAL if there are others. */
static long check_arg(struct call *c, u64 value, u64 valid)
{
	if (!(value & ~valid))
		return 0;
	return refuse(
		c->why, -EINVAL, "args[0] 0x%lx: only the bits 0x%lx may be set", value, valid);
}

static long enable_split_irqchip(struct call *c, u64 reserved_gsis)
{
	long r;

	if (reserved_gsis > IRQ_ROUTES_MAX)
		return refuse(c->why, -EINVAL, "args[0] %lu: at most %lu GSIs can be reserved",
			reserved_gsis, (u64)IRQ_ROUTES_MAX);
	r = machine_create_irqchip(vm_of(c)->machine, IRQCHIP_SPLIT);
	return irqchip_created(c, r);
}

static long enable_x2apic_api(struct call *c, u64 flags)
{
	struct kvm_vm *vm = vm_of(c);

	if (check_arg(c, flags, X2APIC_FLAGS))
		return -EINVAL;
	vm->x2apic_ids |= !!(flags & KVM_X2APIC_API_USE_32BIT_IDS);
	vm->no_broadcast_quirk |= !!(flags & KVM_X2APIC_API_DISABLE_BROADCAST_QUIRK);
	machine_set_x2apic_api(vm->machine, vm->x2apic_ids, vm->no_broadcast_quirk);
	return 0;
}

static long enable_bus_cycles(struct call *c, u64 ns)
{
	if (!ns || ns > UINT32_MAX)
		return refuse(c->why, -EINVAL,
			"args[0] %lu: the bus cycle must be 1 to %lu nanoseconds", ns,
			(u64)UINT32_MAX);
	if (!vm_has_irqchip(vm_of(c)))
		return refuse(c->why, -ENXIO, NO_IRQCHIP);
	return refuse_if(
		c->why, machine_set_apic_bus_ns(vm_of(c)->machine, ns), -EINVAL, AFTER_VCPUS);
}

static long enable_user_msr(struct call *c, u64 mask)
{
	if (check_arg(c, mask, KVM_MSR_EXIT_REASON_VALID_MASK))
		return -EINVAL;
	return machine_set_msr_exits(vm_of(c)->machine, mask);
}

/* Once switched off they stay so. */
static long disable_quirks(struct kvm_vm *vm, u64 quirks)
{
	vm->quirks_off |= quirks & QUIRKS;
	machine_set_option(vm->machine, OPT_QUIRKS_OFF, vm->quirks_off);
	return 0;
}

static long disable_exits(struct call *c, u64 exits)
{
	struct kvm_vm *vm = vm_of(c);

	if (check_arg(c, exits, KVM_X86_DISABLE_VALID_EXITS))
		return -EINVAL;
	vm->exits_off |= exits & DISABLE_EXITS;
	machine_set_option(vm->machine, OPT_EXITS_OFF, vm->exits_off);
	return 0;
}

static long set_option(struct call *c, enum machine_option o, u64 value, u64 valid)
{
	if (check_arg(c, value, valid))
		return -EINVAL;
	machine_set_option(vm_of(c)->machine, o, value);
	return 0;
}

static long exit_hypercalls(struct call *c, u64 which)
{
	if (check_arg(c, which, HYPERCALL_EXITS))
		return -EINVAL;
	machine_set_option(vm_of(c)->machine, OPT_HYPERCALL_EXITS, which | MAPS_HYPERCALLS);
	return 0;
}

static long enable_for_vm(struct call *c, const struct kvm_enable_cap *e)
{
	struct kvm_vm *vm = vm_of(c);
	u64 arg = e->args[0];

	switch (e->cap) {
	case KVM_CAP_SPLIT_IRQCHIP: return enable_split_irqchip(c, arg);
	case KVM_CAP_X2APIC_API: return enable_x2apic_api(c, arg);
	case KVM_CAP_X86_APIC_BUS_CYCLES_NS: return enable_bus_cycles(c, arg);
	case KVM_CAP_X86_USER_SPACE_MSR: return enable_user_msr(c, arg);
	case KVM_CAP_MAX_VCPU_ID: return vm_limit_ids(c, arg);
	case KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2: return enable_manual_dirty_log(c, arg);
	case KVM_CAP_DIRTY_LOG_RING:
	case KVM_CAP_DIRTY_LOG_RING_ACQ_REL: return enable_dirty_ring(c, arg);
	case KVM_CAP_EXCEPTION_PAYLOAD: vm->exception_payload = arg; return 0;
	case KVM_CAP_X86_TRIPLE_FAULT_EVENT: vm->triple_fault_event = arg; return 0;
	case KVM_CAP_DISABLE_QUIRKS2:
		if (check_arg(c, arg, QUIRKS))
			return -EINVAL;
		/* fall through */
	case KVM_CAP_DISABLE_QUIRKS: return disable_quirks(vm, arg);
	case KVM_CAP_X86_DISABLE_EXITS: return disable_exits(c, arg);
	case KVM_CAP_MSR_PLATFORM_INFO: return set_option(c, OPT_NO_PLATFORM_INFO, !arg, 1);
	case KVM_CAP_EXIT_HYPERCALL: return exit_hypercalls(c, arg);
	case KVM_CAP_EXIT_ON_EMULATION_FAILURE: return set_option(c, OPT_X87_MMIO_FAILS, arg, 1);
	}
	return refuse(c->why, -EINVAL, "cap %lu: this capability cannot be enabled for a VM",
		(u64)e->cap);
}

long vm_enable_cap(struct call *c)
{
	const struct kvm_enable_cap *e = c->data;
	long ret;

	if (check_flags(c, e->flags, 0))
		return -EINVAL;
	pthread_mutex_lock(&vm_of(c)->lock);
	ret = enable_for_vm(c, e);
	pthread_mutex_unlock(&vm_of(c)->lock);
	return ret;
}

long vcpu_enable_cap(struct call *c)
{
	const struct kvm_enable_cap *e = c->data;

	if (check_flags(c, e->flags, 0))
		return -EINVAL;
	if (e->cap != KVM_CAP_ENFORCE_PV_FEATURE_CPUID)
		return vcpu_enable_hyperv(c, e);
	vcpu_enforce_pv_cpuid(vcpu_of(c)->cpu, e->args[0]);
	return 0;
}
