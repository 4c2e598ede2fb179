/* SPDX-License-Identifier: MIT */
/* See hostile.h. Bytes stand for what they are in 64- and in 32-bit code alike, where nothing else is said. */
#include <string.h>

#include "fuzz/hostile.h"
#include "fuzz/places.h"

#define SMC_CODE  (AT_OWN + 0x0ffe)
#define SHARED_AT (AT_SHARED + 0x2ffe)

/* Not where code, page tables and what only one changes are. */
static u64 any_address(struct hostile *h)
{
	struct random *r = &h->r;

	switch (rnd_below(r, 8)) {
	case 0: return AT_SHARED + rnd_below(r, 0x20000);
	case 1: return BOX_RAM - rnd_below(r, 32);
	case 2: return SMRAM_GPA + rnd_below(r, SMRAM_BYTES);
	default: return place_address(r);
	}
}

static bool long_code(const struct hostile *h)
{
	return h->mode == MODE_LONG;
}

static void mov(struct hostile *h, unsigned reg, u64 v)
{
	if (long_code(h)) {
		put_mov(&h->c, reg, v);
		return;
	}
	PUT(&h->c, 0xb8 | reg);
	put32(&h->c, (u32)v);
}

enum { AX, CX, DX, BX, SP, BP, SI, DI };

static void pointers(struct hostile *h)
{
	mov(h, SI, any_address(h));
	mov(h, DI, any_address(h));
}

static void own_stack(struct hostile *h)
{
	mov(h, SP, AT_STACK + (u32)(h->vcpu + 1) * CODE_BYTES - 0x100);
}

/* ---- pieces ---- */

static void strings(struct hostile *h)
{
	static const u8 ops[] = {0xa4, 0xa5, 0xa6, 0xa7, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf};

	pointers(h);
	mov(h, CX, rnd_chance(&h->r, 70) ? rnd_below(&h->r, 0x40) : rnd_below(&h->r, 0x4100));
	PUT(&h->c, rnd_chance(&h->r, 20) ? 0xfd : 0xfc);
	if (rnd_chance(&h->r, 20))
		PUT(&h->c, 0x66);
	PUT(&h->c, rnd_chance(&h->r, 80) ? 0xf3 : 0xf2);
	if (long_code(h) && rnd_chance(&h->r, 40))
		PUT(&h->c, 0x48);
	PUT(&h->c, RND_OF(&h->r, ops), 0xfc);
}

/* One that can be held back or trapped behind, after what does that. */
static void after_shadow(struct hostile *h)
{
	static const struct {
		u8 n, b[6];
	} what[] = {{1, {0xcc}}, {1, {0xf1}}, {2, {0xcd, 0x80}}, {2, {0x0f, 0x05}}, {1, {0xf4}},
		{2, {0xe6, 0x10}}, {1, {0x90}}, {2, {0xf3, 0xa4}}, {1, {0x50}}, {2, {0x0f, 0x0b}},
		{2, {0x0f, 0xa2}}, {3, {0x0f, 0x01, 0xc1}}, {2, {0x0f, 0x34}}, {1, {0xa5}}};
	const u64 i = rnd_below(&h->r, ARRAY_SIZE(what));

	put(&h->c, what[i].b, what[i].n);
}

/* push; pop: the stack's page is known by then. pushf; or [esp], TF; popf. */
static void single_step(struct hostile *h)
{
	PUT(&h->c, 0x50, 0x58, 0x9c, 0x81, 0x0c, 0x24);
	put32(&h->c, 0x100);
	PUT(&h->c, 0x9d);
	if (rnd_chance(&h->r, 50)) /* an exit comes before the trap */
		PUT(&h->c, 0xe6, 0x10);
	else
		after_shadow(h);
	PUT(&h->c, 0x90);
	after_shadow(h);
	PUT(&h->c, 0x9c, 0x81, 0x24, 0x24);
	put32(&h->c, ~0x100u);
	PUT(&h->c, 0x9d);
}

static void traps(struct hostile *h)
{
	pointers(h);
	mov(h, CX, rnd_below(&h->r, 40));
	mov(h, SP, rnd_chance(&h->r, 60) ? place_address(&h->r) & ~7ull : any_address(h));
	switch (rnd_below(&h->r, 5)) {
	case 0: PUT(&h->c, 0x8c, 0xd0, 0x8e, 0xd0); break; /* mov eax, ss; mov ss, eax */
	case 1: PUT(&h->c, 0xfb); break;                   /* sti */
	case 2: PUT(&h->c, 0xcd, rnd_below(&h->r, 256)); break;
	default: single_step(h); return;
	}
	after_shadow(h);
}

/* To one, to all, by mode and vector: SDM 3:11.6.1. */
static void ipis(struct hostile *h)
{
	static const u8 modes[] = {0, 0, 0, 2, 2, 4, 4, 4, 5, 6, 6, 7};
	const u32 icr = (u32)rnd_below(&h->r, 256) | (u32)RND_OF(&h->r, modes) << 8 | 1u << 14 |
			(u32)rnd_below(&h->r, 4) << 18;
	const u32 target = (u32)rnd_below(&h->r, 5);

	if (rnd_chance(&h->r, 20)) {
		mov(h, CX, 0x830);
		mov(h, AX, icr);
		mov(h, DX, target);
		PUT(&h->c, 0x0f, 0x30);
		return;
	}
	mov(h, DI, h->mode == MODE_FLAT ? 0xfee00000 : APIC_AT);
	PUT(&h->c, 0xc7, 0x87); /* mov dword [edi + 310h], target */
	put32(&h->c, 0x310);
	put32(&h->c, target << 24);
	PUT(&h->c, 0xc7, 0x87);
	put32(&h->c, 0x300);
	put32(&h->c, icr);
}

static u64 descriptor(struct random *r)
{
	static const u64 some[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff,
		0x000093020000ffff, 0x0000890064000067, 0x00008b0064000067, 0x0000890068000067,
		0x0000850014400000, 0x0000850018400000, 0x00008e000018f100, 0x00008f000018f100,
		0x0000ee000018f100, 0x00008c000018f100, 0x0000820050007fff, 0x00cf97000000ffff,
		0x000f9b000000ffff};
	u64 d = RND_OF(r, some);

	if (rnd_chance(r, 30))
		d ^= 1ull << rnd_below(r, 64);
	return rnd_chance(r, 5) ? rnd(r) : d;
}

static u64 page_entry(struct random *r)
{
	u64 e = rnd_chance(r, 70) ? PLACE_GPA + rnd_below(r, 6) * PLACE_BYTES
				  : AT_SHARED + rnd_below(r, 16) * 4096;

	e |= rnd_chance(r, 80) ? 0x87 : rnd_below(r, 0x200);
	if (rnd_chance(r, 10))
		e |= 1ull << rnd_below(r, 64);
	return e;
}

/* What all of them use: entries of GDT, IDT, TSSs, page tables of places and of the shared pages. */
static void tables(struct hostile *h)
{
	struct random *r = &h->r;
	u64 at, v = descriptor(r);

	switch (rnd_below(r, 6)) {
	case 0: at = AT_GDT + rnd_below(r, 12) * 8; break;
	case 1: at = AT_IDT32 + rnd_below(r, 34) * 8; break;
	case 2: at = AT_IDT64 + rnd_below(r, 34) * 16; break;
	case 3: at = AT_TASKS + rnd_below(r, 4) * 0x400 + rnd_below(r, 14) * 8; break;
	case 4:
		at = 0xc000 + rnd_below(r, 8) * 8;
		v = page_entry(r);
		break;
	default:
		at = 0x4000 + (AT_SHARED / 4096 + rnd_below(r, 32)) * 8;
		v = page_entry(r) & ~0x80ull;
	}
	mov(h, DI, at);
	mov(h, AX, v);
	if (long_code(h))
		PUT(&h->c, 0x48);
	PUT(&h->c, 0x89, 0x07); /* mov [edi], eax */
	if (rnd_chance(r, 50))
		PUT(&h->c, 0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8); /* CR3 as it was */
}

/* Between 64- and 32-bit code: retf there, something, jmp far back. */
static void there_and_back(struct hostile *h)
{
	PUT(&h->c, 0x6a, 0x18, 0x68); /* push 18h; push imm32 */
	put32(&h->c, h->c.at + h->c.n + 6);
	PUT(&h->c, 0x48, 0xcb);
	PUT(&h->c, 0x60, 0x61);
	after_shadow(h);
	PUT(&h->c, 0xea);
	put32(&h->c, h->c.at + h->c.n + 6);
	PUT(&h->c, 0x08, 0x00);
}

static void selectors(struct hostile *h)
{
	static const u16 known[] = {0, 8, 0x10, 0x18, 0x20, 0x1040, 0x1440, 0x1840, 0x28, 0x2b};
	static const u8 loads[][3] = {{0x8e, 0xd8, 0x90}, {0x8e, 0xc0, 0x90}, {0x8e, 0xe0, 0x90},
		{0x8e, 0xe8, 0x90}, {0x8e, 0xd0, 0x90}, {0x0f, 0x00, 0xd0}, {0x0f, 0x00, 0xd8}};
	const u16 s = rnd_chance(&h->r, 80) ? RND_OF(&h->r, known) : (u16)rnd(&h->r);
	const u64 i = rnd_below(&h->r, ARRAY_SIZE(loads));

	own_stack(h);
	if (long_code(h) && rnd_chance(&h->r, 30)) {
		there_and_back(h);
	} else if (!long_code(h) && rnd_chance(&h->r, 40)) {
		PUT(&h->c, rnd_chance(&h->r, 50) ? 0xea : 0x9a); /* jmp, call far */
		put32(&h->c, h->c.at + h->c.n + 6);
		PUT(&h->c, (u8)s, s >> 8);
	} else if (rnd_chance(&h->r, 80)) {
		mov(h, AX, s);
		put(&h->c, loads[i], 3);
	} else { /* iret to wherever */
		for (unsigned n = 0; n < 5; n++) {
			PUT(&h->c, 0x68);
			put32(&h->c, n == 2 ? (u32)rnd(&h->r) & 0x3ffff : RND_OF(&h->r, known));
		}
		PUT(&h->c, 0xcf);
	}
}

/* The function is mov al, n; ret; over a page's border. Nobody else writes it. */
static void on_own_code(struct hostile *h)
{
	const u32 f = SMC_CODE + (u32)h->vcpu * CODE_BYTES - (u32)rnd_below(&h->r, 2) * 0x300;
	u32 again;

	own_stack(h);
	mov(h, DI, f);
	mov(h, CX, 1 + rnd_below(&h->r, 30));
	mov(h, DX, rnd(&h->r));
	PUT(&h->c, 0x66, 0xc7, 0x07, 0xb0, 0x00, 0xc6, 0x47, 0x02, 0xc3);
	again = h->c.n;
	PUT(&h->c, 0xff, 0xc2, 0x88, 0x57, 0x01, 0xff,
		0xd7);                      /* inc edx; mov [edi+1], dl; call edi */
	PUT(&h->c, 0x38, 0xd0, 0x75, 0x06); /* cmp al, dl; jne */
	PUT(&h->c, 0xff, 0xc9, 0x75, (u8)(again - h->c.n - 4), 0xeb, 0x02); /* dec ecx; jnz again */
	h->smc[h->pieces] = h->mode == MODE_REAL ? 0 : h->c.at + h->c.n;    /* other code there */
	PUT(&h->c, 0xe6, SMC_PORT);
}

/* A byte that decides whether code crosses the page, changed by one while others run it. */
static void on_shared_code(struct hostile *h)
{
	own_stack(h);
	mov(h, DI, SHARED_AT);
	mov(h, CX, 20 + rnd_below(&h->r, 400));
	if (rnd_chance(&h->r, 50))
		PUT(&h->c, 0xff, 0xd7, 0xff, 0xc9, 0x75, 0xfa); /* call edi; dec ecx; jnz */
	else /* mov byte [edi], 48h; mov byte [edi], C3h */
		PUT(&h->c, 0xc6, 0x07, 0x48, 0xc6, 0x07, 0xc3, 0xff, 0xc9, 0x75, 0xf6);
}

static void smc(struct hostile *h)
{
	switch (rnd_below(&h->r, 3)) {
	case 0: on_own_code(h); break;
	case 1: on_shared_code(h); break;
	default: /* code in a place: mov eax, imm; ret; call it */
		own_stack(h);
		mov(h, DI, place_address(&h->r));
		PUT(&h->c, 0xc7, 0x07, 0xb8, 1, 2, 3, 0xc7, 0x47, 0x03, 4, 5, 0xc3, 0xc3);
		PUT(&h->c, 0xff, 0xd7);
	}
}

static void msrs(struct hostile *h)
{
	static const u32 known[] = {0x10, 0x1b, 0x3b, 0x174, 0x175, 0x176, 0x179, 0x1a0, 0x1d9,
		0x277, 0x2ff, 0x400, 0x6e0, 0x80b, 0x80f, 0x832, 0x838, 0x83f, 0x4b564d00,
		0x4b564d01, 0x4b564d02, 0x4b564d03, 0x4b564d04, 0x40000000, 0x40000001, 0x40000070,
		0x40000080, 0x40000082, 0x40000083, 0x40000084, 0x40000090, 0x40000092, 0x400000b0,
		0x400000b1, 0xc0000080, 0xc0000081, 0xc0000082, 0xc0000100, 0xc0000101, 0xc0000102};
	const u64 v = rnd_chance(&h->r, 40)   ? any_address(h) | 1
		      : rnd_chance(&h->r, 30) ? 0x500
					      : rnd_edge(&h->r);

	mov(h, CX, RND_OF(&h->r, known));
	if (rnd_chance(&h->r, 20)) {
		PUT(&h->c, 0x0f, 0x32, 0x35); /* rdmsr; xor eax, a bit; wrmsr */
		put32(&h->c, 1u << rnd_below(&h->r, 32));
	} else {
		mov(h, AX, v & 0xffffffff);
		mov(h, DX, v >> 32);
	}
	PUT(&h->c, 0x0f, 0x30);
}

static void calls(struct hostile *h)
{
	static const u16 hv[] = {2, 3, 8, 0x0b, 0x13, 0x14, 0x15, 0x5c, 0x5d};

	mov(h, AX, rnd_below(&h->r, 14));
	mov(h, BX, any_address(h));
	mov(h, CX, rnd_chance(&h->r, 50) ? RND_OF(&h->r, hv) : rnd_below(&h->r, 5));
	mov(h, DX, any_address(h));
	mov(h, SI, rnd_below(&h->r, 3));
	PUT(&h->c, 0x0f, 0x01, rnd_chance(&h->r, 50) ? 0xc1 : 0xd9);
}

/* A bit of CR0, CR3, CR4, XCR0; debug registers; what else only a kernel may. */
static void control(struct hostile *h)
{
	static const struct {
		u8 n, b[4];
	} what[] = {{1, {0xf4}}, {2, {0xfb, 0xf4}}, {1, {0xfa}}, {1, {0xfb}}, {2, {0x0f, 0xa2}},
		{3, {0x0f, 0x01, 0x3f}}, {2, {0x0f, 0x09}}, {2, {0x0f, 0x06}}, {2, {0x0f, 0x08}},
		{2, {0x0f, 0xaa}}, {3, {0x0f, 0x01, 0xf8}}, {3, {0x0f, 0x01, 0xc8}},
		{3, {0x0f, 0x01, 0xc9}}, {2, {0x0f, 0x07}}, {2, {0x0f, 0x05}}, {2, {0x0f, 0x34}},
		{2, {0x0f, 0x35}}, {3, {0x0f, 0x01, 0x17}}, {3, {0x0f, 0x01, 0x1f}},
		{3, {0x0f, 0x01, 0xf0}}, {3, {0x0f, 0xae, 0x07}}, {3, {0x0f, 0xae, 0x0f}},
		{3, {0x0f, 0xae, 0x27}}, {3, {0x0f, 0xae, 0x2f}}, {4, {0x66, 0x0f, 0x38, 0x82}}};
	static const u8 cr[] = {0xc0, 0xd8, 0xe0};
	const u64 i = rnd_below(&h->r, ARRAY_SIZE(what));
	const u8 reg = RND_OF(&h->r, cr);

	pointers(h);
	switch (rnd_below(&h->r, 5)) {
	case 0:
		PUT(&h->c, 0x0f, 0x20, reg, 0x35);
		put32(&h->c, 1u << rnd_below(&h->r, rnd_chance(&h->r, 80) ? 23 : 32));
		PUT(&h->c, 0x0f, 0x22, reg);
		break;
	case 1:
		mov(h, CX, 0);
		PUT(&h->c, 0x0f, 0x01, 0xd0, 0x35);
		put32(&h->c, 1u << rnd_below(&h->r, 20));
		PUT(&h->c, 0x0f, 0x01, 0xd1);
		break;
	case 2:
		mov(h, AX, rnd_chance(&h->r, 50) ? h->entry[0] : any_address(h));
		PUT(&h->c, 0x0f, 0x23, 0xc0 | rnd_below(&h->r, 4) << 3);
		mov(h, AX, rnd(&h->r) & 0xffff27ff);
		PUT(&h->c, 0x0f, 0x23, 0xf8);
		break;
	default: put(&h->c, what[i].b, what[i].n);
	}
}

/* To ports and to memory that is not there; strings of both. */
static void io(struct hostile *h)
{
	static const u8 ports[] = {0x10, 0x20, 0x21, 0x40, 0x42, 0x43, 0x60, 0x61, 0xa0, 0x10};
	static const u8 ops[] = {0x6c, 0x6d, 0x6e, 0x6f};
	static const u8 memory[][3] = {{0x01, 0x07, 0x90}, {0x87, 0x07, 0x90}, {0xff, 0x37, 0x90},
		{0x8f, 0x07, 0x90}, {0x0f, 0x11, 0x07}, {0x0f, 0xc1, 0x07}, {0xff, 0x17, 0x90},
		{0x0f, 0xc7, 0x0f}, {0x0f, 0xb1, 0x07}, {0xdd, 0x37, 0x90}, {0xa5, 0xa5, 0xa5}};

	own_stack(h);
	pointers(h);
	mov(h, DX, RND_OF(&h->r, ports));
	mov(h, CX, rnd_below(&h->r, 60));
	switch (rnd_below(&h->r, 4)) {
	case 0: PUT(&h->c, rnd_chance(&h->r, 50) ? 0xee : 0xec); break;
	case 1: PUT(&h->c, 0xf3, RND_OF(&h->r, ops)); break;
	default:
		if (rnd_chance(&h->r, 30))
			PUT(&h->c, 0xf0);
		put(&h->c, memory[rnd_below(&h->r, ARRAY_SIZE(memory))], 3);
	}
}

/* The same again and again: more of one kind than a block has room for. */
static void repeated(struct hostile *h)
{
	static const struct {
		u8 n, b[4];
	} forms[] = {{2, {0xf3, 0xa4}}, {2, {0xf3, 0xa5}}, {2, {0xf3, 0xaa}}, {2, {0xf2, 0xae}},
		{2, {0xf3, 0xa6}}, {4, {0xc8, 0x10, 0x00, 0x03}}, {2, {0xff, 0x37}},
		{2, {0x8f, 0x07}}, {3, {0x0f, 0xab, 0x07}}, {1, {0xd7}}, {1, {0x9d}}, {1, {0x9c}},
		{1, {0xc9}}, {1, {0xfb}}, {2, {0x8e, 0xd8}}, {4, {0xf0, 0x0f, 0xb1, 0x07}},
		{3, {0x0f, 0xc7, 0x0f}}, {2, {0x0f, 0x31}}, {1, {0x60}}, {1, {0x61}},
		{2, {0xf3, 0xac}}, {1, {0xa4}}};
	const u64 i = rnd_below(&h->r, ARRAY_SIZE(forms));

	own_stack(h);
	pointers(h);
	mov(h, CX, rnd_below(&h->r, 3));
	for (u64 n = 20 + rnd_below(&h->r, 45); n; n--)
		put(&h->c, forms[i].b, forms[i].n);
}

static void random_bytes(struct hostile *h)
{
	pointers(h);
	for (u64 n = 4 + rnd_below(&h->r, 40); n; n--)
		PUT(&h->c, rnd(&h->r));
}

/* Before an instruction of 32-bit code, which it is then in 16-bit code as well. */
static void wide(struct hostile *h)
{
	if (h->mode == MODE_REAL)
		PUT(&h->c, 0x66, 0x67);
}

/* Page after page of the large memory: as many entries in the TLB as there can be, mostly for writing. */
static void sweeps(struct hostile *h)
{
	static const u8 ops[][2] = {
		{0x88, 0x07}, {0x89, 0x07}, {0xfe, 0x07}, {0x01, 0x07}, {0x87, 0x07}, {0x8a, 0x07}};
	const u64 i = rnd_below(&h->r, ARRAY_SIZE(ops));
	const u32 stride = (1u << rnd_below(&h->r, 6)) * 4096 + (u32)rnd_below(&h->r, 2) * 8;
	u32 again;

	wide(h);
	mov(h, DI, LARGE_GPA + rnd_below(&h->r, 4 * PLACE_BYTES));
	wide(h);
	mov(h, CX, 1 + rnd_below(&h->r, LARGE_BYTES / stride));
	again = h->c.n;
	wide(h);
	put(&h->c, ops[i], 2);
	wide(h);
	PUT(&h->c, 0x81, 0xc7); /* add edi, stride */
	put32(&h->c, stride);
	wide(h);
	PUT(&h->c, 0xff, 0xc9); /* dec ecx; jnz again */
	wide(h);
	PUT(&h->c, 0x75, (u8)(again - h->c.n - 2));
}

/* ---- together ---- */

static void (*const kinds[PIECE_KINDS])(struct hostile *h) = {
	[STRINGS] = strings,
	[TRAPS] = traps,
	[IPIS] = ipis,
	[TABLES] = tables,
	[SELECTORS] = selectors,
	[SMC] = smc,
	[MSRS] = msrs,
	[CALLS] = calls,
	[CONTROL] = control,
	[IO] = io,
	[REPEATED] = repeated,
	[RANDOM] = random_bytes,
	[SWEEPS] = sweeps,
};

static unsigned some_kind(struct hostile *h)
{
	if (h->often < PIECE_KINDS && rnd_chance(&h->r, 80))
		return h->often;
	return (unsigned)rnd_below(&h->r, PIECE_KINDS);
}

void hostile_make(struct hostile *h)
{
	static const u8 crossing[] = {
		0x48, 0xb8, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0x90, 0xc3};
	const u32 at = AT_CODE + (u32)h->vcpu * CODE_BYTES;

	h->c = (struct code){h->b->ram + at, at, 0};
	memcpy(h->b->ram + SHARED_AT, crossing, sizeof(crossing));
	for (h->pieces = 0; h->pieces < PIECES && h->c.n < CODE_BYTES - 400; h->pieces++) {
		const unsigned kind = some_kind(h);

		h->entry[h->pieces] = at + h->c.n;
		if (with(kind))
			kinds[kind](h);
	}
	PUT(&h->c, 0xe9); /* jmp to the first */
	put32(&h->c, 0u - h->c.n - 4);
	memcpy(h->was, h->c.p, CODE_BYTES);
}
