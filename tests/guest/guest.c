/* SPDX-License-Identifier: MIT */
/* The part of guest.h that guests execute: page tables, interrupt stubs, x2APIC. Also used by the host's side. */
#include "tests/guest/guest.h"

#define PAGE __attribute__((aligned(4096)))

extern u8 __executable_start[];

guest_handler handlers[256];

/* ---- page tables ---- */

#define TABLES 128
static u64 tables[TABLES][512] PAGE;
static unsigned tables_used = 1;

u64 gpa_of(const volatile void *p)
{
	return (u64)p - ((u64)__executable_start & PAGE_MASK) + GPA_IMAGE;
}

u64 page_tables(void)
{
	return gpa_of(tables[0]);
}

static u64 *table_at(u64 gpa)
{
	return tables[(gpa - gpa_of(tables[0])) >> PAGE_SHIFT];
}

u64 *pte_of(u64 lin)
{
	u64 *t = tables[0];

	for (unsigned shift = 39; shift > 12; shift -= 9) {
		u64 *e = &t[lin >> shift & 511];

		if (!*e)
			*e = gpa_of(tables[tables_used++]) | PTE_P | PTE_W | PTE_U;
		t = table_at(*e & PAGE_MASK & ~PTE_NX);
	}
	return &t[lin >> 12 & 511];
}

void map_page(u64 lin, u64 gpa, u64 flags)
{
	*(volatile u64 *)pte_of(lin) = gpa | flags;
}

/* ---- interrupts ---- */

void guest_trap(struct frame *f);
void guest_trap(struct frame *f)
{
	if (!handlers[f->vector]) {
		out32(PORT_FAIL, 1000000 + (u32)f->vector);
		out32(PORT_DONE, 0);
	}
	handlers[f->vector](f);
}

/* Stubs of 16 bytes each, from guest_stubs. */
__asm__(".pushsection .text\n"
	".balign 16\n"
	".globl guest_stubs\n"
	".hidden guest_stubs\n"
	"guest_stubs:\n"
	".set v, 0\n"
	".rept 256\n"
	".balign 16\n"
	".if (v == 8) || (v >= 10 && v <= 14) || (v == 17) || (v == 21)\n"
	"nop\n"
	".else\n"
	"push $0\n"
	".endif\n"
	"push $v\n"
	"jmp guest_common\n"
	".set v, v + 1\n"
	".endr\n"
	"guest_common:\n"
	"push %rax; push %rcx; push %rdx; push %rbx; push %rbp; push %rsi; push %rdi\n"
	"push %r8; push %r9; push %r10; push %r11; push %r12; push %r13; push %r14; push %r15\n"
	"cld\n"
	"mov %rsp, %rdi\n"
	"mov %rsp, %rbx\n"
	"and $-16, %rsp\n"
	"call guest_trap\n"
	"mov %rbx, %rsp\n"
	"pop %r15; pop %r14; pop %r13; pop %r12; pop %r11; pop %r10; pop %r9; pop %r8\n"
	"pop %rdi; pop %rsi; pop %rbp; pop %rbx; pop %rdx; pop %rcx; pop %rax\n"
	"add $16, %rsp\n"
	"iretq\n"
	".popsection\n");

/* ---- x2APIC ---- */

void apic_on(void)
{
	write_msr(0x80f, 0x1ff);
}

void apic_eoi(void)
{
	write_msr(0x80b, 0);
}

void apic_icr(u64 value)
{
	write_msr(0x830, value);
}

void apic_ipi(u32 to, u8 vector)
{
	apic_icr((u64)to << 32 | 0x4000 | vector);
}

void apic_timer(u8 vector, u32 ticks, bool periodic)
{
	write_msr(0x83e, 0xb); /* divide by 1 */
	write_msr(0x832, vector | (periodic ? 1u << 17 : 0));
	write_msr(0x838, ticks);
}
