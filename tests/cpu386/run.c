/* SPDX-License-Identifier: MIT */
/*
 * Runs a guest of checks (macros.inc) by step() or translated, or reads what it has sent under another emulator, and
 * says which checks have failed, what they should have found and what they found.
 *
 *   cpu386 IMAGE step|translate LIST
 *   cpu386 IMAGE read RECORDS
 *
 * LIST names the checks that are known to fail, one a line, after the image's name and a colon; one that fails and is
 * not there is a failure, and so is one that is there and passes.
 */
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/core/machine.h"
#include "engine/core/vcpu.h"

#define ORIGIN      0x7000
#define IMAGE_MAX   0x9000
#define RAM_BYTES   (16u << 20)
#define PORT_RECORD 0xe9
#define PORT_END    0xf4
#define FAILED_MAX  200
#define RECORDS_MAX 400 /* more is a guest gone wild */
#define SECONDS     60

/* What a guest sends of a check that fails; kind 'E': that is all, got is the number of checks. */
struct record {
	u8 kind, unused[3];
	u32 name;
	u64 got, want;
};

struct run {
	char image[64]; /* without folder and suffix */
	u8 code[IMAGE_MAX];
	size_t size;
	u8 sent[sizeof(struct record)];
	unsigned sent_count, records, failed_count, checks;
	const char *failed[FAILED_MAX];
	bool ended;
};

_Noreturn static void die(const char *what)
{
	perror(what);
	exit(1);
}

static size_t read_file(const char *path, void *to, size_t max)
{
	FILE *f = fopen(path, "r");
	size_t n;

	if (!f)
		die(path);
	n = fread(to, 1, max, f);
	fclose(f);
	return n;
}

static const char *name_of(const struct run *r, u32 at)
{
	return at >= ORIGIN && at < ORIGIN + r->size ? (const char *)r->code + at - ORIGIN : "?";
}

static void note(struct run *r, const struct record *rec)
{
	static const char *const kinds[] = {"vector", "error code", "address", "value"};
	const char *kind = memchr("vei=", rec->kind, 4);
	const char *name = name_of(r, rec->name);

	if (rec->kind == 'E') {
		r->ended = true;
		r->checks = (unsigned)rec->got;
		return;
	}
	printf("%s: %s: %s %#llx, not %#llx\n", r->image, name,
		kind ? kinds[strchr("vei=", *kind) - "vei="] : "?", (unsigned long long)rec->got,
		(unsigned long long)rec->want);
	if (r->failed_count && !strcmp(r->failed[r->failed_count - 1], name))
		return;
	if (r->failed_count < FAILED_MAX)
		r->failed[r->failed_count++] = name;
}

static void take_byte(struct run *r, u8 byte)
{
	struct record rec;

	r->sent[r->sent_count++] = byte;
	if (r->sent_count < sizeof(rec))
		return;
	memcpy(&rec, r->sent, sizeof(rec));
	note(r, &rec);
	r->sent_count = 0;
	r->records++;
}

/* ---- the engine ---- */

static void *make_memory(struct machine *m)
{
	struct memslot_config c = {.size = RAM_BYTES};
	void *ram =
		mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (ram == MAP_FAILED)
		die("mmap");
	c.hva = (u64)ram;
	if (machine_set_memslot(m, &c))
		die("memslot");
	return ram;
}

static void start(struct vcpu *v)
{
	struct cpuid_entry e[256];
	unsigned n = engine_supported_cpuid(e, 256);
	struct vcpu_state s;

	if (vcpu_set_cpuid(v, e, n))
		die("cpuid");
	vcpu_get(v, ST_REGS | ST_SREGS, &s);
	s.rip = ORIGIN;
	s.seg[SEG_CS].base = s.seg[SEG_CS].selector = 0;
	if (vcpu_set(v, ST_REGS | ST_SREGS, &s))
		die("registers");
}

/* False: the guest has ended. */
static bool handle(struct run *r, struct exit *x)
{
	switch (x->reason) {
	case EXIT_IO_OUT:
		for (u32 i = 0; x->io.port == PORT_RECORD && i < x->io.count; i++)
			take_byte(r, x->io.data[i]);
		return x->io.port != PORT_END && r->records < RECORDS_MAX;
	case EXIT_IO_IN: memset(x->io.data, 0xff, (size_t)x->io.size * x->io.count); return true;
	case EXIT_SET_TPR: return true;
	default: printf("%s: exit %u\n", r->image, x->reason); return false;
	}
}

static bool out_of_time(void *opaque)
{
	return --*(unsigned *)opaque == 0;
}

static void run_here(struct run *r, bool step)
{
	unsigned polls = SECONDS * 1000; /* at most one each millisecond */
	struct machine *m;
	struct vcpu *v;
	u8 *ram;

	if (machine_create(&m))
		die("machine");
	ram = make_memory(m);
	memcpy(ram + ORIGIN, r->code, r->size);
	if (vcpu_create(m, 0, &v))
		die("vcpu");
	start(v);
	v->cpu.step_only = step;
	vcpu_set_poll(v, out_of_time, &polls);
	while (!vcpu_run(v, 0) && handle(r, vcpu_exit(v)))
		;
	if (!r->ended)
		printf("%s: ends at %#llx\n", r->image, (unsigned long long)v->cpu.rip);
	vcpu_destroy(v);
	machine_destroy(m);
	munmap(ram, RAM_BYTES);
}

static void read_records(struct run *r, const char *path)
{
	FILE *f = fopen(path, "r");
	int c;

	if (!f)
		die(path);
	while ((c = getc(f)) != EOF && r->records < RECORDS_MAX)
		take_byte(r, (u8)c);
	fclose(f);
}

/* ---- the list ---- */

static bool has_failed(struct run *r, const char *name)
{
	for (unsigned i = 0; i < r->failed_count; i++)
		if (r->failed[i] && !strcmp(r->failed[i], name)) {
			r->failed[i] = NULL;
			return true;
		}
	return false;
}

/* Returns how many lines are wrong; what they name is taken from failed[]. */
static unsigned compare_list(struct run *r, const char *path)
{
	size_t n = strlen(r->image);
	unsigned wrong = 0;
	char line[256];
	FILE *f = fopen(path, "r");

	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		if (strncmp(line, r->image, n) || strncmp(line + n, ": ", 2))
			continue;
		if (has_failed(r, line + n + 2))
			continue;
		printf("%s: passes and is in the list\n", line);
		wrong++;
	}
	fclose(f);
	return wrong;
}

static unsigned unexpected(const struct run *r)
{
	unsigned n = 0;

	for (unsigned i = 0; i < r->failed_count; i++)
		n += r->failed[i] != NULL;
	return n;
}

int main(int argc, char **argv)
{
	static struct run r;
	unsigned wrong = 0;

	if (argc != 4)
		return 2;
	r.size = read_file(argv[1], r.code, sizeof(r.code) - 1);
	snprintf(r.image, sizeof(r.image), "%s", basename(argv[1]));
	r.image[strcspn(r.image, ".")] = 0;
	if (!strcmp(argv[2], "read")) {
		read_records(&r, argv[3]);
	} else {
		run_here(&r, !strcmp(argv[2], "step"));
		wrong = compare_list(&r, argv[3]);
	}
	wrong += unexpected(&r);
	printf("%s: %u checks, %u failures%s\n", r.image, r.checks, wrong,
		r.ended ? "" : ", and it did not come to its end");
	return wrong || !r.ended || !r.checks;
}
