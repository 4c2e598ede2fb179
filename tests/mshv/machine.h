/* SPDX-License-Identifier: MIT */
/*
 * A small machine for tests: a partition with memory at address 0 and some processors, of which the first one runs what
 * a test puts there. All that fails on the way fails the test.
 */
#ifndef TESTS_MSHV_MACHINE_H
#define TESTS_MSHV_MACHINE_H

#include "tests/mshv/harness.h"
#include "tests/mshv/mshv.h"
#include "x86/regs.h"

#define MACHINE_VPS   4
#define MACHINE_RAM   0x200000ull
#define MACHINE_CODE  0x1000 /* where code is put */
#define MACHINE_STACK 0x7000 /* and down */
#define MACHINE_PML4  0x8000 /* and five pages: 4 GiB one to one */
#define MACHINE_GDT   0xe000
#define MACHINE_IDT   0xf000
#define MACHINE_DATA  0x10000 /* free for tests, up to the end */

struct machine {
	int device, partition;
	unsigned vps;
	int vp[MACHINE_VPS];
	struct hv_register_page *page[MACHINE_VPS];
	struct hv_message *message[MACHINE_VPS]; /* the page with it */
	u8 *ram;
};

struct machine_how {
	u64 flags;     /* pt_flags of the first version of the structure; 0: LAPIC */
	u64 synthetic; /* features, of which those are set that there are */
	unsigned vps;  /* 0: one */
	bool xapic;    /* not x2APIC */
	bool no_ram;
};
#define NO_LAPIC (1ull << 63) /* as flags: none at all */

void machine_make(struct machine *m, const struct machine_how *how);
void machine_unmake(struct machine *m);
/* The device, a partition that is not initialised yet, and nothing else. */
void machine_open(struct machine *m, u64 flags);
void machine_add_vp(struct machine *m);

/* Code at MACHINE_CODE, in real mode with all segments at 0, or in 64-bit mode with MACHINE_PML4's tables. */
void machine_code16(struct machine *m, unsigned vp, const void *code, size_t size);
void machine_code64(struct machine *m, unsigned vp, const void *code, size_t size);
/* From there on, with the same state; what was changed in the register page counts. */
void machine_go(struct machine *m, unsigned vp, u64 rip);
/* A gate of 64-bit mode. */
void machine_gate(struct machine *m, u8 vector, u64 handler);

/* Programs of guest.S. */
#define GUEST(name) extern const u8 guest_##name[], guest_##name##_end[]
#define CODE16(m, vp, name)                                                                        \
	machine_code16(m, vp, guest_##name, (size_t)(guest_##name##_end - guest_##name))
#define CODE64(m, vp, name)                                                                        \
	machine_code64(m, vp, guest_##name, (size_t)(guest_##name##_end - guest_##name))
/* The address of a label in it. */
#define GUEST_LABEL(name, label) (MACHINE_CODE + (u64)(guest_##name##_##label - guest_##name))

/* One run, which ends with a message of this type, in every place where there is one. */
void machine_run(struct machine *m, unsigned vp, u32 type, struct hv_message *ret);
/* Until it writes to a port; the value. Goes on behind the instruction with the next run. */
u32 machine_out(struct machine *m, unsigned vp, u16 port);
/* Reads go on with this. */
void machine_complete_in(
	struct machine *m, unsigned vp, const struct hv_message *message, u32 value);
void machine_skip(struct machine *m, unsigned vp, unsigned length);

u64 machine_reg(struct machine *m, unsigned vp, u32 name);
void machine_set_reg(struct machine *m, unsigned vp, u32 name, u64 value);
struct hv_value128 value_of(const void *sixteen_bytes);

/* A thread that runs a processor until it gets out with something else than EINTR, or it is told to stop. */
struct runner;
struct runner *machine_start(struct machine *m, unsigned vp);
/* Kicks it until it is out; the result of the last run, and the message, if there was one. */
long machine_stop(struct runner *r, struct hv_message *ret);
/* One kick, after which it does not run again; is it out? */
bool machine_kick(struct runner *r);
/* Without a kick: it gets out by itself. */
long machine_wait(struct runner *r, struct hv_message *ret);

/* Waits for memory of the guest to have this value; fails after some seconds. */
void machine_await(struct machine *m, u64 gpa, u32 value);
static inline u32 machine_u32(const struct machine *m, u64 gpa)
{
	return *(const volatile u32 *)(m->ram + gpa);
}

#endif
