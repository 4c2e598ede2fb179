/* SPDX-License-Identifier: MIT */
/*
 * irqfd: eventfds that interrupt the guest. The helper thread watches them, and so do vcpus that wait for an interrupt.
 *
 * config_lock serialises assigning and deassigning; the list itself changes under irq->lock as well,
 * because an EOI walks it.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "engine/irq/fabric.h"
#include "base/locked.h"
#include "base/fd.h"
#include "engine/mem/recheck.h"

struct irqfd {
	struct irqfd *next;
	struct irq *irq;
	int fd, resample_fd; /* our own descriptors; -1: no resampling */
	u64 identity;
	u32 gsi;
};

static void ready(void *opaque, u32 events)
{
	struct irqfd *f = opaque;
	struct irq *irq = f->irq;

	if (!eventfd_consume(f->fd)) {
		if (events & (EPOLLHUP | EPOLLERR)) /* will never come back: do not spin */
			fd_unwatch(irq->machine, f->fd, f);
		return;
	}
	recheck_device_event(irq->machine);
	pthread_mutex_lock(&irq->lock);
	if (f->resample_fd >= 0 && irq->mode == IRQCHIP_FULL)
		line_set(irq, f->gsi, LINE_RESAMPLE, true);
	else
		line_pulse(irq, f->gsi, LINE_USER);
	pthread_mutex_unlock(&irq->lock);
}

bool irqfd_wants_ack(const struct irq *irq, u32 gsi)
{
	for (const struct irqfd *f = irq->irqfds; f; f = f->next)
		if (f->gsi == gsi && f->resample_fd >= 0)
			return true;
	return false;
}

/* First the line goes down, then each device looks whether it still wants attention. */
void irqfd_ack(struct irq *irq, u32 gsi)
{
	uv_assert_locked(&irq->lock);
	if (!irqfd_wants_ack(irq, gsi))
		return;
	line_set(irq, gsi, LINE_RESAMPLE, false);
	for (struct irqfd *f = irq->irqfds; f; f = f->next)
		if (f->gsi == gsi && f->resample_fd >= 0)
			eventfd_signal(f->resample_fd);
}

/* A partition has no lines: whose device still wants attention sends its message again. */
bool irqfd_ack_vector(struct irq *irq, u8 vector)
{
	bool any = false;

	pthread_mutex_lock(&irq->lock);
	for (struct irqfd *f = irq->irqfds; f; f = f->next)
		if (f->resample_fd >= 0 && routing_sends(irq, f->gsi, vector)) {
			eventfd_signal(f->resample_fd);
			any = true;
		}
	pthread_mutex_unlock(&irq->lock);
	return any;
}

static void irqfd_free(struct irqfd *f)
{
	if (f->fd >= 0)
		fd_drop(f->fd);
	if (f->resample_fd >= 0)
		fd_drop(f->resample_fd);
	free(f);
}

static int hold_fds(struct irqfd *f, int fd, int resample_fd)
{
	f->fd = eventfd_hold(fd);
	if (f->fd < 0)
		return f->fd;
	f->identity = eventfd_identity(fd);
	if (resample_fd < 0)
		return 0;
	f->resample_fd = eventfd_hold(resample_fd);
	return f->resample_fd < 0 ? f->resample_fd : 0;
}

static struct irqfd *find(struct irq *irq, u64 identity)
{
	for (struct irqfd *f = irq->irqfds; f; f = f->next)
		if (f->identity == identity)
			return f;
	return NULL;
}

static void link_irqfd(struct irq *irq, struct irqfd *f)
{
	pthread_mutex_lock(&irq->lock);
	f->next = irq->irqfds;
	irq->irqfds = f;
	irq_update_eoi_watch(irq);
	pthread_mutex_unlock(&irq->lock);
}

static void unlink_irqfd(struct irq *irq, struct irqfd *f)
{
	pthread_mutex_lock(&irq->lock);
	for (struct irqfd **p = &irq->irqfds; *p; p = &(*p)->next)
		if (*p == f) {
			*p = f->next;
			break;
		}
	/* Nobody is left who could lower it. */
	if (f->resample_fd >= 0 && !irqfd_wants_ack(irq, f->gsi))
		line_set(irq, f->gsi, LINE_RESAMPLE, false);
	irq_update_eoi_watch(irq);
	pthread_mutex_unlock(&irq->lock);
}

static int assign(struct irq *irq, struct irqfd *f, int fd, int resample_fd)
{
	struct watch_config c = {.anywhere = true, .ready = ready, .opaque = f};
	int err = hold_fds(f, fd, resample_fd);

	if (err)
		return err;
	c.fd = f->fd;
	if (find(irq, f->identity))
		return -EBUSY;
	link_irqfd(irq, f);
	/* If it has been signalled already, that counts: the watch is level-triggered. */
	err = fd_watch(irq->machine, &c);
	if (err)
		unlink_irqfd(irq, f);
	return err;
}

/* Those of a partition are there without a chip, too, and interrupt nobody then. */
static int check_mode(struct irq *irq, bool resample)
{
	if (!machine_intercepts(irq->machine))
		return irq->mode == IRQCHIP_NONE || (resample && irq->mode != IRQCHIP_FULL)
			       ? -EINVAL
			       : 0;
	return irq->mode == IRQCHIP_NONE ? fd_watch_prepare(irq->machine) : 0;
}

int irqfd_assign(struct machine *m, int fd, u32 gsi, int resample_fd)
{
	struct irq *irq = m->irq;
	struct irqfd *f;
	int err = check_mode(irq, resample_fd >= 0);

	if (err)
		return err;
	f = malloc(sizeof(*f));
	if (!f)
		return -ENOMEM;
	*f = (struct irqfd){.irq = irq, .fd = -1, .resample_fd = -1, .gsi = gsi};
	pthread_mutex_lock(&irq->config_lock);
	err = assign(irq, f, fd, resample_fd);
	pthread_mutex_unlock(&irq->config_lock);
	if (err)
		irqfd_free(f);
	return err;
}

static void drop(struct irq *irq, struct irqfd *f)
{
	fd_unwatch(irq->machine, f->fd, f);
	unlink_irqfd(irq, f);
	irqfd_free(f);
}

int irqfd_deassign(struct machine *m, int fd, u32 gsi)
{
	struct irq *irq = m->irq;
	int own = eventfd_hold(fd);
	struct irqfd *f;

	if (own < 0)
		return own;
	fd_drop(own);
	pthread_mutex_lock(&irq->config_lock);
	f = find(irq, eventfd_identity(fd));
	if (f && f->gsi == gsi)
		drop(irq, f);
	pthread_mutex_unlock(&irq->config_lock);
	return 0;
}

void irqfd_deassign_all(struct machine *m)
{
	struct irq *irq = m->irq;

	pthread_mutex_lock(&irq->config_lock);
	while (irq->irqfds)
		drop(irq, irq->irqfds);
	pthread_mutex_unlock(&irq->config_lock);
}
