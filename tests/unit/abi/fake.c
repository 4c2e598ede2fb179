/* SPDX-License-Identifier: MIT */
/* See fake.h. All that an interface has to bring: handlers, rows, kinds, and a place in the list. */
#include "fake.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/interface.h"
#include "abi/stream.h"
#include "abi/user.h"
#include "base/fd.h"

struct fake {
	int number;
	struct object *object;
};

struct fake_log *fake_log;
void (*fake_on_release)(void);
bool fake_blocked;

static long make(struct call *c, const struct fd_spec *s)
{
	struct fake *f = malloc(sizeof(*f));
	int fd = f ? fd_create(c->dev, s, &f->object) : -ENOMEM;

	if (fd < 0) {
		free(f);
		return fd;
	}
	f->number = (int)c->arg;
	f->object->behind = f;
	return fd_publish(c->dev, fd, f->object);
}

static void log_release(int number)
{
	if (fake_log)
		fake_log->number[fake_log->count++] = number;
}

static void release(void *behind)
{
	struct fake *f = behind;

	log_release(f->number);
	free(f);
	if (fake_on_release)
		fake_on_release();
}

/* ---- requests ---- */

static long version(struct call *c)
{
	return 7;
}

static long make_box(struct call *c)
{
	return make(c,
		&(const struct fd_spec){.ops = &fake_box_ops, .suffix = ":1", .size = PAGE_SIZE});
}

static long sum(struct call *c)
{
	struct fake_sum *s = c->data;

	s->sum = s->a + s->b;
	return s->sum ? 0 : refuse(c->why, -EDOM, "a %lu: nothing to add", (u64)s->a);
}

static long make_part(struct call *c)
{
	const struct fake *box = c->behind;

	return make(c, &(const struct fd_spec){.ops = &fake_part_ops, .owner = box->object});
}

static long abandon_part(struct call *c)
{
	const struct fake *box = c->behind;
	const struct fd_spec s = {.ops = &fake_part_ops, .owner = box->object};
	struct object *o;
	int fd = fd_create(c->dev, &s, &o);

	if (fd >= 0)
		fd_abandon(c->dev, fd, o);
	return -ENOMEM;
}

static long blocked(struct call *c)
{
	sigset_t now;

	sigprocmask(SIG_BLOCK, NULL, &now);
	return sigismember(&now, SIGUSR1);
}

static long whose(struct call *c)
{
	const struct fake *part = c->behind, *box = c->vm;

	return box->number * 1000 + part->number;
}

static long fetch(struct call *c)
{
	u32 value;

	return copy_in(c->dev, &value, c->arg, sizeof(value)) ? -EFAULT : (long)value;
}

/* ---- streams ---- */

int fake_open_error;

static int other_open(struct dev *d, struct object *o)
{
	o->behind = o->stream;
	return fake_open_error;
}

static void other_release(void *behind)
{
	log_release(99);
}

static int other_read_check(const struct object *o, size_t n)
{
	return stream_read_check(o->stream, n, FAKE_PACKET);
}

static long pause_stream(struct call *c)
{
	stream_pause(c->behind, c->arg);
	return 0;
}

static long put(struct call *c)
{
	u8 packet[FAKE_PACKET];

	memset(packet, (int)c->arg, sizeof(packet));
	return stream_put(c->behind, packet, sizeof(packet));
}

/* ---- what is shared ---- */

struct common {
	int memory;
};

unsigned fake_commons;

static int common_make(struct dev *d, void **ret)
{
	struct common *c = malloc(sizeof(*c));

	c->memory = backing_create(&fake_memory_ops, FAKE_MEMORY, true);
	fake_commons++;
	*ret = c;
	return 0;
}

static void common_free(void *common)
{
	struct common *c = common;

	fd_drop(c->memory);
	free(c);
	fake_commons--;
}

static int memory_mmap_check(int prot, int flags, size_t len, u64 offset)
{
	return prot & PROT_EXEC ? -EPERM : 0;
}

static int memory_file(struct dev *d)
{
	void *common;
	int r = dev_common(d, interfaces[0], &common);

	return r ? r : ((struct common *)common)->memory;
}

/* ---- rows ---- */

static const struct request rows[] = {
	{"FAKE_VERSION", &fake_system_ops, version, FAKE_VERSION, 0, ARG_ZERO},
	{"FAKE_BLOCKED", &fake_system_ops, blocked, FAKE_BLOCKED, 0, ARG_NONE},
	{"FAKE_MAKE_BOX", &fake_system_ops, make_box, FAKE_MAKE_BOX, 0, ARG_VALUE},
	{"FAKE_PAUSE", &fake_other_ops, pause_stream, FAKE_PAUSE, 0, ARG_VALUE},
	{"FAKE_PUT", &fake_other_ops, put, FAKE_PUT, 0, ARG_VALUE},
	{"FAKE_SUM", &fake_box_ops, sum, FAKE_SUM, sizeof(struct fake_sum), ARG_INOUT},
	{"FAKE_MAKE_PART", &fake_box_ops, make_part, FAKE_MAKE_PART, 0, ARG_VALUE},
	{"FAKE_ABANDON_PART", &fake_box_ops, abandon_part, FAKE_ABANDON_PART, 0, ARG_NONE},
	{"FAKE_BLOCKED", &fake_box_ops, blocked, FAKE_BLOCKED, 0, ARG_NONE},
	{"FAKE_WHOSE", &fake_part_ops, whose, FAKE_WHOSE, 0, ARG_ZERO},
	{"FAKE_FETCH", &fake_part_ops, fetch, FAKE_FETCH, 0, ARG_PTR},
};
static const struct request too_rows[] = {
	{"FAKE_TOO_NOTHING", &fake_too_ops, version, FAKE_TOO_NOTHING, 0, ARG_NONE},
};

static long serve(struct call *c, const struct fd_ops *on, u32 number)
{
	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].on == on && rows[i].number == number)
			return request_serve(&rows[i], c);
	return request_unknown(c, on, number);
}

static long system_ioctl(struct call *c, u32 number)
{
	return serve(c, &fake_system_ops, number);
}

static long other_ioctl(struct call *c, u32 number)
{
	return serve(c, &fake_other_ops, number);
}

static long box_ioctl(struct call *c, u32 number)
{
	return serve(c, &fake_box_ops, number);
}

static long part_ioctl(struct call *c, u32 number)
{
	return serve(c, &fake_part_ops, number);
}

/* ---- kinds ---- */

static bool system_takes_no_lock(u32 number)
{
	return number == FAKE_VERSION || number == FAKE_BLOCKED;
}

static int box_mmap_check(int prot, int flags, size_t len, u64 offset)
{
	fake_blocked = blocked(NULL);
	return prot & PROT_EXEC ? -EPERM : offset + len > PAGE_SIZE ? -EINVAL : 0;
}

/* Of what came from another process nothing is behind it. */
static int part_fallocate(const struct object *o, int fd, int mode, s64 offset, s64 len)
{
	const struct fake *part = o->behind;

	fake_blocked = blocked(NULL);
	return o->foreign ? -ESTALE : -part->number;
}

const struct fd_ops fake_system_ops = {
	.name = "uservisor-fake",
	.label = "fake",
	.kind = DEV_SYSTEM,
	.anywhere = true,
	.unknown = -ENOTTY,
	.takes_no_lock = system_takes_no_lock,
	.ioctl = system_ioctl,
};

/* Its name begins with another's. */
const struct fd_ops fake_other_ops = {
	.backing = FD_PACKETS,
	.name = "uservisor-fake-other",
	.label = "other",
	.kind = DEV_OTHER,
	.open = other_open,
	.ioctl = other_ioctl,
	.read_check = other_read_check,
	.unknown = -ENXIO,
	.release = other_release,
};

const struct fd_ops fake_memory_ops = {
	.backing = FD_SHARED,
	.name = "uservisor-fake-memory",
	.label = "memory",
	.kind = DEV_OTHER,
	.anywhere = true,
	.shared_file = memory_file,
	.mmap_check = memory_mmap_check,
	.unknown = -ENXIO,
};

const struct fd_ops fake_box_ops = {
	.name = "uservisor-fake-box",
	.label = "box",
	.link = "anon_inode:fake-box",
	.kind = DEV_VM,
	.unknown = -EINVAL,
	.takes_no_lock = system_takes_no_lock, /* not heeded: something is behind it */
	.ioctl = box_ioctl,
	.mmap_check = box_mmap_check,
	.release = release,
};

const struct fd_ops fake_part_ops = {
	.name = "uservisor-fake-box-part",
	.label = "part",
	.link = "anon_inode:[fake-part]",
	.kind = DEV_VCPU,
	.unknown = -ENOTTY,
	.ioctl = part_ioctl,
	.fallocate = part_fallocate,
	.release = release,
};

const struct fd_ops fake_too_ops = {
	.name = "uservisor-fake-too",
	.label = "too",
	.kind = DEV_SYSTEM,
	.anywhere = true,
	.unknown = -ENOSYS,
};

static const struct fd_ops *const kinds[] = {
	&fake_system_ops, &fake_other_ops, &fake_memory_ops, &fake_box_ops, &fake_part_ops, NULL};
static const struct fd_ops *const too_kinds[] = {&fake_too_ops, NULL};

static const struct device_node nodes[] = {
	{"/dev/fake", &fake_system_ops, 1},
	{"/dev/fake-other", &fake_other_ops, 2},
	{"/dev/fake-memory", &fake_memory_ops, 4, .assigned = true},
	{NULL},
};
static const struct device_node too_nodes[] = {{"/dev/fake-too", &fake_too_ops, 3}, {NULL}};

static const u32 makes[] = {FAKE_MAKE_BOX, 0}, no_makes[] = {0};

static const struct interface fake = {
	.name = "fake",
	.request_type = 'F',
	.nodes = nodes,
	.kinds = kinds,
	.requests = rows,
	.request_count = ARRAY_SIZE(rows),
	.common_make = common_make,
	.common_free = common_free,
	.makes = makes,
};
static const struct interface fake_too = {
	.name = "too",
	.request_type = 'G',
	.nodes = too_nodes,
	.kinds = too_kinds,
	.requests = too_rows,
	.request_count = 1,
	.makes = no_makes,
};

const struct interface *const interfaces[] = {&fake, &fake_too, NULL};
