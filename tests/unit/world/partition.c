/* SPDX-License-Identifier: MIT */
#include "partition.h"

#include "engine/core/stat.h"
#include "engine/core/vcpu.h"
#include "engine/core/xsave.h"
#include "engine/irqchip.h"

struct world w;
static bool step_only;

static int setup(void)
{
	static const u64 gdt[] = {0, 0x00af9b000000ffff, 0x00cf93000000ffff};
	u64 pml4 = PDPT | 7;

	world_open(&w, IRQCHIP_SPLIT);
	machine_set_option(w.m, OPT_INTERCEPTS, 1);
	world_give_cpuid(w.v);
	w.v->cpu.step_only = step_only;
	world_put(&w, PML4, &pml4, sizeof(pml4));
	for (u64 i = 0; i < 4; i++)
		world_put(&w, PDPT + 8 * (u32)i, &(u64){i << 30 | 0x87}, 8);
	world_put(&w, GDT_AT, gdt, sizeof(gdt));
	return 0;
}

int partition_setup_step(void **state)
{
	step_only = true;
	return setup();
}

int partition_setup_translate(void **state)
{
	step_only = false;
	return setup();
}

int partition_teardown(void **state)
{
	assert_int_equal(w.v->own_stats[STAT_BLOCKS_TRANSLATED] > 0, !step_only);
	world_close(&w);
	return 0;
}

/* ---- a guest ---- */

void start_at(u64 rip)
{
	struct vcpu_state s;

	vcpu_get(w.v, ST_REGS | ST_SREGS | ST_XSAVE | ST_XCR, &s);
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s.seg[i] = (struct segment){.limit = ~0u, .attr = 0xc093, .selector = 0x10};
	s.seg[SEG_CS].attr = 0xa09b;
	s.seg[SEG_CS].selector = 8;
	s.gdt = (struct dtable){.base = GDT_AT, .limit = 0x17};
	s.idt = (struct dtable){.base = IDT_AT, .limit = 0xfff};
	s.cr0 = CR0_PE | CR0_PG | CR0_NE | CR0_ET;
	s.cr3 = PML4;
	s.cr4 = CR4_PAE | CR4_OSFXSR | CR4_OSXSAVE;
	s.efer = EFER_LME | EFER_LMA;
	s.xcr0 = 7;
	for (unsigned i = 0; i < GPR_COUNT; i++)
		s.gpr[i] = 0x1111111111111111ull * (i + 1);
	s.gpr[RSP] = STACK;
	s.gpr[RBX] = DEVICE;
	s.rip = rip;
	s.rflags = FL_FIXED | FL_CF | FL_ZF;
	s.mp_state = MP_RUNNABLE;
	assert_int_equal(vcpu_set(w.v, ST_REGS | ST_SREGS | ST_XSAVE | ST_XCR | ST_MP, &s), 0);
}

void set_gpr(unsigned reg, u64 value)
{
	struct vcpu_state s;

	vcpu_get(w.v, ST_REGS, &s);
	s.gpr[reg] = value;
	assert_int_equal(vcpu_set(w.v, ST_REGS, &s), 0);
}

void set_rip(u64 rip)
{
	struct vcpu_state s;

	vcpu_get(w.v, ST_REGS, &s);
	s.rip = rip;
	assert_int_equal(vcpu_set(w.v, ST_REGS, &s), 0);
}

void gate(u8 vector, u64 handler)
{
	u64 low = (handler & 0xffff) | 8 << 16 | 0x8e00ull << 32 | (handler >> 16 & 0xffff) << 48;

	world_put(&w, IDT_AT + vector * 16u, &low, 8);
}

void put_slot(u32 flags, u64 size)
{
	struct memslot_config c = {
		.id = 1, .flags = flags, .gpa = DEVICE, .size = size, .hva = (u64)w.ram + DATA};

	assert_int_equal(machine_set_memslot(w.m, &c), 0);
}

/* ---- exits ---- */

static struct fpu_image *image_of(struct vcpu_state *s)
{
	return (struct fpu_image *)s->xsave;
}

/* Translated code has dropped flags that the instruction overwrites whole. What is not in use may be shown in either way. */
bool same_state(const struct vcpu_state *before, const struct vcpu_state *after)
{
	static struct vcpu_state a, b;

	a = *before;
	b = *after;
	if (!step_only)
		b.rflags = (b.rflags & ~(u64)FL_STATUS) | (a.rflags & FL_STATUS);
	image_of(&a)->xstate_bv = image_of(&b)->xstate_bv = 0;
	return !memcmp(&a, &b, sizeof(a));
}

const struct exit *leaves(u32 reason)
{
	static struct vcpu_state before, after; /* large; what is not read is 0 */
	const struct exit *x;

	vcpu_get(w.v, STATE_ALL, &before);
	x = run_to(w.v, reason);
	vcpu_get(w.v, STATE_ALL, &after);
	assert_memory_equal(before.gpr, after.gpr, sizeof(before.gpr));
	assert_int_equal(before.rip, after.rip);
	assert_true(same_state(&before, &after));
	return x;
}

void insn_is(unsigned len)
{
	const struct exit_insn *in = vcpu_exit_insn(w.v);
	static const u8 zero[16];

	assert_int_equal(in->len, len);
	assert_true(in->count >= len && in->count <= 16);
	assert_memory_equal(in->bytes, w.ram + rip_of(w.v), in->count);
	assert_memory_equal(in->bytes + in->count, zero, 16u - in->count);
}

void no_insn(void)
{
	assert_int_equal(vcpu_exit_insn(w.v)->len, 0);
	assert_int_equal(vcpu_exit_insn(w.v)->count, 0);
}

void touches(u32 reason, u64 gpa, unsigned len, bool rmw, unsigned insn_len)
{
	for (unsigned i = 0; i < 2; i++) {
		const struct exit *x = leaves(reason);

		assert_int_equal(x->mmio.gpa, gpa);
		assert_int_equal(x->mmio.len, len);
		assert_true(x->mmio.gva_valid);
		assert_int_equal(x->mmio.gva, gpa);
		assert_int_equal(x->mmio.rmw, rmw);
		assert_false(x->mmio.walk);
		insn_is(insn_len);
	}
}

void says(void)
{
	assert_int_equal(run_to(w.v, EXIT_IO_OUT)->io.port, PORT_SAY);
}

void goes_on(void)
{
	set_rip(rip_of(w.v) + vcpu_exit_insn(w.v)->len);
	says();
}
