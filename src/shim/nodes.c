/* SPDX-License-Identifier: MIT */
/*
 * The device nodes of all interfaces, and which of them the program sees. It may be shown those of one interface only
 * (`exec --only`), since a program that knows several takes the first that it finds. The others are hidden, also those
 * that the machine itself has.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "abi/dev.h"
#include "base/sys.h"
#include "shim/nodes.h"
#include "shim/shim.h"

#define DEV "/dev/"

/* ---- which interfaces the program sees ---- */

static const char all[] = "";
static const char
	*_Atomic only; /* the name of the one that it sees, all, or NULL: nobody has asked */

static const char *asked_for(void)
{
	const char *value = getenv(ONLY_ENV), *name;

	for (unsigned n = 0; value && (name = dev_interface(n)); n++)
		if (!strcmp(name, value))
			return name;
	return all;
}

void nodes_begin(void)
{
	atomic_store(&only, asked_for());
}

static const char *seen(void)
{
	if (!atomic_load_explicit(&only, memory_order_relaxed))
		nodes_begin(); /* a library that was opened late */
	return atomic_load_explicit(&only, memory_order_relaxed);
}

static bool shows(const char *interface)
{
	const char *name = seen();

	return name == all || name == interface;
}

bool nodes_are_hidden(void)
{
	return seen() != all;
}

/* ---- nodes ---- */

const char *node_name(const struct device_node *node)
{
	return node->path + sizeof(DEV) - 1;
}

const struct device_node *node_next(struct device_nodes *at, bool *ret_shown)
{
	const struct device_node *node = dev_node_next(at);

	if (node)
		*ret_shown = shows(at->name);
	return node;
}

const struct device_node *node_called(const char *name, bool *ret_shown)
{
	struct device_nodes at = {0};
	const struct device_node *node;

	while ((node = dev_node_next(&at)))
		if (*node_name(node) == *name && !strcmp(node_name(node), name)) {
			*ret_shown = shows(at.name);
			return node;
		}
	return NULL;
}

/* The machine may have given a node another number than we do. */
static bool has_number(const struct device_node *node, u64 rdev)
{
	struct stat st;

	if (sys_fstatat(AT_FDCWD, node->path, &st, 0) || !S_ISCHR(st.st_mode))
		return node->assigned && rdev == makedev(DEVICE_MAJOR, node->minor);
	return rdev == st.st_rdev;
}

const struct device_node *node_numbered(u64 rdev, bool *ret_shown)
{
	struct device_nodes at = {0};
	const struct device_node *node;

	if (major(rdev) != DEVICE_MAJOR)
		return NULL;
	while ((node = node_next(&at, ret_shown)) && !has_number(node, rdev))
		;
	return node;
}

bool path_may_hide_node(const char *path)
{
	struct device_nodes at = {0};
	const struct device_node *node;

	while ((node = dev_node_next(&at)))
		if (node->assigned && strstr(path, node_name(node)))
			return true;
	return false;
}

/* ---- for who starts programs ---- */

const char *interface_name(unsigned n)
{
	return dev_interface(n);
}

int nodes_only(const char *interface)
{
	const char *name;

	for (unsigned n = 0; (name = dev_interface(n)); n++)
		if (!strcmp(name, interface))
			return setenv(ONLY_ENV, interface, 1) ? -errno : 0;
	return -EINVAL;
}

const char *interface_node(unsigned interface, unsigned n)
{
	struct device_nodes at = {.interface = interface};
	const struct device_node *node;

	do
		node = dev_node_next(&at);
	while (node && at.interface == interface && n--);
	return node && at.interface == interface ? node->path : NULL;
}

void nodes_seen(char *text, size_t size)
{
	const char *name;
	size_t used = 0;

	*text = 0;
	for (unsigned n = 0; (name = dev_interface(n)) && used < size; n++)
		if (shows(name))
			used += (size_t)snprintf(text + used, size - used, "%s%s",
				used ? " or " : "", interface_node(n, 0));
}
