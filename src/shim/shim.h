/* SPDX-License-Identifier: MIT */
/*
 * The interface of an unmodified program: what its system calls mean when /dev/kvm and other devices are ours. Which they
 * are is said by abi/dev.h; only what is told about a processor or a module speaks of KVM.
 *
 * A library that is put into somebody else's process has one state per process by nature, so this
 * part has one struct, in shim.c. It starts at the first open of a device; until then every
 * function here costs a load and a compare, and nothing of the engine has run.
 *
 * Functions return like the kernel: a result, or -errno. NOT_OURS means that the call is none of
 * our business and belongs to the kernel. How calls get here is the business of preload/ and
 * inject/, which also pass on to the kernel what does.
 */
#ifndef SHIM_SHIM_H
#define SHIM_SHIM_H

#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "base/types.h"

#define NOT_OURS (-4096l) /* beyond every errno */

struct dev;
struct device_node;
struct device_nodes;
struct sock_fprog;
struct stat;
struct statx;

enum shim_mode {
	SHIM_IDLE,   /* no device has been opened */
	SHIM_ENGINE, /* requests go to the engine, */
	SHIM_TRACE,  /* and are written down; */
	SHIM_KERNEL, /* or only written down, and go to the kernel's driver */
};
extern _Atomic enum shim_mode shim_mode_;
static inline enum shim_mode shim_mode(void)
{
	return atomic_load_explicit(&shim_mode_, memory_order_acquire);
}

/* Has it been opened, or at least tried to? */
bool shim_was_asked(void);

/* The started engine, or NULL: nothing was opened yet, or the kernel serves. */
struct dev *shim_dev(void);

/* ---- descriptors (shim.c) ---- */

/* By its text alone: false if shim_open() will say NOT_OURS. */
bool shim_may_be_ours(const char *path);
/* Before the kernel is asked, or instead of its answer: is this path one of ours? A descriptor, -errno or NOT_OURS. */
long shim_open(int dirfd, const char *path, int flags);
/* After it was: its answer (descriptor or -errno) may still stand for a node of ours. */
long shim_opened(int dirfd, const char *path, int flags, long result);

long shim_ioctl(int fd, unsigned long request, unsigned long arg);
/* For who keeps signals off himself: dev_ioctl_with(). */
struct dev_signals;
long shim_ioctl_with(
	int fd, unsigned long request, unsigned long arg, const struct dev_signals *how);
/* After the kernel refused a request of another type on fd: the right error. */
long shim_ioctl_error(int fd, long error);

long shim_close(int fd);
/* Before fd becomes a duplicate of from, which closes it: 0, or -EBUSY for the engine's own descriptors. */
long shim_replace_check(int from, int fd);
/* fd was replaced by, or has become, a duplicate of from. */
void shim_duplicated(int from, int fd);
/*
 * first..last without the engine's own descriptors, piece by piece: true if there is a piece, which
 * is first..end. The next one is looked for after end.
 */
bool shim_next_range(unsigned *first, unsigned last, unsigned *end);
/* The kernel closes them, or has just closed them. */
void shim_closing_range(unsigned first, unsigned last);

/* ---- memory and reads (memory.c) ---- */

/* Has a descriptor been opened whose reads have rules of their own? */
bool shim_checks_reads(void);
/* Before a read of n bytes: 0, or -errno where the kernel must not be asked. */
long shim_read_check(int fd, size_t n);

/* Before the kernel maps a descriptor: NOT_OURS; or the result, where it must not, or where it has been done. */
struct mapping {
	void *addr;
	size_t len;
	int prot, flags, fd;
	u64 offset;
};
long shim_mmap(const struct mapping *m);
/* The program is about to make a userfaultfd, whatever the call: memory can be registered with one alone, and that is his. */
#define USERFAULTFD_NEW 0xaa00 /* as a request to /dev/userfaultfd */
void shim_before_userfaultfd(void);
/* The engine is about to start: it may have what the program has not asked for yet. */
void shim_lend_userfaultfd(void);
long shim_fallocate(int fd, int mode, s64 offset, s64 len);

/* ---- guest RAM (ram.c) ---- */

/* Before the kernel: NOT_OURS, 0 or -errno. */
long shim_madvise(const void *addr, size_t size, int advice);
/* The program is about to protect memory, or (gone) to unmap, move or replace it. */
void shim_before_remap(const void *addr, size_t size, bool gone);
/* May mremap() make it larger? NOT_OURS or -errno. */
long shim_grow_check(const void *addr, size_t old, size_t new);
/* In a forked child, which has none of it. */
void shim_ram_forked(void);

/* ---- nodes (nodes.c) ---- */

/* Before the program's first instruction: take what it will not see from the environment. */
void nodes_begin(void);
bool nodes_are_hidden(void);

/* As dev_node_next(), and whether the program may see it. */
const struct device_node *node_next(struct device_nodes *at, bool *ret_shown);
/* The node of this name in /dev, and the one that has this number here; or NULL. */
const struct device_node *node_called(const char *name, bool *ret_shown);
const struct device_node *node_numbered(u64 rdev, bool *ret_shown);
const char *node_name(const struct device_node *node); /* in /dev */

/* ---- paths (paths.c, params.c) ---- */

/* The node that this path names, whether or not the machine has it; NULL: none that the program may see. */
const struct device_node *path_node(int dirfd, const char *path);
/* The one that a symbolic link at path leads to, or NULL. */
const struct device_node *path_link_node(int dirfd, const char *path);
/* Does it name, or lead to, a node that the program may not see? */
bool path_is_hidden(int dirfd, const char *path);
/* By its text alone: false if path_node() is NULL; if it hardly is another name for a node. */
bool path_may_be_node(const char *path);
bool path_may_hide_node(const char *path);
/* Text of a file under /sys/module/kvm*, as the kernel's modules would show it; NULL: not ours. */
const char *params_text(const char *path);
bool params_is_folder(const char *path);

/* ---- links (links.c) ---- */

/* May this text, which the kernel has given for a link, stand for a descriptor of ours? */
bool link_may_be_ours(const char *link, size_t n);
/* What is shown instead of a link to a descriptor of ours; its length, or 0: it is none. */
#define SHIM_LINK_MAX 128
size_t shim_readlink(int dirfd, const char *path, char *ret, size_t size);

/* ---- what programs ask before they open (stat.c) ---- */

/* mode as for access(2). */
long shim_access(int dirfd, const char *path, int mode);
/* After the kernel: result is its answer. 0 or -errno. */
long shim_stat(int dirfd, const char *path, struct stat *st, long result);
long shim_fstat(int fd, struct stat *st, long result);
long shim_fstatx(int fd, struct statx *st, long result);
long shim_statx(int dirfd, const char *path, struct statx *st, long result);

/* ---- signals and sandboxes (signals.c, seccomp.c) ---- */

/* As sigaction(). */
long shim_sigaction(int signo, const struct sigaction *set, struct sigaction *get);
/*
 * From here on all handlers of the program are reached through ours, so that signals need not be blocked while requests
 * are served (base/hold.h): those that are installed now, and those that shim_sigaction() is told of.
 */
void shim_take_signals(void);
/* This thread's, or NULL as long as signals are not taken. */
struct hold *shim_hold(void);
/* In preload/ and inject/: the engine has just started. */
void shim_started(void);

/*
 * A seccomp program that lets the engine's own calls through and judges all others as filter does.
 * NULL: install filter itself. Freed by the same function with a NULL filter.
 */
struct sock_fprog *shim_seccomp(const struct sock_fprog *filter, struct sock_fprog *old);

#endif
