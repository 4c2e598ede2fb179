/* SPDX-License-Identifier: MIT */
/* Arguments of requests for fuzz-mshv: mostly right, sometimes spoilt; and the memory in which they lie. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/mshv/kinds.h"
#include "fuzz/mshv_fuzz.h"

/* ---- memory ---- */

unsigned long place(struct worker *w, size_t n, u8 **ret_write)
{
	size_t at = below(w, (ARG_BYTES - 8192) / 8) * 8;

	*ret_write = NULL;
	if (pg.garbage && chance(w, 2))
		return chance(w, 50) ? 0 : 0xdead000000000000;
	if (pg.garbage && chance(w, 3)) /* the end is missing */
		at = ARG_BYTES - below(w, n + 1);
	else if (pg.garbage && chance(w, 3))
		at += below(w, 8);
	*ret_write = at + n <= ARG_BYTES ? pg.arg_stays + at : NULL;
	/* The view that stays, unless it may go. */
	return (unsigned long)(with(VANISHING) && chance(w, 50) ? pg.arg : pg.arg_stays) + at;
}

__attribute__((no_sanitize_thread)) void put(u8 *to, const void *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		((volatile u8 *)to)[i] = ((const u8 *)from)[i];
}

void spoil(struct worker *w, void *p, size_t n)
{
	u8 *b = p;

	if (!pg.garbage || !chance(w, 25))
		return;
	if (chance(w, 10))
		for (size_t i = 0; i < n; i++)
			b[i] = (u8)rnd(&w->r);
	for (unsigned i = 1 + (unsigned)below(w, 3); i; i--) {
		u64 v = rnd_edge(&w->r);
		size_t size = 1u << below(w, 4), at = below(w, n + 1) & ~(size - 1);

		if (at + size <= n)
			memcpy(b + at, &v, size);
	}
}

static void change_pages(struct worker *w, u8 *p, size_t n)
{
	static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE,
		PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE};
	size_t at = below(w, n / 4096) * 4096, bytes = (1 + below(w, 8)) * 4096;

	mprotect(p + at, at + bytes > n ? n - at : bytes, RND_OF(&w->r, prots));
}

static void all_back(void)
{
	mprotect(pg.arg, ARG_BYTES, PROT_READ | PROT_WRITE);
	mprotect(pg.ram, RAM_BYTES, PROT_READ | PROT_WRITE);
}

void memory_step(struct worker *w)
{
	if (!with(VANISHING))
		return;
	progress("memory changes");
	switch (below(w, 6)) {
	case 0: change_pages(w, pg.arg, ARG_BYTES); break;
	case 1: change_pages(w, pg.ram, RAM_BYTES); break;
	case 2: madvise(pg.ram + below(w, RAM_BYTES / 4096) * 4096, 4096, MADV_DONTNEED); break;
	case 3:
		(void)!ftruncate(
			pg.loose_fd, (off_t)(chance(w, 50) ? LOOSE_BYTES : below(w, LOOSE_BYTES)));
		break;
	default: all_back(); break;
	}
}

/* ---- arguments that go deeper if they are right ---- */

/* Only memory that guests may write. */
static void make_memory(struct worker *w, struct mshv_user_mem_region *a)
{
	bool loose = chance(w, 20);
	u64 room = loose ? LOOSE_BYTES : RAM_BYTES, at = below(w, room / 4096),
	    pages = 1 + below(w, room / 4096 - at);

	*a = (struct mshv_user_mem_region){.size = pages * 4096,
		.guest_pfn = chance(w, 90) ? below(w, 0x100) : rnd_edge(&w->r),
		.userspace_addr = (unsigned long)(loose ? pg.loose : pg.ram) + at * 4096,
		.flags = (u8)below(w, chance(w, 60) ? 4 : 8)};
	if (chance(w, 40)) /* what map_some() mapped, or unmaps it */
		*a = (struct mshv_user_mem_region){.size = RAM_BYTES,
			.userspace_addr = (unsigned long)pg.ram,
			.flags = chance(w, 50) ? 3 : 4};
	if (pg.garbage && chance(w, 5))
		a->userspace_addr = 0x10000; /* there is nothing */
	if (pg.garbage && chance(w, 5))
		a->rsvd[below(w, 7)] = 1;
	if (pg.garbage && chance(w, 5))
		a->guest_pfn = rnd_edge(&w->r);
}

static int some_fd(struct worker *w)
{
	if (chance(w, 90))
		return pg.event[below(w, EVENT_FDS)];
	return chance(w, 50) ? pg.file : chance(w, 50) ? -1 : 5000 + (int)below(w, 5000);
}

static void make_irqfd(struct worker *w, struct mshv_user_irqfd *a)
{
	*a = (struct mshv_user_irqfd){.fd = some_fd(w),
		.resamplefd = some_fd(w),
		.gsi = (u32)below(w, 8),
		.flags = (u32)below(w, 4)};
}

static void make_ioeventfd(struct worker *w, struct mshv_user_ioeventfd *a)
{
	*a = (struct mshv_user_ioeventfd){.datamatch = below(w, 4),
		.addr = GUEST_HOLE + below(w, 4) * 4,
		.len = 1u << below(w, 5),
		.fd = some_fd(w),
		.flags = (u32)below(w, 8)};
	if (chance(w, 40))
		a->len = 0;
	if (chance(w, 20))
		a->addr = below(w, 0x2000);
}

static void make_routes(struct worker *w, struct mshv_user_irq_table *a, size_t room)
{
	unsigned n = (unsigned)below(w, (room - sizeof(*a)) / sizeof(a->entries[0]));

	*a = (struct mshv_user_irq_table){.nr = n};
	for (unsigned i = 0; i < n; i++)
		a->entries[i] = (struct mshv_user_irq_entry){.gsi = i,
			.address_lo = 0xfee00000 | (u32)below(w, 5) << 12 | (u32)below(w, 4) << 2,
			.data = (u32)(below(w, 256) | below(w, 8) << 8 | below(w, 4) << 14)};
}

static void make_bitmap(struct worker *w, struct mshv_gpap_access_bitmap *a)
{
	u8 *write;

	*a = (struct mshv_gpap_access_bitmap){.access_type = (u8)below(w, 2),
		.access_op = (u8)below(w, 3),
		.page_count = 1 + below(w, chance(w, 90) ? 0x200 : 0x10000),
		.gpap_base = below(w, 0x100)};
	a->bitmap_ptr = place(w, (a->page_count + 7) / 8, &write);
	if (pg.garbage && chance(w, 5))
		a->gpap_base = rnd_edge(&w->r);
}

/* A buffer of a whole page, mostly. */
static void make_state(struct worker *w, struct mshv_get_set_vp_state *a)
{
	static const u32 sizes[] = {0, 4096, 4096, 4096, 4096, 8192, 100, 0xfffff000};
	size_t at = below(w, ARG_BYTES / 4096 - 2) * 4096;

	*a = (struct mshv_get_set_vp_state){.type = (u8)below(w, chance(w, 95) ? 5 : 8),
		.buf_sz = pg.garbage ? RND_OF(&w->r, sizes) : 4096,
		.buf_ptr = (unsigned long)(chance(w, 70) ? pg.arg_stays : pg.arg) + at};
	if (chance(w, 30)) {
		u8 bytes[512] = {0};

		spoil(w, bytes, sizeof(bytes));
		put(pg.arg_stays + at, bytes, sizeof(bytes));
	}
	if (pg.garbage && chance(w, 5))
		a->rsvd[below(w, 3)] = 1;
	if (pg.garbage && chance(w, 5))
		a->buf_ptr += below(w, 64);
}

static void make_create(struct worker *w, struct mshv_create_partition_v2 *a)
{
	*a = (struct mshv_create_partition_v2){.pt_flags = below(w, 0x40), .pt_num_cpu_fbanks = 2};
	a->pt_cpu_fbanks[0] = chance(w, 50) ? 0 : rnd(&w->r);
	a->pt_disabled_xsave = chance(w, 50) ? 0 : rnd(&w->r);
}

/* What an inner pointer says is made above; here everything else may be anything. */
static void make(struct worker *w, const struct request *r, u8 *p, size_t n)
{
	memset(p, 0, n);
	switch (r->number) {
	case MSHV_CREATE_PARTITION: make_create(w, (void *)p); break;
	case MSHV_CREATE_VP: ((struct mshv_create_vp *)p)->vp_index = (u32)below(w, 6); break;
	case MSHV_SET_GUEST_MEMORY: make_memory(w, (void *)p); return;
	case MSHV_IRQFD: make_irqfd(w, (void *)p); return;
	case MSHV_IOEVENTFD: make_ioeventfd(w, (void *)p); return;
	case MSHV_SET_MSI_ROUTING: make_routes(w, (void *)p, n); break;
	case MSHV_GET_GPAP_ACCESS_BITMAP: make_bitmap(w, (void *)p); return;
	case MSHV_GET_VP_STATE:
	case MSHV_SET_VP_STATE: make_state(w, (void *)p); return;
	default: vtl_argument(w, r->number, p); break;
	}
	if (r->number != MSHV_ROOT_HVCALL) /* mshv_hvcall.c has these */
		spoil(w, p, n);
}

unsigned long make_argument(struct worker *w, const struct request *r)
{
	_Alignas(8) u8 bytes[512];
	size_t n = r->arg_kind == ARG_PTR ? sizeof(bytes) : r->size;
	unsigned long at;
	u8 *write;

	if (r->arg_kind <= ARG_VALUE)
		return rnd_edge(&w->r);
	at = place(w, n, &write);
	make(w, r, bytes, n);
	if (write)
		put(write, bytes, n);
	return at;
}
