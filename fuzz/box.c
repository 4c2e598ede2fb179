/* SPDX-License-Identifier: MIT */
/* Making and closing it, what its tables hold, where its processors begin. */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "fuzz/box.h"

#define KVM_SLOT_SMM (1u << 16)
#define SMBASE       0x30000

long box_do(struct box *b, int fd, unsigned long request, const void *arg)
{
	return dev_ioctl(b->dev, fd, request, (unsigned long)arg);
}

long box_slot(struct box *b, u32 slot, u32 flags, u64 gpa, u64 bytes, const void *host)
{
	const struct kvm_userspace_memory_region r = {slot, flags, gpa, bytes, (unsigned long)host};

	return box_do(b, b->vm, KVM_SET_USER_MEMORY_REGION, &r);
}

static u8 *memory(size_t n)
{
	void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		abort();
	return p;
}

/* ---- code ---- */

void put(struct code *c, const void *bytes, u32 n)
{
	memcpy(c->p + c->n, bytes, n);
	c->n += n;
}

void put32(struct code *c, u32 v)
{
	put(c, &v, 4);
}

void put64(struct code *c, u64 v)
{
	put(c, &v, 8);
}

void put_mov(struct code *c, unsigned reg, u64 v)
{
	PUT(c, 0x48 | reg >> 3, 0xb8 | (reg & 7));
	put64(c, v);
}

/* ---- tables ---- */

static void write64(struct box *b, u32 at, u64 v)
{
	memcpy(b->ram + at, &v, 8);
}

/* RAM by 4 KiB pages, so that single ones can be changed. */
void box_tables(struct box *b)
{
	write64(b, AT_PML4, 0x2007);
	write64(b, 0x2000, 0x3007);
	write64(b, 0x2008, 0xc007);
	write64(b, 0x3000, 0x4007);
	for (u32 i = 0; i < 512; i++)
		write64(b, 0x4000 + 8 * i, i << 12 | 7);
	for (u32 i = 0; i < PLACES; i++)
		write64(b, 0xc000 + 8 * i, (PLACE_GPA + i * PLACE_BYTES) | 0x87);
	write64(b, AT_GDT + 0x08, 0x00af9b000000ffff); /* 64-bit code */
	write64(b, AT_GDT + 0x10, 0x00cf93000000ffff);
	write64(b, AT_GDT + 0x18, 0x00cf9b000000ffff); /* 32-bit code */
	write64(b, AT_GDT + 0x20, 0x000093020000ffff); /* a small stack elsewhere */
}

/* Every exception goes back to the beginning, with a new stack; NMIs are over by that. */
static void write_handlers(struct box *b)
{
	for (u32 v = 0; v < 256; v++) {
		const u64 at = AT_HANDLERS;

		write64(b, AT_IDT64 + 16 * v, at | 8 << 16 | 0x8e00ull << 32);
		write64(b, AT_IDT64 + 16 * v + 8, 0);
		write64(b, AT_IDT32 + 8 * v, (at + 0x100) | 0x18 << 16 | 0x8e00ull << 32);
	}
	/* out 11h, al; hlt: a VMM starts it again */
	memcpy(b->ram + AT_HANDLERS, (const u8[]){0xe6, 0x11, 0xf4, 0xeb, 0xfb}, 5);
	memcpy(b->ram + AT_HANDLERS + 0x100, (const u8[]){0xe6, 0x11, 0xf4, 0xeb, 0xfb}, 5);
}

static void make_smram(struct box *b)
{
	const u64 secret = SECRET;

	b->smram = memory(SMRAM_BYTES + 0x10000);
	for (u32 i = 0; i < SMRAM_BYTES; i += 8)
		memcpy(b->smram + i, &secret, 8);
	memcpy(b->smram + SMRAM_BYTES + 0x8000, (const u8[]){0x0f, 0xaa}, 2); /* rsm */
	box_slot(b, KVM_SLOT_SMM, 0, SMRAM_GPA, SMRAM_BYTES, b->smram);
	box_slot(b, KVM_SLOT_SMM | 1, 0, SMBASE, 0x10000, b->smram + SMRAM_BYTES);
}

static void make_vcpu(struct box *b, int i)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[256];
	} c = {.head.nent = 256};

	b->vcpu[i] = (int)dev_ioctl(b->dev, b->vm, KVM_CREATE_VCPU, (unsigned long)i);
	box_do(b, b->sys, KVM_GET_SUPPORTED_CPUID, &c);
	box_do(b, b->vcpu[i], KVM_SET_CPUID2, &c);
	b->run[i] = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, b->vcpu[i], 0);
	if (b->run[i] == MAP_FAILED)
		abort();
}

void box_hyperv(struct box *b, int vcpu)
{
	struct {
		struct kvm_cpuid2 h;
		struct kvm_cpuid_entry2 e[256];
	} c = {.h.nent = 256}, hv = {.h.nent = 64};
	u32 n = 0;

	box_do(b, b->sys, KVM_GET_SUPPORTED_CPUID, &c);
	if (box_do(b, b->sys, KVM_GET_SUPPORTED_HV_CPUID, &hv))
		return;
	for (u32 i = 0; i < c.h.nent; i++)
		if (c.e[i].function >> 28 != 4)
			c.e[n++] = c.e[i];
	memcpy(&c.e[n], hv.e, hv.h.nent * sizeof(hv.e[0]));
	c.h.nent = n + hv.h.nent;
	box_do(b, b->vcpu[vcpu], KVM_SET_CPUID2, &c);
}

void box_open(struct box *b, int vcpus, bool irqchip, unsigned long type)
{
	if (dev_create(&b->dev))
		abort();
	b->sys = dev_open(b->dev, "/dev/kvm", 0);
	b->vm = (int)dev_ioctl(b->dev, b->sys, KVM_CREATE_VM, type);
	b->vcpus = vcpus;
	if (irqchip)
		dev_ioctl(b->dev, b->vm, KVM_CREATE_IRQCHIP, 0);
	b->ram = memory(2 * BOX_RAM); /* slots that are refused reach into what is behind */
	if (b->prepare)
		b->prepare(b);
	box_slot(b, 0, 0, 0, BOX_RAM, b->ram);
	box_tables(b);
	write_handlers(b);
	make_smram(b);
	for (int i = 0; i < vcpus; i++)
		make_vcpu(b, i);
}

void box_free(struct box *b)
{
	munmap(b->ram, 2 * BOX_RAM);
	munmap(b->smram, SMRAM_BYTES + 0x10000);
}

void box_close(struct box *b)
{
	for (int i = 0; i < b->vcpus; i++) {
		munmap(b->run[i], 12288);
		dev_close(b->dev, b->vcpu[i]);
	}
	dev_close(b->dev, b->vm);
	dev_close(b->dev, b->sys);
	dev_destroy(b->dev);
	box_free(b);
}

/* ---- tasks ---- */

static void put_task(struct box *b, u32 at, u32 ss, u32 esp)
{
	u32 t[26] = {0};

	t[8] = AT_HANDLERS + 0x100;
	t[9] = 2;
	t[14] = esp;
	t[16] = at << 16 |
		0x67; /* ESI and EDI: the task's own descriptor, available again by leaving it */
	t[17] = 0x8900 | at >> 16;
	t[18] = 0x10;
	t[19] = 0x18;
	t[20] = ss;
	t[21] = t[22] = t[23] = 0x10;
	t[25] = 1; /* T */
	memcpy(b->ram + at, t, 0x68);
}

/*
 * #DB is a task that traps, so there is #DB again, for which it is busy: #GP, a task that traps as well, and by then the
 * first is available.
 */
void box_tasks(struct box *b)
{
	const u32 first = AT_TASKS + 0x400, second = AT_TASKS + 0x800;
	const u64 gate[] = {(u64)(first + 0x40 - AT_GDT) << 16 | 0x85ull << 40,
		(u64)(second + 0x40 - AT_GDT) << 16 | 0x85ull << 40};

	put_task(b, first, 0x10, 0x3000);
	put_task(b, second, 0x20, 0x8000);
	memcpy(b->ram + AT_IDT32 + 8, &gate[0], 8);
	memcpy(b->ram + AT_IDT32 + 13 * 8, &gate[1], 8);
}

/* ---- where processors begin ---- */

static void set_segments(struct kvm_sregs *s, bool long_mode)
{
	const struct kvm_segment data = {
		.limit = -1u, .selector = 0x10, .type = 3, .present = 1, .db = 1, .s = 1, .g = 1};

	s->ds = s->es = s->fs = s->gs = s->ss = data;
	s->cs = (struct kvm_segment){.limit = -1u,
		.selector = long_mode ? 8 : 0x18,
		.type = 11,
		.present = 1,
		.s = 1,
		.g = 1,
		.l = long_mode,
		.db = !long_mode};
	s->tr = (struct kvm_segment){.base = AT_TASKS,
		.limit = 0x67,
		.selector = AT_TASKS + 0x40 - AT_GDT,
		.type = 11,
		.present = 1};
	s->ldt = (struct kvm_segment){.unusable = 1};
	s->gdt = (struct kvm_dtable){.base = AT_GDT, .limit = 0x7fff};
	s->idt = (struct kvm_dtable){
		.base = long_mode ? AT_IDT64 : AT_IDT32, .limit = long_mode ? 0xfff : 0x7ff};
}

void box_start(struct box *b, int i, bool long_mode)
{
	struct kvm_vcpu_events none = {.flags = KVM_VCPUEVENT_VALID_SMM |
						KVM_VCPUEVENT_VALID_NMI_PENDING |
						KVM_VCPUEVENT_VALID_SHADOW};
	struct kvm_mp_state runs = {KVM_MP_STATE_RUNNABLE};
	struct kvm_regs r = {.rip = AT_CODE + (u32)i * CODE_BYTES, .rflags = 2};
	struct kvm_sregs s;

	box_do(b, b->vcpu[i], KVM_SET_VCPU_EVENTS, &none);
	box_do(b, b->vcpu[i], KVM_GET_SREGS, &s);
	set_segments(&s, long_mode);
	s.cr0 = long_mode ? 0x80000011 : 0x11;
	s.cr3 = long_mode ? AT_PML4 : 0;
	s.cr4 = long_mode ? 0x620 : 0x600;
	s.efer = long_mode ? 0x500 : 0;
	memset(s.interrupt_bitmap, 0, sizeof(s.interrupt_bitmap));
	if (box_do(b, b->vcpu[i], KVM_SET_SREGS, &s))
		finding("KVM_SET_SREGS of what always works is refused");
	r.rsp = AT_STACK + (u32)(i + 1) * CODE_BYTES - 0x100;
	r.rsi = AT_SHARED;
	r.rdi = AT_SHARED + 0x1000;
	box_do(b, b->vcpu[i], KVM_SET_REGS, &r);
	box_do(b, b->vcpu[i], KVM_SET_MP_STATE, &runs);
}

/* ---- the secret ---- */

void box_check_secret(struct box *b)
{
	u64 v;

	for (u32 i = 0; i < SMRAM_BYTES; i += 8) {
		memcpy(&v, b->smram + i, 8);
		if (v != SECRET)
			finding("SMRAM at %#x is %#llx: written from outside", SMRAM_GPA + i,
				(unsigned long long)v);
	}
	for (u32 i = 0; i < BOX_RAM; i += 8) {
		memcpy(&v, b->ram + i, 8);
		if (v == SECRET)
			finding("SMRAM's secret is in RAM at %#x", i);
	}
}
