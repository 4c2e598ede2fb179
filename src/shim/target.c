/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"
#include "shim/target.h"

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static char *skip_blanks(char *s)
{
	while (is_blank(*s))
		s++;
	return s;
}

/* Cut the first line after #! into interpreter and the one argument that all the rest is (execve(2)). */
static bool parse_line(char *line, char **interpreter, char **argument)
{
	char *end = strchr(line, '\n');

	end = end ? end : line + strlen(line);
	while (end > line && is_blank(end[-1]))
		end--;
	*end = 0;
	*interpreter = skip_blanks(line);
	end = *interpreter;
	while (*end && !is_blank(*end))
		end++;
	*argument = *end ? skip_blanks(end + 1) : NULL;
	*end = 0;
	return **interpreter;
}

static void insert(struct target *t, char *arg)
{
	memmove(t->args + 1, t->args, t->count * sizeof(t->args[0]));
	t->args[0] = arg;
	t->count++;
}

/* One level: what was found is a script. False: it cannot be followed. */
static bool follow(struct target *t, unsigned depth)
{
	char *line = t->text[depth], *script = line + SCRIPT_LINE, *interpreter, *argument;
	ssize_t n = sys_pread(t->fd, line, SCRIPT_LINE - 1, 2);

	sys_close(t->fd);
	t->fd = -1;
	line[n < 0 ? 0 : n] = 0;
	if (!parse_line(line, &interpreter, &argument))
		return false;
	snprintf(script, PATH_MAX, "%s", t->name);
	/* A script that is itself the interpreter's argument stands there already as args[0]. */
	if (t->count)
		t->args[0] = script;
	else
		insert(t, script);
	if (argument)
		insert(t, argument);
	insert(t, interpreter);
	snprintf(t->name, sizeof(t->name), "%s", interpreter);
	t->fd = sys_open(t->name, O_RDONLY | O_CLOEXEC);
	return t->fd >= 0;
}

/* By the rights that count for execve(). faccessat2() came with Linux 5.8. */
static bool is_executable(int fd)
{
	char path[32];

	if (!sys_faccessat2(fd, "", X_OK, AT_EACCESS | AT_EMPTY_PATH))
		return true;
	if (errno != ENOSYS)
		return false;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return !sys_access(path, X_OK);
}

/* A program that is the more for them, but for root. */
static bool has_capabilities(int fd)
{
	return SYS_CALL4(SYS_fgetxattr, fd, "security.capability", NULL, 0) > 0 &&
	       SYS_CALL0(SYS_geteuid);
}

/* Not for us: what the kernel will refuse, and what gains privilege (it ignores LD_PRELOAD, too). */
static bool may_run(int fd)
{
	struct stat st;

	return !sys_fstat(fd, &st) && S_ISREG(st.st_mode) && !(st.st_mode & S_ISUID) &&
	       (st.st_mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP) && is_executable(fd) &&
	       !has_capabilities(fd);
}

void target_find(const char *name, int fd, struct target *t)
{
	unsigned depth = 0;

	t->fd = fd;
	t->count = 0;
	t->kind = IMAGE_FOREIGN;
	snprintf(t->name, sizeof(t->name), "%s", name);
	while (t->fd >= 0 && may_run(t->fd)) {
		t->kind = image_kind(t->fd);
		if (t->kind != IMAGE_SCRIPT)
			break;
		t->kind = IMAGE_FOREIGN;
		if (depth == SCRIPT_DEPTH || !follow(t, depth++))
			break;
	}
	if (t->kind == IMAGE_FOREIGN && t->fd >= 0) {
		sys_close(t->fd);
		t->fd = -1;
	}
}
