/* SPDX-License-Identifier: MIT */
/*
 * Hypervisor devices as objects, with no interception and no system call: what the shim and libkvm's soft port call.
 *
 * Descriptors are real ones (memfds, or sockets where packets are read): mmap, poll, close-on-exec and passing them around work by
 * themselves, and a duplicate is recognised by its inode, however it was made. Only closing must
 * be told, or a descriptor number that is used again for something else would still count as ours.
 *
 * A vm and its vcpus belong to the address space that made them: in a forked child, or in a process
 * that was sent the descriptor, their requests fail with -EIO. The system descriptor works anywhere.
 *
 * All functions may be called from any thread.
 */
#ifndef ABI_DEV_H
#define ABI_DEV_H

#include "base/refusal.h"
#include "base/types.h"

struct dev; /* the open descriptors of one process-wide or private set; no hidden globals */

/* An empty set of descriptors; the caller's until dev_destroy(). 0 or -errno. */
int dev_create(struct dev **ret);
/* Closes what is still open. No call may be in progress. */
void dev_destroy(struct dev *d);

/*
 * Devices by which processes reach each other do so among those whose sets have this name, up to some 40 characters. Before the first is
 * opened. Without it a set is alone.
 */
void dev_set_session(struct dev *d, const char *name);

/*
 * The machines look for a tool that introspects them: text is introspect_parse()'s. Before the first machine. 0, or -errno and
 * *why. dev_check_tool() only says whether text is right.
 */
#define DEV_TOOL_ENV "USERVISOR_INTROSPECT" /* in the environment of a process whose machines do */
int dev_set_tool(struct dev *d, const char *text, struct refusal *why);
int dev_check_tool(const char *text, struct refusal *why);

/* ---- the devices that we stand in for ---- */

/* A node in /dev. They are misc devices: their major number is 10. */
struct fd_ops;
struct device_node {
	const char *path;         /* in /dev itself */
	const struct fd_ops *ops; /* the kind of descriptor that opening it gives */
	u32 minor;
	bool assigned; /* it has this number on every machine; other kernels may give it another */
};
#define DEVICE_MAJOR 10

/* All nodes of all interfaces, one after the other; at begins as {0}. NULL: that was the last. */
struct device_nodes {
	unsigned interface, n;
	const char *name; /* of the interface whose node was returned last */
};
const struct device_node *dev_node_next(struct device_nodes *at);
/* The name of an interface, or NULL. */
const char *dev_interface(unsigned n);
/* May this be a request of some interface, by the type in its number? It is not, if its descriptor is none of ours. */
bool dev_may_request(unsigned long request);
/* Does this request make a machine or a processor? */
bool dev_makes_machine(unsigned long request);

/* ---- descriptors ---- */

/*
 * Like open(path, flags), where path is a device that we stand in for, by its own name: a descriptor or -errno. -ENOENT: it
 * is none. -ENODEV: this processor lacks what generated code uses.
 */
int dev_open(struct dev *d, const char *path, int flags);
/* Like ioctl(): result >= 0 or -errno. -EBADF for a descriptor that is not ours: see dev_owns. */
long dev_ioctl(struct dev *d, int fd, unsigned long request, unsigned long arg);
/*
 * The same for who keeps signals off by himself while the request is served, and delivers them afterwards: no system call
 * is made for it.
 */
struct hold;
struct dev_signals {
	struct hold *hold; /* they come to him first: base/hold.h; NULL: all are blocked, */
	u64 caller_mask; /* and the program has blocked these, which KVM_RUN goes by (bit n-1 is signal n) */
};
long dev_ioctl_with(struct dev *d, int fd, unsigned long request, unsigned long arg,
	const struct dev_signals *how);
/*
 * For who wants to know why: *ret_why says it where the request is refused (ret_why->why is NULL where nothing was
 * said). KVM_GET_MSRS and KVM_SET_MSRS say it about the first entry that they stop at. how as above, or NULL.
 */
long dev_ioctl_why(struct dev *d, int fd, unsigned long request, unsigned long arg,
	const struct dev_signals *how, struct refusal *ret_why);
bool dev_owns(struct dev *d, int fd);
/* Was fd made by one of us, perhaps in another process? By what it is called in /proc. */
bool dev_recognises(int fd);
/* The kind of a descriptor of the kernel's own driver that /proc shows so, or NULL. */
const struct fd_ops *dev_ops_of_link(const char *link);
/* What /proc would show if the kernel's own driver had made what it shows so. False: that is none of ours. */
bool dev_link_as_kernel(const char *link, char *ret, size_t size);
/* What fd is as far as we were told, in the terms of any interface: the device, a machine, a processor, a device of a
 * machine. Makes no system call. */
enum dev_kind { DEV_NONE, DEV_SYSTEM, DEV_VM, DEV_VCPU, DEV_DEVICE, DEV_OTHER };
enum dev_kind dev_kind(struct dev *d, int fd);
/* The same as the table of its kind, NULL: not ours; and what users call that kind. */
const struct fd_ops *dev_ops(struct dev *d, int fd);
const char *dev_label(const struct fd_ops *on);
/* The name of the interface that it belongs to. */
const char *dev_interface_of(const struct fd_ops *on);
/* The node that gives this kind of descriptor, or NULL. */
const struct device_node *dev_node_of(const struct fd_ops *on);
static inline bool dev_knows(struct dev *d, int fd)
{
	return dev_kind(d, fd) != DEV_NONE;
}
/*
 * After vfork() the child runs in its parent's memory, but its descriptors are its own: what it
 * does to them must not be told to the parent's dev.
 */
bool dev_in_vfork_child(struct dev *d);
/* What fd, which is ours, answers to a request that it does not have: -errno. */
int dev_no_request(struct dev *d, int fd);
/* The request's name, NULL if this kind of descriptor (or none at all, if on is NULL) does not know it. */
const char *dev_request_name(const struct fd_ops *on, unsigned long request);
/*
 * The name of a request with this type and number but another size or direction, and what it should be; one
 * of the same direction if there are several. NULL: there is none.
 */
const char *dev_request_like(
	const struct fd_ops *on, unsigned long request, unsigned long *ret_request);
/* Like close(): 0 or -errno. For descriptors that are not ours too. */
int dev_close(struct dev *d, int fd);
/* As sigaction(), beside the engine's own handlers: see host_sigaction() in engine/engine.h. */
struct sys_sigaction;
int dev_sigaction(int signo, const struct sys_sigaction *set, struct sys_sigaction *get);
/* In the handler of a signal that is held: see host_interrupted() in engine/engine.h. */
void dev_interrupted(void *context);
/* See host_handlers_behind() and host_take_call() there. */
void dev_handlers_behind(const void *entry);
bool dev_take_call(void *context);
/* Have these handlers before the first machine. 0 or -errno. */
int dev_handle_faults(void);
/* May the engine use userfaultfd on the program's memory? Only while the program does not: see host_track_writes(). */
void dev_track_writes(bool allowed);
/*
 * The program is about to unmap, replace, move or protect memory, of which machines are to know: guest code may run in it by other
 * mappings (docs/design.md, "Direct execution").
 */
void dev_memory_remapped(struct dev *d, u64 start, u64 size);
/* Can this host run guest code so? 0 or -errno. */
int dev_try_direct(void);
/*
 * May fd be mapped so, as far as we are concerned? 0: the kernel has the last word. -errno: KVM would refuse it
 * (a guest_memfd cannot be mapped at all, the dirty ring only shared). 0 for descriptors that are not ours.
 */
int dev_mmap_check(struct dev *d, int fd, int prot, int flags, size_t len, u64 offset);
/*
 * The first stretch of [offset, offset + len) of which fd has nothing, although its file has pages: an access to such a page
 * raises SIGBUS, so in the place of it is mapped what lies at DEV_NOWHERE. False: there is none.
 */
#define DEV_NOWHERE (1ull << 60)
bool dev_mmap_hole(struct dev *d, int fd, u64 offset, size_t len, u64 *ret_offset, size_t *ret_len);
/*
 * A read of n bytes from fd is about to begin: 0: the kernel answers it. -errno: it is refused. Only where dev_checks_reads(), which
 * is false as long as no descriptor needs that.
 */
bool dev_checks_reads(struct dev *d);
int dev_read_check(struct dev *d, int fd, size_t n);
/* Like fallocate(): 0 or -errno. -EBADF for a descriptor that is not ours. */
int dev_fallocate(struct dev *d, int fd, int mode, s64 offset, s64 len);
/* fd is about to be replaced (dup2) or was closed by other means. */
void dev_forget(struct dev *d, int fd);
void dev_forget_range(struct dev *d, unsigned first, unsigned last);

#endif
