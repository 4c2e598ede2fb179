/* SPDX-License-Identifier: MIT */
/* inspect dump: all memory and registers of the guest at one moment, and the file that they are written to. */
#include "cli/inspect/dump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

#define MSR_KERNEL_GS_BASE 0xc0000102

u64 dump_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (u64)t.tv_sec * 1000000000 + (u64)t.tv_nsec;
}

/* ---- the beginning ---- */

static int take_vcpu(struct inspect *in, unsigned vcpu, void *arg)
{
	struct kvm_msr_entry gs = {.index = MSR_KERNEL_GS_BASE};
	struct core *core = arg;
	struct core_vcpu *v = &core->vcpus[core->n_vcpus];
	int r = uvmi_get_registers(in->s, vcpu, &v->registers, &gs, 1);

	if (r == -EINVAL) /* it has no such MSR */
		r = uvmi_get_registers(in->s, vcpu, &v->registers, NULL, 0);
	if (r)
		return r;
	v->index = vcpu;
	v->kernel_gs_base = gs.data;
	core->n_vcpus++;
	return 0;
}

static int take_vcpus(struct dump *d)
{
	d->core.vcpus = calloc(d->in->vcpus + 1ull, sizeof(*d->core.vcpus));
	return d->core.vcpus ? inspect_each(d->in, take_vcpu, &d->core) : -ENOMEM;
}

/* In a core one region stands behind the other, in a raw file each at its own address. */
static int place(struct dump *d)
{
	u64 pieces = 0;
	int r = 0;

	for (unsigned i = 0; i < d->core.n; i++) {
		struct ram_part *region = &d->core.regions[i];

		region->offset = region->gpa;
		region->piece = pieces;
		pieces += (region->size + PIECE - 1) / PIECE;
	}
	if (!d->in->raw)
		r = core_place(&d->core);
	d->taken = calloc(pieces, 1);
	return r || d->taken ? r : -ENOMEM;
}

int dump_begin(struct dump *d)
{
	int r = d->in->raw ? 0 : take_vcpus(d);

	return r ? r : place(d);
}

/* ---- RAM ---- */

/* Zeros become holes of the file. */
static bool is_zero(const u8 *page)
{
	return !*page && !memcmp(page, page + 1, PAGE_SIZE - 1);
}

static int put_bytes(struct dump *d, u64 offset, const u8 *data, size_t n)
{
	while (n) {
		const ssize_t done = pwrite(fileno(d->f), data, n, (off_t)offset);

		if (done < 0 && errno != EINTR)
			return -EIO;
		if (done > 0) {
			data += done;
			offset += (u64)done;
			n -= (size_t)done;
		}
	}
	return 0;
}

static int put_pages(struct dump *d, u64 offset, size_t n)
{
	int r = 0;

	for (size_t i = 0, end; i < n && !r; i = end + PAGE_SIZE) {
		for (end = i; end < n && !is_zero(d->data + end); end += PAGE_SIZE)
			core_look_for_note(&d->core, d->data + end);
		r = put_bytes(d, offset + i, d->data + i, end - i);
	}
	return r;
}

static int read_piece(struct dump *d, u64 gpa, size_t n)
{
	u8 present[PIECE / PAGE_SIZE];

	if (d->ram && !uvmi_read_ram(d->ram, gpa, d->data, n))
		return 0;
	return uvmi_read_present(d->in->s, gpa, d->data, n, present);
}

bool dump_has_taken(const struct dump *d, const struct ram_part *region, u64 at)
{
	return d->taken[region->piece + at / PIECE];
}

int dump_take(struct dump *d, const struct ram_part *region, u64 at)
{
	const u64 n = MIN(region->size - at, PIECE);
	int r;

	if (dump_has_taken(d, region, at))
		return 0;
	r = read_piece(d, region->gpa + at, n);
	if (!r)
		r = put_pages(d, region->offset + at, n);
	if (r)
		return r;
	d->taken[region->piece + at / PIECE] = true;
	d->bytes += n;
	return 0;
}

/* ---- the guest stands ---- */

static int take_all(struct dump *d)
{
	int r = dump_begin(d);

	for (unsigned i = 0; i < d->core.n && !r; i++)
		for (u64 at = 0; at < d->core.regions[i].size && !r; at += PIECE)
			r = inspect_ended(d->in) ? -EINTR : dump_take(d, &d->core.regions[i], at);
	return r;
}

int dump_while_paused(struct dump *d, int (*what)(struct dump *d))
{
	const u64 begin = dump_now();
	int r = uvmi_pause(d->in->s), resumed;

	if (r)
		return r;
	r = what(d);
	resumed = uvmi_resume(d->in->s);
	d->paused_ns = dump_now() - begin;
	return r ? r : resumed;
}

/* ---- the file ---- */

static int put_headers(struct dump *d)
{
	const struct ram_part *last = &d->core.regions[d->core.n - 1];
	int r = d->in->raw ? 0 : core_write_headers(d->f, &d->core);

	if (!r && (fflush(d->f) || ftruncate(fileno(d->f), (off_t)(last->offset + last->size))))
		r = -EIO;
	return r;
}

/* If the VM can hand over RAM, and has something in files. */
static void map_ram(struct dump *d)
{
	bool any = false;

	if (uvmi_map_ram(d->in->s, &d->ram))
		return;
	for (unsigned i = 0; i < d->ram->n; i++)
		any |= d->ram->regions[i].at != NULL;
	if (any)
		return;
	uvmi_unmap_ram(d->ram);
	d->ram = NULL;
}

static int put_dump(struct dump *d)
{
	int r = inspect_regions(d->in, &d->core.regions, &d->core.n);

	if (!r && !d->core.n)
		r = -ENOENT;
	if (r)
		return r;
	map_ram(d);
	r = d->in->pause ? dump_while_paused(d, take_all) : dump_live(d);
	return r ? r : put_headers(d);
}

/* Half a dump would be taken for a whole one. A device or a pipe is not ours to remove. */
static void remove_half(const char *path)
{
	struct stat st;

	if (!lstat(path, &st) && S_ISREG(st.st_mode))
		unlink(path);
}

static int dump_failed(struct inspect *in, int error)
{
	const int why = errno;

	remove_half(in->args[0]);
	if (error == -ENOENT)
		cli_say("inspect", "no RAM was found: nothing is written");
	else if (error == -EINTR)
		cli_say("inspect", "a signal has ended the dump: nothing is left of it");
	else if (error == -EIO)
		cli_say("inspect", "%s cannot be written (%s): nothing is left of it", in->args[0],
			strerror(why));
	else if (!in->pause && (error == -EPERM || error == -EACCES))
		cli_say("inspect",
			"the guest cannot be dumped while it runs, because the VM does not permit "
			"this tool to see writes: give --pause, or allow the events pf and "
			"create-vcpu where the VM is started");
	else
		inspect_failed(in, "the guest cannot be dumped", error);
	return 1;
}

static int dump_to(struct inspect *in, struct dump *d)
{
	int r = put_dump(d);

	if (fclose(d->f) && !r)
		r = -EIO;
	if (r)
		return dump_failed(in, r);
	record_begin(in, "dump");
	record_text(in, "file", in->args[0]);
	record_text(in, "format", in->raw ? "raw" : "elf");
	record_number(in, "regions", d->core.n);
	record_number(in, "vcpus", d->core.n_vcpus);
	record_number(in, "bytes", d->bytes);
	record_text(in, "mapped", d->ram ? "yes" : "no");
	record_number(in, "paused_us", d->paused_ns / 1000);
	record_number(in, "saved", d->saved);
	record_end(in);
	return 0;
}

static void dump_free(struct dump *d)
{
	uvmi_unmap_ram(d->ram);
	free(d->core.vcpus);
	free(d->core.regions);
	free(d->taken);
	free(d);
}

int inspect_dump(struct inspect *in)
{
	struct dump *d = calloc(1, sizeof(*d));
	int status;

	if (!d)
		return inspect_failed(in, "the guest cannot be dumped", -ENOMEM);
	d->in = in;
	in->vcpu = ALL_VCPUS;
	d->f = fopen(in->args[0], "we");
	if (d->f)
		status = dump_to(in, d);
	else
		status = inspect_usage("%s cannot be written: %s", in->args[0], strerror(errno));
	dump_free(d);
	return status;
}
