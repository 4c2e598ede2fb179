/* SPDX-License-Identifier: MIT */
/* All messages but those of ports, memory (mshv_access_test.c) and ended interrupts (mshv_irq_test.c), field by field. */
#include "tests/abi/mshv_port.h"

#include <string.h>

#define LONG_STATE (HV_EXEC_CR0_PE | HV_EXEC_EFER_LMA)

static struct hv_result install(struct partition *p, u32 type, u32 access, u64 parameter)
{
	struct hv_install_intercept in = {.access = access, .type = type, .parameter = parameter};

	return hv_call(
		p->fd, &(struct hv_call){
			       .code = HVCALL_INSTALL_INTERCEPT, .in = &in, .in_size = sizeof(in)});
}

static void set_gprs(struct partition *p, unsigned vp)
{
	for (u32 i = 0; i < 16; i++)
		if (i != RSP)
			set_reg(p, vp, HV_X64_REGISTER_RAX + i, 0x1111111111111111ull * i + 0xab);
}

/* ---- HVMSG_X64_MSR_INTERCEPT ---- */

static void check_msr(struct partition *p, u32 msr, u8 access, u64 rip)
{
	const struct hv_message *m = run_until(p, 0, HVMSG_X64_MSR_INTERCEPT);
	const struct hv_msr_message *x = (const void *)m->payload;

	check_header(p, 0, &(struct header_check){m, rip, access, 2, LONG_STATE, sizeof(*x)});
	assert_int_equal(x->msr, msr);
	assert_int_equal(x->reserved, 0);
	assert_int_equal(x->rdx, reg(p, 0, HV_X64_REGISTER_RAX + RDX));
	assert_int_equal(x->rax, reg(p, 0, HV_X64_REGISTER_RAX));
}

/* rdmsr; wrmsr; out 10h, al */
static const u8 msr_code[] = {0x0f, 0x32, 0x0f, 0x30, 0xe6, 0x10};

static void test_msr(void **state)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_long(&p, 0, msr_code, sizeof(msr_code));
	set_gprs(&p, 0);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RCX, 0x277);
	assert_hv(
		install(&p, HV_INTERCEPT_MSR_INDEX, HV_ACCESS_READ | HV_ACCESS_WRITE, 0x277), 0, 0);
	check_msr(&p, 0x277, HV_INTERCEPT_READ, CODE_GPA);
	check_msr(&p, 0x277, HV_INTERCEPT_READ, CODE_GPA);
	/* What the VMM says is what the guest reads. */
	set_reg(&p, 0, HV_X64_REGISTER_RAX, 0x00070406);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RDX, 0x00070406);
	skip_insn(&p, 0, 2);
	check_msr(&p, 0x277, HV_INTERCEPT_WRITE, CODE_GPA + 2);
	skip_insn(&p, 0, 2);
	run_to_out(&p, 0, 0x10);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_PAT), 0x7040600070406);
	/* Access 0 removes it; one kind of access alone. */
	assert_hv(install(&p, HV_INTERCEPT_MSR_INDEX, HV_ACCESS_WRITE, 0x277), 0, 0);
	set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
	check_msr(&p, 0x277, HV_INTERCEPT_WRITE, CODE_GPA + 2);
	assert_hv(install(&p, HV_INTERCEPT_MSR_INDEX, 0, 0x277), 0, 0);
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
}

static void test_msr_class(void **state)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_long(&p, 0, msr_code, sizeof(msr_code));
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RCX, 0xc0000102);
	assert_hv(install(&p, HV_INTERCEPT_MSR, HV_ACCESS_READ, 0), 0, 0);
	check_msr(&p, 0xc0000102, HV_INTERCEPT_READ, CODE_GPA);
	/* Unknown ones, too. */
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RCX, 0xdead);
	check_msr(&p, 0xdead, HV_INTERCEPT_READ, CODE_GPA);
	/* Writes are not wanted: they happen. */
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RCX, 0xc0000102);
	set_reg(&p, 0, HV_X64_REGISTER_RAX, 0x1234);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RDX, 0);
	skip_insn(&p, 0, 2);
	run_to_out(&p, 0, 0x10);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_KERNEL_GS_BASE), 0x1234);
	assert_hv(install(&p, HV_INTERCEPT_MSR, 0, 0), 0, 0);
	set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
}

/* Unknown MSRs without an intercept: the property says, or a registered result. */
static void test_msr_unknown(void **state)
{
	struct hv_intercept_result r = {.vp_index = HV_ANY_VP,
		.type = HV_INTERCEPT_MSR,
		.msr = {.msr = 0xdead, .access = 3, .action = HV_MSR_RESULT_IGNORE}};
	const struct hv_call call = {
		.code = HVCALL_REGISTER_INTERCEPT_RESULT, .in = &r, .in_size = 28};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_long(&p, 0, msr_code, sizeof(msr_code));
	long_gate(&p, X86_GP, 0x3000);
	memcpy(p.ram + 0x3000, (const u8[]){0xe6, 0xd}, 2);
	set_gprs(&p, 0);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RCX, 0xdead);
	run_to_out(&p, 0, 0xd); /* #GP */
	assert_hv(hv_call(p.fd, &call), 0, 0);
	set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
	run_to_out(&p, 0, 0x10);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RAX), 0);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RAX + RDX), 0);
	/* The VP's own result is before the partition's. */
	r.vp_index = 0;
	r.msr.action = HV_MSR_RESULT_FAULT;
	assert_hv(hv_call(p.fd, &call), 0, 0);
	set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
	run_to_out(&p, 0, 0xd);
	/* Another one follows the property. */
	set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RCX, 0xbeef);
	assert_hv(property_set(p.fd, HV_PROPERTY_UNIMPLEMENTED_MSR_ACTION, HV_MSR_ACTION_IGNORE), 0,
		0);
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
}

/* ---- HVMSG_X64_CPUID_INTERCEPT ---- */

static void check_cpuid(struct partition *p, u32 leaf, u32 subleaf)
{
	const struct hv_message *m = run_until(p, 0, HVMSG_X64_CPUID_INTERCEPT);
	const struct hv_cpuid_message *x = (const void *)m->payload;
	struct {
		struct hv_cpuid_values head;
		struct hv_cpuid_leaf leaf;
	} in = {.head = {.flags = HV_CPUID_BY_XCR0 | HV_CPUID_REGISTERED}, .leaf = {leaf, subleaf}};
	u32 out[4];

	check_header(p, 0,
		&(struct header_check){
			m, CODE_GPA, HV_INTERCEPT_EXECUTE, 2, LONG_STATE, sizeof(*x)});
	assert_int_equal(x->rax, reg(p, 0, HV_X64_REGISTER_RAX));
	assert_int_equal(x->rcx, reg(p, 0, HV_X64_REGISTER_RAX + RCX));
	assert_int_equal(x->rdx, reg(p, 0, HV_X64_REGISTER_RAX + RDX));
	assert_int_equal(x->rbx, reg(p, 0, HV_X64_REGISTER_RAX + RBX));
	assert_hv(hv_call(p->fd, &(struct hv_call){.code = HVCALL_GET_VP_CPUID_VALUES,
					 .reps = 1,
					 .in = &in,
					 .in_size = sizeof(in),
					 .out = out,
					 .out_size = sizeof(out)}),
		0, 1);
	assert_int_equal(x->default_rax, out[0]);
	assert_int_equal(x->default_rbx, out[1]);
	assert_int_equal(x->default_rcx, out[2]);
	assert_int_equal(x->default_rdx, out[3]);
}

static void test_cpuid(void **state)
{
	static const u32 types[] = {HV_INTERCEPT_CPUID, HV_INTERCEPT_GLOBAL_CPUID};

	for (unsigned i = 0; i < ARRAY_SIZE(types); i++) {
		struct partition p = {0};

		partition_start(&p, LAPIC);
		code_long(&p, 0, BYTES(0x0f, 0xa2, 0xe6, 0x10));
		set_gprs(&p, 0);
		set_reg(&p, 0, HV_X64_REGISTER_RAX, 0xffffffff00000001);
		assert_hv(install(&p, types[i], HV_ACCESS_EXECUTE, 1), 0, 0);
		check_cpuid(&p, 1, 0);
		check_cpuid(&p, 1, 0);
		set_reg(&p, 0, HV_X64_REGISTER_RAX, 0xb);
		set_reg(&p, 0, HV_X64_REGISTER_RAX + RCX, 1);
		run_to_out(&p, 0, 0x10); /* another leaf */
		set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
		set_reg(&p, 0, HV_X64_REGISTER_RAX, 1);
		assert_hv(install(&p, types[i], 0, 1), 0, 0);
		run_to_out(&p, 0, 0x10);
		partition_close(&p);
	}
}

/* ---- HVMSG_X64_EXCEPTION_INTERCEPT, HVMSG_X64_EXCEPTION_TRAP ---- */

static const struct exception_case {
	const char *what;
	u8 code[8], length, known; /* its length is known, or 0 */
	u8 vector, info;
	u32 error;
	u64 parameter;
} exceptions[] = {
	{"ud2", {0x0f, 0x0b}, 2, 0, X86_UD, 0, 0, 0},
	{"div cl", {0xf6, 0xf1}, 2, 0, X86_DE, 0, 0, 0}, /* ecx is 0 */
	{"int3", {0xcc}, 1, 1, X86_BP, HV_EXCEPTION_SOFTWARE, 0, 0},
	{"mov cr4, rdx", {0x0f, 0x22, 0xe2}, 3, 0, X86_GP, HV_EXCEPTION_HAS_ERROR, 0, 0},
	{"mov eax, [rbx]", {0x8b, 0x03}, 2, 0, X86_PF, HV_EXCEPTION_HAS_ERROR, 0, 0x80000008},
	{"mov [rbx], eax", {0x89, 0x03}, 2, 0, X86_PF, HV_EXCEPTION_HAS_ERROR, 2, 0x80000008},
	{"int 77h", {0xcd, 0x77}, 2, 0, X86_GP, HV_EXCEPTION_HAS_ERROR, 0x77 * 8 + 2,
		0}, /* no gate */
};

static void check_exception(struct partition *p, const struct exception_case *c, u32 type)
{
	const struct hv_message *m = run_until(p, 0, type);
	const struct hv_exception_message *x = (const void *)m->payload;
	struct hv_value128 ds = reg128(p, 0, HV_X64_REGISTER_DS);
	struct hv_value128 ss = reg128(p, 0, HV_X64_REGISTER_SS);

	check_header(p, 0,
		&(struct header_check){
			m, CODE_GPA, HV_INTERCEPT_EXECUTE, c->known, LONG_STATE, sizeof(*x)});
	if (x->vector != c->vector || x->info != c->info || x->error != c->error ||
		x->parameter != c->parameter)
		fail_msg("%s: vector %u, info %u, error 0x%x, parameter 0x%llx", c->what, x->vector,
			x->info, x->error, (unsigned long long)x->parameter);
	assert_int_equal(x->reserved, 0);
	check_bytes(p, x->bytes, x->byte_count, CODE_GPA, c->length);
	assert_memory_equal(&x->ds, &ds, sizeof(ds));
	assert_memory_equal(&x->ss, &ss, sizeof(ss));
	for (u32 i = 0; i < 16; i++)
		assert_int_equal((&x->rax)[i], reg(p, 0, HV_X64_REGISTER_RAX + i));
}

static void one_exception(const struct exception_case *c, u32 type, u32 message)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_long(&p, 0, c->code, c->length);
	set_gprs(&p, 0);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, 0x80000008);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RCX, 0);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RDX, 1ull << 40);
	assert_hv(install(&p, type, HV_ACCESS_EXECUTE, c->vector), 0, 0);
	check_exception(&p, c, message);
	check_exception(&p, c, message); /* it is executed again */
	partition_close(&p);
}

static void test_exceptions(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(exceptions); i++) {
		one_exception(
			&exceptions[i], HV_INTERCEPT_EXCEPTION, HVMSG_X64_EXCEPTION_INTERCEPT);
		one_exception(
			&exceptions[i], HV_INTERCEPT_EXCEPTION_TRAP, HVMSG_X64_EXCEPTION_TRAP);
	}
}

/* What the VMM gives to the guest is not intercepted again. */
static void test_exception_given(void **state)
{
	const struct hv_value128 pf = {
		HV_PENDING | HV_EVENT_HAS_ERROR | X86_PF << 16 | 2ull << 32, 0x80000123};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_long(&p, 0, BYTES(0x8b, 0x03));
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, 0x80000123);
	long_gate(&p, X86_PF, 0x3000);
	memcpy(p.ram + 0x3000, (const u8[]){0xe6, 0xe}, 2);
	assert_hv(install(&p, HV_INTERCEPT_EXCEPTION, HV_ACCESS_EXECUTE, X86_PF), 0, 0);
	run_until(&p, 0, HVMSG_X64_EXCEPTION_INTERCEPT);
	assert_int_equal(reg(&p, 0, HV_REGISTER_PENDING_INTERRUPTION), 0); /* it has not happened */
	set_reg128(&p, 0, HV_REGISTER_PENDING_EVENT0, &pf);
	run_to_out(&p, 0, 0xe);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_CR2), 0x80000123);
	assert_memory_equal(p.ram + STACK_GPA - 48, &(u64){2}, 8); /* the error code */
	assert_memory_equal(p.ram + STACK_GPA - 40, &(u64){CODE_GPA}, 8);
	assert_int_equal(reg128(&p, 0, HV_REGISTER_PENDING_EVENT0).low & 1, 0);
	partition_close(&p);
}

/* ---- HVMSG_X64_HALT, HVMSG_UNRECOVERABLE_EXCEPTION, HVMSG_INVALID_VP_REGISTER_VALUE ---- */

static void test_halt(void **state)
{
	const struct hv_message *m;
	struct partition p = {0};

	partition_start(&p, 0); /* without local APICs */
	code_real(&p, 0, BYTES(0xf4, 0xe6, 0x10));
	m = run_until(&p, 0, HVMSG_X64_HALT);
	assert_int_equal(m->len, sizeof(struct hv_intercept_header));
	check_header(&p, 0,
		&(struct header_check){m, p.page[0]->rip, HV_INTERCEPT_EXECUTE, 0, 0,
			sizeof(struct hv_intercept_header)});
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
}

static void test_unrecoverable(void **state)
{
	const struct hv_table none = {0};
	struct partition p = {0};

	partition_start(&p, LAPIC);
	code_long(&p, 0, BYTES(0x0f, 0x0b));
	set_reg128(&p, 0, HV_X64_REGISTER_IDTR, &none);
	check_header(&p, 0,
		&(struct header_check){run_until(&p, 0, HVMSG_UNRECOVERABLE_EXCEPTION), CODE_GPA,
			HV_INTERCEPT_EXECUTE, 0, LONG_STATE, sizeof(struct hv_intercept_header)});
	run_until(&p, 0, HVMSG_UNRECOVERABLE_EXCEPTION);
	/* With other code it goes on. */
	memcpy(p.ram + CODE_GPA, (const u8[]){0xe6, 0x10}, 2);
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
}

static void test_invalid_registers(void **state)
{
	const struct hv_message *m;
	const struct hv_invalid_register_message *x;
	struct partition p = {0};

	partition_start(&p, LAPIC);
	partition_add_vp(&p, 3);
	code_real(&p, 3, BYTES(0xe6, 0x10));
	set_reg(&p, 3, HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0);
	set_reg(&p, 3, HV_X64_REGISTER_CR0, 0x80000010); /* paging without protection */
	for (unsigned i = 0; i < 2; i++) {
		m = run_until(&p, 3, HVMSG_INVALID_VP_REGISTER_VALUE);
		x = (const void *)m->payload;
		assert_int_equal(m->len, sizeof(*x));
		assert_int_equal(x->vp_index, 3);
		assert_int_equal(x->reserved, 0);
		for (unsigned n = 8; n < sizeof(m->payload); n++)
			assert_int_equal(m->payload[n], 0);
		assert_int_equal(p.page[3]->rip, CODE_GPA);
	}
	set_reg(&p, 3, HV_X64_REGISTER_CR0, 0x10);
	run_to_out(&p, 3, 0x10);
	partition_close(&p);
}

/* ---- HVMSG_X64_INTERRUPTION_DELIVERABLE, HVMSG_SYNIC_SINT_DELIVERABLE ---- */

static void test_deliverable(void **state)
{
	const struct hv_message *m;
	const struct hv_deliverable_message *x;
	struct partition p = {0};

	partition_start(&p, 0);
	code_real(&p, 0,
		BYTES(0x90, 0xfb, 0x90, 0x90, 0xe6, 0x10)); /* nop; sti; nop; nop; out 10h, al */
	set_reg(&p, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, HV_NOTIFY_INTERRUPT);
	assert_int_equal(reg(&p, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), HV_NOTIFY_INTERRUPT);
	m = run_until(&p, 0, HVMSG_X64_INTERRUPTION_DELIVERABLE);
	x = (const void *)m->payload;
	/* Behind the instruction that follows STI. */
	check_header(&p, 0,
		&(struct header_check){m, CODE_GPA + 3, HV_INTERCEPT_EXECUTE, 0, 0, sizeof(*x)});
	assert_int_equal(x->type, HV_PENDING_EXTINT);
	assert_int_equal(x->reserved, 0);
	assert_int_equal(reg(&p, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), 0);
	run_to_out(&p, 0, 0x10);
	/* With local APICs the hypervisor delivers by itself. */
	partition_close(&p);
	partition_start(&p, LAPIC);
	assert_hv(try_reg(&p, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 1),
		HVS_INVALID_PARAMETER, 0);
	assert_hv(try_reg(&p, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 2),
		HVS_INVALID_PARAMETER, 0);
	assert_hv(try_reg(&p, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 1ull << 40),
		HVS_INVALID_REGISTER_VALUE, 0);
	assert_hv(try_reg(&p, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 0), 0, 1);
	assert_hv(try_reg(&p, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 1ull << 48), 0, 1);
	partition_close(&p);
}

#define SIMP 0x40000

static void post(struct partition *p, u32 sint, u32 type, u16 status)
{
	struct hv_post_message_direct in = {.sint = sint};
	struct hv_message m = {.type = type, .len = 4};

	memcpy(in.message, &m, sizeof(m));
	assert_hv(hv_call(p->fd,
			  &(struct hv_call){
				  .code = HVCALL_POST_MESSAGE_DIRECT, .in = &in, .in_size = 280}),
		status, 0);
}

static void test_sint_deliverable(void **state)
{
	const struct hv_message *m;
	const struct hv_sint_deliverable_message *x;
	struct hv_register r = {
		.name = HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, .value = {.low = 6ull << 48}};
	struct partition p = {.features = ~0ull};
	const u32 none = 0;

	partition_start(&p, LAPIC | X2APIC);
	code_long(&p, 0, BYTES(0xe6, 0x10, 0xeb, 0xfc));
	set_reg(&p, 0, HV_REGISTER_SCONTROL, 1);
	set_reg(&p, 0, HV_REGISTER_SIMP, SIMP | 1);
	set_reg(&p, 0, HV_REGISTER_SINT0 + 1, 0x40 | 1 << 16);
	set_reg(&p, 0, HV_REGISTER_SINT0 + 2, 0x40 | 1 << 16);
	post(&p, 1, 7, HVS_SUCCESS);
	post(&p, 2, 7, HVS_SUCCESS);
	/* Both slots are full. By the partition, as a VMM does it. */
	assert_hv(hv_regs_set(p.fd, 0, &r, 1), 0, 1);
	run_to_out(&p, 0, 0x10);
	assert_int_equal(reg(&p, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), 6ull << 48);
	memcpy(p.ram + SIMP + 2 * 256, &none, 4); /* the guest frees one, */
	set_reg(&p, 0, HV_REGISTER_EOM, 0);       /* and says so */
	m = run_until(&p, 0, HVMSG_SYNIC_SINT_DELIVERABLE);
	x = (const void *)m->payload;
	check_header(&p, 0,
		&(struct header_check){
			m, CODE_GPA + 2, HV_INTERCEPT_EXECUTE, 0, LONG_STATE, sizeof(*x)});
	assert_int_equal(x->sints, 4);
	assert_int_equal(x->reserved, 0);
	assert_int_equal(x->reserved2, 0);
	assert_int_equal(reg(&p, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), 2ull << 48);
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
}

/* ---- HVMSG_HYPERCALL_INTERCEPT ---- */

#define CALL_PAGE 0x50000

/* call rax; out 10h, al */
static void start_calls(struct partition *p)
{
	partition_start(p, LAPIC | X2APIC);
	code_long(p, 0, BYTES(0xff, 0xd0, 0xe6, 0x10));
	set_reg(p, 0, HV_REGISTER_GUEST_OS_ID, 0x8100000000000000);
	set_reg(p, 0, HV_REGISTER_HYPERCALL, CALL_PAGE | 1);
}

static void begin_call(struct partition *p, u64 control)
{
	set_gprs(p, 0);
	set_reg(p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
	set_reg(p, 0, HV_X64_REGISTER_RAX + RSP, STACK_GPA);
	set_reg(p, 0, HV_X64_REGISTER_RAX, CALL_PAGE);
	set_reg(p, 0, HV_X64_REGISTER_RAX + RCX, control);
	set_reg(p, 0, HV_X64_REGISTER_RAX + RDX, FREE_GPA);
	set_reg(p, 0, HV_X64_REGISTER_RAX + R8, FREE_GPA + 0x100);
}

static void check_call(struct partition *p)
{
	const struct hv_message *m = run_until(p, 0, HVMSG_HYPERCALL_INTERCEPT);
	const struct hv_hypercall_message *x = (const void *)m->payload;

	check_header(p, 0,
		&(struct header_check){
			m, p->page[0]->rip, HV_INTERCEPT_EXECUTE, 3, LONG_STATE, sizeof(*x)});
	assert_in_range(x->header.rip, CALL_PAGE, CALL_PAGE + 0xfff);
	assert_int_equal(x->rax, reg(p, 0, HV_X64_REGISTER_RAX));
	assert_int_equal(x->rbx, reg(p, 0, HV_X64_REGISTER_RAX + RBX));
	assert_int_equal(x->rcx, reg(p, 0, HV_X64_REGISTER_RAX + RCX));
	assert_int_equal(x->rdx, FREE_GPA);
	assert_int_equal(x->r8, FREE_GPA + 0x100);
	assert_int_equal(x->rsi, reg(p, 0, HV_X64_REGISTER_RAX + RSI));
	assert_int_equal(x->rdi, reg(p, 0, HV_X64_REGISTER_RAX + RDI));
	for (u32 i = 0; i < 6; i++) {
		struct hv_value128 v = reg128(p, 0, HV_X64_REGISTER_XMM0 + i);

		assert_memory_equal(&x->xmm[i], &v, sizeof(v));
	}
	assert_int_equal(x->flags, 0);
}

/* Which calls each type of intercept is about, and what they end with where nobody wants them. */
static const struct call_case {
	u16 code;
	u32 type; /* beside HV_INTERCEPT_HYPERCALL */
	u16 status;
} hypercalls[] = {
	{0x5c, HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION, HVS_INVALID_CONNECTION},
	{0x5d, HV_INTERCEPT_UNKNOWN_SYNIC_CONNECTION, HVS_INVALID_CONNECTION},
	{0x7e, HV_INTERCEPT_RETARGET_INTERRUPT, HVS_INVALID_CODE},
	{0xabcd, HV_INTERCEPT_HYPERCALL, HVS_INVALID_CODE},
};

/* The VMM moves rip and says what the result is. */
static void answer_call(struct partition *p, u64 result)
{
	p->page[0]->gpr[RAX] = result;
	p->page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	skip_insn(p, 0, 3);
	run_to_out(p, 0, 0x10);
	assert_int_equal(reg(p, 0, HV_X64_REGISTER_RAX), result);
}

static void one_call(const struct call_case *c)
{
	const u64 control = c->code | (c->code == 0x5d ? 1 << 16 : 0);
	struct partition p = {.features = ~0ull};

	start_calls(&p);
	begin_call(&p, control);
	run_to_out(&p, 0, 0x10);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RAX), c->status);
	assert_hv(install(&p, c->type, HV_ACCESS_EXECUTE, 0), 0, 0);
	begin_call(&p, control);
	check_call(&p);
	check_call(&p);
	answer_call(&p, 0x123456789);
	assert_hv(install(&p, c->type, 0, 0), 0, 0);
	assert_hv(install(&p, HV_INTERCEPT_HYPERCALL, HV_ACCESS_EXECUTE, 0), 0, 0);
	begin_call(&p, control);
	check_call(&p);
	answer_call(&p, 0);
	assert_hv(install(&p, HV_INTERCEPT_HYPERCALL, 0, 0), 0, 0);
	begin_call(&p, control);
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
}

static void test_hypercalls(void **state)
{
	for (unsigned i = 0; i < ARRAY_SIZE(hypercalls); i++)
		one_call(&hypercalls[i]);
}

/* ---- what nobody has asked for ---- */

static void test_nothing_else(void **state)
{
	/* cpuid; rdtsc; pause; rdmsr; wbinvd; int 40h; vmcall; hlt */
	static const u8 code[] = {0x0f, 0xa2, 0x0f, 0x31, 0xf3, 0x90, 0xb9, 0x10, 0, 0, 0, 0x0f,
		0x32, 0x0f, 0x09, 0xcd, 0x40, 0xe6, 0x10};
	struct partition p = {.features = ~0ull};

	partition_start(&p, LAPIC | X2APIC);
	code_long(&p, 0, code, sizeof(code));
	long_gate(&p, 0x40, 0x3000);
	memcpy(p.ram + 0x3000, (const u8[]){0x48, 0xcf}, 2);
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_msr),
	cmocka_unit_test(test_msr_class),
	cmocka_unit_test(test_msr_unknown),
	cmocka_unit_test(test_cpuid),
	cmocka_unit_test(test_exceptions),
	cmocka_unit_test(test_exception_given),
	cmocka_unit_test(test_halt),
	cmocka_unit_test(test_unrecoverable),
	cmocka_unit_test(test_invalid_registers),
	cmocka_unit_test(test_deliverable),
	cmocka_unit_test(test_sint_deliverable),
	cmocka_unit_test(test_hypercalls),
	cmocka_unit_test(test_nothing_else),
};
MSHV_MAIN(tests)
