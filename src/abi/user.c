/* SPDX-License-Identifier: MIT */
/*
 * The caller's memory, which may not be there: a bad pointer is -EFAULT, as from a system call.
 *
 * Once there is a machine, the engine's handlers of faults do the checking. Until then the kernel does
 * (sys_copy()), in a microsecond or more. Where it may not (a seccomp filter that answers with an error) the copy is
 * made unchecked.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "abi/user.h"
#include "base/sys.h"
#include "engine/engine.h"

/* The kernel's half of the addresses is nobody's, also where instructions could read it (vsyscall). */
static bool beyond(unsigned long user, size_t n)
{
	return (user | (user + n - 1)) >> 63;
}

static int by_kernel(void *to, const void *from, size_t n)
{
	int r = sys_copy(to, from, n);

	if (r != -ENOSYS && r != -EPERM)
		return r ? -EFAULT : 0;
	memcpy(to, from, n);
	return 0;
}

static int copy(void *to, const void *from, unsigned long user, size_t n)
{
	int r;

	if (!n)
		return 0;
	r = beyond(user, n) ? -EFAULT : host_copy(to, from, n);
	return likely(r != -ENOSYS) ? r : by_kernel(to, from, n);
}

int copy_in(struct dev *d, void *to, unsigned long from, size_t n)
{
	(void)d;
	return copy(to, (const void *)from, from, n);
}

int copy_out(struct dev *d, unsigned long to, const void *from, size_t n)
{
	(void)d;
	return copy((void *)to, from, to, n);
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
