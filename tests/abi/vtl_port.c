/* SPDX-License-Identifier: MIT */
/* See vtl_port.h. */
#include "tests/abi/vtl_port.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/dev.h"

int vtl_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n)
{
	port_start(argc, argv);
	return port_end(_cmocka_run_group_tests("vtl", tests, n, NULL, NULL));
}

int vtl_node(const char *path, int flags)
{
	port_keep_handlers(false);
	return dev_open(port.dev, path, flags | O_CLOEXEC);
}

/* These need no more words. */
static bool speaks_for_itself(long error)
{
	return error == -EFAULT || error == -EINTR || error == -EBADF || error == -EBADFD;
}

long vtl(int fd, unsigned long request, unsigned long arg)
{
	struct refusal why;
	long r = dev_ioctl_why(port.dev, fd, request, arg, NULL, &why);

	if (r >= 0 ? !why.why : why.why || speaks_for_itself(r) || !dev_owns(port.dev, fd))
		return r;
	fprintf(stderr, "request 0x%lx: %ld, %s\n", request, r,
		why.why ? why.why : "without a reason");
	abort();
}

/* ---- processors ---- */

static const cpu_set_t *allowed(void)
{
	static cpu_set_t at_start;
	static bool known;

	if (!known && sched_getaffinity(0, sizeof(at_start), &at_start))
		abort();
	known = true;
	return &at_start;
}

bool has_cpu(unsigned nth)
{
	return (int)nth < CPU_COUNT(allowed());
}

unsigned cpu_allowed(unsigned nth)
{
	unsigned cpu = 0;

	for (;; cpu++)
		if (CPU_ISSET(cpu, allowed()) && !nth--)
			return cpu;
}

void stay_on(unsigned cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	assert_int_equal(sched_setaffinity(0, sizeof(one), &one), 0);
}

/* ---- a lower guest ---- */

void *map_vtl(const struct lower *l, unsigned kind, unsigned cpu)
{
	void *page = mmap(NULL, HV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, l->fd,
		(off_t)((u64)(kind << MSHV_VTL_MMAP_KIND_SHIFT | cpu) * HV_PAGE_SIZE));

	assert_ptr_not_equal(page, MAP_FAILED);
	return page;
}

void lower_begin(struct lower *l)
{
	l->cpu = cpu_allowed(0);
	stay_on(l->cpu);
	l->sys = vtl_node("/dev/mshv", O_RDWR);
	assert_true(l->sys >= 0);
	l->fd = (int)vtl(l->sys, MSHV_CREATE_VTL, 0);
	assert_true(l->fd >= 0);
	port_keep_handlers(true);
	l->low = vtl_node("/dev/mshv_vtl_low", O_RDWR);
	assert_true(l->low >= 0);
	l->run = map_vtl(l, MSHV_VTL_MMAP_RUN, l->cpu);
	l->regs = map_vtl(l, MSHV_VTL_MMAP_REGISTERS, l->cpu);
	l->ram = NULL;
}

long lower_add(const struct lower *l, u64 first, u64 end)
{
	const struct mshv_vtl_ram_disposition a = {first / HV_PAGE_SIZE, end / HV_PAGE_SIZE};

	return vtl_p(l->fd, MSHV_ADD_VTL0_MEMORY, &a);
}

void lower_open(struct lower *l)
{
	lower_begin(l);
	assert_int_equal(lower_add(l, 0, RAM_SIZE), 0);
	l->ram = mmap(NULL, RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, l->low, 0);
	assert_ptr_not_equal(l->ram, MAP_FAILED);
}

void lower_close(struct lower *l)
{
	if (l->ram)
		munmap(l->ram, RAM_SIZE);
	munmap((void *)l->run, HV_PAGE_SIZE);
	munmap((void *)l->regs, HV_PAGE_SIZE);
	dev_close(port.dev, l->low);
	dev_close(port.dev, l->fd);
	dev_close(port.dev, l->sys);
}

void lower_code(struct lower *l, const void *code, size_t size)
{
	memcpy(l->ram + CODE_GPA, code, size);
	l->regs->rip = CODE_GPA;
	l->regs->segment[SEG_CS].selector = 0;
	l->regs->segment[SEG_CS].base = 0;
	l->regs->dirty |= HV_PAGE_DIRTY_RIP | HV_PAGE_DIRTY_SEGMENTS;
}

long lower_run(const struct lower *l)
{
	return vtl(l->fd, MSHV_RETURN_TO_LOWER_VTL, 0);
}

const void *lower_until(const struct lower *l, u32 type)
{
	const struct hv_message *m = (const void *)l->run->exit_message;

	assert_int_equal(lower_run(l), 0);
	assert_int_equal(m->type, type);
	return m->payload;
}

void lower_skip(struct lower *l, unsigned bytes)
{
	l->regs->rip += bytes;
	l->regs->dirty |= HV_PAGE_DIRTY_RIP;
}

u32 lower_out(struct lower *l, u16 port_number)
{
	const struct hv_io_port_message *m = lower_until(l, HVMSG_X64_IO_PORT_INTERCEPT);

	assert_int_equal(m->header.access, HV_INTERCEPT_WRITE);
	assert_int_equal(m->port, port_number);
	lower_skip(l, m->header.length_cr8 & 15);
	return (u32)m->rax;
}

/* ---- registers ---- */

static long transfer(const struct lower *l, unsigned long request, struct hv_register *r)
{
	const struct mshv_vp_registers a = {.count = 1, .regs_ptr = (unsigned long)r};

	return vtl_p(l->fd, request, &a);
}

long get_register(const struct lower *l, u32 name, struct hv_value128 *ret)
{
	struct hv_register r = {.name = name, .value = {1, 1}};
	long result = transfer(l, MSHV_GET_VP_REGISTERS, &r);

	*ret = r.value;
	return result;
}

long set_register(const struct lower *l, u32 name, u64 value)
{
	struct hv_register r = {.name = name, .value = {value, 0}};

	return transfer(l, MSHV_SET_VP_REGISTERS, &r);
}

u64 lower_register(const struct lower *l, u32 name)
{
	struct hv_value128 v;

	assert_int_equal(get_register(l, name, &v), 0);
	return v.low;
}
