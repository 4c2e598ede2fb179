/* SPDX-License-Identifier: MIT */
/*
 * What the arguments of requests and the exits consist of: one table of members for each. The
 * program's memory is read by the kernel, so that a bad pointer stays the program's mistake.
 */
#include <errno.h>
#include <string.h>

#include "base/sys.h"
#include "shim/trace.h"
#include "uapi/kvm_more.h"

struct member {
	const char *name;
	u16 offset;
	u8 size;
	u8 format; /* enum line_format */
};

#define M(type, member, format)                                                                    \
	{                                                                                          \
#member, offsetof(struct type, member), sizeof(((struct type *)NULL)->member),     \
			format                                                                     \
	}
#define D(type, member) M(type, member, LINE_DEC)
#define S(type, member) M(type, member, LINE_SIGNED)
#define H(type, member) M(type, member, LINE_HEX)
#define SEG(name)                                                                                  \
	H(kvm_sregs, name.selector), H(kvm_sregs, name.base), H(kvm_sregs, name.limit),            \
		H(kvm_sregs, name.type)
#define MEMBERS(name) static const struct member name[]

MEMBERS(memory_region) = {D(kvm_userspace_memory_region, slot),
	H(kvm_userspace_memory_region, flags), H(kvm_userspace_memory_region, guest_phys_addr),
	H(kvm_userspace_memory_region, memory_size),
	H(kvm_userspace_memory_region, userspace_addr)};
MEMBERS(regs) = {H(kvm_regs, rip), H(kvm_regs, rflags), H(kvm_regs, rax), H(kvm_regs, rbx),
	H(kvm_regs, rcx), H(kvm_regs, rdx), H(kvm_regs, rsi), H(kvm_regs, rdi), H(kvm_regs, rsp),
	H(kvm_regs, rbp), H(kvm_regs, r8), H(kvm_regs, r9), H(kvm_regs, r10), H(kvm_regs, r11),
	H(kvm_regs, r12), H(kvm_regs, r13), H(kvm_regs, r14), H(kvm_regs, r15)};
MEMBERS(sregs) = {SEG(cs), SEG(ds), SEG(es), SEG(fs), SEG(gs), SEG(ss), SEG(tr), SEG(ldt),
	H(kvm_sregs, gdt.base), H(kvm_sregs, gdt.limit), H(kvm_sregs, idt.base),
	H(kvm_sregs, idt.limit), H(kvm_sregs, cr0), H(kvm_sregs, cr2), H(kvm_sregs, cr3),
	H(kvm_sregs, cr4), H(kvm_sregs, cr8), H(kvm_sregs, efer), H(kvm_sregs, apic_base)};
MEMBERS(enable_cap) = {D(kvm_enable_cap, cap), H(kvm_enable_cap, flags), H(kvm_enable_cap, args[0]),
	H(kvm_enable_cap, args[1]), H(kvm_enable_cap, args[2]), H(kvm_enable_cap, args[3])};
MEMBERS(irq_level) = {D(kvm_irq_level, irq), D(kvm_irq_level, level)};
MEMBERS(irqfd) = {
	S(kvm_irqfd, fd), D(kvm_irqfd, gsi), H(kvm_irqfd, flags), S(kvm_irqfd, resamplefd)};
MEMBERS(ioeventfd) = {H(kvm_ioeventfd, addr), D(kvm_ioeventfd, len), S(kvm_ioeventfd, fd),
	H(kvm_ioeventfd, flags), H(kvm_ioeventfd, datamatch)};
MEMBERS(msi) = {
	H(kvm_msi, address_lo), H(kvm_msi, address_hi), H(kvm_msi, data), H(kvm_msi, flags)};
MEMBERS(routing) = {D(kvm_irq_routing, nr), H(kvm_irq_routing, flags)};
MEMBERS(irqchip) = {D(kvm_irqchip, chip_id)};
MEMBERS(pit_config) = {H(kvm_pit_config, flags)};
MEMBERS(clock_data) = {D(kvm_clock_data, clock), H(kvm_clock_data, flags)};
MEMBERS(dirty_log) = {D(kvm_dirty_log, slot)};
MEMBERS(zone) = {H(kvm_coalesced_mmio_zone, addr), H(kvm_coalesced_mmio_zone, size),
	D(kvm_coalesced_mmio_zone, pio)};
MEMBERS(device_attr) = {H(kvm_device_attr, flags), D(kvm_device_attr, group),
	H(kvm_device_attr, attr), H(kvm_device_attr, addr)};
MEMBERS(mp_state) = {D(kvm_mp_state, mp_state)};
MEMBERS(interrupt) = {D(kvm_interrupt, irq)};
MEMBERS(translation) = {H(kvm_translation, linear_address), H(kvm_translation, physical_address),
	D(kvm_translation, valid)};
MEMBERS(guest_debug) = {H(kvm_guest_debug, control), H(kvm_guest_debug, arch.debugreg[0]),
	H(kvm_guest_debug, arch.debugreg[1]), H(kvm_guest_debug, arch.debugreg[2]),
	H(kvm_guest_debug, arch.debugreg[3]), H(kvm_guest_debug, arch.debugreg[7])};
MEMBERS(debugregs) = {H(kvm_debugregs, db[0]), H(kvm_debugregs, db[1]), H(kvm_debugregs, db[2]),
	H(kvm_debugregs, db[3]), H(kvm_debugregs, dr6), H(kvm_debugregs, dr7)};
MEMBERS(events) = {D(kvm_vcpu_events, exception.injected), D(kvm_vcpu_events, exception.nr),
	D(kvm_vcpu_events, exception.pending), D(kvm_vcpu_events, interrupt.injected),
	D(kvm_vcpu_events, interrupt.nr), D(kvm_vcpu_events, interrupt.shadow),
	D(kvm_vcpu_events, nmi.injected), D(kvm_vcpu_events, nmi.pending),
	D(kvm_vcpu_events, nmi.masked), H(kvm_vcpu_events, flags)};
MEMBERS(xcrs) = {D(kvm_xcrs, nr_xcrs), H(kvm_xcrs, xcrs[0].value)};
MEMBERS(cpuid) = {D(kvm_cpuid2, nent)};
MEMBERS(msr_list) = {D(kvm_msr_list, nmsrs)};
MEMBERS(msrs) = {D(kvm_msrs, nmsrs)};

static const struct layout {
	u32 request;
	u16 count;
	const struct member *members;
} layouts[] = {
#define L(request, members)                                                                        \
	{                                                                                          \
		request, ARRAY_SIZE(members), members                                              \
	}
	L(KVM_SET_USER_MEMORY_REGION, memory_region),
	L(KVM_SET_USER_MEMORY_REGION2, memory_region), /* begins the same */
	L(KVM_GET_REGS, regs),
	L(KVM_SET_REGS, regs),
	L(KVM_GET_SREGS, sregs),
	L(KVM_SET_SREGS, sregs),
	L(KVM_ENABLE_CAP, enable_cap),
	L(KVM_IRQ_LINE, irq_level),
	L(KVM_IRQ_LINE_STATUS, irq_level),
	L(KVM_IRQFD, irqfd),
	L(KVM_IOEVENTFD, ioeventfd),
	L(KVM_SIGNAL_MSI, msi),
	L(KVM_SET_GSI_ROUTING, routing),
	L(KVM_GET_IRQCHIP, irqchip),
	L(KVM_SET_IRQCHIP, irqchip),
	L(KVM_CREATE_PIT2, pit_config),
	L(KVM_GET_CLOCK, clock_data),
	L(KVM_SET_CLOCK, clock_data),
	L(KVM_GET_DIRTY_LOG, dirty_log),
	L(KVM_REGISTER_COALESCED_MMIO, zone),
	L(KVM_UNREGISTER_COALESCED_MMIO, zone),
	L(KVM_GET_DEVICE_ATTR, device_attr),
	L(KVM_SET_DEVICE_ATTR, device_attr),
	L(KVM_HAS_DEVICE_ATTR, device_attr),
	L(KVM_GET_MP_STATE, mp_state),
	L(KVM_SET_MP_STATE, mp_state),
	L(KVM_INTERRUPT, interrupt),
	L(KVM_TRANSLATE, translation),
	L(KVM_SET_GUEST_DEBUG, guest_debug),
	L(KVM_GET_DEBUGREGS, debugregs),
	L(KVM_SET_DEBUGREGS, debugregs),
	L(KVM_GET_VCPU_EVENTS, events),
	L(KVM_SET_VCPU_EVENTS, events),
	L(KVM_GET_XCRS, xcrs),
	L(KVM_SET_XCRS, xcrs),
	L(KVM_GET_SUPPORTED_CPUID, cpuid),
	L(KVM_GET_EMULATED_CPUID, cpuid),
	L(KVM_GET_CPUID2, cpuid),
	L(KVM_SET_CPUID2, cpuid),
	L(KVM_GET_MSR_INDEX_LIST, msr_list),
	L(KVM_GET_MSR_FEATURE_INDEX_LIST, msr_list),
	L(KVM_GET_MSRS, msrs),
	L(KVM_SET_MSRS, msrs),
#undef L
};

MEMBERS(exit_hw) = {H(kvm_run, hw.hardware_exit_reason)};
MEMBERS(exit_io) = {
	D(kvm_run, io.direction), H(kvm_run, io.port), D(kvm_run, io.size), D(kvm_run, io.count)};
MEMBERS(exit_mmio) = {H(kvm_run, mmio.phys_addr), D(kvm_run, mmio.len), D(kvm_run, mmio.is_write)};
MEMBERS(exit_debug) = {D(kvm_run, debug.arch.exception), H(kvm_run, debug.arch.pc),
	H(kvm_run, debug.arch.dr6), H(kvm_run, debug.arch.dr7)};
MEMBERS(exit_hypercall) = {D(kvm_run, hypercall.nr), H(kvm_run, hypercall.args[0]),
	H(kvm_run, hypercall.args[1]), H(kvm_run, hypercall.args[2]),
	H(kvm_run, hypercall.args[3])};
MEMBERS(exit_fail) = {H(kvm_run, fail_entry.hardware_entry_failure_reason)};
MEMBERS(exit_internal) = {D(kvm_run, internal.suberror), D(kvm_run, internal.ndata),
	H(kvm_run, internal.data[0]), H(kvm_run, internal.data[1]), H(kvm_run, internal.data[2])};
MEMBERS(exit_tpr) = {H(kvm_run, tpr_access.rip), D(kvm_run, tpr_access.is_write)};
MEMBERS(exit_event) = {D(kvm_run, system_event.type), D(kvm_run, system_event.ndata)};
MEMBERS(exit_eoi) = {D(kvm_run, eoi.vector)};
MEMBERS(exit_msr) = {D(kvm_run, msr.reason), H(kvm_run, msr.index), H(kvm_run, msr.data)};
/* Not in all headers; see struct kvm_run_memory_fault in uapi/kvm_more.h. */
MEMBERS(exit_fault) = {{"memory_fault.flags", offsetof(struct kvm_run, hw), 8, LINE_HEX},
	{"memory_fault.gpa", offsetof(struct kvm_run, hw) + 8, 8, LINE_HEX},
	{"memory_fault.size", offsetof(struct kvm_run, hw) + 16, 8, LINE_HEX}};

static const struct exit_layout {
	u32 reason;
	u32 count;
	const char *name;
	const struct member *members;
} exits[] = {
#define E(name, members)                                                                           \
	{                                                                                          \
		KVM_EXIT_##name, ARRAY_SIZE(members), #name, members                               \
	}
#define N(name)                                                                                    \
	{                                                                                          \
		KVM_EXIT_##name, 0, #name, NULL                                                    \
	}
	E(UNKNOWN, exit_hw),
	N(EXCEPTION),
	E(IO, exit_io),
	E(HYPERCALL, exit_hypercall),
	E(DEBUG, exit_debug),
	N(HLT),
	E(MMIO, exit_mmio),
	N(IRQ_WINDOW_OPEN),
	N(SHUTDOWN),
	E(FAIL_ENTRY, exit_fail),
	N(INTR),
	N(SET_TPR),
	E(TPR_ACCESS, exit_tpr),
	N(NMI),
	E(INTERNAL_ERROR, exit_internal),
	E(SYSTEM_EVENT, exit_event),
	E(IOAPIC_EOI, exit_eoi),
	N(HYPERV),
	E(X86_RDMSR, exit_msr),
	E(X86_WRMSR, exit_msr),
	N(DIRTY_RING_FULL),
	N(X86_BUS_LOCK),
	N(XEN),
	E(MEMORY_FAULT, exit_fault),
#undef E
#undef N
};

static u64 value_at(const u8 *data, const struct member *m)
{
	u64 v = 0;

	memcpy(&v, data + m->offset, MIN((size_t)m->size, sizeof(v)));
	return m->format == LINE_SIGNED && m->size == 4 ? (u64)(s64)(s32)v : v;
}

static void add_members(struct line *l, const u8 *data, const struct member *m, unsigned n)
{
	for (; n; n--, m++)
		line_number(l, m->name, value_at(data, m), m->format);
}

static bool read_program(unsigned long from, void *to, size_t n)
{
	struct iovec here = {to, n}, there = {(void *)from, n};

	return sys_process_vm_readv(sys_getpid(), &here, &there) == (ssize_t)n;
}

static size_t bytes_of(const struct layout *y)
{
	size_t n = 0;

	for (unsigned i = 0; i < y->count; i++)
		n = MAX(n, (size_t)y->members[i].offset + y->members[i].size);
	return n;
}

static const struct layout *find_layout(u32 request)
{
	for (unsigned i = 0; i < ARRAY_SIZE(layouts); i++)
		if (layouts[i].request == request)
			return &layouts[i];
	return NULL;
}

bool decodes(u32 request)
{
	return find_layout(request);
}

#define MSRS_SHOWN 64

/* In a list of MSRs, each is a member of its own. */
static void add_msrs(struct line *l, unsigned long arg)
{
	struct kvm_msr_entry e;
	struct kvm_msrs head;
	char name[16] = "0x";

	if (!read_program(arg, &head, sizeof(head)))
		return;
	arg += sizeof(head);
	for (u32 i = 0; i < MIN(head.nmsrs, (u32)MSRS_SHOWN); i++, arg += sizeof(e)) {
		if (!read_program(arg, &e, sizeof(e)))
			return;
		for (int digit = 0; digit < 8; digit++)
			name[2 + digit] = "0123456789abcdef"[e.index >> (28 - 4 * digit) & 15];
		line_number(l, name, e.data, LINE_HEX);
	}
}

void decode_arg(struct line *l, u32 request, unsigned long arg, long result)
{
	const struct layout *y = find_layout(request);
	u8 data[512];

	/* What the program reads is only there if the request has succeeded. */
	if (!y || ((_IOC_DIR(request) == _IOC_READ) && result < 0))
		return;
	if (bytes_of(y) > sizeof(data) || !read_program(arg, data, bytes_of(y)))
		return;
	line_open(l, "data");
	add_members(l, data, y->members, y->count);
	if (request == KVM_GET_MSRS || request == KVM_SET_MSRS)
		add_msrs(l, arg);
	line_close(l);
}

static void add_data(struct line *l, const struct kvm_run *run)
{
	const size_t page = PAGE_SIZE;
	u64 offset = run->io.data_offset;

	if (run->exit_reason == KVM_EXIT_MMIO && run->mmio.is_write)
		line_bytes(l, "data", run->mmio.data, MIN(run->mmio.len, 8u));
	if (run->exit_reason == KVM_EXIT_IO && run->io.direction == KVM_EXIT_IO_OUT &&
		offset < 2 * page)
		line_bytes(l, "data", (const u8 *)run + offset,
			MIN((size_t)run->io.size * run->io.count, 2 * page - offset));
}

void decode_exit(struct line *l, const struct kvm_run *run)
{
	const u32 reason = __atomic_load_n(&run->exit_reason, __ATOMIC_RELAXED);

	line_open(l, "exit");
	for (unsigned i = 0; i < ARRAY_SIZE(exits); i++) {
		if (exits[i].reason != reason)
			continue;
		line_word(l, l->json ? "reason" : NULL, exits[i].name);
		add_members(l, (const u8 *)run, exits[i].members, exits[i].count);
		add_data(l, run);
		line_close(l);
		return;
	}
	line_number(l, "reason", reason, LINE_DEC);
	line_close(l);
}

const char *decode_capability(u32 number)
{
	static const struct {
		u32 number;
		const char *name;
	} names[] = {
#define C(name) {KVM_CAP_##name, "KVM_CAP_" #name}
		C(IRQCHIP),
		C(HLT),
		C(USER_MEMORY),
		C(SET_TSS_ADDR),
		C(VAPIC),
		C(EXT_CPUID),
		C(CLOCKSOURCE),
		C(NR_VCPUS),
		C(NR_MEMSLOTS),
		C(PIT),
		C(NOP_IO_DELAY),
		C(PV_MMU),
		C(MP_STATE),
		C(COALESCED_MMIO),
		C(SYNC_MMU),
		C(IOMMU),
		C(DESTROY_MEMORY_REGION_WORKS),
		C(USER_NMI),
		C(SET_GUEST_DEBUG),
		C(REINJECT_CONTROL),
		C(IRQ_ROUTING),
		C(IRQ_INJECT_STATUS),
		C(MCE),
		C(IRQFD),
		C(PIT2),
		C(SET_BOOT_CPU_ID),
		C(PIT_STATE2),
		C(IOEVENTFD),
		C(SET_IDENTITY_MAP_ADDR),
		C(ADJUST_CLOCK),
		C(INTERNAL_ERROR_DATA),
		C(VCPU_EVENTS),
		C(HYPERV),
		C(INTR_SHADOW),
		C(DEBUGREGS),
		C(X86_ROBUST_SINGLESTEP),
		C(ENABLE_CAP),
		C(XSAVE),
		C(XCRS),
		C(ASYNC_PF),
		C(TSC_CONTROL),
		C(GET_TSC_KHZ),
		C(MAX_VCPUS),
		C(KVMCLOCK_CTRL),
		C(SIGNAL_MSI),
		C(READONLY_MEM),
		C(IRQFD_RESAMPLE),
		C(EXT_EMUL_CPUID),
		C(TSC_DEADLINE_TIMER),
		C(HYPERV_TIME),
		C(IOAPIC_POLARITY_IGNORED),
		C(ENABLE_CAP_VM),
		C(VM_ATTRIBUTES),
		C(CHECK_EXTENSION_VM),
		C(DISABLE_QUIRKS),
		C(X86_SMM),
		C(MULTI_ADDRESS_SPACE),
		C(SPLIT_IRQCHIP),
		C(IOEVENTFD_ANY_LENGTH),
		C(HYPERV_SYNIC),
		C(MAX_VCPU_ID),
		C(X2APIC_API),
		C(IMMEDIATE_EXIT),
		C(SYNC_REGS),
		C(X86_DISABLE_EXITS),
		C(GET_MSR_FEATURES),
		C(NESTED_STATE),
		C(MSR_PLATFORM_INFO),
		C(COALESCED_PIO),
		C(EXCEPTION_PAYLOAD),
		C(MANUAL_DIRTY_LOG_PROTECT2),
		C(X86_USER_SPACE_MSR),
		C(X86_MSR_FILTER),
		C(DIRTY_LOG_RING),
		C(X86_BUS_LOCK_EXIT),
		C(SREGS2),
		C(BINARY_STATS_FD),
		C(XSAVE2),
		C(VM_GPA_BITS),
		C(SYS_ATTRIBUTES),
		C(VM_TSC_CONTROL),
		C(X86_TRIPLE_FAULT_EVENT),
		C(X86_NOTIFY_VMEXIT),
#undef C
	};

	for (unsigned i = 0; i < ARRAY_SIZE(names); i++)
		if (names[i].number == number)
			return names[i].name;
	return NULL;
}

const char *decode_errno(long error)
{
	static const char *const names[] = {
#define X(name) [name] = #name
		X(EPERM),
		X(ENOENT),
		X(EINTR),
		X(EIO),
		X(ENXIO),
		X(E2BIG),
		X(EBADF),
		X(EAGAIN),
		X(ENOMEM),
		X(EACCES),
		X(EFAULT),
		X(EBUSY),
		X(EEXIST),
		X(ENODEV),
		X(EINVAL),
		X(EMFILE),
		X(ENOTTY),
		X(ENOSPC),
		X(ENOSYS),
		X(EOPNOTSUPP),
#undef X
	};

	return -error < (long)ARRAY_SIZE(names) ? names[-error] : NULL;
}
