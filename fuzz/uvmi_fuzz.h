/* SPDX-License-Identifier: MIT */
/* fuzz-uvmi: uvmi.c makes a case and has the tool, which calls the library; uvmi_vm.c has the VM, which means no good. */
#ifndef FUZZ_UVMI_FUZZ_H
#define FUZZ_UVMI_FUZZ_H

#include <pthread.h>

#include "fuzz/cases.h"
#include "uapi/kvmi_v6.h"
#include "uvmi.h"

/* What --without leaves out. */
enum { GREETINGS, ANSWERS, EVENTS, FILES, DEATHS, SILENCE, SHRINKING, THREADS };

#define VM_RAM     (64 * PAGE_SIZE) /* of the file that it hands over */
#define VCPUS_MOST 6

struct vm {
	struct random r;
	bool v5;
	bool mute;      /* the tool wants no answers */
	bool shrinks;   /* it may cut its file short after the tool has looked at it */
	unsigned wrong; /* percent of its messages that are */
	int fd, ram;
	unsigned budget; /* of messages; then it dies */
	u32 event_seq;
	pthread_t thread;
};

/* Begins in a thread of its own; it ends by itself when the other end of its socket is closed. */
void vm_begin(struct vm *v, struct random *r, bool v5, int fd);
void vm_end(struct vm *v);

#endif
