/* SPDX-License-Identifier: MIT */
/* See elffile.h. */
#include <errno.h>
#include <string.h>

#include "base/sys.h"
#include "shim/elffile.h"

int elf_read(int fd, struct elf_headers *h)
{
	size_t bytes;

	if (sys_pread(fd, &h->e, sizeof(h->e), 0) != sizeof(h->e))
		return -ENOEXEC;
	if (memcmp(h->e.e_ident, ELFMAG, SELFMAG) || h->e.e_ident[EI_CLASS] != ELFCLASS64 ||
		h->e.e_machine != EM_X86_64)
		return -ENOEXEC;
	if (h->e.e_type != ET_EXEC && h->e.e_type != ET_DYN)
		return -ENOEXEC;
	if (h->e.e_phentsize != sizeof(Elf64_Phdr) || !h->e.e_phnum || h->e.e_phnum > ELF_PHDRS_MAX)
		return -ENOEXEC;
	bytes = h->e.e_phnum * sizeof(Elf64_Phdr);
	if (sys_pread(fd, h->p, bytes, (off_t)h->e.e_phoff) != (ssize_t)bytes)
		return -ENOEXEC;
	return 0;
}

const Elf64_Phdr *elf_find(const struct elf_headers *h, u32 type)
{
	for (unsigned i = 0; i < h->e.e_phnum; i++)
		if (h->p[i].p_type == type)
			return &h->p[i];
	return NULL;
}

/* A library by its own name: among what can be executed that is the dynamic linker, which honours LD_PRELOAD. */
static bool has_soname(int fd, const struct elf_headers *h)
{
	const Elf64_Phdr *dynamic = elf_find(h, PT_DYNAMIC);
	Elf64_Dyn d[64];
	ssize_t n;

	if (!dynamic)
		return false;
	n = sys_pread(fd, d, MIN(sizeof(d), dynamic->p_filesz), (off_t)dynamic->p_offset);
	for (ssize_t i = 0; i < n / (ssize_t)sizeof(d[0]); i++)
		if (d[i].d_tag == DT_SONAME)
			return true;
	return false;
}

enum image_kind image_kind(int fd)
{
	struct elf_headers h;
	char magic[2];

	if (sys_pread(fd, magic, 2, 0) == 2 && magic[0] == '#' && magic[1] == '!')
		return IMAGE_SCRIPT;
	if (elf_read(fd, &h))
		return IMAGE_FOREIGN;
	return elf_find(&h, PT_INTERP) || has_soname(fd, &h) ? IMAGE_DYNAMIC : IMAGE_STATIC;
}
