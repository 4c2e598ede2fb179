/* SPDX-License-Identifier: MIT */
/*
 * Which path means a device node of ours. Nearly every name is told apart by its last part alone; for one that
 * is called like a node, the folder is compared with /dev by inode, which sees through "..", relative names,
 * symbolic links and bind mounts alike.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "abi/dev.h"
#include "base/sys.h"
#include "shim/shim.h"

#define LINKS_MAX 40 /* as many as the kernel follows */

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/* The folder that path is in: "." for a plain name. False: too long. */
static bool folder_of(const char *path, char *ret)
{
	size_t n = last_part(path) - path;

	if (n >= PATH_MAX)
		return false;
	memcpy(ret, n ? path : ".", n ? n : 1);
	ret[n ? n : 1] = 0;
	return true;
}

static bool is_dev(const struct stat *folder)
{
	struct stat dev;

	return !sys_fstatat(AT_FDCWD, "/dev", &dev, 0) && folder->st_dev == dev.st_dev &&
	       folder->st_ino == dev.st_ino;
}

static bool in_dev(int dirfd, const char *path)
{
	struct stat folder;
	char name[PATH_MAX];

	return folder_of(path, name) && !sys_fstatat(dirfd, name, &folder, 0) && is_dev(&folder);
}

bool path_may_be_node(const char *path)
{
	bool shown;

	return node_called(last_part(path), &shown);
}

/* The node that path means, shown or not. */
static const struct device_node *node_at(int dirfd, const char *path, bool *ret_shown)
{
	const struct device_node *node = path ? node_called(last_part(path), ret_shown) : NULL;

	return node && (!strcmp(path, node->path) || in_dev(dirfd, path)) ? node : NULL;
}

const struct device_node *path_node(int dirfd, const char *path)
{
	bool shown = false;
	const struct device_node *node = node_at(dirfd, path, &shown);

	return shown ? node : NULL;
}

/* Put what the link at path says in its place. False: it is no link. */
static bool follow(int dirfd, char *path)
{
	size_t folder = last_part(path) - path;
	char link[PATH_MAX];
	ssize_t n = sys_readlinkat(dirfd, path, link, sizeof(link) - 1);

	if (n <= 0)
		return false;
	folder = link[0] == '/' ? 0 : folder;
	if (folder + (size_t)n >= PATH_MAX)
		return false;
	memcpy(path + folder, link, (size_t)n);
	path[folder + (size_t)n] = 0;
	return true;
}

const struct device_node *path_link_node(int dirfd, const char *path)
{
	const struct device_node *node;
	char name[PATH_MAX];

	if (!path || strlen(path) >= sizeof(name))
		return NULL;
	strcpy(name, path);
	for (int links = 0; links < LINKS_MAX && follow(dirfd, name); links++) {
		node = path_node(dirfd, name);
		if (node)
			return node;
	}
	return NULL;
}

bool path_is_hidden(int dirfd, const char *path)
{
	bool shown = true;
	struct stat st;

	if (!path || !nodes_are_hidden())
		return false;
	if (node_at(dirfd, path, &shown))
		return !shown;
	/* Under another name it is what the machine has. */
	return !sys_fstatat(dirfd, path, &st, 0) && S_ISCHR(st.st_mode) &&
	       node_numbered(st.st_rdev, &shown) && !shown;
}
