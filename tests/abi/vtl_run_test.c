/* SPDX-License-Identifier: MIT */
/*
 * MSHV_RETURN_TO_LOWER_VTL: what the lower guest does comes to the program, and the program's answers to the guest; what ends it
 * without that; and what hostile programs do meanwhile.
 */
#include "tests/abi/vtl_port.h"
#include "tests/host_fpu.h"

#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/dev.h"
#include "x86/fxsave.h"

#define SPIN 0xeb, 0xfe
#define HALT 0xfa, 0xf4, 0xeb, 0xfc /* cli; hlt; and again */

/* ---- intercepts ---- */

static void test_out(void **state)
{
	struct lower l;
	const struct hv_io_port_message *m;

	lower_open(&l);
	lower_code(&l, BYTES(0xe6, 0x80, 0xe6, 0x81)); /* out 0x80, al; out 0x81, al */
	l.run->cpu_context.gp_regs[RAX] = 0x1122334455667788;
	m = lower_until(&l, HVMSG_X64_IO_PORT_INTERCEPT);
	assert_int_equal(m->header.vp_index, l.cpu);
	assert_int_equal(m->header.rip, CODE_GPA);
	assert_int_equal(m->port, 0x80);
	assert_int_equal(m->rax, 0x1122334455667788);
	assert_int_equal(l.regs->rip, CODE_GPA);
	lower_skip(&l, 2);
	l.run->cpu_context.gp_regs[RAX] = 0x99;
	assert_int_equal(lower_out(&l, 0x81), 0x99);
	lower_close(&l);
}

static void test_in(void **state)
{
	struct lower l;
	const struct hv_io_port_message *m;

	lower_open(&l);
	lower_code(&l, BYTES(0xe4, 0x60, 0xe6, 0x80)); /* in al, 0x60; out 0x80, al */
	m = lower_until(&l, HVMSG_X64_IO_PORT_INTERCEPT);
	assert_int_equal(m->header.access, HV_INTERCEPT_READ);
	l.run->cpu_context.gp_regs[RAX] = 0x42;
	lower_skip(&l, 2);
	assert_int_equal(lower_out(&l, 0x80), 0x42);
	lower_close(&l);
}

/* No memory there: and the next message has nothing of this one. */
static void test_unmapped(void **state)
{
	struct lower l;
	const struct hv_memory_message *m;
	const struct hv_message *next;

	lower_open(&l);
	lower_code(&l, BYTES(0xa2, 0x00, 0x00, 0xe6, 0x80)); /* mov [0], al; out 0x80, al */
	l.regs->segment[3].base = RAM_SIZE;                  /* DS */
	m = lower_until(&l, HVMSG_UNMAPPED_GPA);
	assert_int_equal(m->gpa, RAM_SIZE);
	assert_int_equal(m->header.access, HV_INTERCEPT_WRITE);
	lower_skip(&l, 3);
	lower_out(&l, 0x80);
	next = (const void *)l.run->exit_message;
	for (unsigned i = next->len; i < sizeof(next->payload); i++)
		assert_int_equal(next->payload[i], 0);
	lower_close(&l);
}

static void test_triple_fault(void **state)
{
	static const u8 none[16];
	struct lower l;

	lower_open(&l);
	lower_code(&l, BYTES(0x0f, 0x0b)); /* ud2 */
	assert_int_equal(lower_set128(&l, HV_X64_REGISTER_IDTR, none), 0);
	lower_until(&l, HVMSG_UNRECOVERABLE_EXCEPTION);
	lower_close(&l);
}

/* ---- the registers that are shared ---- */

static void test_general_registers(void **state)
{
	struct lower l;

	lower_open(&l);
	/* inc of all registers but sp; out 0x80, al */
	lower_code_long(
		&l, BYTES(0x48, 0xff, 0xc0, 0x48, 0xff, 0xc1, 0x48, 0xff, 0xc2, 0x48, 0xff, 0xc3,
			    0x48, 0xff, 0xc5, 0x48, 0xff, 0xc6, 0x48, 0xff, 0xc7, 0x49, 0xff, 0xc0,
			    0x49, 0xff, 0xc1, 0x49, 0xff, 0xc2, 0x49, 0xff, 0xc3, 0x49, 0xff, 0xc4,
			    0x49, 0xff, 0xc5, 0x49, 0xff, 0xc6, 0x49, 0xff, 0xc7, 0xe6, 0x80));
	for (unsigned i = 0; i < GPR_COUNT; i++)
		l.run->cpu_context.gp_regs[i] = 0x123456789abc0000 + i;
	lower_out(&l, 0x80);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		assert_int_equal(
			l.run->cpu_context.gp_regs[i], 0x123456789abc0000 + i + (i != RSP));
	/* In RSP's place is CR2. */
	assert_int_equal(lower_reg(&l, HV_X64_REGISTER_CR2), 0x123456789abc0000 + RSP);
	assert_int_equal(lower_reg(&l, HV_X64_REGISTER_RAX + RSP), STACK_GPA);
	assert_int_equal(l.regs->gpr[RSP], STACK_GPA);
	assert_int_equal(l.regs->gpr[R15], 0x123456789abc0000 + R15 + 1);
	lower_close(&l);
}

/* The guest's own CR2 comes out in it, and what general registers the register page has does not count, but RSP. */
static void test_register_page(void **state)
{
	struct lower l;

	lower_open(&l);
	lower_code_long(&l, BYTES(0x89, 0xe0, 0xe6, 0x80, 0xa1, 0, 0, 0x40, 0, 0, 0, 0,
				    0)); /* mov eax, esp; out; mov eax, [0x400000] */
	l.regs->gpr[RSP] = 0x7000;
	l.regs->gpr[RBX] = 0xbad;
	l.regs->rflags = 0x202;
	l.regs->dirty |= HV_PAGE_DIRTY_GPR | HV_PAGE_DIRTY_RFLAGS;
	l.run->cpu_context.gp_regs[RBX] = 0x600d;
	assert_int_equal(lower_out(&l, 0x80), 0x7000);
	assert_int_equal(l.regs->dirty, HV_PAGE_DIRTY_RIP); /* since */
	assert_int_equal(l.regs->is_valid, 1);
	assert_int_equal(l.regs->rflags, 0x202);
	assert_int_equal(l.run->cpu_context.gp_regs[RBX], 0x600d);
	lower_gate(&l, 14, CODE_GPA + 2);
	lower_out(&l, 0x80); /* of the handler */
	assert_int_equal(l.run->cpu_context.gp_regs[MSHV_VTL_CONTEXT_CR2], 0x400000);
	lower_close(&l);
}

static void test_vector_registers(void **state)
{
	struct fxsave f;
	struct lower l;

	lower_open(&l);
	/* addss xmm1, xmm0 (of bits: paddd); fld1; out */
	lower_code_long(&l, BYTES(0x66, 0x0f, 0xfe, 0xc8, 0xd9, 0xe8, 0xe6, 0x80));
	memcpy(&f, (const void *)l.run->cpu_context.fx_state, sizeof(f));
	assert_int_equal(f.mxcsr, 0x1f80); /* it begins as the processor does */
	f.fcw = 0x37f;
	memset(f.xmm, 0x11, sizeof(f.xmm));
	memcpy((void *)l.run->cpu_context.fx_state, &f, sizeof(f));
	lower_out(&l, 0x80);
	memcpy(&f, (const void *)l.run->cpu_context.fx_state, sizeof(f));
	for (unsigned i = 0; i < 16; i++) {
		assert_int_equal(f.xmm[0][i], 0x11);
		assert_int_equal(f.xmm[1][i], 0x22);
		assert_int_equal(f.xmm[15][i], 0x11);
	}
	assert_int_equal(f.fcw, 0x37f);
	assert_int_equal(f.ftw, 0x80);
	assert_memory_equal(f.st[0], ((const u8[]){0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f}), 10);
	lower_close(&l);
}

/* What no register can have is not taken, and hurts nobody. */
static void test_garbage(void **state)
{
	struct lower l;
	struct fxsave f;

	lower_open(&l);
	lower_code(&l, BYTES(0xe6, 0x80, 0xe6, 0x81));
	memset((void *)&l.run->cpu_context, 0xff, sizeof(l.run->cpu_context));
	memset((void *)l.run->exit_message, 0xff, sizeof(l.run->exit_message));
	assert_int_equal(lower_out(&l, 0x80), 0xffffffff);
	memcpy(&f, (const void *)l.run->cpu_context.fx_state, sizeof(f));
	assert_int_equal(f.mxcsr & ~host_mxcsr_mask(), 0);
	/* The register page, too: the VP says that it cannot run so. */
	memset((void *)l.regs, 0xff, sizeof(*l.regs));
	assert_int_equal(lower_run(&l), 0);
	assert_int_equal(((const struct hv_message *)l.run->exit_message)->type,
		HVMSG_INVALID_VP_REGISTER_VALUE);
	lower_close(&l);
}

/* ---- calls of VTL2 ---- */

#define VTL_CALL 0xb9, 0x11, 0, 0, 0, 0x0f, 0x01, 0xc1 /* mov ecx, 0x11; vmcall */

static void begin_hypercalls(struct lower *l)
{
	assert_int_equal(lower_set(l, HV_REGISTER_GUEST_OS_ID, 0x8100), 0);
}

/* Of the other vendor's processors. */
static bool has_vmmcall(const struct lower *l)
{
	struct hv_value128 page;

	assert_int_equal(lower_set(l, HV_REGISTER_HYPERCALL, 0x8000 | 1), 0);
	memcpy(&page, l->ram + 0x8000, sizeof(page));
	return ((const u8 *)&page)[2] == 0xd9;
}

static void code_with_call(struct lower *l, u8 low, u8 high)
{
	u8 code[] = {VTL_CALL, 0xe6, 0x80};

	code[1] = low;
	code[3] = high;
	begin_hypercalls(l);
	if (has_vmmcall(l))
		code[7] = 0xd9;
	lower_code_long(l, code, sizeof(code));
}

static void test_vtl_call(void **state)
{
	const struct hv_message *m;
	struct lower l;

	lower_open(&l);
	code_with_call(&l, 0x11, 0);
	l.run->cpu_context.gp_regs[RAX] = 0x1234;
	memset((void *)l.run->exit_message, 0xff, sizeof(l.run->exit_message));
	m = lower_until(&l, 0);
	assert_int_equal(m->len, 0);
	assert_int_equal(l.regs->rip, CODE_GPA + 8); /* the call is over */
	assert_int_equal(l.run->cpu_context.gp_regs[RAX], 0x1234);
	assert_int_equal(lower_out(&l, 0x80), 0x1234);
	lower_close(&l);
}

/* With more in the control word it is #UD (TLFS), in front of the instruction. */
static void test_vtl_call_invalid(void **state)
{
	struct lower l;

	lower_open(&l);
	code_with_call(&l, 0x11, 1); /* the fast bit */
	lower_gate(&l, 6, CODE_GPA + 8);
	lower_out(&l, 0x80);
	assert_int_equal(*(u64 *)(l.ram + lower_reg(&l, HV_X64_REGISTER_RAX + RSP)), CODE_GPA + 5);
	lower_close(&l);
}

/* A hypercall that nobody has is answered, and no call of VTL2. */
static void test_other_hypercall(void **state)
{
	struct lower l;

	lower_open(&l);
	code_with_call(&l, 0x12, 0);
	assert_int_equal(lower_out(&l, 0x80), HVS_INVALID_CODE);
	lower_close(&l);
}

/* ---- what ends it ---- */

static void test_cancelled_before(void **state)
{
	struct lower l;

	lower_open(&l);
	lower_code(&l, BYTES(0xe6, 0x80));
	l.run->cancel = 1;
	assert_int_equal(lower_run(&l), -EINTR);
	assert_int_equal(lower_run(&l), -EINTR); /* it is the program's to take back */
	assert_int_equal(l.run->cancel, 1);
	assert_int_equal(l.regs->dirty != 0, true); /* nothing was done */
	l.run->cancel = 0;
	lower_out(&l, 0x80);
	lower_close(&l);
}

static void cancelled(const u8 *code, size_t size)
{
	struct lower_runner r;
	struct lower l;

	lower_open(&l);
	lower_code(&l, code, size);
	l.run->cpu_context.gp_regs[RBX] = 0x55;
	lower_start(&r, &l, l.cpu);
	lower_inside(&r);
	assert_false(atomic_load(&r.out));
	l.run->cpu_context.gp_regs[RBX] = 0; /* it was read, and is written again */
	l.run->cancel = 1;
	assert_int_equal(lower_wait(&r), -EINTR);
	assert_int_equal(l.run->cpu_context.gp_regs[RBX], 0x55);
	lower_close(&l);
}

static void test_cancelled_while_it_runs(void **state)
{
	cancelled(BYTES(SPIN));
}

static void test_cancelled_while_it_sleeps(void **state)
{
	cancelled(BYTES(HALT));
}

static void stopped(const u8 *code, size_t size)
{
	struct lower_runner r;
	struct lower l;

	lower_open(&l);
	lower_code(&l, code, size);
	lower_start(&r, &l, l.cpu);
	lower_inside(&r);
	assert_false(atomic_load(&r.out));
	assert_int_equal(lower_stop(&r), -EINTR);
	lower_close(&l);
}

static void test_signal_while_it_runs(void **state)
{
	stopped(BYTES(SPIN));
}

static void test_signal_while_it_sleeps(void **state)
{
	stopped(BYTES(HALT));
}

/* ---- actions on the way ---- */

static void test_return_action(void **state)
{
	struct lower l;

	lower_open(&l);
	lower_code(&l, BYTES(0xe6, 0x80, 0xe6, 0x81, 0xe6, 0x82));
	assert_int_equal(lower_set(&l, HV_REGISTER_SIEFP, FREE_GPA | 1), 0);
	assert_int_equal(lower_set(&l, HV_REGISTER_SCONTROL, 1), 0);
	for (unsigned i = 0; i < 3; i++)
		l.run->vtl_ret_actions[i] =
			(struct mshv_vtl_return_action){.type = MSHV_VTL_RETURN_ACTION_SIGNAL_EVENT,
				.vp_index = l.cpu,
				.sint = 2,
				.flag = (u16)(8 + i)};
	l.run->vtl_ret_action_size = 2 * 16 + 15; /* two whole ones */
	lower_out(&l, 0x80);
	assert_int_equal(l.run->vtl_ret_action_size, 0);
	assert_int_equal(l.ram[FREE_GPA + 2 * 256 + 1], 3);
	lower_out(&l, 0x81);
	assert_int_equal(l.ram[FREE_GPA + 2 * 256 + 1], 3);
	/* Nobody there, an unknown one, and more than there is room for. */
	l.run->vtl_ret_actions[0].vp_index = 250;
	l.run->vtl_ret_actions[1].sint = 99;
	l.run->vtl_ret_actions[2].type = 77;
	l.run->vtl_ret_action_size = ~0u;
	lower_out(&l, 0x82);
	assert_int_equal(l.ram[FREE_GPA + 2 * 256 + 1], 3);
	lower_close(&l);
}

/* ---- processors ---- */

/* The others wait for SIPI, unless the program has said where they are to execute. */
static void test_second_processor(void **state)
{
	struct lower_runner r;
	struct lower l, other;

	if (!has_cpu(1)) {
		print_message("one processor alone: not tested\n");
		return;
	}
	lower_open(&l);
	lower_on(&other, &l, cpu_allowed(1));
	lower_code(&l, BYTES(HALT));
	lower_start(&r, &other, other.cpu);
	lower_inside(&r);
	assert_false(atomic_load(&r.out));
	other.run->cancel = 1;
	assert_int_equal(lower_wait(&r), -EINTR);
	other.run->cancel = 0;
	stay_on(other.cpu);
	assert_int_equal(lower_reg(&other, HV_REGISTER_INTERNAL_ACTIVITY_STATE), 1);
	assert_int_equal(lower_set(&other, HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0), 0);
	lower_code(&other, BYTES(0xe6, 0x80));
	lower_out(&other, 0x80);
	lower_off(&other);
	lower_close(&l);
}

static void test_second_processor_told(void **state)
{
	struct lower l, other;

	if (!has_cpu(1)) {
		print_message("one processor alone: not tested\n");
		return;
	}
	lower_open(&l);
	lower_on(&other, &l, cpu_allowed(1));
	stay_on(other.cpu);
	lower_code(&other, BYTES(0xe6, 0x80));
	lower_out(&other, 0x80);
	assert_int_equal(((const struct hv_io_port_message *)((const struct hv_message *)
								      other.run->exit_message)
					 ->payload)
				 ->header.vp_index,
		other.cpu);
	lower_off(&other);
	lower_close(&l);
}

/* INIT and SIPI of the first one's local APIC start the second at a page. */
static void test_sipi(void **state)
{
	struct lower l, other;
	struct lower_runner r;

	if (!has_cpu(1) || cpu_allowed(0) != 0) {
		print_message("not tested: processors 0 and another one are necessary\n");
		return;
	}
	lower_open(&l);
	lower_on(&other, &l, cpu_allowed(1));
	memcpy(l.ram + 0x3000, (const u8[]){0xe6, 0x83}, 2);
	lower_start(&r, &other, other.cpu);
	lower_inside(&r);
	/* x2APIC: INIT, SIPI 3 to all but itself; out */
	assert_int_equal(lower_set(&l, HV_X64_REGISTER_APIC_BASE, 0xfee00d00), 0);
	lower_code_long(&l, BYTES(0xb9, 0x30, 0x08, 0, 0, 0x31, 0xd2, 0xb8, 0x00, 0xc5, 0x0c, 0,
				    0x0f, 0x30, 0xb8, 0x03, 0xc6, 0x0c, 0, 0x0f, 0x30, 0xe6, 0x80));
	lower_out(&l, 0x80);
	assert_int_equal(lower_wait(&r), 0);
	assert_int_equal(((const struct hv_io_port_message *)((const struct hv_message *)
								      other.run->exit_message)
					 ->payload)
				 ->port,
		0x83);
	lower_off(&other);
	lower_close(&l);
}

/* ---- two threads on one processor ---- */

/* The second waits, and runs when the first has come out. */
static void test_two_threads(void **state)
{
	struct lower_runner first, second;
	struct lower l;

	lower_open(&l);
	lower_code(&l, BYTES(SPIN));
	lower_start(&first, &l, l.cpu);
	lower_inside(&first);
	lower_start(&second, &l, l.cpu);
	lower_inside(&second);
	assert_false(atomic_load(&second.out));
	/* Who only looks does not wait for it. */
	assert_int_equal(lower_reg(&l, HV_X64_REGISTER_RIP), CODE_GPA);
	assert_int_equal(lower_stop(&second), -EINTR);
	assert_false(atomic_load(&first.out));
	lower_start(&second, &l, l.cpu);
	lower_inside(&second);
	l.ram[CODE_GPA + 2] = 0xe6; /* out 0x80, al behind the loop */
	l.ram[CODE_GPA + 3] = 0x80;
	assert_int_equal(lower_stop(&first), -EINTR);
	lower_inside(&second);
	assert_false(atomic_load(&second.out));
	assert_int_equal(lower_set(&l, HV_X64_REGISTER_RIP, CODE_GPA + 2), 0);
	assert_int_equal(lower_wait(&second), 0);
	lower_close(&l);
}

/* ---- the end ---- */

/* The last descriptor is closed while a thread executes the guest: it goes on, as a system call would, until it comes out. */
static void test_close_while_it_runs(void **state)
{
	struct lower_runner r;
	struct lower l;

	lower_open(&l);
	lower_code(&l, BYTES(SPIN));
	lower_start(&r, &l, l.cpu);
	lower_inside(&r);
	dev_close(port.dev, l.fd);
	dev_close(port.dev, l.low);
	lower_inside(&r);
	assert_false(atomic_load(&r.out));
	assert_int_equal(lower_stop(&r), -EINTR);
	assert_int_equal(mshv(l.fd, MSHV_RETURN_TO_LOWER_VTL, 0), -EBADF);
	dev_close(port.dev, l.sys);
	munmap(l.ram, RAM_SIZE);
	lower_off(&l);
}

/* Two descriptors are one lower guest; with the last one it ends, and the next begins anew. */
static void test_one_guest(void **state)
{
	struct lower l, again;
	int second;

	lower_open(&l);
	lower_code(&l, BYTES(0xe6, 0x80));
	second = (int)mshv(l.sys, MSHV_CREATE_VTL, 0x1234);
	assert_true(second >= 0);
	dev_close(port.dev, l.fd);
	l.fd = second;
	lower_out(&l, 0x80);
	assert_int_equal(lower_set(&l, HV_X64_REGISTER_CR3, 0x5000), 0);
	lower_close(&l);
	lower_begin(&again);
	assert_int_equal(lower_reg(&again, HV_X64_REGISTER_CR3), 0);
	assert_int_equal(again.regs->rip, 0xfff0);
	assert_int_equal(lower_add(&again, 0, RAM_SIZE), 0);
	again.ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, again.low, 0);
	assert_int_equal(again.ram[CODE_GPA], 0);
	lower_close(&again);
}

/* A forked child has the descriptors and not the guest; one of its own it can have. */
static void child(const struct lower *l)
{
	struct refusal why;
	struct lower own;

	if (dev_ioctl_why(port.dev, l->fd, MSHV_RETURN_TO_LOWER_VTL, 0, NULL, &why) != -EIO)
		_exit(1);
#ifdef __SANITIZE_THREAD__
	_exit(0); /* its run time knows no threads of a child */
#endif
	lower_open(&own);
	lower_code(&own, BYTES(0xe6, 0x77));
	lower_out(&own, 0x77);
	lower_close(&own);
	_exit(0);
}

static void test_fork(void **state)
{
	struct lower l;
	int status, pid;

	lower_open(&l);
	lower_code(&l, BYTES(0xe6, 0x80));
	pid = fork();
	if (!pid)
		child(&l);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	lower_out(&l, 0x80);
	lower_close(&l);
}

static const struct CMUnitTest tests[] = {
	VTL_TEST(test_out),
	VTL_TEST(test_in),
	VTL_TEST(test_unmapped),
	VTL_TEST(test_triple_fault),
	VTL_TEST(test_general_registers),
	VTL_TEST(test_register_page),
	VTL_TEST(test_vector_registers),
	VTL_TEST(test_garbage),
	VTL_TEST(test_vtl_call),
	VTL_TEST(test_vtl_call_invalid),
	VTL_TEST(test_other_hypercall),
	VTL_TEST(test_cancelled_before),
	VTL_TEST(test_cancelled_while_it_runs),
	VTL_TEST(test_cancelled_while_it_sleeps),
	VTL_TEST(test_signal_while_it_runs),
	VTL_TEST(test_signal_while_it_sleeps),
	VTL_TEST(test_return_action),
	VTL_TEST(test_second_processor),
	VTL_TEST(test_second_processor_told),
	VTL_TEST(test_sipi),
	VTL_TEST(test_two_threads),
	VTL_TEST(test_close_while_it_runs),
	VTL_TEST(test_one_guest),
	VTL_TEST(test_fork),
};

MSHV_MAIN(tests)
