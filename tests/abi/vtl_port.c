/* SPDX-License-Identifier: MIT */
/* See vtl_port.h. */
#include "tests/abi/vtl_port.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/dev.h"
#include "tests/inside.h"

int vtl_node(const char *path, int flags)
{
	int fd;

	port_keep_handlers(false);
	fd = dev_open(port.dev, path, flags | O_CLOEXEC);
	port_keep_handlers(true);
	return fd;
}

int lower_fresh(void **state)
{
	dev_destroy(port.dev);
	return dev_create(&port.dev);
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

void lower_on(struct lower *ret, const struct lower *l, unsigned cpu)
{
	*ret = *l;
	ret->cpu = cpu;
	ret->run = map_vtl(l, MSHV_VTL_MMAP_RUN, cpu);
	ret->regs = map_vtl(l, MSHV_VTL_MMAP_REGISTERS, cpu);
}

void lower_off(struct lower *l)
{
	munmap((void *)l->run, HV_PAGE_SIZE);
	munmap((void *)l->regs, HV_PAGE_SIZE);
}

void lower_begin(struct lower *l)
{
	unsigned cpu = cpu_allowed(0);

	stay_on(cpu);
	l->sys = mshv_open();
	l->fd = (int)mshv(l->sys, MSHV_CREATE_VTL, 0);
	assert_true(l->fd >= 0);
	l->low = vtl_node("/dev/mshv_vtl_low", O_RDWR);
	assert_true(l->low >= 0);
	lower_on(l, l, cpu);
	l->ram = NULL;
}

long lower_add(const struct lower *l, u64 first, u64 end)
{
	const struct mshv_vtl_ram_disposition a = {first / HV_PAGE_SIZE, end / HV_PAGE_SIZE};

	return mshv_p(l->fd, MSHV_ADD_VTL0_MEMORY, &a);
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
	lower_off(l);
	dev_close(port.dev, l->low);
	dev_close(port.dev, l->fd);
	dev_close(port.dev, l->sys);
}

/* ---- code ---- */

void lower_code(struct lower *l, const void *code, size_t size)
{
	memcpy(l->ram + CODE_GPA, code, size);
	l->regs->rip = CODE_GPA;
	l->regs->segment[1].selector = 0; /* CS */
	l->regs->segment[1].base = 0;
	l->regs->gpr[RSP] = STACK_GPA;
	l->regs->dirty |= HV_PAGE_DIRTY_RIP | HV_PAGE_DIRTY_SEGMENTS | HV_PAGE_DIRTY_GPR;
}

static void put(struct lower *l, u64 gpa, u64 value)
{
	memcpy(l->ram + gpa, &value, sizeof(value));
}

void lower_gate(struct lower *l, u8 vector, u64 handler)
{
	put(l, IDT_GPA + vector * 16, (handler & 0xffff) | 8 << 16 | 0x8e00ull << 32);
	put(l, IDT_GPA + vector * 16 + 8, 0);
}

static void set_must(struct lower *l, u32 name, u64 value)
{
	assert_int_equal(lower_set(l, name, value), 0);
}

static void set_segment(struct lower *l, u32 name, u16 selector, u16 attr)
{
	struct hv_segment s = {.limit = ~0u, .selector = selector, .attr = attr};

	assert_int_equal(lower_set128(l, name, &s), 0);
}

void lower_code_long(struct lower *l, const void *code, size_t size)
{
	struct hv_table idt = {.limit = 0xfff, .base = IDT_GPA},
			gdt = {.limit = 23, .base = GDT_GPA};

	put(l, TABLES_GPA, (TABLES_GPA + 0x1000) | 7);
	put(l, TABLES_GPA + 0x1000, (TABLES_GPA + 0x2000) | 7);
	put(l, TABLES_GPA + 0x2000, 0x87);
	put(l, GDT_GPA + 8, 0xaf9b000000ffff);
	put(l, GDT_GPA + 16, 0xcf93000000ffff);
	lower_code(l, code, size);
	set_must(l, HV_X64_REGISTER_RAX + RSP, STACK_GPA);
	set_must(l, HV_X64_REGISTER_CR4, 0x620);
	set_must(l, HV_X64_REGISTER_CR3, TABLES_GPA);
	set_must(l, HV_X64_REGISTER_EFER, 0x500);
	set_must(l, HV_X64_REGISTER_CR0, 0x80000031);
	set_segment(l, HV_X64_REGISTER_CS, 8, 0xa09b);
	for (u32 name = HV_X64_REGISTER_SS; name <= HV_X64_REGISTER_GS; name++)
		set_segment(l, name, 16, 0xc093);
	set_segment(l, HV_X64_REGISTER_ES, 16, 0xc093);
	assert_int_equal(lower_set128(l, HV_X64_REGISTER_IDTR, &idt), 0);
	assert_int_equal(lower_set128(l, HV_X64_REGISTER_GDTR, &gdt), 0);
}

/* ---- running ---- */

long lower_run(const struct lower *l)
{
	return mshv(l->fd, MSHV_RETURN_TO_LOWER_VTL, 0);
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

	return mshv_p(l->fd, request, &a);
}

long lower_get(const struct lower *l, u32 name, struct hv_value128 *ret)
{
	struct hv_register r = {.name = name, .value = {1, 1}};
	long result = transfer(l, MSHV_GET_VP_REGISTERS, &r);

	*ret = r.value;
	return result;
}

long lower_set128(const struct lower *l, u32 name, const void *sixteen_bytes)
{
	struct hv_register r = {.name = name};

	memcpy(&r.value, sixteen_bytes, sizeof(r.value));
	return transfer(l, MSHV_SET_VP_REGISTERS, &r);
}

long lower_set(const struct lower *l, u32 name, u64 value)
{
	return lower_set128(l, name, &(const struct hv_value128){value, 0});
}

u64 lower_reg(const struct lower *l, u32 name)
{
	struct hv_value128 v;

	assert_int_equal(lower_get(l, name, &v), 0);
	return v.low;
}

/* ---- threads ---- */

static void on_kick(int sig)
{
}

static void *runner(void *arg)
{
	struct lower_runner *r = arg;

	stay_on(r->cpu);
	atomic_store(&r->tid, (int)syscall(SYS_gettid));
	r->result = lower_run(r->l);
	atomic_store(&r->out, true);
	return NULL;
}

void lower_start(struct lower_runner *r, struct lower *l, unsigned cpu)
{
	const struct sigaction a = {.sa_handler = on_kick};

	sigaction(SIGUSR1, &a, NULL);
	*r = (struct lower_runner){.l = l, .cpu = cpu};
	assert_int_equal(pthread_create(&r->thread, NULL, runner, r), 0);
	while (!atomic_load(&r->tid))
		usleep(100);
}

void lower_inside(struct lower_runner *r)
{
	inside_wait_thread(atomic_load(&r->tid), 20);
}

long lower_stop(struct lower_runner *r)
{
	while (!atomic_load(&r->out)) {
		pthread_kill(r->thread, SIGUSR1);
		usleep(1000);
	}
	return lower_wait(r);
}

long lower_wait(struct lower_runner *r)
{
	assert_int_equal(pthread_join(r->thread, NULL), 0);
	return r->result;
}

/* ---- /dev/mshv_hvcall ---- */

int hvcall_open_all(void)
{
	static u8 all[8192];
	const struct mshv_vtl_hvcall_setup a = {sizeof(all), (unsigned long)all};
	int fd = vtl_node("/dev/mshv_hvcall", O_RDWR);

	memset(all, 0xff, sizeof(all));
	assert_true(fd >= 0);
	assert_int_equal(mshv_p(fd, MSHV_HVCALL_SETUP, &a), 0);
	return fd;
}

struct mshv_vtl_hvcall hvcall_make(
	int fd, u64 control, const void *in, size_t in_size, void *out, size_t out_size)
{
	struct mshv_vtl_hvcall a = {.control = control,
		.input_size = in_size,
		.input_ptr = (unsigned long)in,
		.status = ~0ull,
		.output_size = out_size,
		.output_ptr = (unsigned long)out};

	assert_int_equal(mshv_p(fd, MSHV_HVCALL, &a), 0);
	return a;
}
