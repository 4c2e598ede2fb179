/* SPDX-License-Identifier: MIT */
/*
 * The differential test of instructions: the same sequence with the same state by step(), by translated code,
 * and by the bare host. See docs/testing.md.
 *
 * A case is made from a seed and a number alone (generate.c) or written by hand (cases.c), and can be run as
 * often as wanted: each run starts by putting memory and registers in place.
 */
#ifndef TESTS_INSN_DIFF_H
#define TESTS_INSN_DIFF_H

#include <stdio.h>

#include "base/types.h"
#include "insn/layout.h"
#include "x86/insn.h"
#include "x86/regs.h"

/* Registers; xsave in the standard format: x87, SSE, AVX, AVX-512. */
struct machine;
struct regs {
	u64 gpr[GPR_COUNT];
	u64 rip, rflags, fs_base, gs_base;
	u8 xsave[R_XSAVE_BYTES] __attribute__((aligned(64)));
};

#define SEQ_MAX     12
#define CODE_MAX    (SEQ_MAX * INSN_MAX + 16)
#define PATCHES_MAX 8
#define DATA_BYTES  (L_DATA_RW * PAGE_SIZE) /* what a case can change */

/* What kind of segments: flat ones, as the host has them, or others (low.c). */
enum kind { KIND_FLAT, KIND_REAL, KIND_V86, KIND_PROT };

struct seg_state {
	u16 selector;
	u32 base, limit, attr;
};

struct insn_case {
	u64 seed, number;
	u8 mode; /* 8, or 4: 32-bit code; 2: 16-bit code, never flat */
	u8 kind; /* enum kind */
	u8 cpl;
	bool with_host;
	bool cold;  /* the guest's TLB is empty at the start */
	bool image; /* stores an x87 or FXSAVE image, where the host's instruction pointers differ */
	unsigned count;      /* instructions, the closing jump not counted */
	u16 at[SEQ_MAX + 1]; /* where they start */
	unsigned bytes;
	u8 code[CODE_MAX];
	struct regs start;
	struct seg_state seg[6]; /* unless flat */
	unsigned patches;        /* differences of the data pages from the common image */
	struct {
		u64 addr, value;
	} patch[PATCHES_MAX];
};

enum end { END_DONE, END_FAULT, END_STUCK, END_ODD };

struct outcome {
	u8 end; /* enum end */
	u8 vector;
	u32 error;
	u64 cr2;
	u32 exit_reason; /* END_ODD */
	struct regs regs;
	struct seg_state seg[6]; /* at the exit, unless flat */
	u8 data[DATA_BYTES];
	u8 code[2 * PAGE_SIZE]; /* the writable pages of code */
};

/* ---- machine.c: memory shared by guest and host, and the guest ---- */

enum leg {
	LEG_STEP,
	LEG_TRANSLATE,
	LEG_AGAIN /* with warm TLB and translations */,
	LEG_HOST,
	LEGS
};
extern const char *const leg_name[LEGS];

struct diff;

/* NULL with a message on stderr if it cannot be. */
struct diff *diff_open(void);
void diff_close(struct diff *d);
/* The common content of the data pages. */
void diff_fill(struct diff *d, u64 seed);
/* Put the code of a case in place; once before its legs. Clears c->with_host if the host cannot run it. */
void diff_load(struct diff *d, struct insn_case *c);
void diff_run(struct diff *d, const struct insn_case *c, enum leg leg, struct outcome *ret);

/* ---- machine.c ---- */

/* TESTS_CACHE=small: blocks are evicted all the time. */
void diff_small_cache(struct machine *m);

/* ---- tapped.c ---- */

struct vcpu;
/* As TESTS_TAP says: a subscriber that is asked everything. bytes: of guest-physical memory from 0. */
void diff_tap(struct machine *m, struct vcpu *v, u64 bytes);
bool diff_tap_pages(void);
/* machine_write(), to where that memory is now. */
void diff_write(struct machine *m, u64 gpa, const void *bytes, unsigned n);

/* ---- low.c: the legs of cases that are not flat ---- */

struct low;

struct low *low_open(void);
void low_close(struct low *l);
void low_fill(struct low *l, const u8 *data);
void low_load(struct low *l, struct insn_case *c);
void low_run(struct low *l, const struct insn_case *c, enum leg leg, struct outcome *ret);

/* Where the data and the code of a case begin in linear memory. */
static inline u64 case_data(const struct insn_case *c)
{
	return c->kind == KIND_FLAT ? L_DATA : LOW_DATA;
}
/* rip at the end of a case. */
static inline u64 case_end(const struct insn_case *c)
{
	if (c->kind != KIND_FLAT)
		return c->start.rip + c->at[c->count];
	return c->mode == 4 ? L_LAND32 : L_LAND;
}

/* ---- host.c ---- */

bool host_open(void);
void host_close(void);
/* Where vector state lies in its images, and in the guest's. */
struct xstate_place;
const struct xstate_place *host_xstate(void);
/* Of which vendor is the host? What is excused on one of them is compared on the other. */
bool host_is_amd(void);
/* A descriptor of the LDT; false if the host has none. */
bool host_set_segment(unsigned entry, const struct seg_state *s);
/* Run at c->start.rip; memory is in place. Sets all but ret->data and ret->code. */
void host_run(const struct insn_case *c, struct outcome *ret);
/* Call this regularly from a run that may hang: kick is called on the alarm of a run that lasts too long. */
void host_watch(void (*kick)(void *opaque), void *opaque);

/* ---- probe.c: what this host can run ---- */

/* Finds out; the fixed addresses are mapped. */
void host_probe(void);
bool host_can(const struct insn_case *c);
bool host_fsgsbase(void); /* has the instructions; before host_probe() */
/* What it cannot, a line each. */
void host_say(FILE *out);

/* ---- generate.c, start_low.c ---- */

struct random {
	u64 state;
};

static inline u64 rnd(struct random *r)
{
	u64 z = r->state += 0x9e3779b97f4a7c15ull; /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}
static inline unsigned below(struct random *r, unsigned n)
{
	return (u32)(rnd(r) >> 32) * (u64)n >> 32;
}
static inline bool percent(struct random *r, unsigned p)
{
	return below(r, 100) < p;
}

struct forms; /* every form of every instruction that may be generated */
struct forms *forms_create(void);
void forms_destroy(struct forms *f);
unsigned forms_count(const struct forms *f);
void generate(const struct forms *f, u64 seed, u64 number, struct insn_case *ret);
/* Segments and registers of a case that is not flat. */
void start_low(struct random *r, struct insn_case *c);
/* A value that is likely to matter. */
u64 interesting(struct random *r);
void random_vectors(struct random *r, u8 xsave[R_XSAVE_BYTES]);

/* ---- compare.c ---- */

enum difference { DIFF_NONE, DIFF_EXCUSED, DIFF_FOUND };
/* Do two legs agree? out: say in what they differ, unless NULL. */
enum difference compare(const struct insn_case *c, enum leg la, const struct outcome *a,
	enum leg lb, const struct outcome *b, FILE *out);

struct tally {
	u64 cases, insns, faults, excused, stuck;
};
/* All legs of a case and their comparison. */
enum difference check_case(struct diff *d, struct insn_case *c, struct tally *t, FILE *out);
/* What check_case() has found last. */
void print_differences(const struct insn_case *c, FILE *out);
/* Replace by nops what is not needed for the difference. */
void minimise(struct diff *d, struct insn_case *c);
void print_case(const struct insn_case *c, FILE *out);

#endif
