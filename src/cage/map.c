/* SPDX-License-Identifier: MIT */
/*
 * The cage's address space, which the mapper changes by a list of system calls in pages that only the parent can write.
 * While it does, the runner waits for its parent, so a page is never seen half made.
 *
 * The memory is in the cage's area, where nothing is accessible. mremap() with an old size of 0 makes a second mapping of
 * shared memory, and refuses any other; no descriptor and no file name is needed for it.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "cage/cage_priv.h"

#define MOVE (MREMAP_MAYMOVE | MREMAP_FIXED)

/* Ends of the addresses of a program: with five levels of page tables, and with four. */
static const u64 tops[] = {(1ull << 56) - PAGE_SIZE, (1ull << 47) - PAGE_SIZE};

/* ---- commands ---- */

struct cage_command *mapper_commands(const struct cage *c)
{
	return (struct cage_command *)(c->region + CAGE_COMMANDS);
}

static struct cage_command second_mapping(u64 from, u64 bytes, u64 to)
{
	return (struct cage_command){SYS_mremap, {from, 0, bytes, MOVE, to}, 0};
}

static struct cage_command protect(u64 at, u64 bytes, int prot)
{
	return (struct cage_command){SYS_mprotect, {at, bytes, (u64)prot}, 0};
}

static struct cage_command unmap(u64 at, u64 bytes)
{
	return (struct cage_command){SYS_munmap, {at, bytes}, 0};
}

/* Its next wait. Signals to us change nothing: it has only so much to do. */
static int mapper_wait(struct cage *c, struct notice *ret)
{
	int r;

	do
		r = seat_wait(&c->mapper, ret);
	while (r == -EINTR);
	if (!r && ret->ip != stub_at(cage_stub_mapper_parked))
		r = -EPROTO;
	return r;
}

int mapper_begin(struct cage *c)
{
	struct notice n;

	return mapper_wait(c, &n);
}

/* The result of the first that fails; *ret_done tells which it is, if the mapper still lives. */
int mapper_do(struct cage *c, unsigned n, unsigned *ret_done)
{
	struct notice notice;
	int r;

	while ((r = seat_answer(&c->mapper, n)) == -ENOENT)
		if ((r = mapper_wait(c, &notice)))
			break;
	if (!r)
		r = mapper_wait(c, &notice);
	if (r) {
		cage_lost(c);
		return r == -ENOENT ? -ESRCH : r;
	}
	*ret_done = (unsigned)notice.args[1];
	return (int)notice.args[0];
}

static int do_all(struct cage *c, unsigned n)
{
	unsigned done;

	return n ? mapper_do(c, n, &done) : 0;
}

/* ---- what was inherited ---- */

/* Its last command is carried out in a page behind the area: what cannot be executed is of no use here. */
static int put_piece(struct cage *c, struct cage_piece *p)
{
	struct cage_command *list = mapper_commands(c);
	unsigned done = 0;
	int r;

	list[0] = second_mapping((u64)p->hva, p->size, p->at);
	list[1] = protect(p->at, p->size, PROT_NONE);
	list[2] = second_mapping((u64)p->hva, PAGE_SIZE, c->end);
	list[3] = protect(c->end, PAGE_SIZE, PROT_READ | PROT_EXEC);
	r = mapper_do(c, 4, &done);
	/* Not there: MADV_DONTFORK. */
	p->dontfork |= r == -EFAULT && done == 0;
	return r;
}

static int unmap_the_rest(struct cage *c)
{
	struct cage_command *list = mapper_commands(c);
	int r = -EINVAL;

	for (unsigned i = 0; i < ARRAY_SIZE(tops) && r == -EINVAL; i++) {
		list[0] = unmap(0, CAGE_AREA);
		list[1] = unmap(c->end, tops[i] - c->end);
		r = do_all(c, 2);
	}
	return r;
}

int mapper_settle(struct cage *c)
{
	int r = 0;

	for (unsigned i = 0; i < c->pieces && c->alive; i++) {
		int here = put_piece(c, &c->piece[i]);

		r = r ? r : here;
	}
	return r ? r : unmap_the_rest(c);
}

/* ---- guest pages ---- */

/* Where a page of the parent is in the cage, and where its piece ends; 0: nowhere. */
static u64 find(const struct cage *c, const u8 *hva, u64 *ret_end)
{
	for (unsigned i = 0; i < c->pieces; i++) {
		const struct cage_piece *p = &c->piece[i];

		if (hva >= p->hva && (u64)(hva - p->hva) < p->size) {
			*ret_end = p->at + p->size;
			return p->at + (u64)(hva - p->hva);
		}
	}
	return 0;
}

static int check_page(const struct cage *c, const struct cage_page *p)
{
	u64 end;

	if (cage_owns(c, p->gva))
		return -EADDRINUSE;
	if (((p->gva | (u64)p->hva) & ~PAGE_MASK) ||
		(p->access & ~(u32)(CAGE_READ | CAGE_WRITE | CAGE_EXEC)))
		return -EINVAL;
	return !p->access || find(c, p->hva, &end) ? 0 : -EINVAL;
}

/* Execution alone is not what PROT_EXEC alone is: the kernel takes a protection key for that. */
static int prot_of(u32 access)
{
	return PROT_READ | (access & CAGE_WRITE ? PROT_WRITE : 0) |
	       (access & CAGE_EXEC ? PROT_EXEC : 0);
}

/* How many of these go with the first in one mapping. */
static unsigned run_of(const struct cage_page *p, unsigned n, u64 room)
{
	unsigned i = 1;

	while (i < n && i < room && p[i].gva == p[0].gva + i * PAGE_SIZE &&
		p[i].access == p[0].access &&
		(!p[0].access || (const u8 *)p[i].hva == (const u8 *)p[0].hva + i * PAGE_SIZE))
		i++;
	return i;
}

/* Two commands at most; *ret_pages: for so many. */
static unsigned put_run(const struct cage *c, struct cage_command *list, const struct cage_page *p,
	unsigned n, unsigned *ret_pages)
{
	u64 end, from;

	if (!p->access) {
		*ret_pages = run_of(p, n, n);
		list[0] = unmap(p->gva, *ret_pages * PAGE_SIZE);
		return 1;
	}
	from = find(c, p->hva, &end);
	*ret_pages = run_of(p, n, (end - from) / PAGE_SIZE);
	list[0] = second_mapping(from, *ret_pages * PAGE_SIZE, p->gva);
	list[1] = protect(p->gva, *ret_pages * PAGE_SIZE, prot_of(p->access));
	return 2;
}

int cage_map(struct cage *c, const struct cage_page *page, unsigned n)
{
	int r = c->alive ? 0 : -ESRCH;

	for (unsigned i = 0; i < n && !r; i++)
		r = check_page(c, &page[i]);
	for (unsigned i = 0; i < n && !r;) {
		unsigned commands = 0, pages;

		for (; i < n && commands + 2 <= CAGE_COMMANDS_MAX; i += pages)
			commands +=
				put_run(c, mapper_commands(c) + commands, &page[i], n - i, &pages);
		r = do_all(c, commands);
	}
	return r;
}

/* The parts of [from, to) that are not the cage's own. */
static int unmap_guest(struct cage *c, u64 from, u64 to)
{
	struct cage_command *list = mapper_commands(c);
	unsigned n = 0;

	if (from < MIN(to, CAGE_AREA))
		list[n++] = unmap(from, MIN(to, CAGE_AREA) - from);
	if (MAX(from, c->end) < to)
		list[n++] = unmap(MAX(from, c->end), to - MAX(from, c->end));
	return do_all(c, n);
}

/* Up to the end of what the kernel maps, of which it is asked: -EINVAL is beyond. */
int cage_unmap(struct cage *c, u64 gva, u64 bytes)
{
	u64 to = gva + bytes;
	int r = -EINVAL;

	if (!c->alive)
		return -ESRCH;
	if ((gva | bytes) & ~PAGE_MASK || to < gva)
		return -EINVAL;
	for (unsigned i = 0; i < ARRAY_SIZE(tops) && r == -EINVAL; i++)
		r = gva < tops[i] ? unmap_guest(c, gva, MIN(to, tops[i])) : 0;
	return r;
}

int cage_clear(struct cage *c)
{
	int r = cage_unmap(c, 0, tops[0]);

	if (!r)
		r = breaks_clear(c);
	if (!r)
		runner_scrub(c);
	return r;
}

void cage_own(const struct cage *c, u64 *from, u64 *readable_to, u64 *to)
{
	*from = CAGE_AREA;
	*readable_to = CAGE_AREA + CAGE_REGION_SIZE;
	*to = c->end;
}
