/* SPDX-License-Identifier: MIT */
/* Making and unmaking a code cache: outer code, see cache.h for what it is. */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "engine/code/block.h"
#include "engine/code/cache.h"
#include "base/sys.h"
#include "base/views.h"
#include "engine/request/pause.h"
#include "engine/core/stat.h"

static struct views views_of(const struct code_cache *c)
{
	return (struct views){.write = c->write_view, .exec = c->exec_view};
}

static int make(struct code_cache *c)
{
	struct views v;
	int r = views_map(&v, CACHE_BYTES);

	if (r)
		return r;
	c->write_view = v.write;
	c->exec_view = v.exec;
	r = blocks_create(&c->blocks);
	if (r)
		views_unmap(&v, CACHE_BYTES);
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
	c->limit = CACHE_BYTES;
	cache_reset(c);
	m->code = c;
	m->watcher = &code_watcher;
	m->code_area = (struct code_area){(u64)c->exec_view, CACHE_BYTES, c->fault};
	return 0;
}

void code_cache_destroy(struct machine *m)
{
	struct code_cache *c = m->code;
	struct views v;

	v = views_of(c);
	blocks_destroy(c->blocks);
	views_unmap(&v, CACHE_BYTES);
	free(c);
}

void code_cache_trim(struct code_cache *c)
{
	u32 used = ALIGN_DOWN((u32)atomic_load(&c->used), 1u << 20);

	if (used == c->trimmed)
		return;
	/* Shared memory: the contents stay. What lies between hot and cold code was never touched. */
	if (used)
		sys_madvise(c->write_view, CACHE_BYTES, MADV_DONTNEED);
	c->trimmed = used;
}

void machine_reset_code(struct machine *m, u32 epoch)
{
	machine_pause(m);
	if (atomic_load(&m->code->epoch) == epoch) {
		cache_reset(m->code);
		machine_stat_inc(m, MACHINE_STAT_CODE_CACHE_FLUSHES);
	}
	machine_resume(m);
}
