/* SPDX-License-Identifier: MIT */
/* A machine in long mode with a subscriber that writes down what it is asked, and answers as it is told. */
#ifndef TESTS_TAP_WATCHER_H
#define TESTS_TAP_WATCHER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "engine/tap.h"
#include "tests/unit/world/world.h"

/* Guest-physical layout beside the world's; linear addresses are the same. */
#define CODE2   0x2000u /* the page after CODE */
#define DATA    0x4000u
#define DATA2   0x5000u
#define GDT     0x9000u
#define TSS     0x9800u
#define IDT     0xa000u
#define HANDLER 0xb000u /* of all vectors: hlt */
#define PML4    0x10000u
#define PDPT    0x11000u
#define PD      0x12000u
#define PT      0x13000u
#define HIGH    0x40000000u /* linear: DATA again, by its own tables */
#define PD2     0x14000u
#define PT2     0x15000u

#define SEEN_MAX 64

/* One question with the state that belongs to it. */
struct seen {
	struct tap_event e;
	struct vcpu_state s;
	u8 byte; /* at DATA, to see that nothing has been written yet */
};

struct watcher {
	struct world world;
	struct seen seen[SEEN_MAX];
	unsigned count;
	/* What to do with question number at; the others go on. NULL: with all. */
	enum tap_verdict (*answer)(struct watcher *w, struct vcpu *v, struct tap_event *e);
	void *opaque;
};

/* step: by step() alone. */
void watcher_open(struct watcher *w, bool step);
void watcher_open_with(struct watcher *w, enum irqchip_mode mode);
void watcher_close(struct watcher *w);
void watcher_code(struct watcher *w, u32 at, const u8 *code, size_t len);
#define WATCHER_CODE(w, ...)                                                                       \
	do {                                                                                       \
		static const u8 code_[] = {__VA_ARGS__};                                           \
		watcher_code(w, CODE, code_, sizeof(code_));                                       \
	} while (0)
/* Registers as at first, at CODE. */
void watcher_start(struct watcher *w);
void watcher_set_gpr(struct watcher *w, unsigned reg, u64 value);
/* Until HLT, which ends each guest. */
void watcher_run(struct watcher *w);

/* Run the same guest by step and by translation, twice there: what was asked must be the same. */
void watcher_compare(const struct watcher *a, const struct watcher *b);

/* The same by both: prepared, run to its end, compared, and then looked at. All control registers are selected. */
void watcher_both(u32 events, void (*prepare)(struct watcher *w), void (*check)(struct watcher *w));
void watcher_expect(const struct seen *s, enum tap_kind kind, u64 rip);
/* A word of the frame that the last delivery has pushed. */
u64 watcher_frame(struct watcher *w, unsigned n);

#endif
