/* SPDX-License-Identifier: MIT */
/* ACPI 6.3; section numbers are that specification's. A buffer grows; each table is closed with size and checksum. */
#include <string.h>

#include "boot/core/layout.h"
#include "tests/mshv/vmm/acpi.h"

struct buffer {
	u8 *at;
	size_t size, used;
	u64 gpa;
	bool full;
};

/* ---- bytes ---- */

static void put_bytes(struct buffer *b, const void *from, size_t n)
{
	if (n > b->size - b->used) {
		b->full = true;
		return;
	}
	memcpy(b->at + b->used, from, n);
	b->used += n;
}

static void put(struct buffer *b, size_t n, u64 value)
{
	put_bytes(b, &value, n); /* little endian on both sides */
}

static void patch(struct buffer *b, size_t at, size_t n, u64 value)
{
	if (!b->full)
		memcpy(b->at + at, &value, n);
}

static u8 checksum(const struct buffer *b, size_t from, size_t to)
{
	u8 sum = 0;

	while (!b->full && from < to)
		sum += b->at[from++];
	return (u8)-sum;
}

/* ---- tables (5.2.6) ---- */

#define HEADER_BYTES 36

static size_t table_begin(struct buffer *b, const char *signature, u8 revision)
{
	size_t start;

	b->used = ALIGN_UP(b->used, 8u);
	start = b->used;
	put_bytes(b, signature, 4);
	put(b, 4, 0); /* length */
	put(b, 1, revision);
	put(b, 1, 0); /* checksum */
	put_bytes(b, "UVISORUVMSHV  ", 14);
	put(b, 4, 1);
	put_bytes(b, "UVSR", 4);
	put(b, 4, 1);
	return start;
}

static u64 table_end(struct buffer *b, size_t start)
{
	patch(b, start + 4, 4, b->used - start);
	patch(b, start + 9, 1, checksum(b, start, b->used));
	return b->gpa + start;
}

/* ---- AML (20.2) ---- */

/* What has a length begins with an opcode and two bytes of PkgLength (20.2.4), which count themselves. */
static size_t aml_begin(struct buffer *b, u16 opcode)
{
	if (opcode > 0xff)
		put(b, 1, opcode >> 8);
	put(b, 1, opcode & 0xff);
	put(b, 2, 0);
	return b->used - 2;
}

static void aml_end(struct buffer *b, size_t at)
{
	const u64 length = b->used - at;

	patch(b, at, 1, 0x40 | (length & 15));
	patch(b, at + 1, 1, length >> 4);
}

#define AML_SCOPE   0x10
#define AML_BUFFER  0x11
#define AML_PACKAGE 0x12
#define AML_DEVICE  0x5b82

/* NameOp and a name; what it stands for follows. */
static void aml_name(struct buffer *b, const char *name)
{
	put(b, 1, 0x08);
	put_bytes(b, name, 4);
}

static void aml_byte(struct buffer *b, u8 value)
{
	put(b, 1, 0x0a);
	put(b, 1, value);
}

/* Name (\_S5, Package () { SLEEP_S5 }) */
static void aml_s5(struct buffer *b)
{
	size_t package;

	aml_name(b, "_S5_");
	package = aml_begin(b, AML_PACKAGE);
	put(b, 1, 1);
	aml_byte(b, SLEEP_S5);
	aml_end(b, package);
}

/* 6.4.3.6 and 6.4.2.5: an interrupt of our own, and fixed ports; then the end tag. */
static void aml_com1_resources(struct buffer *b, bool level)
{
	const u8 resources[] = {0x89, 6, 0, level ? 1 : 3, 1, IRQ_COM1, 0, 0, 0, 0x47, 1,
		PORT_COM1 & 0xff, PORT_COM1 >> 8, PORT_COM1 & 0xff, PORT_COM1 >> 8, 0, 8, 0x79, 0};
	size_t buffer;

	aml_name(b, "_CRS");
	buffer = aml_begin(b, AML_BUFFER);
	aml_byte(b, sizeof(resources));
	put_bytes(b, resources, sizeof(resources));
	aml_end(b, buffer);
}

/* Scope (\_SB) { Device (COM1) { ... } } */
static void aml_com1(struct buffer *b, bool level)
{
	static const u8 pnp0501[] = {0x0c, 0x41, 0xd0, 0x05, 0x01}; /* EISAID ("PNP0501") */
	const size_t scope = aml_begin(b, AML_SCOPE);
	size_t device;

	put_bytes(b, "\\_SB_", 5);
	device = aml_begin(b, AML_DEVICE);
	put_bytes(b, "COM1", 4);
	aml_name(b, "_HID");
	put_bytes(b, pnp0501, sizeof(pnp0501));
	aml_name(b, "_UID");
	put(b, 1, 0);
	aml_com1_resources(b, level);
	aml_end(b, device);
	aml_end(b, scope);
}

static u64 build_dsdt(struct buffer *b, bool level)
{
	const size_t start = table_begin(b, "DSDT", 6);

	aml_s5(b);
	aml_com1(b, level);
	return table_end(b, start);
}

/* ---- the fixed tables ---- */

#define FADT_BYTES      276
#define FADT_WBINVD     BIT(0)
#define FADT_TIMER_32   BIT(8)
#define FADT_RESET_REG  BIT(10)
#define FADT_HW_REDUCED BIT(20)
#define BOOT_NO_VGA     BIT(2)

/* 5.2.3.2: a Generic Address Structure for a port. */
static void patch_port(struct buffer *b, size_t at, u8 bits, u16 port)
{
	patch(b, at, 1, 1); /* system I/O */
	patch(b, at + 1, 1, bits);
	patch(b, at + 3, 1, bits == 8 ? 1 : 3); /* access size: byte or double word */
	patch(b, at + 4, 8, port);
}

/* 5.2.9; all that is not said is 0. */
static u64 build_fadt(struct buffer *b, u64 dsdt)
{
	const size_t start = table_begin(b, "FACP", 6);

	for (unsigned i = HEADER_BYTES; i < FADT_BYTES; i++)
		put(b, 1, 0);
	patch(b, start + 76, 4, PORT_PM_TIMER);
	patch(b, start + 91, 1, 4);
	patch(b, start + 109, 2, BOOT_NO_VGA);
	patch(b, start + 112, 4, FADT_WBINVD | FADT_TIMER_32 | FADT_RESET_REG | FADT_HW_REDUCED);
	patch_port(b, start + 116, 8, PORT_SLEEP);
	patch(b, start + 128, 1, SLEEP_RESET);
	patch(b, start + 131, 1, 3); /* minor revision */
	patch(b, start + 140, 8, dsdt);
	patch_port(b, start + 208, 32, PORT_PM_TIMER);
	patch_port(b, start + 244, 8, PORT_SLEEP);
	patch_port(b, start + 256, 8, PORT_SLEEP);
	return table_end(b, start);
}

#define MADT_EDGE_HIGH  (1 | 1 << 2)
#define MADT_LEVEL_HIGH (1 | 3 << 2)

/* 5.2.12: local APICs, the IOAPIC, and that IRQ 4 is its pin 4. */
static u64 build_madt(struct buffer *b, const struct tables_request *r)
{
	const size_t start = table_begin(b, "APIC", 5);

	put(b, 4, GPA_LAPIC);
	put(b, 4, 0); /* no PIC */
	for (unsigned cpu = 0; cpu < r->cpus; cpu++) {
		const u8 lapic[] = {0, 8, (u8)cpu, (u8)cpu, 1, 0, 0, 0};

		put_bytes(b, lapic, sizeof(lapic));
	}
	put(b, 4, 1 | 12 << 8); /* IOAPIC, with id 0 */
	put(b, 4, GPA_IOAPIC);
	put(b, 4, 0); /* the first gsi */
	put(b, 4, 2 | 10 << 8 | IRQ_COM1 << 24);
	put(b, 4, IRQ_COM1);
	put(b, 2, r->level ? MADT_LEVEL_HIGH : MADT_EDGE_HIGH);
	return table_end(b, start);
}

static u64 build_xsdt(struct buffer *b, u64 fadt, u64 madt)
{
	const size_t start = table_begin(b, "XSDT", 1);

	put(b, 8, fadt);
	put(b, 8, madt);
	return table_end(b, start);
}

/* 5.2.5.3: one checksum of the first 20 bytes, and one of all. */
#define RSDP_BYTES 36

static void fill_rsdp(struct buffer *b, u64 xsdt)
{
	memcpy(b->at, "RSD PTR ", 8);
	memcpy(b->at + 9, "UVISOR", 6);
	patch(b, 15, 1, 2);
	patch(b, 20, 4, RSDP_BYTES);
	patch(b, 24, 8, xsdt);
	patch(b, 8, 1, checksum(b, 0, 20));
	patch(b, 32, 1, checksum(b, 0, RSDP_BYTES));
}

bool tables_build(u8 *area, size_t size, u64 gpa, const struct tables_request *r)
{
	struct buffer b = {.at = area, .size = size, .used = RSDP_BYTES, .gpa = gpa};
	const u64 dsdt = build_dsdt(&b, r->level), fadt = build_fadt(&b, dsdt);
	const u64 xsdt = build_xsdt(&b, fadt, build_madt(&b, r));

	if (!b.full)
		fill_rsdp(&b, xsdt);
	return !b.full;
}
