/* SPDX-License-Identifier: MIT */
/* What the driver kvmctl.c offers its guest flat.S. */
#define CONSOLE_PORT     0xf1
#define EXIT_PORT        0xf4
#define INJECT_PORT      0xff
#define MEMORY_SIZE_PORT 0xd1
#define LINE_PORT        0x2000 /* and the number of the line: its level */
#define APIC_NCPU        0x1000
#define APIC_ID          0x1004
#define APIC_SIPI_ADDR   0x1008
#define APIC_SEND_SIPI   0x100c
#define APIC_IPI_VECTOR  0x1010
#define APIC_SEND_IPI    0x1014
#define IORAM_BASE       0x20000000
#define IORAM_LEN        0x1000
