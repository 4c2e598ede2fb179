/* SPDX-License-Identifier: MIT */
/*
 * The classic BPF of seccomp filters (seccomp(2), linux/filter.h): checking one when it is
 * installed, and running one on a system call. Pure functions.
 */
#ifndef SHIM_INJECT_BPF_H
#define SHIM_INJECT_BPF_H

#include <linux/filter.h>
#include <linux/seccomp.h>

#include "base/types.h"

#define BPF_INSNS_MAX 4096

/*
 * 0, or -EINVAL: too short or long, an instruction that seccomp does not have, a load from outside
 * of struct seccomp_data, a jump past the end, a division by the constant 0, a read of scratch
 * memory that no path has written, no return at the end.
 */
int bpf_check(const struct sock_filter *insns, unsigned count);
/* A checked program's answer. Always terminates: jumps only go forwards. */
u32 bpf_run(const struct sock_filter *insns, const struct seccomp_data *data);

#endif
