/* SPDX-License-Identifier: MIT */
/*
 * What each request of the side of a higher VTL refuses, with which error, and in which order: each row alone, and each two rows
 * at once, of which the first one counts.
 */
#include "tests/abi/vtl_port.h"

#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/dev.h"

#define CHECK(request_, name, good_, undo_, context_)                                              \
	check_refusals(&(struct refusal_check){.request = request_,                                \
		.rows = refusals_##name,                                                           \
		.count = ARRAY_SIZE(refusals_##name),                                              \
		.good = good_,                                                                     \
		.undo = undo_,                                                                     \
		.context = context_})

#define SPOIL(name, what)                                                                          \
	static void name(struct attempt *a)                                                        \
	{                                                                                          \
		what;                                                                              \
	}

SPOIL(no_structure, a->arg = BAD_POINTER)

#define NO_STRUCTURE                                                                               \
	{                                                                                          \
		"the structure cannot be read", EFAULT, no_structure, 1                            \
	}

/* ---- what is known where ---- */

/* By the whole number: all requests of the interface on each descriptor, and some that nobody has. */
static void test_unknown(void **state)
{
	enum { ON_SYSTEM, ON_VTL, ON_SINT, ON_HVCALL, ON_LOW, KINDS };
	static const struct {
		unsigned long number;
		int on;
	} requests[] = {{MSHV_CHECK_EXTENSION, ON_SYSTEM}, {MSHV_ADD_VTL0_MEMORY, ON_VTL},
		{MSHV_SET_POLL_FILE, ON_VTL}, {MSHV_GET_VP_REGISTERS, ON_VTL},
		{MSHV_SET_VP_REGISTERS, ON_VTL}, {MSHV_SINT_SIGNAL_EVENT, ON_SINT},
		{MSHV_SINT_POST_MESSAGE, ON_SINT}, {MSHV_SINT_SET_EVENTFD, ON_SINT},
		{MSHV_HVCALL_SETUP, ON_HVCALL}, {MSHV_HVCALL, ON_HVCALL}, {MSHV_RUN_VP, -1},
		{MSHV_INITIALIZE_PARTITION, -1}, {_IO(MSHV_IOCTL, 0x13), -1},
		{_IOW(MSHV_IOCTL, 0x25, u32), -1}, {_IO(MSHV_IOCTL, 0x32), -1},
		{_IOR(MSHV_IOCTL, 0x27, u32), -1}};
	struct lower l;
	int fds[KINDS];

	lower_begin(&l);
	fds[ON_SYSTEM] = l.sys;
	fds[ON_VTL] = l.fd;
	fds[ON_LOW] = l.low;
	fds[ON_SINT] = vtl_node("/dev/mshv_sint", O_RDWR);
	fds[ON_HVCALL] = vtl_node("/dev/mshv_hvcall", O_RDWR);
	for (unsigned i = 0; i < ARRAY_SIZE(requests); i++)
		for (int on = 0; on < KINDS; on++) {
			unsigned long number = requests[i].number;
			/* One number for two kinds. */
			bool has = requests[i].on == on ||
				   (number == MSHV_SET_POLL_FILE && on == ON_SINT);

			assert_int_equal(
				mshv(fds[on], number, BAD_POINTER), has ? -EFAULT : -ENOTTY);
		}
	assert_int_equal(mshv(l.fd, MSHV_CREATE_VTL, 0), -ENOTTY);
	assert_int_equal(mshv(l.sys, MSHV_RETURN_TO_LOWER_VTL, 0), -ENOTTY);
	dev_close(port.dev, fds[ON_SINT]);
	dev_close(port.dev, fds[ON_HVCALL]);
	lower_close(&l);
}

/* Root and VTL are told apart on the node by number; one process can be both. */
static void test_both_sides(void **state)
{
	struct mshv_create_partition a = {.pt_flags = 1};
	struct lower l;
	int fd;

	lower_begin(&l);
	fd = (int)mshv_p(l.sys, MSHV_CREATE_PARTITION, &a);
	assert_true(fd >= 0);
	assert_int_equal(mshv(fd, MSHV_INITIALIZE_PARTITION, 0), 0);
	dev_close(port.dev, fd);
	lower_close(&l);
}

/* ---- MSHV_CHECK_EXTENSION ---- */

SPOIL(unknown_extension, a->extension = 4)

REFUSALS(MSHV_CHECK_EXTENSION) = {
	NO_STRUCTURE,
	{"the extension is unknown", EOPNOTSUPP, unknown_extension, 1},
};

static void good_extension(struct attempt *a)
{
	a->fd = *(int *)a->context;
}

static void test_check_extension(void **state)
{
	static const struct {
		u32 extension;
		long value;
	} known[] = {{MSHV_CAP_CORE_API_STABLE, 0}, {MSHV_CAP_REGISTER_PAGE, 1},
		{MSHV_CAP_VTL_RETURN_ACTION, 1}, {MSHV_CAP_DR6_SHARED, 0}, {5, -EOPNOTSUPP},
		{~0u, -EOPNOTSUPP}};
	int sys = mshv_open();

	CHECK(MSHV_CHECK_EXTENSION, MSHV_CHECK_EXTENSION, good_extension, NULL, &sys);
	for (unsigned i = 0; i < ARRAY_SIZE(known); i++)
		assert_int_equal(
			mshv_p(sys, MSHV_CHECK_EXTENSION, &known[i].extension), known[i].value);
	dev_close(port.dev, sys);
}

/* ---- MSHV_ADD_VTL0_MEMORY ---- */

SPOIL(ram_empty, a->ram.last_pfn = a->ram.start_pfn)
SPOIL(ram_reversed, a->ram.last_pfn = a->ram.start_pfn - 1)
SPOIL(ram_beyond, a->ram.last_pfn = (1ull << 40) + 1)
SPOIL(ram_wraps, a->ram.last_pfn = ~0ull)
SPOIL(ram_twice, a->ram.start_pfn = 0x1ff)

REFUSALS(MSHV_ADD_VTL0_MEMORY) = {
	NO_STRUCTURE,
	{"last_pfn is start_pfn", EFAULT, ram_empty, 2},
	{"last_pfn is below start_pfn", EFAULT, ram_reversed, 2},
	{"last_pfn is beyond the physical address space", EFAULT, ram_beyond, 2},
	{"last_pfn is so large that its address wraps", EFAULT, ram_wraps, 2},
	{"some of it was added before", EFAULT, ram_twice, 2},
};

static void good_ram(struct attempt *a)
{
	a->fd = ((struct lower *)a->context)->fd;
	a->ram.start_pfn = 0x300;
	a->ram.last_pfn = 0x301;
}

static void test_add_memory(void **state)
{
	struct lower l;

	lower_open(&l); /* pfns 0 to 0x1ff */
	CHECK(MSHV_ADD_VTL0_MEMORY, MSHV_ADD_VTL0_MEMORY, good_ram, NULL, &l);
	assert_int_equal(lower_add(&l, 0x300000, 0x301000), -EFAULT);
	assert_int_equal(lower_add(&l, 0x200000, 0x300000), 0);
	lower_close(&l);
}

/* ---- MSHV_SET_POLL_FILE ---- */

SPOIL(poll_cpu, a->poll.cpu = 8192)
SPOIL(poll_any_cpu, a->poll.cpu = ~0u)
SPOIL(poll_fd, a->poll.fd = ~0u)
SPOIL(poll_closed, a->poll.fd = 0x7fffff)

REFUSALS(MSHV_SET_POLL_FILE) = {
	NO_STRUCTURE,
	{"cpu is none of the host's", EINVAL, poll_cpu, 2},
	{"cpu is all ones", EINVAL, poll_any_cpu, 2},
	{"fd is -1", EBADFD, poll_fd, 3},
	{"fd is not open", EBADFD, poll_closed, 3},
};

static int event_file;

static void good_poll(struct attempt *a)
{
	a->fd = ((struct lower *)a->context)->fd;
	a->poll.cpu = ((struct lower *)a->context)->cpu;
	a->poll.fd = (u32)event_file;
}

static void test_set_poll_file(void **state)
{
	struct lower l;

	lower_begin(&l);
	event_file = eventfd(0, EFD_CLOEXEC);
	CHECK(MSHV_SET_POLL_FILE, MSHV_SET_POLL_FILE, good_poll, NULL, &l);
	close(event_file);
	lower_close(&l);
}

/* ---- MSHV_GET_VP_REGISTERS, MSHV_SET_VP_REGISTERS ---- */

SPOIL(no_registers, a->registers.count = 0)
SPOIL(two_registers, a->registers.count = 2)
SPOIL(register_nowhere, a->registers.regs_ptr = BAD_POINTER)
SPOIL(register_unknown, ((struct hv_register *)a->registers.regs_ptr)->name = 0xdeadbeef)
SPOIL(register_value, ((struct hv_register *)a->registers.regs_ptr)->value.low = ~0ull)

static void register_read_only(struct attempt *a)
{
	static u8 *page;

	if (!page)
		page = pages_alloc(HV_PAGE_SIZE);
	mprotect(page, HV_PAGE_SIZE, PROT_READ | PROT_WRITE);
	memcpy(page, (const void *)a->registers.regs_ptr, sizeof(struct hv_register));
	mprotect(page, HV_PAGE_SIZE, PROT_READ);
	a->registers.regs_ptr = (unsigned long)page;
}

REFUSALS(MSHV_GET_VP_REGISTERS) = {
	NO_STRUCTURE,
	{"count is 0", EINVAL, no_registers, 2},
	{"count is 2", EINVAL, two_registers, 2},
	{"what regs_ptr points to cannot be read", EFAULT, register_nowhere, 3},
	{"the register is unknown", EINVAL, register_unknown, 3},
	{"the value cannot be written", EFAULT, register_read_only, 3},
};

REFUSALS(MSHV_SET_VP_REGISTERS) = {
	NO_STRUCTURE,
	{"count is 0", EINVAL, no_registers, 2},
	{"count is 2", EINVAL, two_registers, 2},
	{"what regs_ptr points to cannot be read", EFAULT, register_nowhere, 3},
	{"the register is unknown", EINVAL, register_unknown, 3},
	{"the register cannot have the value", EINVAL, register_value, 3},
};

static void good_register(struct attempt *a)
{
	static struct hv_register r;

	r = (struct hv_register){.name = HV_X64_REGISTER_RFLAGS, .value = {2, 0}};
	a->fd = ((struct lower *)a->context)->fd;
	a->registers.count = 1;
	a->registers.regs_ptr = (unsigned long)&r;
}

static void test_registers(void **state)
{
	struct lower l;

	lower_begin(&l);
	CHECK(MSHV_GET_VP_REGISTERS, MSHV_GET_VP_REGISTERS, good_register, NULL, &l);
	CHECK(MSHV_SET_VP_REGISTERS, MSHV_SET_VP_REGISTERS, good_register, NULL, &l);
	lower_close(&l);
}

/* ---- /dev/mshv_sint ---- */

static struct {
	int fd, other;
} ends;

SPOIL(event_connection, a->event.connection_id = 1u << 24)
SPOIL(event_flag, a->event.flag = 2048)

REFUSALS(MSHV_SINT_SIGNAL_EVENT) = {
	NO_STRUCTURE,
	{"connection_id has more than 24 bits", EINVAL, event_connection, 0},
	{"flag is not below 2048", EINVAL, event_flag, 0},
};

static void good_event(struct attempt *a)
{
	a->fd = ends.fd;
	a->event.connection_id = 2;
}

SPOIL(post_long, a->post.payload_size = 241)
SPOIL(post_nowhere, a->post.payload_ptr = BAD_POINTER)
SPOIL(post_wide, a->post.message_type = 1ull << 32)
SPOIL(post_connection, a->post.connection_id = 1u << 24)
SPOIL(post_no_type, a->post.message_type = 0)
SPOIL(post_own_type, a->post.message_type = 0x80000001)

REFUSALS(MSHV_SINT_POST_MESSAGE) = {
	NO_STRUCTURE,
	{"payload_size is more than 240", EINVAL, post_long, 0},
	{"the payload cannot be read", EFAULT, post_nowhere, 0},
	{"message_type has more than 32 bits", EINVAL, post_wide, 2},
	{"connection_id has more than 24 bits", EINVAL, post_connection, 0},
	{"message_type is 0", EINVAL, post_no_type, 2},
	{"message_type is one of the hypervisor's", EINVAL, post_own_type, 2},
};

static void good_post(struct attempt *a)
{
	static const u8 payload[240];

	a->fd = ends.fd;
	a->post.message_type = 1;
	a->post.connection_id = 1;
	a->post.payload_size = sizeof(payload);
	a->post.payload_ptr = (unsigned long)payload;
}

SPOIL(eventfd_flag, a->eventfd.flag = 2048)
SPOIL(eventfd_closed, a->eventfd.fd = 0x7fffff)
SPOIL(eventfd_other, a->eventfd.fd = ends.other)

REFUSALS(MSHV_SINT_SET_EVENTFD) = {
	NO_STRUCTURE,
	{"flag is not below 2048", EINVAL, eventfd_flag, 0},
	{"fd is not open", EBADF, eventfd_closed, 2},
	{"fd is not an eventfd", EINVAL, eventfd_other, 2},
};

static void good_eventfd(struct attempt *a)
{
	a->fd = ends.fd;
	a->eventfd.fd = event_file;
	a->eventfd.flag = 2047;
}

SPOIL(mask_reserved, a->mask.reserved[6] = 1)

REFUSALS(MSHV_SINT_PAUSE_MESSAGE_STREAM) = {
	NO_STRUCTURE,
	{"reserved is not 0", EINVAL, mask_reserved, 0},
};

static void good_mask(struct attempt *a)
{
	a->fd = ends.fd;
	a->mask.mask = 0xff;
}

static void test_sint(void **state)
{
	event_file = eventfd(0, EFD_CLOEXEC);
	ends.fd = vtl_node("/dev/mshv_sint", O_RDWR);
	ends.other = vtl_node("/dev/mshv_sint", O_RDWR);
	CHECK(MSHV_SINT_SIGNAL_EVENT, MSHV_SINT_SIGNAL_EVENT, good_event, NULL, NULL);
	CHECK(MSHV_SINT_POST_MESSAGE, MSHV_SINT_POST_MESSAGE, good_post, NULL, NULL);
	CHECK(MSHV_SINT_SET_EVENTFD, MSHV_SINT_SET_EVENTFD, good_eventfd, NULL, NULL);
	CHECK(MSHV_SINT_PAUSE_MESSAGE_STREAM, MSHV_SINT_PAUSE_MESSAGE_STREAM, good_mask, NULL,
		NULL);
	/* Nobody is there any more. */
	dev_close(port.dev, ends.other);
	assert_int_equal(
		mshv_p(ends.fd, MSHV_SINT_SIGNAL_EVENT, &(struct mshv_vtl_signal_event){2, 0}),
		-EINVAL);
	dev_close(port.dev, ends.fd);
	close(event_file);
}

/* ---- /dev/mshv_hvcall ---- */

static u8 list[8193];

static void setup_before(struct attempt *a)
{
	const struct mshv_vtl_hvcall_setup first = {1, (unsigned long)list};

	assert_int_equal(mshv_p(a->fd, MSHV_HVCALL_SETUP, &first), 0);
}

SPOIL(setup_large, a->setup.bitmap_array_size = 8193)
SPOIL(setup_nowhere, a->setup.allow_bitmap_ptr = BAD_POINTER)

REFUSALS(MSHV_HVCALL_SETUP) = {
	{"it was done before", EINVAL, setup_before, 0},
	NO_STRUCTURE,
	{"bitmap_array_size is more than 8192", EINVAL, setup_large, 0},
	{"the list cannot be read", EFAULT, setup_nowhere, 0},
};

/* A descriptor for each attempt: those before are closed with all others. */
static void good_setup(struct attempt *a)
{
	a->fd = vtl_node("/dev/mshv_hvcall", O_RDWR);
	a->setup.bitmap_array_size = 8192;
	a->setup.allow_bitmap_ptr = (unsigned long)list;
}

static void test_hvcall_setup(void **state)
{
	const struct mshv_vtl_hvcall_setup nothing = {0, BAD_POINTER};
	int fd = vtl_node("/dev/mshv_hvcall", O_RDWR);

	CHECK(MSHV_HVCALL_SETUP, MSHV_HVCALL_SETUP, good_setup, NULL, NULL);
	assert_int_equal(mshv_p(fd, MSHV_HVCALL_SETUP, &nothing), 0); /* also once */
	assert_int_equal(mshv_p(fd, MSHV_HVCALL_SETUP, &nothing), -EINVAL);
	dev_close(port.dev, fd);
}

SPOIL(call_input_size, a->call.input_size = 4097)
SPOIL(call_output_size, a->call.output_size = 4097)
SPOIL(call_forbidden, a->call.control = HVCALL_SET_VP_REGISTERS)
SPOIL(call_no_input, a->call.input_ptr = BAD_POINTER)
SPOIL(call_no_output, a->call.output_ptr = BAD_POINTER)

REFUSALS(MSHV_HVCALL) = {
	NO_STRUCTURE,
	{"input_size is more than 4096", EINVAL, call_input_size, 0},
	{"output_size is more than 4096", EINVAL, call_output_size, 0},
	{"the code is not in the list", EPERM, call_forbidden, 0},
	{"the input cannot be read", EFAULT, call_no_input, 0},
	{"the output cannot be written", EFAULT, call_no_output, 0},
};

static u64 output[512];

static void good_call(struct attempt *a)
{
	static const u64 input[2] = {HV_PARTITION_ID_SELF, HV_PROPERTY_PROCESSOR_VENDOR};

	a->fd = *(int *)a->context;
	a->call.control = HVCALL_GET_PARTITION_PROPERTY;
	a->call.input_size = sizeof(input);
	a->call.input_ptr = (unsigned long)input;
	a->call.output_size = sizeof(output);
	a->call.output_ptr = (unsigned long)output;
}

static void test_hvcall(void **state)
{
	const struct mshv_vtl_hvcall_setup a = {8192, (unsigned long)list};
	int fd = vtl_node("/dev/mshv_hvcall", O_RDWR);

	memset(list, 0, sizeof(list));
	list[HVCALL_GET_PARTITION_PROPERTY / 8] = 1 << HVCALL_GET_PARTITION_PROPERTY % 8;
	assert_int_equal(mshv_p(fd, MSHV_HVCALL_SETUP, &a), 0);
	CHECK(MSHV_HVCALL, MSHV_HVCALL, good_call, NULL, &fd);
	dev_close(port.dev, fd);
	/* Before there is a list nothing is allowed. */
	fd = vtl_node("/dev/mshv_hvcall", O_RDWR);
	assert_int_equal(
		mshv_p(fd, MSHV_HVCALL,
			&(struct mshv_vtl_hvcall){.control = HVCALL_GET_PARTITION_PROPERTY}),
		-EPERM);
	dev_close(port.dev, fd);
}

static const struct CMUnitTest tests[] = {
	VTL_TEST(test_unknown),
	VTL_TEST(test_both_sides),
	VTL_TEST(test_check_extension),
	VTL_TEST(test_add_memory),
	VTL_TEST(test_set_poll_file),
	VTL_TEST(test_registers),
	VTL_TEST(test_sint),
	VTL_TEST(test_hvcall_setup),
	VTL_TEST(test_hvcall),
};

MSHV_MAIN(tests)
