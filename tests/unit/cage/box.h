/* SPDX-License-Identifier: MIT */
/* A cage with a little memory, and code in it. */
#ifndef BOX_H
#define BOX_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "cage/cage.h"

#define BOX_PAGES 1024
#define BOX_BYTES (BOX_PAGES * PAGE_SIZE)

/* Where pages of the memory are in the guest, if they are: code is page 0, data page 1, the stack page 2. */
#define CODE  0x400000ull
#define DATA  0x10000000ull
#define STACK 0x7ffffff00000ull

#define ALL (CAGE_READ | CAGE_WRITE | CAGE_EXEC)

struct box {
	struct cage *cage;
	u8 *ram;
	struct cage_regs regs;
	struct cage_event event;
};

/* Asserts that it can be made. Code, data and stack are mapped. */
void box_open(struct box *b);
void box_close(struct box *b);
/* cmocka's */
int box_setup(void **state);
int box_teardown(void **state);

/* Code is put at the start of page 0, and the registers are all 0 but rip, rsp and rflags. */
void box_code(struct box *b, const void *code, size_t n);
#define BOX_LOAD(b, name)                                                                          \
	do {                                                                                       \
		extern const u8 guest_##name[], guest_##name##_end[];                              \
		box_code(b, guest_##name, (size_t)(guest_##name##_end - guest_##name));            \
	} while (0)

int box_map(struct box *b, u64 gva, unsigned page, u32 access);
enum cage_stop box_run(struct box *b);

/* P is the host's: see cage.h. */
#define assert_fault(b, at, code)                                                                  \
	do {                                                                                       \
		assert_int_equal(box_run(b), CAGE_FAULT);                                          \
		assert_int_equal((b)->event.address, at);                                          \
		assert_int_equal((b)->event.error | 1, (code) | 1);                                \
		assert_int_equal((b)->event.vector, 14);                                           \
	} while (0)

#define assert_trap(b, what, at)                                                                   \
	do {                                                                                       \
		assert_int_equal(box_run(b), CAGE_TRAP);                                           \
		assert_int_equal((b)->event.vector, what);                                         \
		assert_int_equal((b)->regs.rip, at);                                               \
	} while (0)

/* Runs the tests, or says why there are none: 77. */
int box_main(const struct CMUnitTest *tests, size_t n);

#endif
