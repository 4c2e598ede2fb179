/* SPDX-License-Identifier: MIT */
/* System management mode: the way in, what it holds off, its own memory, and RSM. */
#include <errno.h>
#include <sys/mman.h>

#include "tests/unit/world/world.h"
#include "engine/engine.h"
#include "engine/exit.h"
#include "engine/irqchip.h"
#include "x86/regs.h"

#define SMBASE  0x30000u
#define HANDLER (SMBASE + 0x8000)
#define SAVE    (SMBASE + 0xfe00)

/* Offsets in the save area: APM 2:10.2.3 table 10-1, and the P6's. */
enum {
	S64_CS = 0x10,
	S64_HALT = 0xc9,
	S64_EFER = 0xd0,
	S64_REVISION = 0xfc,
	S64_SMBASE = 0x100,
	S64_CR4 = 0x148,
	S64_CR0 = 0x158,
	S64_RFLAGS = 0x170,
	S64_RIP = 0x178,
	S64_R15 = 0x180,
	S64_RAX = 0x1f8,
};
enum { S32_SMBASE = 0xf8, S32_REVISION = 0xfc, S32_EAX = 0x1d0, S32_EIP = 0x1f0, S32_CR0 = 0x1fc };

struct smm {
	struct world w;
	u8 *smram; /* RAM_BYTES, all of the other address space */
};

static u64 get(const struct smm *s, u32 offset, unsigned size)
{
	u64 v = 0;

	memcpy(&v, s->smram + SAVE + offset, size);
	return v;
}

static void put(struct smm *s, u32 offset, u64 v, unsigned size)
{
	memcpy(s->smram + SAVE + offset, &v, size);
}

static void add_smram(struct smm *s)
{
	struct memslot_config c = {.id = SLOT_ID(1, 0), .size = RAM_BYTES, .hva = (u64)s->smram};

	assert_int_equal(machine_set_memslot(s->w.m, &c), 0);
}

static void smm_open(struct smm *s, enum irqchip_mode mode)
{
	world_open(&s->w, mode);
	s->smram =
		mmap(NULL, RAM_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(s->smram != MAP_FAILED);
	add_smram(s);
	world_give_cpuid(s->w.v);
}

static void smm_close(struct smm *s)
{
	world_close(&s->w);
	munmap(s->smram, RAM_BYTES);
}

#define HANDLER_CODE(s, ...)                                                                       \
	do {                                                                                       \
		static const u8 handler_[] = {__VA_ARGS__};                                        \
		memcpy((s)->smram + HANDLER, handler_, sizeof(handler_));                          \
	} while (0)

static struct vcpu_state state_of(struct vcpu *v)
{
	struct vcpu_state s;

	vcpu_get(v, ST_REGS | ST_SREGS | ST_EVENT | ST_SMI | ST_DEBUG | ST_MP, &s);
	return s;
}

static bool in_smm(struct vcpu *v)
{
	struct vcpu_brief b;

	vcpu_get_brief(v, &b);
	assert_int_equal(b.smm, state_of(v).events.smi.active);
	return b.smm;
}

static struct exit *run_to_out(struct vcpu *v, u16 port)
{
	struct exit *x = run_to(v, EXIT_IO_OUT);

	assert_int_equal(x->io.port, port);
	return x;
}

/* ---- in and out ---- */

static void test_there_and_back(void **state)
{
	struct smm s;
	struct vcpu_state before, in, after;
	struct exit *x;

	smm_open(&s, IRQCHIP_NONE);
	WORLD_CODE(&s.w, 0xb8, 0x34, 0x12, 0xe6, 0x10, 0xe6, 0x11); /* mov ax, 1234h; out; out */
	HANDLER_CODE(&s, 0xb0, 0x55, 0xe4, 0x0e, 0x0f, 0xaa); /* mov al, 55h; in al, 0eh; rsm */
	run_to_out(s.w.v, 0x10);
	before = state_of(s.w.v);
	assert_false(in_smm(s.w.v));
	vcpu_smi(s.w.v);
	assert_true(state_of(s.w.v).events.smi.pending);

	x = run_to(s.w.v, EXIT_IO_IN);
	assert_int_equal(x->io.port, 0x0e);
	in = state_of(s.w.v);
	assert_true(in_smm(s.w.v));
	assert_false(in.events.smi.pending);
	assert_true(in.events.nmi.masked);
	assert_false(in.events.smi.inside_nmi);
	assert_int_equal(in.rip, 0x8002);
	assert_int_equal(in.rflags, FL_FIXED);
	assert_int_equal(in.seg[SEG_CS].selector, SMBASE >> 4);
	assert_int_equal(in.seg[SEG_CS].base, SMBASE);
	assert_int_equal(in.seg[SEG_DS].base, 0);
	assert_int_equal(in.seg[SEG_DS].limit, 0xffffffff);
	assert_int_equal(in.idt.limit, 0);
	assert_int_equal(in.cr4, 0);
	assert_int_equal(in.efer, 0);
	assert_int_equal(get(&s, S64_REVISION, 4), 0x20064);
	assert_int_equal(get(&s, S64_SMBASE, 4), SMBASE);
	assert_int_equal(get(&s, S64_RAX, 8), 0x1234);
	assert_int_equal(get(&s, S64_RIP, 8), CODE + 5);
	assert_int_equal(get(&s, S64_CR0, 8), before.cr0);
	assert_int_equal(get(&s, S64_CS + 2, 2), before.seg[SEG_CS].attr);
	assert_int_equal(get(&s, S64_HALT, 1), 0);

	x->io.data[0] = 0x77;
	put(&s, S64_R15, 0x1122334455667788, 8);
	run_to_out(s.w.v, 0x11);
	after = state_of(s.w.v);
	assert_false(in_smm(s.w.v));
	assert_false(after.events.nmi.masked);
	before.rip = CODE + 5;
	before.gpr[R15] = 0x1122334455667788;
	assert_memory_equal(after.gpr, before.gpr, sizeof(before.gpr));
	assert_memory_equal(after.seg, before.seg, sizeof(before.seg));
	assert_int_equal(after.rip, before.rip);
	assert_int_equal(after.rflags, before.rflags);
	assert_int_equal(after.cr0, before.cr0);
	assert_int_equal(after.idt.limit, before.idt.limit);
	assert_memory_equal(after.dr, before.dr, sizeof(before.dr));
	smm_close(&s);
}

static void test_32_bit_layout(void **state)
{
	struct smm s;
	struct vcpu_state before;

	smm_open(&s, IRQCHIP_NONE);
	assert_int_equal(vcpu_set_cpuid(s.w.v, NULL, 0), 0); /* no long mode, then */
	WORLD_CODE(&s.w, 0x66, 0xb8, 1, 2, 3, 4, 0xe6, 0x10, 0xe6, 0x11);
	HANDLER_CODE(&s, 0xe6, 0x30, 0x0f, 0xaa);
	run_to_out(s.w.v, 0x10);
	before = state_of(s.w.v);
	vcpu_smi(s.w.v);
	run_to_out(s.w.v, 0x30);
	assert_int_equal(get(&s, S32_REVISION, 4), 0x20000);
	assert_int_equal(get(&s, S32_SMBASE, 4), SMBASE);
	assert_int_equal(get(&s, S32_EAX, 4), 0x04030201);
	assert_int_equal(get(&s, S32_EIP, 4), CODE + 8);
	assert_int_equal(get(&s, S32_CR0, 4), before.cr0);
	put(&s, S32_EAX, 0x99, 4);
	run_to_out(s.w.v, 0x11);
	assert_int_equal(gpr_of(s.w.v, RAX), 0x99);
	assert_memory_equal(state_of(s.w.v).seg, before.seg, sizeof(before.seg));
	smm_close(&s);
}

/* Protected mode with paging flags and 64-bit code come back as they were. */
static void test_long_mode_state(void **state)
{
	struct smm s;
	struct vcpu_state st, after;

	smm_open(&s, IRQCHIP_NONE);
	WORLD_CODE(&s.w, 0xe6, 0x10, 0xe6, 0x11);
	HANDLER_CODE(&s, 0x0f, 0xaa);
	u64 pml4 = 0x2003, pdpt = 0x3003, pd = 0x83;
	world_put(&s.w, 0x1800, "", 1);
	world_put(&s.w, 0x5000, &pml4, 8);
	world_put(&s.w, 0x2000, &pdpt, 8);
	world_put(&s.w, 0x3000, &pd, 8);
	st = state_of(s.w.v);
	st.cr3 = 0x5000;
	st.cr4 = CR4_PAE | CR4_OSFXSR;
	st.cr0 = CR0_PE | CR0_PG | CR0_ET | CR0_NE;
	st.efer = EFER_LME | EFER_LMA | EFER_NX | EFER_SCE;
	st.seg[SEG_CS].attr = 0xa09b;
	st.seg[SEG_CS].selector = 8;
	st.seg[SEG_CS].limit = 0xffffffff;
	st.seg[SEG_GS].base = 0xffff888000001000;
	st.seg[SEG_GS].attr |= SEG_UNUSABLE;
	st.seg[SEG_GS].attr &= ~SEG_P;
	st.gpr[R9] = 0x1234567890abcdef;
	st.rflags |= FL_CF | FL_DF;
	assert_int_equal(vcpu_set(s.w.v, ST_REGS | ST_SREGS, &st), 0);
	run_to_out(s.w.v, 0x10);
	vcpu_smi(s.w.v);
	run_to_out(s.w.v, 0x11);
	after = state_of(s.w.v);
	assert_int_equal(after.rip, CODE + 2);
	assert_int_equal(after.rflags, st.rflags);
	assert_int_equal(after.efer, st.efer);
	assert_int_equal(after.cr0, st.cr0);
	assert_int_equal(after.cr3, st.cr3);
	assert_int_equal(after.cr4, st.cr4);
	assert_memory_equal(after.gpr, st.gpr, sizeof(st.gpr));
	assert_memory_equal(after.seg, st.seg, sizeof(st.seg));
	smm_close(&s);
}

static void test_rsm_outside(void **state)
{
	struct smm s;

	smm_open(&s, IRQCHIP_NONE);
	WORLD_CODE(&s.w, 0x0f, 0xaa);
	WORLD_PUT(&s.w, 0x4000, 0xe6, 0x66);
	world_vector(&s.w, 6, 0x4000);
	run_to_out(s.w.v, 0x66);
	smm_close(&s);
}

static void test_smbase_moves(void **state)
{
	struct smm s;
	u64 value = 0;

	smm_open(&s, IRQCHIP_NONE);
	WORLD_CODE(&s.w, 0xe6, 0x10, 0xe6, 0x11, 0xe6, 0x12);
	HANDLER_CODE(&s, 0xe6, 0x30, 0x0f, 0xaa);
	static const u8 second[] = {0xe6, 0x31, 0x0f, 0xaa};
	memcpy(s.smram + 0x10000 + 0x8000, second, sizeof(second));
	run_to_out(s.w.v, 0x10);
	vcpu_smi(s.w.v);
	run_to_out(s.w.v, 0x30);
	put(&s, S64_SMBASE, 0x10000, 4);
	run_to_out(s.w.v, 0x11);
	assert_int_equal(vcpu_get_msr(s.w.v, 0x9e, &value, true), 0);
	assert_int_equal(value, 0x10000);
	assert_int_equal(vcpu_get_msr(s.w.v, 0x9e, &value, false), -EINVAL); /* not the guest's */
	assert_int_equal(vcpu_set_msr(s.w.v, 0x9e, 0x30000, false), -EINVAL);
	vcpu_smi(s.w.v);
	run_to_out(s.w.v, 0x31);
	assert_int_equal(vcpu_get_msr(s.w.v, 0x34, &value, true), 0);
	assert_int_equal(value, 2); /* SMI_COUNT */
	run_to_out(s.w.v, 0x12);
	assert_int_equal(vcpu_set_msr(s.w.v, 0x9e, SMBASE, true), 0);
	smm_close(&s);
}

/* ---- what waits ---- */

static void test_smi_waits(void **state)
{
	struct smm s;

	smm_open(&s, IRQCHIP_NONE);
	WORLD_CODE(&s.w, 0xe6, 0x10, 0xe6, 0x11);
	HANDLER_CODE(&s, 0xe6, 0x30, 0xe6, 0x31, 0x0f, 0xaa);
	run_to_out(s.w.v, 0x10);
	vcpu_smi(s.w.v);
	run_to_out(s.w.v, 0x30);
	vcpu_smi(s.w.v);
	vcpu_smi(s.w.v); /* one is remembered */
	run_to_out(s.w.v, 0x31);
	assert_true(state_of(s.w.v).events.smi.pending);
	run_to_out(s.w.v, 0x30);
	assert_int_equal(get(&s, S64_RIP, 8), CODE + 2);
	run_to_out(s.w.v, 0x31);
	run_to_out(s.w.v, 0x11);
	smm_close(&s);
}

static void test_nmi_waits(void **state)
{
	struct smm s;

	smm_open(&s, IRQCHIP_NONE);
	WORLD_CODE(&s.w, 0xe6, 0x10, 0xe6, 0x11);
	HANDLER_CODE(&s, 0xe6, 0x30, 0xe6, 0x31, 0x0f, 0xaa);
	WORLD_PUT(&s.w, 0x4000, 0xe6, 0x66, 0xcf);
	world_vector(&s.w, 2, 0x4000);
	run_to_out(s.w.v, 0x10);
	vcpu_smi(s.w.v);
	run_to_out(s.w.v, 0x30);
	vcpu_nmi(s.w.v);
	run_to_out(s.w.v, 0x31);
	run_to_out(s.w.v, 0x66); /* after RSM, before the next instruction */
	assert_false(in_smm(s.w.v));
	assert_true(state_of(s.w.v).events.nmi.masked);

	/* From inside an NMI handler, RSM leaves them masked. */
	vcpu_smi(s.w.v);
	run_to_out(s.w.v, 0x30);
	assert_true(state_of(s.w.v).events.smi.inside_nmi);
	vcpu_nmi(s.w.v);
	run_to_out(s.w.v, 0x31);
	run_to_out(s.w.v, 0x66); /* the iret has let it in */
	run_to_out(s.w.v, 0x11);
	assert_false(state_of(s.w.v).events.nmi.masked);
	smm_close(&s);
}

/* INIT by the local APIC: latched until RSM. */
static void test_init_waits(void **state)
{
	struct smm s;
	struct vcpu_state st;
	struct msi init = {.address = 0xfee00000, .data = 5 << 8};

	smm_open(&s, IRQCHIP_FULL);
	WORLD_CODE(&s.w, 0xe6, 0x10, 0xe6, 0x11);
	HANDLER_CODE(&s, 0xe6, 0x30, 0xe6, 0x31, 0x0f, 0xaa);
	run_to_out(s.w.v, 0x10);
	vcpu_smi(s.w.v);
	run_to_out(s.w.v, 0x30);
	assert_int_equal(irq_msi(s.w.m, &init), 1);
	run_to_out(s.w.v, 0x31);
	assert_true(state_of(s.w.v).events.smi.latched_init);
	vcpu_kick(s.w.v); /* the reset vector has no RAM: stop there */
	assert_int_equal(vcpu_run(s.w.v, 0), 0);
	if (vcpu_exit(s.w.v)->reason == EXIT_INTR) /* the kick was first */
		assert_int_equal(vcpu_run(s.w.v, 0), 0);
	st = state_of(s.w.v);
	assert_false(st.events.smi.active);
	assert_false(st.events.smi.latched_init);
	assert_int_equal(st.seg[SEG_CS].base, 0xffff0000);
	smm_close(&s);
}

static void test_apic_sends_it(void **state)
{
	struct smm s;
	struct msi smi = {.address = 0xfee00000, .data = 2 << 8};

	smm_open(&s, IRQCHIP_FULL);
	WORLD_CODE(&s.w, 0xe6, 0x10, 0xe6, 0x11);
	HANDLER_CODE(&s, 0xe6, 0x30, 0x0f, 0xaa);
	run_to_out(s.w.v, 0x10);
	assert_int_equal(irq_msi(s.w.m, &smi), 1);
	run_to_out(s.w.v, 0x30);
	run_to_out(s.w.v, 0x11);
	smm_close(&s);
}

/* ---- HLT ---- */

static void test_halt_goes_on(void **state)
{
	struct smm s;

	smm_open(&s, IRQCHIP_FULL);
	WORLD_CODE(&s.w, 0xe6, 0x10, 0xf4, 0xe6, 0x11);
	HANDLER_CODE(&s, 0xe6, 0x30, 0x0f, 0xaa);
	run_to_out(s.w.v, 0x10);
	vcpu_kick(s.w.v);
	run_to(s.w.v, EXIT_INTR);
	vcpu_smi(s.w.v); /* before the HLT */
	run_to_out(s.w.v, 0x30);
	assert_int_equal(get(&s, S64_HALT, 1), 0);

	/* Halted, outside: rip is past the HLT. */
	put(&s, S64_RIP, CODE + 3, 8);
	put(&s, S64_HALT, 1, 1);
	vcpu_smi(s.w.v); /* comes as soon as it is back in HLT */
	run_to_out(s.w.v, 0x30);
	assert_int_equal(get(&s, S64_HALT, 1), 1);
	assert_int_equal(get(&s, S64_RIP, 8), CODE + 3);
	put(&s, S64_HALT, 0, 1); /* the handler wants it to go on */
	run_to_out(s.w.v, 0x11);
	smm_close(&s);
}

/* ---- what cannot be ---- */

static void expect_shutdown(u32 offset, u64 value, unsigned size)
{
	struct smm s;

	smm_open(&s, IRQCHIP_NONE);
	WORLD_CODE(&s.w, 0xe6, 0x10, 0xe6, 0x11);
	HANDLER_CODE(&s, 0xe6, 0x30, 0x0f, 0xaa);
	run_to_out(s.w.v, 0x10);
	vcpu_smi(s.w.v);
	run_to_out(s.w.v, 0x30);
	put(&s, offset, value, size);
	run_to(s.w.v, EXIT_SHUTDOWN);
	smm_close(&s);
}

static void test_bad_images(void **state)
{
	expect_shutdown(S64_CR0, CR0_PG, 8);
	expect_shutdown(S64_CR0, CR0_NW, 8);
	expect_shutdown(S64_CR0, BIT64(32), 8);
	expect_shutdown(S64_CR4, BIT64(31), 8);
	expect_shutdown(S64_CR4, CR4_PCIDE, 8);
	expect_shutdown(S64_EFER, BIT64(1), 8);
}

static void test_no_smram(void **state)
{
	struct smm s;
	struct memslot_config none = {.id = SLOT_ID(1, 0)};

	smm_open(&s, IRQCHIP_NONE);
	assert_int_equal(machine_set_memslot(s.w.m, &none), 0);
	WORLD_CODE(&s.w, 0xe6, 0x10, 0xe6, 0x11);
	run_to_out(s.w.v, 0x10);
	vcpu_smi(s.w.v);
	run_to(s.w.v, EXIT_INTERNAL_ERROR);
	assert_false(in_smm(s.w.v));
	smm_close(&s);
}

/* ---- its own memory ---- */

/* Translated code at one address, in both spaces: flat 32-bit mode, smm switched by hand. */
static void set_smm(struct vcpu *v, bool on)
{
	struct vcpu_state st = state_of(v);

	st.events.smi.active = on;
	st.rip = CODE;
	assert_int_equal(vcpu_set(v, ST_SMI | ST_REGS, &st), 0);
}

static void test_spaces_are_apart(void **state)
{
	/* mov ecx, 100; 1: mov al, n; add al, [0x2000]; loop 1; out al */
	static const u8 code[] = {0xb9, 100, 0, 0, 0, 0xb0, 1, 0x02, 0x05, 0x00, 0x20, 0, 0, 0xe2,
		0xf6, 0xa2, 0x08, 0x20, 0, 0, 0xe6, 0x10};
	struct smm s;
	struct vcpu_state st;

	smm_open(&s, IRQCHIP_NONE);
	WORLD_CODE(&s.w, 0x90);
	memcpy(s.w.ram + CODE, code, sizeof(code));
	memcpy(s.smram + CODE, code, sizeof(code));
	s.smram[CODE + 6] = 2;
	s.w.ram[0x2000] = 0x10;
	s.smram[0x2000] = 0x20;
	st = state_of(s.w.v);
	st.cr0 = CR0_PE | CR0_ET;
	for (unsigned i = 0; i <= SEG_GS; i++)
		st.seg[i] = (struct segment){
			.limit = 0xffffffff, .attr = i == SEG_CS ? 0xc09b : 0xc093, .selector = 8};
	assert_int_equal(vcpu_set(s.w.v, ST_SREGS, &st), 0);
	for (unsigned i = 0; i < 6; i++) {
		bool smm = i & 1;

		set_smm(s.w.v, smm);
		assert_int_equal(run_to_out(s.w.v, 0x10)->io.data[0], smm ? 0x22 : 0x11);
		assert_int_equal(s.smram[0x2008], i ? 0x22 : 0);
		assert_int_equal(s.w.ram[0x2008], 0x11);
	}
	smm_close(&s);
}

static void test_dirty_in_its_space(void **state)
{
	struct memslot_config c = {.id = SLOT_ID(1, 0), .size = RAM_BYTES, .flags = SLOT_LOG_DIRTY};
	struct smm s;
	u64 bitmap = 0;

	smm_open(&s, IRQCHIP_NONE);
	c.hva = (u64)s.smram;
	assert_int_equal(machine_set_memslot(s.w.m, &c), 0);
	WORLD_CODE(&s.w, 0xe6, 0x10, 0xa2, 0x00, 0x30, 0xe6, 0x11); /* mov [3000h], al */
	HANDLER_CODE(&s, 0xa2, 0x00, 0x20, 0x0f, 0xaa);             /* mov [2000h], al */
	run_to_out(s.w.v, 0x10);
	vcpu_smi(s.w.v);
	run_to_out(s.w.v, 0x11);
	assert_int_equal(machine_get_dirty_log(s.w.m, SLOT_ID(1, 0), &bitmap), 0);
	assert_int_equal(bitmap, BIT64(2) | BIT64(SAVE >> 12) |
					 BIT64(HANDLER >> 12)); /* code is fetched from the last */
	assert_int_equal(machine_get_dirty_log(s.w.m, SLOT_ID(0, 0), &bitmap), -ENOENT);
	assert_int_equal(machine_get_dirty_log(s.w.m, SLOT_ID(2, 0), &bitmap), -ENOENT);
	smm_close(&s);
}

/* MMIO has the same addresses in both. */
static void test_devices_see_no_space(void **state)
{
	struct smm s;
	struct exit *x;

	smm_open(&s, IRQCHIP_NONE);
	WORLD_CODE(&s.w, 0xe6, 0x10, 0xe6, 0x11);
	HANDLER_CODE(&s, 0x67, 0x66, 0xa1, 0x00, 0x00, 0x00, 0xe0, /* mov eax, [e0000000h] */
		0x67, 0x66, 0xa3, 0x04, 0x00, 0x00, 0xe0, 0x0f, 0xaa);
	run_to_out(s.w.v, 0x10);
	vcpu_smi(s.w.v);
	x = run_to(s.w.v, EXIT_MMIO_READ);
	assert_int_equal(x->mmio.gpa, 0xe0000000);
	memset(x->mmio.data, 0x5a, 4);
	x = run_to(s.w.v, EXIT_MMIO_WRITE);
	assert_int_equal(x->mmio.gpa, 0xe0000004);
	assert_int_equal(x->mmio.data[0], 0x5a);
	run_to_out(s.w.v, 0x11);
	smm_close(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),
		cmocka_unit_test(test_32_bit_layout),
		cmocka_unit_test(test_long_mode_state),
		cmocka_unit_test(test_rsm_outside),
		cmocka_unit_test(test_smbase_moves),
		cmocka_unit_test(test_smi_waits),
		cmocka_unit_test(test_nmi_waits),
		cmocka_unit_test(test_init_waits),
		cmocka_unit_test(test_apic_sends_it),
		cmocka_unit_test(test_halt_goes_on),
		cmocka_unit_test(test_bad_images),
		cmocka_unit_test(test_no_smram),
		cmocka_unit_test(test_spaces_are_apart),
		cmocka_unit_test(test_dirty_in_its_space),
		cmocka_unit_test(test_devices_see_no_space),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
