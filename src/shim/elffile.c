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

static bool read_at(int fd, void *to, size_t n, u64 offset)
{
	return sys_pread(fd, to, n, (off_t)offset) == (ssize_t)n;
}

bool elf_find_section(int fd, const char *name, u64 *ret_address, u64 *ret_size)
{
	Elf64_Ehdr e;
	Elf64_Shdr names, s;
	char text[32];

	if (!read_at(fd, &e, sizeof(e), 0) || e.e_shentsize != sizeof(s) ||
		!read_at(fd, &names, sizeof(names), e.e_shoff + e.e_shstrndx * sizeof(s)))
		return false;
	for (unsigned i = 0; i < e.e_shnum; i++) {
		ssize_t n;

		if (!read_at(fd, &s, sizeof(s), e.e_shoff + i * sizeof(s)))
			return false;
		n = sys_pread(fd, text, sizeof(text) - 1, (off_t)(names.sh_offset + s.sh_name));
		text[n < 0 ? 0 : n] = 0;
		if (strcmp(text, name) || !(s.sh_flags & SHF_ALLOC))
			continue;
		*ret_address = s.sh_addr;
		*ret_size = s.sh_size;
		return true;
	}
	return false;
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
