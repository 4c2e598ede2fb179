/* SPDX-License-Identifier: MIT */
/* What intercept messages say, field by field. */
#include <string.h>
#include <sys/mman.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"

GUEST(ports);
GUEST(string_ports);
GUEST(mmio);
GUEST(half_string);
GUEST(jump);

#define NOWHERE 0xd0000000ull

/* Every header says the same of the processor as its registers do. */
static void check_header(struct machine *m, const struct hv_intercept_header *h, u64 rip)
{
	struct hv_register cs = {.name = HV_X64_REGISTER_CS};

	CHECK_EQ(h->vp_index, 0);
	CHECK_EQ(h->rip, rip);
	CHECK_EQ(machine_reg(m, 0, HV_X64_REGISTER_RIP), rip);
	CHECK_EQ(h->rflags, machine_reg(m, 0, HV_X64_REGISTER_RFLAGS));
	CHECK_OK(root_regs_get(m->vp[0], 0, &cs, 1));
	CHECK(!memcmp(&h->cs, &cs.value, sizeof(h->cs)));
	CHECK_EQ(h->length_cr8 >> 4, machine_reg(m, 0, HV_X64_REGISTER_CR8));
}

static void check_rest_is_zero(const struct hv_message *message)
{
	for (size_t i = message->len; i < sizeof(message->payload); i++)
		CHECK_EQ(message->payload[i], 0);
	CHECK_EQ(message->flags, 0);
	CHECK_EQ(message->reserved, 0);
}

/* ---- ports ---- */

struct port_case {
	u16 port;
	u8 size, length, access;
	u32 in;   /* what an IN is answered with */
	u32 want; /* EAX, as the next OUT shows it */
};

static const struct port_case port_cases[] = {
	{0x40, 1, 2, HV_INTERCEPT_WRITE, 0, 0x11223344},
	{0x42, 2, 2, HV_INTERCEPT_WRITE, 0, 0x11223344},
	{0x44, 4, 3, HV_INTERCEPT_WRITE, 0, 0x11223344},
	{0x1234, 1, 1, HV_INTERCEPT_WRITE, 0, 0x11223344},
	{0x50, 1, 2, HV_INTERCEPT_READ, 0x112233aa, 0},
	{0x10, 4, 3, HV_INTERCEPT_WRITE, 0, 0x112233aa},
	{0x1234, 2, 1, HV_INTERCEPT_READ, 0x1122bbbb, 0},
	{0x10, 4, 3, HV_INTERCEPT_WRITE, 0, 0x1122bbbb},
	{0x1234, 4, 2, HV_INTERCEPT_READ, 0xcccccccc, 0},
	{0x10, 4, 3, HV_INTERCEPT_WRITE, 0, 0xcccccccc},
};

static void check_port(struct machine *m, const struct port_case *c, u64 rip)
{
	struct hv_message message;
	const struct hv_io_port_message *io = (const void *)message.payload;

	machine_run(m, 0, HVMSG_X64_IO_PORT_INTERCEPT, &message);
	check_header(m, &io->header, rip);
	check_rest_is_zero(&message);
	CHECK_EQ(message.len, sizeof(*io));
	CHECK_EQ(io->port, c->port);
	CHECK_EQ(io->access_info & HV_IO_SIZE, c->size);
	CHECK(!(io->access_info & (HV_IO_STRING | HV_IO_REP)));
	CHECK_EQ(io->header.access, c->access);
	CHECK_EQ(io->header.length_cr8 & 15, c->length);
	CHECK(io->byte_count >= c->length && io->byte_count <= HV_INSTRUCTION_BYTES);
	CHECK(!memcmp(io->bytes, m->ram + rip, io->byte_count));
	if (c->access == HV_INTERCEPT_WRITE)
		CHECK_EQ(io->rax, c->want);
	machine_complete_in(m, 0, &message, c->access == HV_INTERCEPT_READ ? c->in : (u32)io->rax);
}

static void ports(void)
{
	struct machine m;
	struct hv_message message;

	machine_make(&m, &(struct machine_how){0});
	CODE16(&m, 0, ports);
	for (size_t i = 0; i < ARRAY_SIZE(port_cases); i++) {
		if (i == 0) /* MOV EAX and what is in front of the first one */
			check_port(&m, &port_cases[0], MACHINE_CODE + 6);
		else if (i == 3)
			check_port(&m, &port_cases[3], m.page[0]->rip + 3);
		else
			check_port(&m, &port_cases[i], m.page[0]->rip);
	}
	(void)message;
	machine_unmake(&m);
}

/* One message for all repetitions, with what a client needs to do them. */
static void string_ports(void)
{
	struct hv_message message;
	const struct hv_io_port_message *io = (const void *)message.payload;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CODE64(&m, 0, string_ports);
	machine_run(&m, 0, HVMSG_X64_IO_PORT_INTERCEPT, &message);
	CHECK_EQ(io->port, 0x70);
	CHECK_EQ(io->access_info, 1 | HV_IO_STRING | HV_IO_REP);
	CHECK_EQ(io->header.access, HV_INTERCEPT_WRITE);
	CHECK_EQ(io->rcx, 3);
	CHECK_EQ(io->rsi, MACHINE_DATA);
	CHECK_EQ(io->ds.selector, 16);
	CHECK_EQ(io->header.length_cr8 & 15, 2);
	machine_skip(&m, 0, 2);
	machine_run(&m, 0, HVMSG_X64_IO_PORT_INTERCEPT, &message);
	CHECK_EQ(io->access_info, 2 | HV_IO_STRING | HV_IO_REP);
	CHECK_EQ(io->header.access, HV_INTERCEPT_READ);
	CHECK_EQ(io->rcx, 2);
	CHECK_EQ(io->rdi, MACHINE_DATA + 0x100);
	CHECK_EQ(io->es.selector, 16);
	machine_skip(&m, 0, 3);
	machine_run(&m, 0, HVMSG_X64_IO_PORT_INTERCEPT, &message);
	CHECK_EQ(io->access_info, 4 | HV_IO_STRING);
	machine_unmake(&m);
}

/* ---- memory ---- */

static void start_mmio(struct machine *m, u64 rbx)
{
	machine_make(m, &(struct machine_how){0});
	CODE64(m, 0, mmio);
	m->page[0]->gpr[RBX] = rbx;
	m->page[0]->gpr[RCX] = 1;
	m->page[0]->dirty |= HV_PAGE_DIRTY_GPR;
}

static void check_memory(struct machine *m, u32 type, u64 gpa, u8 access, unsigned length)
{
	struct hv_message message;
	const struct hv_memory_message *mem = (const void *)message.payload;
	const u64 rip = m->page[0]->rip;

	machine_run(m, 0, type, &message);
	check_header(m, &mem->header, rip);
	check_rest_is_zero(&message);
	CHECK_EQ(message.len, sizeof(*mem));
	CHECK_EQ(mem->gpa, gpa);
	CHECK_EQ(mem->gva, gpa);
	CHECK_EQ(mem->access_info & 3, HV_MEMORY_GVA_VALID | HV_MEMORY_GVA_GPA_VALID);
	CHECK_EQ(mem->header.access, access);
	CHECK(mem->byte_count >= length);
	CHECK(!memcmp(mem->bytes, m->ram + rip, mem->byte_count));
	machine_skip(m, 0, length);
}

static void unmapped_memory(void)
{
	static const struct {
		u64 offset;
		u8 access, length;
	} cases[] = {
		{0, HV_INTERCEPT_READ, 2},
		{0x11, HV_INTERCEPT_WRITE, 3},
		{0x18, HV_INTERCEPT_WRITE, 4},
		{0x20, HV_INTERCEPT_WRITE, 4},
		{0x38, HV_INTERCEPT_WRITE, 8},
	};
	struct machine m;

	start_mmio(&m, NOWHERE);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		check_memory(&m, HVMSG_UNMAPPED_GPA, NOWHERE + cases[i].offset, cases[i].access,
			cases[i].length);
	machine_unmake(&m);
}

/* Reading is allowed, writing comes out and has no effect. */
static void read_only_memory(void)
{
	u8 *rom = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct machine m;

	CHECK(rom != MAP_FAILED);
	memset(rom, 0x5a, 0x1000);
	start_mmio(&m, NOWHERE);
	CHECK_OK(root_memory_map(m.partition, NOWHERE, 0x1000, rom, MAP_X));
	m.page[0]->rip = MACHINE_CODE;
	{
		struct hv_message message;
		const struct hv_memory_message *mem = (const void *)message.payload;

		machine_run(&m, 0, HVMSG_GPA_INTERCEPT, &message);
		CHECK_EQ(mem->header.rip, MACHINE_CODE + 2);
		CHECK_EQ(mem->gpa, NOWHERE + 0x11);
		CHECK_EQ(mem->header.access, HV_INTERCEPT_WRITE);
		CHECK_EQ(m.page[0]->gpr[RAX], 0x5a5a5a5a);
		machine_skip(&m, 0, 3);
	}
	check_memory(&m, HVMSG_GPA_INTERCEPT, NOWHERE + 0x18, HV_INTERCEPT_WRITE, 4);
	CHECK_EQ(rom[0x11], 0x5a);
	machine_unmake(&m);
	munmap(rom, 0x1000);
}

static void jump_to(struct machine *m, u64 where)
{
	CODE64(m, 0, jump);
	m->page[0]->gpr[RBX] = where;
	m->page[0]->dirty |= HV_PAGE_DIRTY_GPR;
}

static void check_fetch(struct machine *m, u32 type, u64 where)
{
	struct hv_message message;
	const struct hv_memory_message *mem = (const void *)message.payload;

	jump_to(m, where);
	machine_run(m, 0, type, &message);
	CHECK_EQ(mem->header.rip, where);
	CHECK_EQ(mem->header.access, HV_INTERCEPT_EXECUTE);
	CHECK_EQ(mem->gpa, where);
}

static void execution(void)
{
	u8 *data = mmap(NULL, 0x1000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct machine m;

	CHECK(data != MAP_FAILED);
	memset(data, 0x90, 0x1000);
	machine_make(&m, &(struct machine_how){0});
	CHECK_OK(root_memory_map(m.partition, NOWHERE, 0x1000, data, MAP_W));
	check_fetch(&m, HVMSG_GPA_INTERCEPT, NOWHERE + 0x10);
	check_fetch(&m, HVMSG_UNMAPPED_GPA, NOWHERE + 0x2000);
	machine_unmake(&m);
	munmap(data, 0x1000);
}

/* Elements before the one that stops are done. */
static void string_stops_half_way(void)
{
	struct hv_message message;
	const struct hv_memory_message *mem = (const void *)message.payload;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	for (unsigned i = 0; i < 16; i++)
		m.ram[MACHINE_DATA + i] = (u8)(i + 1);
	CODE64(&m, 0, half_string);
	m.page[0]->gpr[RDI] = MACHINE_RAM - 8;
	m.page[0]->dirty |= HV_PAGE_DIRTY_GPR;
	machine_run(&m, 0, HVMSG_UNMAPPED_GPA, &message);
	CHECK_EQ(mem->gpa, MACHINE_RAM);
	CHECK_EQ(mem->header.access, HV_INTERCEPT_WRITE);
	CHECK_EQ(m.page[0]->gpr[RCX], 2);
	CHECK_EQ(m.page[0]->gpr[RDI], MACHINE_RAM);
	CHECK_EQ(m.page[0]->gpr[RSI], MACHINE_DATA + 8);
	CHECK_EQ(m.page[0]->rip, mem->header.rip);
	CHECK(!memcmp(m.ram + MACHINE_RAM - 8, m.ram + MACHINE_DATA, 8));
	machine_unmake(&m);
}

/* The end of a page of code ends the bytes, where nothing is behind it. */
static void bytes_at_the_end_of_memory(void)
{
	static const u8 load[] = {0x8b, 0x03}; /* mov (%rbx), %eax */
	struct hv_message message;
	const struct hv_memory_message *mem = (const void *)message.payload;
	struct machine m;

	start_mmio(&m, NOWHERE);
	memcpy(m.ram + MACHINE_RAM - 2, load, 2);
	machine_go(&m, 0, MACHINE_RAM - 2);
	machine_run(&m, 0, HVMSG_UNMAPPED_GPA, &message);
	CHECK_EQ(mem->gpa, NOWHERE);
	CHECK_EQ(mem->byte_count, 2);
	CHECK(!memcmp(mem->bytes, load, 2));
	machine_unmake(&m);
}

/* What the processor is in: modes and level. */
static void execution_state(void)
{
	struct hv_message message;
	const struct hv_io_port_message *io = (const void *)message.payload;
	struct machine m;

	machine_make(&m, &(struct machine_how){0});
	CODE16(&m, 0, ports);
	machine_run(&m, 0, HVMSG_X64_IO_PORT_INTERCEPT, &message);
	CHECK_EQ(io->header.execution_state & 0x1f, 0);
	CODE64(&m, 0, string_ports);
	machine_set_reg(&m, 0, HV_X64_REGISTER_CR8, 6);
	machine_run(&m, 0, HVMSG_X64_IO_PORT_INTERCEPT, &message);
	CHECK_EQ(io->header.execution_state & 0x1f, HV_EXEC_CR0_PE | HV_EXEC_EFER_LMA);
	CHECK_EQ(io->header.length_cr8 >> 4, 6);
	machine_unmake(&m);
}

const struct test message_tests[] = {
	{"ports", ports},
	{"string ports", string_ports},
	{"unmapped memory", unmapped_memory},
	{"read only memory", read_only_memory},
	{"execution", execution},
	{"string stops half way", string_stops_half_way},
	{"bytes at the end of memory", bytes_at_the_end_of_memory},
	{"execution state", execution_state},
	{0},
};
