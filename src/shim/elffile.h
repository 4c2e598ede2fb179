/* SPDX-License-Identifier: MIT */
/* What a file is that somebody wants to execute, by its ELF headers (System V gABI chapter 5; elf(5)). */
#ifndef SHIM_ELFFILE_H
#define SHIM_ELFFILE_H

#include <elf.h>

#include "base/types.h"

#define ELF_PHDRS_MAX 128

enum image_kind {
	IMAGE_FOREIGN, /* the kernel's business: 32-bit, another machine, no program at all */
	IMAGE_STATIC,  /* x86-64, no interpreter */
	IMAGE_DYNAMIC, /* it takes libraries; an interpreter that is executed by itself does, too */
	IMAGE_SCRIPT,  /* starts with #! */
};

struct elf_headers {
	Elf64_Ehdr e;
	Elf64_Phdr p[ELF_PHDRS_MAX];
};

/* 0, or -ENOEXEC: no program for x86-64. */
int elf_read(int fd, struct elf_headers *h);
/* The first program header of this type, or NULL. */
const Elf64_Phdr *elf_find(const struct elf_headers *h, u32 type);
/* The address and size of a section, if the file still has the table of them. */
bool elf_find_section(int fd, const char *name, u64 *ret_address, u64 *ret_size);
/* Looks at the beginning of the file. */
enum image_kind image_kind(int fd);

#endif
