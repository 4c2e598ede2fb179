/* SPDX-License-Identifier: MIT */
/* Events of the mock's guest, replies to them, pauses, batches, and threads. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"

#define LONG 5000 /* ms */

static struct uvmi_event next(struct rig *r, unsigned event)
{
	struct uvmi_event e = {.seq = 0};

	assert_int_equal(uvmi_next_event(r->s, &e, LONG), 0);
	assert_int_equal(e.event, event);
	return e;
}

static void switch_on(struct rig *r, unsigned event)
{
	for (unsigned i = 0; i < r->mock.config.vcpus; i++)
		assert_int_equal(uvmi_control_events(r->s, i, event, 1), 0);
}

static void cr(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 1});
	struct uvmi_event e;
	u64 old;

	switch_on(r, UVMI_EVENT_CR);
	assert_int_equal(uvmi_control_cr(r->s, 0, 3, 1), 0);
	e = next(r, UVMI_EVENT_CR);
	assert_int_equal(e.u.cr.cr, 3);
	assert_int_equal(e.u.cr.new_value, e.u.cr.old_value ^ 0x18);
	assert_int_equal(e.mode, 8);
	assert_int_equal(e.regs.rip, MOCK_GVA + MOCK_CODE + 1);
	assert_int_equal(e.sregs.efer, 0x500);
	assert_int_equal(e.msrs.efer, 0x500);
	old = e.u.cr.old_value;
	assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
	e = next(r, UVMI_EVENT_CR);
	assert_int_equal(e.u.cr.old_value, old ^ 0x18);
	assert_int_equal(uvmi_reply_value(r->s, &e, e.u.cr.old_value), 0); /* it stays */
	e = next(r, UVMI_EVENT_CR);
	assert_int_equal(e.u.cr.old_value, old ^ 0x18);
	assert_int_equal(uvmi_reply_retry(r->s, &e), -EINVAL);
	assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
	assert_int_equal(uvmi_reply_continue(r->s, &e), -ENOENT); /* once is enough */
	assert_int_equal(uvmi_control_cr(r->s, 0, 3, 0), 0);
	rig_end(r);
}

/* All others, with what each of them tells. */
static void each_event(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 1});
	struct uvmi_event e;

	switch_on(r, UVMI_EVENT_MSR);
	assert_int_equal(uvmi_control_msr(r->s, 0, 0xc0000082, 1), 0);
	e = next(r, UVMI_EVENT_MSR);
	assert_int_equal(e.u.msr.msr, 0xc0000082);
	assert_int_equal(e.u.msr.new_value ^ e.u.msr.old_value, 0x100);
	switch_on(r, UVMI_EVENT_XSETBV);
	switch_on(r, UVMI_EVENT_HYPERCALL);
	switch_on(r, UVMI_EVENT_DESCRIPTOR);
	switch_on(r, UVMI_EVENT_BREAKPOINT);
	if (!V5)
		switch_on(r, UVMI_EVENT_CPUID);
	assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
	e = next(r, UVMI_EVENT_XSETBV);
	assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
	e = next(r, UVMI_EVENT_HYPERCALL);
	assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
	e = next(r, UVMI_EVENT_DESCRIPTOR);
	assert_int_equal(e.u.descriptor.descriptor, UVMI_DESC_IDTR);
	assert_int_equal(e.u.descriptor.write, 1);
	assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
	if (!V5) {
		e = next(r, UVMI_EVENT_CPUID);
		assert_int_equal(e.u.cpuid.function, 7);
		assert_int_equal(e.u.cpuid.index, 1);
		assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
	}
	e = next(r, UVMI_EVENT_BREAKPOINT);
	assert_int_equal(e.u.breakpoint.gpa, MOCK_CODE + 9);
	assert_int_equal(e.u.breakpoint.insn_len, 1);
	assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
	e = next(r, UVMI_EVENT_MSR);
	rig_close(r);
	assert_int_equal(r->mock.reinjected, 1);
	rig_free(r);
}

static void page_faults(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 1});
	struct uvmi_page_access page = {.gpa = MOCK_DATA, .access = UVMI_ACCESS_X};
	struct uvmi_answer a = {.action = UVMI_CONTINUE, .ctx_size = 8, .ctx_data = "secret!"};
	struct uvmi_event e;

	switch_on(r, UVMI_EVENT_PF);
	assert_int_equal(uvmi_set_page_access(r->s, 0, &page, 1), 0);
	e = next(r, UVMI_EVENT_PF);
	if (e.u.pf.access == UVMI_ACCESS_R) { /* it was between the two instructions */
		assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
		e = next(r, UVMI_EVENT_PF);
	}
	assert_int_equal(e.u.pf.access, UVMI_ACCESS_W);
	assert_int_equal(e.u.pf.gpa, MOCK_DATA + 8);
	assert_int_equal(e.u.pf.gva, MOCK_GVA + MOCK_DATA + 8);
	assert_int_equal(uvmi_reply_retry(r->s, &e), 0); /* nothing has changed: once more */
	e = next(r, UVMI_EVENT_PF);
	assert_int_equal(e.u.pf.access, UVMI_ACCESS_W);
	assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
	e = next(r, UVMI_EVENT_PF);
	assert_int_equal(e.u.pf.access, UVMI_ACCESS_R);
	assert_int_equal(uvmi_reply(r->s, &e, &(struct uvmi_answer){.ctx_size = 257}), -EINVAL);
	assert_int_equal(uvmi_reply(r->s, &e, &(struct uvmi_answer){.action = 3}), -EINVAL);
	assert_int_equal(uvmi_reply(r->s, &e, &a), 0);
	e = next(r, UVMI_EVENT_PF);
	assert_memory_equal(&e.regs.rbx, "secret!", 8);
	rig_end(r);
}

static void traps(void **state)
{
	for (int first = 0; first < 2; first++) {
		struct rig *r = rig_open(DIALECT, (struct mock_config){.first_traps = first});
		struct uvmi_event e;

		switch_on(r, UVMI_EVENT_TRAP);
		assert_int_equal(uvmi_inject_exception(r->s, 0, 14, 1, 4, 0x1234), 0);
		e = next(r, UVMI_EVENT_TRAP);
		assert_int_equal(e.u.trap.vector, 14);
		assert_int_equal(e.u.trap.error_code, 4);
		assert_int_equal(e.u.trap.cr2, 0x1234);
		assert_int_equal(e.u.trap.type, V5 || first ? 0x300 : 0);
		rig_end(r);
	}
}

/* Commands are for vCPUs that wait, too; registers count from the reply on. */
static void commands_in_events(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 2});
	struct uvmi_registers regs;
	struct uvmi_event e;
	u8 was = 0;

	switch_on(r, UVMI_EVENT_BREAKPOINT);
	e = next(r, UVMI_EVENT_BREAKPOINT);
	assert_int_equal(uvmi_get_registers(r->s, e.vcpu, &regs, NULL, 0), 0);
	assert_int_equal(regs.regs.rip, e.regs.rip);
	assert_int_equal(uvmi_read_physical(r->s, e.u.breakpoint.gpa, &was, 1), 0);
	assert_int_equal(was, 0xcc);
	regs.regs.rip++;
	regs.regs.r15 = 0x15;
	assert_int_equal(uvmi_set_registers(r->s, e.vcpu, &regs.regs), 0);
	assert_int_equal(uvmi_reply_retry(r->s, &e), 0);
	rig_close(r);
	assert_int_equal(r->mock.vcpu[e.vcpu].regs.r15, 0x15);
	rig_free(r);
}

static void steps(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 1});
	struct uvmi_event e;
	u64 rip;

	switch_on(r, UVMI_EVENT_SINGLESTEP);
	assert_int_equal(uvmi_control_singlestep(r->s, 0, 1), 0);
	e = next(r, UVMI_EVENT_SINGLESTEP);
	for (int i = 0; i < 20; i++) {
		rip = e.regs.rip;
		assert_int_equal(e.u.singlestep.failed, 0);
		assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
		e = next(r, UVMI_EVENT_SINGLESTEP);
		if (rip - MOCK_GVA - MOCK_CODE == sizeof(MOCK_PROGRAM) - 2)
			rip = MOCK_GVA + MOCK_CODE - 1;
		assert_int_equal(e.regs.rip, rip + 1);
	}
	rig_end(r);
}

static void crash(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 1});
	struct uvmi_event e;

	switch_on(r, UVMI_EVENT_XSETBV);
	e = next(r, UVMI_EVENT_XSETBV);
	assert_int_equal(uvmi_reply_crash(r->s, &e), 0);
	assert_int_equal(uvmi_next_event(r->s, &e, LONG), -ENOTCONN);
	rig_close(r);
	assert_int_equal(r->mock.crashed, 1);
	rig_free(r);
}

/* ---- pauses ---- */

static u64 executed(struct rig *r)
{
	u64 n = 0;

	for (unsigned i = 0; i < r->mock.config.vcpus; i++)
		n += r->mock.vcpu[i].executed;
	return n;
}

static void pausing(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 4});
	struct uvmi_event e;
	u64 before;

	for (int i = 0; i < 5; i++) {
		assert_int_equal(uvmi_pause(r->s), 0);
		assert_int_equal(uvmi_pause(r->s), -EALREADY);
		before = executed(r);
		usleep(3000);
		assert_int_equal(executed(r), before);
		assert_int_equal(uvmi_next_event(r->s, &e, 0), -ETIMEDOUT); /* they are not seen */
		assert_int_equal(uvmi_resume(r->s), 0);
		assert_int_equal(uvmi_resume(r->s), -EALREADY);
		for (int k = 0; k < 1000 && executed(r) == before; k++)
			usleep(1000);
		assert_true(executed(r) > before);
	}
	rig_close(r);
	assert_int_equal(r->mock.pauses_sent, 20);
	rig_free(r);
}

/* One that waits with an event of its own sends that of the pause afterwards, and goes on by itself. */
static void pausing_in_event(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 2});
	struct uvmi_event e, other;

	switch_on(r, UVMI_EVENT_XSETBV);
	e = next(r, UVMI_EVENT_XSETBV);
	assert_int_equal(uvmi_pause(r->s), 0);
	assert_int_equal(uvmi_resume(r->s), 0);
	assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
	for (int seen = 0; seen < 4;) {
		other = next(r, UVMI_EVENT_XSETBV);
		seen += other.vcpu == e.vcpu;
		assert_int_equal(uvmi_reply_continue(r->s, &other), 0);
	}
	rig_end(r);
}

/* All but one, which steps. */
static void pausing_others(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 3});
	struct uvmi_event e;
	u64 before;

	assert_int_equal(uvmi_control_events(r->s, 1, UVMI_EVENT_SINGLESTEP, 1), 0);
	assert_int_equal(uvmi_pause_others(r->s, 1), 0);
	before = r->mock.vcpu[0].executed + r->mock.vcpu[2].executed;
	assert_int_equal(uvmi_control_singlestep(r->s, 1, 1), 0);
	for (int i = 0; i < 10; i++) {
		e = next(r, UVMI_EVENT_SINGLESTEP);
		assert_int_equal(e.vcpu, 1);
		assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
	}
	assert_int_equal(r->mock.vcpu[0].executed + r->mock.vcpu[2].executed, before);
	assert_int_equal(uvmi_resume(r->s), 0);
	rig_end(r);
}

/* A vCPU that owes the event of an earlier pause is not stopped by it when it is the one that shall run. */
static void pausing_others_after_all(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 2});
	struct uvmi_event e;

	uvmi_set_timeout(r->s, LONG);
	assert_int_equal(uvmi_control_events(r->s, 1, UVMI_EVENT_XSETBV, 1), 0);
	assert_int_equal(uvmi_control_events(r->s, 1, UVMI_EVENT_SINGLESTEP, 1), 0);
	e = next(r, UVMI_EVENT_XSETBV);
	assert_int_equal(uvmi_pause(r->s), 0);
	assert_int_equal(uvmi_resume(r->s), 0);
	assert_int_equal(uvmi_pause_others(r->s, 1), 0);
	assert_int_equal(uvmi_control_singlestep(r->s, 1, 1), 0);
	assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
	e = next(r, UVMI_EVENT_SINGLESTEP);
	assert_int_equal(e.vcpu, 1);
	assert_int_equal(uvmi_resume(r->s), 0);
	rig_end(r);
}

/* The commands themselves: their events are the tool's. */
static void plain_pauses(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 2});
	struct uvmi_event e;
	uint32_t n = 0;

	if (V5) {
		assert_int_equal(uvmi_pause_all_vcpus(r->s, &n), 0);
		assert_int_equal(n, 2);
		e = next(r, UVMI_EVENT_PAUSE_VCPU);
		assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
	} else {
		assert_int_equal(uvmi_pause_vcpu(r->s, 1, 1), 0);
	}
	e = next(r, UVMI_EVENT_PAUSE_VCPU);
	assert_int_equal(e.vcpu, 1);
	assert_int_equal(uvmi_reply_continue(r->s, &e), 0);
	assert_int_equal(uvmi_next_event(r->s, &e, 0), -ETIMEDOUT);
	rig_end(r);
}

/* ---- batches ---- */

static void batches(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 1});
	struct uvmi_registers regs;
	struct uvmi_event e;
	u8 byte;

	switch_on(r, UVMI_EVENT_BREAKPOINT);
	e = next(r, UVMI_EVENT_BREAKPOINT);
	assert_int_equal(uvmi_batch_end(r->s), -EINVAL);
	assert_int_equal(uvmi_batch_begin(r->s), 0);
	assert_int_equal(uvmi_batch_begin(r->s), -EBUSY);
	assert_int_equal(uvmi_write_physical(r->s, 0x8000, "abc", 3), 0);
	assert_int_equal(uvmi_read_physical(r->s, 0x8000, &byte, 1), -EBUSY);
	assert_int_equal(uvmi_get_registers(r->s, 0, &regs, NULL, 0), -EBUSY);
	assert_int_equal(uvmi_next_event(r->s, &e, 0), -EBUSY);
	assert_int_equal(uvmi_pause(r->s), -EBUSY);
	e.regs.rip++;
	e.regs.r14 = 0x14;
	assert_int_equal(uvmi_set_registers(r->s, 0, &e.regs), 0);
	assert_int_equal(uvmi_control_events(r->s, 0, UVMI_EVENT_XSETBV, 1), 0);
	assert_int_equal(uvmi_reply_retry(r->s, &e), 0);
	assert_int_equal(uvmi_batch_end(r->s), 0);
	assert_memory_equal(r->mock.ram + 0x8000, "abc", 3);
	e = next(r, UVMI_EVENT_XSETBV);
	assert_int_equal(e.regs.r14, 0x14);
	assert_int_equal(r->mock.batches, V5 ? 0 : 1);

	assert_int_equal(uvmi_batch_begin(r->s), 0); /* an empty one */
	assert_int_equal(uvmi_batch_end(r->s), 0);
	assert_int_equal(uvmi_batch_begin(r->s), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(uvmi_write_physical(r->s,
					 i == 50 ? MOCK_LOW_END : 0x8000u + (unsigned)i, "z", 1),
			0);
	assert_int_equal(uvmi_batch_end(r->s), V5 ? -EINVAL : 0); /* v6 tells nothing */
	assert_int_equal(r->mock.ram[0x8000 + 99], 'z');
	assert_int_equal(uvmi_read_physical(r->s, 0x8000, &byte, 1), 0);
	rig_end(r);
}

/* ---- loops, wakes, threads ---- */

struct counted {
	int left;
	struct uvmi *wake;
};

static int count_down(struct uvmi *s, const struct uvmi_event *e, void *opaque)
{
	struct counted *c = opaque;

	assert_int_equal(uvmi_reply_continue(s, e), 0);
	return --c->left ? 0 : 77;
}

static int wake_at_end(struct uvmi *s, const struct uvmi_event *e, void *opaque)
{
	struct counted *c = opaque;

	if (!--c->left)
		uvmi_wake(s);
	return uvmi_reply_continue(s, e);
}

static void running(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 3});
	struct counted c = {.left = 200};
	struct uvmi_event e;

	switch_on(r, UVMI_EVENT_HYPERCALL);
	assert_int_equal(uvmi_run(r->s, count_down, &c), 77);
	c.left = 10;
	assert_int_equal(uvmi_run(r->s, wake_at_end, &c), -EINTR);
	assert_true(c.left <= 0);
	uvmi_wake(r->s);
	uvmi_wake(r->s);
	assert_int_equal(uvmi_next_event(r->s, &e, LONG), -EINTR);
	assert_int_equal(uvmi_next_event(r->s, &e, LONG), 0);
	rig_end(r);
}

static void *read_much(void *arg)
{
	struct rig *r = arg;
	u8 bytes[3 * 4096];

	for (int i = 0; i < 200; i++)
		if (uvmi_read(r->s, 0x100 * (unsigned)i, bytes, sizeof(bytes)))
			return (void *)1;
	return NULL;
}

static void *batch_much(void *arg)
{
	struct rig *r = arg;

	for (int i = 0; i < 100; i++) {
		if (uvmi_batch_begin(r->s))
			return (void *)1;
		if (uvmi_write_physical(r->s, 0x8000, "x", 1) ||
			uvmi_write_physical(r->s, 0x9000, "y", 1))
			return (void *)2;
		if (uvmi_batch_end(r->s))
			return (void *)3;
	}
	return NULL;
}

static void *wait_events(void *arg)
{
	struct rig *r = arg;
	struct uvmi_event e;
	int n;

	while (!(n = uvmi_next_event(r->s, &e, UVMI_FOREVER)))
		if (uvmi_reply_continue(r->s, &e))
			return (void *)1;
	return n == -EINTR ? NULL : (void *)2;
}

static void threads_share(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 2});
	pthread_t waiter, readers[3], batcher;
	void *wrong = NULL;

	switch_on(r, UVMI_EVENT_XSETBV);
	pthread_create(&waiter, NULL, wait_events, r);
	for (int i = 0; i < 3; i++)
		pthread_create(&readers[i], NULL, read_much, r);
	pthread_create(&batcher, NULL, batch_much, r);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(uvmi_pause(r->s), 0);
		assert_int_equal(uvmi_resume(r->s), 0);
	}
	for (int i = 0; i < 3; i++) {
		pthread_join(readers[i], &wrong);
		assert_null(wrong);
	}
	pthread_join(batcher, &wrong);
	assert_null(wrong);
	uvmi_wake(r->s);
	pthread_join(waiter, &wrong);
	assert_null(wrong);
	rig_end(r);
}

/* Everybody who waits learns that the VM has gone. */
static void *wait_end(void *arg)
{
	struct rig *r = arg;
	struct uvmi_event e;

	return (void *)(intptr_t)uvmi_next_event(r->s, &e, UVMI_FOREVER);
}

static void threads_end(void **state)
{
	struct wire w = wire_open(DIALECT, UVMI_FOREVER);
	struct rig r = {.s = w.s};
	pthread_t waiters[3];
	void *result;

	for (int i = 0; i < 3; i++)
		pthread_create(&waiters[i], NULL, wait_end, &r);
	usleep(10000);
	close(w.fd);
	for (int i = 0; i < 3; i++) {
		pthread_join(waiters[i], &result);
		assert_int_equal((intptr_t)result, -ENOTCONN);
	}
	uvmi_close(w.s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(cr),
		BOTH(each_event),
		BOTH(page_faults),
		BOTH(traps),
		BOTH(commands_in_events),
		ONLY_V6(steps),
		BOTH(crash),
		BOTH(pausing),
		BOTH(pausing_in_event),
		ONLY_V6(pausing_others),
		ONLY_V6(pausing_others_after_all),
		BOTH(plain_pauses),
		BOTH(batches),
		BOTH(running),
		BOTH(threads_share),
		BOTH(threads_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
