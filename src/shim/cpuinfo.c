/* SPDX-License-Identifier: MIT */
/* /proc/cpuinfo with the flag of VT-x or AMD-V in each processor's line of flags (proc(5)). */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "base/hostcpu.h"
#include "base/sys.h"
#include "shim/processor.h"
#include "shim/shim.h"

#define PATH     "/proc/cpuinfo"
#define TEXT_MAX (64u << 20) /* address space only; a processor takes 1.5 KiB */

/* All of the file, or -errno. */
static long read_all(char *text)
{
	int fd = sys_open(PATH, O_RDONLY | O_CLOEXEC);
	size_t done = 0;
	ssize_t n;

	if (fd < 0)
		return -errno;
	while ((n = sys_read(fd, text + done, TEXT_MAX - done)) > 0)
		done += (size_t)n;
	sys_close(fd);
	return n < 0 ? -EIO : (long)done;
}

static bool is_flags(const char *line, const char *end)
{
	return end - line > 6 && !memcmp(line, "flags", 5) &&
	       (line[5] == '\t' || line[5] == ' ' || line[5] == ':');
}

static bool has_word(const char *line, const char *end, const char *word)
{
	const size_t n = strlen(word);

	for (const char *at = line; (at = memmem(at, (size_t)(end - at), word, n)); at += n)
		if (at > line && at[-1] == ' ' && (at + n == end || at[n] == ' '))
			return true;
	return false;
}

static bool put(int fd, const char *from, const char *end)
{
	while (from < end) {
		ssize_t n = sys_write(fd, from, (size_t)(end - from));

		if (n <= 0)
			return false;
		from += n;
	}
	return true;
}

/* flag begins with a space. False: it could not be written, or there was nothing to add. */
static bool write_with_flag(int fd, const char *text, const char *end, const char *flag)
{
	const char *written = text;
	bool added = false;

	for (const char *line = text, *next; line < end; line = next + 1) {
		next = memchr(line, '\n', (size_t)(end - line));
		next = next ? next : end;
		if (!is_flags(line, next) || has_word(line, next, flag + 1))
			continue;
		if (!put(fd, written, next) || !put(fd, flag, flag + strlen(flag)))
			return false;
		written = next;
		added = true;
	}
	return added && put(fd, written, end);
}

static long open_with_flag(const char *text, long n, int flags)
{
	int fd = sys_memfd_create("uservisor-cpuinfo", flags & O_CLOEXEC ? MFD_CLOEXEC : 0);

	if (fd < 0)
		return NOT_OURS;
	if (!write_with_flag(fd, text, text + n, host_cpu_is_amd() ? " svm" : " vmx") ||
		sys_lseek(fd, 0, SEEK_SET)) {
		sys_close(fd);
		return NOT_OURS;
	}
	return fd;
}

bool cpuinfo_is(const char *path)
{
	return !strcmp(path, PATH);
}

long cpuinfo_open(const char *path, int flags)
{
	char *text;
	long n, fd;

	if (likely(!cpuinfo_is(path)) || (flags & (O_ACCMODE | O_DIRECTORY)) ||
		processor_shown() == PROCESSOR_HOST || processor_shown() == PROCESSOR_HAS_IT)
		return NOT_OURS;
	text = sys_mmap(NULL, TEXT_MAX, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (text == MAP_FAILED)
		return NOT_OURS;
	n = read_all(text);
	fd = n > 0 ? open_with_flag(text, n, flags) : NOT_OURS;
	sys_munmap(text, TEXT_MAX);
	return fd;
}
