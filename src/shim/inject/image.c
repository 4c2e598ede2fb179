/* SPDX-License-Identifier: MIT */
/* Loads an ELF program as the kernel would (System V gABI chapter 5; elf(5)). */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/inject/image.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

struct span {
	u64 low, high, align;
};

static int span_of(const struct elf_headers *h, struct span *s)
{
	*s = (struct span){.low = ~0ull, .align = PAGE_SIZE};
	for (unsigned i = 0; i < h->e.e_phnum; i++) {
		const Elf64_Phdr *p = &h->p[i];

		if (p->p_type != PT_LOAD || !p->p_memsz)
			continue;
		if (p->p_memsz < p->p_filesz || p->p_vaddr + p->p_memsz < p->p_vaddr ||
			(p->p_vaddr + p->p_memsz) >> 47 ||
			((p->p_vaddr ^ p->p_offset) & ~PAGE_MASK))
			return -ENOEXEC;
		s->low = MIN(s->low, p->p_vaddr & PAGE_MASK);
		s->high = MAX(s->high, ALIGN_UP(p->p_vaddr + p->p_memsz, PAGE_SIZE));
		if (!(p->p_align & (p->p_align - 1)))
			s->align = MAX(s->align, p->p_align);
	}
	return s->low < s->high ? 0 : -ENOEXEC;
}

/* Room for the whole program; *ret_base is what its addresses are moved by. */
static int reserve(const struct elf_headers *h, const struct span *s, u64 *ret_base)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	size_t size = s->high - s->low, slack = s->align > PAGE_SIZE ? s->align : 0;
	u8 *at;

	*ret_base = 0;
	if (h->e.e_type == ET_EXEC) {
		at = mmap((void *)s->low, size, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
		if (at == MAP_FAILED)
			return -errno;
		if ((u64)at == s->low)
			return 0;
		munmap(at, size); /* a kernel that does not know the flag */
		return -EEXIST;
	}
	at = mmap(NULL, size + slack, PROT_NONE, flags, -1, 0);
	if (at == MAP_FAILED)
		return -errno;
	*ret_base = ALIGN_UP((u64)at, s->align) - ALIGN_DOWN(s->low, s->align);
	return 0;
}

static int protection(const Elf64_Phdr *p)
{
	return (p->p_flags & PF_R ? PROT_READ : 0) | (p->p_flags & PF_W ? PROT_WRITE : 0) |
	       (p->p_flags & PF_X ? PROT_EXEC : 0);
}

static int map_segment(int fd, const Elf64_Phdr *p, u64 base)
{
	u64 start = base + (p->p_vaddr & PAGE_MASK), file_end = base + p->p_vaddr + p->p_filesz;
	u64 zero_from = ALIGN_UP(file_end, PAGE_SIZE);
	u64 end = ALIGN_UP(base + p->p_vaddr + p->p_memsz, PAGE_SIZE);
	int prot = protection(p), fixed = MAP_PRIVATE | MAP_FIXED;

	if (!p->p_filesz)
		zero_from = start;
	else if (mmap((void *)start, file_end - start, prot, fixed, fd,
			 (off_t)(p->p_offset & PAGE_MASK)) == MAP_FAILED)
		return -errno;
	if (p->p_memsz > p->p_filesz && (prot & PROT_WRITE) && zero_from > file_end)
		memset((void *)file_end, 0, zero_from - file_end);
	if (end > zero_from && mmap((void *)zero_from, end - zero_from, prot, fixed | MAP_ANONYMOUS,
				       -1, 0) == MAP_FAILED)
		return -errno;
	return 0;
}

static void note(unsigned *count, u64 (*list)[2], u64 start, u64 bytes)
{
	if (*count == IMAGE_TEXTS_MAX)
		return;
	list[*count][0] = start;
	list[(*count)++][1] = start + bytes;
}

static void note_text(const Elf64_Phdr *p, struct image *ret)
{
	u32 flags = p->p_flags & (PF_R | PF_W | PF_X);

	if (flags == (PF_R | PF_X))
		note(&ret->texts, ret->text, ret->base + p->p_vaddr, p->p_filesz);
	if (flags == (PF_R | PF_X) || flags == PF_R)
		note(&ret->reads, ret->read, ret->base + p->p_vaddr, p->p_filesz);
}

static int interpreter_read(int fd, const struct elf_headers *h, struct image *ret)
{
	const Elf64_Phdr *p = elf_find(h, PT_INTERP);

	ret->interpreter[0] = 0;
	if (!p)
		return 0;
	if (p->p_filesz < 2 || p->p_filesz > sizeof(ret->interpreter))
		return -ENOEXEC;
	if (pread(fd, ret->interpreter, p->p_filesz, (off_t)p->p_offset) != (ssize_t)p->p_filesz ||
		ret->interpreter[p->p_filesz - 1])
		return -ENOEXEC;
	return 0;
}

/* Where the program headers are in memory: PT_PHDR, or the segment that holds them. */
static u64 phdrs_address(const struct elf_headers *h, u64 base)
{
	const Elf64_Phdr *own = elf_find(h, PT_PHDR);

	if (own)
		return base + own->p_vaddr;
	for (unsigned i = 0; i < h->e.e_phnum; i++) {
		const Elf64_Phdr *p = &h->p[i];

		if (p->p_type == PT_LOAD && h->e.e_phoff >= p->p_offset &&
			h->e.e_phoff < p->p_offset + p->p_filesz)
			return base + p->p_vaddr + (h->e.e_phoff - p->p_offset);
	}
	return 0;
}

int image_load(int fd, struct image *ret)
{
	struct elf_headers h;
	const Elf64_Phdr *stack;
	struct span s;
	int r = elf_read(fd, &h);

	r = r ? r : interpreter_read(fd, &h, ret);
	r = r ? r : span_of(&h, &s);
	r = r ? r : reserve(&h, &s, &ret->base);
	ret->texts = ret->reads = 0;
	for (unsigned i = 0; !r && i < h.e.e_phnum; i++)
		if (h.p[i].p_type == PT_LOAD && h.p[i].p_memsz) {
			r = map_segment(fd, &h.p[i], ret->base);
			note_text(&h.p[i], ret);
		}
	if (r)
		return r;
	stack = elf_find(&h, PT_GNU_STACK);
	ret->exec_stack = stack && (stack->p_flags & PF_X);
	ret->entry = ret->base + h.e.e_entry;
	ret->phdrs = phdrs_address(&h, ret->base);
	ret->phdr_count = h.e.e_phnum;
	ret->phdr_size = h.e.e_phentsize;
	return 0;
}
