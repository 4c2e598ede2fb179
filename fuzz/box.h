/* SPDX-License-Identifier: MIT */
/*
 * A machine for fuzzers: a device of its own, RAM in slot 0 with page tables, descriptor tables and code; SMRAM with a
 * secret that only system management mode may see.
 *
 * RAM is mapped at its own address, and 16 places of 2 MiB from PLACE_GPA on as well, whether memory is there or not.
 */
#ifndef FUZZ_BOX_H
#define FUZZ_BOX_H

#include <pthread.h>
#include <stdatomic.h>

#include "abi/dev.h"
#include "fuzz/cases.h"
#include "uapi/kvm_more.h"

#define BOX_RAM     0x200000
#define BOX_VCPUS   4
#define PLACE_GPA   0x40000000u
#define PLACE_BYTES 0x200000u
#define PLACES      16
#define SMRAM_GPA   0xa0000
#define SMRAM_BYTES 0x20000
#define SECRET      0x5ec2e7c0de5ec2e7ull

/* Where things are in RAM. */
#define AT_PML4     0x1000
#define AT_GDT      0x5000 /* selectors reach to 0xcfff */
#define AT_TASKS    0x6000 /* TSSs for 32-bit code, inside of the GDT's reach */
#define AT_IDT64    0xd000
#define AT_IDT32    0xe000
#define AT_HANDLERS 0xf000
#define AT_CODE     0x10000 /* of vcpu 0; the next one's is CODE_BYTES behind */
#define CODE_BYTES  0x4000
#define AT_STACK    0x28000 /* the same */
#define AT_OWN      0x60000 /* code that a vcpu changes, CODE_BYTES each */
#define AT_SHARED   0x80000

struct box {
	struct dev *dev;
	int sys, vm, vcpus;
	int vcpu[BOX_VCPUS];
	struct kvm_run *run[BOX_VCPUS];
	u8 *ram, *smram;
	void (*prepare)(struct box *b); /* of box_open(), before the first vcpu; or NULL */
};

/* irqchip: with one; type as for KVM_CREATE_VM. */
void box_open(struct box *b, int vcpus, bool irqchip, unsigned long type);
void box_close(struct box *b);
/* Its memory alone. */
void box_free(struct box *b);
long box_do(struct box *b, int fd, unsigned long request, const void *arg);
long box_slot(struct box *b, u32 slot, u32 flags, u64 gpa, u64 bytes, const void *host);
/* In long mode, or in flat 32-bit protected mode without paging, at AT_CODE of this vcpu; out of SMM, runnable. */
void box_start(struct box *b, int vcpu, bool long_mode);
/* CPUID with Hyper-V's leaves, so that its MSRs and hypercalls are there. */
void box_hyperv(struct box *b, int vcpu);
/* Page tables and the GDT, as at first. */
void box_tables(struct box *b);
/* Tasks that trap into each other without an end: IDT and TSSs of 32-bit code. */
void box_tasks(struct box *b);
/* A finding if the secret has been changed, or is anywhere that who is not in SMM can see. */
void box_check_secret(struct box *b);

/* ---- code ---- */

struct code {
	u8 *p;
	u32 at; /* the linear address of p[0] */
	u32 n;
};

void put(struct code *c, const void *bytes, u32 n);
#define PUT(c, ...) put(c, (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__}))
void put32(struct code *c, u32 v);
void put64(struct code *c, u64 v);
/* mov reg, imm64 of long mode. */
void put_mov(struct code *c, unsigned reg, u64 v);

#endif
