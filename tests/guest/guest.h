/* SPDX-License-Identifier: MIT */
/*
 * Guests written in C, in the test program itself.
 *
 * The program's own image is guest RAM: a memslot over it, and guest page tables that map it where the host has it.
 * So any function of a file that is built with `guest_args` (meson.build) runs in the guest as it stands,
 * in 64-bit mode at CPL 0, and both sides share all variables. A guest function may call no libc function
 * and use no thread-local variable.
 *
 * Linear 0 to 64 KiB is RAM of its own, mapped to the same physical addresses, for SIPI trampolines. The local
 * APICs are in x2APIC mode. Vectors go to handlers[]; one without handler fails the test.
 */
#ifndef TESTS_GUEST_GUEST_H
#define TESTS_GUEST_GUEST_H

#include "base/types.h"
#include "engine/engine.h"

#define CPUS_MAX  4
#define GPA_IMAGE 0x1000000ull /* where the program's image lies */
#define GPA_SPARE 0x8000000ull /* free for more slots */
#define LOW_BYTES 0x10000ull

/* ---- both sides ---- */

struct frame {
	u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
	u64 vector, error, rip, cs, rflags, rsp, ss;
};
typedef void (*guest_handler)(struct frame *f);
extern guest_handler handlers[256];

u64 gpa_of(const volatile void *p);
/* flags: PTE_*. Overwrites what was there; the guest has to INVLPG. */
void map_page(u64 lin, u64 gpa, u64 flags);
u64 *pte_of(u64 lin);
u64 page_tables(void); /* CR3 */

/* ---- guest side ---- */

#define PORT_DONE 0xf4 /* this vcpu has finished */
#define PORT_FAIL 0xf5 /* eax: line */
#define PORT_CALL 0xf6 /* call world.call on the host's side with eax */

static inline void out32(u16 port, u32 v)
{
	__asm__ volatile("outl %0, %1" : : "a"(v), "Nd"(port) : "memory");
}
#define host_call(n) out32(PORT_CALL, n)
#define guest_check(x)                                                                             \
	do {                                                                                       \
		if (!(x))                                                                          \
			out32(PORT_FAIL, __LINE__);                                                \
	} while (0)

static inline void relax(void)
{
	__asm__ volatile("pause" : : : "memory");
}
static inline void invlpg(u64 lin)
{
	__asm__ volatile("invlpg (%0)" : : "r"(lin) : "memory");
}
static inline u64 read_cr3(void)
{
	u64 v;

	__asm__ volatile("mov %%cr3, %0" : "=r"(v));
	return v;
}
static inline void write_cr3(u64 v)
{
	__asm__ volatile("mov %0, %%cr3" : : "r"(v) : "memory");
}
static inline u64 read_cr4(void)
{
	u64 v;

	__asm__ volatile("mov %%cr4, %0" : "=r"(v));
	return v;
}
static inline void write_cr4(u64 v)
{
	__asm__ volatile("mov %0, %%cr4" : : "r"(v) : "memory");
}
static inline void serialise(void)
{
	u32 a = 0, c = 0;

	__asm__ volatile("cpuid" : "+a"(a), "+c"(c) : : "ebx", "edx", "memory");
}
static inline void write_msr(u32 index, u64 v)
{
	__asm__ volatile("wrmsr" : : "c"(index), "a"((u32)v), "d"((u32)(v >> 32)) : "memory");
}
static inline u64 read_tsc(void)
{
	u32 a, d;

	__asm__ volatile("rdtsc" : "=a"(a), "=d"(d));
	return (u64)d << 32 | a;
}
static inline void irq_on(void)
{
	__asm__ volatile("sti" : : : "memory");
}
static inline void irq_off(void)
{
	__asm__ volatile("cli" : : : "memory");
}

/* x2APIC */
void apic_on(void); /* software enable */
void apic_eoi(void);
void apic_ipi(u32 to, u8 vector);
void apic_icr(u64 value);
/* Periodic, in ticks of the APIC's bus (1 ns each by default), or one-shot. */
void apic_timer(u8 vector, u32 ticks, bool periodic);

/* ---- host side ---- */

struct world {
	struct machine *m;
	struct vcpu *vcpu[CPUS_MAX];
	unsigned cpus;
	void (*call)(struct world *w, unsigned cpu, u32 n); /* PORT_CALL; may be NULL */
	bool mmio;    /* MMIO is to be expected: reads give 0 */
	bool abandon; /* vcpus that are kicked are done */
	int failed_line;
	unsigned seconds; /* until the watchdog ends the program; 100 */
};

void world_open(struct world *w, unsigned cpus);
void world_close(struct world *w);
/* After world_open(): code that is entered as it is, without stub. */
void set_gate(unsigned vector, const void *entry);
/* Set vcpu's registers so that it will run fn(cpu) on its own stack. */
void world_aim(struct world *w, unsigned cpu, void (*fn)(unsigned cpu));
/* Run until PORT_DONE of that vcpu. */
void world_run_one(struct world *w, unsigned cpu);
/* Aim all vcpus at fn and run them, each on a thread, until all are done; `meanwhile`, if any, runs here. */
void world_run(struct world *w, void (*fn)(unsigned cpu), void (*meanwhile)(struct world *w));
/* While world_run()'s vcpus are not all done. */
bool world_busy(const struct world *w);

#endif
