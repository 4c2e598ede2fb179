/* SPDX-License-Identifier: MIT */
/* inspect regs, inspect translate: the state of a vCPU. */
#include <errno.h>

#include "cli/inspect/inspect.h"

#define MSR(number, name)                                                                          \
	{                                                                                          \
		number, name                                                                       \
	}

/* Those that tell most of an operating system; one that the guest does not have is passed over. */
static const struct named_msr {
	u32 index;
	const char *name;
} msrs[] = {
	MSR(0x174, "sysenter_cs"),
	MSR(0x175, "sysenter_esp"),
	MSR(0x176, "sysenter_eip"),
	MSR(0x277, "pat"),
	MSR(0xc0000081, "star"),
	MSR(0xc0000082, "lstar"),
	MSR(0xc0000083, "cstar"),
	MSR(0xc0000084, "fmask"),
	MSR(0xc0000102, "kernel_gs_base"),
	MSR(0xc0000103, "tsc_aux"),
};

static void put_general(struct inspect *in, unsigned vcpu, const struct uvmi_registers *r)
{
	const struct {
		const char *name;
		u64 value;
	} regs[] = {{"rip", r->regs.rip}, {"rflags", r->regs.rflags}, {"rax", r->regs.rax},
		{"rbx", r->regs.rbx}, {"rcx", r->regs.rcx}, {"rdx", r->regs.rdx},
		{"rsi", r->regs.rsi}, {"rdi", r->regs.rdi}, {"rsp", r->regs.rsp},
		{"rbp", r->regs.rbp}, {"r8", r->regs.r8}, {"r9", r->regs.r9}, {"r10", r->regs.r10},
		{"r11", r->regs.r11}, {"r12", r->regs.r12}, {"r13", r->regs.r13},
		{"r14", r->regs.r14}, {"r15", r->regs.r15}};

	record_begin(in, "regs");
	record_number(in, "vcpu", vcpu);
	record_number(in, "mode", r->mode);
	for (size_t i = 0; i < ARRAY_SIZE(regs); i++)
		record_hex(in, regs[i].name, regs[i].value);
	record_end(in);
}

static void put_control(struct inspect *in, unsigned vcpu, const struct kvm_sregs *s)
{
	record_begin(in, "control");
	record_number(in, "vcpu", vcpu);
	record_hex(in, "cr0", s->cr0);
	record_hex(in, "cr2", s->cr2);
	record_hex(in, "cr3", s->cr3);
	record_hex(in, "cr4", s->cr4);
	record_hex(in, "cr8", s->cr8);
	record_hex(in, "efer", s->efer);
	record_hex(in, "apic_base", s->apic_base);
	record_end(in);
}

static void put_segment(
	struct inspect *in, unsigned vcpu, const char *name, const struct kvm_segment *s)
{
	record_begin(in, "segment");
	record_number(in, "vcpu", vcpu);
	record_text(in, "name", name);
	record_hex(in, "selector", s->selector);
	record_hex(in, "base", s->base);
	record_hex(in, "limit", s->limit);
	record_number(in, "stype", s->type);
	record_number(in, "present", s->present);
	record_number(in, "dpl", s->dpl);
	record_number(in, "db", s->db);
	record_number(in, "s", s->s);
	record_number(in, "l", s->l);
	record_number(in, "g", s->g);
	record_number(in, "unusable", s->unusable);
	record_end(in);
}

static void put_segments(struct inspect *in, unsigned vcpu, const struct kvm_sregs *s)
{
	put_segment(in, vcpu, "cs", &s->cs);
	put_segment(in, vcpu, "ds", &s->ds);
	put_segment(in, vcpu, "es", &s->es);
	put_segment(in, vcpu, "fs", &s->fs);
	put_segment(in, vcpu, "gs", &s->gs);
	put_segment(in, vcpu, "ss", &s->ss);
	put_segment(in, vcpu, "tr", &s->tr);
	put_segment(in, vcpu, "ldt", &s->ldt);
}

static void put_table(
	struct inspect *in, unsigned vcpu, const char *name, const struct kvm_dtable *t)
{
	record_begin(in, "table");
	record_number(in, "vcpu", vcpu);
	record_text(in, "name", name);
	record_hex(in, "base", t->base);
	record_hex(in, "limit", t->limit);
	record_end(in);
}

static int put_msr(struct inspect *in, unsigned vcpu, u32 index, const char *name)
{
	struct kvm_msr_entry entry = {.index = index};
	struct uvmi_registers registers;
	const int r = uvmi_get_registers(in->s, vcpu, &registers, &entry, 1);

	if (r)
		return r == -EINVAL ? 0 : r;
	record_begin(in, "msr");
	record_number(in, "vcpu", vcpu);
	record_hex(in, "msr", index);
	if (name)
		record_text(in, "name", name);
	record_hex(in, "value", entry.data);
	record_end(in);
	return 0;
}

static int put_msrs(struct inspect *in, unsigned vcpu)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(msrs) && !r; i++)
		r = put_msr(in, vcpu, msrs[i].index, msrs[i].name);
	for (unsigned i = 0; i < in->n_msrs && !r; i++)
		r = put_msr(in, vcpu, in->msrs[i], NULL);
	return r;
}

static int put_vcpu(struct inspect *in, unsigned vcpu, void *arg)
{
	struct uvmi_registers registers;
	const int r = uvmi_get_registers(in->s, vcpu, &registers, NULL, 0);

	if (r)
		return r;
	put_general(in, vcpu, &registers);
	put_control(in, vcpu, &registers.sregs);
	put_segments(in, vcpu, &registers.sregs);
	put_table(in, vcpu, "gdt", &registers.sregs.gdt);
	put_table(in, vcpu, "idt", &registers.sregs.idt);
	return put_msrs(in, vcpu);
}

int inspect_regs(struct inspect *in)
{
	u64 vcpu;
	int r;

	if (in->n_args) {
		if (!inspect_number(in->args[0], &vcpu) || vcpu >= in->vcpus)
			return inspect_usage(
				"there is no vCPU '%s': the guest has %u, counted from 0",
				in->args[0], in->vcpus);
		r = put_vcpu(in, (unsigned)vcpu, NULL);
	} else
		r = inspect_each(in, put_vcpu, NULL);
	return r ? inspect_failed(in, "registers cannot be read", r) : 0;
}

int inspect_translate(struct inspect *in)
{
	struct address_word place;
	u64 gpa;
	int r = inspect_place(in->args[0], true, &place);

	if (!r)
		r = inspect_physical(in, &place, &gpa);
	if (r)
		return r;
	record_begin(in, "translation");
	record_number(in, "vcpu", inspect_one_vcpu(in));
	record_hex(in, "gva", place.at);
	record_hex(in, "gpa", gpa);
	record_end(in);
	return 0;
}
