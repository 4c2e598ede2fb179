/* SPDX-License-Identifier: MIT */
/* Instructions and MSRs that the guest's CPUID does not offer: #UD and #GP, translated and the first time. */
#include "tests/abi/port.h"

#include <stdlib.h>
#include <string.h>

#define UD 6
#define GP 13
#define OK 0x10 /* port where it ends if nothing is raised */

#define HANDLER(vector) (0x1800 + (vector)*16)
#define MEMORY          0x4000

/* leaf 0: nothing is taken away. rbx points to memory, rcx is given, rax and rdx are 0. */
static const struct {
	const char *name;
	u32 leaf, index;
	unsigned reg, bit; /* eax, ebx, ecx, edx */
	u32 rcx;
	u8 vector;
	u8 code[8];
} cases[] = {
	{"invpcid", 7, 0, 1, 10, 0, UD, {0x66, 0x0f, 0x38, 0x82, 0x03}},
	{"rdtscp", 0x80000001, 0, 3, 27, 0, UD, {0x0f, 0x01, 0xf9}},
	{"rdpid", 7, 0, 2, 22, 0, UD, {0xf3, 0x0f, 0xc7, 0xf8}},
	{"xsaves", 0xd, 1, 0, 3, 0, UD, {0x0f, 0xc7, 0x2b}},
	{"xrstors", 0xd, 1, 0, 3, 0, UD, {0x0f, 0xc7, 0x1b}},
	{"xsavec", 0xd, 1, 0, 1, 0, UD, {0x0f, 0xc7, 0x23}},
	{"xsaveopt", 0xd, 1, 0, 0, 0, UD, {0x0f, 0xae, 0x33}},
	{"xgetbv 1", 0xd, 1, 0, 2, 1, GP, {0x0f, 0x01, 0xd0}},
	{"rdmsr SPEC_CTRL", 7, 0, 3, 26, 0x48, GP, {0x0f, 0x32}},
	{"wrmsr SPEC_CTRL", 7, 0, 3, 26, 0x48, GP, {0x0f, 0x30}},
	{"wrmsr PRED_CMD", 7, 0, 3, 26, 0x49, GP, {0x0f, 0x30}},
	{"rdmsr ARCH_CAPABILITIES", 7, 0, 3, 29, 0x10a, GP, {0x0f, 0x32}},
	{"rdmsr XSS", 0xd, 1, 0, 3, 0xda0, GP, {0x0f, 0x32}},
	{"rdmsr PRED_CMD", 0, 0, 0, 0, 0x49, GP, {0x0f, 0x32}},
	{"wrmsr FLUSH_CMD", 0, 0, 0, 0, 0x10b, GP, {0x0f, 0x30}}, /* never offered */
	{"rdmsr PERF_CAPABILITIES", 0, 0, 0, 0, 0x345, GP, {0x0f, 0x32}},
};

struct cpuid {
	struct kvm_cpuid2 head;
	struct kvm_cpuid_entry2 e[256];
};

static void take_away(struct cpuid *c, unsigned i)
{
	for (u32 n = 0; n < c->head.nent && cases[i].leaf; n++) {
		struct kvm_cpuid_entry2 *e = &c->e[n];
		u32 *reg[] = {&e->eax, &e->ebx, &e->ecx, &e->edx};

		if (e->function == 0x80000008) /* AMD's names of the same */
			e->ebx = 0;
		if (e->function == cases[i].leaf && e->index == cases[i].index)
			*reg[cases[i].reg] &= ~BIT(cases[i].bit);
	}
}

static void put_code(struct guest *g, unsigned i)
{
	const u8 handler[] = {0xe6, cases[i].vector};
	const u8 out[] = {0xe6, OK};
	u8 code[16] = {0};
	unsigned n = 0;

	while (n < 8 && (cases[i].code[n] || n < 3))
		n++;
	n -= n == 3 && !cases[i].code[2];
	memcpy(code, cases[i].code, n);
	memcpy(code + n, out, sizeof(out));
	memcpy(g->ram, code, sizeof(code));
	memcpy(g->ram + HANDLER(cases[i].vector) - RAM_GPA, handler, sizeof(handler));
	memset(g->ram + MEMORY - RAM_GPA, 0, 1024);
}

static void start(struct guest *g, unsigned i)
{
	struct kvm_sregs s;
	struct kvm_regs r;

	guest_long(g);
	guest_gate(g, cases[i].vector, HANDLER(cases[i].vector));
	put_code(g, i);
	assert_int_equal(kvm_p(g->vcpu, KVM_GET_SREGS, &s), 0);
	s.cr4 |= 0x40600; /* OSFXSR, OSXMMEXCPT, OSXSAVE */
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_SREGS, &s), 0);
	r = regs_of(g);
	r.rbx = MEMORY;
	r.rcx = cases[i].rcx;
	assert_int_equal(kvm_p(g->vcpu, KVM_SET_REGS, &r), 0);
}

static u16 ends_at(struct guest *g)
{
	run_to(g, KVM_EXIT_IO);
	return g->run->io.port;
}

static bool host_has_xsave(struct guest *g, unsigned i)
{
	return kvm(g->sys, KVM_CHECK_EXTENSION, KVM_CAP_XCRS) > 0 || cases[i].leaf != 0xd;
}

/* A vcpu that has run keeps its CPUID, so each time it is another guest. */
static void run_once(unsigned i, struct cpuid *lacking, u16 port_of_end)
{
	struct guest g;

	guest_open(&g);
	if (!port.real && host_has_xsave(&g, i)) {
		start(&g, i);
		if (lacking) {
			lacking->head.nent = ARRAY_SIZE(lacking->e);
			assert_int_equal(kvm_p(g.sys, KVM_GET_SUPPORTED_CPUID, lacking), 0);
			take_away(lacking, i);
			assert_int_equal(kvm_p(g.vcpu, KVM_SET_CPUID2, lacking), 0);
		}
		assert_int_equal(ends_at(&g), port_of_end);
	}
	guest_close(&g);
}

static void run_case(unsigned i, struct cpuid *c)
{
	print_message("%s\n", cases[i].name);
	if (cases[i].leaf && !strstr(cases[i].name, "xrstors")) /* that would need an image */
		run_once(i, NULL, OK);
	run_once(i, c, cases[i].vector);
}

static void test_lacks(void **state)
{
	struct cpuid *c = calloc(1, sizeof(*c));

	for (unsigned i = 0; i < ARRAY_SIZE(cases); i++)
		run_case(i, c);
	free(c);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {cmocka_unit_test(test_lacks)};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
