/* SPDX-License-Identifier: MIT */
/* A watcher whose vcpu is in views of memory. */
#ifndef TESTS_TAP_VIEWS_H
#define TESTS_TAP_VIEWS_H

#include "watcher.h"

#define OTHER  0x3000u  /* in the place of CODE2 */
#define OTHER2 0x16000u /* in the place of CODE, or of a table */

unsigned view_new(struct watcher *w);
void view_deny(struct watcher *w, unsigned view, u64 gpa, u32 denied);
void view_lead(struct watcher *w, unsigned view, u64 from, u64 to);
/* The vcpu's next instruction is in it. */
void view_enter(struct watcher *w, unsigned view);
u32 view_word_at(const struct watcher *w, u32 at);
u32 view_eax(struct watcher *w);
/* What is at CODE again, in this view. Returns what was asked; the other one what is in EAX then. */
unsigned view_again(struct watcher *w, unsigned view);
u32 view_result(struct watcher *w, unsigned view);
/* Page accesses are asked about; DATA is full of 11h, DATA2 of 22h. */
void view_begin(struct watcher *w, bool step);
/* By step() alone, and by translation. */
void view_both(void (*test)(struct watcher *w));

#endif
