/* SPDX-License-Identifier: MIT */
/* 64-bit mode, as the guests of exits.c and flat.c begin. Include it behind what declares struct kvm_sregs. */
#ifndef BENCH_LONGMODE_H
#define BENCH_LONGMODE_H

static inline void set_long_mode(struct kvm_sregs *s, unsigned long long cr3)
{
	s->cr0 = 0x80000031; /* PG NE ET PE */
	s->cr3 = cr3;
	s->cr4 = 0x20;   /* PAE */
	s->efer = 0x500; /* LME LMA */
	s->cs = (struct kvm_segment){
		.limit = ~0u, .selector = 8, .type = 11, .present = 1, .s = 1, .l = 1, .g = 1};
	s->ds = (struct kvm_segment){
		.limit = ~0u, .selector = 16, .type = 3, .present = 1, .s = 1, .db = 1, .g = 1};
	s->es = s->fs = s->gs = s->ss = s->ds;
}

#endif
