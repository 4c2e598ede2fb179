/* SPDX-License-Identifier: MIT */
/*
 * Guest RAM as files of this process: for tools on this host that want to map it in the place of asking for each page. Only what
 * the VMM has mapped shared from a file of which it still has a descriptor.
 */
#ifndef INTROSPECT_RAM_H
#define INTROSPECT_RAM_H

#include "engine/engine.h"
#include "uapi/kvmi_v6.h"

#define RAM_FILES_MAX 16

struct ram_files {
	struct kvmi_v6_ram_region *region; /* in the order of addresses */
	unsigned count, room;
	int fd[RAM_FILES_MAX]; /* opened for reading alone; region.file counts in here */
	u64 dev[RAM_FILES_MAX], ino[RAM_FILES_MAX];
	unsigned files;
};

/* All of the machine's; ram_files_free() also if it fails. -ENOMEM; -EIO: /proc is not there. */
int ram_files_find(struct machine *m, struct ram_files *ret);
void ram_files_free(struct ram_files *f);

#endif
