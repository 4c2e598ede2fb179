/* SPDX-License-Identifier: MIT */
/*
 * Every request of a program in one line each: readable, or JSON for tools.
 *
 * uservisor trace says by three environment variables what it wants; they are read once, at the
 * first open of a device. A line is written by one system call, so that threads and processes do
 * not mix theirs.
 */
#ifndef SHIM_TRACE_H
#define SHIM_TRACE_H

#include "shim/shim.h"

#define TRACE_FORMAT_ENV "USERVISOR_TRACE"        /* "text" or "json" */
#define TRACE_FILE_ENV   "USERVISOR_TRACE_FILE"   /* appended to; standard error if not set */
#define TRACE_KERNEL_ENV "USERVISOR_TRACE_KERNEL" /* set: requests go to the kernel's driver */

/* What the environment asks for: SHIM_ENGINE without it. */
enum shim_mode trace_start(void);
void trace_open(const char *path, long result);
/* d is NULL where the kernel serves; how as for dev_ioctl_with(), or NULL. NOT_OURS: fd is none of ours. */
struct dev_signals;
long trace_ioctl(struct dev *d, int fd, unsigned long request, unsigned long arg,
	const struct dev_signals *how);
void trace_closed(int fd);

#endif
