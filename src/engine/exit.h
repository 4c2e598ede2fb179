/* SPDX-License-Identifier: MIT */
/*
 * Every event that other parts can observe leaves the engine through struct exit.
 *
 * A read (IO in, MMIO read, RDMSR, WRMSR) leaves before the instruction has any effect: rip still points to the
 * instruction. The caller writes the answer into the exit and calls vcpu_run() again. The instruction starts again and
 * finds the answer. A write (IO out, MMIO write, HLT) leaves after the instruction has completed: rip is past it. KVM
 * in a real kernel does the same.
 *
 * With OPT_INTERCEPTS nothing is answered: IO, MMIO, RDMSR and WRMSR exits of both directions leave in front of the
 * instruction, which has had no effect, and so does EXIT_HYPERV of a hypercall. The caller does what the instruction does and moves rip. If rip is still on it
 * at the next vcpu_run(), the instruction is executed again. Of a repeated string instruction the elements before the one
 * that leaves are done, and the registers say so.
 */
#ifndef ENGINE_EXIT_H
#define ENGINE_EXIT_H

#include "base/types.h"

enum exit_reason {
	EXIT_NONE,
	EXIT_IO_IN, /* answer: io.data, io.count items of io.size bytes */
	EXIT_IO_OUT,
	EXIT_MMIO_READ, /* answer: mmio.data */
	EXIT_MMIO_WRITE,
	EXIT_HLT,      /* only when no local APIC is in the engine */
	EXIT_SHUTDOWN, /* triple fault */
	EXIT_INTR,     /* a kick, or a signal for this thread is pending */
	/* vcpu_request_irq_window() asked for it, and interrupts can be taken now */
	EXIT_IRQ_WINDOW,
	/* vcpu_request_nmi_window(): an NMI can be taken now, and none waits */
	EXIT_NMI_WINDOW,
	EXIT_RDMSR, /* answer: msr.data, msr.error */
	EXIT_WRMSR, /* answer: msr.error */
	EXIT_DEBUG,
	/* the engine cannot execute this instruction on this memory: see insn */
	EXIT_INTERNAL_ERROR,
	/* guest RAM is inaccessible: protected or unmapped by the caller, or private memory is missing */
	EXIT_MEMORY_FAULT,
	EXIT_DIRTY_RING_FULL, /* the caller must reset entries before the vcpu can go on */
	EXIT_HYPERCALL,
	EXIT_IOAPIC_EOI,
	EXIT_SYSTEM_EVENT,
	EXIT_TPR_ACCESS,
	EXIT_SET_TPR, /* the guest lowered CR8, and the caller has the local APIC */
	EXIT_HYPERV,  /* answer: hyperv.result */
	EXIT_XEN,     /* answer: xen.result */
	EXIT_MMIO_FETCH, /* OPT_INTERCEPTS: code where there is no RAM, or in a slot with SLOT_NOEXEC */
	EXIT_TAP,        /* the subscriber of tap.h has stopped the vcpu; see vcpu_tap_event() */
	EXIT_INTERCEPT,  /* OPT_INTERCEPTS: intercept.h; see vcpu_intercepted() */
	EXIT_SINT_READY, /* vcpu_synic_notify() asked for it: see sints */
	EXIT_COUNT,
};

#define EXIT_IO_DATA_MAX 4096

struct exit {
	u32 reason;
	union {
		struct {
			u16 port;
			u8 size;   /* 1, 2, 4 */
			u32 count; /* string I/O: items in data */
			u8 *data;  /* room for EXIT_IO_DATA_MAX bytes, owned by the vcpu */
			/* OPT_INTERCEPTS: INS or OUTS, and whether it is repeated; there is no data */
			bool string, rep;
		} io;
		struct {
			u64 gpa;
			u32 len; /* 1..8 */
			u8 data[8];
			/* OPT_INTERCEPTS, and of EXIT_MMIO_FETCH gpa, too */
			u64 gva; /* linear address of the byte at gpa */
			bool gva_valid;
			bool rmw;    /* the instruction reads and writes there */
			bool walk;   /* gpa is that of an entry of the tables that translate gva */
			bool denied; /* there is a slot, whose flags forbid the access */
		} mmio;
		struct {
			u32 index;
			u32 why; /* enum msr_exit_why */
			u64 data;
			bool error; /* answer: inject #GP(0) */
		} msr;
		struct {
			u32 vector; /* 1 #DB, 3 #BP */
			u64 rip;    /* linear */
			u64 dr6, dr7;
		} debug;
		struct {
			u32 len; /* 0 if the bytes could not be fetched */
			u8 bytes[15];
		} insn;
		struct {
			u64 gpa, size;
			bool private; /* the guest wanted private memory, and there is none */
		} fault;
		struct {
			u64 nr, args[6], ret;
			bool long_mode;
		} hypercall;
		struct {
			u32 type;
			u32 ndata;
			u64 data[4];
		} event;
		struct {
			u64 rip;
			bool is_write;
		} tpr;
		struct {
			u32 kind; /* enum hyperv_exit */
			u32 msr;  /* not for HYPERV_CALL: the register that was written */
			/*
			 * HYPERV_CALL: control, input, output. HYPERV_SYNIC: control, event page, message
			 * page. HYPERV_SYNDBG: control, status, pages to send, to receive, pending.
			 */
			u64 arg[5];
			u64 result;     /* HYPERV_SYNDBG: the new status */
			bool undefined; /* HYPERV_CALL: inject #UD */
		} hyperv;
		struct {
			u64 nr, args[6], result;
			u32 cpl;
			bool long_mode;
		} xen;
		u8 vector; /* EXIT_IOAPIC_EOI */
		u16 sints; /* EXIT_SINT_READY: they can take a message; they are not asked for any more */
	};
};

/* The instruction in front of which an exit has left. */
struct exit_insn {
	u8 len;   /* 0: not known */
	u8 count; /* bytes that could be fetched */
	u8 bytes[16];
};

enum hyperv_exit { HYPERV_SYNIC = 1, HYPERV_CALL = 2, HYPERV_SYNDBG = 3 };

/* EXIT_SYSTEM_EVENT */
enum system_event { EVENT_SHUTDOWN = 1, EVENT_RESET = 2, EVENT_CRASH = 3 };

enum msr_exit_why { MSR_WHY_INVALID = 1, MSR_WHY_UNKNOWN = 2, MSR_WHY_FILTER = 4 };

#endif
