/* SPDX-License-Identifier: MIT */
/*
 * OPT_INTERCEPTS: all opcodes with an operand in device memory or in a slot that is read-only, or the stack. Whatever the instruction does, if it leaves for that
 * memory the whole state is as it was before it.
 */
#include "tests/unit/world/partition.h"

#include "engine/core/cpu.h"

/* What comes before the opcode and its ModRM. */
struct form {
	u8 bytes[4], len;
};

static const struct form forms[] = {
	{{0}, 0}, {{0x66}, 1}, {{0xf0}, 1}, {{0xf2}, 1}, {{0xf3}, 1}, {{0x48}, 1}, {{0x0f}, 1},
	{{0x66, 0x0f}, 2}, {{0xf0, 0x0f}, 2}, {{0xf2, 0x0f}, 2}, {{0xf3, 0x0f}, 2},
	{{0x48, 0x0f}, 2}, {{0xf0, 0x48, 0x0f}, 3}, {{0x0f, 0x38}, 2}, {{0x66, 0x0f, 0x38}, 3},
	{{0xf2, 0x0f, 0x38}, 3}, {{0x66, 0x0f, 0x3a}, 3},
	{{0xc5, 0xf8}, 2},                                /* VEX: 0F, nothing, 128 bits */
	{{0xc5, 0xfd}, 2},                                /* 66, 256 bits */
	{{0xc4, 0xe2, 0x79}, 3},                          /* 0F38 66 */
	{{0xc4, 0xe2, 0x7d}, 3}, {{0xc4, 0xe3, 0x7d}, 3}, /* 0F3A 66, 256 bits */
};

/* Code, stack and tables as they are at first */
static u8 clean[DATA];

static bool poll(void *unused)
{
	return true;
}

/* The vector registers say that elements are active; no event is left over from the case before. */
static void fill_state(void)
{
	static struct vcpu_state s;

	vcpu_get(w.v, ST_XSAVE, &s);
	memset(s.xsave + 160, 0xb5, 256);
	memset(s.xsave + 576, 0xb5, 256);
	s.xsave[512] = 7;
	assert_int_equal(vcpu_set(w.v, ST_XSAVE | ST_EVENT, &s), 0);
}

static void start(const u8 *code, unsigned len, bool stack)
{
	world_put(&w, CODE, code, len);
	start_at(CODE);
	fill_state();
	set_gpr(RSP, stack ? DEVICE + 0x800 : STACK);
	set_gpr(RBX, stack ? DATA : DEVICE);
	set_gpr(RSI, DATA);
	set_gpr(RDI, DEVICE);
	set_gpr(RDX, 1);
	set_gpr(RCX, 3);
}

/* Has the instruction itself left for the device, and not an exception's delivery or what comes after it? */
static bool has_left(void)
{
	u32 reason = vcpu_exit(w.v)->reason;

	return (reason == EXIT_MMIO_READ || reason == EXIT_MMIO_WRITE) &&
	       vcpu_exit_insn(w.v)->count && rip_of(w.v) == CODE;
}

static void check_untouched(const struct vcpu_state *before, const u8 *code, unsigned len)
{
	static struct vcpu_state after;

	vcpu_get(w.v, STATE_ALL, &after);
	if (same_state(before, &after))
		return;
	for (unsigned i = 0; i < len; i++)
		print_message("%02x ", code[i]);
	fail_msg("has left for gpa 0x%llx, but not without a trace",
		(unsigned long long)vcpu_exit(w.v)->mmio.gpa);
}

/* Returns whether it has left. */
static bool execute(const struct form *f, u8 opcode, unsigned reg, bool stack)
{
	static struct vcpu_state before;
	u8 code[16] = {0};
	unsigned n = f->len, tries = 0;

	memcpy(code, f->bytes, n);
	code[n++] = opcode;
	code[n++] = (u8)(reg << 3 | 3); /* [rbx], register reg */
	start(code, sizeof(code), stack);
	vcpu_get(w.v, STATE_ALL, &before);
	do
		assert_int_equal(vcpu_run(w.v, 0), 0);
	while (vcpu_exit(w.v)->reason == EXIT_INTR && rip_of(w.v) == CODE && ++tries < 20);
	if (has_left()) {
		check_untouched(&before, code, n);
		return true;
	}
	if (vcpu_exit(w.v)->reason != EXIT_IO_OUT) /* it may have run wild for a millisecond */
		memcpy(w.ram, clean, sizeof(clean));
	return false;
}

/* Registers differ little, but in groups; a sanitizer takes its time. */
#define REG_STEP (UV_SANITIZED ? 4 : 1)

/* Returns how many of a hundred have left. */
static unsigned execute_all(bool stack)
{
	unsigned left = 0, all = 0;

	for (unsigned vector = 0; vector < 256; vector++)
		gate((u8)vector, HANDLER);
	WORLD_PUT(&w, HANDLER, SAY);
	memcpy(clean, w.ram, sizeof(clean));
	vcpu_set_poll(w.v, poll, NULL); /* HLT, and what runs on and on */
	vcpu_set_wait_fd(w.v, WAIT_BY_POLLING);
	for (unsigned i = 0; i < ARRAY_SIZE(forms); i++)
		for (unsigned opcode = 0; opcode < 256; opcode++)
			for (unsigned reg = 0; reg < 8; reg += REG_STEP, all++)
				left += execute(&forms[i], (u8)opcode, reg, stack);
	return left * 100 / all;
}

static unsigned in_partition(bool translate, bool rom, bool stack)
{
	unsigned left;

	if (translate)
		partition_setup_translate(NULL);
	else
		partition_setup_step(NULL);
	if (rom)
		put_slot(SLOT_READONLY, 0x2000);
	left = execute_all(stack);
	partition_teardown(NULL);
	return left;
}

/* One test: cmocka takes the engine's signal handlers away at the end of the first. */
static void every_opcode(void **state)
{
	for (unsigned translate = 0; translate < 2; translate++) {
		assert_in_range(in_partition(translate, false, false), 20, 40);
		assert_in_range(in_partition(translate, true, false), 5, 20);
		assert_in_range(in_partition(translate, false, true), 2, 20);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_opcode),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
