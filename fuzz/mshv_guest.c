/* SPDX-License-Identifier: MIT */
/* Guests of fuzz-mshv: code of which each piece leaves in another way, and the registers to run it with. */
#include <errno.h>
#include <string.h>

#include "abi/mshv/kinds.h"
#include "fuzz/mshv_fuzz.h"
#include "x86/regs.h"

/* ---- code ---- */

struct piece {
	u8 n, code[12];
};

/* Real mode; what comes in bx, si, di, cx is what guest_revive() has put there, or a piece. */
static const struct piece pieces[] = {
	{2, {0xe6, 0x10}},
	{2, {0xe4, 0x20}},
	{1, {0xef}},
	{1, {0x6e}},
	{3, {0xf3, 0x6c}}, /* out, in, outs, rep ins */
	{2, {0x88, 0x07}},
	{2, {0x8a, 0x07}},
	{3, {0x66, 0x01, 0x07}},
	{2, {0xf3, 0xa4}},
	{2, {0xf3, 0xaa}},
	{3, {0x67, 0x88, 0x03}},
	{4, {0x66, 0x67, 0x8b, 0x03}},
	{4, {0x67, 0xf0, 0xfe, 0x03}},             /* [ebx] */
	{6, {0x66, 0xbb, 0x00, 0x00, 0x00, 0xd0}}, /* mov ebx, GUEST_HOLE */
	{6, {0x66, 0xbb, 0x00, 0x00, 0xe0, 0xfe}}, /* the local APIC's page */
	{6, {0x66, 0xbb, 0xfe, 0xff, 0x07, 0x00}}, /* the end of RAM */
	{5, {0x66, 0x31, 0xc0, 0x0f, 0xa2}},
	{8, {0x66, 0xb8, 0x01, 0x00, 0x00, 0x40, 0x0f, 0xa2}},
	{2, {0x0f, 0xa2}},
	{2, {0x0f, 0x32}},
	{2, {0x0f, 0x30}},
	{2, {0x0f, 0x31}}, /* cpuid, rdmsr, wrmsr, rdtsc */
	{3, {0x0f, 0x01, 0xc1}},
	{3, {0x0f, 0x01, 0xd9}}, /* vmcall, vmmcall */
	{1, {0xf4}},
	{1, {0xfb}},
	{1, {0xfa}},
	{1, {0xcc}},
	{2, {0xcd, 0x40}},
	{1, {0xf1}},
	{2, {0x0f, 0x0b}},
	{1, {0x9d}},
	{1, {0x9c}},
	{1, {0xcf}},
	{1, {0xc3}},
	{2, {0xff, 0xe3}}, /* popf, pushf, iret, ret, jmp bx */
	{3, {0x0f, 0x20, 0xc0}},
	{3, {0x0f, 0x22, 0xc0}},
	{3, {0x0f, 0x22, 0xd8}},
	{3, {0x0f, 0x22, 0xe0}},
	{3, {0x0f, 0x01, 0x1f}},
	{3, {0x0f, 0x01, 0x17}},
	{3, {0x0f, 0x01, 0xd1}}, /* lidt, lgdt, xsetbv */
	{2, {0xf3, 0x90}},
	{2, {0x0f, 0x09}},
	{3, {0x0f, 0xae, 0x07}},
	{3, {0x66, 0x31, 0xc0}},
	{3, {0x66, 0x40, 0x90}},
	{3, {0x8e, 0xd8, 0x90}},
	{3, {0x8e, 0xd0, 0x90}},
	{3, {0xb9, 0x04, 0x00}},
};

static u32 some_msr(struct worker *w)
{
	static const u32 msrs[] = {0x10, 0x1b, 0x3a, 0x3b, 0x48, 0x8b, 0xfe, 0x174, 0x1a0, 0x1d9,
		0x200, 0x277, 0x2ff, 0x6e0, 0xc0000080, 0xc0000081, 0xc0000102, 0xc0000103,
		0x40000000, 0x40000001, 0x40000002, 0x40000003, 0x40000020, 0x40000021, 0x40000022,
		0x40000070, 0x40000071, 0x40000072, 0x40000073, 0x40000080, 0x40000082, 0x40000083,
		0x40000084, 0x40000090, 0x40000092, 0x400000b0, 0x400000b1, 0x400000b2, 0x400000b3,
		0x400000f0, 0x40000105, 0x80b, 0x80f, 0x830, 0x832, 0x838, 0x83e, 0x4b564d00,
		0xdead};

	return chance(w, 90) ? RND_OF(&w->r, msrs) : (u32)rnd_edge(&w->r);
}

/* mov ecx, msr; mov eax, value; rdmsr or wrmsr */
static unsigned put_msr(struct worker *w, u8 *at)
{
	u32 msr = some_msr(w),
	    value = chance(w, 50) ? (u32)below(w, 0x100) << 12 | 1 : (u32)rnd_edge(&w->r);

	put(at, (const u8[]){0x66, 0xb9}, 2);
	put(at + 2, &msr, 4);
	put(at + 6, (const u8[]){0x66, 0xb8}, 2);
	put(at + 8, &value, 4);
	put(at + 12, chance(w, 50) ? (const u8[]){0x0f, 0x30} : (const u8[]){0x0f, 0x32}, 2);
	return 14;
}

static void put_tables(u8 *ram)
{
	u64 pml4[1] = {(TABLES_AT + 0x1000) | 7},
	    pdpt[4] = {(TABLES_AT + 0x2000) | 7, 0, 0, (TABLES_AT + 0x3000) | 7};

	put(ram + TABLES_AT, pml4, sizeof(pml4));
	put(ram + TABLES_AT + 0x1000, pdpt, sizeof(pdpt));
	for (u64 i = 0; i < 512; i++) {
		u64 low = i << 21 | 0x87, high = 0xc0000000 | i << 21 | 0x97;

		put(ram + TABLES_AT + 0x2000 + 8 * i, &low, 8);
		put(ram + TABLES_AT + 0x3000 + 8 * i, &high, 8);
	}
}

#define HANDLER_AT      0x40000u /* of 64-bit mode */
#define REAL_HANDLER_AT 0x41000u
#define IDT_AT          0x30000u
#define GDT_AT          0x31000u

/* push rax, rcx, rdx; mov ecx, 80bh; xor eax, eax; xor edx, edx; wrmsr; pop rdx, rcx, rax; iretq */
static const u8 handler[] = {0x50, 0x51, 0x52, 0xb9, 0x0b, 0x08, 0, 0, 0x31, 0xc0, 0x31, 0xd2, 0x0f,
	0x30, 0x5a, 0x59, 0x58, 0x48, 0xcf};
/* out 55h, al; iret */
static const u8 real_handler[] = {0xe6, 0x55, 0xcf};

/* All vectors go to one handler, which ends interrupts. */
static void put_handlers(u8 *ram)
{
	const u64 gdt[3] = {0, 0xaf9b000000ffff, 0xcf93000000ffff};
	const u64 gate[2] = {
		(HANDLER_AT & 0xffff) | 8 << 16 | 0x8e00ull << 32 | (u64)(HANDLER_AT >> 16) << 48,
		0};
	const u32 far = REAL_HANDLER_AT >> 4 << 16;

	put(ram + HANDLER_AT, handler, sizeof(handler));
	put(ram + REAL_HANDLER_AT, real_handler, sizeof(real_handler));
	put(ram + GDT_AT, gdt, sizeof(gdt));
	for (unsigned i = 0; i < 256; i++) {
		put(ram + IDT_AT + 16 * i, gate, sizeof(gate));
		put(ram + 4 * i, &far, sizeof(far));
	}
}

void guest_code(struct worker *w)
{
	u8 *at = pg.ram_stays + CODE_AT, *end = at + CODE_BYTES - 16;

	if (chance(w, 50)) {
		put_tables(pg.ram_stays);
		put_handlers(pg.ram_stays);
	}
	while (at < end) {
		const struct piece *p = &RND_OF(&w->r, pieces);

		if (chance(w, 10)) {
			at += put_msr(w, at);
			continue;
		}
		put(at, p->code, p->n);
		if (pg.garbage && chance(w, 3))
			put(at, &(u8){(u8)rnd(&w->r)}, 1);
		at += p->n;
	}
	put(at, &(u8){0xf4}, 1);
}

/* ---- registers ---- */

static void add_reg(struct hv_register *r, unsigned *n, u32 name, u64 value)
{
	r[(*n)++] = (struct hv_register){.name = name, .value = {.low = value}};
}

static void add_table(struct hv_register *r, unsigned *n, u32 name, u64 base)
{
	const struct hv_table t = {.limit = 0xfff, .base = base};

	memcpy(&r[*n].value, &t, sizeof(t));
	r[(*n)++].name = name;
}

/* A local APIC that takes interrupts, and what the hypervisor has for its guest. */
static void add_platform(struct worker *w, struct hv_register *r, unsigned *n)
{
	add_reg(r, n, HV_X64_REGISTER_APIC_BASE, 0xfee00800 | (chance(w, 70) ? 0x400 : 0));
	add_reg(r, n, HV_X64_REGISTER_APIC_FIRST + 0xf, 0x1ff);
	if (chance(w, 50)) /* its timer */
		add_reg(r, n, HV_X64_REGISTER_APIC_FIRST + 0x32, 0x40 | below(w, 2) << 17);
	if (chance(w, 50))
		add_reg(r, n, HV_X64_REGISTER_APIC_FIRST + 0x38, 1 + below(w, 100000));
	if (!chance(w, 50))
		return;
	add_reg(r, n, HV_REGISTER_GUEST_OS_ID, 0x8100000000000000);
	add_reg(r, n, HV_REGISTER_HYPERCALL, 0x60001);
	add_reg(r, n, HV_REGISTER_SCONTROL, 1);
	add_reg(r, n, HV_REGISTER_SIMP, 0x61001);
	add_reg(r, n, HV_REGISTER_SIEFP, 0x62001);
	add_reg(r, n, HV_REGISTER_SINT0 + 2, 0x42 | below(w, 4) << 16);
	add_reg(r, n, HV_REGISTER_STIMER0_CONFIG + 1, 1 + below(w, 10000));
	add_reg(r, n, HV_REGISTER_STIMER0_CONFIG, 0x20001 | below(w, 4) << 1);
}

/* Something that it is to be given, or told of. */
static void add_event(struct worker *w, struct hv_register *r, unsigned *n)
{
	u64 vector = below(w, chance(w, 50) ? 32 : 256), error = below(w, 2) << 4;

	switch (below(w, 4)) {
	case 0:
		add_reg(r, n, HV_REGISTER_PENDING_INTERRUPTION,
			HV_PENDING | below(w, 8) << 1 | error | vector << 16);
		break;
	case 1:
		add_reg(r, n, HV_REGISTER_PENDING_EVENT0, HV_PENDING | error << 4 | vector << 16);
		break;
	case 2:
		add_reg(r, n, HV_REGISTER_PENDING_EVENT0,
			HV_PENDING | HV_EVENT_EXTINT << 1 | vector << 8);
		break;
	default: add_reg(r, n, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, rnd(&w->r) << 48); break;
	}
}

static void add_segments(struct hv_register *r, unsigned *n, bool wide)
{
	const struct hv_segment code = {.limit = wide ? ~0u : 0xffff,
		.selector = wide ? 8 : 0,
		.attr = wide ? 0xa09b : 0x9b};
	const struct hv_segment data = {.limit = wide ? ~0u : 0xffff,
		.selector = wide ? 16 : 0,
		.attr = wide ? 0xc093 : 0x93};

	for (u32 i = 0; i < 6; i++) {
		struct hv_register *one = &r[(*n)++];

		*one = (struct hv_register){.name = HV_X64_REGISTER_ES + i};
		memcpy(&one->value, i == 1 ? &code : &data, sizeof(code));
	}
}

static unsigned make_regs(struct worker *w, struct hv_register *r)
{
	bool wide = chance(w, 40);
	unsigned n = 0;

	for (u32 i = 0; i < 16; i++)
		add_reg(r, &n, HV_X64_REGISTER_RAX + i,
			chance(w, 50) ? below(w, RAM_BYTES) : rnd_edge(&w->r));
	add_reg(r, &n, HV_X64_REGISTER_RAX + RBX,
		chance(w, 50) ? GUEST_HOLE + below(w, 16) : below(w, RAM_BYTES));
	add_reg(r, &n, HV_X64_REGISTER_RAX + RCX, chance(w, 50) ? some_msr(w) : below(w, 64));
	add_reg(r, &n, HV_X64_REGISTER_RIP, CODE_AT + below(w, CODE_BYTES));
	add_reg(r, &n, HV_X64_REGISTER_RFLAGS, chance(w, 50) ? 0x202 : 2);
	add_reg(r, &n, HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0);
	if (!wide)
		add_reg(r, &n, HV_X64_REGISTER_CR0, 0x10);
	add_segments(r, &n, wide);
	add_reg(r, &n, HV_X64_REGISTER_CR4, wide ? 0x620 : 0);
	add_reg(r, &n, HV_X64_REGISTER_CR3, TABLES_AT);
	add_reg(r, &n, HV_X64_REGISTER_EFER, wide ? 0x500 : 0);
	if (wide)
		add_reg(r, &n, HV_X64_REGISTER_CR0, 0x80000031);
	add_table(r, &n, HV_X64_REGISTER_IDTR, wide ? IDT_AT : 0);
	add_table(r, &n, HV_X64_REGISTER_GDTR, GDT_AT);
	if (chance(w, 60))
		add_platform(w, r, &n);
	if (chance(w, 15))
		add_event(w, r, &n);
	if (chance(w, 4)) /* paging without protection */
		add_reg(r, &n, HV_X64_REGISTER_CR0, 0x80000010);
	return n;
}

void guest_revive(struct worker *w, int vp, u32 index)
{
	struct {
		struct hv_vp_registers head;
		struct hv_register r[64];
	} in = {.head = {.vp_index = index}};
	unsigned n = make_regs(w, in.r);
	struct mshv_root_hvcall a = {.code = HVCALL_SET_VP_REGISTERS,
		.reps = (u16)n,
		.in_sz = (u16)(sizeof(in.head) + n * sizeof(in.r[0])),
		.in_ptr = (unsigned long)&in};

	request(vp, MSHV_ROOT_HVCALL, (unsigned long)&a);
}

/* The caller may write anything to the pages at any time. */
void guest_scribble(struct worker *w, struct slot *s)
{
	struct hv_register_page *page;

	pthread_rwlock_rdlock(&pg.pages);
	page = s->page[0];
	if (page) {
		u8 *b = (u8 *)page;

		__atomic_store_n(&b[below(w, chance(w, 80) ? 0x1b0 : 4096)], (u8)rnd(&w->r),
			__ATOMIC_RELAXED);
		if (chance(w, 60))
			__atomic_store_n(&page->dirty, (u32)below(w, 32), __ATOMIC_RELAXED);
		if (chance(w, 30)) {
			__atomic_store_n(
				&page->rip, CODE_AT + below(w, CODE_BYTES), __ATOMIC_RELAXED);
			__atomic_or_fetch(&page->dirty, HV_PAGE_DIRTY_RIP, __ATOMIC_RELAXED);
		}
	}
	pthread_rwlock_unlock(&pg.pages);
}

/* ---- running ---- */

static const struct {
	u32 type;
	u8 len;
} messages[] = {
	{HVMSG_UNMAPPED_GPA, 80},
	{HVMSG_GPA_INTERCEPT, 80},
	{HVMSG_INVALID_VP_REGISTER_VALUE, 8},
	{HVMSG_UNRECOVERABLE_EXCEPTION, 40},
	{HVMSG_UNSUPPORTED_FEATURE, 16},
	{HVMSG_HYPERCALL_INTERCEPT, 200},
	{HVMSG_SYNIC_SINT_DELIVERABLE, 48},
	{HVMSG_X64_IO_PORT_INTERCEPT, 128},
	{HVMSG_X64_MSR_INTERCEPT, 64},
	{HVMSG_X64_CPUID_INTERCEPT, 104},
	{HVMSG_X64_EXCEPTION_INTERCEPT, 240},
	{HVMSG_X64_EXCEPTION_TRAP, 240},
	{HVMSG_X64_APIC_EOI, 8},
	{HVMSG_X64_HALT, 40},
	{HVMSG_X64_INTERRUPTION_DELIVERABLE, 48},
	{HVMSG_X64_SIPI_INTERCEPT, 48},
	{HVMSG_X64_APIC_SMI, 40},
	{HVMSG_X64_APIC_INIT_SIPI, 240},
	{HVMSG_X64_APIC_WRITE, 240},
};

static void check_message(const struct hv_message *m)
{
	for (unsigned i = 0; i < ARRAY_SIZE(messages); i++)
		if (m->type == messages[i].type && m->len <= messages[i].len)
			goto known;
	finding("message 0x%x of %u bytes", m->type, m->len);
known:
	for (unsigned i = m->len; i < sizeof(m->payload); i++)
		if (m->payload[i])
			finding("message 0x%x has bytes behind its %u", m->type, m->len);
}

void guest_run(struct worker *w, struct slot *s)
{
	struct hv_message m = {.type = 0};
	long r;

	progress("MSHV_RUN_VP");
	r = request(s->fd, MSHV_RUN_VP, (unsigned long)&m);
	if (!r)
		check_message(&m);
	if (!r && chance(w, 70))
		guest_revive(w, s->fd, s->vp_index);
}
