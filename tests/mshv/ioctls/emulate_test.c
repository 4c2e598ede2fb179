/* SPDX-License-Identifier: MIT */
/*
 * The instructions that a client emulates, by which kernels reach devices: each must do to a device's memory, by the
 * message and the client's emulator, what the processor does to RAM.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/mshv/ioctls/groups.h"
#include "tests/mshv/machine.h"
#include "tests/mshv/vmm/emulate.h"

#define DEVICE 0xd0000000ull
#define PLACE  (MACHINE_DATA + 0x1000) /* of the same in RAM */
#define BYTES  64u

struct case64 {
	const char *what;
	u8 size;
	u8 code[15];
};

/* RBX is the operand's address, RSI and RDI are for strings. */
static const struct case64 cases[] = {
	{"mov %al, (%rbx)", 2, {0x88, 0x03}},
	{"mov %ah, 1(%rbx)", 3, {0x88, 0x63, 0x01}},
	{"mov %ax, (%rbx)", 3, {0x66, 0x89, 0x03}},
	{"mov %eax, (%rbx)", 2, {0x89, 0x03}},
	{"mov %rax, 8(%rbx)", 4, {0x48, 0x89, 0x43, 0x08}},
	{"mov %r9d, (%rbx,%rcx,4)", 4, {0x44, 0x89, 0x0c, 0x8b}},
	{"mov %sil, (%rbx)", 3, {0x40, 0x88, 0x33}},
	{"mov (%rbx), %al", 2, {0x8a, 0x03}},
	{"mov (%rbx), %ah", 2, {0x8a, 0x23}},
	{"mov (%rbx), %ax", 3, {0x66, 0x8b, 0x03}},
	{"mov (%rbx), %eax", 2, {0x8b, 0x03}},
	{"mov (%rbx), %r15", 3, {0x4c, 0x8b, 0x3b}},
	{"mov (%ebx), %eax", 3, {0x67, 0x8b, 0x03}},
	{"movb $0x5a, (%rbx)", 3, {0xc6, 0x03, 0x5a}},
	{"movw $0x1234, (%rbx)", 5, {0x66, 0xc7, 0x03, 0x34, 0x12}},
	{"movl $0x12345678, (%rbx)", 6, {0xc7, 0x03, 0x78, 0x56, 0x34, 0x12}},
	{"movq $-2, (%rbx)", 7, {0x48, 0xc7, 0x03, 0xfe, 0xff, 0xff, 0xff}},
	{"movzbl (%rbx), %ecx", 3, {0x0f, 0xb6, 0x0b}},
	{"movzbw (%rbx), %cx", 4, {0x66, 0x0f, 0xb6, 0x0b}},
	{"movzwl (%rbx), %ecx", 3, {0x0f, 0xb7, 0x0b}},
	{"movzwq 2(%rbx), %rcx", 5, {0x48, 0x0f, 0xb7, 0x4b, 0x02}},
	{"cmp %al, (%rbx)", 2, {0x38, 0x03}},
	{"cmp %eax, (%rbx)", 2, {0x39, 0x03}},
	{"cmp (%rbx), %cl", 2, {0x3a, 0x0b}},
	{"cmp (%rbx), %rax", 3, {0x48, 0x3b, 0x03}},
	{"cmpl $-3, (%rbx)", 3, {0x83, 0x3b, 0xfd}},
	{"cmpl $0, 4(%rbx)", 4, {0x83, 0x7b, 0x04, 0x00}},
	{"or %cl, (%rbx)", 2, {0x08, 0x0b}},
	{"movsl (%rsi), (%rdi)", 1, {0xa5}},
	{"rep movsb", 2, {0xf3, 0xa4}},
	{"rep movsq", 3, {0xf3, 0x48, 0xa5}},
	{"stosb", 1, {0xaa}},
	{"rep stosl", 2, {0xf3, 0xab}},
	{"rep stosq", 3, {0xf3, 0x48, 0xab}},
};

struct world {
	struct machine m;
	u8 device[BYTES];
};

static void device_read(void *opaque, u64 gpa, void *to, unsigned size)
{
	struct world *w = opaque;

	if (gpa >= DEVICE)
		memcpy(to, w->device + (gpa - DEVICE), size);
	else
		memcpy(to, w->m.ram + gpa, size);
}

static void device_write(void *opaque, u64 gpa, const void *from, unsigned size)
{
	struct world *w = opaque;

	if (gpa >= DEVICE)
		memcpy(w->device + (gpa - DEVICE), from, size);
	else
		memcpy(w->m.ram + gpa, from, size);
}

static int gva_translate(void *opaque, u64 gva, bool write, u64 *ret)
{
	struct world *w = opaque;
	struct hv_translated t;

	CHECK_OK(root_translate(w->m.vp[0], 0, gva, HV_TRANSLATE_READ, &t));
	*ret = t.gpa_page << 12 | (gva & 0xfff);
	return t.result == HV_TRANSLATE_OK ? 0 : -EFAULT;
}

static const struct emulate_ops device_ops = {
	.read = device_read, .write = device_write, .translate = gva_translate};

static void fill(u8 *bytes)
{
	for (unsigned i = 0; i < BYTES; i++)
		bytes[i] = (u8)(i * 37 + 11);
}

/* Code, then OUT to port 10h. Where: the operand, and for strings the destination or the source. */
static void start(struct world *w, const struct case64 *c, u64 where, bool from)
{
	static const u8 out[] = {0xe7, 0x10};
	struct hv_register_page *p = w->m.page[0];
	u8 code[32];

	memcpy(code, c->code, c->size);
	memcpy(code + c->size, out, sizeof(out));
	machine_code64(&w->m, 0, code, c->size + sizeof(out));
	for (unsigned i = 0; i < 16; i++)
		p->gpr[i] = 0x0123456789abcdefull * (i + 1);
	p->gpr[RSP] = MACHINE_STACK;
	p->gpr[RCX] = 3;
	p->gpr[RBX] = where;
	p->gpr[RSI] = from ? where : MACHINE_DATA;
	p->gpr[RDI] = from ? MACHINE_DATA + 0x100 : where;
	p->rflags = 0x2 | 0x8d5; /* all status flags */
	p->dirty |= HV_PAGE_DIRTY_GPR | HV_PAGE_DIRTY_RFLAGS;
	fill(w->m.ram + MACHINE_DATA);
	memset(w->m.ram + MACHINE_DATA + 0x100, 0, BYTES);
}

struct result {
	u64 gpr[16], rflags, rip;
	u8 operand[BYTES], other[BYTES];
};

static void keep(struct world *w, const u8 *operand, struct result *ret)
{
	memcpy(ret->gpr, w->m.page[0]->gpr, sizeof(ret->gpr));
	ret->rflags = w->m.page[0]->rflags;
	ret->rip = w->m.page[0]->rip;
	memcpy(ret->operand, operand, BYTES);
	memcpy(ret->other, w->m.ram + MACHINE_DATA + 0x100, BYTES);
}

/* The processor alone. */
static void run_in_ram(struct world *w, const struct case64 *c, bool from, struct result *ret)
{
	start(w, c, PLACE, from);
	fill(w->m.ram + PLACE);
	machine_out(&w->m, 0, 0x10);
	keep(w, w->m.ram + PLACE, ret);
}

/* Messages, one after the other, until the OUT. */
static void run_on_device(struct world *w, const struct case64 *c, bool from, struct result *ret)
{
	struct hv_message message;

	start(w, c, DEVICE, from);
	fill(w->device);
	for (;;) {
		CHECK_OK(root_vp_run(w->m.vp[0], &message));
		if (message.type != HVMSG_UNMAPPED_GPA)
			break;
		CHECK_EQ(emulate(w->m.page[0], (const void *)message.payload, &device_ops, w), 0);
	}
	CHECK_EQ(message.type, HVMSG_X64_IO_PORT_INTERCEPT);
	machine_skip(&w->m, 0, 2);
	keep(w, w->device, ret);
}

/* Addresses in registers differ by as much as the two places do. */
static void compare(const struct case64 *c, struct result *ram, struct result *device)
{
	static const u8 pointers[] = {RBX, RSI, RDI};

	for (size_t i = 0; i < ARRAY_SIZE(pointers); i++)
		if (device->gpr[pointers[i]] - DEVICE < BYTES * 2)
			device->gpr[pointers[i]] -= DEVICE - PLACE;
	for (unsigned i = 0; i < 16; i++)
		if (ram->gpr[i] != device->gpr[i])
			test_failed(__FILE__, __LINE__, "%s: register %u is 0x%llx, not 0x%llx",
				c->what, i, (unsigned long long)device->gpr[i],
				(unsigned long long)ram->gpr[i]);
	if (ram->rip != device->rip || ram->rflags != device->rflags)
		test_failed(__FILE__, __LINE__, "%s: rip 0x%llx rflags 0x%llx, not 0x%llx 0x%llx",
			c->what, (unsigned long long)device->rip,
			(unsigned long long)device->rflags, (unsigned long long)ram->rip,
			(unsigned long long)ram->rflags);
	if (memcmp(ram->operand, device->operand, BYTES) ||
		memcmp(ram->other, device->other, BYTES))
		test_failed(__FILE__, __LINE__, "%s: memory differs", c->what);
}

static void run_cases(bool from)
{
	struct world *w = calloc(1, sizeof(*w));
	struct result ram, device;

	CHECK(w);
	machine_make(&w->m, &(struct machine_how){0});
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		run_in_ram(w, &cases[i], from, &ram);
		run_on_device(w, &cases[i], from, &device);
		compare(&cases[i], &ram, &device);
	}
	machine_unmake(&w->m);
	free(w);
}

static void to_a_device(void)
{
	run_cases(false);
}

static void from_a_device(void)
{
	run_cases(true);
}

const struct test emulate_tests[] = {
	{"to a device", to_a_device},
	{"from a device", from_a_device},
	{0},
};
