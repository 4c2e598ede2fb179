/* SPDX-License-Identifier: MIT */
/* Doorbells: eventfds that a guest's write signals, without a message. */
#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

GUEST(bell);

#define BELL      0xd0001000ull
#define DATAMATCH (1u << MSHV_IOEVENTFD_BIT_DATAMATCH)
#define PIO       (1u << MSHV_IOEVENTFD_BIT_PIO)
#define DEASSIGN  (1u << MSHV_IOEVENTFD_BIT_DEASSIGN)

static u64 taken(int fd)
{
	u64 count = 0;

	return read(fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void start(struct machine *m)
{
	machine_make(m, &(struct machine_how){0});
	CODE64(m, 0, bell);
	m->page[0]->gpr[RBX] = BELL;
	m->page[0]->dirty |= HV_PAGE_DIRTY_GPR;
}

/* The message of a write that no bell took; goes on behind it. */
static void check_falls_through(struct machine *m, u8 access, unsigned length)
{
	struct hv_message message;
	const struct hv_memory_message *mem = (const void *)message.payload;

	machine_run(m, 0, HVMSG_UNMAPPED_GPA, &message);
	CHECK_EQ(mem->gpa, BELL);
	CHECK_EQ(mem->header.access, access);
	machine_skip(m, 0, length);
}

/* Any length, any value: four writes; the read comes out. */
static void of_any_length(void)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct machine m;

	start(&m);
	CHECK_OK(root_ioeventfd_set(
		m.partition, &(struct mshv_user_ioeventfd){.addr = BELL, .fd = fd}));
	machine_out(&m, 0, 0x10);
	CHECK_EQ(taken(fd), 4);
	check_falls_through(&m, HV_INTERCEPT_READ, 2);
	machine_unmake(&m);
	close(fd);
}

/* Four bytes with the value 11h: the first write only. */
static void with_length_and_value(void)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct machine m;

	start(&m);
	CHECK_OK(root_ioeventfd_set(m.partition,
		&(struct mshv_user_ioeventfd){
			.addr = BELL, .len = 4, .datamatch = 0x11, .flags = DATAMATCH, .fd = fd}));
	check_falls_through(&m, HV_INTERCEPT_WRITE, 5);
	CHECK_EQ(taken(fd), 1);
	check_falls_through(&m, HV_INTERCEPT_WRITE, 7);
	check_falls_through(&m, HV_INTERCEPT_WRITE, 6);
	machine_out(&m, 0, 0x10);
	CHECK_EQ(taken(fd), 0);
	machine_unmake(&m);
	close(fd);
}

/* After it was taken away every write comes out. */
static void taken_away(void)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct mshv_user_ioeventfd bell = {.addr = BELL, .fd = fd};
	struct machine m;

	start(&m);
	CHECK_OK(root_ioeventfd_set(m.partition, &bell));
	bell.flags = DEASSIGN;
	CHECK_OK(root_ioeventfd_set(m.partition, &bell));
	check_falls_through(&m, HV_INTERCEPT_WRITE, 6);
	CHECK_EQ(taken(fd), 0);
	machine_unmake(&m);
	close(fd);
}

static void refusals(void)
{
	int pipe_fds[2], fd = eventfd(0, EFD_NONBLOCK);
	struct machine m;

	CHECK(!pipe(pipe_fds));
	machine_make(&m, &(struct machine_how){0});
	{
		const struct {
			struct mshv_user_ioeventfd bell;
			int want;
		} cases[] = {
			{{.addr = BELL, .fd = fd, .flags = 8}, -EINVAL},
			{{.addr = BELL, .fd = fd, .rsvd = {0, 0, 0, 1}}, -EINVAL},
			{{.addr = 0x80, .fd = fd, .len = 1, .flags = PIO}, -EOPNOTSUPP},
			{{.addr = BELL, .fd = fd, .len = 3}, -EINVAL},
			{{.addr = BELL, .fd = fd, .len = 16}, -EINVAL},
			{{.addr = ~0ull - 2, .fd = fd, .len = 8}, -EINVAL},
			{{.addr = BELL, .fd = -1}, -EBADF},
			{{.addr = BELL, .fd = pipe_fds[0]}, -EINVAL},
			{{.addr = BELL, .fd = fd, .flags = DEASSIGN}, -ENOENT},
		};

		for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
			const long r = root_ioeventfd_set(m.partition, &cases[i].bell);

			if (r != cases[i].want)
				test_note("case %zu: ", i);
			CHECK_EQ(r, cases[i].want);
		}
	}
	CHECK_EQ(port_ioctl(m.partition, MSHV_IOEVENTFD, (void *)0xdead000000000000ul), -EFAULT);
	machine_unmake(&m);
	close(fd);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* Two of the same place and length, if one of them takes any value, or both take the same. */
static void collisions(void)
{
	const int a = eventfd(0, EFD_NONBLOCK), b = eventfd(0, EFD_NONBLOCK);
	const struct {
		struct mshv_user_ioeventfd bell;
		int want;
	} cases[] = {
		{{.addr = BELL, .len = 4, .datamatch = 1, .flags = DATAMATCH, .fd = a}, 0},
		{{.addr = BELL, .len = 4, .datamatch = 1, .flags = DATAMATCH, .fd = b}, -EEXIST},
		{{.addr = BELL, .len = 4, .fd = b}, -EEXIST},
		{{.addr = BELL, .len = 4, .datamatch = 2, .flags = DATAMATCH, .fd = b}, 0},
		{{.addr = BELL, .len = 2, .datamatch = 1, .flags = DATAMATCH, .fd = b}, 0},
		{{.addr = BELL + 4, .len = 4, .fd = a}, 0},
		{{.addr = BELL + 4, .len = 4, .fd = a}, -EEXIST},
		{{.addr = BELL, .len = 4, .datamatch = 1, .flags = DATAMATCH | DEASSIGN, .fd = b},
			-ENOENT},
		{{.addr = BELL, .len = 4, .datamatch = 3, .flags = DATAMATCH | DEASSIGN, .fd = a},
			-ENOENT},
		{{.addr = BELL, .len = 4, .datamatch = 1, .flags = DATAMATCH | DEASSIGN, .fd = a},
			0},
		{{.addr = BELL, .len = 4, .datamatch = 1, .flags = DATAMATCH, .fd = b}, 0},
	};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const long r = root_ioeventfd_set(m.partition, &cases[i].bell);

		if (r != cases[i].want)
			test_note("case %zu: ", i);
		CHECK_EQ(r, cases[i].want);
	}
	machine_unmake(&m);
	close(a);
	close(b);
}

const struct test event_tests[] = {
	{"of any length", of_any_length},
	{"with length and value", with_length_and_value},
	{"taken away", taken_away},
	{"refusals", refusals},
	{"collisions", collisions},
	{0},
};
