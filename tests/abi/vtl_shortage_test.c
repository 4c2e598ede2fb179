/* SPDX-License-Identifier: MIT */
/*
 * Whatever the VTL side needs of the process and the system fails once, each thing in its turn: the request that needed it fails with an
 * error for that or does without, what comes after it works, and nothing stays behind.
 */
#include "tests/abi/vtl_port.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/dev.h"
#include "tests/abi/fault_points.h"

static int event;

struct life {
	struct dev *dev;
	int sys, vtl, low, sint, hvcall;
};

/* Too little of something. */
static bool is_shortage(long r)
{
	return r == -ENOMEM || r == -EMFILE || r == -EAGAIN || r == -EFAULT;
}

static long keep(long r)
{
	if (r < 0 && !is_shortage(r))
		fail_msg("%s fails: %ld", fail_name(), r);
	return r;
}

static long ask(const struct life *l, int fd, unsigned long request, const void *arg)
{
	return fd < 0 ? -EMFILE : keep(dev_ioctl(l->dev, fd, request, (unsigned long)arg));
}

static int node(const struct life *l, const char *path)
{
	return (int)keep(dev_open(l->dev, path, O_RDWR | O_CLOEXEC));
}

/* Everything is tried even where something before it failed. */
static void begin(struct life *l)
{
	l->sys = node(l, "/dev/mshv");
	l->sint = node(l, "/dev/mshv_sint");
	l->low = node(l, "/dev/mshv_vtl_low");
	l->hvcall = node(l, "/dev/mshv_hvcall");
	l->vtl = l->sys < 0 ? -1 : (int)keep(dev_ioctl(l->dev, l->sys, MSHV_CREATE_VTL, 0));
}

static void use(const struct life *l)
{
	static u8 allowed[8192];
	const struct mshv_vtl_ram_disposition ram = {0, 0x10}, more = {0x20, 0x30};
	const struct mshv_vtl_set_poll_file poll = {cpu_allowed(0), (u32)event};
	const struct mshv_vtl_set_eventfd flag = {event, 3};
	const struct mshv_vtl_hvcall_setup setup = {sizeof(allowed), (unsigned long)allowed};
	struct hv_register r = {.name = HV_X64_REGISTER_RIP};
	const struct mshv_vp_registers registers = {.count = 1, .regs_ptr = (unsigned long)&r};

	ask(l, l->vtl, MSHV_ADD_VTL0_MEMORY, &ram);
	ask(l, l->vtl, MSHV_ADD_VTL0_MEMORY, &more);
	ask(l, l->vtl, MSHV_SET_POLL_FILE, &poll);
	ask(l, l->vtl, MSHV_GET_VP_REGISTERS, &registers);
	ask(l, l->sint, MSHV_SINT_SET_EVENTFD, &flag);
	ask(l, l->hvcall, MSHV_HVCALL_SETUP, &setup);
}

static const u8 out[] = {0xb8, 0, 0, 0x8e, 0xd8, 0xe6, 0x80}; /* mov ax, 0; mov ds, ax; out */

/* Real mode from the reset vector's segment on: the program is at its end of 64 KiB. */
static void run(const struct life *l)
{
	struct hv_segment cs = {.limit = 0xffff, .attr = 0x9b};
	struct hv_register r = {.name = HV_X64_REGISTER_CS}, rip = {.name = HV_X64_REGISTER_RIP};
	const struct mshv_vp_registers a = {.count = 1, .regs_ptr = (unsigned long)&r},
				       b = {.count = 1, .regs_ptr = (unsigned long)&rip};

	memcpy(&r.value, &cs, sizeof(cs));
	ask(l, l->vtl, MSHV_SET_VP_REGISTERS, &a);
	ask(l, l->vtl, MSHV_SET_VP_REGISTERS, &b);
	ask(l, l->vtl, MSHV_RETURN_TO_LOWER_VTL, NULL);
}

static void end(struct life *l)
{
	int *fds[] = {&l->vtl, &l->sint, &l->low, &l->hvcall, &l->sys};

	for (unsigned i = 0; i < ARRAY_SIZE(fds); i++)
		if (*fds[i] >= 0)
			dev_close(l->dev, *fds[i]);
}

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

/* With the nth thing missing; nth is -1: with all. Did one fail? */
static bool live(long nth)
{
	char name[32];
	struct life l;
	bool failed;

	snprintf(name, sizeof(name), "shortage-%d", getpid());
	assert_int_equal(dev_create(&l.dev), 0);
	dev_set_session(l.dev, name);
	if (nth >= 0)
		fail_from((unsigned)nth);
	begin(&l);
	use(&l);
	failed = fail_stop();
	if (l.low >= 0 && !failed) {
		u8 *ram = mmap(NULL, HV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, l.low, 0);

		memcpy(ram, out, sizeof(out));
		munmap(ram, HV_PAGE_SIZE);
	}
	if (l.vtl >= 0 && !failed)
		run(&l);
	end(&l);
	dev_destroy(l.dev);
	return failed;
}

static void test_each(void **state)
{
	unsigned files, nth = 0;

	stay_on(cpu_allowed(0));
	event = eventfd(0, EFD_CLOEXEC);
	live(-1);
	port_keep_handlers(true);
	files = open_files();
	for (; live(nth); nth++)
		if (open_files() != files)
			fail_msg("%s fails (%u): %u descriptors stay", fail_name(), nth,
				open_files() - files);
	print_message("%u things failed\n", nth);
	assert_true(nth > 50);
	live(-1);
	close(event);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_each),
};

MSHV_MAIN(tests)
