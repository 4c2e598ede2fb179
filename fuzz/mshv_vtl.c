/* SPDX-License-Identifier: MIT */
/*
 * The side of a higher VTL for fuzz-mshv: descriptors, arguments of requests, the pages of the lower guest's processor 0. What its guest
 * executes lies at its reset vector, and is the partitions' code.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/mshv/kinds.h"
#include "fuzz/mshv_fuzz.h"
#include "uapi/mshv_vtl.h"

#define RESET_PAGE 0xff000u

/* ---- descriptors ---- */

static void fill(struct worker *w)
{
	int fd = dev_open(pg.dev, "/dev/mshv_vtl_low", O_RDWR);
	u8 *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, RESET_PAGE);

	if (page == MAP_FAILED)
		finding("the lower guest's memory cannot be mapped");
	put(page, pg.ram_stays + CODE_AT + below(w, CODE_BYTES / 4096) * 4096, 4096);
	munmap(page, 4096);
	if (dev_close(pg.dev, fd))
		finding("/dev/mshv_vtl_low cannot be closed");
}

long vtl_open_one(struct worker *w)
{
	const struct mshv_vtl_ram_disposition ram = {0, 0x100};
	long fd = request(any_of(w, &mshv_system_ops), MSHV_CREATE_VTL, rnd(&w->r));

	if (fd < 0)
		return fd;
	request((int)fd, MSHV_ADD_VTL0_MEMORY, (unsigned long)&ram); /* it is there, or is now */
	fill(w);
	return fd;
}

static long open_node(const char *path)
{
	return dev_open(pg.dev, path, O_RDWR | O_NONBLOCK);
}

long vtl_open_sint(struct worker *w)
{
	return open_node("/dev/mshv_sint");
}

long vtl_open_low(struct worker *w)
{
	return open_node("/dev/mshv_vtl_low");
}

/* Mostly all hypercalls are allowed. */
long vtl_open_hvcall(struct worker *w)
{
	u8 all[8192];
	const struct mshv_vtl_hvcall_setup a = {sizeof(all), (unsigned long)all};
	long fd = open_node("/dev/mshv_hvcall");

	memset(all, 0xff, sizeof(all));
	if (fd >= 0 && chance(w, 90))
		request((int)fd, MSHV_HVCALL_SETUP, (unsigned long)&a);
	return fd;
}

/* ---- arguments ---- */

static void make_ram(struct worker *w, struct mshv_vtl_ram_disposition *a)
{
	a->start_pfn = below(w, 0x400);
	a->last_pfn = a->start_pfn + below(w, 8);
}

static void make_registers(struct worker *w, struct mshv_vp_registers *a)
{
	struct hv_register r = {.name = HV_X64_REGISTER_RAX + (u32)below(w, 0x12)};
	u8 *write;

	if (chance(w, 50))
		r.name = (u32)below(w, 16) << 16 | (u32)below(w, 0x20);
	r.value.low = chance(w, 50) ? below(w, 0x10000) : rnd_edge(&w->r);
	a->count = 1;
	a->regs_ptr = place(w, sizeof(r), &write);
	if (write)
		put(write, &r, sizeof(r));
}

static void make_post(struct worker *w, struct mshv_vtl_sint_post_msg *a)
{
	u8 *write;

	a->message_type = 1 + below(w, 4);
	a->connection_id = (u32)below(w, 4);
	a->payload_size = (u32)below(w, 241);
	a->payload_ptr = place(w, a->payload_size, &write);
}

static void make_hvcall(struct worker *w, struct mshv_vtl_hvcall *a)
{
	struct {
		u64 partition;
		u32 vp_index, rest[9];
	} in = {.partition = HV_PARTITION_ID_SELF, .vp_index = (u32)below(w, 3)};
	static const u16 codes[] = {HVCALL_GET_VP_REGISTERS, HVCALL_SET_VP_REGISTERS,
		HVCALL_TRANSLATE_VIRTUAL_ADDRESS, HVCALL_ASSERT_VIRTUAL_INTERRUPT,
		HVCALL_SIGNAL_EVENT_DIRECT, HVCALL_POST_MESSAGE_DIRECT, HVCALL_INSTALL_INTERCEPT,
		HVCALL_POST_MESSAGE, HVCALL_SIGNAL_EVENT, HVCALL_GET_PARTITION_PROPERTY,
		HVCALL_GET_VP_CPUID_VALUES};
	u8 *write;

	for (unsigned i = 0; i < ARRAY_SIZE(in.rest); i++)
		in.rest[i] = chance(w, 50) ? (u32)below(w, 32) : (u32)rnd_edge(&w->r);
	a->control = RND_OF(&w->r, codes);
	if (chance(w, 50))
		a->control |= below(w, 4) << 32;
	if (chance(w, 5))
		a->control |= rnd_edge(&w->r);
	a->input_size = chance(w, 50) ? sizeof(in) : below(w, 4096);
	a->input_ptr = place(w, a->input_size, &write);
	if (write)
		put(write, &in, MIN((size_t)a->input_size, sizeof(in)));
	a->output_size = below(w, 4097);
	a->output_ptr = place(w, a->output_size, &write);
}

void vtl_argument(struct worker *w, u32 number, void *p)
{
	switch (number) {
	case MSHV_ADD_VTL0_MEMORY: make_ram(w, p); break;
	/* The same number is MSHV_SINT_PAUSE_MESSAGE_STREAM: a mask, which is then 0 or 1. */
	case MSHV_SET_POLL_FILE:
		*(struct mshv_vtl_set_poll_file *)p = (struct mshv_vtl_set_poll_file){
			(u32)below(w, 2), chance(w, 70) ? (u32)pg.event[below(w, EVENT_FDS)] : 0};
		break;
	case MSHV_GET_VP_REGISTERS:
	case MSHV_SET_VP_REGISTERS: make_registers(w, p); break;
	case MSHV_SINT_POST_MESSAGE: make_post(w, p); break;
	case MSHV_SINT_SIGNAL_EVENT:
		*(struct mshv_vtl_signal_event *)p =
			(struct mshv_vtl_signal_event){(u32)below(w, 4), (u32)below(w, 2050)};
		break;
	case MSHV_SINT_SET_EVENTFD:
		*(struct mshv_vtl_set_eventfd *)p = (struct mshv_vtl_set_eventfd){
			chance(w, 80) ? pg.event[below(w, EVENT_FDS)] : -1, (u32)below(w, 2050)};
		break;
	case MSHV_HVCALL: make_hvcall(w, p); break;
	default: break;
	}
}

/* ---- what a program does beside ---- */

/* page[0] is the run page, page[1] the register page. */
void vtl_scribble(struct worker *w, struct slot *s)
{
	pthread_rwlock_rdlock(&pg.pages);
	for (unsigned i = 0; i < 2; i++) {
		u8 *b = s->page[i];

		if (!b)
			continue;
		__atomic_store_n(&b[below(w, chance(w, 80) ? 0x620 : 4096)], (u8)rnd(&w->r),
			__ATOMIC_RELAXED);
		if (!i)
			__atomic_store_n((u32 *)b, (u32)chance(w, 20), __ATOMIC_RELAXED);
		else if (chance(w, 50))
			__atomic_store_n(&((struct hv_register_page *)b)->dirty, (u32)below(w, 32),
				__ATOMIC_RELAXED);
	}
	pthread_rwlock_unlock(&pg.pages);
}

void vtl_read(int fd)
{
	u8 message[256];

	dev_read_check(pg.dev, fd, sizeof(message));
	(void)!syscall(SYS_read, fd, message, sizeof(message)); /* others may close it meanwhile */
}
