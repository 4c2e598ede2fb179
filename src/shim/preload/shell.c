/* SPDX-License-Identifier: MIT */
/*
 * system() and popen() give their shell the process's environment, by ways of the C library's own.
 * If we are missing in it, the shell is told to put us back and to start once more.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim/preload/given.h"
#include "shim/preload/hook.h"
#include "shim/preload/start.h"

/* Only what a shell takes for a name. */
static size_t name_length(const char *entry)
{
	size_t n = 0;

	while (isalnum((unsigned char)entry[n]) || entry[n] == '_')
		n++;
	return entry[n] == '=' ? n : 0;
}

/* In quotes; one in the text is '\'' there. */
static void put_quoted(FILE *f, const char *text)
{
	fputc('\'', f);
	for (; *text; text++)
		if (*text == '\'')
			fputs("'\\''", f);
		else
			fputc(*text, f);
	fputc('\'', f);
}

static void put_export(FILE *f, const char *entry)
{
	size_t n = name_length(entry);

	if (!n)
		return;
	fprintf(f, "export %.*s=", (int)n, entry);
	put_quoted(f, entry + n + 1);
	fputs("; ", f);
}

/* NULL: as it is. */
static char *wrap(const char *command)
{
	struct env e;
	char **env = env_keep(&e, environ), *text = NULL;
	size_t size;
	FILE *f = env == environ ? NULL : open_memstream(&text, &size);

	for (; f && *env; env++)
		if (env_is_ours(*env))
			put_export(f, *env);
	if (f) {
		fputs("exec /bin/sh -c ", f);
		put_quoted(f, command);
		fputs(" sh", f); /* $0 */
		fclose(f);
	}
	env_free(&e);
	return text;
}

HOOK int system(const char *command)
{
	char *wrapped = command && given_string(command) ? wrap(command) : NULL;
	int r = NEXT(system)(wrapped ? wrapped : command), error = errno;

	free(wrapped);
	errno = error;
	return r;
}

HOOK FILE *popen(const char *command, const char *type)
{
	char *wrapped = command && given_string(command) ? wrap(command) : NULL;
	FILE *f = NEXT(popen)(wrapped ? wrapped : command, type);
	int error = errno;

	free(wrapped);
	errno = error;
	return f;
}
