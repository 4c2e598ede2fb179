/* SPDX-License-Identifier: MIT */
/* inspect dump: all memory and registers of the guest, which is paused meanwhile. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/inspect/inspect.h"

#define CHUNK              (256 * PAGE_SIZE)
#define MSR_KERNEL_GS_BASE 0xc0000102

struct dump {
	FILE *f;
	struct ram_part *regions;
	unsigned n;
	struct core_vcpu *vcpus;
	unsigned n_vcpus;
	u64 bytes;
	u8 data[CHUNK];
};

static int take_vcpu(struct inspect *in, unsigned vcpu, void *arg)
{
	struct kvm_msr_entry gs = {.index = MSR_KERNEL_GS_BASE};
	struct dump *d = arg;
	struct core_vcpu *v = &d->vcpus[d->n_vcpus];
	int r = uvmi_get_registers(in->s, vcpu, &v->registers, &gs, 1);

	if (r == -EINVAL) /* it has no such MSR */
		r = uvmi_get_registers(in->s, vcpu, &v->registers, NULL, 0);
	if (r)
		return r;
	v->index = vcpu;
	v->kernel_gs_base = gs.data;
	d->n_vcpus++;
	return 0;
}

/* Zeros become holes of the file. */
static bool is_zero(const u8 *page)
{
	return !*page && !memcmp(page, page + 1, PAGE_SIZE - 1);
}

static int put_pages(struct dump *d, u64 offset, size_t n)
{
	for (size_t i = 0; i < n; i += PAGE_SIZE) {
		if (is_zero(d->data + i))
			continue;
		if (fseeko(d->f, (off_t)(offset + i), SEEK_SET) ||
			fwrite(d->data + i, 1, PAGE_SIZE, d->f) != PAGE_SIZE)
			return -EIO;
	}
	return 0;
}

/* A page that has gone since it was found is zero. */
static int put_region(struct inspect *in, struct dump *d, const struct ram_part *region, u64 offset)
{
	u8 present[CHUNK / PAGE_SIZE];
	int r = 0;

	for (u64 done = 0, n; done < region->size && !r; done += n) {
		n = MIN(region->size - done, CHUNK);
		r = uvmi_read_present(in->s, region->gpa + done, d->data, n, present);
		if (!r)
			r = put_pages(d, offset + done, n);
		if (!r && inspect_ended(in))
			r = -EINTR;
		d->bytes += n;
	}
	return r;
}

/* In a core one region stands behind the other, in a raw file each at its own address. */
static int put_memory(struct inspect *in, struct dump *d, u64 offset)
{
	u64 end = offset;
	int r = 0;

	for (unsigned i = 0; i < d->n && !r; i++) {
		r = put_region(in, d, &d->regions[i], in->raw ? d->regions[i].gpa : end);
		end = in->raw ? d->regions[i].gpa + d->regions[i].size : end + d->regions[i].size;
	}
	if (!r && (fflush(d->f) || ftruncate(fileno(d->f), (off_t)end)))
		r = -EIO;
	return r;
}

static int put_dump(struct inspect *in, struct dump *d)
{
	u64 offset = 0;
	int r = inspect_regions(in, &d->regions, &d->n);

	if (!r && !d->n)
		r = -ENOENT;
	if (!r && !in->raw) {
		r = inspect_each(in, take_vcpu, d);
		if (!r)
			r = core_write_headers(
				d->f, d->regions, d->n, d->vcpus, d->n_vcpus, &offset);
	}
	return r ? r : put_memory(in, d, offset);
}

static int paused_dump(struct inspect *in, struct dump *d)
{
	int r = uvmi_pause(in->s);

	if (r)
		return r;
	r = put_dump(in, d);
	uvmi_resume(in->s);
	return r;
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
	else
		inspect_failed(in, "the guest cannot be dumped", error);
	return 1;
}

static int dump_to(struct inspect *in, struct dump *d)
{
	int r = d->vcpus ? paused_dump(in, d) : -ENOMEM;

	if (fclose(d->f) && !r)
		r = -EIO;
	if (r)
		return dump_failed(in, r);
	record_begin(in, "dump");
	record_text(in, "file", in->args[0]);
	record_text(in, "format", in->raw ? "raw" : "elf");
	record_number(in, "regions", d->n);
	record_number(in, "vcpus", d->n_vcpus);
	record_number(in, "bytes", d->bytes);
	record_end(in);
	return 0;
}

int inspect_dump(struct inspect *in)
{
	struct dump *d = calloc(1, sizeof(*d));
	int status;

	if (!d)
		return inspect_failed(in, "the guest cannot be dumped", -ENOMEM);
	in->vcpu = ALL_VCPUS;
	d->vcpus = calloc(in->vcpus + 1, sizeof(*d->vcpus));
	d->f = fopen(in->args[0], "we");
	if (d->f)
		status = dump_to(in, d);
	else
		status = inspect_usage("%s cannot be written: %s", in->args[0], strerror(errno));
	free(d->vcpus);
	free(d->regions);
	free(d);
	return status;
}
