/* SPDX-License-Identifier: MIT */
/* Events of instructions: INT3, hypercalls, descriptor tables; and what GET_CPUID and GET_XSAVE read. */
#include <string.h>

#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"
#include "x86/regs.h"

/* ---- INT3 ---- */

GUEST64(int3, "	TELL 0x10, 1\n"
	      "guest_int3_here:\n"
	      "	int3\n"
	      "	TELL 0x10, 2\n"
	      "	hlt\n");
GUEST_LABEL(int3, here);

static struct world int3(enum dialect d, struct event *ret)
{
	struct world w = WORLD(d, 1, LONG, int3);

	event_on(w.t, 0, KVMI_EVENT_BREAKPOINT);
	vm_begin(w.vm);
	VM_OUT(w.vm, 0, 0x10, 1);
	*ret = tool_event_of(w.t, KVMI_EVENT_BREAKPOINT, 0);
	CHECK_EQ(ret->regs.rip, AT_LABEL(0, int3, here));
	CHECK_EQ(ret->gpa, AT_LABEL(0, int3, here));
	CHECK_EQ(ret->insn_len, d == V5 ? 0 : 1);
	return w;
}

/* CONTINUE: it is the guest's own. */
static void test_breakpoint_continue(enum dialect d)
{
	struct event e;
	struct world w = int3(d, &e);
	u64 rip;

	tool_continue(w.t, &e);
	vm_vector(w.vm, 0, 3, &rip);
	CHECK_EQ(rip, AT_LABEL(0, int3, here) + 1);
	tool_quiet(w.t);
	world_close(&w);
}

/* RETRY behind it: the tool's own */
static void test_breakpoint_skip(enum dialect d)
{
	struct event e;
	struct world w = int3(d, &e);
	struct kvm_regs r = e.regs;

	r.rip++;
	CHECK_EQ(cmd_set_registers(w.t, 0, &r), 0);
	tool_retry(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, 2);
	tool_quiet(w.t);
	world_close(&w);
}

/* RETRY as it is: the same again */
static void test_breakpoint_retry(enum dialect d)
{
	struct event e;
	struct world w = int3(d, &e);

	for (unsigned i = 0; i < 5; i++) {
		tool_retry(w.t, &e);
		e = tool_event(w.t, KVMI_EVENT_BREAKPOINT);
		CHECK_EQ(e.regs.rip, AT_LABEL(0, int3, here));
	}
	/* RETRY with the byte that was there */
	CHECK_EQ(cmd_write(w.t, e.gpa, "\x90", 1), 0);
	tool_retry(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, 2);
	world_close(&w);
}

static void test_breakpoint_off(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, int3);

	vm_begin(w.vm);
	VM_OUT(w.vm, 0, 0x10, 1);
	vm_vector(w.vm, 0, 3, NULL);
	tool_quiet(w.t);
	world_close(&w);
}

/* The tool's, planted in code that runs; at another linear address than the physical one. */
GUEST64(loop, "1:	lock incq DATA\n"
	      "guest_loop_here:\n"
	      "	nop\n"
	      "	jmp 1b\n");
GUEST_LABEL(loop, here);

static void set_rip(struct kvm_regs *r, u64 value)
{
	r->rip = value;
}

static void test_breakpoint_planted(enum dialect d)
{
	struct world w = {.d = d, .vm = vm_open(1, 0)};
	const u64 here = AT_LABEL(0, loop, here);

	VM_GUEST(w.vm, 0, LONG, loop);
	vm_set(w.vm, 0, set_rip, VM_ALIAS + VM_CODE);
	w.t = tool_open(w.vm, d);
	vm_go(w.vm);
	event_on(w.t, 0, KVMI_EVENT_BREAKPOINT);
	vm_moves(w.vm, VM_DATA);
	for (unsigned i = 0; i < 10; i++) {
		struct event e;

		CHECK_EQ(cmd_write(w.t, here, "\xcc", 1), 0);
		e = tool_event(w.t, KVMI_EVENT_BREAKPOINT);
		CHECK_EQ(e.regs.rip, VM_ALIAS + here);
		CHECK_EQ(e.gpa, here);
		CHECK_EQ(cmd_write(w.t, here, "\x90", 1), 0);
		tool_retry(w.t, &e);
		vm_moves(w.vm, VM_DATA);
	}
	tool_quiet(w.t);
	world_close(&w);
}

/* INT 3 of two bytes is a software interrupt. With a prefix, INT3 is two bytes. */
GUEST64(int_3, "	.byte 0xcd, 3\n");
GUEST64(long_int3, "	.byte 0x2e, 0xcc\n");

static void test_breakpoint_forms(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, int_3);
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_BREAKPOINT);
	vm_begin(w.vm);
	vm_vector(w.vm, 0, 3, NULL);
	tool_quiet(w.t);
	world_close(&w);

	w = WORLD(d, 1, LONG, long_int3);
	event_on(w.t, 0, KVMI_EVENT_BREAKPOINT);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_BREAKPOINT);
	CHECK_EQ(e.regs.rip, VM_CODE);
	CHECK_EQ(e.insn_len, d == V5 ? 0 : 2);
	tool_continue(w.t, &e);
	vm_vector(w.vm, 0, 3, NULL);
	world_close(&w);
}

/* ---- hypercalls ---- */

/* RSI is told back, too: nothing else is changed. */
GUEST64(call64, "	movl $34, %eax\n"
		"	movl $24, %edi\n"
		"	xorl %esi, %esi\n"
		"	movl $0x4444, %edx\n"
		"guest_call64_here:\n"
		"	vmcall\n"
		"	outl %eax, $0x10\n"
		"	movl %edx, %eax\n"
		"	outl %eax, $0x11\n"
		"	hlt\n");
GUEST_LABEL(call64, here);
GUEST64(call64_amd, "	movl $34, %eax\n"
		    "	movl $24, %edi\n"
		    "	xorl %esi, %esi\n"
		    "	vmmcall\n"
		    "	outl %eax, $0x10\n"
		    "	hlt\n");
GUEST32(call32, "	movl $34, %eax\n"
		"	movl $24, %ebx\n"
		"	xorl %ecx, %ecx\n"
		"	movl $99, %edi\n"
		"	vmcall\n"
		"	outl %eax, $0x10\n"
		"	hlt\n");
GUEST64(call_user, "	movl $34, %eax\n"
		   "	movl $24, %edi\n"
		   "	xorl %esi, %esi\n"
		   "	vmcall\n"
		   "	outl %eax, $0x10\n"
		   "1:	jmp 1b\n");

static struct event hypercall(struct world *w)
{
	struct event e;

	event_on(w->t, 0, KVMI_EVENT_HYPERCALL);
	vm_begin(w->vm);
	e = tool_event_of(w->t, KVMI_EVENT_HYPERCALL, 0);
	CHECK_EQ(e.regs.rax, 34);
	return e;
}

static void test_hypercall(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, call64);
	struct kvm_regs r;
	struct event e = hypercall(&w);

	CHECK_EQ(e.regs.rip, AT_LABEL(0, call64, here));
	/* The result is 0 whatever the tool sets, and rip goes on from where the tool has left it. */
	r = e.regs;
	r.rax = 77;
	r.rdx = 0x5555;
	CHECK_EQ(cmd_set_registers(w.t, 0, &r), 0);
	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, 0);
	VM_OUT(w.vm, 0, 0x11, 0x5555);
	world_close(&w);
}

static void calls(enum dialect d, enum mode mode, const u8 *code, const u8 *end)
{
	struct world w = world_open(d, 1, 0, mode, code, end);
	struct event e = hypercall(&w);

	tool_continue(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, 0);
	tool_quiet(w.t);
	world_close(&w);
}

static void test_hypercall_everywhere(enum dialect d)
{
	calls(d, LONG, guest_call64_amd, guest_call64_amd_end);
	calls(d, PROT32, guest_call32, guest_call32_end);
	calls(d, COMPAT, guest_call32, guest_call32_end);
	calls(d, USER, guest_call_user, guest_call_user_end);
	calls(d, USER32, guest_call32, guest_call32_end);
}

/* Not on: there is no such hypercall, at any level. */
static void test_hypercall_off(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, call64);

	vm_begin(w.vm);
	VM_OUT(w.vm, 0, 0x10, (u32)-1000);
	tool_quiet(w.t);
	world_close(&w);
	w = WORLD(d, 1, USER, call_user);
	vm_begin(w.vm);
	VM_OUT(w.vm, 0, 0x10, (u32)-1000);
	world_close(&w);
}

/* Other operands than those of the one operation */
GUEST64(call_wrong, "	movl $34, %eax\n"
		    "	movl $23, %edi\n"
		    "	xorl %esi, %esi\n"
		    "	vmcall\n"
		    "	outl %eax, $0x10\n"
		    "	movl $34, %eax\n"
		    "	movl $24, %edi\n"
		    "	movl $1, %esi\n"
		    "	vmcall\n"
		    "	outl %eax, $0x10\n"
		    "	movl $35, %eax\n"
		    "	movl $24, %edi\n"
		    "	xorl %esi, %esi\n"
		    "	vmcall\n"
		    "	outl %eax, $0x10\n"
		    "	hlt\n");

static void test_hypercall_wrong(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, call_wrong);

	event_on(w.t, 0, KVMI_EVENT_HYPERCALL);
	vm_begin(w.vm);
	for (unsigned i = 0; i < 3; i++)
		VM_OUT(w.vm, 0, 0x10, (u32)-1000);
	tool_quiet(w.t);
	world_close(&w);
}

/* ---- descriptor tables ---- */

GUEST64(tables, "	sgdt DATA\n"
		"	sidt DATA + 16\n"
		"	sldt %eax\n"
		"	str %eax\n"
		"	lgdt DATA\n"
		"	lidt DATA + 16\n"
		"	movw $0x50, %ax\n"
		"	lldt %ax\n"
		"	movw $0x30, %ax\n"
		"	ltr %ax\n"
		"	TELL 0x10, 1\n"
		"	hlt\n");

static const struct {
	u8 descriptor, write;
} tables[] = {{KVMI_DESC_GDTR, 0}, {KVMI_DESC_IDTR, 0}, {KVMI_DESC_LDTR, 0}, {KVMI_DESC_TR, 0},
	{KVMI_DESC_GDTR, 1}, {KVMI_DESC_IDTR, 1}, {KVMI_DESC_LDTR, 1}, {KVMI_DESC_TR, 1}};

/* Each before it is done */
static void test_descriptor(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, tables);
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_DESCRIPTOR);
	vm_begin(w.vm);
	for (unsigned i = 0; i < ARRAY_SIZE(tables); i++) {
		e = tool_event_of(w.t, KVMI_EVENT_DESCRIPTOR, 0);
		CHECK_EQ(e.descriptor, tables[i].descriptor);
		CHECK_EQ(e.write, tables[i].write);
		if (!i)
			CHECK_EQ(vm_read64(w.vm, VM_DATA + 2), 0);
		if (i == 6)
			CHECK_EQ(e.sregs.ldt.selector, 0);
		tool_continue(w.t, &e);
	}
	VM_OUT(w.vm, 0, 0x10, 1);
	CHECK_EQ(vm_read64(w.vm, VM_DATA + 2), VM_GDT);
	CHECK_EQ(vm_ended(w.vm, 0), KVM_EXIT_HLT);
	CHECK_EQ(vm_sregs(w.vm, 0).ldt.selector, SEL_LDT);
	tool_quiet(w.t);
	world_close(&w);
}

/* Not continued: it is not done, and comes again. */
static void test_descriptor_retry(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, tables);
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_DESCRIPTOR);
	vm_begin(w.vm);
	for (unsigned i = 0; i < 4; i++) {
		e = tool_event(w.t, KVMI_EVENT_DESCRIPTOR);
		CHECK_EQ(e.regs.rip, VM_CODE);
		CHECK_EQ(e.descriptor, KVMI_DESC_GDTR);
		CHECK_EQ(vm_read64(w.vm, VM_DATA + 2), 0);
		tool_retry(w.t, &e);
	}
	world_close(&w);
}

/* ---- what VMX tells of them, and SVM does not: on hosts of either vendor ---- */

static enum { AS_IT_IS, AMD, INTEL } host;

bool __real_host_cpu_is_amd(void);
bool __wrap_host_cpu_is_amd(void);
bool __wrap_host_cpu_is_amd(void)
{
	return host == AS_IT_IS ? __real_host_cpu_is_amd() : host == AMD;
}

GUEST64(operands, "	sgdt DATA\n"
		  "	movl $DATA, %ebx\n"
		  "	sidt 0x10(%rbx)\n"
		  "	movl $DATA - 16, %esi\n"
		  "	movl $2, %r9d\n"
		  "	lgdt 8(%rsi, %r9, 4)\n"
		  "	lidt guest_operands_here(%rip)\n"
		  "	str %ecx\n"
		  "	movl $DATA + 0x20, %r10d\n"
		  "	sldt %fs:-4(%r10d)\n"
		  "	hlt\n"
		  "guest_operands_here:\n"
		  "	.word 0xfff\n"
		  "	.quad 0x31000\n"); /* VM_IDT */
GUEST_LABEL(operands, here);

static void operands_are_told(enum dialect d, bool told)
{
	static const u32 ds = SEG_DS << 15, wide = 2 << 7, no_index = 1 << 22, no_base = 1 << 27,
			 load = 1 << 29, second = 1 << 28, register_form = 1 << 10;
	const struct {
		u32 info;
		u64 qualification;
	} want[] = {
		{ds | wide | no_index | no_base, VM_DATA},
		{ds | wide | no_index | RBX << 23 | second, 0x10},
		{ds | wide | 2 | R9 << 18 | RSI << 23 | load, 8},
		{ds | wide | no_index | no_base | load | second, AT_LABEL(0, operands, here)},
		{register_form | RCX << 3 | second, 0},
		{SEG_FS << 15 | 1 << 7 | no_index | R10 << 23, -4ull},
	};
	struct world w = WORLD(d, 1, LONG, operands);

	event_on(w.t, 0, KVMI_EVENT_DESCRIPTOR);
	vm_begin(w.vm);
	for (unsigned i = 0; i < ARRAY_SIZE(want); i++) {
		const struct event e = tool_event(w.t, KVMI_EVENT_DESCRIPTOR);

		/* Bit 11, the operand's size, is undefined in 64-bit mode. */
		CHECK_EQ(e.instr_info & ~(1u << 11), told ? want[i].info : 0);
		CHECK_EQ(e.qualification, told ? want[i].qualification : 0);
		tool_continue(w.t, &e);
	}
	CHECK_EQ(vm_ended(w.vm, 0), KVM_EXIT_HLT);
	world_close(&w);
}

static void test_descriptor_operands(enum dialect d)
{
	host = INTEL;
	operands_are_told(d, true);
	host = AMD;
	operands_are_told(d, false);
}

static void test_descriptor_off(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, tables);

	vm_begin(w.vm);
	VM_OUT(w.vm, 0, 0x10, 1);
	tool_quiet(w.t);
	world_close(&w);
}

/* ---- CPUID, XSAVE ---- */

GUEST64(cpuid, "	movl $7, %eax\n"
	       "	xorl %ecx, %ecx\n"
	       "	cpuid\n"
	       "	outl %eax, $0x10\n"
	       "	movl %ebx, %eax\n"
	       "	outl %eax, $0x10\n"
	       "	movl %ecx, %eax\n"
	       "	outl %eax, $0x10\n"
	       "	movl %edx, %eax\n"
	       "	outl %eax, $0x10\n"
	       "	hlt\n");

static void test_cpuid(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, cpuid);
	u32 got[4];

	CHECK_EQ(cmd_cpuid(w.t, 0, 7, 0, got), 0);
	vm_begin(w.vm);
	for (unsigned i = 0; i < 4; i++)
		VM_OUT(w.vm, 0, 0x10, got[i]);
	CHECK_EQ(vm_ended(w.vm, 0), KVM_EXIT_HLT);
	world_close(&w);

	w = WORLD(d, 1, LONG, int3);
	CHECK_EQ(cmd_cpuid(w.t, 0, 0, 0, got), 0);
	CHECK(got[0] >= 7);
	CHECK_EQ(cmd_cpuid(w.t, 0, 0x80000000, 0, got), 0);
	CHECK(got[0] >= 0x80000001);
	CHECK_EQ(cmd_cpuid(w.t, 0, 0x12345678, 0, got), -KVM_ENOENT);
	CHECK_EQ(cmd_cpuid(w.t, 0, 0xffffffff, 0, got), -KVM_ENOENT);
	CHECK_EQ(cmd_cpuid(w.t, 0, 0xd, 63, got), -KVM_ENOENT);
	world_close(&w);
}

GUEST64(xmm, "	movabsq $0x1122334455667788, %rax\n"
	     "	movq %rax, %xmm3\n"
	     "	fninit\n"
	     "	fld1\n"
	     "	int3\n"
	     "	movq %xmm3, %rax\n"
	     "	outl %eax, $0x10\n"
	     "	hlt\n");

static void test_xsave(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, xmm);
	u8 area[4096];
	struct kvm_regs r;
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_BREAKPOINT);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_BREAKPOINT);
	CHECK_EQ(cmd_xsave(w.t, 0, area), 0);
	CHECK_EQ(get_u64(area + 160 + 3 * 16), 0x1122334455667788);
	CHECK_EQ(get_u16(area), 0x37f);
	CHECK_EQ(get_u64(area + 32), 0x8000000000000000); /* 1.0 */
	CHECK_EQ(get_u16(area + 40), 0x3fff);
	CHECK((get_u64(area + 512) & 3) == 3);
	CHECK_EQ(get_u64(area + 520), 0); /* not compacted */
	r = e.regs;
	r.rip++;
	CHECK_EQ(cmd_set_registers(w.t, 0, &r), 0);
	tool_retry(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, 0x55667788);
	world_close(&w);
}

static void test_guest_info(enum dialect d)
{
	struct world w = WORLD(d, 3, LONG, loop);
	u64 hz;
	u32 n;

	CHECK_EQ(cmd_guest_info(w.t, &n), 0);
	CHECK_EQ(n, 3);
	for (unsigned i = 0; i < 3; i++) {
		CHECK_EQ(cmd_tsc_speed(w.t, i, &hz), 0);
		CHECK(!hz || (hz > 100000000 && hz < 20000000000));
		CHECK_EQ(hz, (u64)kvm(w.vm, w.vm->cpu[i].fd, KVM_GET_TSC_KHZ, 0) * 1000);
	}
	world_close(&w);
}

const struct test insn_tests[] = {
	TEST(test_breakpoint_continue, BOTH),
	TEST(test_breakpoint_skip, BOTH),
	TEST(test_breakpoint_retry, BOTH),
	TEST(test_breakpoint_off, BOTH),
	TEST(test_breakpoint_planted, BOTH),
	TEST(test_breakpoint_forms, BOTH),
	TEST(test_hypercall, BOTH),
	TEST(test_hypercall_everywhere, BOTH),
	TEST(test_hypercall_off, BOTH),
	TEST(test_hypercall_wrong, BOTH),
	TEST(test_descriptor, BOTH),
	TEST(test_descriptor_retry, BOTH),
	TEST(test_descriptor_operands, V5),
	TEST(test_descriptor_off, BOTH),
	TEST(test_cpuid, BOTH),
	TEST(test_xsave, BOTH),
	TEST(test_guest_info, BOTH),
	{0},
};
