/* SPDX-License-Identifier: MIT */
/*
 * Writes by the caller to guest RAM (DMA, loading) are not announced. Whenever a page's translation may be new to
 * this cpu, or it may have been written to, its blocks are compared with what memory holds now. page is always its guest-physical address.
 */
#ifndef ENGINE_JIT_CHECK_H
#define ENGINE_JIT_CHECK_H

#include "engine/core/cpu.h"

/* Compares it, if that is to be done. False: it holds nothing that could be had. */
bool check_page(struct cpu *cpu, u64 lin, u64 page, const u8 *hva);
/* Is the page at gpa, which has just been checked, one that is not compared again before somebody writes to it? */
bool check_page_kept(struct cpu *cpu, u64 gpa);
/* All ways to code have been dropped, or those that are not of global pages: its pages are to be compared before they are used. */
void checks_forget(struct cpu *cpu, bool keep_global);
/* Compares all pages to which there may be ways. False: not done, and they are to be dropped. */
bool check_again(struct cpu *cpu);

#endif
