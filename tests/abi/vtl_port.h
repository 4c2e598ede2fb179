/* SPDX-License-Identifier: MIT */
/*
 * For tests of the side of a higher VTL: requests with their results, and a lower guest to execute. Only over ours; with
 * port.h, which has the rest. Results are as from a system call inside the kernel: >= 0 or -errno. Whatever is refused must
 * come with a reason.
 */
#ifndef TESTS_ABI_VTL_PORT_H
#define TESTS_ABI_VTL_PORT_H

#include <errno.h>

#include "tests/abi/port.h"
#include "uapi/mshv_vtl.h"
#include "x86/hyperv_root.h"
#include "x86/regs.h"

/* main() of a test program. */
int vtl_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n);
#define VTL_MAIN(tests)                                                                            \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return vtl_main(argc, argv, tests, ARRAY_SIZE(tests));                             \
	}

int vtl_node(const char *path, int flags);
long vtl(int fd, unsigned long request, unsigned long arg);
static inline long vtl_p(int fd, unsigned long request, const void *arg)
{
	return vtl(fd, request, (unsigned long)arg);
}

#define RAM_SIZE 0x200000u /* at gpa 0 */
#define CODE_GPA 0x1000
#define NOWHERE  0xd0000000ull

struct lower {
	int sys, fd, low;
	unsigned cpu; /* on which the thread stays */
	volatile struct mshv_vtl_run *run;
	volatile struct hv_register_page *regs;
	u8 *ram;
};

/* The calling thread stays there; and which others there are (-1: none). */
void stay_on(unsigned cpu);
unsigned cpu_allowed(unsigned nth);
bool has_cpu(unsigned nth);

/* A VTL whose lower guest has no memory. */
void lower_begin(struct lower *l);
/* With RAM. */
void lower_open(struct lower *l);
void lower_close(struct lower *l);
long lower_add(const struct lower *l, u64 first, u64 end);
/* The pages of another processor, mapped. */
void *map_vtl(const struct lower *l, unsigned kind, unsigned cpu);

/* Real mode, segments at 0, rip and code at CODE_GPA; by the register page. */
void lower_code(struct lower *l, const void *code, size_t size);
#define LOWER_CODE(l, ...)                                                                         \
	do {                                                                                       \
		static const u8 code_[] = {__VA_ARGS__};                                           \
		lower_code(l, code_, sizeof(code_));                                               \
	} while (0)

long lower_run(const struct lower *l);
/* It ends with a message of this type. */
const void *lower_until(const struct lower *l, u32 type);
/* The next thing is an OUT to this port: what it writes. The guest goes on behind it. */
u32 lower_out(struct lower *l, u16 port);
void lower_skip(struct lower *l, unsigned bytes);

long get_register(const struct lower *l, u32 name, struct hv_value128 *ret);
long set_register(const struct lower *l, u32 name, u64 value);
u64 lower_register(const struct lower *l, u32 name);

#endif
