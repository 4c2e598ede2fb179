/* SPDX-License-Identifier: MIT */
/* MSHV_RETURN_TO_LOWER_VTL: what the lower guest does comes to the program, and the program's answers to the guest. */
#include "tests/abi/vtl_port.h"

#include <string.h>

/* ---- intercepts ---- */

static void test_out(void **state)
{
	struct lower l;
	const struct hv_io_port_message *m;

	lower_open(&l);
	LOWER_CODE(&l, 0xe6, 0x80, 0xe6, 0x81); /* out 0x80, al; out 0x81, al */
	l.run->cpu_context.gp_regs[RAX] = 0x1122334455667788;
	m = lower_until(&l, HVMSG_X64_IO_PORT_INTERCEPT);
	assert_int_equal(m->header.vp_index, l.cpu);
	assert_int_equal(m->header.rip, CODE_GPA);
	assert_int_equal(m->port, 0x80);
	assert_int_equal(m->rax, 0x1122334455667788);
	assert_int_equal(l.regs->rip, CODE_GPA);
	lower_skip(&l, 2);
	l.run->cpu_context.gp_regs[RAX] = 0x99;
	assert_int_equal(lower_out(&l, 0x81), 0x99);
	lower_close(&l);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(test_out),
};

VTL_MAIN(tests)
