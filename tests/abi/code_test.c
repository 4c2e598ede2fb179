/* SPDX-License-Identifier: MIT */
/*
 * Code that is changed by somebody else than the processor that runs it, with paging on and without a
 * CR3 write or INVLPG: by the VMM between two runs, and by the guest through another physical address of the
 * same memory.
 */
#include <string.h>

#include "port.h"

#define IS(fd, req, p, want)   assert_int_equal(kvm_p(fd, req, p), want)
#define IS_N(fd, req, n, want) assert_int_equal(kvm(fd, req, n), want)

#define PML4     0x2000
#define PDPT     0x3000
#define PD       0x4000
#define MAIN     0x6000
#define FUNCTION 0x7000
#define ALIAS    0x200000 /* of RAM_GPA, in a slot of its own */

static u8 *at(const struct guest *g, u64 gpa)
{
	return g->ram + (gpa - RAM_GPA);
}

static void put(const struct guest *g, u64 gpa, u64 value)
{
	memcpy(at(g, gpa), &value, sizeof(value));
}

/* The first 4 MiB map themselves. */
static void long_mode(const struct guest *g)
{
	struct kvm_segment cs = {
		.limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
	struct kvm_segment ds = {
		.limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
	struct kvm_regs regs = {.rip = MAIN, .rsp = 0x9000, .rflags = 2};
	struct kvm_sregs s;

	put(g, PML4, PDPT | 3);
	put(g, PDPT, PD | 3);
	put(g, PD, 0x83);
	put(g, PD + 8, 0x200083);
	IS(g->vcpu, KVM_GET_SREGS, &s, 0);
	s.cs = cs;
	s.ds = s.es = s.ss = ds;
	s.cr0 = 0x80000031;
	s.cr3 = PML4;
	s.cr4 = 0x20;
	s.efer = 0x500;
	IS(g->vcpu, KVM_SET_SREGS, &s, 0);
	IS(g->vcpu, KVM_SET_REGS, &regs, 0);
}

static void open_long(struct guest *g)
{
	guest_open(g);
	struct kvm_userspace_memory_region alias = {.slot = 1,
		.guest_phys_addr = ALIAS,
		.memory_size = RAM_BYTES,
		.userspace_addr = (unsigned long)g->ram};

	IS(g->vm, KVM_SET_USER_MEMORY_REGION, &alias, 0);
	long_mode(g);
}

/* mov al, n; ret */
static void function_returns(const struct guest *g, u8 n)
{
	memcpy(at(g, FUNCTION), (u8[]){0xb0, n, 0xc3}, 3);
}

static void expect_out(const struct guest *g, u8 value)
{
	IS_N(g->vcpu, KVM_RUN, 0, 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(((u8 *)g->run)[g->run->io.data_offset], value);
}

static void test_by_the_vmm(void **state)
{
	/* mov ebx, FUNCTION; again: call rbx; out 0x10, al; jmp again */
	static const u8 code[] = {0xbb, 0x00, 0x70, 0, 0, 0xff, 0xd3, 0xe6, 0x10, 0xeb, 0xfa};
	struct guest g;

	open_long(&g);
	memcpy(at(&g, MAIN), code, sizeof(code));
	for (int i = 0; i < 300; i++) {
		function_returns(&g, (u8)i);
		expect_out(&g, (u8)i);
		expect_out(&g, (u8)i);
	}
	/* And the page that is being run. */
	at(&g, MAIN)[8] = 0x11;
	IS_N(g.vcpu, KVM_RUN, 0, 0);
	assert_int_equal(g.run->io.port, 0x11);
	guest_close(&g);
}

#define FUNCTIONS 128 /* as many as there are in a page, one every STRIDE bytes */
#define STRIDE    32u
#define LIMIT     0x8000 /* where the guest reads the end of the last one that it calls */

/* mov eax, value; ret */
static void put_function(const struct guest *g, unsigned i, u32 value)
{
	u8 *p = at(g, FUNCTION + i * STRIDE);

	p[0] = 0xb8;
	memcpy(p + 1, &value, sizeof(value));
	p[5] = 0xc3;
}

static void expect_sum(const struct guest *g, const u32 *value, unsigned n)
{
	u32 sum = 0, got;

	for (unsigned i = 0; i < n; i++)
		sum += value[i];
	IS_N(g->vcpu, KVM_RUN, 0, 0);
	assert_int_equal(g->run->exit_reason, KVM_EXIT_IO);
	memcpy(&got, (u8 *)g->run + g->run->io.data_offset, sizeof(got));
	assert_int_equal(got, sum);
}

/* A page of ever more functions, any of which may change, also right after it was run for the first time. */
static void test_many_in_a_page(void **state)
{
	static const u8 code[] = {
		0x8b, 0x0c, 0x25, 0x00, 0x80, 0, 0, /* again: mov ecx, [LIMIT] */
		0xbb, 0x00, 0x70, 0, 0,             /* mov ebx, FUNCTION */
		0x31, 0xd2,                         /* xor edx, edx */
		0xff, 0xd3,                         /* next: call rbx */
		0x01, 0xc2,                         /* add edx, eax */
		0x83, 0xc3, STRIDE,                 /* add ebx, STRIDE */
		0x39, 0xcb,                         /* cmp ebx, ecx */
		0x75, 0xf5,                         /* jne next */
		0x89, 0xd0,                         /* mov eax, edx */
		0xe7, 0x10,                         /* out 0x10, eax */
		0xeb, 0xe1,                         /* jmp again */
	};
	u32 value[FUNCTIONS];
	struct guest g;

	open_long(&g);
	memcpy(at(&g, MAIN), code, sizeof(code));
	for (unsigned n = 1; n <= FUNCTIONS; n++) {
		unsigned old = (n * 5 + 3) % n, any = n % 2 ? n - 1 : (n * 7 + 5) % n;

		value[n - 1] = n << 16 | n;
		put_function(&g, n - 1, value[n - 1]);
		put(&g, LIMIT, FUNCTION + n * STRIDE);
		for (unsigned i = 0; i < 3; i++)
			expect_sum(&g, value, n);
		if (n % 3)
			continue;
		value[any] ^= 0x01000000u << n % 8;
		put_function(&g, any, value[any]);
		expect_sum(&g, value, n);
		value[old] += n;
		put_function(&g, old, value[old]);
		expect_sum(&g, value, n);
		/* Between the functions nothing is run. */
		at(&g, FUNCTION + old * STRIDE)[6] ^= 0xff;
		expect_sum(&g, value, n);
	}
	guest_close(&g);
}

/* The guest changes the function through its other address and calls it by the first. */
static void test_through_an_alias(void **state)
{
	static const u8 code[] = {
		0xbb, 0x00, 0x70, 0, 0,    /* mov ebx, FUNCTION */
		0xb9, 0x01, 0x60, 0x20, 0, /* mov ecx, ALIAS + FUNCTION + 1 - RAM_GPA */
		0xff, 0xd3,                /* again: call rbx */
		0x88, 0xc2,                /* mov dl, al */
		0xfe, 0xc2,                /* inc dl */
		0x88, 0x11,                /* mov [rcx], dl */
		0x80, 0xfa, 0x64,          /* cmp dl, 100 */
		0x75, 0xf3,                /* jne again */
		0xff, 0xd3, 0xe6, 0x10,    /* call rbx; out 0x10, al */
		0xeb, 0xed,                /* jmp again */
	};
	struct guest g;

	open_long(&g);
	memcpy(at(&g, MAIN), code, sizeof(code));
	function_returns(&g, 0);
	expect_out(&g, 100);
	guest_close(&g);
}

/* Both addresses are run, one of them is written. */
static void test_both_run(void **state)
{
	static const u8 code[] = {
		0xbb, 0x00, 0x70, 0, 0,    /* mov ebx, FUNCTION */
		0xbe, 0x00, 0x60, 0x20, 0, /* mov esi, its alias */
		0x31, 0xd2,                /* xor edx, edx */
		0xfe, 0xc2,                /* again: inc dl */
		0x88, 0x53, 0x01,          /* mov [rbx + 1], dl */
		0xff, 0xd3,                /* call rbx */
		0x88, 0xc4,                /* mov ah, al */
		0xff, 0xd6,                /* call rsi */
		0x38, 0xc4,                /* cmp ah, al */
		0x75, 0x05,                /* jne out */
		0x80, 0xfa, 0x64,          /* cmp dl, 100 */
		0x75, 0xec,                /* jne again */
		0xe6, 0x10,                /* out: out 0x10, al */
	};
	struct guest g;

	open_long(&g);
	memcpy(at(&g, MAIN), code, sizeof(code));
	function_returns(&g, 0);
	expect_out(&g, 100);
	guest_close(&g);
}

/* A slot that goes away and comes back with other memory, as firmware shadowing does. */
static void test_remapped(void **state)
{
	static const u8 code[] = {0xbb, 0x00, 0x60, 0x20, 0, 0xff, 0xd3, 0xe6, 0x10, 0xeb, 0xfa};
	static u8 __attribute__((aligned(4096))) other[RAM_BYTES];
	struct kvm_userspace_memory_region slot = {
		.slot = 1, .guest_phys_addr = ALIAS, .userspace_addr = (unsigned long)other};
	struct guest g;

	open_long(&g);
	memcpy(at(&g, MAIN), code, sizeof(code));
	function_returns(&g, 1);
	memcpy(other + FUNCTION - RAM_GPA, (u8[]){0xb0, 2, 0xc3}, 3);
	expect_out(&g, 1);
	for (int i = 0; i < 4; i++) {
		slot.memory_size = 0;
		IS(g.vm, KVM_SET_USER_MEMORY_REGION, &slot, 0);
		slot.memory_size = RAM_BYTES;
		slot.userspace_addr = (unsigned long)(i & 1 ? g.ram : other);
		IS(g.vm, KVM_SET_USER_MEMORY_REGION, &slot, 0);
		expect_out(&g, i & 1 ? 1 : 2);
	}
	guest_close(&g);
}

/* 64 times REP MOVSB: more ways out than a block has room for. It ends earlier then. */
static void test_block_without_room(void **state)
{
	struct guest g;
	u8 code[129];

	for (unsigned i = 0; i < 128; i += 2) {
		code[i] = 0xf3;
		code[i + 1] = 0xa4;
	}
	code[128] = 0xf4;
	guest_open(&g);
	guest_code(&g, code, sizeof(code));
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(regs_of(&g).rip, RAM_GPA + sizeof(code));
	guest_close(&g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_by_the_vmm),
		cmocka_unit_test(test_many_in_a_page),
		cmocka_unit_test(test_through_an_alias),
		cmocka_unit_test(test_both_run),
		cmocka_unit_test(test_remapped),
		cmocka_unit_test(test_block_without_room),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
