/* SPDX-License-Identifier: MIT */
/* MSHV_HVCALL: hypercalls of the root's table about the lower guest, with the raw control word and the raw result. */
#include "tests/abi/vtl_port.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/dev.h"

#define REPS(n)      ((u64)(n) << 32)
#define START(n)     ((u64)(n) << 48)
#define RESULT(s, n) ((s) | (u64)(n) << 32)
#define VTL0_USED    0x10
#define VTL2_USED    0x12

struct get_registers {
	struct hv_vp_registers head;
	u32 name[4];
};

struct set_registers {
	struct hv_vp_registers head;
	struct hv_register r[4];
};

static u64 make(int fd, u64 control, const void *in, size_t in_size, void *out, size_t out_size)
{
	return hvcall_make(fd, control, in, in_size, out, out_size).status;
}

/* ---- registers ---- */

static void test_registers(void **state)
{
	struct lower l;
	struct set_registers set = {.head = {HV_PARTITION_ID_SELF, HV_VP_INDEX_SELF, VTL0_USED},
		.r = {{.name = HV_X64_REGISTER_RIP, .value = {0x1234, 0}},
			{.name = HV_X64_REGISTER_CR3, .value = {0x5000, 0}}}};
	struct get_registers get = {.head = {HV_PARTITION_ID_SELF, 0, 0},
		.name = {HV_X64_REGISTER_CR3, HV_X64_REGISTER_RIP}};
	struct hv_value128 out[3];
	int fd;

	lower_begin(&l);
	fd = hvcall_open_all();
	assert_int_equal(make(fd, HVCALL_SET_VP_REGISTERS | REPS(2), &set,
				 sizeof(set.head) + 2 * sizeof(set.r[0]), NULL, 0),
		RESULT(0, 2));
	assert_int_equal(lower_reg(&l, HV_X64_REGISTER_RIP), 0x1234);
	assert_int_equal(l.regs->rip, 0x1234);
	get.head.vp_index = l.cpu;
	memset(out, 0xff, sizeof(out));
	assert_int_equal(make(fd, HVCALL_GET_VP_REGISTERS | REPS(2), &get, sizeof(get.head) + 8,
				 out, 2 * sizeof(out[0])),
		RESULT(0, 2));
	assert_int_equal(out[0].low, 0x5000);
	assert_int_equal(out[1].low, 0x1234);
	assert_int_equal(out[2].low, ~0ull); /* output_size bytes are written */
	/* The first is unknown; then the second. */
	get.name[0] = 0xdeadbeef;
	assert_int_equal(make(fd, HVCALL_GET_VP_REGISTERS | REPS(2), &get, sizeof(get.head) + 8,
				 out, sizeof(out)),
		RESULT(HVS_INVALID_PARAMETER, 0));
	get.name[0] = HV_X64_REGISTER_RIP;
	get.name[1] = 0xdeadbeef;
	assert_int_equal(make(fd, HVCALL_GET_VP_REGISTERS | REPS(2), &get, sizeof(get.head) + 8,
				 out, sizeof(out)),
		RESULT(HVS_INVALID_PARAMETER, 1));
	assert_int_equal(out[0].low, 0x1234);
	/* From the middle on. */
	get.name[0] = 0xdeadbeef;
	get.name[1] = HV_X64_REGISTER_CR3;
	assert_int_equal(make(fd, HVCALL_GET_VP_REGISTERS | REPS(2) | START(1), &get,
				 sizeof(get.head) + 8, out, sizeof(out)),
		RESULT(0, 2));
	assert_int_equal(out[1].low, 0x5000);
	dev_close(port.dev, fd);
	lower_close(&l);
}

/* ---- what the hypervisor refuses: the request succeeds ---- */

static void test_statuses(void **state)
{
	struct get_registers good = {
		.head = {HV_PARTITION_ID_SELF, HV_VP_INDEX_SELF, 0}, .name = {HV_X64_REGISTER_RIP}};
	struct lower l;
	struct {
		u64 control;
		struct get_registers in;
		u32 in_size;
		u16 status;
	} rows[] = {
		{0xffff, good, 20, HVS_INVALID_CODE},
		{HVCALL_GET_VP_REGISTERS, good, 20, HVS_INVALID_INPUT}, /* without repetitions */
		{HVCALL_GET_VP_REGISTERS | REPS(1), good, 19, HVS_INVALID_INPUT},
		{HVCALL_GET_VP_REGISTERS | REPS(1) | START(1), good, 20, HVS_INVALID_INPUT},
		{HVCALL_GET_VP_REGISTERS | REPS(1) | HV_CONTROL_FAST, good, 20, HVS_INVALID_INPUT},
		{HVCALL_GET_VP_REGISTERS | REPS(1) | 1 << 17, good, 20, HVS_INVALID_INPUT},
		{HVCALL_GET_VP_REGISTERS | REPS(1) | 1ull << 31, good, 20, HVS_INVALID_INPUT},
		{HVCALL_GET_VP_REGISTERS | REPS(1), good, 20, HVS_INVALID_PARTITION_ID},
		{HVCALL_GET_VP_REGISTERS | REPS(1), good, 20, HVS_INVALID_VP_INDEX},
		{HVCALL_GET_VP_REGISTERS | REPS(1), good, 20, HVS_INVALID_VTL_STATE},
		{HVCALL_GET_VP_REGISTERS | REPS(1), good, 20, HVS_SUCCESS},
	};
	struct hv_value128 out;
	int fd;

	rows[7].in.head.partition = 1;
	rows[8].in.head.vp_index = 255;
	rows[9].in.head.vtl = VTL2_USED;
	lower_begin(&l);
	fd = hvcall_open_all();
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		u64 r = make(fd, rows[i].control, &rows[i].in, rows[i].in_size, &out, sizeof(out));

		if ((u16)r != rows[i].status)
			fail_msg("row %u: status 0x%x, not 0x%x", i, (u16)r, rows[i].status);
	}
	dev_close(port.dev, fd);
	lower_close(&l);
}

/* ---- interrupts, translations, intercepts ---- */

static void test_assert_interrupt(void **state)
{
	struct hv_assert_interrupt a = {
		.partition = HV_PARTITION_ID_SELF, .type = HV_INTERRUPT_FIXED, .vector = 0x40};
	struct lower_runner r;
	struct lower l;
	int fd;

	lower_open(&l);
	fd = hvcall_open_all();
	a.dest = l.cpu;
	lower_code_long(
		&l, BYTES(0xfb, 0xf4, 0xeb, 0xfd, 0xe6, 0x80)); /* sti; hlt; and again; out */
	lower_gate(&l, 0x40, CODE_GPA + 4);
	assert_int_equal(lower_set(&l, HV_X64_REGISTER_APIC_FIRST + 0xf, 0x1ff), 0);
	lower_start(&r, &l, l.cpu);
	lower_inside(&r);
	assert_false(atomic_load(&r.out));
	assert_int_equal(
		make(fd, HVCALL_ASSERT_VIRTUAL_INTERRUPT, &a, sizeof(a), NULL, 0), HVS_SUCCESS);
	assert_int_equal(lower_wait(&r), 0);
	assert_int_equal(l.regs->rip, CODE_GPA + 4);
	a.vtl = VTL2_USED;
	assert_int_equal(make(fd, HVCALL_ASSERT_VIRTUAL_INTERRUPT, &a, sizeof(a), NULL, 0),
		HVS_INVALID_VTL_STATE);
	dev_close(port.dev, fd);
	lower_close(&l);
}

static void test_translate(void **state)
{
	struct hv_translate in = {.partition = HV_PARTITION_ID_SELF,
		.vp_index = HV_VP_INDEX_SELF,
		.flags = HV_TRANSLATE_READ,
		.gva_page = 0x12};
	struct hv_translated out;
	struct lower l;
	int fd;

	lower_open(&l);
	fd = hvcall_open_all();
	lower_code_long(&l, BYTES(0x90));
	assert_int_equal(
		make(fd, HVCALL_TRANSLATE_VIRTUAL_ADDRESS, &in, sizeof(in), &out, sizeof(out)),
		HVS_SUCCESS);
	assert_int_equal(out.result, HV_TRANSLATE_OK);
	assert_int_equal(out.gpa_page, 0x12);
	in.flags |= (u64)VTL2_USED << 56;
	assert_int_equal(
		make(fd, HVCALL_TRANSLATE_VIRTUAL_ADDRESS, &in, sizeof(in), &out, sizeof(out)),
		HVS_INVALID_VTL_STATE);
	dev_close(port.dev, fd);
	lower_close(&l);
}

/* CPUID comes to VTL2 when it has asked for it; the call for VTL2 comes still when no hypercall is asked for any more. */
static void test_intercepts(void **state)
{
	struct hv_install_intercept in = {.partition = HV_PARTITION_ID_SELF,
		.access = HV_ACCESS_EXECUTE,
		.type = HV_INTERCEPT_CPUID,
		.parameter = 0x100};
	const struct hv_cpuid_message *m;
	struct lower l;
	int fd;

	lower_open(&l);
	fd = hvcall_open_all();
	lower_code(&l, BYTES(0x0f, 0xa2, 0xe6, 0x80)); /* cpuid; out */
	l.run->cpu_context.gp_regs[RAX] = 0x100;
	assert_int_equal(make(fd, HVCALL_INSTALL_INTERCEPT, &in, sizeof(in), NULL, 0), HVS_SUCCESS);
	m = lower_until(&l, HVMSG_X64_CPUID_INTERCEPT);
	assert_int_equal(m->rax, 0x100);
	lower_skip(&l, 2);
	lower_out(&l, 0x80);
	in.type = HV_INTERCEPT_HYPERCALL;
	in.parameter = 0;
	assert_int_equal(make(fd, HVCALL_INSTALL_INTERCEPT, &in, sizeof(in), NULL, 0), HVS_SUCCESS);
	in.access = 0;
	assert_int_equal(make(fd, HVCALL_INSTALL_INTERCEPT, &in, sizeof(in), NULL, 0), HVS_SUCCESS);
	assert_int_equal(lower_set(&l, HV_REGISTER_GUEST_OS_ID, 0x8100), 0);
	assert_int_equal(lower_set(&l, HV_REGISTER_HYPERCALL, 0x8001), 0);
	/* mov ecx, 0x11; call 0x8000 */
	lower_code_long(&l, BYTES(0xb9, 0x11, 0, 0, 0, 0xe8, 0xf6, 0x6f, 0, 0));
	lower_until(&l, 0);
	dev_close(port.dev, fd);
	lower_close(&l);
}

/* A register of a VP that executes. */
static void test_while_it_runs(void **state)
{
	struct get_registers get = {
		.head = {HV_PARTITION_ID_SELF, 0, 0}, .name = {HV_X64_REGISTER_RIP}};
	struct lower_runner r;
	struct hv_value128 out;
	struct lower l;
	int fd;

	lower_open(&l);
	fd = hvcall_open_all();
	get.head.vp_index = l.cpu;
	lower_code(&l, BYTES(0xeb, 0xfe));
	lower_start(&r, &l, l.cpu);
	lower_inside(&r);
	assert_int_equal(
		make(fd, HVCALL_GET_VP_REGISTERS | REPS(1), &get, 20, &out, 16), RESULT(0, 1));
	assert_int_equal(out.low, CODE_GPA);
	assert_false(atomic_load(&r.out));
	assert_int_equal(lower_stop(&r), -EINTR);
	dev_close(port.dev, fd);
	lower_close(&l);
}

/* ---- the guest's synthetic interrupt controller ---- */

static void test_synic(void **state)
{
	struct hv_signal_event_direct event = {.partition = HV_PARTITION_ID_SELF,
		.vp_index = HV_VP_INDEX_SELF,
		.sint = 3,
		.flag = 9};
	struct hv_post_message_direct post = {
		.partition = HV_PARTITION_ID_SELF, .vp_index = HV_VP_INDEX_SELF, .sint = 3};
	struct hv_message m = {.type = 0x55, .len = 4, .payload = {1, 2, 3, 4}};
	struct lower l;
	u64 newly = 0;
	int fd;

	lower_open(&l);
	fd = hvcall_open_all();
	assert_int_equal(lower_set(&l, HV_REGISTER_SIEFP, FREE_GPA | 1), 0);
	assert_int_equal(lower_set(&l, HV_REGISTER_SIMP, (FREE_GPA + 0x1000) | 1), 0);
	assert_int_equal(lower_set(&l, HV_REGISTER_SCONTROL, 1), 0);
	assert_int_equal(make(fd, HVCALL_SIGNAL_EVENT_DIRECT, &event, sizeof(event), &newly, 8),
		HVS_SUCCESS);
	assert_int_equal(newly, 1);
	assert_int_equal(l.ram[FREE_GPA + 3 * 256 + 1], 2);
	memcpy(post.message, &m, sizeof(m));
	assert_int_equal(
		make(fd, HVCALL_POST_MESSAGE_DIRECT, &post, sizeof(post), NULL, 0), HVS_SUCCESS);
	assert_memory_equal(l.ram + FREE_GPA + 0x1000 + 3 * 256, &m, 24);
	event.vtl = post.vtl = 1;
	assert_int_equal(make(fd, HVCALL_SIGNAL_EVENT_DIRECT, &event, sizeof(event), &newly, 8),
		HVS_INVALID_VTL_STATE);
	assert_int_equal(make(fd, HVCALL_POST_MESSAGE_DIRECT, &post, sizeof(post), NULL, 0),
		HVS_INVALID_VTL_STATE);
	dev_close(port.dev, fd);
	lower_close(&l);
}

/* The status is written where the structure can be, and the call is made before that is known. */
static void test_status_nowhere(void **state)
{
	struct set_registers set = {.head = {HV_PARTITION_ID_SELF, HV_VP_INDEX_SELF, 0},
		.r = {{.name = HV_X64_REGISTER_RIP, .value = {0x77, 0}}}};
	struct mshv_vtl_hvcall *a = pages_alloc(HV_PAGE_SIZE);
	struct lower l;
	int fd;

	lower_begin(&l);
	fd = hvcall_open_all();
	*a = (struct mshv_vtl_hvcall){.control = HVCALL_SET_VP_REGISTERS | REPS(1),
		.input_size = sizeof(set.head) + sizeof(set.r[0]),
		.input_ptr = (unsigned long)&set};
	mprotect(a, HV_PAGE_SIZE, PROT_READ);
	assert_int_equal(mshv_p(fd, MSHV_HVCALL, a), -EFAULT);
	assert_int_equal(lower_reg(&l, HV_X64_REGISTER_RIP), 0x77);
	munmap(a, HV_PAGE_SIZE);
	dev_close(port.dev, fd);
	lower_close(&l);
}

static const struct CMUnitTest tests[] = {
	VTL_TEST(test_registers),
	VTL_TEST(test_statuses),
	VTL_TEST(test_assert_interrupt),
	VTL_TEST(test_translate),
	VTL_TEST(test_intercepts),
	VTL_TEST(test_while_it_runs),
	VTL_TEST(test_synic),
	VTL_TEST(test_status_nowhere),
};

MSHV_MAIN(tests)
