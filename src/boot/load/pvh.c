/* SPDX-License-Identifier: MIT */
/* System V ABI, chapters 4 and 5; PVH: Xen's docs/misc/pvh.pandoc. */
#include <elf.h>
#include <string.h>

#include "boot/load/pvh.h"

#define XEN_ELFNOTE_PHYS32_ENTRY 18

bool pvh_recognised(const u8 *file, size_t size)
{
	return size >= SELFMAG && !memcmp(file, ELFMAG, SELFMAG);
}

static bool inside(u64 offset, u64 len, u64 size)
{
	return offset <= size && len <= size - offset;
}

static const char *add_segment(const Elf64_Phdr *ph, size_t size, struct pvh_kernel *out)
{
	if (!ph->p_memsz)
		return NULL;
	if (!inside(ph->p_offset, ph->p_filesz, size))
		return "is truncated: copy the whole file";
	if (ph->p_filesz > ph->p_memsz || ph->p_paddr + ph->p_memsz < ph->p_paddr)
		return "has a damaged program header: copy it again";
	if (out->nr_segments == PVH_SEGMENTS_MAX)
		return "has too many segments for a kernel: give a Linux vmlinux";
	out->segments[out->nr_segments++] = (struct pvh_segment){
		.offset = ph->p_offset,
		.file_size = ph->p_filesz,
		.gpa = ph->p_paddr,
		.size = ph->p_memsz,
	};
	out->end = MAX(out->end, ph->p_paddr + ph->p_memsz);
	return NULL;
}

/* The entry's address is the note's descriptor, four or eight bytes. */
static void read_note(
	const Elf64_Nhdr *note, const u8 *name, const u8 *desc, struct pvh_kernel *out)
{
	if (note->n_type != XEN_ELFNOTE_PHYS32_ENTRY || note->n_namesz != 4 ||
		memcmp(name, "Xen", 4))
		return;
	if (note->n_descsz == 4 || note->n_descsz == 8)
		memcpy(&out->entry, desc, 4);
}

static void read_notes(const u8 *notes, u64 size, struct pvh_kernel *out)
{
	u64 at = 0;

	while (inside(at, sizeof(Elf64_Nhdr), size)) {
		Elf64_Nhdr note;
		u64 name, desc;

		memcpy(&note, notes + at, sizeof(note));
		name = at + sizeof(note);
		desc = name + ALIGN_UP((u64)note.n_namesz, 4);
		at = desc + ALIGN_UP((u64)note.n_descsz, 4);
		if (!inside(name, note.n_namesz, size) || !inside(desc, note.n_descsz, size))
			return;
		read_note(&note, notes + name, notes + desc, out);
	}
}

static const char *check_header(const u8 *file, size_t size, Elf64_Ehdr *eh)
{
	if (!pvh_recognised(file, size))
		return "is not an ELF file: give a Linux vmlinux";
	if (size < sizeof(*eh))
		return "is truncated: copy the whole file";
	memcpy(eh, file, sizeof(*eh));
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_machine != EM_X86_64)
		return "is not an x86-64 ELF file: give an x86-64 kernel";
	if (eh->e_phentsize != sizeof(Elf64_Phdr) || !eh->e_phnum)
		return "has no program headers: give a vmlinux, not an object file";
	if (!inside(eh->e_phoff, (u64)eh->e_phnum * sizeof(Elf64_Phdr), size))
		return "is truncated: copy the whole file";
	return NULL;
}

static const char *read_segment(
	const u8 *file, size_t size, const Elf64_Phdr *ph, struct pvh_kernel *out)
{
	if (ph->p_type == PT_LOAD)
		return add_segment(ph, size, out);
	if (ph->p_type == PT_NOTE && inside(ph->p_offset, ph->p_filesz, size))
		read_notes(file + ph->p_offset, ph->p_filesz, out);
	return NULL;
}

const char *pvh_parse(const u8 *file, size_t size, struct pvh_kernel *out)
{
	Elf64_Ehdr eh;
	const char *wrong = check_header(file, size, &eh);

	memset(out, 0, sizeof(*out));
	for (unsigned i = 0; !wrong && i < eh.e_phnum; i++) {
		Elf64_Phdr ph;

		memcpy(&ph, file + eh.e_phoff + i * sizeof(ph), sizeof(ph));
		wrong = read_segment(file, size, &ph, out);
	}
	if (!wrong && !out->entry)
		wrong = "has no PVH entry (CONFIG_PVH=y): give its bzImage instead";
	if (!wrong && !out->nr_segments)
		wrong = "has no segment to load: give a Linux vmlinux";
	return wrong;
}
