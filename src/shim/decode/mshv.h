/* SPDX-License-Identifier: MIT */
/* The decoder of /dev/mshv (mshv.c) in parts. Names are those of the interface's own tables in src/abi/mshv. */
#ifndef SHIM_DECODE_MSHV_H
#define SHIM_DECODE_MSHV_H

#include "shim/decode/decode.h"
#include "uapi/mshv.h"
#include "x86/hyperv_root.h"

extern const struct decoder decoder_mshv;

/* ---- names (mshv_names.c) ---- */

extern const struct named_value hvcall_names[], property_names[], status_names[];
#define REGISTER_NAME_MAX 48
/* "RIP", "XMM3"; the number where it has no name. */
const char *register_word(u32 number, char text[REGISTER_NAME_MAX]);

/* ---- hypercalls (mshv_hvcall.c) ---- */

/* The argument of MSHV_ROOT_HVCALL, and what the hypercall's input and output consist of. */
void list_hvcall(struct line *l, unsigned long arg);
void list_hvcall_result(struct line *l, unsigned long arg);
/* Of MSHV_HVCALL, likewise. */
void list_raw_hvcall(struct line *l, unsigned long arg);
void list_raw_hvcall_result(struct line *l, unsigned long arg);
enum answered hvcall_answered(unsigned long arg, long error);
/* A register and its value, by its name. */
void add_register(struct line *l, u32 number, const struct hv_value128 *value);

/* ---- messages (mshv_message.c) ---- */

/* An intercept message, as a group of members. */
void add_message(struct line *l, const struct hv_message *m);

#endif
