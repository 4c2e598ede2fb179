/* SPDX-License-Identifier: MIT */
/*
 * Every request of a program in one line each: readable, or JSON for tools.
 *
 * uservisor trace says by three environment variables what it wants; they are read once, at the
 * first open of /dev/kvm. A line is written by one system call, so that threads and processes do
 * not mix theirs.
 */
#ifndef SHIM_TRACE_H
#define SHIM_TRACE_H

#include "shim/shim.h"

#define TRACE_FORMAT_ENV "USERVISOR_TRACE"        /* "text" or "json" */
#define TRACE_FILE_ENV   "USERVISOR_TRACE_FILE"   /* appended to; standard error if not set */
#define TRACE_KERNEL_ENV "USERVISOR_TRACE_KERNEL" /* set: requests go to the kernel's KVM */

/* What the environment asks for: SHIM_ENGINE without it. */
enum shim_mode trace_start(void);
void trace_open(const char *path, long result);
/* d is NULL where the kernel serves; how as for dev_ioctl_with(), or NULL. NOT_OURS: fd is no KVM descriptor. */
struct dev_signals;
long trace_ioctl(struct dev *d, int fd, unsigned long request, unsigned long arg,
	const struct dev_signals *how);
void trace_closed(int fd);

/* ---- one line (line.c) ---- */

enum line_format { LINE_DEC, LINE_HEX, LINE_SIGNED };

struct line {
	bool json;
	bool first; /* no member was written in the innermost group */
	size_t n;
	char text[8192];
};

/* name is shown in JSON, and in text unless it is NULL. */
void line_number(struct line *l, const char *name, u64 value, enum line_format format);
void line_word(struct line *l, const char *name, const char *word);
void line_bytes(struct line *l, const char *name, const void *data, size_t n);
void line_open(struct line *l, const char *name);
void line_close(struct line *l);
/* Only in text: what stands between. */
void line_text(struct line *l, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- structures (decode.c, decode_exit.c, decode_names.c) ---- */

struct kvm_run;
/* Does its argument point to something that is decoded? */
bool decodes(u32 request);
/* What request's argument points to, as a group of members: what it brings, before the call; */
void decode_in(struct line *l, u32 request, unsigned long arg);
/* what has been written there, after it. result is the request's. */
void decode_out(struct line *l, u32 request, unsigned long arg, long result);
/* The exit in kvm_run, whose first two pages are mapped. Which answer it waits for, 0: none. */
int decode_exit(struct line *l, const struct kvm_run *run);
/* That answer, as it is when the program enters again. */
void decode_answer(struct line *l, int asked, const struct kvm_run *run);
const char *decode_capability(u32 number); /* or NULL */
const char *decode_errno(long error);      /* of a negative result; or NULL */

#endif
