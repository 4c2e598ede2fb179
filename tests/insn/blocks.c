/* SPDX-License-Identifier: MIT */
/*
 * Every form of every instruction, so often in a row that a block has room for neither its code nor its ways out: the block
 * ends earlier then, and nothing is asserted. What the instructions do is of no interest here, and most fault.
 *
 * The guest has no IDT, so a fault is the end of its run.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/code/block.h"
#include "engine/cpuid/cpuid.h"
#include "engine/engine.h"
#include "insn/forms.h"

#define RAM_BYTES 0x40000u
#define CODE      0x10000u
#define TABLES    0x20000u
#define DATA      0x30000u
#define COPIES    (BLOCK_INSNS_MAX - 1)

struct bench {
	struct machine *m;
	struct vcpu *v;
	u8 *ram;
	unsigned forms, through; /* run to the HLT behind them */
	unsigned polls;          /* of this run */
};

static void fail(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

static void put64(struct bench *b, u32 at, u64 v)
{
	memcpy(b->ram + at, &v, sizeof(v));
}

/* Some go on for ever. */
static bool long_enough(void *opaque)
{
	struct bench *b = opaque;

	return ++b->polls > 2;
}

/* All that the host has: else there would be no code for AVX and AVX-512. */
static void enable_vectors(struct bench *b)
{
	static struct cpuid_entry cpuid[256];
	unsigned n = MIN(engine_supported_cpuid(cpuid, 256), 256u);
	struct vcpu_state s = {.xcr0 = xstate_of_host().features};

	if (vcpu_set_cpuid(b->v, cpuid, n) || vcpu_set(b->v, ST_XCR, &s))
		fail("the vector state is refused");
}

static void open_bench(struct bench *b)
{
	struct memslot_config c = {.size = RAM_BYTES};

	b->ram = mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (b->ram == MAP_FAILED)
		fail("no memory");
	c.hva = (u64)b->ram;
	if (machine_create(&b->m) || machine_set_memslot(b->m, &c) || vcpu_create(b->m, 0, &b->v))
		fail("no machine");
	vcpu_set_poll(b->v, long_enough, b);
	enable_vectors(b);
	put64(b, TABLES, (TABLES + 0x1000) | 7);
	put64(b, TABLES + 0x1000, (TABLES + 0x2000) | 7);
	put64(b, TABLES + 0x2000, 0x87);
}

static void set_mode(struct vcpu_state *s, unsigned mode)
{
	const u32 data = 0xc093, code = mode == 8 ? 0xa09b : mode == 4 ? 0xc09b : 0x9b;

	for (unsigned i = 0; i < 6; i++)
		s->seg[i] = (struct segment){.selector = 0x10, .limit = ~0u, .attr = data};
	s->seg[SEG_CS] = (struct segment){.selector = 8, .limit = ~0u, .attr = code};
	s->cr0 = mode == 8 ? 0x80000011 : 0x11;
	s->cr3 = TABLES;
	s->cr4 = 0x40620;
	s->efer = mode == 8 ? 0x500 : 0;
	s->idt.limit = 0;
}

static void start(struct bench *b, unsigned mode)
{
	struct vcpu_state s;

	vcpu_get(b->v, ST_REGS | ST_SREGS, &s);
	for (unsigned i = 0; i < GPR_COUNT; i++)
		s.gpr[i] = DATA;
	s.gpr[RCX] = 0;
	s.gpr[RSP] = DATA + 0x1000;
	s.rip = CODE;
	s.rflags = FL_FIXED;
	set_mode(&s, mode);
	if (vcpu_set(b->v, ST_REGS | ST_SREGS, &s))
		fail("the start state is refused");
}

/* A whole instruction; 0: it needs more than its form says, or the prefix is another instruction's. */
static unsigned make_insn(const struct form *f, unsigned mode, u8 prefix, u8 *code)
{
	struct insn in;
	unsigned n = prefix != 0;

	memset(code, 0, 2 * INSN_MAX);
	code[0] = prefix;
	n += form_encode(
		f, mode, (struct form_prefix){.p2 = (f->desc->evex & EV_NEEDS) != 0}, code + n);
	code[n] = f->modrm;
	return insn_decode(&in, code, INSN_MAX, mode) == INSN_OK && in.desc == f->desc ? in.len : 0;
}

/* Nothing is to be half done when the next form begins. */
static void finish(struct bench *b)
{
	for (unsigned i = 0; i < 20 && vcpu_exit(b->v)->reason != EXIT_INTR; i++)
		if (vcpu_run(b->v, RUN_COMPLETE_ONLY))
			return;
}

static void one_form(struct bench *b, const struct form *f, unsigned mode, u8 prefix)
{
	u8 code[2 * INSN_MAX];
	const unsigned len = make_insn(f, mode, prefix, code);

	if (!len)
		return;
	for (unsigned i = 0; i < COPIES; i++)
		memcpy(b->ram + CODE + i * len, code, len);
	/* xor eax, eax in the same block: no flag of theirs is alive, which lets some be done inline. */
	memcpy(b->ram + CODE + COPIES * len, (const u8[]){0x31, 0xc0, 0xf4}, 3);
	start(b, mode);
	b->polls = 0;
	if (vcpu_run(b->v, 0))
		fail("vcpu_run()");
	b->forms++;
	b->through += vcpu_exit(b->v)->reason == EXIT_HLT;
	finish(b);
}

/* Repeated, in another segment, with addresses of another size. */
static void with_prefixes(struct bench *b, const struct form *f, unsigned mode)
{
	static const u8 prefixes[] = {0xf3, 0xf2, 0x64, 0x67};
	const bool memory = f->modrm < 0xc0 && f->desc->mem != MEM_NONE;
	const bool string = insn_op_info[f->desc->op].class & OC_STRING;

	one_form(b, f, mode, 0);
	if (!memory && !string)
		return;
	for (unsigned i = string ? 0 : 2; i < ARRAY_SIZE(prefixes); i++)
		one_form(b, f, mode, prefixes[i]);
}

int main(void)
{
	static const unsigned modes[] = {8, 4, 2};
	struct forms *forms = forms_create();
	struct bench b = {0};

	open_bench(&b);
	for (unsigned m = 0; m < ARRAY_SIZE(modes); m++)
		for (unsigned c = 0; c < FORM_CLASSES; c++) {
			const struct form_list *l = &forms->list[form_mode(modes[m])][c];

			for (unsigned i = 0; i < l->count; i++)
				with_prefixes(&b, &l->form[i], modes[m]);
		}
	printf("%u forms, %u of them run through\n", b.forms, b.through);
	if (b.forms < 2000 || b.through < 500)
		fail("there should be more");
	vcpu_destroy(b.v);
	machine_destroy(b.m);
	munmap(b.ram, RAM_BYTES);
	forms_destroy(forms);
	return 0;
}
