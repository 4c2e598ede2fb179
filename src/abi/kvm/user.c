/* SPDX-License-Identifier: MIT */
/*
 * The caller's memory, which may not be there: a bad pointer is -EFAULT, as from a system call.
 *
 * Once there is a machine, the engine's handlers of faults do the checking. Until then the kernel does:
 * process_vm_readv() on ourselves copies and reports what it could not reach, in a microsecond or
 * more. Where that call is forbidden (a seccomp filter that answers with an error) the copy is made
 * unchecked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/kvm/kvm.h"
#include "base/sys.h"
#include "engine/engine.h"

/* The kernel's half of the addresses is nobody's, also where instructions could read it (vsyscall). */
static bool beyond(unsigned long user, size_t n)
{
	return (user | (user + n - 1)) >> 63;
}

static int finish(ssize_t done, size_t n, void *to, const void *from)
{
	if (done == (ssize_t)n)
		return 0;
	if (done < 0 && (errno == ENOSYS || errno == EPERM)) {
		memcpy(to, from, n);
		return 0;
	}
	return -EFAULT;
}

int copy_in(struct dev *d, void *to, unsigned long from, size_t n)
{
	struct iovec here = {to, n}, there = {(void *)from, n};
	int r;

	if (!n)
		return 0;
	r = beyond(from, n) ? -EFAULT : host_copy(to, (void *)from, n);
	if (likely(r != -ENOSYS))
		return r;
	return finish(sys_process_vm_readv(dev_pid(d), &here, &there), n, to, (void *)from);
}

int copy_out(struct dev *d, unsigned long to, const void *from, size_t n)
{
	struct iovec here = {(void *)from, n}, there = {(void *)to, n};
	int r;

	if (!n)
		return 0;
	r = beyond(to, n) ? -EFAULT : host_copy((void *)to, from, n);
	if (likely(r != -ENOSYS))
		return r;
	return finish(sys_process_vm_writev(dev_pid(d), &here, &there), n, (void *)to, from);
}

int copy_in_array(struct dev *d, void **ret, unsigned long from, size_t n, size_t item)
{
	void *array;
	int r;

	*ret = NULL;
	if (!n)
		return 0;
	array = malloc(n * item);
	if (!array)
		return -ENOMEM;
	r = copy_in(d, array, from, n * item);
	if (r)
		free(array);
	else
		*ret = array;
	return r;
}
