/* SPDX-License-Identifier: MIT */
/* A vCPU's state as text, through the log hook. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "libkvm/context.h"
#include "x86/regs.h"

#define DUMP(...) log_to(&kvm->log, UV_KVM_LOG_DUMP, __VA_ARGS__)

static void show_general(kvm_context_t kvm, const struct kvm_regs *r)
{
	DUMP("rax %016llx rbx %016llx rcx %016llx rdx %016llx", r->rax, r->rbx, r->rcx, r->rdx);
	DUMP("rsi %016llx rdi %016llx rsp %016llx rbp %016llx", r->rsi, r->rdi, r->rsp, r->rbp);
	DUMP("r8  %016llx r9  %016llx r10 %016llx r11 %016llx", r->r8, r->r9, r->r10, r->r11);
	DUMP("r12 %016llx r13 %016llx r14 %016llx r15 %016llx", r->r12, r->r13, r->r14, r->r15);
	DUMP("rip %016llx rflags %08llx", r->rip, r->rflags);
}

static void show_segment(kvm_context_t kvm, const char *name, const struct kvm_segment *s)
{
	DUMP("%s %04x (%016llx/%08x p %d dpl %d db %d s %d type %x l %d g %d avl %d)", name,
		s->selector, s->base, s->limit, s->present, s->dpl, s->db, s->s, s->type, s->l,
		s->g, s->avl);
}

static void show_system(kvm_context_t kvm, const struct kvm_sregs *s)
{
	show_segment(kvm, "cs ", &s->cs);
	show_segment(kvm, "ds ", &s->ds);
	show_segment(kvm, "es ", &s->es);
	show_segment(kvm, "ss ", &s->ss);
	show_segment(kvm, "fs ", &s->fs);
	show_segment(kvm, "gs ", &s->gs);
	show_segment(kvm, "tr ", &s->tr);
	show_segment(kvm, "ldt", &s->ldt);
	DUMP("gdt %llx/%x", s->gdt.base, s->gdt.limit);
	DUMP("idt %llx/%x", s->idt.base, s->idt.limit);
	DUMP("cr0 %llx cr2 %llx cr3 %llx cr4 %llx cr8 %llx efer %llx apic_base %llx", s->cr0,
		s->cr2, s->cr3, s->cr4, s->cr8, s->efer, s->apic_base);
}

/* One byte of the guest's code, or -1. The program may have unmapped it meanwhile: so not by a pointer. */
static int code_byte(kvm_context_t kvm, int vcpu, u64 gva)
{
	struct kvm_translation where = {.linear_address = gva};
	u8 byte;
	struct iovec to = {&byte, 1}, from = {NULL, 1};

	if (vcpu_try(kvm, vcpu, KVM_TRANSLATE, &where) < 0 || !where.valid)
		return -1;
	from.iov_base = memory_host(kvm, where.physical_address, 1);
	return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1 ? byte : -1;
}

#define CODE_BEFORE 16
#define CODE_AFTER  24

/* The byte at rip is in brackets. */
static void show_code(kvm_context_t kvm, int vcpu, u64 rip, const struct kvm_sregs *s)
{
	const bool long_mode = s->efer & EFER_LMA && s->cs.l;
	const u64 pc = long_mode ? rip : (u32)(s->cs.base + rip);
	char line[3 * (CODE_BEFORE + CODE_AFTER) + sizeof("<>")], *end = line;

	for (int i = -CODE_BEFORE; i < CODE_AFTER; i++) {
		const int byte = code_byte(kvm, vcpu, pc + (u64)(s64)i);
		char text[3] = "xx";

		if (byte >= 0)
			snprintf(text, sizeof(text), "%02x", (unsigned)byte);
		end += sprintf(end, i ? " %s" : " <%s>", text);
	}
	DUMP("code%s", line);
}

static int show_regs(kvm_context_t kvm, int vcpu, bool code)
{
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	int r = kvm_get_regs(kvm, vcpu, &regs);

	if (r >= 0)
		r = kvm_get_sregs(kvm, vcpu, &sregs);
	if (r < 0)
		return r;
	show_general(kvm, &regs);
	show_system(kvm, &sregs);
	if (code)
		show_code(kvm, vcpu, regs.rip, &sregs);
	return 0;
}

int show_state(kvm_context_t kvm, int vcpu)
{
	return show_regs(kvm, vcpu, true);
}

void kvm_show_regs(kvm_context_t kvm, int vcpu)
{
	show_regs(kvm, vcpu, false);
}

static void dump_vector(kvm_context_t kvm, const char *name, unsigned n, const u8 bytes[16])
{
	u64 half[2];

	memcpy(half, bytes, sizeof(half));
	DUMP("%s%-2u %016llx%016llx", name, n, (unsigned long long)half[1],
		(unsigned long long)half[0]);
}

static void dump_fpu(kvm_context_t kvm, int vcpu)
{
	struct kvm_fpu f;

	if (kvm_get_fpu(kvm, vcpu, &f) < 0)
		return;
	DUMP("fcw %04x fsw %04x ftw %02x mxcsr %08x fop %04x fip %llx fdp %llx", f.fcw, f.fsw,
		f.ftwx, f.mxcsr, f.last_opcode, f.last_ip, f.last_dp);
	for (unsigned i = 0; i < ARRAY_SIZE(f.fpr); i++)
		dump_vector(kvm, "fpr", i, f.fpr[i]);
	for (unsigned i = 0; i < ARRAY_SIZE(f.xmm); i++)
		dump_vector(kvm, "xmm", i, f.xmm[i]);
}

static void dump_control(kvm_context_t kvm, int vcpu)
{
	struct kvm_debugregs debug;
	struct kvm_xcrs xcrs;

	if (vcpu_try(kvm, vcpu, KVM_GET_XCRS, &xcrs) >= 0)
		for (u32 i = 0; i < MIN(xcrs.nr_xcrs, (u32)ARRAY_SIZE(xcrs.xcrs)); i++)
			DUMP("xcr%u %llx", xcrs.xcrs[i].xcr, xcrs.xcrs[i].value);
	if (vcpu_try(kvm, vcpu, KVM_GET_DEBUGREGS, &debug) >= 0)
		DUMP("dr0 %llx dr1 %llx dr2 %llx dr3 %llx dr6 %llx dr7 %llx", debug.db[0],
			debug.db[1], debug.db[2], debug.db[3], debug.dr6, debug.dr7);
}

static void dump_events(kvm_context_t kvm, int vcpu)
{
	struct kvm_vcpu_events e;

	if (vcpu_try(kvm, vcpu, KVM_GET_VCPU_EVENTS, &e) < 0)
		return;
	DUMP("exception injected %d nr %d error %x, interrupt injected %d nr %d soft %d shadow %d",
		e.exception.injected, e.exception.nr, e.exception.error_code, e.interrupt.injected,
		e.interrupt.nr, e.interrupt.soft, e.interrupt.shadow);
	DUMP("nmi injected %d pending %d masked %d", e.nmi.injected, e.nmi.pending, e.nmi.masked);
}

/* One at a time: a list stops at the first MSR that cannot be read. */
static void dump_msrs(kvm_context_t kvm, int vcpu)
{
	struct kvm_msr_list *list = kvm_get_msr_list(kvm);

	for (u32 i = 0; list && i < list->nmsrs; i++) {
		struct kvm_msr_entry msr = {.index = list->indices[i]};

		if (kvm_get_msrs(kvm, vcpu, &msr, 1) == 1)
			DUMP("msr %08x %016llx", msr.index, msr.data);
	}
	free(list);
}

static void dump_lapic(kvm_context_t kvm, int vcpu)
{
	struct kvm_lapic_state s;

	if (!kvm->irqchip || vcpu_try(kvm, vcpu, KVM_GET_LAPIC, &s) < 0)
		return;
	/* The registers are 32 bits wide at multiples of 16 (SDM 3:11.4.1, table 11-1). */
	for (unsigned reg = 0; reg < sizeof(s.regs); reg += 0x40) {
		const u32 *row = (const u32 *)(s.regs + reg);

		DUMP("lapic %03x: %08x %08x %08x %08x", reg, row[0], row[4], row[8], row[12]);
	}
}

int kvm_dump_vcpu(kvm_context_t kvm, int vcpu)
{
	int r = show_state(kvm, vcpu);

	if (r < 0)
		return r;
	dump_fpu(kvm, vcpu);
	dump_control(kvm, vcpu);
	dump_events(kvm, vcpu);
	dump_msrs(kvm, vcpu);
	dump_lapic(kvm, vcpu);
	return 0;
}
