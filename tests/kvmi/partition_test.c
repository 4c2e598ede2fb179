/* SPDX-License-Identifier: MIT */
/*
 * A partition of /dev/mshv whose VMM intercepts what its processor does, and that has a tool, too. The tool stands between the guest
 * and the VMM: it is asked first, and what it changes is what the VMM sees.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/dev.h"
#include "tests/kvmi/groups.h"
#include "tests/kvmi/place.h"
#include "tests/kvmi/tool.h"
#include "tests/mshv/mshv.h"
#include "x86/regs.h"

/* ---- the device: a test has its own, with a tool ---- */

static struct dev *dev;

int port_open(void)
{
	return dev_open(dev, "/dev/mshv", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
}

long port_ioctl(int fd, unsigned long request, const void *arg)
{
	return dev_ioctl(dev, fd, request, (unsigned long)arg);
}

void port_close(int fd)
{
	dev_close(dev, fd);
}

/* ---- the guest, in real mode ---- */

#define RAM   0x10000
#define CODE  0x1000
#define GO    0x2000     /* it waits until there is something here */
#define VALUE 0x00070405 /* of both halves, and not what is there */
#define PORT  0x10

GUEST16(partition, "1:	cmpb $0, 0x2000\n"
		   "	je 1b\n"
		   "2:	movl $0x4000, %esp\n"
		   "	movl $0x3000, %eax\n"
		   "	movl %eax, %cr3\n"
		   "	int3\n"
		   "	movl $0x277, %ecx\n" /* IA32_PAT */
		   "	movl $0x00070405, %eax\n"
		   "	movl $0x00070405, %edx\n"
		   "	wrmsr\n"
		   "	movl $1, %eax\n"
		   "	cpuid\n"
		   "	ud2\n"
		   "	xorl %eax, %eax\n"
		   "	movl %eax, %cr3\n"
		   "	outb %al, $0x10\n"
		   "	jmp 2b\n");

/* ---- the VMM ---- */

struct partition {
	struct place place;
	int device, fd, vp;
	u8 *ram;
	struct hv_message message;
	pthread_t runner;
	struct tool *t;
};

static u64 reg(struct partition *p, u32 name)
{
	u64 value = 0;

	CHECK_EQ(root_reg_get(p->vp, 0, name, &value), 0);
	return value;
}

static void set_reg(struct partition *p, u32 name, u64 value)
{
	CHECK_EQ(root_reg_set(p->vp, 0, name, value), 0);
}

static void *run(void *opaque)
{
	struct partition *p = opaque;

	CHECK_EQ(root_vp_run(p->vp, &p->message), 0);
	return NULL;
}

static void begins(struct partition *p)
{
	CHECK_EQ(pthread_create(&p->runner, NULL, run, p), 0);
}

static const void *comes_out(struct partition *p, u32 type)
{
	CHECK_EQ(pthread_join(p->runner, NULL), 0);
	CHECK_EQ(p->message.type, type);
	return p->message.payload;
}

/* The VMM has done the instruction, and the guest goes on behind it. */
static void goes_on(struct partition *p, unsigned len)
{
	set_reg(p, HV_X64_REGISTER_RIP, reg(p, HV_X64_REGISTER_RIP) + len);
	begins(p);
}

static void intercept(struct partition *p, bool on)
{
	static const struct {
		u32 type, access;
		u64 parameter;
	} all[] = {
		{HV_INTERCEPT_CPUID, HV_ACCESS_EXECUTE, 1},
		{HV_INTERCEPT_MSR_INDEX, HV_ACCESS_WRITE, 0x277},
		{HV_INTERCEPT_EXCEPTION, HV_ACCESS_EXECUTE, X86_BP},
		{HV_INTERCEPT_EXCEPTION, HV_ACCESS_EXECUTE, X86_UD},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(all); i++)
		CHECK_EQ(root_intercept_install(
				 p->fd, on ? all[i].access : 0, all[i].type, all[i].parameter),
			0);
}

static void set_code(struct partition *p)
{
	struct hv_register_page *page = root_vp_page(p->vp, MSHV_VP_MMAP_OFFSET_REGISTERS);

	CHECK(page);
	memcpy(p->ram + CODE, guest_partition, (size_t)(guest_partition_end - guest_partition));
	for (unsigned i = 0; i < ARRAY_SIZE(page->segment); i++)
		page->segment[i] = (struct hv_segment){0, 0xffff, 0, i == SEG_CS ? 0x9b : 0x93};
	page->rflags = 2;
	page->rip = CODE;
	page->dirty |= HV_PAGE_DIRTY_SEGMENTS | HV_PAGE_DIRTY_RFLAGS | HV_PAGE_DIRTY_RIP;
	munmap(page, HV_PAGE_SIZE);
}

static void partition_open(struct partition *p)
{
	const struct mshv_create_partition_v2 how = {.pt_flags = PT_FLAG(LAPIC) | PT_FLAG(X2APIC)};
	char text[256];

	*p = (struct partition){.place = place_open()};
	place_listen(&p->place);
	snprintf(text, sizeof(text), "unix:%s", p->place.path);
	CHECK_EQ(dev_create(&dev), 0);
	CHECK_EQ(dev_set_tool(dev, text, NULL), 0);
	p->device = port_open();
	p->fd = root_partition_create(p->device, &how);
	CHECK_EQ(root_partition_initialize(p->fd), 0);
	p->ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p->ram != MAP_FAILED);
	CHECK_EQ(root_memory_map(p->fd, 0, RAM, p->ram, MAP_WX), 0);
	p->vp = root_vp_create(p->fd, 0);
	CHECK(p->vp >= 0);
	set_code(p);
}

static void partition_close(struct partition *p)
{
	port_close(p->vp);
	port_close(p->fd);
	port_close(p->device);
	dev_destroy(dev);
	munmap(p->ram, RAM);
	place_close(&p->place);
}

/* ---- the tool ---- */

static void watches(struct partition *p, enum dialect d)
{
	p->t = tool_on(place_greeted(&p->place), d);
	event_on(p->t, 0, KVMI_EVENT_CR);
	event_on(p->t, 0, KVMI_EVENT_MSR);
	event_on(p->t, 0, KVMI_EVENT_BREAKPOINT);
	CHECK_EQ(cmd_control_cr(p->t, 0, 3, true), 0);
	CHECK_EQ(cmd_control_msr(p->t, 0, 0x277, true), 0);
	if (d == V6)
		event_on(p->t, 0, KVMI_V6_EVENT_CPUID);
}

static void lets_pass(struct partition *p, u32 id)
{
	const struct event e = tool_event(p->t, id);

	tool_continue(p->t, &e);
}

/* ---- both ---- */

static void breakpoint(struct partition *p)
{
	const struct hv_exception_message *x = comes_out(p, HVMSG_X64_EXCEPTION_INTERCEPT);

	CHECK_EQ(x->vector, X86_BP);
	CHECK_EQ(x->info, HV_EXCEPTION_SOFTWARE);
}

static void msr(struct partition *p, u32 low)
{
	const struct hv_msr_message *m = comes_out(p, HVMSG_X64_MSR_INTERCEPT);

	CHECK_EQ(m->msr, 0x277);
	CHECK_EQ((u32)m->rax, low);
	CHECK_EQ((u32)m->rdx, VALUE);
}

static void leaf(struct partition *p)
{
	CHECK_EQ((u32)((const struct hv_cpuid_message *)comes_out(p, HVMSG_X64_CPUID_INTERCEPT))
			 ->rax,
		1);
}

static void undefined(struct partition *p)
{
	CHECK_EQ(((const struct hv_exception_message *)comes_out(p, HVMSG_X64_EXCEPTION_INTERCEPT))
			 ->vector,
		X86_UD);
}

static void says(struct partition *p)
{
	CHECK_EQ(((const struct hv_io_port_message *)comes_out(p, HVMSG_X64_IO_PORT_INTERCEPT))
			 ->port,
		PORT);
}

/* From the INT3, which the tool has been asked about, to the write of the port. */
static void pass_with_tool(struct partition *p, u32 value)
{
	struct event e;

	breakpoint(p);
	goes_on(p, 1);
	e = tool_event(p->t, KVMI_EVENT_MSR);
	CHECK_EQ((u32)e.value, VALUE);
	tool_answer_value(
		p->t, &e, KVMI_EVENT_ACTION_CONTINUE, (e.value & ~(u64)UINT32_MAX) | value);
	msr(p, value);
	goes_on(p, 2);
	if (p->t->dialect == V6)
		lets_pass(p, KVMI_V6_EVENT_CPUID);
	leaf(p);
	goes_on(p, 2);
	undefined(p);
	goes_on(p, 2);
	lets_pass(p, KVMI_EVENT_CR);
	says(p);
}

static void pass_alone(struct partition *p)
{
	breakpoint(p);
	goes_on(p, 1);
	msr(p, VALUE);
	goes_on(p, 2);
	leaf(p);
	goes_on(p, 2);
	undefined(p);
	goes_on(p, 2);
	says(p);
}

/* The tool is told what comes first, then the VMM. */
static void pass_with_both(struct partition *p, u32 value)
{
	lets_pass(p, KVMI_EVENT_CR);
	lets_pass(p, KVMI_EVENT_BREAKPOINT);
	pass_with_tool(p, value);
}

/* The tool comes when the VMM intercepts already, dies in the middle of a question, and another one comes. */
static void test_tool_comes(enum dialect d)
{
	struct partition p;

	partition_open(&p);
	intercept(&p, true);
	begins(&p);
	watches(&p, d);
	p.ram[GO] = 1;
	pass_with_both(&p, 0x00070400);
	goes_on(&p, 2);
	lets_pass(&p, KVMI_EVENT_CR);
	tool_event(p.t, KVMI_EVENT_BREAKPOINT);
	tool_close(p.t);
	pass_alone(&p);
	p.ram[GO] = 0;
	set_reg(&p, HV_X64_REGISTER_RIP, CODE);
	begins(&p);
	watches(&p, d);
	p.ram[GO] = 1;
	pass_with_both(&p, 0x00070400);
	tool_close(p.t);
	partition_close(&p);
}

/* The VMM begins, and ends, while a tool is there, which does not notice. */
static void test_intercepts_come(enum dialect d)
{
	struct partition p;

	partition_open(&p);
	begins(&p);
	watches(&p, d);
	intercept(&p, true);
	p.ram[GO] = 1;
	pass_with_both(&p, VALUE);
	intercept(&p, false);
	p.ram[0x3000] = 0xcf; /* iret: the handler of INT3 and, after 2 bytes more, of UD2 */
	memcpy(p.ram + 0x3100, (const u8[]){0x89, 0xe5, 0x83, 0x46, 0x00, 0x02, 0xcf}, 7);
	memcpy(p.ram + X86_BP * 4, (const u16[]){0x3000, 0}, 4);
	memcpy(p.ram + X86_UD * 4, (const u16[]){0x3100, 0}, 4);
	goes_on(&p, 2);
	lets_pass(&p, KVMI_EVENT_CR);
	lets_pass(&p, KVMI_EVENT_BREAKPOINT);
	lets_pass(&p, KVMI_EVENT_MSR);
	if (d == V6)
		lets_pass(&p, KVMI_V6_EVENT_CPUID);
	lets_pass(&p, KVMI_EVENT_CR);
	says(&p);
	tool_close(p.t);
	partition_close(&p);
}

/* What the tool has ended runs no more: the VMM hears it, and not of an intercept. */
static void test_crash(enum dialect d)
{
	struct partition p;
	struct event e;

	partition_open(&p);
	intercept(&p, true);
	begins(&p);
	watches(&p, d);
	p.ram[GO] = 1;
	lets_pass(&p, KVMI_EVENT_CR);
	e = tool_event(p.t, KVMI_EVENT_BREAKPOINT);
	tool_answer(p.t, &e, KVMI_EVENT_ACTION_CRASH);
	comes_out(&p, HVMSG_UNRECOVERABLE_EXCEPTION);
	begins(&p);
	comes_out(&p, HVMSG_UNRECOVERABLE_EXCEPTION);
	tool_close(p.t);
	partition_close(&p);
}

const struct test partition_tests[] = {
	TEST(test_tool_comes, BOTH),
	TEST(test_intercepts_come, BOTH),
	TEST(test_crash, BOTH),
	{0},
};
