/* SPDX-License-Identifier: MIT */
/* Where things are in the guests of guests.S. For C and the assembler. */
#ifndef TESTS_UNIT_JOINS_LAYOUT_H
#define TESTS_UNIT_JOINS_LAYOUT_H

#define GDT_AT 0x500
#define IDT_AT 0x800

#define COUNT     0x6000 /* interrupts and exceptions taken */
#define SEEN      0x6004 /* what a handler, or the guest, has seen */
#define SEEN_NEXT 0x6008
#define RESULT    0x6010 /* 8 bytes */
#define TARGET    0x6020 /* of stores */
#define PVCLOCK   0x7000
#define SELF      0x50000 /* RAM of its own slot */

#define PAGES     0x60000 /* of code, by the VMM; in a slot of their own */
#define PAGES_END 0x68000

#define PORT_OUT 0x10

#define V_TIMER   0x60
#define V_IPI     0x41
#define V_IOAPIC  0x50
#define V_PIC     0x20
#define V_REQUEST 0x70

#define IOAPIC_PIN 10

#endif
