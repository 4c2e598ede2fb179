/* SPDX-License-Identifier: MIT */
/* See mshv_port.h: virtual processors, their registers, code for them, threads that run them. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/abi/mshv_port.h"
#include "tests/inside.h"

/* ---- registers ---- */

#define REGS_MAX 254

struct hv_result hv_regs_get(int fd, u32 vp, const u32 *names, unsigned n, struct hv_value128 *ret)
{
	struct {
		struct hv_vp_registers head;
		u32 name[REGS_MAX];
	} in = {.head = {.vp_index = vp}};

	assert_true(n <= REGS_MAX);
	memcpy(in.name, names, n * sizeof(*names));
	return hv_call(fd, &(struct hv_call){.code = HVCALL_GET_VP_REGISTERS,
				   .reps = (u16)n,
				   .in = &in,
				   .in_size = sizeof(in.head) + n * sizeof(*names),
				   .out = ret,
				   .out_size = n * sizeof(*ret)});
}

struct hv_result hv_regs_set(int fd, u32 vp, const struct hv_register *r, unsigned n)
{
	struct {
		struct hv_vp_registers head;
		struct hv_register r[127];
	} in = {.head = {.vp_index = vp}};

	assert_true(n <= ARRAY_SIZE(in.r));
	memcpy(in.r, r, n * sizeof(*r));
	return hv_call(fd, &(struct hv_call){.code = HVCALL_SET_VP_REGISTERS,
				   .reps = (u16)n,
				   .in = &in,
				   .in_size = sizeof(in.head) + n * sizeof(*r)});
}

struct hv_value128 reg128(const struct partition *p, unsigned vp, u32 name)
{
	struct hv_value128 v = {0};
	struct hv_result r = hv_regs_get(p->vp[vp], vp, &name, 1, &v);

	if (r.error)
		fail_msg("register 0x%x: %ld, status 0x%x", name, r.error, r.status);
	assert_int_equal(r.reps, 1);
	return v;
}

u64 reg(const struct partition *p, unsigned vp, u32 name)
{
	struct hv_value128 v = reg128(p, vp, name);

	assert_int_equal(v.high, 0);
	return v.low;
}

struct hv_result try_reg(const struct partition *p, unsigned vp, u32 name, u64 value)
{
	struct hv_register r = {.name = name, .value = {.low = value}};

	return hv_regs_set(p->vp[vp], vp, &r, 1);
}

void set_reg(const struct partition *p, unsigned vp, u32 name, u64 value)
{
	struct hv_result r = try_reg(p, vp, name, value);

	if (r.error)
		fail_msg("register 0x%x, value 0x%llx: %ld, status 0x%x", name,
			(unsigned long long)value, r.error, r.status);
}

void set_reg128(const struct partition *p, unsigned vp, u32 name, const void *sixteen_bytes)
{
	struct hv_register r = {.name = name};

	memcpy(&r.value, sixteen_bytes, sizeof(r.value));
	assert_hv(hv_regs_set(p->vp[vp], vp, &r, 1), 0, 1);
}

/* ---- code ---- */

static void set_segments(
	struct partition *p, unsigned vp, struct hv_segment code, struct hv_segment data)
{
	for (u32 name = HV_X64_REGISTER_ES; name <= HV_X64_REGISTER_GS; name++)
		set_reg128(p, vp, name, name == HV_X64_REGISTER_CS ? &code : &data);
}

static void begin_code(struct partition *p, unsigned vp, const void *code, size_t size)
{
	memcpy(p->ram + CODE_GPA, code, size);
	set_reg(p, vp, HV_X64_REGISTER_RIP, CODE_GPA);
	set_reg(p, vp, HV_X64_REGISTER_RAX + RSP, STACK_GPA);
	set_reg(p, vp, HV_X64_REGISTER_RFLAGS, 2);
}

void code_real(struct partition *p, unsigned vp, const void *code, size_t size)
{
	begin_code(p, vp, code, size);
	set_reg(p, vp, HV_X64_REGISTER_CR0, 0x10);
	set_segments(p, vp, (struct hv_segment){.limit = 0xffff, .attr = 0x9b},
		(struct hv_segment){.limit = 0xffff, .attr = 0x93});
}

static void put64(struct partition *p, u64 gpa, unsigned n, u64 value)
{
	memcpy(p->ram + gpa + 8ull * n, &value, sizeof(value));
}

static void put_tables(struct partition *p)
{
	put64(p, TABLES_GPA, 0, (TABLES_GPA + 0x1000) | 7);
	put64(p, TABLES_GPA + 0x1000, 0, (TABLES_GPA + 0x2000) | 7);
	put64(p, TABLES_GPA + 0x1000, 3, (TABLES_GPA + 0x3000) | 7);
	for (unsigned i = 0; i < 512; i++) {
		put64(p, TABLES_GPA + 0x2000, i, (u64)i << 21 | 0x87);
		put64(p, TABLES_GPA + 0x3000, i, 0xc0000000 | (u64)i << 21 | 0x97);
	}
	put64(p, GDT_GPA, 1, 0xaf9b000000ffff);
	put64(p, GDT_GPA, 2, 0xcf93000000ffff);
}

void code_long(struct partition *p, unsigned vp, const void *code, size_t size)
{
	const struct hv_table gdt = {.limit = 23, .base = GDT_GPA},
			      idt = {.limit = 0xfff, .base = IDT_GPA};

	begin_code(p, vp, code, size);
	put_tables(p);
	set_reg128(p, vp, HV_X64_REGISTER_GDTR, &gdt);
	set_reg128(p, vp, HV_X64_REGISTER_IDTR, &idt);
	set_segments(p, vp, (struct hv_segment){.limit = ~0u, .selector = 8, .attr = 0xa09b},
		(struct hv_segment){.limit = ~0u, .selector = 16, .attr = 0xc093});
	set_reg(p, vp, HV_X64_REGISTER_CR4, 0x620);
	set_reg(p, vp, HV_X64_REGISTER_CR3, TABLES_GPA);
	set_reg(p, vp, HV_X64_REGISTER_EFER, 0x500);
	set_reg(p, vp, HV_X64_REGISTER_CR0, 0x80000031);
}

void long_gate(struct partition *p, u8 vector, u64 handler)
{
	put64(p, IDT_GPA, vector * 2u,
		(handler & 0xffff) | 8 << 16 | 0x8e00ull << 32 | (handler >> 16 & 0xffff) << 48);
	put64(p, IDT_GPA, vector * 2u + 1, handler >> 32);
}

/* ---- running ---- */

const struct hv_message *run_until(struct partition *p, unsigned vp, u32 type)
{
	static _Thread_local struct hv_message m;
	long r = mshv_p(p->vp[vp], MSHV_RUN_VP, &m);

	if (r || m.type != type)
		fail_msg("MSHV_RUN_VP: %ld, message 0x%x, not 0x%x; rip 0x%llx", r, m.type, type,
			(unsigned long long)p->page[vp]->rip);
	assert_memory_equal(&m, p->message[vp], sizeof(m));
	return &m;
}

static void check_rest(const struct hv_message *m, size_t size)
{
	assert_int_equal(m->len, size);
	assert_int_equal(m->flags, 0);
	assert_int_equal(m->reserved, 0);
	assert_int_equal(m->sender, 0);
	for (size_t i = size; i < sizeof(m->payload); i++)
		assert_int_equal(m->payload[i], 0);
}

void check_header(struct partition *p, unsigned vp, const struct header_check *c)
{
	const struct hv_intercept_header *h = (const void *)c->message->payload;
	struct hv_value128 cs = reg128(p, vp, HV_X64_REGISTER_CS);

	check_rest(c->message, c->size);
	assert_int_equal(h->vp_index, vp);
	assert_int_equal(h->access, c->access);
	assert_int_equal(h->rip, c->rip);
	assert_int_equal(h->length_cr8 & 15, c->length);
	assert_int_equal(h->execution_state, c->state);
	assert_int_equal(h->length_cr8 >> 4, reg(p, vp, HV_X64_REGISTER_CR8));
	assert_int_equal(h->rip, reg(p, vp, HV_X64_REGISTER_RIP));
	assert_int_equal(h->rflags, reg(p, vp, HV_X64_REGISTER_RFLAGS));
	assert_memory_equal(&h->cs, &cs, sizeof(cs));
}

void check_bytes(
	const struct partition *p, const u8 *bytes, unsigned count, u64 gpa, unsigned length)
{
	assert_in_range(count, length, HV_INSTRUCTION_BYTES);
	assert_memory_equal(bytes, p->ram + gpa, count);
	for (unsigned i = count; i < HV_INSTRUCTION_BYTES; i++)
		assert_int_equal(bytes[i], 0);
}

void skip_insn(struct partition *p, unsigned vp, unsigned n)
{
	p->page[vp]->rip += n;
	p->page[vp]->dirty |= HV_PAGE_DIRTY_RIP;
}

u32 run_to_out(struct partition *p, unsigned vp, u16 port_number)
{
	const struct hv_io_port_message *m =
		RUN_UNTIL(p, vp, HVMSG_X64_IO_PORT_INTERCEPT, struct hv_io_port_message);

	assert_int_equal(m->header.access, HV_INTERCEPT_WRITE);
	assert_int_equal(m->port, port_number);
	skip_insn(p, vp, m->header.length_cr8 & 15);
	return (u32)(m->rax & (m->access_info & 1 ? 0xff : m->access_info & 2 ? 0xffff : ~0u));
}

/* ---- threads ---- */

static void on_kick(int number)
{
}

static void *runner_main(void *arg)
{
	struct runner *r = arg;

	atomic_store(&r->tid, (int)syscall(SYS_gettid));
	r->result = mshv_p(r->p->vp[r->vp], MSHV_RUN_VP, &r->message);
	atomic_store(&r->out, true);
	return NULL;
}

void runner_start(struct runner *r, struct partition *p, unsigned vp)
{
	struct sigaction a = {.sa_handler = on_kick};

	sigaction(SIGUSR1, &a, NULL);
	*r = (struct runner){.p = p, .vp = vp};
	assert_int_equal(pthread_create(&r->thread, NULL, runner_main, r), 0);
	while (!atomic_load(&r->tid))
		usleep(100);
}

void runner_inside(const struct runner *r)
{
	inside_wait_thread(atomic_load(&((struct runner *)r)->tid), 20);
}

long runner_stop(struct runner *r)
{
	while (!atomic_load(&r->out)) {
		pthread_kill(r->thread, SIGUSR1);
		usleep(1000);
	}
	return runner_wait(r);
}

long runner_wait(struct runner *r)
{
	assert_int_equal(pthread_join(r->thread, NULL), 0);
	return r->result;
}
