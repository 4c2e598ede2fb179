/* SPDX-License-Identifier: MIT */
/*
 * The same test over our KVM and over the kernel's: a program is run as `test soft` and `test kvm`.
 *
 * Results are as from a system call inside the kernel: >= 0 or -errno. Without a usable /dev/kvm
 * the second run ends with 77 and says why.
 */
#ifndef TESTS_ABI_PORT_H
#define TESTS_ABI_PORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/types.h"
#include "uapi/kvm_more.h"

struct port {
	bool real;       /* the kernel's */
	struct dev *dev; /* ours */
};
extern struct port port;

/* Parses the command line; returns only if the tests can run. */
void port_start(int argc, char **argv);
/* Gives everything back; the exit code of main(). */
int port_end(int failures);
/* At each test, and once it has a machine: the engine's handlers, not cmocka's. */
void port_keep_handlers(bool has_machine);

int kvm_open(void);
long kvm(int fd, unsigned long request, unsigned long arg);
int kvm_close(int fd);
static inline long kvm_p(int fd, unsigned long request, const void *arg)
{
	return kvm(fd, request, (unsigned long)arg);
}

/* A vm with 16 pages of RAM at 0x1000 in slot 0, and one vcpu without CPUID. */
struct guest {
	int sys, vm, vcpu;
	u8 *ram; /* gpa 0x1000 */
	struct kvm_run *run;
};
#define RAM_GPA   0x1000
#define RAM_BYTES 0x10000
void guest_open(struct guest *g);
/* With an interrupt controller made before the vcpu. */
void guest_open_irqchip(struct guest *g);
void guest_close(struct guest *g);
/* Flat real mode, code copied to 0x1000, rip there. */
void guest_code(struct guest *g, const void *code, size_t len);
#define GUEST_CODE(g, ...)                                                                         \
	do {                                                                                       \
		static const u8 code_[] = {__VA_ARGS__};                                           \
		guest_code(g, code_, sizeof(code_));                                               \
	} while (0)

/* Flat 32-bit protected mode with paging; the directory at cr3 needs GUEST_PDE, the first 4 MiB as they are. */
void guest_paging(struct guest *g, u64 cr3);
#define GUEST_PDE 0x83

/*
 * 64-bit code at 0x1000, interrupts off, x2APIC mode: the first GiB and the fourth as they are, by tables at GUEST_TABLES;
 * an empty IDT at GUEST_IDT, which guest_gate() fills; all of CPUID that there is. The caller writes the code.
 */
#define GUEST_TABLES 0x8000 /* five pages; gpa */
#define GUEST_IDT    0xe000
#define GUEST_GDT    0xd000
#define GUEST_STACK  0xd000 /* and down */
void guest_long(struct guest *g);
void guest_gate(struct guest *g, u8 vector, u64 handler);
#define GUEST_LONG_CODE(g, ...)                                                                    \
	do {                                                                                       \
		static const u8 code_[] = {__VA_ARGS__};                                           \
		memcpy((g)->ram, code_, sizeof(code_));                                            \
		guest_long(g);                                                                     \
	} while (0)

/* A register of its local APIC, by the offset in the page. */
u32 lapic_of(int vcpu, unsigned offset);
/* KVM_RUN succeeds and ends with this exit. */
void run_to(const struct guest *g, u32 reason);
struct kvm_regs regs_of(const struct guest *g);

/* Ours and the kernel's differ on purpose here; the text says why. Prints it once per run. */
bool differs(const char *why);

/* An address that no process can read. */
#define BAD_POINTER 0xdead000000000000ul

#endif
