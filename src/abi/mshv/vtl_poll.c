/* SPDX-License-Identifier: MIT */
/*
 * MSHV_SET_POLL_FILE: whenever something happens to a file, the lower guest is told to come out on one processor. We have a
 * duplicate of it, so it stays when the program closes its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "abi/mshv/hostcpus.h"
#include "abi/mshv/vtl.h"
#include "base/fd.h"
#include "base/sys.h"

static void cancel(struct vtl_watch *w)
{
	const struct vtl_cpu *cpu = container_of(w, struct vtl_cpu, poll);
	struct mshv_vp *v = cpu->vp;

	__atomic_store_n(&vtl_run_page(v)->cancel, 1, __ATOMIC_RELEASE);
	vcpu_poll_soon(v->cpu);
}

/* ---- under the lock of the watches ---- */

static void drop(struct vtl *t, struct vtl_cpu *cpu)
{
	if (cpu->poll.fd < 0)
		return;
	vtl_watch_remove(t, &cpu->poll);
	fd_drop(cpu->poll.fd);
	cpu->poll.fd = -1;
}

static bool is_ready(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return sys_poll(&p, 1, 0) > 0;
}

/* What the file has to say already is nothing new. What cannot be waited for is taken, and nothing ever happens to it. */
static int replace(struct vtl *t, struct vtl_cpu *cpu, int fd)
{
	int r;

	drop(t, cpu);
	cpu->poll = (struct vtl_watch){.fd = fd, .happened = cancel};
	r = vtl_watch_add(t, &cpu->poll, is_ready(fd));
	if (r && r != -EPERM) {
		cpu->poll.fd = -1;
		return r;
	}
	return 0;
}

void vtl_polls_end(struct vtl *t)
{
	pthread_mutex_lock(&t->watch_lock);
	for (unsigned i = 0; i < t->cpus; i++)
		drop(t, &t->cpu[i]);
	pthread_mutex_unlock(&t->watch_lock);
}

/* ---- the request ---- */

static int set(struct vtl *t, unsigned cpu, int fd)
{
	struct mshv_vp *v = vtl_vp(t, cpu);
	int r = v ? 0 : -ENOMEM;

	pthread_mutex_lock(&t->watch_lock);
	t->cpu[cpu].vp = v;
	if (!r)
		r = replace(t, &t->cpu[cpu], fd);
	pthread_mutex_unlock(&t->watch_lock);
	return r;
}

static long set_poll_file(struct call *c, unsigned cpu, u32 fd)
{
	int own, r;

	if (fd_is_kept((int)fd)) /* it is ours, and none of the program's */
		return refuse(c->why, -EBADFD, "fd %lu: is not open", (u64)fd);
	own = sys_fcntl((int)fd, F_DUPFD_CLOEXEC, 0);
	if (own < 0)
		return errno == EBADF ? refuse(c->why, -EBADFD, "fd %lu: is not open", (u64)fd)
				      : -errno;
	own = fd_keep(own);
	r = set(vtl_of(c), cpu, own);
	if (r)
		fd_drop(own);
	return r ? refuse(c->why, r, "fd %lu: cannot be waited for", (u64)fd) : 0;
}

long vtl_set_poll_file(struct call *c)
{
	const struct mshv_vtl_set_poll_file *a = c->data;

	if (a->cpu >= vtl_of(c)->cpus || !hostcpu_is_online(a->cpu))
		return refuse(c->why, -EINVAL, "cpu %lu: there is no such processor", (u64)a->cpu);
	return set_poll_file(c, a->cpu, a->fd);
}
