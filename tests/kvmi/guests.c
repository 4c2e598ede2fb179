/* SPDX-License-Identifier: MIT */
/* What the guests of vm.h begin with: tables, handlers of exceptions, registers of each mode. */
#include <string.h>

#include "tests/kvmi/vm.h"

/* ---- handlers: each tells the vector, rip, the error code and CR2, and halts ---- */

/* Eight bytes for each vector; those without an error code push one. */
GUEST64(gates, ".set vec, 0\n"
	       ".rept 32\n"
	       ".if vec == 8 || (vec >= 10 && vec <= 14) || vec == 17 || vec == 21\n"
	       "	nopw (%rax)\n"
	       ".else\n"
	       "	pushq $0\n"
	       "	nop; nop\n"
	       ".endif\n"
	       "	pushq $vec\n"
	       "	jmp 1f\n"
	       "	.balign 16\n"
	       ".set vec, vec + 1\n"
	       ".endr\n"
	       "1:	popq %rax\n"
	       "	outl %eax, $0x20\n"
	       "	movl 8(%rsp), %eax\n"
	       "	outl %eax, $0x21\n"
	       "	movl (%rsp), %eax\n"
	       "	outl %eax, $0x22\n"
	       "	movq %cr2, %rax\n"
	       "	outl %eax, $0x23\n"
	       "2:	hlt\n"
	       "	jmp 2b\n");

static void put64(struct vm *vm, u64 gpa, u64 value)
{
	memcpy(vm->ram + gpa, &value, sizeof(value));
}

static void put_gates(struct vm *vm)
{
	memcpy(vm->ram + VM_GATES, guest_gates, (size_t)(guest_gates_end - guest_gates));
	for (unsigned i = 0; i < 32; i++) {
		const u64 at = VM_GATES + i * 16;

		put64(vm, VM_IDT + i * 16,
			(at & 0xffff) | SEL_CODE64 << 16 | 0x8e00ull << 32 | at >> 16 << 48);
	}
}

/* ---- memory ---- */

/* The first 2 MiB by small pages, the first GiB else and the fourth by large ones; VM_ALIAS is the first 2 MiB. */
static void put_tables(struct vm *vm)
{
	put64(vm, VM_TABLES, (VM_TABLES + 0x1000) | 7);
	put64(vm, VM_TABLES + 0x1000, (VM_TABLES + 0x2000) | 7);
	put64(vm, VM_TABLES + 0x1000 + 8, (VM_TABLES + 0x5000) | 7);
	put64(vm, VM_TABLES + 0x1000 + 24, (VM_TABLES + 0x3000) | 7);
	for (u64 i = 0; i < 512; i++) {
		put64(vm, VM_TABLES + 0x2000 + i * 8, i << 21 | 0x87);
		put64(vm, VM_TABLES + 0x3000 + i * 8, 0xc0000000 | i << 21 | 0x97);
		put64(vm, VM_PT + i * 8, i << 12 | 7);
		put64(vm, VM_TABLES + 0x6000 + i * 8, i << 12 | 7);
	}
	put64(vm, VM_TABLES + 0x2000, VM_PT | 7);
	put64(vm, VM_TABLES + 0x5000, (VM_TABLES + 0x6000) | 7);
}

static void put_gdt(struct vm *vm, unsigned n)
{
	const u64 tss = VM_TSS + n * 0x100, rsp0 = VM_STACK + (n + 1) * 0x1000;

	put64(vm, VM_GDT + SEL_CODE64, 0xaf9b000000ffff);
	put64(vm, VM_GDT + SEL_DATA, 0xcf93000000ffff);
	put64(vm, VM_GDT + SEL_CODE32, 0xcf9b000000ffff);
	put64(vm, VM_GDT + (SEL_UDATA & ~7), 0xcff3000000ffff);
	put64(vm, VM_GDT + (SEL_UCODE64 & ~7), 0xaffb000000ffff);
	put64(vm, VM_GDT + (SEL_UCODE32 & ~7), 0xcffb000000ffff);
	put64(vm, VM_GDT + SEL_CODE16, 0x8f9b000000ffff);
	/* An available TSS, and an LDT, for instructions that load them. */
	put64(vm, VM_GDT + SEL_TSS,
		0x67 | (tss & 0xffffff) << 16 | 0x89ull << 40 | (tss >> 24) << 56);
	put64(vm, VM_GDT + SEL_LDT, 0xffff | (u64)VM_DATA << 16 | 0x82ull << 40);
	put64(vm, tss + 4, rsp0);
}

/* ---- registers ---- */

static struct kvm_segment segment(u16 selector, u8 type, bool db, bool l)
{
	return (struct kvm_segment){.limit = ~0u,
		.selector = selector,
		.type = type,
		.present = 1,
		.s = 1,
		.g = 1,
		.db = db,
		.l = l,
		.dpl = selector & 3};
}

static struct kvm_segment code_segment(enum mode mode)
{
	switch (mode) {
	case LONG: return segment(SEL_CODE64, 11, false, true);
	case USER: return segment(SEL_UCODE64, 11, false, true);
	case USER32: return segment(SEL_UCODE32, 11, true, false);
	case PROT16: return segment(SEL_CODE16, 11, false, false);
	default: return segment(SEL_CODE32, 11, true, false);
	}
}

static void protected_sregs(struct kvm_sregs *s, enum mode mode, unsigned n)
{
	s->cs = code_segment(mode);
	s->ds = s->es = s->fs = s->gs = s->ss =
		segment(mode >= USER ? SEL_UDATA : SEL_DATA, 3, true, false);
	s->tr = (struct kvm_segment){.base = VM_TSS + n * 0x100,
		.limit = 0x67,
		.selector = SEL_TSS,
		.type = 11,
		.present = 1};
	s->gdt.base = VM_GDT;
	s->gdt.limit = 0x67;
	s->idt.base = VM_IDT;
	s->idt.limit = 0xfff;
	s->cr0 = 0x31;
	if (mode == PROT16 || mode == PROT32)
		return;
	s->cr0 = 0x80000031;
	s->cr3 = VM_TABLES;
	s->cr4 = 0x40620; /* PAE OSFXSR OSXMMEXCPT OSXSAVE */
	s->efer = 0xd01;  /* NXE LMA LME SCE */
}

static void real_sregs(struct kvm_sregs *s)
{
	s->cs.base = 0;
	s->cs.selector = 0;
	s->cr0 = 0x10;
}

struct kvm_sregs vm_sregs(struct vm *vm, unsigned n)
{
	struct kvm_sregs s = {0};

	CHECK_EQ(kvm_p(vm, vm->cpu[n].fd, KVM_GET_SREGS, &s), 0);
	return s;
}

void vm_set_sregs(struct vm *vm, unsigned n, const struct kvm_sregs *s)
{
	CHECK_EQ(kvm_p(vm, vm->cpu[n].fd, KVM_SET_SREGS, s), 0);
}

struct kvm_regs vm_regs(struct vm *vm, unsigned n)
{
	struct kvm_regs r = {0};

	CHECK_EQ(kvm_p(vm, vm->cpu[n].fd, KVM_GET_REGS, &r), 0);
	return r;
}

void vm_set(struct vm *vm, unsigned n, void (*change)(struct kvm_regs *r, u64 value), u64 value)
{
	struct kvm_regs r = vm_regs(vm, n);

	change(&r, value);
	CHECK_EQ(kvm_p(vm, vm->cpu[n].fd, KVM_SET_REGS, &r), 0);
}

void vm_guest(struct vm *vm, unsigned n, enum mode mode, const u8 *code, const u8 *end)
{
	/* in $0x30, %al; test %al, %al; jz back: the same bytes in all modes */
	static const u8 gate[] = {0xe4, 0x30, 0x84, 0xc0, 0x74, 0xfa};
	const u64 at = VM_CODE + n * 0x2000;
	struct kvm_regs r = {
		.rip = at - sizeof(gate), .rsp = VM_STACK + (n + 1) * 0x1000, .rflags = 2};
	struct kvm_sregs s = vm_sregs(vm, n);

	CHECK((size_t)(end - code) <= 0x1f00);
	memcpy(vm->ram + at - sizeof(gate), gate, sizeof(gate));
	memcpy(vm->ram + at, code, (size_t)(end - code));
	put_gates(vm);
	put_tables(vm);
	put_gdt(vm, n);
	if (mode == REAL)
		real_sregs(&s);
	else
		protected_sregs(&s, mode, n);
	if (mode == REAL)
		r.rsp = 0xf000;
	if (mode >= USER)
		r.rflags |= 0x3000;
	vm_set_sregs(vm, n, &s);
	CHECK_EQ(kvm_p(vm, vm->cpu[n].fd, KVM_SET_REGS, &r), 0);
}
