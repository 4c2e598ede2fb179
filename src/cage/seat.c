/* SPDX-License-Identifier: MIT */
/* Waiting for a thread of the cage, and letting it go on: seccomp_unotify(2). */
#include <errno.h>
#include <linux/ioctl.h>
#include <string.h>

#include "cage/cage_priv.h"

struct cage_answer {
	u64 id;
	s64 value;
	s32 error;
	u32 flags;
};

/* From <linux/seccomp.h>, which old headers have in part. */
#define NOTIF_RECV      _IOWR('!', 0, struct notice)
#define NOTIF_SEND      _IOWR('!', 1, struct cage_answer)
#define NOTIF_SET_FLAGS _IOW('!', 4, u64)
#define SYNC_WAKE_UP    1ul

int seat_answer(const struct seat *s, u64 value)
{
	struct cage_answer a = {.id = s->id, .value = (s64)value};

	return sys_ioctl(s->listener, NOTIF_SEND, (unsigned long)&a) ? -errno : 0;
}

/*
 * -ENOENT: the thread has been interrupted before its call could be taken, or it has died. This does not wait: what was
 * there once is counted, even if it has gone.
 */
static int take(struct seat *s, struct notice *ret)
{
	struct notice n;

	memset(&n, 0, sizeof(n)); /* the kernel insists */
	if (sys_ioctl(s->listener, NOTIF_RECV, (unsigned long)&n))
		return -errno;
	s->id = n.id;
	*ret = n;
	return 0;
}

/*
 * By poll(): the request that takes a call waits, too, but is begun anew after signals with SA_RESTART, and kernels before 6.11
 * leave it waiting for a thread that has died. POLLHUP: nobody is left who has the filter.
 */
int seat_wait(struct seat *s, struct notice *ret)
{
	struct pollfd p = {s->listener, POLLIN, 0};
	int r;

	do {
		if (sys_poll(&p, 1, -1) < 0)
			return -errno;
		r = p.revents & POLLIN ? take(s, ret) : -ESRCH;
	} while (r == -ENOENT);
	return r;
}

int seat_wake_here(const struct seat *s)
{
	return sys_ioctl(s->listener, NOTIF_SET_FLAGS, SYNC_WAKE_UP) ? -errno : 0;
}
