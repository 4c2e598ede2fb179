/* SPDX-License-Identifier: MIT */
/*
 * dirty: which pages did the guest write? In each round the guest writes to some pages of its memory and then calls the
 * host, and the host asks for the pages written since its last question. Live migration and the display of video memory
 * work this way.
 *
 *     cc dirty.c -o dirty $(pkg-config --cflags --libs libkvm) && ./dirty
 *
 * prints a character for each of 32 pages:
 *
 *     round 1: .c..............################
 *     round 2: .c..............#.#.#.#.#.#.#.#.
 *     round 3: .c..............#..#..#..#..#..#
 *     round 4: .c..............#...#...#...#...
 *     idle:    .c..............................
 *
 * The page with the code always shows a c, because a page may count as written when it is first executed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libkvm.h>

#define MEMORY 0x20000ul
#define CODE   0x1000
#define PAGE   4096ul
#define PAGES  (MEMORY / PAGE)
#define ROUNDS 4

__asm__(".pushsection .rodata\n"
	".code16\n"
	"guest:\n"
	"	movw $0x1000, %ax\n" /* write to pages 16 and up */
	"	movw %ax, %es\n"
	"	movw $0x1000, %bx\n" /* the distance of this round: one page, then two, ... */
	".Lround: xorw %di, %di\n"
	".Lpage:	incb %es:(%di)\n"
	"	addw %bx, %di\n"
	"	jnc .Lpage\n"
	"	outb %al, $0xf1\n"
	"	addw $0x1000, %bx\n"
	"	jmp .Lround\n"
	"guest_end:\n"
	".code64\n"
	".popsection\n");
extern const unsigned char guest[], guest_end[];

/* errno says why: every call of the library sets it. */
static void check(int good, const char *what)
{
	if (good)
		return;
	perror(what);
	exit(1);
}

static int called(void *opaque, uint16_t port, uint8_t byte)
{
	(void)opaque, (void)port, (void)byte;
	return 1; /* kvm_run returns with this */
}

/* For each region of memory, here one: bit n of the unsigned longs is its page n. */
static int show(unsigned long start, unsigned long len, void *bitmap, void *opaque)
{
	const unsigned long *words = bitmap, bits = 8 * sizeof(*words);

	printf("%-8s ", (const char *)opaque);
	for (unsigned long page = 0; page < len / PAGE; page++)
		putchar(page == CODE / PAGE                     ? 'c'
			: words[page / bits] >> page % bits & 1 ? '#'
								: '.');
	putchar('\n');
	return start != 0; /* anything but 0 would end the walk */
}

static void show_dirty(kvm_context_t kvm, char *title)
{
	unsigned long bitmap[(PAGES + 63) / 64];

	check(kvm_get_dirty_pages_range(kvm, 0, MEMORY, bitmap, title, show) == 0,
		"kvm_get_dirty_pages_range");
}

int main(void)
{
	struct kvm_callbacks callbacks = {.outb = called};
	kvm_context_t kvm = kvm_init(&callbacks, NULL);
	struct kvm_regs regs = {.rip = 0, .rflags = 2};
	struct kvm_sregs sregs;
	void *memory;

	check(kvm != NULL, "kvm_init");
	check(kvm_create(kvm, MEMORY, &memory) == 0, "kvm_create");
	memcpy((char *)memory + CODE, guest, (size_t)(guest_end - guest));
	check(kvm_get_sregs(kvm, 0, &sregs) == 0, "kvm_get_sregs");
	sregs.cs.selector = CODE >> 4;
	sregs.cs.base = CODE;
	check(kvm_set_sregs(kvm, 0, &sregs) == 0, "kvm_set_sregs");
	check(kvm_set_regs(kvm, 0, &regs) == 0, "kvm_set_regs");

	check(kvm_dirty_pages_log_enable_slot(kvm, 0, MEMORY) == 0,
		"kvm_dirty_pages_log_enable_slot");
	for (int round = 1; round <= ROUNDS; round++) {
		char title[32];

		check(kvm_run(kvm, 0, NULL) == 1, "kvm_run");
		snprintf(title, sizeof(title), "round %d:", round);
		show_dirty(kvm, title);
	}
	show_dirty(kvm, "idle:");
	kvm_finalize(kvm);
	return 0;
}
