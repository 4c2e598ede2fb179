/* SPDX-License-Identifier: MIT */
/* KVM's decoder (kvm.c) in parts. */
#ifndef SHIM_DECODE_KVM_H
#define SHIM_DECODE_KVM_H

#include "shim/decode/decode.h"
#include "uapi/kvm_more.h"
#include "uapi/kvmi.h"

extern const struct decoder decoder_kvm;

const char *capability_name(u32 number); /* or NULL */

/* ---- exits (kvm_exit.c) ---- */

/* What the last exit has asked for is answered by entering again, once, whatever comes of that. */
void exit_answered(struct line *l, int fd);
void exit_happened(struct line *l, int fd, long result);
void exit_forget(int fd);

/* ---- what requests have beside a structure (kvm_list.c) ---- */

void list_msrs(struct line *l, unsigned long arg);
void list_msr_indices(struct line *l, unsigned long arg);
void list_msr_ranges(struct line *l, unsigned long arg);
void list_cpuid(struct line *l, unsigned long arg);
void list_cpuid_old(struct line *l, unsigned long arg);
void list_routes(struct line *l, unsigned long arg);
void list_irqchip(struct line *l, unsigned long arg);
void list_attr(struct line *l, unsigned long arg);
void list_capability(struct line *l, unsigned long arg);

#endif
