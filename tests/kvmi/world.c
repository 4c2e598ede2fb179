/* SPDX-License-Identifier: MIT */
/* See world.h. */
#include "tests/kvmi/world.h"

struct world world_open(enum dialect d, unsigned cpus, unsigned flags, enum mode mode,
	const u8 *code, const u8 *end)
{
	struct world w = {.d = d, .vm = vm_open(cpus, flags)};

	for (unsigned i = 0; i < cpus; i++)
		vm_guest(w.vm, i, mode, code, end);
	w.t = tool_open(w.vm, d);
	vm_go(w.vm);
	return w;
}

void world_close(struct world *w)
{
	if (w->t)
		tool_close(w->t);
	w->t = NULL;
	vm_close(w->vm);
}
