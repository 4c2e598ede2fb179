/* SPDX-License-Identifier: MIT */
/* Memory for the block tables: reserved at once, committed as it is used. Outer code. */
#include <errno.h>
#include <sys/mman.h>

#include "engine/code/block.h"
#include "base/sys.h"

#define DETAIL_BYTES (64u << 20)

/* All tables lie in one mapping, each on pages of its own: where each begins, and how long it is in all. */
struct table_plan {
	size_t block, detail, copy, bytes;
};

static size_t place(struct table_plan *p, size_t bytes)
{
	size_t at = p->bytes;

	p->bytes += ALIGN_UP(bytes, (size_t)PAGE_SIZE);
	return at;
}

static struct table_plan plan_tables(void)
{
	struct table_plan p = {0};

	place(&p, sizeof(struct blocks));
	p.block = place(&p, BLOCKS_MAX * sizeof(struct block));
	p.detail = place(&p, DETAIL_BYTES);
	p.copy = place(&p, COPIES_MAX * sizeof(struct page_copy));
	return p;
}

int blocks_create(struct blocks **ret)
{
	struct table_plan p = plan_tables();
	u8 *at = sys_mmap(NULL, p.bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	struct blocks *b = (struct blocks *)at;

	if (at == MAP_FAILED)
		return -ENOMEM;
	b->block = (struct block *)(at + p.block);
	b->detail = at + p.detail;
	b->detail_size = DETAIL_BYTES;
	b->copy = (struct page_copy *)(at + p.copy);
	*ret = b;
	return 0;
}

void blocks_destroy(struct blocks *b)
{
	if (b)
		sys_munmap(b, plan_tables().bytes);
}
