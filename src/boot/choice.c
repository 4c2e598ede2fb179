/* SPDX-License-Identifier: MIT */
/* The choice: what was asked for, else the kernel's KVM if a probe shows that it runs guests well, else our own. */
#include <stdio.h>
#include <string.h>

#include "boot/boot.h"
#include "boot/choice.h"
#include "boot/probe.h"

/* --engine's names; "auto" is one of the first two. */
static const struct named {
	const char *name, *engine;
} names[] = {
	{"kvm", "kernel"},
	{"soft", "soft"},
	{"mshv", "mshv"},
	{"mshv-kernel", "mshv-kernel"},
};

static const struct named *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (!strcmp(names[i].name, name))
			return &names[i];
	return NULL;
}

bool boot_knows_engine(const char *name)
{
	return !strcmp(name, "auto") || find(name);
}

static void choose(struct engine_choice *choice, const struct named *named, const char *why)
{
	choice->name = named->name;
	choice->engine = named->engine;
	snprintf(choice->why, sizeof(choice->why), "%s", why);
}

static int choose_auto(struct engine_choice *choice)
{
	struct probe_result probe;

	probe_kernel_kvm(&probe);
	choose(choice, &names[probe.verdict != PROBE_WORKS], probe.text);
	return 0;
}

int engine_choose(const char *wish, struct engine_choice *choice, struct failure *f)
{
	const struct named *named = find(wish);

	if (!strcmp(wish, "auto"))
		return choose_auto(choice);
	if (!named)
		return failure_set(
			f, "--engine '%s' is unknown: see `uservisor boot --help`", wish);
	choose(choice, named, "as --engine requests");
	return 0;
}
