/* SPDX-License-Identifier: MIT */
/* Opening and reading the kernel and the initrd. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot/load/file.h"

static int cannot_open(const struct file *file, int error, struct failure *f)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		return failure_set(
			f, "%s '%s' does not exist: check the path", file->option, file->path);
	case EACCES:
		return failure_set(f,
			"%s '%s' cannot be read: make it readable for this user, or copy it to a "
			"place where it is",
			file->option, file->path);
	default:
		return failure_set(f, "%s '%s' cannot be opened (%s): give another file",
			file->option, file->path, strerror(error));
	}
}

static int check_kind(struct file *file, struct failure *f)
{
	struct stat st;

	if (fstat(file->fd, &st) < 0)
		return cannot_open(file, errno, f);
	if (S_ISDIR(st.st_mode))
		return failure_set(f, "%s '%s' is a directory: give the file itself", file->option,
			file->path);
	if (!S_ISREG(st.st_mode))
		return failure_set(f,
			"%s '%s' is not a regular file: copy it into a regular file first",
			file->option, file->path);
	if (st.st_size == 0)
		return failure_set(
			f, "%s '%s' is empty: give the complete file", file->option, file->path);
	file->size = (u64)st.st_size;
	return 0;
}

int file_open(struct file *file, const char *option, const char *path, struct failure *f)
{
	file->option = option;
	file->path = path;
	/* Without O_NONBLOCK opening a FIFO would wait for its writer. */
	file->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file->fd < 0)
		return cannot_open(file, errno, f);
	if (check_kind(file, f) < 0) {
		file_close(file);
		return -1;
	}
	return 0;
}

int file_read(const struct file *file, void *to, struct failure *f)
{
	u64 done = 0;

	while (done < file->size) {
		ssize_t n = pread(file->fd, (u8 *)to + done, file->size - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return failure_set(f, "%s '%s' cannot be read (%s): give another file",
				file->option, file->path, strerror(errno));
		if (n == 0)
			return failure_set(f, "%s '%s' became shorter while it was read: try again",
				file->option, file->path);
		done += (u64)n;
	}
	return 0;
}

void file_close(struct file *file)
{
	close(file->fd);
	file->fd = -1;
}
