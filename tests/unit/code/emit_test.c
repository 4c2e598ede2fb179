/* SPDX-License-Identifier: MIT */
/* Every emitter, with all registers: Zydis reads what it wrote, and says the same as we meant. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <Zydis/Zydis.h>

#include "engine/code/emit.h"
#include "x86/regs.h"

#define AT 0x10000u /* where Zydis believes that the code is */

static const char *const names[4][16] = {
	{"al", "cl", "dl", "bl", "spl", "bpl", "sil", "dil", "r8b", "r9b", "r10b", "r11b", "r12b",
		"r13b", "r14b", "r15b"},
	{"ax", "cx", "dx", "bx", "sp", "bp", "si", "di", "r8w", "r9w", "r10w", "r11w", "r12w",
		"r13w", "r14w", "r15w"},
	{"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi", "r8d", "r9d", "r10d", "r11d",
		"r12d", "r13d", "r14d", "r15d"},
	{"rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12",
		"r13", "r14", "r15"},
};
static const char *const pointers[4] = {"byte", "word", "dword", "qword"};

static u8 code[64];
static struct emit e;
static unsigned checked, wrong;
static ZydisDecoder decoder;
static ZydisFormatter formatter; /* says the size of every memory operand */

static struct emit *fresh(void)
{
	memset(code, 0xcc, sizeof(code));
	e = (struct emit){.p = code, .exec_delta = (s64)(AT - (u64)code)};
	return &e;
}

static unsigned log2_of(unsigned size)
{
	return (unsigned)__builtin_ctz(size);
}
static const char *reg(unsigned size, unsigned r)
{
	return names[log2_of(size)][r];
}

/* The instruction at *at, as Zydis writes it; *at moves on. */
static void disassemble(unsigned *at, char *text, size_t room)
{
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	ZydisDecodedInstruction in;
	unsigned left = (unsigned)(e.p - code) - *at;

	if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code + *at, left, &in, operands)) ||
		!ZYAN_SUCCESS(ZydisFormatterFormatInstruction(&formatter, &in, operands,
			in.operand_count_visible, text, room, AT + *at, NULL))) {
		snprintf(text, room, "no instruction");
		*at += left;
		return;
	}
	*at += in.length;
}

/* What was emitted since fresh(): instructions separated by "; ". */
static void says(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void says(const char *format, ...)
{
	char meant[256], read[256] = "", one[128];
	unsigned at = 0;
	va_list args;

	va_start(args, format);
	vsnprintf(meant, sizeof(meant), format, args);
	va_end(args);
	while (at < (unsigned)(e.p - code)) {
		size_t n = strlen(read);

		disassemble(&at, one, sizeof(one));
		snprintf(read + n, sizeof(read) - n, "%s%s", n ? "; " : "", one);
	}
	checked++;
	if (!strcmp(meant, read))
		return;
	wrong++;
	printf("meant %s, wrote %s\n", meant, read);
}

/* An operand of each shape: displacements of no, one and four bytes, every base and index. */
struct shape {
	struct emit_mem m;
	char text[64];
};

static struct shape shape(unsigned n)
{
	static const s32 disps[] = {0, 0x40, -0x80, 0x1234};
	unsigned base = n & 15, index = n >> 4 & 15;
	s32 disp = disps[n & 3];
	struct shape s = {.m = at_sum(base, index, disp)};
	char d[16] = "", i[16] = "";

	if (index == RSP)
		s.m = at_reg(base, disp);
	else
		snprintf(i, sizeof(i), "+%s*1", reg(8, index));
	if (disp)
		snprintf(d, sizeof(d), "%c0x%02X", disp < 0 ? '-' : '+', disp < 0 ? -disp : disp);
	snprintf(s.text, sizeof(s.text), "[%s%s%s]", reg(8, base), i, d);
	return s;
}

static void moves_between_registers(unsigned a, unsigned b)
{
	emit_mov_rr(fresh(), a, b);
	says("mov %s, %s", reg(8, a), reg(8, b));
	emit_mov_rr32(fresh(), a, b);
	says("mov %s, %s", reg(4, a), reg(4, b));
	emit_mov_rr16(fresh(), a, b);
	says("mov %s, %s", reg(2, a), reg(2, b));
	emit_movzx8(fresh(), a, b);
	says("movzx %s, %s", reg(4, a), reg(1, b));
	emit_movzx16(fresh(), a, b);
	says("movzx %s, %s", reg(4, a), reg(2, b));
	emit_movsxd(fresh(), a, b);
	says("movsxd %s, %s", reg(8, a), reg(4, b));
	emit_mov_rr8(fresh(), a, b);
	says("mov %s, %s", reg(1, a), reg(1, b));
	emit_sarx(fresh(), true, a, b, a);
	says("sarx %s, %s, %s", reg(8, a), reg(8, b), reg(8, a));
	emit_sarx(fresh(), false, a, b, a);
	says("sarx %s, %s, %s", reg(4, a), reg(4, b), reg(4, a));
	emit_rorx(fresh(), true, a, b, 12);
	says("rorx %s, %s, 0x0C", reg(8, a), reg(8, b));
	emit_rorx(fresh(), false, a, b, 16);
	says("rorx %s, %s, 0x10", reg(4, a), reg(4, b));
}

static const char *const alu_names[] = {"add", "or", "adc", "sbb", "and", "sub", "xor", "cmp"};

static void arithmetic_of_registers(unsigned a, unsigned b)
{
	enum emit_alu op = (a + b) & 7;

	emit_alu_rr(fresh(), true, op, a, b);
	says("%s %s, %s", alu_names[op], reg(8, a), reg(8, b));
	emit_alu_rr(fresh(), false, op, a, b);
	says("%s %s, %s", alu_names[op], reg(4, a), reg(4, b));
	emit_alu_ri(fresh(), true, op, a, 0x12345);
	says("%s %s, 0x12345", alu_names[op], reg(8, a));
	emit_alu_ri(fresh(), false, op, a, 0x12345);
	says("%s %s, 0x12345", alu_names[op], reg(4, a));
	emit_alu_ri8(fresh(), true, op, a, 0x1f);
	says("%s %s, 0x1F", alu_names[op], reg(8, a));
	emit_alu_ri8(fresh(), false, op, a, 0x1f);
	says("%s %s, 0x1F", alu_names[op], reg(4, a));
}

static void single_registers(unsigned a)
{
	emit_mov_ri(fresh(), a, 0xfedcba98);
	says("mov %s, 0xFEDCBA98", reg(4, a));
	emit_mov_ri(fresh(), a, (u64)-2);
	says("mov %s, 0xFFFFFFFFFFFFFFFE", reg(8, a));
	emit_mov_ri(fresh(), a, 0x123456789a);
	says("mov %s, 0x123456789A", reg(8, a));
	emit_test_ri(fresh(), a, 0x200);
	says("test %s, 0x200", reg(4, a));
	emit_not(fresh(), a);
	says("not %s", reg(8, a));
	for (unsigned size = 2; size <= 8; size *= 2) {
		emit_inc_dec(fresh(), size, false, a);
		says("inc %s", reg(size, a));
		emit_inc_dec(fresh(), size, true, a);
		says("dec %s", reg(size, a));
	}
	emit_push(fresh(), a);
	says("push %s", reg(8, a));
	emit_pop(fresh(), a);
	says("pop %s", reg(8, a));
}

static void moves_of_memory(unsigned a, const struct shape *s)
{
	for (unsigned size = 1; size <= 8; size *= 2) {
		const char *pointer = pointers[log2_of(size)];

		emit_mov_rm(fresh(), size, a, s->m);
		says("mov %s, %s ptr %s", reg(size, a), pointer, s->text);
		emit_mov_mr(fresh(), size, s->m, a);
		says("mov %s ptr %s, %s", pointer, s->text, reg(size, a));
		emit_mov_mi(fresh(), size, s->m, 0x7b);
		says("mov %s ptr %s, 0x7B", pointer, s->text);
	}
	for (unsigned size = 1; size <= 2; size *= 2) {
		emit_movzx_rm(fresh(), size, a, s->m);
		says("movzx %s, %s ptr %s", reg(4, a), pointers[log2_of(size)], s->text);
	}
}

static void arithmetic_of_memory(unsigned a, const struct shape *s)
{
	static const char *const bits[] = {"bt", "bts", "btr", "btc"};
	enum emit_alu op = a & 7;

	emit_alu_rm(fresh(), true, op, a, s->m);
	says("%s %s, qword ptr %s", alu_names[op], reg(8, a), s->text);
	emit_alu_rm(fresh(), false, op, a, s->m);
	says("%s %s, dword ptr %s", alu_names[op], reg(4, a), s->text);
	for (unsigned size = 1; size <= 8; size *= 2) {
		emit_alu_mi8(fresh(), size, op, s->m, 0x11);
		says("%s %s ptr %s, 0x11", alu_names[op], pointers[log2_of(size)], s->text);
	}
	emit_sarx_rm(fresh(), true, a, s->m, 15 - a);
	says("sarx %s, qword ptr %s, %s", reg(8, a), s->text, reg(8, 15 - a));
	emit_sarx_rm(fresh(), false, a, s->m, 15 - a);
	says("sarx %s, dword ptr %s, %s", reg(4, a), s->text, reg(4, 15 - a));
	emit_pext_rm(fresh(), a, 15 - a, s->m);
	says("pext %s, %s, qword ptr %s", reg(8, a), reg(8, 15 - a), s->text);
	emit_pdep_rm(fresh(), a, 15 - a, s->m);
	says("pdep %s, %s, qword ptr %s", reg(8, a), reg(8, 15 - a), s->text);
	emit_bt_mr(fresh(), true, false, (u8)(0xa3 | (a & 3) << 3), s->m, a);
	says("%s qword ptr %s, %s", bits[a & 3], s->text, reg(8, a));
	emit_bt_mr(fresh(), false, true, 0xab, s->m, a);
	says("lock bts dword ptr %s, %s", s->text, reg(4, a));
	emit_jmp_m(fresh(), s->m);
	says("jmp qword ptr %s", s->text);
}

static void addresses(unsigned a, const struct shape *s)
{
	emit_lea(fresh(), true, a, s->m.base, s->m.index, 1, s->m.disp);
	says("lea %s, %s", reg(8, a), s->text);
	emit_lea(fresh(), false, a, s->m.base, s->m.index, 1, s->m.disp);
	says("lea %s, %s", reg(4, a), s->text);
	emit_lea16(fresh(), a, s->m.base, s->m.index, s->m.disp);
	says("lea %s, %s", reg(2, a), s->text);
	emit_lea(fresh(), true, a, REG_NONE, s->m.base == RSP ? RBP : s->m.base, 8, 0x1234);
	says("lea %s, [%s*8+0x1234]", reg(8, a), reg(8, s->m.base == RSP ? RBP : s->m.base));
	emit_patch32(emit_lea_rip(fresh(), a), code + 0x40);
	says("lea %s, [0x0000000000010040]", reg(8, a));
}

static void fields(unsigned a)
{
	emit_load(fresh(), a, 0x48);
	says("mov %s, qword ptr [rsp+0x48]", reg(8, a));
	emit_load32(fresh(), a, 0x1248);
	says("mov %s, dword ptr [rsp+0x1248]", reg(4, a));
	emit_load16(fresh(), a, 0x48);
	says("movzx %s, word ptr [rsp+0x48]", reg(4, a));
	emit_store(fresh(), a, 0x48);
	says("mov qword ptr [rsp+0x48], %s", reg(8, a));
	emit_store32(fresh(), a, 0x48);
	says("mov dword ptr [rsp+0x48], %s", reg(4, a));
	if (a == RSP)
		return;
	emit_mov_rm(fresh(), 8, H_R10, at_entry(0x123456, a));
	says("mov r10, qword ptr [rsp+%s*8+0x123456]", reg(8, a));
}

static void without_operands(void)
{
	static const char *const sizes[] = {"b", "w", "d", "q"};

	emit_pushf(fresh());
	says("pushfq");
	emit_popf(fresh());
	says("popfq");
	emit_rdtsc(fresh());
	says("rdtsc");
	emit_rdtscp(fresh());
	says("rdtscp");
	for (unsigned size = 1; size <= 8; size *= 2) {
		emit_string(fresh(), size == 1 ? 0xaa : 0xab, size, true);
		says("rep stos%s", sizes[log2_of(size)]);
		emit_string(fresh(), size == 1 ? 0xa6 : 0xa7, size, false);
		says("cmps%s", sizes[log2_of(size)]);
	}
	for (unsigned n = 1; n <= EMIT_NOP_MAX; n++) {
		static const char *const nops[] = {"", "nop", "nop", "nop dword ptr [rax], eax",
			"nop dword ptr [rax], eax", "nop dword ptr [rax+rax*1], eax"};

		emit_nop(fresh(), n);
		says("%s", nops[n]);
	}
	emit_pushf(fresh());
	emit_pad(&e, 4);
	says((u64)code & 3 ? "unaligned" : "pushfq; int3; int3; int3");
	emit_bytes(fresh(), (const u8[]){0x9f, 0xf0}, 2, 0x9f & 0xf0);
	says("nop; nop");
}

static void branches(void)
{
	static const char *const conditions[] = {
		[CC_B] = "jb", [CC_E] = "jz", [CC_NE] = "jnz", [CC_A] = "jnbe", [CC_G] = "jnle"};

	emit_patch32(emit_jmp32(fresh()), code + 0x20);
	says("jmp 0x0000000000010020");
	for (unsigned cc = 0; cc < ARRAY_SIZE(conditions); cc++) {
		if (!conditions[cc])
			continue;
		emit_patch32(emit_jcc32(fresh(), cc), code + 0x20);
		says("%s 0x0000000000010020", conditions[cc]);
	}
	emit_patch32(emit_jmp32_unless_rcxz(fresh()), code + 0x20);
	says("jrcxz 0x0000000000010007; jmp 0x0000000000010020");
	emit_patch32(emit_jmp32_unless_ecxz(fresh()), code + 0x20);
	says("jecxz 0x0000000000010008; jmp 0x0000000000010020");
	const u64 jump = emit_jmp_word(-0x1005);

	memcpy(fresh()->p, &jump, EMIT_JMP_BYTES);
	e.p += EMIT_JMP_BYTES;
	says("jmp 0x000000000000F000");
	emit_jmp_exec(fresh(), (void *)0x12345);
	says("jmp 0x0000000000012345");
	emit_jmp_abs(fresh(), 0x9090909090909090);
	says("jmp qword ptr [0x0000000000010006]; nop; nop; nop; nop; nop; nop; nop; nop");
}

static bool make_oracle(void)
{
	return ZYAN_SUCCESS(ZydisDecoderInit(
		       &decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) &&
	       ZYAN_SUCCESS(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL)) &&
	       ZYAN_SUCCESS(ZydisFormatterSetProperty(
		       &formatter, ZYDIS_FORMATTER_PROP_FORCE_SIZE, ZYAN_TRUE));
}

int main(void)
{
	if (!make_oracle())
		return 1;
	for (unsigned a = 0; a < 16; a++) {
		for (unsigned b = 0; b < 16; b++) {
			moves_between_registers(a, b);
			arithmetic_of_registers(a, b);
		}
		single_registers(a);
		fields(a);
		for (unsigned n = 0; n < 256; n++) {
			struct shape s = shape(n);

			moves_of_memory(a, &s);
			arithmetic_of_memory(a, &s);
			addresses(a, &s);
		}
	}
	without_operands();
	branches();
	printf("%u instructions written, %u of them not as meant\n", checked, wrong);
	return wrong != 0;
}
