/* SPDX-License-Identifier: MIT */
/*
 * NAME [--seconds N] [--cases N] [--seed S] [--case N] [--repeat N] [--without A,B] [--keep-going] [--trace]
 *
 * The parent makes children of CASES_EACH cases. It has no thread and no machine, so that it lives whatever they do.
 * Exit code 0, or 1 after a finding.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuzz/cases.h"
#include "fuzz/holdings.h"

#define CASES_EACH 200
#define WARM_CASES 8           /* before what a child holds is looked at for the first time */
#define RSS_BYTES  (256 << 20) /* "the guest RAM touched plus at most 64 MiB": design.md */
#define GROWS_BYTES                                                                                \
	(64 << 20) /* more than that between two cases is kept by nobody with a reason */
#define POLL_NS 5000000

/* What parent and child share. */
struct board {
	_Atomic u64 number;   /* of the case */
	_Atomic u64 progress; /* changes while something happens */
	_Atomic u64 steps;
	_Atomic u64 worst;
	char *_Atomic what; /* a literal: at the same address in both */
	_Atomic bool reported;
};

static struct {
	const struct fuzzer *fuzzer;
	struct board *board;
	u64 seed, first, repeat;
	u64 cases;   /* 0: until the end */
	double end;  /* on now() */
	u64 without; /* bit: an ingredient */
	bool keep_going, trace, one;
	unsigned findings;
} fz = {.repeat = 1};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- random numbers ---- */

static u64 mixed(u64 x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static struct random stream(u64 seed, u64 number)
{
	return (struct random){mixed(mixed(seed) + number * 0x9e3779b97f4a7c15) | 1};
}

struct random rnd_fork(struct random *r)
{
	return stream(rnd(r), 1);
}

u64 rnd_edge(struct random *r)
{
	static const u64 edges[] = {0, 1, 2, 7, 8, 15, 16, 31, 32, 63, 64, 127, 128, 254, 255, 256,
		4095, 4096, 0x7fff, 0x8000, 0xffff, 0x10000, 0xa0000, 0x7fffffff, 0x80000000,
		0xfee00000, 0xffffffff, 0x100000000, 0x7fffffffffff, 0x800000000000,
		0xffff800000000000, -4096ull, -1ull};

	switch (rnd_below(r, 5)) {
	case 0: return RND_OF(r, edges);
	case 1: return RND_OF(r, edges) + rnd_below(r, 5) - 2;
	case 2: return 1ull << rnd_below(r, 64);
	case 3: return rnd_below(r, 40);
	default: return rnd(r);
	}
}

/* ---- what a case says ---- */

bool with(unsigned ingredient)
{
	return !(fz.without >> ingredient & 1);
}

void progress(const char *what)
{
	fz.board->what = (char *)what;
	fz.board->progress++;
	if (fz.trace)
		fprintf(stderr, "%s\n", what);
}

void count_step(void)
{
	fz.board->steps++;
}

void note_worst(u64 value)
{
	u64 worst = fz.board->worst;

	while (value > worst && !atomic_compare_exchange_weak(&fz.board->worst, &worst, value))
		;
}

void tell(const char *format, ...)
{
	va_list args;

	if (!fz.trace)
		return;
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
}

static void print_without(void)
{
	const char *const *name = fz.fuzzer->ingredients;
	char comma = ' ';

	if (fz.without)
		fputs(" --without", stderr);
	for (unsigned i = 0; name[i]; i++)
		if (!with(i)) {
			fprintf(stderr, "%c%s", comma, name[i]);
			comma = ',';
		}
}

static void print_replay(u64 number)
{
	fprintf(stderr, "  again: fuzz-%s --seed %#llx --case %llu --repeat 20", fz.fuzzer->name,
		(unsigned long long)fz.seed, (unsigned long long)number);
	print_without();
	fputc('\n', stderr);
}

void finding(const char *format, ...)
{
	va_list args;

	if (fz.board->reported) /* by another thread, which is just ending us */
		pause();
	fz.board->reported = true;
	fprintf(stderr, "finding in case %llu: ", (unsigned long long)fz.board->number);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fprintf(stderr, "\n  while: %s\n", fz.board->what);
	print_replay(fz.board->number);
	fflush(NULL);
	_exit(1);
}

/* ---- the child ---- */

static long resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	long size = 0, pages = 0;

	if (!f || fscanf(f, "%ld %ld", &size, &pages) != 2)
		abort();
	fclose(f);
	return pages * 4096;
}

static void check_memory(struct holdings *first, u64 done)
{
	struct holdings now_held;

	if (!UV_SANITIZED && resident_bytes() > RSS_BYTES)
		finding("%ld MiB are resident after a case", resident_bytes() >> 20);
	if (done < WARM_CASES)
		return;
	now_held = look();
	if (done == WARM_CASES)
		*first = now_held;
	else if (now_held.heap > first->heap + GROWS_BYTES || any_leak(first, &now_held))
		finding("the process holds more after case %llu than after the first %d",
			(unsigned long long)fz.board->number, WARM_CASES);
}

static bool is_over(u64 done)
{
	return fz.one ? done >= fz.repeat
		      : now() > fz.end || (fz.cases && fz.board->number - fz.first >= fz.cases) ||
				done >= CASES_EACH;
}

static void run_cases(void)
{
	struct holdings first = {0};

	alarm(0);
	for (u64 done = 0; !is_over(done); done++) {
		struct random r = stream(fz.seed, fz.board->number);

		progress("the case begins");
		tell("case %llu", (unsigned long long)fz.board->number);
		fz.fuzzer->one_case(&r);
		progress("the case is over");
		check_memory(&first, done);
		if (!fz.one)
			fz.board->number++;
	}
}

/* ---- the parent ---- */

static void report(pid_t child, int status, bool hangs)
{
	fz.findings++;
	if (fz.board->reported)
		return;
	fprintf(stderr, "finding in case %llu: ", (unsigned long long)fz.board->number);
	if (hangs)
		fprintf(stderr, "no progress for %u seconds", fz.fuzzer->hang_seconds);
	else if (WIFSIGNALED(status))
		fprintf(stderr, "process %d ended by signal %d (%s)", child, WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		fprintf(stderr, "exit status %d", WEXITSTATUS(status));
	fprintf(stderr, "\n  while: %s\n", fz.board->what);
	print_replay(fz.board->number);
}

/* Waits for the child; true: it has done what it should. */
static bool watch(pid_t child)
{
	const struct timespec poll = {.tv_nsec = POLL_NS};
	double since = now();
	u64 last = fz.board->progress;
	int status;

	while (waitpid(child, &status, WNOHANG) != child) {
		nanosleep(&poll, NULL);
		if (fz.board->progress != last) {
			last = fz.board->progress;
			since = now();
		} else if (now() - since > fz.fuzzer->hang_seconds) {
			kill(child, SIGKILL);
			waitpid(child, &status, 0);
			report(child, status, true);
			return false;
		}
	}
	if (!status)
		return true;
	report(child, status, false);
	return false;
}

/* One child's worth of cases. */
static bool generation(void)
{
	pid_t child;

	fz.board->reported = false;
	fflush(NULL);
	child = fork();
	if (child < 0) {
		perror("fork");
		exit(2);
	}
	if (!child) {
		holdings_begin();
		run_cases();
		exit(0);
	}
	return watch(child);
}

static u64 parse_without(const char *list)
{
	const char *const *name = fz.fuzzer->ingredients;
	u64 mask = 0;

	while (*list) {
		size_t n = strcspn(list, ",");
		unsigned i = 0;

		while (name[i] && (strlen(name[i]) != n || strncmp(name[i], list, n)))
			i++;
		if (!name[i]) {
			fprintf(stderr, "no ingredient %.*s; there are:", (int)n, list);
			for (i = 0; name[i]; i++)
				fprintf(stderr, " %s", name[i]);
			fputc('\n', stderr);
			exit(2);
		}
		mask |= 1ull << i;
		list += n + (list[n] == ',');
	}
	return mask;
}

static void parse(int argc, char **argv)
{
	static const struct option options[] = {
		{"seconds", required_argument, NULL, 'n'},
		{"cases", required_argument, NULL, 'm'},
		{"seed", required_argument, NULL, 's'},
		{"case", required_argument, NULL, 'c'},
		{"repeat", required_argument, NULL, 'r'},
		{"without", required_argument, NULL, 'w'},
		{"keep-going", no_argument, NULL, 'k'},
		{"trace", no_argument, NULL, 't'},
		{0},
	};
	unsigned seconds = fz.fuzzer->pass_seconds;
	int c;

	fz.seed = (u64)time(NULL) * 1000003ull ^ (u64)getpid();
	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1)
		switch (c) {
		case 's': fz.seed = strtoull(optarg, NULL, 0); break;
		case 'n': seconds = (unsigned)strtoul(optarg, NULL, 0); break;
		case 'm': fz.cases = strtoull(optarg, NULL, 0); break;
		case 'c':
			fz.first = strtoull(optarg, NULL, 0);
			fz.one = true;
			break;
		case 'r': fz.repeat = strtoull(optarg, NULL, 0); break;
		case 'w': fz.without = parse_without(optarg); break;
		case 'k': fz.keep_going = true; break;
		case 't': fz.trace = true; break;
		default: exit(2);
		}
	fz.end = now() + (fz.cases ? 1e9 : seconds);
}

static void nothing(int number)
{
}

int fuzz_main(const struct fuzzer *f, int argc, char **argv)
{
	double begin = now();
	bool good = true;

	fz.fuzzer = f;
	if (f->interrupts)
		signal(f->interrupts, nothing);
	parse(argc, argv);
	fz.board = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fz.board == MAP_FAILED)
		return 2;
	printf("fuzz-%s --seed %#llx\n", f->name, (unsigned long long)fz.seed);
	fz.board->number = fz.first;
	do {
		good = generation();
		if (!good) {
			fprintf(stderr, "  after %.1f seconds\n", now() - begin);
			fz.board->number++;
		}
	} while ((good || fz.keep_going) && !fz.one && now() < fz.end &&
		 !(fz.cases && fz.board->number - fz.first >= fz.cases));
	printf("%llu cases, %llu steps, %u findings\n",
		(unsigned long long)(fz.board->number - fz.first),
		(unsigned long long)fz.board->steps, fz.findings);
	if (f->worst)
		printf("at most %llu %s\n", (unsigned long long)fz.board->worst, f->worst);
	return fz.findings ? 1 : 0;
}
