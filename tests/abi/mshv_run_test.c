/* SPDX-License-Identifier: MIT */
/*
 * MSHV_RUN_VP: what ends it, what holds it, and what others can do meanwhile: signals, a second thread, requests on the
 * partition, time that stands still, suspension, descriptors that are closed.
 */
#include "tests/abi/mshv_port.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/dev.h"

/* inc [FREE_GPA]; jmp back */
static const u8 count[] = {0xff, 0x04, 0x25, 0, 0, 2, 0, 0xeb, 0xf7};

static u32 counted(const struct partition *p)
{
	return __atomic_load_n((u32 *)(p->ram + FREE_GPA), __ATOMIC_RELAXED);
}

static void wait_counts(const struct partition *p)
{
	u32 then = counted(p);

	for (unsigned ms = 0; counted(p) == then; ms++) {
		if (ms > 30000)
			fail_msg("the VP does not run");
		usleep(1000);
	}
}

/* It does not run, for as long as one looks. */
static void assert_stands(const struct partition *p)
{
	u32 then = counted(p);

	usleep(30000);
	assert_int_equal(counted(p), then);
}

static void counter_start(struct partition *p)
{
	partition_start(p, LAPIC | X2APIC);
	code_long(p, 0, count, sizeof(count));
}

/* ---- signals ---- */

static _Atomic unsigned handled;

static void on_signal(int number)
{
	atomic_fetch_add(&handled, 1);
}

static void handle(int number, int flags)
{
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = flags};

	sigaction(number, &a, NULL);
}

/* SA_RESTART does not matter. */
static void test_signal_during(void **state)
{
	struct partition p = {0};
	struct runner r;

	counter_start(&p);
	runner_start(&r, &p, 0);
	wait_counts(&p);
	handle(SIGUSR1, SA_RESTART);
	assert_int_equal(runner_stop(&r), -EINTR);
	assert_int_equal(r.message.type, 0); /* nothing was written */
	assert_int_equal(reg(&p, 0, HV_REGISTER_EXPLICIT_SUSPEND), 1);
	assert_int_equal(reg(&p, 0, HV_REGISTER_INTERCEPT_SUSPEND), 0);
	partition_close(&p);
}

/* One that is pending ends it before it begins: none is lost. */
static void test_signal_before(void **state)
{
	struct hv_message m;
	struct partition p = {0};
	sigset_t one, old;

	counter_start(&p);
	handle(SIGUSR1, 0);
	sigemptyset(&one);
	sigaddset(&one, SIGUSR1);
	for (unsigned i = 0; i < 20; i++) {
		pthread_sigmask(SIG_BLOCK, &one, &old);
		raise(SIGUSR1);
		/* Blocked by the caller it is no reason to come out. */
		code_long(&p, 0, BYTES(0xe6, 0x10));
		assert_int_equal(mshv_p(p.vp[0], MSHV_RUN_VP, &m), 0);
		atomic_store(&handled, 0);
		pthread_sigmask(SIG_SETMASK, &old, NULL);
		assert_int_equal(handled, 1);
	}
	partition_close(&p);
}

static void *send_many(void *thread)
{
	for (unsigned i = 0; i < 300; i++) {
		pthread_kill(*(pthread_t *)thread, SIGUSR1);
		usleep(i % 7 * 100);
	}
	return NULL;
}

/* Each signal has its handler called, and each run that one has ended says so. */
static void test_signals_many(void **state)
{
	pthread_t me = pthread_self(), other;
	struct hv_message m;
	struct partition p = {0};
	unsigned ends = 0;

	counter_start(&p);
	handle(SIGUSR1, 0);
	handle(SIGALRM, 0);
	atomic_store(&handled, 0);
	pthread_create(&other, NULL, send_many, &me);
	alarm(3); /* the last one */
	while (pthread_tryjoin_np(other, NULL)) {
		assert_int_equal(mshv_p(p.vp[0], MSHV_RUN_VP, &m), -EINTR);
		ends++;
	}
	alarm(0);
	assert_true(ends > 0 && handled >= ends);
	partition_close(&p);
}

/* The message is first; the signal ends the next run, or came in between. */
static void test_message_first(void **state)
{
	struct partition p = {0};
	struct hv_message m;
	unsigned outs = 0;
	const struct itimerval often = {{.tv_usec = 100}, {.tv_usec = 100}}, never = {0};

	partition_start(&p, LAPIC);
	code_long(&p, 0,
		BYTES(0xff, 0xc0, 0xe6, 0x10, 0xeb, 0xfa)); /* inc eax; out 10h, al; jmp back */
	set_reg(&p, 0, HV_X64_REGISTER_RAX, 0);
	handle(SIGALRM, 0);
	setitimer(ITIMER_REAL, &often, NULL);
	while (outs < 5000) {
		long r = mshv_p(p.vp[0], MSHV_RUN_VP, &m);

		assert_true(!r || r == -EINTR);
		if (r)
			continue;
		assert_int_equal(m.type, HVMSG_X64_IO_PORT_INTERCEPT);
		assert_int_equal(((struct hv_io_port_message *)m.payload)->rax & 0xffff, ++outs);
		skip_insn(&p, 0, 2);
	}
	setitimer(ITIMER_REAL, &never, NULL);
	partition_close(&p);
}

/* Where it sleeps: halted, waiting for SIPI. */
static void test_signal_asleep(void **state)
{
	struct partition p = {0};
	struct runner r;

	partition_start(&p, LAPIC | X2APIC);
	code_real(&p, 0, BYTES(0xf4));
	partition_add_vp(&p, 1);
	for (unsigned vp = 0; vp < 2; vp++) {
		runner_start(&r, &p, vp);
		runner_inside(&r);
		assert_int_equal(runner_stop(&r), -EINTR);
	}
	partition_close(&p);
}

/* ---- a message that cannot be written is lost ---- */

static void test_no_buffer(void **state)
{
	struct partition p = {0};
	void *readable = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	partition_start(&p, LAPIC);
	code_real(&p, 0, BYTES(0xe6, 0x10, 0xe6, 0x11));
	assert_int_equal(mshv(p.vp[0], MSHV_RUN_VP, BAD_POINTER), -EFAULT);
	/* The intercept has happened all the same. */
	assert_int_equal(p.message[0]->type, HVMSG_X64_IO_PORT_INTERCEPT);
	assert_int_equal(reg(&p, 0, HV_REGISTER_INTERCEPT_SUSPEND), 1);
	skip_insn(&p, 0, 2);
	assert_int_equal(mshv_p(p.vp[0], MSHV_RUN_VP, readable), -EFAULT);
	run_to_out(&p, 0, 0x11);
	munmap(readable, 4096);
	partition_close(&p);
}

/* ---- two threads ---- */

/* The second waits for the first, and then runs. */
static void test_two_threads(void **state)
{
	struct partition p = {0};
	struct runner first, second;

	counter_start(&p);
	runner_start(&first, &p, 0);
	wait_counts(&p);
	runner_start(&second, &p, 0);
	runner_inside(&second);
	assert_false(atomic_load(&second.out));
	assert_int_equal(runner_stop(&first), -EINTR);
	wait_counts(&p);
	assert_int_equal(runner_stop(&second), -EINTR);
	partition_close(&p);
}

/* Who runs it lets others look at it, but nobody else run it: a signal ends his run, not another's first. */
static void test_two_threads_and_others(void **state)
{
	struct hv_register r = {.name = HV_X64_REGISTER_R15};
	struct partition p = {0};
	struct runner first, second;

	counter_start(&p);
	runner_start(&first, &p, 0);
	wait_counts(&p);
	runner_start(&second, &p, 0);
	runner_inside(&second);
	for (unsigned i = 0; i < 500; i++)
		assert_hv(hv_regs_set(p.fd, 0, &r, 1), 0, 1);
	for (unsigned ms = 0; !atomic_load(&first.out); ms++) {
		if (ms > 20000)
			fail_msg("a signal does not end the run");
		pthread_kill(first.thread, SIGUSR1);
		usleep(1000);
	}
	assert_int_equal(runner_wait(&first), -EINTR);
	assert_false(atomic_load(&second.out));
	assert_int_equal(runner_stop(&second), -EINTR);
	partition_close(&p);
}

/* ---- requests meanwhile ---- */

static void test_registers_meanwhile(void **state)
{
	const u32 rip = HV_X64_REGISTER_RIP;
	struct hv_register r = {.name = HV_X64_REGISTER_R15, .value = {.low = 0x1234}};
	struct hv_value128 v;
	struct partition p = {0};
	struct runner run;
	u64 value;

	counter_start(&p);
	partition_add_vp(&p, 1);
	runner_start(&run, &p, 0);
	wait_counts(&p);
	for (unsigned i = 0; i < 200; i++) {
		r.value.low = i;
		/* By the partition, and by another VP. */
		assert_hv(hv_regs_set(i & 1 ? p.fd : p.vp[1], 0, &r, 1), 0, 1);
		assert_hv(hv_regs_get(i & 1 ? p.vp[1] : p.fd, 0, &r.name, 1, &v), 0, 1);
		assert_int_equal(v.low, i);
		assert_hv(hv_regs_get(p.fd, 0, &rip, 1, &v), 0, 1);
		assert_in_range(v.low, CODE_GPA, CODE_GPA + sizeof(count) - 1);
		assert_hv(property_get(p.fd, HV_PROPERTY_GUEST_OS_ID, &value), 0, 0);
		assert_hv(property_get(p.vp[1], HV_PROPERTY_REFERENCE_TIME, &value), 0, 0);
	}
	wait_counts(&p);
	assert_false(atomic_load(&run.out));
	assert_int_equal(runner_stop(&run), -EINTR);
	partition_close(&p);
}

struct installer {
	struct partition *p;
	_Atomic bool stop;
};

/* On the descriptor of a VP, which does not wait for the partition's. */
static void *installs(void *arg)
{
	struct installer *i = arg;
	struct hv_install_intercept in = {.access = HV_ACCESS_READ, .type = HV_INTERCEPT_MSR_INDEX};
	const struct hv_call call = {
		.code = HVCALL_INSTALL_INTERCEPT, .in = &in, .in_size = sizeof(in)};

	for (u32 msr = 0; !atomic_load(&i->stop); msr = (msr + 1) % 200) {
		in.parameter = 0x40000000 + msr;
		hv_call(i->p->vp[0], &call);
	}
	return NULL;
}

/* A VP that is made meanwhile has all intercepts. */
static void test_create_while_installing(void **state)
{
	struct partition p = {.features = ~0ull};
	struct installer i = {.p = &p};
	pthread_t thread;

	partition_start(&p, LAPIC | X2APIC);
	pthread_create(&thread, NULL, installs, &i);
	for (unsigned vp = 1; vp < 12; vp++)
		partition_add_vp(&p, vp);
	usleep(20000);
	atomic_store(&i.stop, true);
	pthread_join(thread, NULL);
	for (unsigned vp = 1; vp < 12; vp++) {
		code_long(&p, vp, BYTES(0x0f, 0x32));
		set_reg(&p, vp, HV_X64_REGISTER_RAX + RCX, 0x40000002);
		set_reg(&p, vp, HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0);
		run_until(&p, vp, HVMSG_X64_MSR_INTERCEPT);
	}
	partition_close(&p);
}

/* Where it goes on is what was set meanwhile. */
static void test_set_rip_meanwhile(void **state)
{
	struct hv_register r = {.name = HV_X64_REGISTER_RIP, .value = {.low = 0x3000}};
	struct partition p = {0};
	struct runner run;

	counter_start(&p);
	memcpy(p.ram + 0x3000, (const u8[]){0xe6, 0x33}, 2);
	runner_start(&run, &p, 0);
	wait_counts(&p);
	assert_hv(hv_regs_set(p.fd, 0, &r, 1), 0, 1);
	assert_int_equal(runner_wait(&run), 0);
	assert_int_equal(((struct hv_io_port_message *)run.message.payload)->port, 0x33);
	partition_close(&p);
}

/* ---- time that stands still ---- */

static u64 guest_time(const struct partition *p)
{
	return property(p->fd, HV_PROPERTY_REFERENCE_TIME);
}

static void set_freeze(const struct partition *p, u64 value)
{
	assert_hv(property_set(p->fd, HV_PROPERTY_TIME_FREEZE, value), 0, 0);
	assert_int_equal(property(p->fd, HV_PROPERTY_TIME_FREEZE), value);
}

/* By the partition: on the VP's own descriptor somebody is. */
static u64 tsc_meanwhile(const struct partition *p)
{
	const u32 name = HV_X64_REGISTER_TSC;
	struct hv_value128 v;

	assert_hv(hv_regs_get(p->fd, 0, &name, 1, &v), 0, 1);
	return v.low;
}

static void test_freeze(void **state)
{
	struct partition p = {0};
	struct runner r;
	u64 then, tsc;

	counter_start(&p);
	runner_start(&r, &p, 0);
	wait_counts(&p);
	set_freeze(&p, 1);
	set_freeze(&p, 1);
	then = guest_time(&p);
	tsc = tsc_meanwhile(&p);
	assert_stands(&p);
	assert_false(atomic_load(&r.out));
	assert_int_equal(guest_time(&p), then);
	assert_int_equal(tsc_meanwhile(&p), tsc);
	set_freeze(&p, 0);
	wait_counts(&p);
	/* They go on from where they were: not from where the host is. */
	assert_true(guest_time(&p) > then);
	assert_true(guest_time(&p) - then < 10000000ull * 60);
	assert_int_equal(runner_stop(&r), -EINTR);
	partition_close(&p);
}

/* Clocks that are set meanwhile go on from there. */
static void test_freeze_and_set(void **state)
{
	const u64 there = 0x123456789abcull;
	struct partition p = {0};

	counter_start(&p);
	set_freeze(&p, 1);
	assert_hv(property_set(p.fd, HV_PROPERTY_REFERENCE_TIME, there), 0, 0);
	set_reg(&p, 0, HV_X64_REGISTER_TSC, there);
	usleep(20000);
	assert_int_equal(guest_time(&p), there);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_TSC), there);
	set_freeze(&p, 0);
	usleep(1000);
	assert_in_range(guest_time(&p), there + 1, there + 10000000ull * 60);
	assert_true(reg(&p, 0, HV_X64_REGISTER_TSC) > there);
	partition_close(&p);
}

/* A run that begins in frozen time waits, and hears signals. */
static void test_freeze_interrupted(void **state)
{
	struct partition p = {0};
	struct runner r;

	counter_start(&p);
	set_freeze(&p, 1);
	for (unsigned i = 0; i < 3; i++) {
		runner_start(&r, &p, 0);
		runner_inside(&r);
		assert_int_equal(counted(&p), 0);
		assert_int_equal(runner_stop(&r), -EINTR);
	}
	set_freeze(&p, 0);
	runner_start(&r, &p, 0);
	wait_counts(&p);
	assert_int_equal(runner_stop(&r), -EINTR);
	partition_close(&p);
}

static void test_suspend(void **state)
{
	struct partition p = {0};
	struct runner r;
	u64 then;

	counter_start(&p);
	runner_start(&r, &p, 0);
	wait_counts(&p);
	assert_hv(property_set(p.fd, HV_PROPERTY_SUSPEND, 1), 0, 0);
	assert_stands(&p);
	then = guest_time(&p);
	usleep(2000);
	assert_true(guest_time(&p) > then); /* time goes on */
	assert_hv(property_set(p.fd, HV_PROPERTY_SUSPEND, 0), 0, 0);
	wait_counts(&p);
	assert_int_equal(runner_stop(&r), -EINTR);
	partition_close(&p);
}

/* ---- what the suspend registers say ---- */

static void test_suspend_registers(void **state)
{
	struct partition p = {0};

	partition_start(&p, LAPIC);
	assert_int_equal(reg(&p, 0, HV_REGISTER_EXPLICIT_SUSPEND), 1);
	assert_int_equal(reg(&p, 0, HV_REGISTER_INTERCEPT_SUSPEND), 0);
	code_real(&p, 0, BYTES(0xe6, 0x10, 0xe6, 0x11));
	set_reg(&p, 0, HV_REGISTER_EXPLICIT_SUSPEND, 1); /* a run ends that */
	run_to_out(&p, 0, 0x10);
	assert_int_equal(reg(&p, 0, HV_REGISTER_EXPLICIT_SUSPEND), 0);
	assert_int_equal(reg(&p, 0, HV_REGISTER_INTERCEPT_SUSPEND), 1);
	run_to_out(&p, 0, 0x11);
	partition_close(&p);
}

/* ---- closing ---- */

/* Who runs goes on until he comes out, whatever is closed. */
static void test_close_while_running(void **state)
{
	struct partition p = {0};
	struct runner r;

	counter_start(&p);
	runner_start(&r, &p, 0);
	wait_counts(&p);
	assert_int_equal(dev_close(port.dev, p.fd), 0);
	wait_counts(&p);
	assert_int_equal(dev_close(port.dev, p.vp[0]), 0);
	wait_counts(&p);
	assert_int_equal(runner_stop(&r), -EINTR);
	munmap(p.page[0], 4096);
	munmap(p.message[0], 4096);
	dev_close(port.dev, p.sys);
	munmap(p.ram, RAM_SIZE);
}

/* The pages of a VP outlive it; a VP outlives its partition's descriptor. */
static void close_in_order(const u8 order[3])
{
	struct partition p = {0};
	bool has_vp = true;
	int fd[3];

	partition_start(&p, LAPIC);
	code_real(&p, 0, BYTES(0xe6, 0x10));
	memcpy(fd, (int[]){p.sys, p.fd, p.vp[0]}, sizeof(fd));
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(dev_close(port.dev, fd[order[i]]), 0);
		assert_int_equal(mshv(fd[order[i]], MSHV_INITIALIZE_PARTITION, 0), -EBADF);
		has_vp = has_vp && order[i] != 2;
		if (!has_vp)
			continue;
		set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
		run_to_out(&p, 0, 0x10);
	}
	assert_int_equal(p.page[0]->version, 1);
	p.page[0]->dirty = HV_PAGE_DIRTY_ALL;
	munmap(p.page[0], 4096);
	munmap(p.message[0], 4096);
	munmap(p.ram, RAM_SIZE);
}

static void test_close_orders(void **state)
{
	static const u8 orders[6][3] = {
		{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};

	for (unsigned i = 0; i < ARRAY_SIZE(orders); i++)
		close_in_order(orders[i]);
}

/* A duplicate keeps it. */
static void test_duplicates(void **state)
{
	struct partition p = {0};
	int copy;

	partition_start(&p, LAPIC);
	code_real(&p, 0, BYTES(0xe6, 0x10));
	copy = dup(p.vp[0]);
	assert_int_equal(dev_close(port.dev, p.vp[0]), 0);
	p.vp[0] = copy;
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
}

/* ---- a forked child ---- */

static int in_child(struct partition *p)
{
	struct hv_message m;
	int sys;

	if (mshv_p(p->vp[0], MSHV_RUN_VP, &m) != -EIO ||
		mshv(p->fd, MSHV_INITIALIZE_PARTITION, 0) != -EIO)
		return 1;
	/* The device works there, for partitions of its own. */
	sys = dev_open(port.dev, "/dev/mshv", 0);
	if (sys < 0)
		return 2;
	return mshv_p(sys, MSHV_CREATE_PARTITION,
		       &(struct mshv_create_partition){.pt_flags = LAPIC}) < 0
		       ? 3
		       : 0;
}

static void test_fork(void **state)
{
	struct partition p = {0};
	struct runner r;
	int status;
	pid_t pid;

	counter_start(&p);
	runner_start(&r, &p, 0);
	wait_counts(&p);
	pid = fork();
	if (!pid)
		_exit(in_child(&p));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	wait_counts(&p);
	assert_int_equal(runner_stop(&r), -EINTR);
	partition_close(&p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_signal_during),
	cmocka_unit_test(test_signal_before),
	cmocka_unit_test(test_signals_many),
	cmocka_unit_test(test_message_first),
	cmocka_unit_test(test_signal_asleep),
	cmocka_unit_test(test_no_buffer),
	cmocka_unit_test(test_two_threads),
	cmocka_unit_test(test_two_threads_and_others),
	cmocka_unit_test(test_registers_meanwhile),
	cmocka_unit_test(test_create_while_installing),
	cmocka_unit_test(test_set_rip_meanwhile),
	cmocka_unit_test(test_freeze),
	cmocka_unit_test(test_freeze_and_set),
	cmocka_unit_test(test_freeze_interrupted),
	cmocka_unit_test(test_suspend),
	cmocka_unit_test(test_suspend_registers),
	cmocka_unit_test(test_close_while_running),
	cmocka_unit_test(test_close_orders),
	cmocka_unit_test(test_duplicates),
	cmocka_unit_test(test_fork),
};
MSHV_MAIN(tests)
