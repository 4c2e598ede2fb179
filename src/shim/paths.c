/* SPDX-License-Identifier: MIT */
/*
 * Which path means /dev/kvm. Nearly every name is told apart by its last part alone; for one that
 * ends in "kvm", the folder is compared with /dev by inode, which sees through "..", relative names,
 * symbolic links and bind mounts alike.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

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

static bool in_dev(int dirfd, const char *path)
{
	struct stat folder, dev;
	char name[PATH_MAX];

	return folder_of(path, name) && !sys_fstatat(dirfd, name, &folder, 0) &&
	       !sys_fstatat(AT_FDCWD, "/dev", &dev, 0) && folder.st_dev == dev.st_dev &&
	       folder.st_ino == dev.st_ino;
}

bool path_is_kvm(int dirfd, const char *path)
{
	if (!path || strcmp(last_part(path), "kvm"))
		return false;
	return !strcmp(path, "/dev/kvm") || in_dev(dirfd, path);
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

bool path_leads_to_kvm(int dirfd, const char *path)
{
	char name[PATH_MAX];

	if (!path || strlen(path) >= sizeof(name))
		return false;
	strcpy(name, path);
	for (int links = 0; links < LINKS_MAX && follow(dirfd, name); links++)
		if (path_is_kvm(dirfd, name))
			return true;
	return false;
}
