/* SPDX-License-Identifier: MIT */
/* What /proc says of this process. Read by calls of base/sys.h, without memory from the heap. Outer code. */
#ifndef BASE_PROC_H
#define BASE_PROC_H

#include "base/types.h"

/*
 * Calls `each` with every name in this folder that is a number, until it returns something else than 0, which is the
 * result; 0: those were all; -errno. The folder is open meanwhile, so that of descriptors has one more.
 */
int proc_numbers(const char *folder, int (*each)(int number, void *arg), void *arg);

struct proc_mapping {
	u64 start, end, offset, dev, ino;
	bool shared;
	bool anonymous; /* of no file, and no name but the kernel's */
	bool lone; /* MAP_SHARED, of a memfd named PROC_LONE: no other process and no descriptor has it */
};
#define PROC_LONE "uservisor-ram"

/* The same with every mapping, in the order of addresses. */
int proc_mappings(int (*each)(const struct proc_mapping *mapping, void *arg), void *arg);

/*
 * Does [start, start + size) lie in one mapping that is private, anonymous, readable and writable, and that has no page yet? Then
 * ret_flags is what has been asked for by madvise(2), as the words of /proc/self/smaps (VmFlags).
 */
#define PROC_FLAGS_MAX 128
bool proc_untouched(u64 start, u64 size, char ret_flags[PROC_FLAGS_MAX]);

#endif
