/* SPDX-License-Identifier: MIT */
/*
 * Random instructions by step(), by translated code and on the bare host: registers, memory and faults must agree.
 * insn [--seconds N] [--seed S]: without options about ten seconds, and no more than SHORT_RUN cases.
 * insn --seed S --case N: one case again. insn --seed S --from A --to B: those, for what depends on earlier ones.
 * --keep-going: count all findings, show the first few.
 */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "insn/diff.h"

#define SHORT_RUN 300000 /* cases without options: the same on every machine */
#define ROUND     256    /* cases that share the content of the data pages */
#define SHOWN_MAX 25

struct options {
	double seconds;
	u64 seed, from, to;
	bool keep_going, show;
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static const char *option(int argc, char **argv, const char *name)
{
	for (int i = 1; i < argc; i++)
		if (!strcmp(argv[i], name))
			return i + 1 < argc ? argv[i + 1] : "";
	return NULL;
}

static u64 number(int argc, char **argv, const char *name, u64 otherwise)
{
	const char *s = option(argc, argv, name);

	return s ? strtoull(s, NULL, 0) : otherwise;
}

static struct options parse(int argc, char **argv)
{
	struct options o = {.seconds = number(argc, argv, "--seconds", 10),
		.seed = number(argc, argv, "--seed", 1),
		.from = number(argc, argv, "--from", 0),
		.to = number(argc, argv, "--to", ~0ull),
		.keep_going = option(argc, argv, "--keep-going")};

	if (argc == 1)
		o.to = SHORT_RUN;
	if (option(argc, argv, "--case")) {
		o.from = o.to = number(argc, argv, "--case", 0);
		o.show = true;
	}
	return o;
}

static void report(struct diff *d, const struct insn_case *found, bool whole)
{
	struct insn_case c = *found;
	struct tally unused = {0};

	printf("insn: legs differ; replay with --seed %llu --case %llu\n",
		(unsigned long long)c.seed, (unsigned long long)c.number);
	print_case(&c, stdout);
	print_differences(&c, stdout);
	if (check_case(d, &c, &unused, NULL) != DIFF_FOUND) {
		printf(" only after other cases: try --from %llu --to %llu\n",
			(unsigned long long)(c.number - MIN(c.number, 1000ull)),
			(unsigned long long)c.number);
	} else if (!whole) {
		printf(" at least:\n");
		minimise(d, &c);
		print_case(&c, stdout);
		check_case(d, &c, &unused, stdout);
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct options o = parse(argc, argv);
	struct forms *forms = forms_create();
	struct diff *d = diff_open();
	struct tally t = {0};
	unsigned findings = 0;
	double begin = now();

	if (!d)
		return 77;
	for (u64 n = o.from; n <= o.to && now() - begin < o.seconds; n++) {
		struct insn_case c;

		if (n == o.from || n % ROUND == 0)
			diff_fill(d, o.seed + n / ROUND);
		generate(forms, o.seed, n, &c);
		if (check_case(d, &c, &t, NULL) != DIFF_FOUND && !o.show)
			continue;
		if (findings++ < SHOWN_MAX)
			report(d, &c, o.show);
		if (!o.keep_going)
			break;
	}
	host_say(stdout);
	printf("insn: %llu cases of %u forms in %.1f s, %llu instructions, %llu faults, %llu "
	       "excused, %llu stuck, "
	       "%u findings\n",
		(unsigned long long)t.cases, forms_count(forms), now() - begin,
		(unsigned long long)t.insns, (unsigned long long)t.faults,
		(unsigned long long)t.excused, (unsigned long long)t.stuck, findings);
	diff_close(d);
	forms_destroy(forms);
	return findings && !o.show;
}
