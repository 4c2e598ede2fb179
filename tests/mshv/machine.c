/* SPDX-License-Identifier: MIT */
/* See machine.h. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "tests/mshv/machine.h"

/* ---- making ---- */

void machine_open(struct machine *m, u64 flags)
{
	const struct mshv_create_partition_v2 how = {.pt_flags = flags & ~NO_LAPIC};

	*m = (struct machine){.device = port_open()};
	CHECK_OK(m->device);
	m->partition = root_partition_create(m->device, &how);
	CHECK_OK(m->partition);
}

void machine_add_vp(struct machine *m)
{
	const unsigned n = m->vps++;

	m->vp[n] = root_vp_create(m->partition, n);
	CHECK_OK(m->vp[n]);
	m->page[n] = root_vp_page(m->vp[n], MSHV_VP_MMAP_OFFSET_REGISTERS);
	m->message[n] = root_vp_page(m->vp[n], MSHV_VP_MMAP_OFFSET_INTERCEPT_MESSAGE);
	CHECK(m->page[n] && m->message[n]);
}

static void add_ram(struct machine *m)
{
	m->ram =
		mmap(NULL, MACHINE_RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(m->ram != MAP_FAILED);
	CHECK_OK(root_memory_map(m->partition, 0, MACHINE_RAM, m->ram, MAP_WX));
}

static u64 flags_of(const struct machine_how *how)
{
	if (how->flags)
		return how->flags;
	return PT_FLAG(LAPIC) | (how->xapic ? 0 : PT_FLAG(X2APIC));
}

void machine_make(struct machine *m, const struct machine_how *how)
{
	u64 offered;

	machine_open(m, flags_of(how));
	if (how->synthetic) {
		CHECK_OK(root_property_get_mask(
			m->device, HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES, &offered));
		CHECK_OK(root_property_set(m->partition, HV_PROPERTY_SYNTHETIC_PROC_FEATURES,
			how->synthetic & offered));
	}
	CHECK_OK(root_partition_initialize(m->partition));
	if (!how->no_ram)
		add_ram(m);
	for (unsigned i = 0; i < MAX(how->vps, 1u); i++)
		machine_add_vp(m);
}

void machine_unmake(struct machine *m)
{
	for (unsigned i = 0; i < m->vps; i++) {
		munmap(m->page[i], HV_PAGE_SIZE);
		munmap(m->message[i], HV_PAGE_SIZE);
		port_close(m->vp[i]);
	}
	port_close(m->partition);
	port_close(m->device);
	if (m->ram)
		munmap(m->ram, MACHINE_RAM);
}

/* ---- registers ---- */

struct hv_value128 value_of(const void *sixteen_bytes)
{
	struct hv_value128 v;

	memcpy(&v, sixteen_bytes, sizeof(v));
	return v;
}

u64 machine_reg(struct machine *m, unsigned vp, u32 name)
{
	u64 value = 0;

	if (!check_ok_("reading a register", root_reg_get(m->vp[vp], vp, name, &value)))
		test_failed(__FILE__, __LINE__, "register 0x%x", name);
	return value;
}

void machine_set_reg(struct machine *m, unsigned vp, u32 name, u64 value)
{
	if (!check_ok_("setting a register", root_reg_set(m->vp[vp], vp, name, value)))
		test_failed(__FILE__, __LINE__, "register 0x%x", name);
}

void machine_go(struct machine *m, unsigned vp, u64 rip)
{
	m->page[vp]->rip = rip;
	m->page[vp]->dirty |= HV_PAGE_DIRTY_RIP;
}

void machine_skip(struct machine *m, unsigned vp, unsigned length)
{
	machine_go(m, vp, m->page[vp]->rip + length);
}

/* ---- code ---- */

static void put(struct machine *m, u64 gpa, u64 value)
{
	memcpy(m->ram + gpa, &value, sizeof(value));
}

void machine_code16(struct machine *m, unsigned vp, const void *code, size_t size)
{
	const struct hv_segment zero = {0, 0xffff, 0, 0x93}, cs = {0, 0xffff, 0, 0x9b};

	memcpy(m->ram + MACHINE_CODE, code, size);
	for (unsigned i = 0; i < ARRAY_SIZE(m->page[vp]->segment); i++)
		m->page[vp]->segment[i] = i == SEG_CS ? cs : zero;
	m->page[vp]->gpr[RSP] = MACHINE_STACK;
	m->page[vp]->rflags = 2;
	m->page[vp]->dirty |= HV_PAGE_DIRTY_SEGMENTS | HV_PAGE_DIRTY_GPR | HV_PAGE_DIRTY_RFLAGS;
	machine_go(m, vp, MACHINE_CODE);
}

static void put_tables(struct machine *m)
{
	put(m, MACHINE_PML4, (MACHINE_PML4 + 0x1000) | 7);
	for (u64 i = 0; i < 4; i++)
		put(m, MACHINE_PML4 + 0x1000 + i * 8, (MACHINE_PML4 + 0x2000 + i * 0x1000) | 7);
	for (u64 i = 0; i < 2048; i++)
		put(m, MACHINE_PML4 + 0x2000 + i * 8, i << 21 | 0x87);
	put(m, MACHINE_GDT, 0);
	put(m, MACHINE_GDT + 8, 0x00af9b000000ffff);
	put(m, MACHINE_GDT + 16, 0x00cf93000000ffff);
}

void machine_gate(struct machine *m, u8 vector, u64 handler)
{
	put(m, MACHINE_IDT + vector * 16,
		(handler & 0xffff) | 8 << 16 | 0x8e00ull << 32 | handler >> 16 << 48);
	put(m, MACHINE_IDT + vector * 16 + 8, handler >> 32);
}

static void set_long_mode(struct machine *m, unsigned vp)
{
	const struct hv_segment cs = {0, ~0u, 8, 0xa09b}, ds = {0, ~0u, 16, 0xc093};
	const struct hv_table gdt = {.limit = 23, .base = MACHINE_GDT};
	const struct hv_table idt = {.limit = 0xfff, .base = MACHINE_IDT};
	const struct hv_register r[] = {
		{.name = HV_X64_REGISTER_CS, .value = value_of(&cs)},
		{.name = HV_X64_REGISTER_SS, .value = value_of(&ds)},
		{.name = HV_X64_REGISTER_DS, .value = value_of(&ds)},
		{.name = HV_X64_REGISTER_ES, .value = value_of(&ds)},
		{.name = HV_X64_REGISTER_GDTR, .value = value_of(&gdt)},
		{.name = HV_X64_REGISTER_IDTR, .value = value_of(&idt)},
		{.name = HV_X64_REGISTER_CR3, .value = {MACHINE_PML4}},
		{.name = HV_X64_REGISTER_CR4, .value = {0x620}},
		{.name = HV_X64_REGISTER_EFER, .value = {0x500}},
		{.name = HV_X64_REGISTER_CR0, .value = {0x80000031}},
	};

	CHECK_OK(root_regs_set(m->vp[vp], vp, r, ARRAY_SIZE(r)));
}

void machine_code64(struct machine *m, unsigned vp, const void *code, size_t size)
{
	memcpy(m->ram + MACHINE_CODE, code, size);
	put_tables(m);
	set_long_mode(m, vp);
	m->page[vp]->gpr[RSP] = MACHINE_STACK - vp * 0x800;
	m->page[vp]->rflags = 2;
	m->page[vp]->dirty |= HV_PAGE_DIRTY_GPR | HV_PAGE_DIRTY_RFLAGS;
	machine_go(m, vp, MACHINE_CODE);
}

/* ---- running ---- */

void machine_run(struct machine *m, unsigned vp, u32 type, struct hv_message *ret)
{
	const long r = root_vp_run(m->vp[vp], ret);

	CHECK_EQ(r, 0);
	if (ret->type != type)
		test_failed(__FILE__, __LINE__, "message 0x%x instead of 0x%x, rip 0x%llx",
			ret->type, type, (unsigned long long)m->page[vp]->rip);
	CHECK(!memcmp(ret, m->message[vp], sizeof(*ret)));
}

u32 machine_out(struct machine *m, unsigned vp, u16 port)
{
	struct hv_message message;
	const struct hv_io_port_message *io = (const void *)message.payload;

	machine_run(m, vp, HVMSG_X64_IO_PORT_INTERCEPT, &message);
	CHECK_EQ(io->header.access, HV_INTERCEPT_WRITE);
	CHECK_EQ(io->port, port);
	machine_skip(m, vp, io->header.length_cr8 & 15);
	return (u32)io->rax;
}

void machine_complete_in(
	struct machine *m, unsigned vp, const struct hv_message *message, u32 value)
{
	const struct hv_io_port_message *io = (const void *)message->payload;

	m->page[vp]->gpr[RAX] = value;
	m->page[vp]->dirty |= HV_PAGE_DIRTY_GPR;
	machine_skip(m, vp, io->header.length_cr8 & 15);
}

/* ---- on a thread ---- */

struct runner {
	struct machine *m;
	unsigned vp;
	pthread_t thread;
	atomic_bool stop, out;
	long result;
	struct hv_message message;
};

static void on_kick(int signo)
{
}

static void *run(void *opaque)
{
	struct runner *r = opaque;

	do
		r->result = root_vp_run(r->m->vp[r->vp], &r->message);
	while (r->result == -EINTR && !atomic_load(&r->stop));
	atomic_store(&r->out, true);
	return NULL;
}

struct runner *machine_start(struct machine *m, unsigned vp)
{
	const struct sigaction action = {.sa_handler = on_kick};
	struct runner *r = calloc(1, sizeof(*r));

	CHECK(r && !sigaction(SIGRTMIN, &action, NULL));
	r->m = m;
	r->vp = vp;
	CHECK_EQ(pthread_create(&r->thread, NULL, run, r), 0);
	return r;
}

static void rest(void)
{
	nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
}

#define PATIENCE 20000 /* rests */

static long take_result(struct runner *r, struct hv_message *ret)
{
	const long result = r->result;

	pthread_join(r->thread, NULL);
	if (ret)
		*ret = r->message;
	free(r);
	return result;
}

bool machine_kick(struct runner *r)
{
	atomic_store(&r->stop, true);
	if (atomic_load(&r->out))
		return true;
	pthread_kill(r->thread, SIGRTMIN);
	rest();
	return atomic_load(&r->out);
}

long machine_stop(struct runner *r, struct hv_message *ret)
{
	unsigned patience = PATIENCE;

	while (!machine_kick(r))
		CHECK(--patience);
	return take_result(r, ret);
}

long machine_wait(struct runner *r, struct hv_message *ret)
{
	unsigned patience = PATIENCE;

	while (!atomic_load(&r->out)) {
		rest();
		CHECK(--patience);
	}
	return take_result(r, ret);
}

void machine_await(struct machine *m, u64 gpa, u32 value)
{
	unsigned patience = PATIENCE;

	while (machine_u32(m, gpa) != value) {
		rest();
		if (!--patience)
			CHECK_EQ(machine_u32(m, gpa), value);
	}
}
