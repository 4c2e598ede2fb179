/* SPDX-License-Identifier: MIT */
/* A machine with a guest that waits in front of its code, and a tool that has hooked it. */
#ifndef TESTS_KVMI_WORLD_H
#define TESTS_KVMI_WORLD_H

#include "tests/kvmi/tool.h"

struct world {
	enum dialect d;
	struct vm *vm;
	struct tool *t;
};

/* The same guest on all vcpus. The threads run. */
struct world world_open(enum dialect d, unsigned cpus, unsigned flags, enum mode mode,
	const u8 *code, const u8 *end);
/* The tool leaves first. */
void world_close(struct world *w);
#define WORLD(d, cpus, mode, name) world_open(d, cpus, 0, mode, guest_##name, guest_##name##_end)

/* For most tests: a guest that counts at DATA for ever. */
#define GUEST_COUNT                                                                                \
	GUEST64(count, "1:	lock incq DATA\n"                                                       \
		       "	jmp 1b\n")

/* What each dialect calls the same refusal. */
static inline s32 no_such_memory(enum dialect d)
{
	return d == V5 ? -KVM_EINVAL : -KVM_ENOENT;
}

#endif
