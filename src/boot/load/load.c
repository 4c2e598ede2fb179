/* SPDX-License-Identifier: MIT */
/* Loading: read the files, find places in memory, hand over to the writer of the start information. */
#include <stdlib.h>
#include <string.h>

#include "boot/load/acpi.h"
#include "boot/load/bzimage.h"
#include "boot/load/file.h"
#include "boot/load/load.h"
#include "boot/load/pvh.h"
#include "boot/load/startinfo.h"

#define KERNEL_FILE_MAX (1ull << 30)

struct loader {
	const struct load_request *request;
	struct ram *ram;
	struct failure *failure;
	struct file kernel_file;
	u8 *kernel; /* the whole file */
	u64 kernel_end;
	u64 initrd_max;
	struct start_info info;
};

static u64 mib(u64 bytes)
{
	return (bytes + (1 << 20) - 1) >> 20;
}

static int kernel_wrong(struct loader *l, const char *what)
{
	return failure_set(l->failure, "--kernel '%s' %s", l->request->kernel, what);
}

static int needs_memory(struct loader *l, const char *what, u64 bytes)
{
	return failure_set(l->failure,
		"%s needs at least %lluM of memory: give --memory %lluM or more", what,
		(unsigned long long)mib(bytes), (unsigned long long)mib(bytes));
}

/* Where a bzImage goes: where it wants to be, or anywhere aligned if it may move. */
static int place_bzimage(struct loader *l, const struct bzimage *image, u64 *gpa)
{
	const u64 want = image->load_address;

	*gpa = want;
	if (ram_high(l->ram, want, image->init_size))
		return 0;
	if (image->relocatable) {
		*gpa = ALIGN_UP(GPA_HIGH, image->alignment);
		if (ram_high(l->ram, *gpa, image->init_size))
			return 0;
	}
	return needs_memory(l, "this kernel", MIN(want, *gpa) + image->init_size);
}

static int load_bzimage(struct loader *l, struct start_state *start)
{
	struct bzimage image;
	const char *wrong = bzimage_parse(l->kernel, l->kernel_file.size, &image);
	u64 gpa;

	if (wrong)
		return kernel_wrong(l, wrong);
	if (strlen(l->request->cmdline) > image.cmdline_max)
		return failure_set(l->failure,
			"the command line is longer than the %llu characters that this kernel "
			"accepts: shorten --append",
			(unsigned long long)image.cmdline_max);
	if (place_bzimage(l, &image, &gpa) < 0)
		return -1;
	memcpy(l->ram->base + gpa, l->kernel + image.code_offset, image.code_size);
	l->kernel_end = gpa + image.init_size;
	l->initrd_max = image.initrd_max;
	l->info.header = image.header;
	l->info.header_len = image.header_len;
	*start = (struct start_state){START_LINUX64, gpa + BZIMAGE_ENTRY_64, GPA_ZERO_PAGE};
	return 0;
}

static int load_pvh(struct loader *l, struct start_state *start)
{
	struct pvh_kernel image;
	const char *wrong = pvh_parse(l->kernel, l->kernel_file.size, &image);

	if (wrong)
		return kernel_wrong(l, wrong);
	for (unsigned i = 0; i < image.nr_segments; i++) {
		const struct pvh_segment *s = &image.segments[i];
		u8 *to = ram_high(l->ram, s->gpa, s->size);

		if (!to && s->gpa < GPA_HIGH)
			return kernel_wrong(l, "must be loaded below 1 MiB, which is not possible: "
					       "give a Linux vmlinux");
		if (!to && s->gpa + s->size > GPA_HOLE)
			return kernel_wrong(l, "must be loaded above 3.5 GiB, which is not "
					       "possible: give a Linux vmlinux");
		if (!to)
			return needs_memory(l, "this kernel", image.end);
		memcpy(to, l->kernel + s->offset, s->file_size);
	}
	l->kernel_end = image.end;
	l->initrd_max = GPA_HOLE - 1;
	*start = (struct start_state){START_PVH, image.entry, GPA_PVH_INFO};
	return 0;
}

static int load_kernel(struct loader *l, struct start_state *start)
{
	const size_t size = l->kernel_file.size;

	if (size > KERNEL_FILE_MAX)
		return kernel_wrong(l, "is larger than 1G: give a bzImage or vmlinux");
	l->kernel = malloc(size);
	if (!l->kernel)
		return failure_set(
			l->failure, "there is no memory left on this machine: end other programs");
	if (file_read(&l->kernel_file, l->kernel, l->failure) < 0)
		return -1;
	if (pvh_recognised(l->kernel, size))
		return load_pvh(l, start);
	if (bzimage_recognised(l->kernel, size))
		return load_bzimage(l, start);
	return kernel_wrong(
		l, size < 0x1000 ? "is too short to be a kernel: copy the whole file"
				 : "is neither a bzImage nor an ELF vmlinux: give one of these");
}

/* As high as the kernel allows: it moves and unpacks itself from the low end. */
static int load_initrd(struct loader *l)
{
	const u64 top = MIN(ram_low_end(l->ram), l->initrd_max + 1);
	struct file file;
	u64 gpa;
	int r;

	if (!l->request->initrd)
		return 0;
	if (file_open(&file, "--initrd", l->request->initrd, l->failure) < 0)
		return -1;
	gpa = file.size < top ? ALIGN_DOWN(top - file.size, PAGE_SIZE) : 0;
	if (gpa < ALIGN_UP(l->kernel_end, PAGE_SIZE)) {
		r = failure_set(l->failure,
			"--initrd '%s' (%lluM) does not fit beside the kernel: give --memory %lluM "
			"or more, or a smaller initrd",
			l->request->initrd, (unsigned long long)mib(file.size),
			(unsigned long long)mib(l->kernel_end + file.size + PAGE_SIZE));
	} else {
		r = file_read(&file, l->ram->base + gpa, l->failure);
		l->info.initrd = gpa;
		l->info.initrd_size = file.size;
	}
	file_close(&file);
	return r;
}

static int load_all(struct loader *l, struct start_state *start)
{
	const size_t cmdline = strlen(l->request->cmdline) + 1;

	if (cmdline > CMDLINE_MAX)
		return failure_set(l->failure, "the command line is too long: shorten --append");
	if (load_kernel(l, start) < 0 || load_initrd(l) < 0)
		return -1;
	memcpy(l->ram->base + GPA_CMDLINE, l->request->cmdline, cmdline);
	if (!acpi_build(
		    l->ram->base + GPA_ACPI, GPA_ACPI_END - GPA_ACPI, GPA_ACPI, l->request->cpus))
		return failure_set(l->failure, "too many processors: give fewer --cpus");
	if (start->mode == START_LINUX64)
		startinfo_linux64(l->ram, &l->info);
	else
		startinfo_pvh(l->ram, &l->info);
	return 0;
}

int load_guest(const struct load_request *request, struct ram *ram, struct start_state *start,
	struct failure *f)
{
	struct loader l = {.request = request, .ram = ram, .failure = f};
	int r;

	if (file_open(&l.kernel_file, "--kernel", request->kernel, f) < 0)
		return -1;
	r = load_all(&l, start);
	free(l.kernel);
	file_close(&l.kernel_file);
	return r;
}
