/* SPDX-License-Identifier: MIT */
/*
 * Which address space this is. dev->mm_page is wiped by the kernel in a forked child, which tells us, without a
 * system call, that the address space is not the one in which vms were made (vfork shares it, rightly).
 */
#include <errno.h>
#include <sys/mman.h>

#include "abi/table.h"
#include "introspect/maps.h"

int mm_page_create(struct dev *d)
{
	void *p = sys_mmap(
		NULL, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return -errno;
	/* Without it (Linux before 4.14) a forked child is simply not noticed. */
	sys_madvise(p, PAGE_SIZE, MADV_WIPEONFORK);
	d->mm_page = p;
	atomic_store(d->mm_page, MM_SAME);
	return 0;
}

static void begin_again(struct dev *d)
{
	u32 forked = MM_FORKED;

	if (!atomic_compare_exchange_strong(d->mm_page, &forked, MM_BUSY)) {
		while (atomic_load(d->mm_page) == MM_BUSY)
			;
		return;
	}
	pthread_mutex_init(&d->lock, NULL);
	pthread_mutex_init(&d->common_lock, NULL);
	maps_forget(d->maps);
	d->pid = sys_getpid();
	d->mm++;
	atomic_store(d->mm_page, MM_SAME);
}

/*
 * First call in a forked child: no other thread exists, and nobody will release the locks. A handler that came meanwhile
 * and asked, too, would wait for whom it has interrupted.
 */
void dev_after_fork(struct dev *d)
{
	u64 mask;

	signals_block(&mask);
	begin_again(d);
	signals_restore(mask);
}

int dev_pid(const struct dev *d)
{
	return d->pid;
}

bool dev_in_vfork_child(struct dev *d)
{
	check_fork(d);
	return sys_getpid() != d->pid;
}
