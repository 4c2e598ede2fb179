/* SPDX-License-Identifier: MIT */
/*
 * Whatever a partition needs of the process and the system fails once in its life, each thing in its turn: the request that needed it
 * fails with an error for that or does without, the same request works when it is made again, and nothing stays behind.
 */
#include "tests/abi/mshv_port.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "abi/dev.h"
#include "tests/abi/fault_points.h"
#include "x86/hyperv.h"

static int event, resample;
static u8 *ram;

struct life {
	struct dev *dev;
	int sys, fd, vp[2];
};

/* Too little of something. */
static bool is_shortage(long r)
{
	return r == -ENOMEM || r == -EMFILE || r == -EAGAIN;
}

/* ---- requests, made again without a failure where they have failed ---- */

static long once(const struct life *l, int fd, unsigned long request, const void *arg)
{
	return dev_ioctl(l->dev, fd, request, (unsigned long)arg);
}

/* Nobody else makes calls: of two things only one fails. */
static long ask(const struct life *l, int fd, unsigned long request, const void *arg)
{
	long r = once(l, fd, request, arg);

	if (r >= 0)
		return r;
	if (!is_shortage(r) || !fail_stop())
		fail_msg("%s fails: request 0x%lx ends with %ld", fail_name(), request, r);
	r = once(l, fd, request, arg);
	if (r < 0)
		fail_msg("%s has failed: request 0x%lx ends with %ld again", fail_name(), request,
			r);
	return r;
}

/* The status of a hypercall that lacks memory says so. */
static void call(const struct life *l, u16 code, u16 reps, const void *in, size_t size)
{
	static u8 out[HV_PAGE_SIZE];
	struct mshv_root_hvcall a = {.code = code,
		.reps = reps,
		.in_sz = (u16)size,
		.in_ptr = (unsigned long)in,
		.out_sz = sizeof(out),
		.out_ptr = (unsigned long)out};
	const struct mshv_root_hvcall before = a;
	long r = once(l, l->fd, MSHV_ROOT_HVCALL, &a);

	if (r >= 0)
		return;
	if (r != -ENOMEM || a.status != HVS_INSUFFICIENT_MEMORY || !fail_stop())
		fail_msg("%s fails: hypercall 0x%x ends with %ld, status 0x%x", fail_name(), code,
			r, a.status);
	a = before;
	assert_int_equal(once(l, l->fd, MSHV_ROOT_HVCALL, &a), 0);
}

static void set_property(const struct life *l, u32 code, u64 value)
{
	const struct hv_set_property in = {.code = code, .value = value};

	call(l, HVCALL_SET_PARTITION_PROPERTY, 0, &in, sizeof(in));
}

static void install(const struct life *l, u32 access, u32 type, u64 parameter)
{
	const struct hv_install_intercept in = {0, access, type, parameter};

	call(l, HVCALL_INSTALL_INTERCEPT, 0, &in, sizeof(in));
}

static void set_registers(const struct life *l, const struct hv_register *r, u16 n)
{
	struct {
		struct hv_vp_registers head;
		struct hv_register r[8];
	} in = {0};

	memcpy(in.r, r, n * sizeof(*r));
	call(l, HVCALL_SET_VP_REGISTERS, n, &in, sizeof(in.head) + n * sizeof(*r));
}

/* ---- a life ---- */

static void begin(struct life *l)
{
	const struct mshv_create_partition a = {.pt_flags = LAPIC | X2APIC};

	l->sys = dev_open(l->dev, "/dev/mshv", O_RDWR | O_CLOEXEC);
	if (l->sys < 0) {
		assert_true(is_shortage(l->sys) && fail_stop());
		l->sys = dev_open(l->dev, "/dev/mshv", O_RDWR | O_CLOEXEC);
	}
	l->fd = (int)ask(l, l->sys, MSHV_CREATE_PARTITION, &a);
	set_property(l, HV_PROPERTY_SYNTHETIC_PROC_FEATURES, ~0ull);
	ask(l, l->fd, MSHV_INITIALIZE_PARTITION, NULL);
}

static void add_memory(const struct life *l)
{
	const struct mshv_user_mem_region a = {
		.size = RAM_SIZE, .userspace_addr = (unsigned long)ram, .flags = MEM_W | MEM_X};

	ask(l, l->fd, MSHV_SET_GUEST_MEMORY, &a);
	set_property(l, HV_PROPERTY_GPA_PAGE_ACCESS_TRACKING, HV_TRACKING_ON);
}

static void add_vps(struct life *l)
{
	for (u32 i = 0; i < ARRAY_SIZE(l->vp); i++)
		l->vp[i] = (int)ask(l, l->fd, MSHV_CREATE_VP, &(struct mshv_create_vp){i});
}

static void add_intercepts(const struct life *l)
{
	struct hv_intercept_result result = {.vp_index = HV_ANY_VP, .type = HV_INTERCEPT_CPUID};

	install(l, HV_ACCESS_EXECUTE, HV_INTERCEPT_CPUID, 0x100);
	install(l, HV_ACCESS_EXECUTE, HV_INTERCEPT_EXCEPTION, 6);
	install(l, HV_ACCESS_READ, HV_INTERCEPT_MSR_INDEX, 0x10);
	install(l, HV_ACCESS_READ, HV_INTERCEPT_MSR, 0);
	install(l, 0, HV_INTERCEPT_MSR, 0);
	install(l, HV_ACCESS_EXECUTE, HV_INTERCEPT_HYPERCALL, 0);
	result.cpuid.eax = 1;
	call(l, HVCALL_REGISTER_INTERCEPT_RESULT, 0, &result, sizeof(result));
}

static void add_events(const struct life *l)
{
	const struct mshv_user_irqfd irqfd = {.fd = event,
		.resamplefd = resample,
		.gsi = 1,
		.flags = 1u << MSHV_IRQFD_BIT_RESAMPLE};
	const struct mshv_user_ioeventfd bell = {.addr = NOWHERE, .len = 4, .fd = event};
	const struct {
		struct mshv_user_irq_table head;
		struct mshv_user_irq_entry e;
	} routes = {{.nr = 1}, {.gsi = 1, .address_lo = 0xfee00000, .data = 0x30}};

	ask(l, l->fd, MSHV_SET_MSI_ROUTING, &routes);
	ask(l, l->fd, MSHV_IRQFD, &irqfd);
	ask(l, l->fd, MSHV_IOEVENTFD, &bell);
}

/* Messages and event flags for a controller that the guest has not set up yet. */
static void send(const struct life *l)
{
	const struct hv_signal_event_direct flag = {.sint = 2, .flag = 3};
	struct hv_post_message_direct post = {.sint = 2};
	const struct hv_message m = {.type = 1, .len = 4};

	memcpy(post.message, &m, sizeof(m));
	call(l, HVCALL_SIGNAL_EVENT_DIRECT, 0, &flag, sizeof(flag));
	call(l, HVCALL_POST_MESSAGE_DIRECT, 0, &post, sizeof(post));
}

static void look(const struct life *l)
{
	static u8 bits[RAM_SIZE / HV_PAGE_SIZE / 8];
	const struct mshv_gpap_access_bitmap a = {
		.page_count = sizeof(bits) * 8, .bitmap_ptr = (unsigned long)bits};
	void *page = pages_alloc(HV_PAGE_SIZE);
	struct mshv_get_set_vp_state state = {.type = MSHV_VP_STATE_LAPIC,
		.buf_sz = HV_PAGE_SIZE,
		.buf_ptr = (unsigned long)page};

	ask(l, l->fd, MSHV_GET_GPAP_ACCESS_BITMAP, &a);
	ask(l, l->vp[0], MSHV_GET_VP_STATE, &state);
	ask(l, l->vp[0], MSHV_SET_VP_STATE, &state);
	munmap(page, HV_PAGE_SIZE);
}

/* mov [8000h], ax; out 10h, al */
static const u8 code[] = {0xa3, 0x00, 0x80, 0xe6, 0x10};

/* Translating it needs memory as well. */
static void run(const struct life *l)
{
	const struct hv_segment cs = {.limit = 0xffff, .attr = 0x9b};
	struct hv_register r[] = {
		{.name = HV_X64_REGISTER_CS}, {.name = HV_X64_REGISTER_RIP, .value = {CODE_GPA}}};
	struct hv_message m = {0};

	memcpy(&r[0].value, &cs, sizeof(cs));
	memcpy(ram + CODE_GPA, code, sizeof(code));
	set_registers(l, r, ARRAY_SIZE(r));
	ask(l, l->vp[0], MSHV_RUN_VP, &m);
	assert_int_equal(m.type, HVMSG_X64_IO_PORT_INTERCEPT);
}

static void end(struct life *l)
{
	dev_close(l->dev, l->vp[1]);
	dev_close(l->dev, l->fd);
	dev_close(l->dev, l->vp[0]);
	dev_close(l->dev, l->sys);
}

/* With the nth thing missing; nth is -1: with all. Did one fail? */
static bool live(long nth)
{
	struct life l;
	bool failed;

	assert_int_equal(dev_create(&l.dev), 0);
	if (nth >= 0)
		fail_from((unsigned)nth);
	begin(&l);
	add_memory(&l);
	add_vps(&l);
	add_intercepts(&l);
	add_events(&l);
	send(&l);
	run(&l);
	look(&l);
	end(&l);
	failed = fail_stop();
	dev_destroy(l.dev);
	return failed;
}

/* ---- each in its turn ---- */

static unsigned open_files(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

static unsigned each(void)
{
	unsigned files, nth = 0;

	live(-1);
	port_keep_handlers(true);
	files = open_files();
	for (; live(nth); nth++)
		if (open_files() != files)
			fail_msg("%s fails (%u): %u descriptors stay", fail_name(), nth,
				open_files() - files);
	live(-1);
	return nth;
}

static void test_each(void **state)
{
	unsigned n = each();

	print_message("%u things failed\n", n);
	assert_true(n > 60);
}

/* The table of descriptors has places for so many, and then grows: here for a VP, the third of a life's. */
#define TABLE_PART 512

static void test_high_descriptors(void **state)
{
	int fds[TABLE_PART];
	unsigned n = 0;

	while ((fds[n] = dup(0)) < TABLE_PART - 3)
		n++;
	assert_int_equal(fds[n], TABLE_PART - 3);
	assert_true(each() > 60);
	for (unsigned i = 0; i <= n; i++)
		close(fds[i]);
}

/* ---- a limit of the process ---- */

/* Where there are too few descriptors for a VP its index stays free. */
static void test_few_descriptors(void **state)
{
	struct rlimit before, few;
	unsigned refused = 0;
	struct life l;

	assert_int_equal(dev_create(&l.dev), 0);
	begin(&l);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	few = before;
	for (few.rlim_cur = 3;; few.rlim_cur++) {
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		l.vp[0] = (int)once(&l, l.fd, MSHV_CREATE_VP, &(struct mshv_create_vp){7});
		if (l.vp[0] >= 0)
			break;
		assert_int_equal(l.vp[0], -EMFILE);
		refused++;
	}
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_true(refused);
	assert_int_equal(once(&l, l.fd, MSHV_CREATE_VP, &(struct mshv_create_vp){7}), -EEXIST);
	l.vp[1] = (int)once(&l, l.fd, MSHV_CREATE_VP, &(struct mshv_create_vp){0});
	assert_true(l.vp[1] >= 0);
	end(&l);
	dev_destroy(l.dev);
}

static int set_up(void **state)
{
	event = eventfd(0, EFD_CLOEXEC);
	resample = eventfd(0, EFD_CLOEXEC);
	ram = pages_alloc(RAM_SIZE);
	return event < 0 || resample < 0;
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup(test_each, set_up),
	cmocka_unit_test_setup(test_high_descriptors, set_up),
	cmocka_unit_test_setup(test_few_descriptors, set_up),
};

MSHV_MAIN(tests)
