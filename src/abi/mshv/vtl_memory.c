/* SPDX-License-Identifier: MIT */
/* MSHV_ADD_VTL0_MEMORY: a stretch of the file behind /dev/mshv_vtl_low becomes memory of the lower guest. */
#include "abi/mshv/vtl.h"

#include <sys/mman.h>

#include "abi/mshv/memory.h"
#include "base/sys.h"

/* The file ends where the memory that was added does: what lies beyond is nowhere. */
static int grow(int fd, u64 size)
{
	const off_t now = sys_lseek(fd, 0, SEEK_END);

	if (now < 0)
		return -errno;
	return (u64)now < size && sys_ftruncate(fd, (off_t)size) ? -errno : 0;
}

static long add(struct vtl *t, u64 pfn, u64 pages, struct refusal *why)
{
	struct mshv_user_mem_region a = {.guest_pfn = pfn,
		.size = pages * HV_PAGE_SIZE,
		.flags = 1 << MSHV_SET_MEM_BIT_WRITABLE | 1 << MSHV_SET_MEM_BIT_EXECUTABLE};
	long r = grow(t->memory_fd, (pfn + pages) * HV_PAGE_SIZE);
	void *at;

	if (r)
		return r;
	at = sys_mmap(NULL, a.size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
		t->memory_fd, (off_t)(pfn * HV_PAGE_SIZE));
	if (at == MAP_FAILED)
		return -errno;
	a.userspace_addr = (u64)at;
	r = partition_map(t->partition, &a, why);
	if (r)
		sys_munmap(at, a.size);
	return r;
}

/* Whatever is wrong is -EFAULT, as in the kernel's driver. */
long vtl_add_memory(struct call *c)
{
	const struct mshv_vtl_ram_disposition *a = c->data;
	struct vtl *t = vtl_of(c);
	long r;

	if (a->last_pfn <= a->start_pfn)
		return refuse(c->why, -EFAULT, "last_pfn 0x%lx: must be above start_pfn 0x%lx",
			(u64)a->last_pfn, (u64)a->start_pfn);
	if (a->last_pfn > PFN_END)
		return refuse(c->why, -EFAULT, "last_pfn 0x%lx: beyond the physical address space",
			(u64)a->last_pfn);
	pthread_mutex_lock(&t->partition->requests);
	r = add(t, a->start_pfn, a->last_pfn - a->start_pfn, c->why);
	pthread_mutex_unlock(&t->partition->requests);
	if (r == -EEXIST)
		return refuse(c->why, -EFAULT,
			"start_pfn 0x%lx, last_pfn 0x%lx: memory of these was added before",
			(u64)a->start_pfn, (u64)a->last_pfn);
	return r ? -EFAULT : 0;
}

bool vtl_memory_is_there(const struct object *o, u64 offset, u64 *ret_bytes)
{
	const struct vtl *t = o->behind;
	const u64 pfn = offset / HV_PAGE_SIZE;
	u64 pages = 0;
	bool there = pfn < PFN_END && partition_stretch(t->partition, pfn, &pages);

	*ret_bytes = pfn < PFN_END ? pages * HV_PAGE_SIZE : UINT64_MAX - offset;
	return there;
}
