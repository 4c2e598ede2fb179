/* SPDX-License-Identifier: MIT */
/* The tool that introspects the machines of a set of descriptors, if one is to. */
#include "abi/table.h"
#include "introspect/introspect.h"

int dev_set_tool(struct dev *d, const char *text, struct refusal *why)
{
	return introspect_parse(text, &d->tool, why);
}

int dev_check_tool(const char *text, struct refusal *why)
{
	struct introspect_target *t;
	int r = introspect_parse(text, &t, why);

	if (!r)
		introspect_forget(t);
	return r;
}

struct maps *dev_maps(const struct dev *d)
{
	return d->maps;
}

int dev_introspect(struct dev *d, struct machine *m, struct introspection **i)
{
	int r = 0;

	if (!d->tool)
		return 0;
	if (!*i)
		r = introspection_create(m, d->maps, i);
	return r ? r : introspection_look_for(*i, d->tool);
}
