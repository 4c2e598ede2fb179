/* SPDX-License-Identifier: MIT */
/*
 * An ordinary dynamic program that uses /dev/kvm and knows nothing of us: one case of its kind a
 * run, named on its command line. Exit status 0, or 1 after a line that says what was wrong.
 */
#ifndef TESTS_SHIM_CLIENT_H
#define TESTS_SHIM_CLIENT_H

#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct client_case {
	const char *name;
	void (*run)(void);
};

/* Ended by a row without a name. */
extern const struct client_case open_cases[], nodes_cases[], mshv_cases[], fd_cases[],
	process_cases[], signal_cases[], sandbox_cases[], held_cases[], ram_cases[], traced_cases[];

extern const char *client_path; /* of this program */
extern const char *static_path; /* of the static one, if the case needs it */

#define CHECK(expr)                                                                                \
	((expr) ? (void)0                                                                          \
		: (printf("%s:%d: %s is false, errno %s\n", __FILE__, __LINE__, #expr,             \
			   strerror(errno)),                                                       \
			  fflush(stdout), _exit(1)))
#define CHECK_ERRNO(expr, error) CHECK((expr) == -1 && errno == (error))

/* fd is a /dev/kvm that the engine serves. */
void check_ours(int fd);

/* ---- a machine with 64 KiB at 0 and one vcpu ---- */

struct guest {
	int sys, vm, vcpu;
	struct kvm_run *run;
	unsigned char *ram;
};

void guest_open(struct guest *g, bool irqchip);
/* Real-mode code at 0. */
void guest_code(struct guest *g, const void *code, size_t n);
void guest_close(struct guest *g);

#define GUEST_CODE(g, ...)                                                                         \
	guest_code(g, (unsigned char[]){__VA_ARGS__}, sizeof((unsigned char[]){__VA_ARGS__}))
#define OUT_AL_42    0xe6, 0x42             /* out %al, $0x42 */
#define JMP_SELF     0xeb, 0xfe             /* jmp . */
#define STI_HLT_LOOP 0xfb, 0xf4, 0xeb, 0xfc /* sti; hlt; jmp back */

#endif
