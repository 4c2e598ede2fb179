/* SPDX-License-Identifier: MIT */
/* Memory for the block tables: reserved at once, committed as it is used. Outer code. */
#include <errno.h>
#include <sys/mman.h>

#include "engine/cpu/block.h"
#include "base/sys.h"

#define DETAIL_BYTES (64u << 20)

static void *reserve(size_t n)
{
	void *p = sys_mmap(NULL, n, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

int blocks_create(struct blocks **ret)
{
	struct blocks *b = reserve(sizeof(*b));

	if (!b)
		return -ENOMEM;
	b->block = reserve(BLOCKS_MAX * sizeof(*b->block));
	b->detail = reserve(DETAIL_BYTES);
	b->detail_size = DETAIL_BYTES;
	b->image = reserve(IMAGES_MAX * sizeof(*b->image));
	if (!b->block || !b->detail || !b->image) {
		blocks_destroy(b);
		return -ENOMEM;
	}
	*ret = b;
	return 0;
}

void blocks_destroy(struct blocks *b)
{
	if (!b)
		return;
	if (b->block)
		sys_munmap(b->block, BLOCKS_MAX * sizeof(*b->block));
	if (b->detail)
		sys_munmap(b->detail, DETAIL_BYTES);
	if (b->image)
		sys_munmap(b->image, IMAGES_MAX * sizeof(*b->image));
	sys_munmap(b, sizeof(*b));
}
