/* SPDX-License-Identifier: MIT */
/*
 * The headers of an ELF core file of a whole machine (System V ABI, "Object Files"): a note with the registers of each
 * vCPU and a segment for each region of RAM, by physical address. What reads memory images of machines reads this. The
 * notes named QEMU have what that program puts there, too: control registers, by which crash finds page tables.
 */
#include <elf.h>
#include <errno.h>
#include <string.h>

#include "cli/inspect/inspect.h"

#define NAME_SIZE 8 /* "CORE" and "QEMU", padded to 4 bytes each with their end */

struct core_note {
	Elf64_Nhdr header;
	char name[NAME_SIZE];
};

/* struct elf_prstatus of Linux; <sys/procfs.h> has it, but with other names that are ours. */
struct prstatus {
	s32 signo, code, error;
	s16 cursig, padding;
	u64 sigpend, sighold;
	s32 pid, ppid, pgrp, sid;
	u64 times[8];
	u64 regs[27];
	s32 fpvalid, padding2;
};
_Static_assert(sizeof(struct prstatus) == 336, "as its readers have it");

struct qemu_segment {
	u32 selector, limit, flags, padding;
	u64 base;
};

/* Its version 1 */
struct qemu_state {
	u32 version, size;
	u64 rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp;
	u64 r8, r9, r10, r11, r12, r13, r14, r15;
	u64 rip, rflags;
	struct qemu_segment cs, ds, es, fs, gs, ss, ldt, tr, gdt, idt;
	u64 cr[5];
	u64 kernel_gs_base;
};
_Static_assert(sizeof(struct qemu_state) == 440, "as its readers have it");

#define VCPU_SIZE                                                                                  \
	(2 * sizeof(struct core_note) + sizeof(struct prstatus) + sizeof(struct qemu_state))

static struct core_note note_of(const char *name, u32 type, size_t size)
{
	struct core_note note = {
		.header = {
			.n_namesz = (u32)strlen(name) + 1, .n_descsz = (u32)size, .n_type = type}};

	memcpy(note.name, name, strlen(name));
	return note;
}

/* The order of struct user_regs_struct, which is what NT_PRSTATUS of x86-64 has. */
static void fill_status(const struct core_vcpu *v, struct prstatus *status)
{
	const struct kvm_regs *r = &v->registers.regs;
	const struct kvm_sregs *s = &v->registers.sregs;
	const u64 regs[] = {r->r15, r->r14, r->r13, r->r12, r->rbp, r->rbx, r->r11, r->r10, r->r9,
		r->r8, r->rax, r->rcx, r->rdx, r->rsi, r->rdi, ~0ull, r->rip, s->cs.selector,
		r->rflags, r->rsp, s->ss.selector, s->fs.base, s->gs.base, s->ds.selector,
		s->es.selector, s->fs.selector, s->gs.selector};

	_Static_assert(sizeof(regs) == sizeof(status->regs), "all of them");
	memset(status, 0, sizeof(*status));
	status->pid = (int)v->index + 1;
	memcpy(status->regs, regs, sizeof(regs));
}

/* Flags as in the upper half of a descriptor. */
static struct qemu_segment segment_of(const struct kvm_segment *s)
{
	return (struct qemu_segment){.selector = s->selector,
		.limit = s->limit,
		.flags = (u32)s->type << 8 | (u32)s->s << 12 | (u32)s->dpl << 13 |
			 (u32)s->present << 15 | (u32)s->avl << 20 | (u32)s->l << 21 |
			 (u32)s->db << 22 | (u32)s->g << 23,
		.base = s->base};
}

static struct qemu_segment table_of(const struct kvm_dtable *t)
{
	return (struct qemu_segment){.limit = t->limit, .base = t->base};
}

static void fill_qemu(const struct core_vcpu *v, struct qemu_state *q)
{
	const struct kvm_regs *r = &v->registers.regs;
	const struct kvm_sregs *s = &v->registers.sregs;

	*q = (struct qemu_state){.version = 1,
		.size = sizeof(*q),
		.rax = r->rax,
		.rbx = r->rbx,
		.rcx = r->rcx,
		.rdx = r->rdx,
		.rsi = r->rsi,
		.rdi = r->rdi,
		.rsp = r->rsp,
		.rbp = r->rbp,
		.r8 = r->r8,
		.r9 = r->r9,
		.r10 = r->r10,
		.r11 = r->r11,
		.r12 = r->r12,
		.r13 = r->r13,
		.r14 = r->r14,
		.r15 = r->r15,
		.rip = r->rip,
		.rflags = r->rflags,
		.cs = segment_of(&s->cs),
		.ds = segment_of(&s->ds),
		.es = segment_of(&s->es),
		.fs = segment_of(&s->fs),
		.gs = segment_of(&s->gs),
		.ss = segment_of(&s->ss),
		.ldt = segment_of(&s->ldt),
		.tr = segment_of(&s->tr),
		.gdt = table_of(&s->gdt),
		.idt = table_of(&s->idt),
		.cr = {s->cr0, 0, s->cr2, s->cr3, s->cr4},
		.kernel_gs_base = v->kernel_gs_base};
}

static bool put(FILE *f, const void *data, size_t n)
{
	return fwrite(data, 1, n, f) == n;
}

static bool put_status(FILE *f, const struct core_vcpu *v)
{
	const struct core_note note = note_of("CORE", NT_PRSTATUS, sizeof(struct prstatus));
	struct prstatus status;

	fill_status(v, &status);
	return put(f, &note, sizeof(note)) && put(f, &status, sizeof(status));
}

static bool put_qemu(FILE *f, const struct core_vcpu *v)
{
	const struct core_note note = note_of("QEMU", 0, sizeof(struct qemu_state));
	struct qemu_state state;

	fill_qemu(v, &state);
	return put(f, &note, sizeof(note)) && put(f, &state, sizeof(state));
}

static bool put_file_header(FILE *f, unsigned n)
{
	const Elf64_Ehdr h = {.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
				      ELFDATA2LSB, EV_CURRENT},
		.e_type = ET_CORE,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_phoff = sizeof(h),
		.e_ehsize = sizeof(h),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = (u16)(n + 1)};

	return put(f, &h, sizeof(h));
}

static bool put_segments(FILE *f, const struct core *core)
{
	for (unsigned i = 0; i < core->n; i++) {
		const struct ram_part *region = &core->regions[i];
		const Elf64_Phdr p = {.p_type = PT_LOAD,
			.p_offset = region->offset,
			.p_paddr = region->gpa,
			.p_filesz = region->size,
			.p_memsz = region->size};

		if (!put(f, &p, sizeof(p)))
			return false;
	}
	return true;
}

/* All of one kind stand together: crash takes the nth of each. */
static bool put_notes(FILE *f, const struct core *core)
{
	for (unsigned i = 0; i < core->n_vcpus; i++)
		if (!put_status(f, &core->vcpus[i]))
			return false;
	for (unsigned i = 0; i < core->n_vcpus; i++)
		if (!put_qemu(f, &core->vcpus[i]))
			return false;
	return put(f, core->vmcoreinfo, core->vmcoreinfo_size);
}

static u64 notes_offset(const struct core *core)
{
	return sizeof(Elf64_Ehdr) + (core->n + 1ull) * sizeof(Elf64_Phdr);
}

/* There is room for the note that is found later. */
int core_place(struct core *core)
{
	u64 at = notes_offset(core) + core->n_vcpus * VCPU_SIZE + sizeof(core->vmcoreinfo);

	if (core->n >= PN_XNUM - 1)
		return -E2BIG;
	at = ALIGN_UP(at, PAGE_SIZE);
	for (unsigned i = 0; i < core->n; i++) {
		core->regions[i].offset = at;
		at += core->regions[i].size;
	}
	return 0;
}

int core_write_headers(FILE *f, const struct core *core)
{
	const Elf64_Phdr note = {.p_type = PT_NOTE,
		.p_offset = notes_offset(core),
		.p_filesz = core->n_vcpus * VCPU_SIZE + core->vmcoreinfo_size};

	return put_file_header(f, core->n) && put(f, &note, sizeof(note)) &&
			       put_segments(f, core) && put_notes(f, core)
		       ? 0
		       : -EIO;
}

/* ---- the guest's own note ---- */

#define VMCOREINFO "VMCOREINFO"
#define FIRST_LINE "OSRELEASE="

/*
 * Linux keeps it ready at the beginning of a page for whoever dumps it: "Documentation/admin-guide/kdump/vmcoreinfo.rst".
 * A guest that is not Linux, or whose programs have written another one, can say what it likes.
 */
void core_look_for_note(struct core *core, const u8 *page)
{
	const u32 text = sizeof(Elf64_Nhdr) + ALIGN_UP(sizeof(VMCOREINFO), 4);
	Elf64_Nhdr h;

	memcpy(&h, page, sizeof(h));
	if (core->vmcoreinfo_size || h.n_namesz != sizeof(VMCOREINFO) ||
		h.n_descsz < sizeof(FIRST_LINE) || h.n_descsz > PAGE_SIZE - text - 3 ||
		memcmp(page + sizeof(h), VMCOREINFO, sizeof(VMCOREINFO)) ||
		memcmp(page + text, FIRST_LINE, sizeof(FIRST_LINE) - 1))
		return;
	core->vmcoreinfo_size = text + ALIGN_UP(h.n_descsz, 4);
	memcpy(core->vmcoreinfo, page, core->vmcoreinfo_size);
}
