/* SPDX-License-Identifier: MIT */
#include "tests/unit/joins/joins.h"

#include "engine/core/stat.h"
#include "engine/core/vcpu.h"

#define CODE32   (0x9b | SEG_DB | SEG_G)
#define DATA32   (0x93 | SEG_DB | SEG_G)
#define SEL_CODE 0x08
#define SEL_DATA 0x10

struct world w;
static bool step_only;

static int setup(void)
{
	static const u64 gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff};

	world_open(&w, IRQCHIP_FULL);
	w.v->cpu.step_only = step_only;
	world_put(&w, CODE, guest_start, (size_t)(guest_end - guest_start));
	world_put(&w, GDT_AT, gdt, sizeof(gdt));
	return 0;
}

int join_setup_step(void **state)
{
	step_only = true;
	return setup();
}

int join_setup_translate(void **state)
{
	step_only = false;
	return setup();
}

int join_teardown(void **state)
{
	assert_int_equal(w.v->own_stats[STAT_BLOCKS_TRANSLATED] > 0, !step_only);
	world_close(&w);
	return 0;
}

struct vcpu *join_add_vcpu(void)
{
	struct vcpu *v = world_add_vcpu(&w);
	struct vcpu_state s = {.mp_state = MP_RUNNABLE};

	v->cpu.step_only = step_only;
	assert_int_equal(vcpu_set(v, ST_MP, &s), 0);
	return v;
}

u32 join_address(const u8 *guest)
{
	return CODE + (u32)(guest - guest_start);
}

void join_start(struct vcpu *v, const u8 *guest)
{
	struct vcpu_state s;

	vcpu_get(v, ST_REGS | ST_SREGS, &s);
	memset(s.gpr, 0, sizeof(s.gpr));
	for (unsigned i = SEG_ES; i <= SEG_GS; i++)
		s.seg[i] = (struct segment){.limit = ~0u, .attr = DATA32, .selector = SEL_DATA};
	s.seg[SEG_CS].attr = CODE32;
	s.seg[SEG_CS].selector = SEL_CODE;
	s.gdt = (struct dtable){.base = GDT_AT, .limit = 0x17};
	s.idt = (struct dtable){.base = IDT_AT, .limit = 0x7ff};
	s.cr0 |= CR0_PE;
	s.rip = join_address(guest);
	s.rflags = FL_FIXED;
	s.gpr[RSP] = STACK + vcpu_id(v) * 0x1000;
	assert_int_equal(vcpu_set(v, ST_REGS | ST_SREGS, &s), 0);
}

/* SDM 3:6.11 */
void join_handler(u8 vector, const u8 *guest)
{
	u32 at = join_address(guest);
	u64 gate = (at & 0xffff) | SEL_CODE << 16 | 0x8e00ull << 32 | (u64)(at >> 16) << 48;

	world_put(&w, IDT_AT + vector * 8u, &gate, sizeof(gate));
}

u8 join_run(struct vcpu *v)
{
	const struct exit *x = run_to(v, EXIT_IO_OUT);

	assert_int_equal(x->io.port, PORT_OUT);
	return x->io.data[0];
}

u32 peek32(u32 addr)
{
	u32 value;

	memcpy(&value, w.ram + addr, sizeof(value));
	return value;
}

u64 peek64(u32 addr)
{
	return peek32(addr) | (u64)peek32(addr + 4) << 32;
}
