/* SPDX-License-Identifier: MIT */
/*
 * A dump while it is made. RAM is taken in pieces, each of them once: a piece is read, and its pages that are not zero are
 * written to their place in the file. Who decides when and in which order is paused (dump.c) or goes on (dump_live.c).
 */
#ifndef CLI_INSPECT_DUMP_H
#define CLI_INSPECT_DUMP_H

#include "cli/inspect/inspect.h"

#define PIECE        (16 * PAGE_SIZE)
#define PIECES       16   /* that are read at once at most */
#define RIGHTS_PAGES 4096 /* whose rights are changed at once */

struct dump {
	struct inspect *in;
	FILE *f;
	struct core core;
	u8 *taken;            /* of each piece, whether it is in the file */
	struct uvmi_ram *ram; /* NULL: RAM is read by commands */
	u64 bytes;
	u64 paused_ns;
	u64 saved; /* pieces that were taken because the guest was about to write */
	u8 data[PIECE];
	struct uvmi_page_access pages[RIGHTS_PAGES];
};

/* The piece at this offset of the region, unless it has been taken. -errno; a page that has gone since it was found is zero. */
int dump_take(struct dump *d, const struct ram_part *region, u64 at);
bool dump_has_taken(const struct dump *d, const struct ram_part *region, u64 at);
/* Does this while all vCPUs stand, and notes for how long they did. */
int dump_while_paused(struct dump *d, int (*what)(struct dump *d));
/* While all vCPUs are paused, before the first piece: takes their registers, and says where in the file everything is. -errno */
int dump_begin(struct dump *d);
u64 dump_now(void); /* ns */

/* ---- dump_live.c ---- */

/* All that dump_begin() and dump_take() give, as it is at one moment, while the guest runs on. -errno */
int dump_live(struct dump *d);

#endif
