/* SPDX-License-Identifier: MIT */
/*
 * What runs in the Linux guest that linux_tool.c watches: it does what is asked for a known number of times, and says by hypercalls
 * what it is about to do, so that the tool knows what it must see.
 *
 * linux-guest tables|pages|steps CPUS
 */
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux_proof.h"

#define PAGE  4096ul
#define TABLE (512 * PAGE) /* what one page of page tables maps */

static void need(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

/* The hypercall that KVMI tells of (RAX 34, RDI 24, RSI 0); the tool reads the other registers. */
static void mark(enum linux_mark what, unsigned long a, unsigned long b)
{
	register unsigned long r8 __asm__("r8") = a, r9 __asm__("r9") = b;
	unsigned long rax = 34;

	__asm__ volatile("vmcall"
			 : "+a"(rax)
			 : "D"(24ul), "S"(0ul), "d"((unsigned long)what), "r"(r8), "r"(r9)
			 : "memory", "rbx", "rcx", "r10", "r11");
}

static void on_cpu(unsigned cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	need(!sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity");
}

static unsigned char *map(size_t bytes, int protection)
{
	void *p = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	need(p != MAP_FAILED, "mmap");
	return p;
}

/* ---- tables: a page of page tables, of which each thread writes its part ---- */

struct part {
	unsigned char *at;
	size_t bytes;
	unsigned cpu;
};

static void touch(volatile unsigned char *at, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += PAGE)
		at[i] = 1;
}

/* Each round makes each entry writable, then read-only, then empty. */
static void *rounds(void *opaque)
{
	const struct part *p = opaque;

	on_cpu(p->cpu);
	for (unsigned i = 0; i < TABLE_ROUNDS; i++) {
		touch(p->at, p->bytes);
		need(!mprotect(p->at, p->bytes, PROT_READ), "mprotect");
		need(!madvise(p->at, p->bytes, MADV_DONTNEED), "MADV_DONTNEED");
		need(!mprotect(p->at, p->bytes, PROT_READ | PROT_WRITE), "mprotect");
	}
	return NULL;
}

/* Pages enough for Linux to have the processor forget all translations. */
static void flush(void)
{
	unsigned char *at = map(64 * PAGE, PROT_READ | PROT_WRITE);

	touch(at, 64 * PAGE);
	need(!mprotect(at, 64 * PAGE, PROT_READ), "mprotect");
	munmap(at, 64 * PAGE);
}

/* Marks no page of ours as accessed; Linux does not care for what the processor still knows. */
static void clear_accessed(void)
{
	int fd = open("/proc/self/clear_refs", O_WRONLY);

	need(fd >= 0 && write(fd, "1", 1) == 1, "clear_refs");
	close(fd);
	flush();
}

static unsigned char *whole_table(void)
{
	const uintptr_t begin = (uintptr_t)map(2 * TABLE, PROT_READ | PROT_WRITE);
	unsigned char *at = (unsigned char *)((begin + TABLE - 1) & ~(TABLE - 1));

	need(!madvise(at, TABLE, MADV_NOHUGEPAGE), "MADV_NOHUGEPAGE");
	return at;
}

static int tables(unsigned cpus)
{
	unsigned char *at = whole_table();
	struct part part[LINUX_CPUS];
	pthread_t thread[LINUX_CPUS];

	touch(at, PAGE);
	mark(MARK_TABLE, (unsigned long)at, cpus);
	touch(at, TABLE);
	clear_accessed();
	mark(MARK_TABLE_CLEARED, 0, 0);
	touch(at, TABLE); /* the processor's walk sets the accessed bits */
	mark(MARK_TABLE_TOUCHED, 0, 0);
	need(!madvise(at, TABLE, MADV_DONTNEED), "MADV_DONTNEED");
	mark(MARK_TABLE_ROUNDS, 0, 0);
	for (unsigned i = 0; i < cpus; i++) {
		part[i] = (struct part){at + i * (TABLE / cpus), TABLE / cpus, i};
		need(!pthread_create(&thread[i], NULL, rounds, &part[i]), "pthread_create");
	}
	for (unsigned i = 0; i < cpus; i++)
		pthread_join(thread[i], NULL);
	mark(MARK_TABLE_END, 0, 0);
	return 0;
}

/* ---- pages: what may be done with one, and what is done ---- */

static const unsigned char increment[] = {
	0x48, 0x8d, 0x47, 0x01, 0xc3}; /* lea 1(%rdi), %rax; ret */

static void call(const unsigned char *at, unsigned n)
{
	long (*const f)(long) = (long (*)(long))(uintptr_t)at;

	for (unsigned i = 0; i < n; i++)
		need(f(i) == (long)i + 1, "the function");
}

static void load(volatile const unsigned char *at, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		need(at[i % sizeof(increment)] == increment[i % sizeof(increment)], "a load");
}

static void store(volatile unsigned char *at, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		at[PAGE / 2 + i] = (unsigned char)i;
}

/* The kernel loads as well. */
static void load_in_kernel(const unsigned char *at)
{
	unsigned char back[sizeof(increment)];
	int ends[2];

	need(!pipe(ends) && write(ends[1], at, sizeof(back)) == sizeof(back) &&
			read(ends[0], back, sizeof(back)) == sizeof(back) &&
			!memcmp(back, increment, sizeof(back)),
		"a load of the kernel");
	close(ends[0]);
	close(ends[1]);
}

static void use_page(enum linux_mark which)
{
	unsigned char *at = map(PAGE, PROT_READ | PROT_WRITE | PROT_EXEC);

	memcpy(at, increment, sizeof(increment));
	mark(which, (unsigned long)at, 0);
	mark(MARK_CALLS, PAGE_CALLS, 0);
	call(at, PAGE_CALLS);
	mark(MARK_LOADS, PAGE_LOADS, 0);
	load(at, PAGE_LOADS);
	mark(MARK_STORES, PAGE_STORES, 0);
	store(at, PAGE_STORES);
	mark(MARK_KERNEL_LOADS, 1, 0);
	load_in_kernel(at);
	mark(MARK_PAGE_END, 0, 0);
	for (unsigned i = 0; i < PAGE_STORES; i++)
		need(at[PAGE / 2 + i] == (unsigned char)i, "what was stored");
	munmap(at, PAGE);
}

static int pages(unsigned cpus)
{
	for (unsigned cpu = 0; cpu < cpus; cpu++) {
		on_cpu(cpu);
		use_page(MARK_EXECUTE_ONLY);
		use_page(MARK_WRITE_ONLY);
	}
	return 0;
}

/* ---- steps: code of many kinds, whose steps are followed ---- */

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static unsigned work(unsigned seed)
{
	int numbers[16];
	char text[64];

	syscall(SYS_getppid);
	for (unsigned i = 0; i < 16; i++)
		numbers[i] = (int)((seed = seed * 1103515245 + 12345) >> 16 & 0xfff);
	qsort(numbers, 16, sizeof(int), compare);
	snprintf(text, sizeof(text), "%d %s", numbers[0], "text");
	return seed + (unsigned)strlen(text) + (unsigned)(memchr(text, ' ', sizeof(text)) != NULL);
}

static int steps(void)
{
	static volatile unsigned enough; /* the tool sets it */
	unsigned seed = 1;

	enough = 0;
	work(seed);
	mark(MARK_STEPS, (unsigned long)&enough, 0);
	while (!enough)
		seed = work(seed);
	mark(MARK_STEPS_END, 0, 0);
	return 0;
}

int main(int argc, char **argv)
{
	const unsigned cpus = argc == 3 ? (unsigned)atoi(argv[2]) : 0;

	need(cpus >= 1 && cpus <= LINUX_CPUS, "usage: linux-guest tables|pages|steps CPUS");
	if (!strcmp(argv[1], "tables"))
		return tables(cpus);
	if (!strcmp(argv[1], "pages"))
		return pages(cpus);
	return steps();
}
