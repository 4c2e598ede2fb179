/* SPDX-License-Identifier: MIT */
/* What requests have beside a structure: lists that follow it, unions, values it points to. Private to decode.c. */
#ifndef SHIM_DECODE_LIST_H
#define SHIM_DECODE_LIST_H

#include "shim/decode.h"

/* Adds what is at arg, the request's argument, to the open group of members. */
typedef void (*list_shower)(struct line *l, unsigned long arg);

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
