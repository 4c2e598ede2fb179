/* SPDX-License-Identifier: MIT */
/* Interrupts: asserted, by irqfds, between processors, by timers; and what comes back at their end. */
#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

GUEST(irq);
GUEST(xapic);
GUEST(nmi_window);
GUEST(wake);
GUEST(woken);
GUEST(timer);
extern const u8 guest_nmi_window_handler[], guest_irq_h30[], guest_irq_h31[], guest_irq_nmi[],
	guest_xapic_h30[], guest_timer_h30[];

#define COUNT(vector) (MACHINE_DATA + 4 * (vector))

/* Sleeps with interrupts on. */
static struct runner *start(struct machine *m)
{
	struct runner *r;

	machine_make(m, &(struct machine_how){0});
	CODE64(m, 0, irq);
	machine_gate(m, 0x30, GUEST_LABEL(irq, h30));
	machine_gate(m, 0x31, GUEST_LABEL(irq, h31));
	machine_gate(m, 2, GUEST_LABEL(irq, nmi));
	r = machine_start(m, 0);
	machine_await(m, MACHINE_DATA, 1);
	return r;
}

static void stop(struct machine *m, struct runner *r)
{
	CHECK_EQ(machine_stop(r, NULL), -EINTR);
	machine_unmake(m);
}

static struct hv_assert_interrupt fixed(u32 vector)
{
	return (struct hv_assert_interrupt){.type = HV_INTERRUPT_FIXED, .vector = vector};
}

static void assert_one(struct machine *m, struct hv_assert_interrupt how)
{
	CHECK_OK(root_interrupt_assert(m->partition, &how));
}

static void asserted(void)
{
	struct machine m;
	struct runner *r = start(&m);

	for (u32 i = 1; i <= 3; i++) {
		assert_one(&m, fixed(0x30));
		machine_await(&m, COUNT(0x30), i);
	}
	assert_one(&m, fixed(0x31));
	machine_await(&m, COUNT(0x31), 1);
	stop(&m, r);
}

static void asserted_to_logical_id(void)
{
	struct hv_assert_interrupt how = fixed(0x30);
	struct machine m;
	struct runner *r = start(&m);

	how.control = HV_INTERRUPT_LOGICAL;
	how.dest = 1; /* x2APIC: cluster 0, its first */
	assert_one(&m, how);
	machine_await(&m, COUNT(0x30), 1);
	stop(&m, r);
}

static void nmi(void)
{
	struct machine m;
	struct runner *r = start(&m);

	assert_one(&m, (struct hv_assert_interrupt){.type = HV_INTERRUPT_NMI});
	machine_await(&m, COUNT(2), 1);
	stop(&m, r);
}

/* To nobody, or of a kind that only makes sense with a PIC: dropped, and no error. */
static void accepted_without_effect(void)
{
	struct hv_assert_interrupt how = fixed(0x30);
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	how.dest = 77;
	assert_one(&m, how);
	for (int i = 0; i < 3; i++)
		assert_one(&m, (struct hv_assert_interrupt){.type = HV_INTERRUPT_EXTINT});
	how.control = HV_INTERRUPT_LONG;
	assert_one(&m, how);
	machine_unmake(&m);
}

/* Nothing pends, and that is no error. */
static void cleared(void)
{
	const u64 in = 0;
	const struct root_call call = {HVCALL_CLEAR_VIRTUAL_INTERRUPT, 0, &in, sizeof(in), NULL, 0};
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CHECK_OK(root_call(m.partition, &call));
	CHECK_OK(root_call(m.vp[0], &call));
	machine_unmake(&m);
}

static void low_vectors(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (u32 vector = 0; vector < 16; vector++) {
		const struct hv_assert_interrupt how = fixed(vector);

		CHECK_STATUS(
			root_interrupt_assert(m.partition, &how), -EINVAL, HVS_INVALID_PARAMETER);
	}
	machine_unmake(&m);
}

/* A level-triggered one: its end comes out, once, behind the instruction that ended it. */
static void end_of_level(void)
{
	struct hv_assert_interrupt how = fixed(0x30);
	struct hv_message message;
	const struct hv_apic_eoi_message *eoi = (const void *)message.payload;
	struct machine m;
	struct runner *r = start(&m);

	how.control = HV_INTERRUPT_LEVEL;
	assert_one(&m, how);
	CHECK_EQ(machine_wait(r, &message), 0);
	CHECK_EQ(message.type, HVMSG_X64_APIC_EOI);
	CHECK_EQ(message.len, sizeof(*eoi));
	CHECK_EQ(eoi->vp_index, 0);
	CHECK_EQ(eoi->vector, 0x30);
	CHECK_EQ(machine_u32(&m, COUNT(0x30)), 1);
	/* Nothing of the kind for an edge on the same vector. */
	r = machine_start(&m, 0);
	assert_one(&m, fixed(0x30));
	machine_await(&m, COUNT(0x30), 2);
	stop(&m, r);
}

/* By the page of an xAPIC. */
static void end_of_level_xapic(void)
{
	struct hv_assert_interrupt how = fixed(0x30);
	struct hv_message message;
	const struct hv_apic_eoi_message *eoi = (const void *)message.payload;
	struct machine m;
	struct runner *r;

	machine_make(&m, &(struct machine_how){.xapic = true});
	CODE64(&m, 0, xapic);
	machine_gate(&m, 0x30, GUEST_LABEL(xapic, h30));
	r = machine_start(&m, 0);
	machine_await(&m, MACHINE_DATA, 1);
	CHECK_EQ(machine_u32(&m, MACHINE_DATA + 8), 0); /* its id */
	how.control = HV_INTERRUPT_LEVEL;
	assert_one(&m, how);
	CHECK_EQ(machine_wait(r, &message), 0);
	CHECK_EQ(message.type, HVMSG_X64_APIC_EOI);
	CHECK_EQ(eoi->vector, 0x30);
	machine_unmake(&m);
}

/* ---- injected by a client that has the local APIC ---- */

static void check_deliverable(struct machine *m, u32 type, u64 rip)
{
	struct hv_message message;
	const struct hv_deliverable_message *x = (const void *)message.payload;

	machine_run(m, 0, HVMSG_X64_INTERRUPTION_DELIVERABLE, &message);
	CHECK_EQ(x->type, type);
	CHECK_EQ(x->header.rip, rip);
	CHECK_EQ(message.len, sizeof(*x));
}

static void notify(struct machine *m, u64 what)
{
	machine_set_reg(m, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, what);
	CHECK_EQ(machine_reg(m, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), what);
}

#define NMI_PENDING (HV_PENDING | HV_PENDING_NMI << 1 | 2 << 16)

/* Told when one can be taken: not in the handler of another one, and not in a shadow; and once. */
static void nmi_deliverable(void)
{
	struct machine m;

	machine_make(&m, &(struct machine_how){.flags = NO_LAPIC});
	CODE64(&m, 0, nmi_window);
	machine_gate(&m, 2, GUEST_LABEL(nmi_window, handler));
	notify(&m, HV_NOTIFY_NMI);
	check_deliverable(&m, HV_PENDING_NMI, MACHINE_CODE);
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), 0);
	machine_out(&m, 0, 0x10);
	machine_set_reg(&m, 0, HV_REGISTER_PENDING_INTERRUPTION, NMI_PENDING);
	notify(&m, HV_NOTIFY_NMI);
	CHECK_EQ(machine_out(&m, 0, 0x11), 2);
	check_deliverable(&m, HV_PENDING_NMI, MACHINE_CODE + 2);
	/* Shadows hold them, here one and then STI's; and both kinds are told apart. */
	machine_set_reg(&m, 0, HV_REGISTER_INTERRUPT_STATE, HV_INTERRUPT_SHADOW);
	notify(&m, HV_NOTIFY_NMI | HV_NOTIFY_INTERRUPT);
	check_deliverable(&m, HV_PENDING_NMI, MACHINE_CODE + 4);
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), HV_NOTIFY_INTERRUPT);
	check_deliverable(&m, HV_PENDING_EXTINT, MACHINE_CODE + 4);
	CHECK_EQ(machine_reg(&m, 0, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), 0);
	machine_out(&m, 0, 0x12);
	machine_unmake(&m);
}

/* ---- processors wake each other ---- */

static void init_and_sipi(void)
{
	struct machine m;
	struct runner *ap;

	machine_make(&m, &(struct machine_how){.vps = 2});
	memcpy(m.ram + 0x2000, guest_woken, (size_t)(guest_woken_end - guest_woken));
	ap = machine_start(&m, 1);
	CODE64(&m, 0, wake);
	CHECK_EQ(machine_out(&m, 0, 0x10), 0x600d);
	CHECK_EQ(machine_stop(ap, NULL), -EINTR);
	CHECK_EQ(machine_reg(&m, 1, HV_REGISTER_INTERNAL_ACTIVITY_STATE) & HV_ACTIVITY_STARTUP, 0);
	CHECK_EQ(m.page[1]->segment[SEG_CS].selector, 0x200);
	machine_unmake(&m);
}

/* Before the other one runs at all. */
static void sipi_is_remembered(void)
{
	struct machine m;
	struct runner *bsp, *ap;

	machine_make(&m, &(struct machine_how){.vps = 2});
	memcpy(m.ram + 0x2000, guest_woken, (size_t)(guest_woken_end - guest_woken));
	CODE64(&m, 0, wake);
	bsp = machine_start(&m, 0);
	ap = machine_start(&m, 1);
	machine_await(&m, MACHINE_DATA, 0x600d);
	CHECK_EQ(machine_wait(bsp, NULL), 0);
	CHECK_EQ(machine_stop(ap, NULL), -EINTR);
	machine_unmake(&m);
}

/* ---- the timer ---- */

static void apic_timer(void)
{
	struct machine m;
	struct runner *r;

	machine_make(&m, &(struct machine_how){0});
	CODE64(&m, 0, timer);
	machine_gate(&m, 0x30, GUEST_LABEL(timer, h30));
	r = machine_start(&m, 0);
	machine_await(&m, COUNT(0x30), 1);
	stop(&m, r);
}

/* ---- irqfds ---- */

static void signal_fd(int fd)
{
	const u64 one = 1;

	CHECK_EQ(write(fd, &one, sizeof(one)), sizeof(one));
}

static void route(struct machine *m, u32 gsi, u32 vector)
{
	const struct mshv_user_irq_entry e = {.gsi = gsi, .address_lo = 0xfee00000, .data = vector};

	CHECK_OK(root_routing_set(m->partition, &e, 1));
}

static void by_irqfd(void)
{
	struct machine m;
	struct runner *r = start(&m);
	int fd = eventfd(0, EFD_NONBLOCK);
	u64 left;

	route(&m, 5, 0x30);
	CHECK_OK(root_irqfd_set(m.partition, fd, 5, 0));
	signal_fd(fd);
	machine_await(&m, COUNT(0x30), 1);
	/* The counter is taken; routes of the moment count. */
	CHECK_EQ(read(fd, &left, sizeof(left)), -1);
	route(&m, 5, 0x31);
	signal_fd(fd);
	machine_await(&m, COUNT(0x31), 1);
	/* Without one nothing happens, and with one again it does. */
	CHECK_OK(root_routing_set(m.partition, NULL, 0));
	signal_fd(fd);
	route(&m, 6, 0x31);
	signal_fd(fd);
	CHECK_OK(root_irqfd_set(m.partition, fd, 5, 1u << MSHV_IRQFD_BIT_DEASSIGN));
	CHECK_OK(root_irqfd_set(m.partition, fd, 6, 0));
	signal_fd(fd);
	machine_await(&m, COUNT(0x31), 2);
	CHECK_EQ(machine_u32(&m, COUNT(0x30)), 1);
	close(fd);
	stop(&m, r);
}

static void irqfd_that_was_signalled(void)
{
	struct machine m;
	struct runner *r = start(&m);
	int fd = eventfd(3, EFD_NONBLOCK);

	route(&m, 5, 0x30);
	CHECK_OK(root_irqfd_set(m.partition, fd, 5, 0));
	machine_await(&m, COUNT(0x30), 1);
	close(fd);
	stop(&m, r);
}

static void irqfd_refusals(void)
{
	const u32 deassign = 1u << MSHV_IRQFD_BIT_DEASSIGN;
	int pipe_fds[2], fd = eventfd(0, EFD_NONBLOCK);
	struct machine m;

	CHECK(!pipe(pipe_fds));
	machine_make(&m, &(struct machine_how){0});
	CHECK_EQ(root_irqfd_set(m.partition, fd, 1, 4), -EINVAL);
	CHECK_EQ(root_irqfd_set(m.partition, fd, 1, 0x80000000), -EINVAL);
	CHECK_EQ(root_irqfd_set(m.partition, -1, 1, 0), -EBADF);
	CHECK_EQ(root_irqfd_set(m.partition, pipe_fds[0], 1, 0), -EINVAL);
	CHECK_EQ(root_irqfd_set(m.partition, -1, 1, deassign), -EBADF);
	CHECK_EQ(root_irqfd_set(m.partition, pipe_fds[0], 1, deassign), -EINVAL);
	CHECK_OK(root_irqfd_set(m.partition, fd, 1, deassign)); /* none matched */
	CHECK_OK(root_irqfd_set(m.partition, fd, 1, 0));
	CHECK_EQ(root_irqfd_set(m.partition, fd, 1, 0), -EBUSY);
	CHECK_EQ(root_irqfd_set(m.partition, fd, 2, 0), -EBUSY);
	CHECK_OK(root_irqfd_set(m.partition, fd, 2, deassign)); /* another gsi's: stays */
	CHECK_EQ(root_irqfd_set(m.partition, fd, 1, 0), -EBUSY);
	CHECK_OK(root_irqfd_set(m.partition, fd, 1, deassign));
	CHECK_OK(root_irqfd_set(m.partition, fd, 99999, 0)); /* any number */
	CHECK_EQ(port_ioctl(m.partition, MSHV_IRQFD, (void *)0xdead000000000000ul), -EFAULT);
	machine_unmake(&m);
	close(fd);
	close(pipe_fds[0]);
	close(pipe_fds[1]);
}

/* A level-triggered route: its end comes out, as for one that was asserted. */
static void irqfd_of_level(void)
{
	const struct mshv_user_irq_entry e = {
		.gsi = 4, .address_lo = 0xfee00000, .data = 0x30 | 1 << 15};
	struct hv_message message;
	struct machine m;
	struct runner *r = start(&m);
	int fd = eventfd(0, EFD_NONBLOCK);

	CHECK_OK(root_routing_set(m.partition, &e, 1));
	CHECK_OK(root_irqfd_set(m.partition, fd, 4, 0));
	signal_fd(fd);
	CHECK_EQ(machine_wait(r, &message), 0);
	CHECK_EQ(message.type, HVMSG_X64_APIC_EOI);
	machine_unmake(&m);
	close(fd);
}

/* Closing the partition ends its irqfds: the eventfd can be used for another one. */
static void irqfds_end_with_the_partition(void)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct machine m;
	u64 count;

	machine_make(&m, &(struct machine_how){0});
	CHECK_OK(root_irqfd_set(m.partition, fd, 1, 0));
	machine_unmake(&m);
	signal_fd(fd);
	CHECK_EQ(read(fd, &count, sizeof(count)), sizeof(count));
	machine_make(&m, &(struct machine_how){0});
	CHECK_OK(root_irqfd_set(m.partition, fd, 1, 0));
	machine_unmake(&m);
	close(fd);
}

GUEST(bell);

/* They and the doorbells end with its descriptor, though a processor of it lives on. */
static void events_end_before_the_last_vp(void)
{
	const struct mshv_user_ioeventfd bell = {.addr = 0xd0001000, .len = 4};
	int irq = eventfd(0, EFD_NONBLOCK), rings = eventfd(0, EFD_NONBLOCK);
	struct mshv_user_ioeventfd how = bell;
	struct hv_message message;
	struct machine m;
	u64 count;

	how.fd = rings;
	machine_make(&m, &(struct machine_how){0});
	CODE64(&m, 0, bell);
	m.page[0]->gpr[RBX] = bell.addr;
	m.page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	route(&m, 5, 0x30);
	CHECK_OK(root_irqfd_set(m.partition, irq, 5, 0));
	CHECK_OK(root_ioeventfd_set(m.partition, &how));
	machine_run(&m, 0, HVMSG_UNMAPPED_GPA, &message); /* another length */
	CHECK_EQ(m.page[0]->rip, MACHINE_CODE + 6);
	CHECK_EQ(read(rings, &count, sizeof(count)), sizeof(count));
	port_close(m.partition);
	machine_go(&m, 0, MACHINE_CODE);
	machine_run(&m, 0, HVMSG_UNMAPPED_GPA, &message);
	CHECK_EQ(m.page[0]->rip, MACHINE_CODE);
	CHECK_EQ(read(rings, &count, sizeof(count)), -1);
	signal_fd(irq);
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL); /* for who would take it */
	CHECK_EQ(read(irq, &count, sizeof(count)), sizeof(count));
	m.partition = dup(irq);
	machine_unmake(&m);
	close(irq);
	close(rings);
}

const struct test irq_tests[] = {
	{"asserted", asserted},
	{"asserted to logical id", asserted_to_logical_id},
	{"nmi", nmi},
	{"accepted without effect", accepted_without_effect},
	{"cleared", cleared},
	{"low vectors", low_vectors},
	{"end of level", end_of_level},
	{"end of level xapic", end_of_level_xapic},
	{"nmi deliverable", nmi_deliverable},
	{"init and sipi", init_and_sipi},
	{"sipi is remembered", sipi_is_remembered},
	{"apic timer", apic_timer},
	{"by irqfd", by_irqfd},
	{"irqfd that was signalled", irqfd_that_was_signalled},
	{"irqfd refusals", irqfd_refusals},
	{"irqfd of level", irqfd_of_level},
	{"irqfds end with the partition", irqfds_end_with_the_partition},
	{"events end before the last vp", events_end_before_the_last_vp},
	{0},
};
