/* SPDX-License-Identifier: MIT */
/* Making and unmaking a code cache: outer code, see cache.h for what it is. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "engine/code/block.h"
#include "engine/code/cache.h"
#include "engine/core/layout.h"
#include "engine/mem/mem.h"
#include "base/sys.h"
#include "base/views.h"
#include "engine/code/room.h"
#include "engine/host/enter.h"

static struct views views_of(const struct code_cache *c)
{
	return (struct views){.write = c->write_view, .exec = c->exec_view};
}

/* What files may grow to, memory without a name included: to ask for more would be the end of the process (SIGXFSZ). */
static u32 file_limit(void)
{
	struct rlimit r;

	if (sys_getrlimit(RLIMIT_FSIZE, &r) || r.rlim_cur > CACHE_BYTES_MAX)
		return CACHE_BYTES_MAX;
	return ALIGN_DOWN((u32)r.rlim_cur, (u32)PAGE_SIZE);
}

/* Addresses alone: memory comes as it is used. Where there are few, a small cache does. */
static int map_views(struct code_cache *c)
{
	struct views v;
	int r = -ENOMEM;

	for (u32 n = file_limit(); r && n >= CACHE_BYTES_MIN;
		n = ALIGN_DOWN(n / 2, (u32)PAGE_SIZE)) {
		r = views_map(&v, n);
		c->bytes = n;
	}
	if (r)
		return r;
	c->write_view = v.write;
	c->exec_view = v.exec;
	return 0;
}

static void emit_lookup(struct code_cache *c, struct emit *e, unsigned table)
{
	u8 *miss;

	emit_pad(e, 16);
	c->lookup[table] = e->p + e->exec_delta;
	miss = emit_jump_lookup(e, table);
	emit_patch32(miss, e->p);
	emit_load(e, H_RCX, FRAME_RCX);
	emit_jmp_exec(e, c->indirect);
}

/* The fixed start of the cache: the way out, and the two records that belong to no block. */
static void emit_prologue(struct code_cache *c)
{
	struct emit e = {.p = c->write_view, .exec_delta = c->exec_view - c->write_view};
	struct exit_record *rec;

	emit_jmp_abs(&e, (u64)code_leave); /* the engine's text may be far away */
	c->leave = c->exec_view;
	emit_pad(&e, 16);
	rec = (struct exit_record *)e.p;
	rec[0] = (struct exit_record){.kind = REC_DONE};
	rec[1] = (struct exit_record){.kind = REC_FAULT};
	c->done = (void *)((u8 *)rec + e.exec_delta);
	c->fault = c->done + 1;
	e.p += 2 * sizeof(*rec);
	c->indirect = e.p + e.exec_delta;
	emit_store(&e, H_R9, CPU_RIP);
	emit_exit(&e, c, REC_INDIRECT);
	for (unsigned t = 0; t < JUMP_TABLES; t++)
		emit_lookup(c, &e, t);
	uv_assert(e.p <= c->write_view + CACHE_START);
}

static int make(struct code_cache *c)
{
	struct views v;
	int r = map_views(c);

	if (r)
		return r;
	emit_prologue(c);
	c->chunk_bytes = CACHE_CHUNK;
	c->idle_ns = CACHE_IDLE_NS;
	r = blocks_create(&c->blocks);
	v = views_of(c);
	if (r)
		views_unmap(&v, c->bytes);
	return r;
}

int code_cache_create(struct machine *m)
{
	struct code_cache *c = calloc(1, sizeof(*c));
	int r = c ? make(c) : -ENOMEM;

	if (r) {
		free(c);
		return r;
	}
	cache_reset(c);
	m->code = c;
	m->watcher = &code_watcher;
	m->code_area = (struct code_area){(u64)c->exec_view, c->bytes, c->fault};
	return 0;
}

void code_cache_destroy(struct machine *m)
{
	struct code_cache *c = m->code;
	struct views v;

	v = views_of(c);
	blocks_destroy(c->blocks);
	views_unmap(&v, c->bytes);
	free(c);
}

void code_cache_trim(struct code_cache *c)
{
	u32 used = ALIGN_DOWN((u32)atomic_load(&c->used), 1u << 20);

	if (used == c->trimmed)
		return;
	/* Shared memory: the contents stay. What lies between hot and cold code was never touched. */
	if (used)
		sys_madvise(c->write_view, c->bytes, MADV_DONTNEED);
	c->trimmed = used;
}
