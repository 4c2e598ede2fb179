/* SPDX-License-Identifier: MIT */
/*
 * For tests of the side of a higher VTL: a lower guest and a thread that executes it, pinned to its processor as programs do it.
 * With mshv_port.h, which has the rest.
 */
#ifndef TESTS_ABI_VTL_PORT_H
#define TESTS_ABI_VTL_PORT_H

#include "tests/abi/mshv_port.h"
#include "uapi/mshv_vtl.h"
#include "x86/hyperv.h"

int vtl_node(const char *path, int flags);
/* What a test before has left open would be this one's lower guest, too. */
int lower_fresh(void **state);
#define VTL_TEST(f) cmocka_unit_test_setup(f, lower_fresh)

struct lower {
	int sys, fd, low;
	unsigned cpu; /* on which the thread stays */
	volatile struct mshv_vtl_run *run;
	volatile struct hv_register_page *regs;
	u8 *ram;
};

/* Of the processors that the test may use. */
unsigned cpu_allowed(unsigned nth);
bool has_cpu(unsigned nth);
/* The calling thread does. */
void stay_on(unsigned cpu);

/* A VTL whose lower guest has no memory. */
void lower_begin(struct lower *l);
/* With RAM_SIZE of it at gpa 0, mapped. */
void lower_open(struct lower *l);
void lower_close(struct lower *l);
long lower_add(const struct lower *l, u64 first, u64 end);
void *map_vtl(const struct lower *l, unsigned kind, unsigned cpu);
/* The lower guest as another processor's thread sees it. */
void lower_on(struct lower *ret, const struct lower *l, unsigned cpu);
void lower_off(struct lower *l);

/* Real mode, segments at 0, rip and code at CODE_GPA; by the register page. */
void lower_code(struct lower *l, const void *code, size_t size);
/* 64-bit mode with the first 2 MiB as they are, a stack at STACK_GPA and an empty IDT. */
void lower_code_long(struct lower *l, const void *code, size_t size);
void lower_gate(struct lower *l, u8 vector, u64 handler);

long lower_run(const struct lower *l);
/* It ends with a message of this type. */
const void *lower_until(const struct lower *l, u32 type);
/* The next thing is an OUT to this port: what it writes. The guest goes on behind it. */
u32 lower_out(struct lower *l, u16 port);
void lower_skip(struct lower *l, unsigned bytes);

long lower_get(const struct lower *l, u32 name, struct hv_value128 *ret);
long lower_set128(const struct lower *l, u32 name, const void *sixteen_bytes);
long lower_set(const struct lower *l, u32 name, u64 value);
u64 lower_reg(const struct lower *l, u32 name);

/* A thread in MSHV_RETURN_TO_LOWER_VTL on this processor. */
struct lower_runner {
	struct lower *l;
	unsigned cpu;
	pthread_t thread;
	_Atomic int tid;
	_Atomic bool out;
	long result;
};
void lower_start(struct lower_runner *r, struct lower *l, unsigned cpu);
/* Until it sleeps or uses the processor there. */
void lower_inside(struct lower_runner *r);
/* By a signal. */
long lower_stop(struct lower_runner *r);
long lower_wait(struct lower_runner *r);

/* ---- /dev/mshv_hvcall ---- */

/* A descriptor by which all may be made. */
int hvcall_open_all(void);
struct mshv_vtl_hvcall hvcall_make(
	int fd, u64 control, const void *in, size_t in_size, void *out, size_t out_size);

#endif
