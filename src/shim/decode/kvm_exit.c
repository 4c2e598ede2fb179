/* SPDX-License-Identifier: MIT */
/* What the exits consist of, and the program's answers to those that ask: one table of members for each. */
#include <stdatomic.h>
#include <sys/mman.h>

#include "base/sys.h"
#include "shim/decode/kvm.h"

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

MEMBERS(exit_hv_synic) = {D(kvm_run, hyperv.type), H(kvm_run, hyperv.u.synic.msr),
	H(kvm_run, hyperv.u.synic.control), H(kvm_run, hyperv.u.synic.evt_page),
	H(kvm_run, hyperv.u.synic.msg_page)};
MEMBERS(exit_hv_hcall) = {D(kvm_run, hyperv.type), H(kvm_run, hyperv.u.hcall.input),
	H(kvm_run, hyperv.u.hcall.params[0]), H(kvm_run, hyperv.u.hcall.params[1])};
MEMBERS(exit_hv_syndbg) = {D(kvm_run, hyperv.type), H(kvm_run, hyperv.u.syndbg.msr),
	H(kvm_run, hyperv.u.syndbg.control)};
MEMBERS(exit_xen) = {D(kvm_run, xen.u.hcall.longmode), D(kvm_run, xen.u.hcall.cpl),
	H(kvm_run, xen.u.hcall.input), H(kvm_run, xen.u.hcall.params[0]),
	H(kvm_run, xen.u.hcall.params[1]), H(kvm_run, xen.u.hcall.params[2])};

/* What the program says before it enters again. */
MEMBERS(answer_io) = {H(kvm_run, io.port)};
MEMBERS(answer_mmio) = {H(kvm_run, mmio.phys_addr)};
MEMBERS(answer_hypercall) = {H(kvm_run, hypercall.ret)};
MEMBERS(answer_rdmsr) = {H(kvm_run, msr.index), H(kvm_run, msr.data), D(kvm_run, msr.error)};
MEMBERS(answer_wrmsr) = {H(kvm_run, msr.index), D(kvm_run, msr.error)};
MEMBERS(answer_hv_hcall) = {H(kvm_run, hyperv.u.hcall.result)};
MEMBERS(answer_hv_syndbg) = {H(kvm_run, hyperv.u.syndbg.status)};
MEMBERS(answer_xen) = {H(kvm_run, xen.u.hcall.result)};

/* A form of an exit; those with several have a row for each, told apart by kind. */
static const struct exit_layout {
	u32 reason;
	s8 kind; /* see kind_of(); -1: any */
	u8 count, answers;
	const char *name;
	const struct member *members, *answer; /* answer NULL: it asks for nothing */
} exits[] = {
#define E(name, kind, members)                                                                     \
	{                                                                                          \
		KVM_EXIT_##name, kind, ARRAY_SIZE(members), 0, #name, members, NULL                \
	}
#define A(name, kind, members, answer)                                                             \
	{                                                                                          \
		KVM_EXIT_##name, kind, ARRAY_SIZE(members), ARRAY_SIZE(answer), #name, members,    \
			answer                                                                     \
	}
#define N(name)                                                                                    \
	{                                                                                          \
		KVM_EXIT_##name, -1, 0, 0, #name, NULL, NULL                                       \
	}
	E(UNKNOWN, -1, exit_hw),
	N(EXCEPTION),
	A(IO, KVM_EXIT_IO_IN, exit_io, answer_io),
	E(IO, -1, exit_io),
	A(HYPERCALL, -1, exit_hypercall, answer_hypercall),
	E(DEBUG, -1, exit_debug),
	N(HLT),
	A(MMIO, 0, exit_mmio, answer_mmio),
	E(MMIO, -1, exit_mmio),
	N(IRQ_WINDOW_OPEN),
	N(SHUTDOWN),
	E(FAIL_ENTRY, -1, exit_fail),
	N(INTR),
	N(SET_TPR),
	E(TPR_ACCESS, -1, exit_tpr),
	N(NMI),
	E(INTERNAL_ERROR, -1, exit_internal),
	E(SYSTEM_EVENT, -1, exit_event),
	E(IOAPIC_EOI, -1, exit_eoi),
	A(HYPERV, KVM_EXIT_HYPERV_HCALL, exit_hv_hcall, answer_hv_hcall),
	A(HYPERV, KVM_EXIT_HYPERV_SYNDBG, exit_hv_syndbg, answer_hv_syndbg),
	E(HYPERV, -1, exit_hv_synic),
	A(X86_RDMSR, -1, exit_msr, answer_rdmsr),
	A(X86_WRMSR, -1, exit_msr, answer_wrmsr),
	N(DIRTY_RING_FULL),
	N(X86_BUS_LOCK),
	A(XEN, -1, exit_xen, answer_xen),
	E(MEMORY_FAULT, -1, exit_fault),
#undef E
#undef A
#undef N
};

static int kind_of(const struct kvm_run *run, u32 reason)
{
	switch (reason) {
	case KVM_EXIT_IO: return run->io.direction;
	case KVM_EXIT_MMIO: return !!run->mmio.is_write;
	case KVM_EXIT_HYPERV: return (int)(run->hyperv.type & 0x7f);
	default: return -1;
	}
}

static const struct exit_layout *find_exit(u32 reason, int kind)
{
	for (unsigned i = 0; i < ARRAY_SIZE(exits); i++)
		if (exits[i].reason == reason && (exits[i].kind < 0 || exits[i].kind == kind))
			return &exits[i];
	return NULL;
}

/* Where the bytes lie, in an exit that has some. The program can write to kvm_run: nothing in it is believed. */
static void add_data(struct line *l, const struct kvm_run *run, u32 reason)
{
	const size_t page = PAGE_SIZE;
	u64 offset = __atomic_load_n(&run->io.data_offset, __ATOMIC_RELAXED);

	if (reason == KVM_EXIT_MMIO)
		line_bytes(l, "data", run->mmio.data, MIN(run->mmio.len, 8u));
	if (reason == KVM_EXIT_IO && offset < 2 * page)
		line_bytes(l, "data", (const u8 *)run + offset,
			MIN((size_t)run->io.size * run->io.count, 2 * page - offset));
}

/* Which answer it waits for, 0: none. */
static int show(struct line *l, const struct kvm_run *run)
{
	const u32 reason = __atomic_load_n(&run->exit_reason, __ATOMIC_RELAXED);
	const struct exit_layout *e = find_exit(reason, kind_of(run, reason));

	line_open(l, "exit");
	if (e) {
		line_word(l, l->json ? "reason" : NULL, e->name);
		add_members(l, run, e->members, e->count);
		if (!e->answer)
			add_data(l, run, reason);
	} else {
		line_number(l, "reason", reason, LINE_DEC);
	}
	line_close(l);
	return e && e->answer ? (int)(e - exits) + 1 : 0;
}

/* That answer, as it is when the program enters again. */
static void show_answer(struct line *l, int asked, const struct kvm_run *run)
{
	const struct exit_layout *e;

	if (asked < 1 || asked > (int)ARRAY_SIZE(exits))
		return;
	e = &exits[asked - 1];
	line_text(l, "answer ");
	line_open(l, "answer");
	line_word(l, l->json ? "reason" : NULL, e->name);
	add_members(l, run, e->answer, e->answers);
	add_data(l, run, e->reason);
	line_close(l);
}

/* ---- vcpus by their descriptors ---- */

#define RUN_BYTES (2 * PAGE_SIZE) /* kvm_run and the page of port data */
#define FDS_MAX   4096            /* vcpus with a higher number are traced without their exits */

static struct {
	const struct kvm_run *_Atomic run[FDS_MAX]; /* of those that have run */
	_Atomic u8 asked[FDS_MAX];                  /* what their last exit waits for: show() */
} vcpus;

static const struct kvm_run *run_page(int fd)
{
	const struct kvm_run *run, *none = NULL;

	if (fd >= FDS_MAX)
		return NULL;
	run = atomic_load(&vcpus.run[fd]);
	if (run)
		return run;
	run = sys_mmap(NULL, RUN_BYTES, PROT_READ, MAP_SHARED, fd, 0);
	if (run == MAP_FAILED)
		return NULL;
	if (atomic_compare_exchange_strong(&vcpus.run[fd], &none, run))
		return run;
	sys_munmap((void *)run, RUN_BYTES);
	return none;
}

void exit_forget(int fd)
{
	const struct kvm_run *run;

	if (fd < 0 || fd >= FDS_MAX)
		return;
	atomic_store(&vcpus.asked[fd], 0);
	run = atomic_exchange(&vcpus.run[fd], NULL);
	if (run)
		sys_munmap((void *)run, RUN_BYTES);
}

void exit_answered(struct line *l, int fd)
{
	const struct kvm_run *run = fd < FDS_MAX ? atomic_load(&vcpus.run[fd]) : NULL;
	int asked = run ? atomic_exchange(&vcpus.asked[fd], 0) : 0;

	if (!asked)
		return;
	line_text(l, " ");
	show_answer(l, asked, run);
}

void exit_happened(struct line *l, int fd, long result)
{
	const struct kvm_run *run = run_page(fd);
	int asked;

	if (!run)
		return;
	line_text(l, " ");
	asked = show(l, run);
	if (!result)
		atomic_store(&vcpus.asked[fd], (u8)asked);
}
