/* SPDX-License-Identifier: MIT */
/*
 * What only hosts of Intel show, and may: the SDM leaves it to the processor in which order the exceptions of one
 * instruction come (3:6.9) and what it has done by then. On other hosts all of these are false, so that nothing is
 * excused there. a is how one of our legs ended, b the host; in, where it is asked for, the instruction at which a
 * faulted.
 */
#ifndef TESTS_INSN_INTEL_H
#define TESTS_INSN_INTEL_H

#include "insn/diff.h"

/* An x87 store that does not happen, as its exception is not masked, does not touch memory either. */
bool intel_skips_store(const struct insn *in, const struct outcome *a, const struct outcome *b);
/* Both faulted at in, for different reasons: */
bool intel_other_vector(const struct insn *in, const struct outcome *a, const struct outcome *b);
/* A conversion that is stored raises its flags before the store is tried. */
bool intel_has_more_flags(const struct insn *in, u32 a_mxcsr, u32 b_mxcsr);
/* An MMX store moves the top of the x87 stack to 0 before it is tried: put back in b what that has moved. */
void intel_restore_top(const struct insn *in, const u8 *a_xsave, u8 *b_xsave);
/* Bytes that may be written although in faulted. */
unsigned intel_half_written(const struct insn *in);

#endif
