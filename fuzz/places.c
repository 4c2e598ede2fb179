/* SPDX-License-Identifier: MIT */
/* See places.h. Slot i + 1 is that of memory i. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/hostile.h"
#include "fuzz/places.h"

#define PATTERN 0x0101010101010101ull /* of memory that the guest may only read */

static unsigned number(const struct places *p, const struct memory *m)
{
	return (unsigned)(m - p->memory);
}

static void fill(const struct memory *m, u64 value)
{
	for (u32 i = 0; i < m->period; i += 8)
		memcpy(m->host + i, &value, 8);
}

static void check(const struct places *p, const struct memory *m, u64 value, const char *what)
{
	u64 v;

	for (u32 i = 0; i < m->period; i += 8) {
		memcpy(&v, m->host + i, 8);
		if (v != value)
			finding("memory %u, last at %#llx, %s: at %#x is %#llx", number(p, m),
				(unsigned long long)m->gpa, what, i, (unsigned long long)v);
	}
}

static void check_memory(const struct places *p, const struct memory *m)
{
	if (!m->host)
		return;
	if (!m->used)
		check(p, m, CANARY, "is in no slot any more");
	else if (m->flags & KVM_MEM_READONLY)
		check(p, m, PATTERN, "cannot be written");
}

/* ---- addresses ---- */

u64 place_address(struct random *r)
{
	const u64 page = PLACE_GPA + rnd_below(r, 6) * PLACE_BYTES + rnd_below(r, 34) * 4096;

	return rnd_chance(r, 60) ? page + rnd_below(r, 33) - 16 : page + rnd_below(r, 4096);
}

/* Every other one of its pages is global. */
void places_tables(struct box *b)
{
	for (u64 i = PLACES; i < PLACES + LARGE_REACH / PLACE_BYTES; i++) {
		const u64 e = (PLACE_GPA + i * PLACE_BYTES) | (i % 2 ? 0x187 : 0x87);

		memcpy(b->ram + 0xc000 + 8 * i, &e, 8);
	}
}

/* ---- steps ---- */

static bool is_large(const struct places *p, const struct memory *m)
{
	return m == &p->memory[SMALL];
}

static u64 some_gpa(struct places *p, const struct memory *m)
{
	struct random *r = &p->r;
	const u64 gpa = PLACE_GPA + rnd_below(r, 6) * PLACE_BYTES;

	if (is_large(p, m))
		return LARGE_GPA + (rnd_chance(r, 70) ? 0 : rnd_below(r, LARGE_ROOM / 4096) * 4096);
	return rnd_chance(r, 70) ? gpa : gpa + rnd_below(r, 34) * 4096;
}

static long set(struct places *p, struct memory *m, u64 gpa, u32 flags, u64 bytes)
{
	return box_slot(p->b, number(p, m) + 1, flags, gpa, bytes, m->host);
}

static void protect(struct memory *m, int prot)
{
	m->still = prot != (PROT_READ | PROT_WRITE);
	if (mprotect(m->host, m->bytes, prot))
		abort();
}

/* What guests run there is old already. */
static void fill_with_code(struct places *p, struct memory *m)
{
	static const u8 code[] = {
		0xb8, 1, 2, 3, 4, 0xc3, 0x48, 0xff, 0x07, 0xf3, 0xa4, 0x50, 0x9c, 0xc3};

	fill(m, 0);
	for (u32 i = 0; i < m->period; i += 512)
		memcpy(m->host + i + rnd_below(&p->r, 490), code, sizeof(code));
}

static void create(struct places *p, struct memory *m)
{
	const u32 flags = rnd_chance(&p->r, 25)   ? KVM_MEM_READONLY
			  : rnd_chance(&p->r, 30) ? KVM_MEM_LOG_DIRTY_PAGES
						  : 0;
	const u64 gpa = some_gpa(p, m);
	long r;

	check_memory(p, m);
	if (flags & KVM_MEM_READONLY)
		fill(m, PATTERN);
	else
		fill_with_code(p, m);
	r = set(p, m, gpa, flags, m->bytes);
	tell("memory %u at %#llx, flags %u: %ld", number(p, m), (unsigned long long)gpa, flags, r);
	if (r) {
		fill(m, CANARY);
		return;
	}
	m->used = true;
	m->gpa = gpa;
	m->flags = flags;
}

static void delete (struct places *p, struct memory *m)
{
	const long r = set(p, m, m->gpa, 0, 0);

	tell("memory %u goes: %ld", number(p, m), r);
	if (r)
		finding("a slot cannot be deleted: %ld", r);
	if (m->still)
		protect(m, PROT_READ | PROT_WRITE);
	check_memory(p, m);
	m->used = false;
	m->flags = 0;
	fill(m, CANARY);
}

/* Again and again, with nothing in between. */
static void go_and_come(struct places *p, struct memory *m)
{
	for (u64 n = 1 + rnd_below(&p->r, 16); n; n--)
		if (set(p, m, m->gpa, 0, 0) || set(p, m, m->gpa, m->flags, m->bytes))
			finding("a slot cannot be deleted and made again");
	tell("memory %u goes and comes", number(p, m));
}

static void move(struct places *p, struct memory *m)
{
	const u64 gpa = some_gpa(p, m);

	if (!set(p, m, gpa, m->flags, m->bytes))
		m->gpa = gpa;
}

static void log_writes(struct places *p, struct memory *m)
{
	u64 bitmap[LARGE_BYTES / 4096 / 64 + 1];
	struct kvm_dirty_log log = {.slot = number(p, m) + 1, .dirty_bitmap = bitmap};

	if (m->flags & KVM_MEM_READONLY)
		return;
	if (rnd_chance(&p->r, 50))
		box_do(p->b, p->b->vm, KVM_GET_DIRTY_LOG, &log);
	else if (!set(p, m, m->gpa, m->flags ^ KVM_MEM_LOG_DIRTY_PAGES, m->bytes))
		m->flags ^= KVM_MEM_LOG_DIRTY_PAGES;
}

/* The host's protection; a guest that may not is told so by -EFAULT. */
static void protect_some(struct places *p, struct memory *m)
{
	static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE};

	if (with(PROTECT))
		protect(m, RND_OF(&p->r, prots));
}

/* Refused, and what it takes along on the way there must be as it was: RAM is part of the memory it names. */
static void refused(struct places *p)
{
	struct kvm_userspace_memory_region2 r = {.slot = 20,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = PLACE_GPA + 8 * PLACE_BYTES,
		.memory_size = BOX_RAM,
		.userspace_addr = (unsigned long)p->b->ram + rnd_below(&p->r, BOX_RAM >> 12) * 4096,
		.guest_memfd = (u32)p->guest_memfd};

	if (p->guest_memfd < 0 || !with(REFUSED))
		return;
	if (!box_do(p->b, p->b->vm, KVM_SET_USER_MEMORY_REGION2, &r))
		finding("a slot of memory that another slot has already is not refused");
}

static struct memory *some_memory(struct places *p)
{
	return &p->memory[rnd_chance(&p->r, p->large) ? SMALL : rnd_below(&p->r, SMALL)];
}

static void one_change(struct places *p)
{
	struct memory *m = some_memory(p);

	if (rnd_chance(&p->r, 8)) {
		refused(p);
	} else if (m->used && rnd_chance(&p->r, is_large(p, m) ? 60 : 5)) {
		go_and_come(p, m);
	} else if (!m->used) {
		rnd_chance(&p->r, 80) ? create(p, m) : check_memory(p, m);
	} else {
		switch (rnd_below(&p->r, 8)) {
		case 0 ... 2: delete (p, m); break;
		case 3: log_writes(p, m); break;
		case 4: move(p, m); break;
		case 5: protect_some(p, m); break;
		default: m->still ? protect(m, PROT_READ | PROT_WRITE) : check_memory(p, m);
		}
	}
}

void places_step(struct places *p)
{
	count_step();
	one_change(p);
	p->steps++;
}

/* ---- from beginning to end ---- */

/* In a protected vm: half of a guest_memfd is a slot's, so that no other can have it. */
static void bind(struct places *p)
{
	struct kvm_create_guest_memfd c = {.size = BOX_RAM};
	struct kvm_userspace_memory_region2 r = {.slot = 21,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = PLACE_GPA + 7 * PLACE_BYTES,
		.memory_size = BOX_RAM / 2};

	p->guest_memfd = (int)box_do(p->b, p->b->vm, KVM_CREATE_GUEST_MEMFD, &c);
	if (p->guest_memfd < 0)
		return;
	r.guest_memfd = (u32)p->guest_memfd;
	r.userspace_addr = (unsigned long)p->memory[0].host + 2 * SMALL * SMALL_BYTES;
	box_do(p->b, p->b->vm, KVM_SET_USER_MEMORY_REGION2, &r);
}

/* Many pages for guests and the engine, few to be filled and looked through. */
static u8 *map_again_and_again(u64 bytes, u32 period)
{
	const int flags = MAP_SHARED | MAP_FIXED | MAP_POPULATE;
	u8 *all = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	const int fd = memfd_create("fuzz", MFD_CLOEXEC);

	if (all == MAP_FAILED || fd < 0 || ftruncate(fd, period))
		abort();
	for (u64 i = 0; i < bytes; i += period)
		if (mmap(all + i, period, PROT_READ | PROT_WRITE, flags, fd, 0) == MAP_FAILED)
			abort();
	close(fd);
	return all;
}

static void make_large(struct places *p)
{
	struct memory *m = &p->memory[SMALL];

	if (!p->large)
		return;
	*m = (struct memory){.bytes = LARGE_BYTES, .period = LARGE_PERIOD};
	m->host = map_again_and_again(m->bytes, m->period);
	fill(m, CANARY);
}

void places_open(struct places *p, struct box *b, unsigned large, struct random r)
{
	const size_t bytes = 2 * SMALL * SMALL_BYTES + BOX_RAM / 2;
	u8 *all = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (all == MAP_FAILED)
		abort();
	*p = (struct places){.b = b, .r = r, .large = large, .guest_memfd = -1};
	for (unsigned i = 0; i < SMALL; i++) {
		p->memory[i] = (struct memory){.host = all + 2 * i * SMALL_BYTES,
			.bytes = SMALL_BYTES,
			.period = SMALL_BYTES};
		fill(&p->memory[i], CANARY);
	}
	make_large(p);
	bind(p);
}

void places_empty(struct places *p)
{
	for (unsigned i = 0; i < MEMORIES; i++)
		if (p->memory[i].used)
			delete (p, &p->memory[i]);
}

/* The guest keeps what it reads in RAM, if only by a context that it saves. */
void places_check(struct places *p)
{
	u64 v;

	for (unsigned i = 0; i < MEMORIES; i++)
		check_memory(p, &p->memory[i]);
	for (u32 i = 0; i < BOX_RAM; i += 8) {
		memcpy(&v, p->b->ram + i, 8);
		if (v == CANARY)
			finding("RAM at %#x has what is in no slot", i);
	}
}

void places_close(struct places *p)
{
	if (p->guest_memfd >= 0)
		dev_close(p->b->dev, p->guest_memfd);
	munmap(p->memory[0].host, 2 * SMALL * SMALL_BYTES + BOX_RAM / 2);
	if (p->memory[SMALL].host)
		munmap(p->memory[SMALL].host, LARGE_BYTES);
}
