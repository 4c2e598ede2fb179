/* SPDX-License-Identifier: MIT */
/* Guests of fuzz-kvmi: loops of pieces of which each may be an event. Whatever they read, they go on. */
#include <string.h>

#include "fuzz/kvmi_fuzz.h"

#define HANDLER_AT (AT_HANDLERS + 0x200) /* of INT3: iretq */

static u32 some_place(struct play *p)
{
	return AT_SHARED + (u32)below(p, SHARED_PAGES - 1) * 4096 +
	       (chance(p, 70) ? (u32)below(p, 64) * 16 : 4096 - 3 - (u32)below(p, 8));
}

/* xor of what is there with one bit: it changes each time. */
static void put_control(struct play *p, struct code *c)
{
	switch (below(p, 3)) {
	case 0:
		PUT(c, 0x0f, 0x20, 0xd8, 0x48, 0x83, 0xf0, 0x08, 0x0f, 0x22, 0xd8);
		break; /* CR3.PWT */
	case 1:
		PUT(c, 0x0f, 0x20, 0xc0, 0x48, 0x83, 0xf0, 0x02, 0x0f, 0x22, 0xc0);
		break; /* CR0.MP */
	default:
		PUT(c, 0x0f, 0x20, 0xe0, 0x48, 0x35, 0x80, 0, 0, 0, 0x0f, 0x22, 0xe0);
		break; /* CR4.PGE */
	}
}

/* [place] */
static void put_absolute(struct play *p, struct code *c)
{
	put32(c, some_place(p));
}

static void put_memory(struct play *p, struct code *c)
{
	switch (below(p, 5)) {
	case 0: PUT(c, 0x48, 0x8b, 0x04, 0x25); break;       /* mov [], %rax */
	case 1: PUT(c, 0x89, 0x04, 0x25); break;             /* mov %eax, [] */
	case 2: PUT(c, 0xf0, 0x48, 0xff, 0x04, 0x25); break; /* lock inc */
	case 3: PUT(c, 0xf3, 0x0f, 0x6f, 0x04, 0x25); break; /* movdqu */
	default: PUT(c, 0x48, 0x39, 0x04, 0x25); break;      /* cmp */
	}
	put_absolute(p, c);
}

static void put_string(struct play *p, struct code *c)
{
	PUT(c, 0xfc, 0xbe);
	put32(c, some_place(p));
	PUT(c, 0xbf);
	put32(c, AT_SHARED + (u32)below(p, SHARED_PAGES - 1) * 4096 + (u32)below(p, 4000));
	PUT(c, 0xb9);
	put32(c, (u32)below(p, 20));
	switch (below(p, 4)) {
	case 0: PUT(c, 0xf3, 0xa4); break;       /* rep movsb */
	case 1: PUT(c, 0xf3, 0x48, 0xab); break; /* rep stosq */
	case 2: PUT(c, 0xa7); break;             /* cmpsl */
	default: PUT(c, 0xf2, 0xae); break;      /* repne scasb */
	}
}

static void put_msr(struct play *p, struct code *c)
{
	static const u32 msrs[] = {0x174, 0x175, 0x176};

	PUT(c, 0x0f, 0x31, 0x31, 0xd2, 0xb9); /* rdtsc; xor %edx, %edx; mov msr, %ecx; wrmsr */
	put32(c, RND_OF(&p->r, msrs));
	PUT(c, 0x0f, 0x30);
}

static void put_table(struct play *p, struct code *c)
{
	switch (below(p, 3)) {
	case 0:
		PUT(c, 0x0f, 0x01, 0x04, 0x25); /* sgdt */
		put_absolute(p, c);
		break;
	case 1:
		PUT(c, 0x0f, 0x01, 0x0c, 0x25); /* sidt */
		put_absolute(p, c);
		break;
	default: PUT(c, 0x0f, 0x00, 0xc8); break; /* str %eax */
	}
}

static void put_piece(struct play *p, struct code *c)
{
	switch (below(p, 14)) {
	case 0: put_control(p, c); break;
	case 1: put_msr(p, c); break;
	case 2: PUT(c, 0xb8, (u8)below(p, 16), 0, 0, 0, 0x31, 0xc9, 0x0f, 0xa2); break; /* cpuid */
	case 3: PUT(c, 0xcc); break;
	case 4: /* the hypercall that is an event */
		PUT(c, 0xb8, 34, 0, 0, 0, 0xbf, 24, 0, 0, 0, 0x31, 0xf6, 0x0f, 0x01, 0xc1);
		break;
	case 5: put_table(p, c); break;
	case 6: PUT(c, 0xbb, 0x00, 0x80, 0x08, 0x00, 0xff, 0xd3); break; /* call AT_FUNCTION */
	case 7: put_string(p, c); break;
	case 8: PUT(c, 0xe6, 0x10); break;
	case 9:
		if (!p->irqchip)
			PUT(c, 0xf4);
		break;
	default: put_memory(p, c); break;
	}
}

static void put_program(struct play *p, unsigned vcpu)
{
	struct code c = {
		.p = p->box.ram + AT_CODE + vcpu * CODE_BYTES, .at = AT_CODE + vcpu * CODE_BYTES};
	const unsigned pieces = 1 + (unsigned)below(p, 24);

	PUT(&c, 0xf0, 0x48, 0xff, 0x04, 0x25); /* lock inc of the counter */
	put32(&c, AT_COUNTS + vcpu * 64);
	for (unsigned i = 0; i < pieces; i++)
		put_piece(p, &c);
	PUT(&c, 0xe9);
	put32(&c, 0u - c.n - 4);
}

void guest_make(struct play *p)
{
	const u64 gate[2] = {(HANDLER_AT & 0xffff) | 8 << 16 | 0x8e00ull << 32, 0};

	memset(p->box.ram + AT_FUNCTION, 0xc3, 4096);
	memcpy(p->box.ram + HANDLER_AT, (const u8[]){0x48, 0xcf}, 2);
	memcpy(p->box.ram + AT_IDT64 + 3 * 16, gate, sizeof(gate));
	for (unsigned i = 0; i < KVMI_VCPUS; i++) {
		put_program(p, i);
		box_start(&p->box, (int)i, true);
	}
}

u64 guest_count(struct play *p, unsigned vcpu)
{
	return __atomic_load_n((u64 *)(p->box.ram + AT_COUNTS + vcpu * 64), __ATOMIC_RELAXED);
}
