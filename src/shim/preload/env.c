/* SPDX-License-Identifier: MIT */
/*
 * The environment of programs that are started: they get the library, too, also from a program that
 * gives them an environment of its own making (jailers, daemons). What belongs to us is taken from
 * the environment that this process was started with, which the kernel keeps in /proc/self/environ.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/sys.h"
#include "shim/preload/start.h"

#define PRELOAD "LD_PRELOAD="
#define OWN     "USERVISOR_" /* and all that begins with it */

static bool begins(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

bool env_is_ours(const char *entry)
{
	return begins(entry, PRELOAD) || begins(entry, OWN);
}

const char *own_path(void)
{
	Dl_info info;

	return dladdr((void *)own_path, &info) && strchr(info.dli_fname, '/') ? info.dli_fname
									      : NULL;
}

static size_t count_entries(char *const *entries)
{
	size_t n = 0;

	while (entries && entries[n])
		n++;
	return n;
}

static bool env_make(struct env *e, char *const *from)
{
	/* Room for the strings: our own variables, and a list of libraries of the longest kind. */
	const size_t pointers = (count_entries(from) + 32) * sizeof(char *), text = 128 * 1024;

	*e = (struct env){.bytes = pointers + text};
	e->entries = sys_mmap(
		NULL, e->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (e->entries == MAP_FAILED) {
		e->bytes = 0;
		return false;
	}
	e->text = (char *)e->entries + pointers;
	e->end = e->text + text;
	return true;
}

void env_free(struct env *e)
{
	if (e->bytes)
		sys_munmap(e->entries, e->bytes);
}

/* All parts joined; dropped if there is no room. */
static void env_add(struct env *e, const char *const parts[], unsigned n)
{
	char *at = e->text;

	for (unsigned i = 0; i < n; i++) {
		size_t len = strlen(parts[i]);

		if (len + 1 >= (size_t)(e->end - at))
			return;
		memcpy(at, parts[i], len);
		at += len;
	}
	*at = 0;
	e->entries[e->count++] = e->text;
	e->text = at + 1;
}

/* Variables of ours from the process's first environment. */
static void env_add_own(struct env *e)
{
	int fd = sys_open("/proc/self/environ", O_RDONLY | O_CLOEXEC);
	char *at, *text = e->text;
	ssize_t n = fd < 0 ? 0 : sys_read(fd, text, (size_t)(e->end - text) / 2);
	unsigned room = 16;

	if (fd >= 0)
		sys_close(fd);
	if (n <= 0)
		return;
	e->text += n;
	text[n - 1] = 0;
	for (at = text; at < text + n && room; at += strlen(at) + 1)
		if (begins(at, OWN)) {
			e->entries[e->count++] = at;
			room--;
		}
}

/* The libraries that envp asks for, "" for none. */
static const char *libraries(char *const *envp)
{
	const char *list = "";

	for (; envp && *envp; envp++)
		if (begins(*envp, PRELOAD))
			list = *envp + sizeof(PRELOAD) - 1;
	return list;
}

/* All but the libraries, and our own variables in envp only if it can be trusted with them. */
static void env_copy(struct env *e, char *const *envp, bool own)
{
	for (; envp && *envp; envp++)
		if (!begins(*envp, PRELOAD) && (own || !begins(*envp, OWN)))
			e->entries[e->count++] = *envp;
	if (!own)
		env_add_own(e);
}

char **env_keep(struct env *e, char *const *envp)
{
	const char *library = own_path(), *old = libraries(envp);

	*e = (struct env){0};
	if (!library || strstr(old, library) || !env_make(e, envp))
		return (char **)envp;
	env_add(e, (const char *[]){PRELOAD, library, *old ? ":" : "", old}, 4);
	env_copy(e, envp, false);
	return e->entries;
}

/* The last entry is a list of libraries: without this one, or nothing if it was the only one. */
static void take_out(struct env *e, const char *library)
{
	char *list = e->entries[e->count - 1] + sizeof(PRELOAD) - 1, *at = strstr(list, library);
	size_t n = strlen(library);

	if (!at)
		return;
	if (at[n])
		memmove(at, at + n + 1, strlen(at + n + 1) + 1);
	else
		at[at > list ? -1 : 0] = 0;
	if (!*list)
		e->entries[--e->count] = NULL;
}

char **env_without(struct env *e, char *const *envp)
{
	const char *library = own_path(), *old = libraries(envp);
	size_t before;

	*e = (struct env){0};
	if (!library || !env_make(e, envp))
		return (char **)envp;
	before = e->count;
	if (*old)
		env_add(e, (const char *[]){PRELOAD, old}, 2);
	if (e->count > before)
		take_out(e, library);
	env_copy(e, envp, strstr(old, library));
	return e->entries;
}
