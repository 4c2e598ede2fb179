/* SPDX-License-Identifier: MIT */
/*
 * Many threads do at once what they can to a lower guest: execute it on each processor, stop it, set its registers from elsewhere, give
 * it memory and files, write garbage into its pages, send messages, open and close what it is held by. Nothing may crash, hang
 * or be refused but for the reasons that there are. Also a test for the thread sanitizer.
 */
#include "tests/abi/vtl_port.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "abi/dev.h"

#define ROUNDS 300

static struct lower lower;
static int hvcall_fd, sint_fd, event_fd;
static _Atomic bool over;

static u32 next(u32 *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static void may_be(long r, const int *errors, unsigned n)
{
	bool known = r >= 0;

	for (unsigned i = 0; i < n; i++)
		known |= r == -errors[i];
	if (!known)
		fail_msg("a request ends with %ld", r);
}

#define MAY_BE(r, ...)                                                                             \
	may_be(r, (const int[]){__VA_ARGS__}, sizeof((const int[]){__VA_ARGS__}) / sizeof(int))

/* The pages are everybody's at once. */
#define PUT(field, value) __atomic_store_n(&(field), value, __ATOMIC_RELAXED)

/* ---- what the threads do ---- */

/* All exits are answered by going on behind the instruction. */
static void execute(const struct lower *l, u32 *seed)
{
	MAY_BE(lower_run(l), EINTR);
	PUT(l->run->cancel, 0);
	if (next(seed) % 4) {
		PUT(l->regs->rip, CODE_GPA + next(seed) % 16);
		PUT(l->regs->dirty, HV_PAGE_DIRTY_RIP);
	}
}

static void scribble(const struct lower *l, u32 *seed)
{
	volatile u8 *page = next(seed) & 1 ? (volatile u8 *)l->run : (volatile u8 *)l->regs;

	for (unsigned i = 0; i < 8; i++)
		PUT(page[next(seed) % HV_PAGE_SIZE], (u8)next(seed));
	PUT(l->run->cancel, next(seed) & 1);
}

static void set_registers(const struct lower *l, u32 *seed)
{
	static const u32 names[] = {HV_X64_REGISTER_RIP, HV_X64_REGISTER_RFLAGS,
		HV_X64_REGISTER_CR0, HV_X64_REGISTER_RAX, HV_X64_REGISTER_CS,
		HV_REGISTER_VSM_PARTITION_CONFIG, HV_REGISTER_INTERNAL_ACTIVITY_STATE,
		HV_X64_REGISTER_XMM0};
	struct {
		struct hv_vp_registers head;
		struct hv_register r;
	} in = {.head = {HV_PARTITION_ID_SELF, l->cpu, 0},
		.r = {.name = names[next(seed) % ARRAY_SIZE(names)], .value = {next(seed) & 1, 0}}};
	struct mshv_vtl_hvcall a = {.control = HVCALL_SET_VP_REGISTERS | 1ull << 32,
		.input_size = sizeof(in),
		.input_ptr = (unsigned long)&in};

	MAY_BE(mshv_p(hvcall_fd, MSHV_HVCALL, &a), 0);
}

static void give(const struct lower *l, u32 *seed)
{
	u64 pfn = 0x1000 + next(seed) % 64;
	const struct mshv_vtl_ram_disposition ram = {pfn, pfn + 1};
	const struct mshv_vtl_set_poll_file poll = {l->cpu, (u32)event_fd};

	MAY_BE(mshv_p(l->fd, MSHV_ADD_VTL0_MEMORY, &ram), EFAULT);
	MAY_BE(mshv_p(l->fd, MSHV_SET_POLL_FILE, &poll), 0);
	if (next(seed) & 1)
		eventfd_write(event_fd, 1);
}

static void send(const struct lower *l, u32 *seed)
{
	const struct mshv_vtl_sint_post_msg post = {1, 1, 0, 0};
	const struct mshv_sint_mask mask = {.mask = next(seed) & 1};
	int own = vtl_node("/dev/mshv_sint", O_RDWR | O_NONBLOCK);
	u8 message[256];

	MAY_BE(mshv_p(own, MSHV_SINT_POST_MESSAGE, &post), EIO);
	MAY_BE(mshv_p(sint_fd, MSHV_SINT_POST_MESSAGE, &post), EIO);
	MAY_BE(mshv_p(own, MSHV_SINT_PAUSE_MESSAGE_STREAM, &mask), 0);
	dev_read_check(port.dev, own, sizeof(message));
	(void)!read(own, message, sizeof(message));
	dev_close(port.dev, own);
}

static void hold(const struct lower *l, u32 *seed)
{
	int vtl = (int)mshv(l->sys, MSHV_CREATE_VTL, 0),
	    low = vtl_node("/dev/mshv_vtl_low", O_RDWR);
	void *page = mmap(NULL, HV_PAGE_SIZE, PROT_READ, MAP_SHARED, vtl, l->cpu * HV_PAGE_SIZE);

	assert_true(vtl >= 0 && low >= 0 && page != MAP_FAILED);
	dev_close(port.dev, vtl);
	dev_close(port.dev, low);
	munmap(page, HV_PAGE_SIZE);
}

static void (*const deeds[])(const struct lower *l, u32 *seed) = {
	execute, execute, scribble, set_registers, give, send, hold};

/* ---- threads ---- */

static _Atomic u32 threads;

static void *storm(void *arg)
{
	u32 number = atomic_fetch_add(&threads, 1), seed = number * 77 + 1;
	const struct lower *l = arg;

	stay_on(l->cpu);
	for (unsigned i = 0; i < ROUNDS; i++)
		deeds[number % 4 ? next(&seed) % ARRAY_SIZE(deeds) : 0](l, &seed);
	return NULL;
}

/* Whoever executes for ever comes out now and then. */
static void *stops(void *arg)
{
	struct lower *each = arg;

	while (!atomic_load(&over)) {
		for (unsigned i = 0; i < 2; i++)
			PUT(each[i].run->cancel, 1);
		usleep(1000);
	}
	return NULL;
}

static void test_storm(void **state)
{
	/* out; in; mov [bx], al; hlt; a loop */
	static const u8 code[] = {0xe6, 0x80, 0xe4, 0x80, 0x88, 0x07, 0xf4, 0xeb, 0xf7, 0xeb, 0xfe};
	struct lower each[2];
	pthread_t t[8], stopper;

	lower_open(&lower);
	lower_code(&lower, code, sizeof(code));
	lower_on(&each[0], &lower, lower.cpu);
	lower_on(&each[1], &lower, cpu_allowed(has_cpu(1)));
	hvcall_fd = hvcall_open_all();
	sint_fd = vtl_node("/dev/mshv_sint", O_RDWR);
	event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_int_equal(pthread_create(&stopper, NULL, stops, each), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, storm, &each[i & 1]), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	atomic_store(&over, true);
	pthread_join(stopper, NULL);
	lower_off(&each[0]);
	lower_off(&each[1]);
	close(event_fd);
	dev_close(port.dev, sint_fd);
	dev_close(port.dev, hvcall_fd);
	lower_close(&lower);
}

/* The guest begins and ends all the time, on several threads at once. */
static void *begins(void *arg)
{
	static const char *const nodes[] = {
		"/dev/mshv_sint", "/dev/mshv_hvcall", "/dev/mshv_vtl_low"};
	u32 seed = atomic_fetch_add(&threads, 1);
	int sys = mshv_open();

	for (unsigned i = 0; i < ROUNDS / 4; i++) {
		u32 which = next(&seed) % 4;
		int fd = which < 3 ? vtl_node(nodes[which], O_RDWR)
				   : (int)mshv(sys, MSHV_CREATE_VTL, 0);
		const struct mshv_vtl_ram_disposition ram = {0x100, 0x101};

		assert_true(fd >= 0);
		if (which == 3)
			MAY_BE(mshv_p(fd, MSHV_ADD_VTL0_MEMORY, &ram), EFAULT);
		dev_close(port.dev, fd);
	}
	dev_close(port.dev, sys);
	return NULL;
}

static void test_beginnings(void **state)
{
	pthread_t t[4];

	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, begins, NULL), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
}

static const struct CMUnitTest tests[] = {
	VTL_TEST(test_storm),
	VTL_TEST(test_beginnings),
};

MSHV_MAIN(tests)
