/* SPDX-License-Identifier: MIT */
/* What the arguments of KVM's requests consist of. Lists that follow a structure are kvm_list.c's, exits kvm_exit.c's. */
#include <errno.h>

#include "shim/decode/kvm.h"

#define SEG(name)                                                                                  \
	H(kvm_sregs, name.selector), H(kvm_sregs, name.base), H(kvm_sregs, name.limit),            \
		H(kvm_sregs, name.type), D(kvm_sregs, name.s), D(kvm_sregs, name.dpl),             \
		D(kvm_sregs, name.present), D(kvm_sregs, name.avl), D(kvm_sregs, name.l),          \
		D(kvm_sregs, name.db), D(kvm_sregs, name.g), D(kvm_sregs, name.unusable)
/* What kvm_sregs and kvm_sregs2 begin with. */
#define SREGS                                                                                      \
	SEG(cs), SEG(ds), SEG(es), SEG(fs), SEG(gs), SEG(ss), SEG(tr), SEG(ldt),                   \
		H(kvm_sregs, gdt.base), H(kvm_sregs, gdt.limit), H(kvm_sregs, idt.base),           \
		H(kvm_sregs, idt.limit), H(kvm_sregs, cr0), H(kvm_sregs, cr2), H(kvm_sregs, cr3),  \
		H(kvm_sregs, cr4), H(kvm_sregs, cr8), H(kvm_sregs, efer), H(kvm_sregs, apic_base)
/* A register of the local APIC's page. */
#define APIC(name, offset)                                                                         \
	{                                                                                          \
#name, offset, 4, LINE_HEX                                                         \
	}
#define PIT(n)                                                                                     \
	D(kvm_pit_state, channels[n].count), D(kvm_pit_state, channels[n].mode),                   \
		D(kvm_pit_state, channels[n].rw_mode), D(kvm_pit_state, channels[n].bcd),          \
		D(kvm_pit_state, channels[n].gate)

MEMBERS(memory_region) = {D(kvm_userspace_memory_region, slot),
	H(kvm_userspace_memory_region, flags), H(kvm_userspace_memory_region, guest_phys_addr),
	H(kvm_userspace_memory_region, memory_size),
	H(kvm_userspace_memory_region, userspace_addr)};
MEMBERS(memory_region2) = {D(kvm_userspace_memory_region2, slot),
	H(kvm_userspace_memory_region2, flags), H(kvm_userspace_memory_region2, guest_phys_addr),
	H(kvm_userspace_memory_region2, memory_size),
	H(kvm_userspace_memory_region2, userspace_addr),
	S(kvm_userspace_memory_region2, guest_memfd),
	H(kvm_userspace_memory_region2, guest_memfd_offset)};
MEMBERS(guest_memfd) = {H(kvm_create_guest_memfd, size), H(kvm_create_guest_memfd, flags)};
MEMBERS(memory_attributes) = {H(kvm_memory_attributes, address), H(kvm_memory_attributes, size),
	H(kvm_memory_attributes, attributes), H(kvm_memory_attributes, flags)};
MEMBERS(regs) = {H(kvm_regs, rip), H(kvm_regs, rflags), H(kvm_regs, rax), H(kvm_regs, rbx),
	H(kvm_regs, rcx), H(kvm_regs, rdx), H(kvm_regs, rsi), H(kvm_regs, rdi), H(kvm_regs, rsp),
	H(kvm_regs, rbp), H(kvm_regs, r8), H(kvm_regs, r9), H(kvm_regs, r10), H(kvm_regs, r11),
	H(kvm_regs, r12), H(kvm_regs, r13), H(kvm_regs, r14), H(kvm_regs, r15)};
MEMBERS(sregs) = {SREGS, H(kvm_sregs, interrupt_bitmap[0]), H(kvm_sregs, interrupt_bitmap[1]),
	H(kvm_sregs, interrupt_bitmap[2]), H(kvm_sregs, interrupt_bitmap[3])};
MEMBERS(sregs2) = {SREGS, H(kvm_sregs2, flags), H(kvm_sregs2, pdptrs[0]), H(kvm_sregs2, pdptrs[1]),
	H(kvm_sregs2, pdptrs[2]), H(kvm_sregs2, pdptrs[3])};
MEMBERS(enable_cap) = {D(kvm_enable_cap, cap), H(kvm_enable_cap, flags), H(kvm_enable_cap, args[0]),
	H(kvm_enable_cap, args[1]), H(kvm_enable_cap, args[2]), H(kvm_enable_cap, args[3])};
MEMBERS(irq_level) = {D(kvm_irq_level, irq), D(kvm_irq_level, level)};
MEMBERS(irq_status) = {S(kvm_irq_level, status)};
MEMBERS(irqfd) = {
	S(kvm_irqfd, fd), D(kvm_irqfd, gsi), H(kvm_irqfd, flags), S(kvm_irqfd, resamplefd)};
MEMBERS(ioeventfd) = {H(kvm_ioeventfd, addr), D(kvm_ioeventfd, len), S(kvm_ioeventfd, fd),
	H(kvm_ioeventfd, flags), H(kvm_ioeventfd, datamatch)};
MEMBERS(introspection) = {
	S(kvm_introspection, fd), H(kvm_introspection, commands), H(kvm_introspection, events)};
MEMBERS(msi) = {
	H(kvm_msi, address_lo), H(kvm_msi, address_hi), H(kvm_msi, data), H(kvm_msi, flags)};
MEMBERS(routing) = {D(kvm_irq_routing, nr), H(kvm_irq_routing, flags)};
MEMBERS(pit_config) = {H(kvm_pit_config, flags)};
MEMBERS(clock_data) = {D(kvm_clock_data, clock), H(kvm_clock_data, flags)};
MEMBERS(pit) = {PIT(0), PIT(1), PIT(2)};
MEMBERS(pit2) = {PIT(0), PIT(1), PIT(2), H(kvm_pit_state2, flags)};
MEMBERS(reinject) = {D(kvm_reinject_control, pit_reinject)};
MEMBERS(device) = {D(kvm_create_device, type), H(kvm_create_device, flags)};
MEMBERS(device_fd) = {S(kvm_create_device, fd)};
MEMBERS(dirty_log) = {D(kvm_dirty_log, slot)};
MEMBERS(clear_dirty_log) = {D(kvm_clear_dirty_log, slot), D(kvm_clear_dirty_log, first_page),
	D(kvm_clear_dirty_log, num_pages)};
MEMBERS(zone) = {H(kvm_coalesced_mmio_zone, addr), H(kvm_coalesced_mmio_zone, size),
	D(kvm_coalesced_mmio_zone, pio)};
MEMBERS(device_attr) = {H(kvm_device_attr, flags), D(kvm_device_attr, group),
	H(kvm_device_attr, attr), H(kvm_device_attr, addr)};
MEMBERS(mp_state) = {D(kvm_mp_state, mp_state)};
MEMBERS(interrupt) = {D(kvm_interrupt, irq)};
MEMBERS(linear) = {H(kvm_translation, linear_address)};
MEMBERS(translation) = {H(kvm_translation, physical_address), D(kvm_translation, valid),
	D(kvm_translation, writeable), D(kvm_translation, usermode)};
MEMBERS(guest_debug) = {H(kvm_guest_debug, control), H(kvm_guest_debug, arch.debugreg[0]),
	H(kvm_guest_debug, arch.debugreg[1]), H(kvm_guest_debug, arch.debugreg[2]),
	H(kvm_guest_debug, arch.debugreg[3]), H(kvm_guest_debug, arch.debugreg[7])};
MEMBERS(debugregs) = {H(kvm_debugregs, db[0]), H(kvm_debugregs, db[1]), H(kvm_debugregs, db[2]),
	H(kvm_debugregs, db[3]), H(kvm_debugregs, dr6), H(kvm_debugregs, dr7)};
MEMBERS(fpu) = {H(kvm_fpu, fcw), H(kvm_fpu, fsw), H(kvm_fpu, ftwx), H(kvm_fpu, last_opcode),
	H(kvm_fpu, last_ip), H(kvm_fpu, last_dp), H(kvm_fpu, mxcsr)};
/* SDM 1:10.5.1, 1:13.4.2 */
MEMBERS(xsave) = {{"fcw", 0, 2, LINE_HEX}, {"fsw", 2, 2, LINE_HEX}, {"ftw", 4, 1, LINE_HEX},
	{"mxcsr", 24, 4, LINE_HEX}, {"xstate_bv", 512, 8, LINE_HEX},
	{"xcomp_bv", 520, 8, LINE_HEX}};
/* SDM 3:10.4.1, table 10-1 */
MEMBERS(lapic) = {APIC(id, 0x20), APIC(version, 0x30), APIC(tpr, 0x80), APIC(ldr, 0xd0),
	APIC(dfr, 0xe0), APIC(svr, 0xf0), APIC(esr, 0x280), APIC(icr, 0x300), APIC(icr2, 0x310),
	APIC(lvt_timer, 0x320), APIC(lvt_thermal, 0x330), APIC(lvt_perf, 0x340),
	APIC(lvt_lint0, 0x350), APIC(lvt_lint1, 0x360), APIC(lvt_error, 0x370),
	APIC(timer_initial, 0x380), APIC(timer_current, 0x390), APIC(timer_divide, 0x3e0)};
MEMBERS(events) = {D(kvm_vcpu_events, exception.injected), D(kvm_vcpu_events, exception.nr),
	D(kvm_vcpu_events, exception.has_error_code), D(kvm_vcpu_events, exception.pending),
	H(kvm_vcpu_events, exception.error_code), D(kvm_vcpu_events, interrupt.injected),
	D(kvm_vcpu_events, interrupt.nr), D(kvm_vcpu_events, interrupt.soft),
	D(kvm_vcpu_events, interrupt.shadow), D(kvm_vcpu_events, nmi.injected),
	D(kvm_vcpu_events, nmi.pending), D(kvm_vcpu_events, nmi.masked),
	H(kvm_vcpu_events, sipi_vector), H(kvm_vcpu_events, flags), D(kvm_vcpu_events, smi.smm),
	D(kvm_vcpu_events, smi.pending), D(kvm_vcpu_events, smi.smm_inside_nmi),
	D(kvm_vcpu_events, smi.latched_init), D(kvm_vcpu_events, triple_fault.pending),
	D(kvm_vcpu_events, exception_has_payload), H(kvm_vcpu_events, exception_payload)};
MEMBERS(xcrs) = {D(kvm_xcrs, nr_xcrs), H(kvm_xcrs, flags), D(kvm_xcrs, xcrs[0].xcr),
	H(kvm_xcrs, xcrs[0].value)};
MEMBERS(cpuid) = {D(kvm_cpuid2, nent)};
MEMBERS(msr_list) = {D(kvm_msr_list, nmsrs)};
MEMBERS(msrs) = {D(kvm_msrs, nmsrs)};
MEMBERS(value) = {{"value", 0, 8, LINE_HEX}};
MEMBERS(mce) = {H(kvm_x86_mce, status), H(kvm_x86_mce, addr), H(kvm_x86_mce, misc),
	H(kvm_x86_mce, mcg_status), D(kvm_x86_mce, bank)};
/* The set follows its length. */
MEMBERS(signal_mask) = {D(kvm_signal_mask, len), {"sigset", 4, 8, LINE_HEX}};
MEMBERS(tpr_access) = {D(kvm_tpr_access_ctl, enabled), H(kvm_tpr_access_ctl, flags)};
MEMBERS(vapic) = {H(kvm_vapic_addr, vapic_addr)};
MEMBERS(pre_fault) = {H(kvm_pre_fault_memory, gpa), H(kvm_pre_fault_memory, size),
	H(kvm_pre_fault_memory, flags)};
MEMBERS(nested) = {
	H(kvm_nested_state, flags), D(kvm_nested_state, format), D(kvm_nested_state, size)};
MEMBERS(pre_fault_left) = {H(kvm_pre_fault_memory, gpa), H(kvm_pre_fault_memory, size)};
MEMBERS(hv_eventfd) = {
	H(kvm_hyperv_eventfd, conn_id), S(kvm_hyperv_eventfd, fd), H(kvm_hyperv_eventfd, flags)};
MEMBERS(xen_config) = {H(kvm_xen_hvm_config, flags), H(kvm_xen_hvm_config, msr)};
MEMBERS(msr_filter) = {H(kvm_msr_filter, flags)};

/* Lists that had no room say how much they need, and nothing else. */
static enum answered list_size(unsigned long arg, long error)
{
	return error == -E2BIG ? ANSWERED_MEMBERS : ANSWERED_NOTHING;
}

static const struct layout layouts[] = {
#define P  PART
#define PL PART_LIST
#define IN(request, members)                                                                       \
	{                                                                                          \
		request, P(members), NO_PART                                                       \
	}
#define OUT(request, members)                                                                      \
	{                                                                                          \
		request, NO_PART, P(members)                                                       \
	}
	OUT(KVM_X86_GET_MCE_CAP_SUPPORTED, value),
	IN(KVM_SET_USER_MEMORY_REGION, memory_region),
	IN(KVM_SET_USER_MEMORY_REGION2, memory_region2),
	IN(KVM_CREATE_GUEST_MEMFD, guest_memfd),
	IN(KVM_SET_MEMORY_ATTRIBUTES, memory_attributes),
	OUT(KVM_GET_REGS, regs),
	IN(KVM_SET_REGS, regs),
	OUT(KVM_GET_SREGS, sregs),
	IN(KVM_SET_SREGS, sregs),
	OUT(KVM_GET_SREGS2, sregs2),
	IN(KVM_SET_SREGS2, sregs2),
	OUT(KVM_GET_FPU, fpu),
	IN(KVM_SET_FPU, fpu),
	OUT(KVM_GET_XSAVE, xsave),
	OUT(KVM_GET_XSAVE2, xsave),
	IN(KVM_SET_XSAVE, xsave),
	OUT(KVM_GET_LAPIC, lapic),
	IN(KVM_SET_LAPIC, lapic),
	{KVM_ENABLE_CAP, PL(enable_cap, list_capability), NO_PART},
	IN(KVM_IRQ_LINE, irq_level),
	{KVM_IRQ_LINE_STATUS, P(irq_level), P(irq_status)},
	IN(KVM_IRQFD, irqfd),
	IN(KVM_IOEVENTFD, ioeventfd),
	IN(KVM_SIGNAL_MSI, msi),
	{KVM_SET_GSI_ROUTING, PL(routing, list_routes), NO_PART},
	{KVM_GET_IRQCHIP, NO_PART, {NULL, 0, list_irqchip}},
	{KVM_SET_IRQCHIP, {NULL, 0, list_irqchip}, NO_PART},
	IN(KVM_CREATE_PIT2, pit_config),
	OUT(KVM_GET_PIT, pit),
	IN(KVM_SET_PIT, pit),
	OUT(KVM_GET_PIT2, pit2),
	IN(KVM_SET_PIT2, pit2),
	IN(KVM_REINJECT_CONTROL, reinject),
	{KVM_CREATE_DEVICE, P(device), P(device_fd)},
	OUT(KVM_GET_CLOCK, clock_data),
	IN(KVM_SET_CLOCK, clock_data),
	IN(KVM_SET_IDENTITY_MAP_ADDR, value),
	IN(KVM_GET_DIRTY_LOG, dirty_log),
	IN(KVM_CLEAR_DIRTY_LOG, clear_dirty_log),
	IN(KVM_REGISTER_COALESCED_MMIO, zone),
	IN(KVM_UNREGISTER_COALESCED_MMIO, zone),
	{KVM_GET_DEVICE_ATTR, P(device_attr), {NULL, 0, list_attr}},
	{KVM_SET_DEVICE_ATTR, PL(device_attr, list_attr), NO_PART},
	IN(KVM_HAS_DEVICE_ATTR, device_attr),
	IN(KVM_HYPERV_EVENTFD, hv_eventfd),
	IN(KVM_INTROSPECTION_HOOK, introspection),
	IN(KVM_XEN_HVM_CONFIG, xen_config),
	{KVM_X86_SET_MSR_FILTER, PL(msr_filter, list_msr_ranges), NO_PART},
	OUT(KVM_GET_MP_STATE, mp_state),
	IN(KVM_SET_MP_STATE, mp_state),
	IN(KVM_INTERRUPT, interrupt),
	{KVM_TRANSLATE, P(linear), P(translation)},
	IN(KVM_SET_GUEST_DEBUG, guest_debug),
	OUT(KVM_GET_DEBUGREGS, debugregs),
	IN(KVM_SET_DEBUGREGS, debugregs),
	OUT(KVM_GET_VCPU_EVENTS, events),
	IN(KVM_SET_VCPU_EVENTS, events),
	OUT(KVM_GET_XCRS, xcrs),
	IN(KVM_SET_XCRS, xcrs),
	IN(KVM_SET_SIGNAL_MASK, signal_mask),
	IN(KVM_X86_SETUP_MCE, value),
	IN(KVM_X86_SET_MCE, mce),
	IN(KVM_TPR_ACCESS_REPORTING, tpr_access),
	IN(KVM_SET_VAPIC_ADDR, vapic),
	OUT(KVM_GET_NESTED_STATE, nested),
	IN(KVM_SET_NESTED_STATE, nested),
	{KVM_PRE_FAULT_MEMORY, P(pre_fault), P(pre_fault_left)},
	{KVM_GET_SUPPORTED_CPUID, P(cpuid), PL(cpuid, list_cpuid)},
	{KVM_GET_SUPPORTED_HV_CPUID, P(cpuid), PL(cpuid, list_cpuid)},
	{KVM_GET_EMULATED_CPUID, P(cpuid), PL(cpuid, list_cpuid)},
	{KVM_GET_CPUID2, P(cpuid), PL(cpuid, list_cpuid)},
	{KVM_SET_CPUID, PL(cpuid, list_cpuid_old), NO_PART},
	{KVM_SET_CPUID2, PL(cpuid, list_cpuid), NO_PART},
	{KVM_GET_MSR_INDEX_LIST, P(msr_list), PL(msr_list, list_msr_indices), list_size},
	{KVM_GET_MSR_FEATURE_INDEX_LIST, P(msr_list), PL(msr_list, list_msr_indices), list_size},
	{KVM_GET_MSRS, NO_PART, PL(msrs, list_msrs)},
	{KVM_SET_MSRS, PL(msrs, list_msrs), NO_PART},
#undef P
#undef PL
#undef IN
#undef OUT
};

/* The name of a capability, and what a vcpu's last exit has asked for. */
static void before(struct line *l, int fd, u32 request, unsigned long arg)
{
	const char *name = request == KVM_CHECK_EXTENSION ? capability_name((u32)arg) : NULL;

	if (name)
		line_word(l, l->json ? "capability" : NULL, name);
	if (request == KVM_RUN)
		exit_answered(l, fd);
}

static void after(struct line *l, int fd, u32 request, unsigned long arg, long result)
{
	if (request == KVM_RUN)
		exit_happened(l, fd, result);
}

const struct decoder decoder_kvm = {
	.interface = "kvm",
	.layouts = layouts,
	.count = ARRAY_SIZE(layouts),
	.before = before,
	.after = after,
	.closed = exit_forget,
};
