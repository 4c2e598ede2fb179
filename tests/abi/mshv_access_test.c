/* SPDX-License-Identifier: MIT */
/*
 * Messages of port and memory accesses, down to the last field. The instruction has had no effect, is told completely, and is
 * executed again if nobody moves rip.
 */
#include "tests/abi/mshv_port.h"

#include <string.h>
#include <sys/mman.h>

#define LONG_STATE (HV_EXEC_CR0_PE | HV_EXEC_EFER_LMA)
#define ELSEWHERE  0x40000000ull /* linear: the same as NOWHERE */

/* Distinct values everywhere; rbx leads nowhere. */
static void set_gprs(struct partition *p)
{
	for (u32 i = 0; i < 16; i++)
		if (i != RSP)
			set_reg(p, 0, HV_X64_REGISTER_RAX + i, 0x1111111111111111ull * i + 0xab);
	set_reg(p, 0, HV_X64_REGISTER_RAX + RDX, 0x1234);
	set_reg(p, 0, HV_X64_REGISTER_RAX + RSI, FREE_GPA);
	set_reg(p, 0, HV_X64_REGISTER_RAX + RDI, FREE_GPA + 0x100);
	set_reg(p, 0, HV_X64_REGISTER_RAX + RCX, 3);
	set_reg(p, 0, HV_X64_REGISTER_CR8, 0);
}

static void gprs_of(const struct partition *p, u64 ret[16])
{
	for (u32 i = 0; i < 16; i++)
		ret[i] = reg(p, 0, HV_X64_REGISTER_RAX + i);
}

static void start(struct partition *p, const void *code, size_t size)
{
	partition_start(p, LAPIC);
	code_long(p, 0, code, size);
	set_gprs(p);
}

/* ---- ports ---- */

static const struct port_case {
	u8 code[4], length;
	u8 access, info;
	u16 port;
} ports[] = {
	{{0xe4, 0x40}, 2, HV_INTERCEPT_READ, 1, 0x40},
	{{0xe5, 0x41}, 2, HV_INTERCEPT_READ, 4, 0x41},
	{{0x66, 0xe5, 0x42}, 3, HV_INTERCEPT_READ, 2, 0x42},
	{{0xec}, 1, HV_INTERCEPT_READ, 1, 0x1234}, {{0xed}, 1, HV_INTERCEPT_READ, 4, 0x1234},
	{{0x66, 0xed}, 2, HV_INTERCEPT_READ, 2, 0x1234},
	{{0x48, 0xed}, 2, HV_INTERCEPT_READ, 4, 0x1234},
	{{0xe6, 0xff}, 2, HV_INTERCEPT_WRITE, 1, 0xff},
	{{0xe7, 0x40}, 2, HV_INTERCEPT_WRITE, 4, 0x40},
	{{0x66, 0xe7, 0x40}, 3, HV_INTERCEPT_WRITE, 2, 0x40},
	{{0xee}, 1, HV_INTERCEPT_WRITE, 1, 0x1234}, {{0xef}, 1, HV_INTERCEPT_WRITE, 4, 0x1234},
	{{0x66, 0xef}, 2, HV_INTERCEPT_WRITE, 2, 0x1234},
	{{0x6c}, 1, HV_INTERCEPT_READ, 1 | HV_IO_STRING, 0x1234},
	{{0x6d}, 1, HV_INTERCEPT_READ, 4 | HV_IO_STRING, 0x1234},
	{{0x66, 0x6d}, 2, HV_INTERCEPT_READ, 2 | HV_IO_STRING, 0x1234},
	{{0xf3, 0x6c}, 2, HV_INTERCEPT_READ, 1 | HV_IO_STRING | HV_IO_REP, 0x1234},
	{{0xf3, 0x66, 0x6d}, 3, HV_INTERCEPT_READ, 2 | HV_IO_STRING | HV_IO_REP, 0x1234},
	{{0x6e}, 1, HV_INTERCEPT_WRITE, 1 | HV_IO_STRING, 0x1234},
	{{0xf3, 0x6e}, 2, HV_INTERCEPT_WRITE, 1 | HV_IO_STRING | HV_IO_REP, 0x1234},
	{{0xf3, 0x6f}, 2, HV_INTERCEPT_WRITE, 4 | HV_IO_STRING | HV_IO_REP, 0x1234},
	{{0x65, 0x6e}, 2, HV_INTERCEPT_WRITE, 1 | HV_IO_STRING, 0x1234}, /* gs: */
};

static void check_port(struct partition *p, const struct port_case *c, u16 state)
{
	const struct hv_message *m = run_until(p, 0, HVMSG_X64_IO_PORT_INTERCEPT);
	const struct hv_io_port_message *io = (const void *)m->payload;
	struct hv_value128 ds = reg128(p, 0, HV_X64_REGISTER_DS);
	struct hv_value128 es = reg128(p, 0, HV_X64_REGISTER_ES);

	check_header(p, 0,
		&(struct header_check){m, CODE_GPA, c->access, c->length, state, sizeof(*io)});
	assert_int_equal(io->port, c->port);
	assert_int_equal(io->access_info, c->info);
	assert_int_equal(io->reserved, 0);
	assert_int_equal(io->rax, reg(p, 0, HV_X64_REGISTER_RAX));
	assert_int_equal(io->rcx, reg(p, 0, HV_X64_REGISTER_RAX + RCX));
	assert_int_equal(io->rsi, reg(p, 0, HV_X64_REGISTER_RAX + RSI));
	assert_int_equal(io->rdi, reg(p, 0, HV_X64_REGISTER_RAX + RDI));
	assert_memory_equal(&io->ds, &ds, sizeof(ds));
	assert_memory_equal(&io->es, &es, sizeof(es));
	check_bytes(p, io->bytes, io->byte_count, CODE_GPA, c->length);
}

static void test_ports(void **state)
{
	u64 before[16], after[16];

	for (unsigned i = 0; i < ARRAY_SIZE(ports); i++) {
		struct partition p = {0};

		start(&p, ports[i].code, ports[i].length);
		set_reg(&p, 0, HV_X64_REGISTER_CR8, 5);
		gprs_of(&p, before);
		check_port(&p, &ports[i], LONG_STATE);
		gprs_of(&p, after);
		assert_memory_equal(before, after, sizeof(before));
		check_port(&p, &ports[i], LONG_STATE); /* once more */
		partition_close(&p);
	}
}

static void test_ports_real(void **state)
{
	static const struct port_case cases[] = {
		{{0xe6, 0x80}, 2, HV_INTERCEPT_WRITE, 1, 0x80},
		{{0x66, 0xed}, 2, HV_INTERCEPT_READ, 4, 0x1234},
		{{0xef}, 1, HV_INTERCEPT_WRITE, 2, 0x1234},
		{{0xf3, 0x6c}, 2, HV_INTERCEPT_READ, 1 | HV_IO_STRING | HV_IO_REP, 0x1234},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
		struct partition p = {0};

		partition_start(&p, LAPIC);
		code_real(&p, 0, cases[i].code, cases[i].length);
		set_reg(&p, 0, HV_X64_REGISTER_RAX + RDX, 0x1234);
		set_reg(&p, 0, HV_X64_REGISTER_RAX + RCX, 1);
		check_port(&p, &cases[i], 0);
		partition_close(&p);
	}
}

/* Nothing to repeat is no access. */
static void test_rep_of_nothing(void **state)
{
	struct partition p = {0};

	start(&p, BYTES(0xf3, 0x6c, 0xf3, 0x6e, 0xe6, 0x10));
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RCX, 0);
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
}

/* A VMM does what an IN does, or all that a REP INS does, and goes on. */
static void test_completed(void **state)
{
	struct partition p = {0};

	start(&p, BYTES(0xe4, 0x40, 0xe6, 0x10, 0xf3, 0x6c, 0xe6, 0x11));
	run_until(&p, 0, HVMSG_X64_IO_PORT_INTERCEPT);
	p.page[0]->gpr[RAX] = 0x77;
	p.page[0]->dirty = HV_PAGE_DIRTY_GPR;
	skip_insn(&p, 0, 2);
	assert_int_equal(run_to_out(&p, 0, 0x10), 0x77);
	run_until(&p, 0, HVMSG_X64_IO_PORT_INTERCEPT);
	p.page[0]->gpr[RCX] = 0;
	p.page[0]->dirty = HV_PAGE_DIRTY_GPR;
	skip_insn(&p, 0, 2);
	run_to_out(&p, 0, 0x11);
	partition_close(&p);
}

/* An instruction on the edge of memory: its bytes end there. */
static void test_bytes_end(void **state)
{
	struct partition p = {0};
	const struct hv_io_port_message *io;

	start(&p, BYTES(0x90));
	memcpy(p.ram + RAM_SIZE - 2, (const u8[]){0xe6, 0x10}, 2);
	set_reg(&p, 0, HV_X64_REGISTER_RIP, RAM_SIZE - 2);
	io = RUN_UNTIL(&p, 0, HVMSG_X64_IO_PORT_INTERCEPT, struct hv_io_port_message);
	check_bytes(&p, io->bytes, io->byte_count, RAM_SIZE - 2, 2);
	partition_close(&p);
}

/* ---- memory ---- */

struct memory_case {
	const char *what;
	u8 code[10], length;
	u8 access;
	u64 offset; /* of the access, to where rbx leads */
};

static const struct memory_case accesses[] = {
	{"mov al, [rbx]", {0x8a, 0x03}, 2, HV_INTERCEPT_READ, 0},
	{"mov eax, [rbx]", {0x8b, 0x03}, 2, HV_INTERCEPT_READ, 0},
	{"mov rax, [rbx + 7]", {0x48, 0x8b, 0x43, 0x07}, 4, HV_INTERCEPT_READ, 7},
	{"mov [rbx], al", {0x88, 0x03}, 2, HV_INTERCEPT_WRITE, 0},
	{"mov [rbx + 0x123], rax", {0x48, 0x89, 0x83, 0x23, 0x01, 0, 0}, 7, HV_INTERCEPT_WRITE,
		0x123},
	{"mov dword [rbx], imm", {0xc7, 0x03, 1, 2, 3, 4}, 6, HV_INTERCEPT_WRITE, 0},
	{"add [rbx], eax", {0x01, 0x03}, 2, HV_INTERCEPT_WRITE, 0},
	{"add eax, [rbx]", {0x03, 0x03}, 2, HV_INTERCEPT_READ, 0},
	{"lock inc dword [rbx]", {0xf0, 0xff, 0x03}, 3, HV_INTERCEPT_WRITE, 0},
	{"xchg [rbx], eax", {0x87, 0x03}, 2, HV_INTERCEPT_WRITE, 0},
	{"cmpxchg [rbx], ecx", {0x0f, 0xb1, 0x0b}, 3, HV_INTERCEPT_WRITE, 0},
	{"bts [rbx], eax", {0x0f, 0xab, 0x03}, 3, HV_INTERCEPT_WRITE, 0},
	{"cmp [rbx], al", {0x38, 0x03}, 2, HV_INTERCEPT_READ, 0},
	{"test [rbx], al", {0x84, 0x03}, 2, HV_INTERCEPT_READ, 0},
	{"movzx eax, byte [rbx]", {0x0f, 0xb6, 0x03}, 3, HV_INTERCEPT_READ, 0},
	{"push [rbx]", {0xff, 0x33}, 2, HV_INTERCEPT_READ, 0},
	{"pop [rbx]", {0x8f, 0x03}, 2, HV_INTERCEPT_WRITE, 0},
	{"movups xmm0, [rbx]", {0x0f, 0x10, 0x03}, 3, HV_INTERCEPT_READ, 0},
	{"movups [rbx], xmm0", {0x0f, 0x11, 0x03}, 3, HV_INTERCEPT_WRITE, 0},
	{"fld dword [rbx]", {0xd9, 0x03}, 2, HV_INTERCEPT_READ, 0},
	{"fst dword [rbx]", {0xd9, 0x13}, 2, HV_INTERCEPT_WRITE, 0},
	{"lgdt [rbx]", {0x0f, 0x01, 0x13}, 3, HV_INTERCEPT_READ, 0},
	{"sgdt [rbx]", {0x0f, 0x01, 0x03}, 3, HV_INTERCEPT_WRITE, 0},
	{"fxsave [rbx]", {0x0f, 0xae, 0x03}, 3, HV_INTERCEPT_WRITE, 0},
	{"setc [rbx]", {0x0f, 0x92, 0x03}, 3, HV_INTERCEPT_WRITE, 0},
	{"call [rbx]", {0xff, 0x13}, 2, HV_INTERCEPT_READ, 0},
	{"jmp [rbx]", {0xff, 0x23}, 2, HV_INTERCEPT_READ, 0},
	{"xlat", {0xd7}, 1, HV_INTERCEPT_READ, 0x55}, /* al is 55h there */
};

static void map_elsewhere(struct partition *p)
{
	const u64 table = (TABLES_GPA + 0x4000) | 7, page = NOWHERE | 0x87;

	memcpy(p->ram + TABLES_GPA + 0x1000 + 8, &table, sizeof(table));
	memcpy(p->ram + TABLES_GPA + 0x4000, &page, sizeof(page));
}

struct memory_want {
	u32 type;
	u64 gva, gpa, rip;
	u8 access, length, info;
	u32 cache;
	unsigned bytes; /* that there are at least, where length says nothing */
};

static void check_memory(struct partition *p, const struct memory_want *w, const char *what)
{
	const struct hv_message *m = run_until(p, 0, w->type);
	const struct hv_memory_message *mem = (const void *)m->payload;

	if (mem->header.access != w->access || mem->gpa != w->gpa || mem->gva != w->gva)
		fail_msg("%s: access %u, gva 0x%llx, gpa 0x%llx", what, mem->header.access,
			(unsigned long long)mem->gva, (unsigned long long)mem->gpa);
	check_header(p, 0,
		&(struct header_check){m, w->rip, w->access, w->length, LONG_STATE, sizeof(*mem)});
	assert_int_equal(mem->cache_type, w->cache);
	assert_int_equal(mem->access_info, w->info);
	assert_int_equal(mem->tpr_priority, reg(p, 0, HV_X64_REGISTER_CR8));
	assert_int_equal(mem->reserved, 0);
	if (w->length || w->bytes)
		check_bytes(p, mem->bytes, mem->byte_count, w->rip, MAX(w->length, w->bytes));
	else
		assert_int_equal(mem->byte_count, 0);
}

#define BOTH_VALID (HV_MEMORY_GVA_VALID | HV_MEMORY_GVA_GPA_VALID)

/* Where there is nothing: the exact address of both kinds. */
static void test_unmapped(void **state)
{
	u64 before[16], after[16];

	for (unsigned i = 0; i < ARRAY_SIZE(accesses); i++) {
		const struct memory_case *c = &accesses[i];
		const struct memory_want want = {HVMSG_UNMAPPED_GPA, ELSEWHERE + 0x10 + c->offset,
			NOWHERE + 0x10 + c->offset, CODE_GPA, c->access, c->length, BOTH_VALID,
			HV_CACHE_UC, 0};
		struct partition p = {0};

		start(&p, c->code, c->length);
		map_elsewhere(&p);
		set_reg(&p, 0, HV_X64_REGISTER_CR8, 2);
		set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, ELSEWHERE + 0x10);
		if (c->code[0] == 0xd7)
			set_reg(&p, 0, HV_X64_REGISTER_RAX, 0x55);
		if (c->code[1] == 0xab)
			set_reg(&p, 0, HV_X64_REGISTER_RAX, 3);
		gprs_of(&p, before);
		check_memory(&p, &want, c->what);
		gprs_of(&p, after);
		assert_memory_equal(before, after, sizeof(before));
		check_memory(&p, &want, c->what);
		partition_close(&p);
	}
}

/* Writes to memory that may only be read are another message; reads are none. */
static void test_read_only(void **state)
{
	u8 *rom = pages_alloc(0x2000);
	const u64 at = 0x1000000;
	struct partition p = {0};

	start(&p, BYTES(0x8b, 0x03, 0x89, 0x03, 0x01, 0x03));
	memcpy(rom, "abcd", 4);
	assert_int_equal(map_memory(p.fd, at, 0x2000, rom, MEM_X), 0);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, at);
	check_memory(&p,
		&(struct memory_want){HVMSG_GPA_INTERCEPT, at, at, CODE_GPA + 2, HV_INTERCEPT_WRITE,
			2, BOTH_VALID, HV_CACHE_WB, 0},
		"mov [rom], eax");
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RAX), 0x64636261);
	skip_insn(&p, 0, 2);
	check_memory(&p,
		&(struct memory_want){HVMSG_GPA_INTERCEPT, at, at, CODE_GPA + 4, HV_INTERCEPT_WRITE,
			2, BOTH_VALID, HV_CACHE_WB, 0},
		"add [rom], eax");
	assert_memory_equal(rom, "abcd", 4);
	partition_close(&p);
	munmap(rom, 0x2000);
}

/* Code: where there is no memory, and in memory that may not be executed. */
static void test_execute(void **state)
{
	u8 *data = pages_alloc(0x1000);
	const u64 at = 0x1000000;
	struct partition p = {0};

	start(&p, BYTES(0xff, 0xe3)); /* jmp rbx */
	map_elsewhere(&p);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, ELSEWHERE + 0x31);
	check_memory(&p,
		&(struct memory_want){HVMSG_UNMAPPED_GPA, ELSEWHERE + 0x31, NOWHERE + 0x31,
			ELSEWHERE + 0x31, HV_INTERCEPT_EXECUTE, 0, BOTH_VALID, HV_CACHE_UC, 0},
		"jump to nowhere");
	assert_int_equal(map_memory(p.fd, at, 0x1000, data, MEM_W), 0);
	memset(data, 0x90, 0x1000);
	set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, at + 0x20);
	check_memory(&p,
		&(struct memory_want){HVMSG_GPA_INTERCEPT, at + 0x20, at + 0x20, at + 0x20,
			HV_INTERCEPT_EXECUTE, 0, BOTH_VALID, HV_CACHE_WB, 0},
		"jump to data");
	/* Mapped anew as code it runs. */
	assert_int_equal(unmap_memory(p.fd, at, 0x1000, data), 0);
	assert_int_equal(map_memory(p.fd, at, 0x1000, data, MEM_W | MEM_X), 0);
	memcpy(data + 0x40, (const u8[]){0xe6, 0x10}, 2);
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
	munmap(data, 0x1000);
}

/* An instruction, or its operand, whose second half is missing. */
static void test_crossing(void **state)
{
	struct partition p = {0};

	start(&p, BYTES(0x48, 0x8b, 0x03, 0x48, 0x89, 0x03)); /* mov rax, [rbx]; mov [rbx], rax */
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, RAM_SIZE - 3);
	check_memory(&p,
		&(struct memory_want){HVMSG_UNMAPPED_GPA, RAM_SIZE, RAM_SIZE, CODE_GPA,
			HV_INTERCEPT_READ, 3, BOTH_VALID, HV_CACHE_UC, 0},
		"a load across the end of memory");
	memset(p.ram + RAM_SIZE - 3, 0x33, 3);
	skip_insn(&p, 0, 3);
	check_memory(&p,
		&(struct memory_want){HVMSG_UNMAPPED_GPA, RAM_SIZE, RAM_SIZE, CODE_GPA + 3,
			HV_INTERCEPT_WRITE, 3, BOTH_VALID, HV_CACHE_UC, 0},
		"a store across the end of memory");
	assert_memory_equal(p.ram + RAM_SIZE - 3, "\x33\x33\x33", 3); /* no effect at all */
	/* The instruction itself */
	memcpy(p.ram + RAM_SIZE - 2, (const u8[]){0xc7, 0xc0}, 2); /* mov eax, imm */
	set_reg(&p, 0, HV_X64_REGISTER_RIP, RAM_SIZE - 2);
	check_memory(&p,
		&(struct memory_want){HVMSG_UNMAPPED_GPA, RAM_SIZE, RAM_SIZE, RAM_SIZE - 2,
			HV_INTERCEPT_EXECUTE, 0, BOTH_VALID, HV_CACHE_UC, 2},
		"an instruction across the end of memory");
	partition_close(&p);
}

/* Of a string the elements before are done. */
static void test_strings(void **state)
{
	struct partition p = {0};

	start(&p, BYTES(0xf3, 0xa4, 0xf3, 0xaa)); /* rep movsb; rep stosb */
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RSI, RAM_SIZE - 4);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RCX, 10);
	memcpy(p.ram + RAM_SIZE - 4, "wxyz", 4);
	check_memory(&p,
		&(struct memory_want){HVMSG_UNMAPPED_GPA, RAM_SIZE, RAM_SIZE, CODE_GPA,
			HV_INTERCEPT_READ, 2, BOTH_VALID, HV_CACHE_UC, 0},
		"rep movsb from nowhere");
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RAX + RCX), 6);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RAX + RSI), RAM_SIZE);
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RAX + RDI), FREE_GPA + 0x104);
	assert_memory_equal(p.ram + FREE_GPA + 0x100, "wxyz", 5);
	set_reg(&p, 0, HV_X64_REGISTER_RIP, CODE_GPA + 2);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RDI, RAM_SIZE - 2);
	check_memory(&p,
		&(struct memory_want){HVMSG_UNMAPPED_GPA, RAM_SIZE, RAM_SIZE, CODE_GPA + 2,
			HV_INTERCEPT_WRITE, 2, BOTH_VALID, HV_CACHE_UC, 0},
		"rep stosb to nowhere");
	assert_int_equal(reg(&p, 0, HV_X64_REGISTER_RAX + RCX), 4);
	partition_close(&p);
}

/* A page table that is nowhere: the address in it is told, and that it is no translation. */
static void test_walk(void **state)
{
	const u64 nowhere = NOWHERE | 7;
	struct partition p = {0};

	start(&p, BYTES(0x8b, 0x03));
	memcpy(p.ram + TABLES_GPA + 0x1000 + 8, &nowhere, sizeof(nowhere));
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, ELSEWHERE + 0x200008);
	check_memory(&p,
		&(struct memory_want){HVMSG_UNMAPPED_GPA, ELSEWHERE + 0x200008, NOWHERE + 8,
			CODE_GPA, HV_INTERCEPT_READ, 2, HV_MEMORY_GVA_VALID, HV_CACHE_UC, 0},
		"a page table that is nowhere");
	partition_close(&p);
}

/* The stack of an exception that is nowhere: pushing the frame is an access, and the exception is pending. */
static void test_delivery(void **state)
{
	const struct hv_message *m;
	const struct hv_memory_message *mem;
	struct partition p = {0};
	u64 pending;

	start(&p, BYTES(0x0f, 0x0b)); /* ud2 */
	long_gate(&p, X86_UD, 0x3000);
	memcpy(p.ram + 0x3000, (const u8[]){0xe6, 0x10}, 2);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RSP, NOWHERE + 0x1000);
	m = run_until(&p, 0, HVMSG_UNMAPPED_GPA);
	mem = (const void *)m->payload;
	assert_int_equal(mem->header.access, HV_INTERCEPT_WRITE);
	assert_int_equal(mem->header.rip, CODE_GPA);
	assert_in_range(mem->gpa, NOWHERE + 0x1000 - 40, NOWHERE + 0xfff);
	pending = reg(&p, 0, HV_REGISTER_PENDING_INTERRUPTION);
	if (pending) {
		assert_int_equal(pending & 0xf, HV_PENDING | HV_PENDING_EXCEPTION << 1);
		assert_int_equal(HV_PENDING_VECTOR(pending), X86_UD);
	}
	/* With a stack it is delivered. */
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RSP, STACK_GPA);
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
}

/* Memory that the caller has taken away under a region: which page it was is not always known. */
static void test_gone(void **state)
{
	u8 *memory = pages_alloc(0x1000);
	const u64 at = 0x1000000;
	const struct hv_memory_message *mem;
	struct partition p = {0};

	start(&p, BYTES(0x8b, 0x03, 0xe6, 0x10));
	assert_int_equal(map_memory(p.fd, at, 0x1000, memory, MEM_W | MEM_X), 0);
	mprotect(memory, 0x1000, PROT_NONE);
	set_reg(&p, 0, HV_X64_REGISTER_RAX + RBX, at + 8);
	mem = RUN_UNTIL(&p, 0, HVMSG_GPA_INTERCEPT, struct hv_memory_message);
	assert_true(!mem->gpa || (mem->gpa & ~0xfffull) == at);
	assert_int_equal(mem->header.rip, CODE_GPA);
	mprotect(memory, 0x1000, PROT_READ | PROT_WRITE);
	run_to_out(&p, 0, 0x10);
	partition_close(&p);
	munmap(memory, 0x1000);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_ports),
	cmocka_unit_test(test_ports_real),
	cmocka_unit_test(test_rep_of_nothing),
	cmocka_unit_test(test_completed),
	cmocka_unit_test(test_bytes_end),
	cmocka_unit_test(test_unmapped),
	cmocka_unit_test(test_read_only),
	cmocka_unit_test(test_execute),
	cmocka_unit_test(test_crossing),
	cmocka_unit_test(test_strings),
	cmocka_unit_test(test_walk),
	cmocka_unit_test(test_delivery),
	cmocka_unit_test(test_gone),
};
MSHV_MAIN(tests)
