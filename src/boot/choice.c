/* SPDX-License-Identifier: MIT */
/* The choice: what was asked for, else the kernel's KVM if a probe shows that it runs guests well, else our own. */
#include <stdio.h>
#include <string.h>

#include "boot/choice.h"
#include "boot/probe.h"

static int choose_auto(struct engine_choice *choice)
{
	struct probe_result probe;

	probe_kernel_kvm(&probe);
	choice->engine = probe.verdict == PROBE_WORKS ? "kernel" : "soft";
	snprintf(choice->why, sizeof(choice->why), "%s", probe.text);
	return 0;
}

int engine_choose(const char *wish, struct engine_choice *choice, struct failure *f)
{
	if (!strcmp(wish, "auto"))
		return choose_auto(choice);
	snprintf(choice->why, sizeof(choice->why), "as --engine requests");
	if (!strcmp(wish, "kvm"))
		choice->engine = "kernel";
	else if (!strcmp(wish, "soft"))
		choice->engine = "soft";
	else
		return failure_set(f, "--engine '%s' is unknown: give soft, kvm or auto", wish);
	return 0;
}
