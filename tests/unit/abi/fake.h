/* SPDX-License-Identifier: MIT */
/*
 * Two interfaces for tests: "/dev/fake", which makes boxes, which make parts, which belong to their box; and "/dev/fake-too",
 * which can do nothing. The first has other nodes: "/dev/fake-other", from which packets are read, and "/dev/fake-memory",
 * whose descriptors all show one memory.
 */
#ifndef TESTS_UNIT_ABI_FAKE_H
#define TESTS_UNIT_ABI_FAKE_H

#include <sys/ioctl.h>

#include "abi/object.h"

struct fake_sum {
	u32 a, b, sum;
};

#define FAKE_VERSION      _IO('F', 0)                    /* on /dev/fake; takes no lock */
#define FAKE_MAKE_BOX     _IO('F', 1)                    /* its number is the argument */
#define FAKE_SUM          _IOWR('F', 2, struct fake_sum) /* on a box */
#define FAKE_MAKE_PART    _IO('F', 3)
#define FAKE_ABANDON_PART _IO('F', 4) /* as if there were no memory for what is behind it */
#define FAKE_BLOCKED      _IO('F', 5) /* on both: is SIGUSR1 blocked meanwhile? */
#define FAKE_WHOSE        _IO('F', 6) /* on a part: its own number, and 1000 times that of its box */
#define FAKE_FETCH        _IO('F', 7) /* the u32 that the argument points to */
#define FAKE_PAUSE        _IO('F', 8) /* on /dev/fake-other: 1 or 0 */
#define FAKE_PUT          _IO('F', 9) /* a packet full of this byte */
#define FAKE_TOO_NOTHING  _IO('G', 0)

extern const struct fd_ops fake_system_ops, fake_other_ops, fake_memory_ops, fake_box_ops,
	fake_part_ops, fake_too_ops;

#define FAKE_PACKET 256
/* Of /dev/fake-memory. */
#define FAKE_MEMORY 4096

/* How many of what descriptors share there are; and with what an open of /dev/fake-other fails. */
extern unsigned fake_commons;
extern int fake_open_error;

/* What was released, in this order; by this process and its children. NULL: nobody wants to know. */
struct fake_log {
	_Atomic unsigned count;
	int number[64];
};
extern struct fake_log *fake_log;
/* Called by each release; NULL: nothing. */
extern void (*fake_on_release)(void);
/* Was SIGUSR1 blocked in the last fallocate() or check of a mapping? */
extern bool fake_blocked;

#endif
