/* SPDX-License-Identifier: MIT */
/*
 * ACPI 6.3 tables; section numbers are that specification's.
 *
 * There is no SMI command port: the machine is in ACPI mode from the start (4.8.2.5). No PM timer, GPE block or
 * embedded controller: nothing that would cost the guest exits. Interrupt sources keep the identity mapping that the
 * in-kernel IOAPIC has by default (IRQ n is GSI n, the timer included), so only the SCI needs an override.
 */
#include <string.h>

#include "boot/load/acpi.h"
#include "boot/core/layout.h"

#define HEADER_SIZE 36 /* of every table but RSDP and FACS (5.2.6) */
#define FADT_SIZE   276
#define FACS_SIZE   64
#define MADT_FIXED  44

struct builder {
	u8 *area;
	size_t size, used;
	u64 gpa;
	bool full;
};

struct table {
	u8 *at;
	u64 gpa;
	size_t size;
};

static void put(struct table *t, size_t offset, size_t bytes, u64 value)
{
	memcpy(t->at + offset, &value, bytes); /* little endian on both sides */
}

static struct table table_new(struct builder *b, size_t size, size_t align)
{
	struct table t = {.size = size};
	size_t start = ALIGN_UP(b->used, align);

	if (start > b->size || size > b->size - start) {
		b->full = true;
		start = 0; /* harmless: the caller is told that nothing is valid */
	}
	t.at = b->area + start;
	t.gpa = b->gpa + start;
	b->used = start + size;
	return t;
}

static u8 checksum(const u8 *at, size_t size)
{
	u8 sum = 0;

	while (size--)
		sum += *at++;
	return (u8)-sum;
}

/* 5.2.6: System Description Table Header. */
static struct table table_with_header(
	struct builder *b, const char *signature, u8 revision, size_t size)
{
	struct table t = table_new(b, size, 8);

	if (b->full)
		return t;
	memcpy(t.at, signature, 4);
	put(&t, 4, 4, size);
	put(&t, 8, 1, revision);
	memcpy(t.at + 10, "UVISOR", 6);
	memcpy(t.at + 16, "UVBOOT  ", 8);
	put(&t, 24, 4, 1);
	memcpy(t.at + 28, "UVSR", 4);
	put(&t, 32, 4, 1);
	return t;
}

static void table_seal(struct table *t)
{
	t->at[9] = checksum(t->at, t->size);
}

/*
 * AML (20.2): Name (\_S5, Package () { 5, 5, 0, 0 }), in bytes:
 *
 *   08             NameOp
 *   '_' 'S' '5' '_' the name, in the root scope because the definition block is
 *   12             PackageOp
 *   PkgLength      of everything from itself on; below 64 it is one byte
 *   04             number of elements
 *   0a xx          BytePrefix and SLP_TYPa: what PM1a control takes for this state
 *   0a xx          the same for PM1b
 *   00 00          ZeroOp twice: reserved
 */
size_t acpi_aml(u8 out[ACPI_AML_MAX])
{
	static const u8 elements[] = {4, 0x0a, SLEEP_TYPE_OFF, 0x0a, SLEEP_TYPE_OFF, 0, 0};
	size_t n = 0;

	out[n++] = 0x08;
	memcpy(out + n, "_S5_", 4);
	n += 4;
	out[n++] = 0x12;
	out[n++] = 1 + sizeof(elements);
	memcpy(out + n, elements, sizeof(elements));
	return n + sizeof(elements);
}

static u64 build_dsdt(struct builder *b)
{
	u8 aml[ACPI_AML_MAX];
	size_t len = acpi_aml(aml);
	struct table t = table_with_header(b, "DSDT", 2, HEADER_SIZE + len);

	if (b->full)
		return 0;
	memcpy(t.at + HEADER_SIZE, aml, len);
	table_seal(&t);
	return t.gpa;
}

/* 5.2.10: has no checksum and wants 64-byte alignment. */
static u64 build_facs(struct builder *b)
{
	struct table t = table_new(b, FACS_SIZE, 64);

	if (b->full)
		return 0;
	memcpy(t.at, "FACS", 4);
	put(&t, 4, 4, FACS_SIZE);
	put(&t, 32, 1, 2); /* version */
	return t.gpa;
}

/* 5.2.3.2: Generic Address Structure for a port. */
static void put_port(struct table *t, size_t offset, u8 bits, u16 port)
{
	put(t, offset, 1, 1); /* system I/O */
	put(t, offset + 1, 1, bits);
	put(t, offset + 3, 1, bits == 8 ? 1 : 2); /* access size: byte or word */
	put(t, offset + 4, 8, port);
}

#define BOOT_LEGACY_DEVICES BIT(0) /* table 5-10; bit 1 clear: no 8042 */
#define BOOT_NO_VGA         BIT(2)

#define FADT_WBINVD        BIT(0) /* table 5-9 */
#define FADT_PROC_C1       BIT(2)
#define FADT_NO_PWR_BUTTON BIT(4)
#define FADT_NO_SLP_BUTTON BIT(5)
#define FADT_RESET_REG     BIT(10)

static void fill_fadt_power(struct table *t)
{
	put(t, 46, 2, IRQ_SCI);
	put(t, 56, 4, PORT_PM_EVENT);
	put(t, 64, 4, PORT_PM_CTRL);
	put(t, 88, 1, 4); /* bytes of PM1a event block */
	put(t, 89, 1, 2); /* and of PM1a control block */
	put(t, 96, 2, 0xffff);
	put(t, 98, 2, 0xffff); /* no C2 and C3 */
	put_port(t, 148, 16, PORT_PM_EVENT);
	put(t, 148 + 1, 1, 32);
	put_port(t, 172, 16, PORT_PM_CTRL);
	put_port(t, 116, 8, PORT_RESET);
	put(t, 128, 1, 6); /* system reset and reset CPU */
}

/* 5.2.9 */
static u64 build_fadt(struct builder *b, u64 dsdt, u64 facs)
{
	struct table t = table_with_header(b, "FACP", 6, FADT_SIZE);

	if (b->full)
		return 0;
	put(&t, 36, 4, facs);
	put(&t, 40, 4, dsdt);
	fill_fadt_power(&t);
	put(&t, 108, 1, 0x32); /* century in CMOS */
	put(&t, 109, 2, BOOT_LEGACY_DEVICES | BOOT_NO_VGA);
	put(&t, 112, 4,
		FADT_WBINVD | FADT_PROC_C1 | FADT_NO_PWR_BUTTON | FADT_NO_SLP_BUTTON |
			FADT_RESET_REG);
	put(&t, 131, 1, 3); /* minor revision */
	put(&t, 140, 8, dsdt);
	memcpy(t.at + 268, "UVISOR", 6); /* hypervisor vendor */
	table_seal(&t);
	return t.gpa;
}

/* 5.2.12.2, 5.2.12.3, 5.2.12.5, 5.2.12.7: entries of the MADT. */
static size_t put_lapic(struct table *t, size_t at, unsigned cpu)
{
	put(t, at, 1, 0);
	put(t, at + 1, 1, 8);
	put(t, at + 2, 1, cpu); /* processor UID */
	put(t, at + 3, 1, cpu); /* APIC id */
	put(t, at + 4, 4, 1);   /* enabled */
	return at + 8;
}

static size_t put_ioapic(struct table *t, size_t at)
{
	put(t, at, 1, 1);
	put(t, at + 1, 1, 12);
	put(t, at + 4, 4, GPA_IOAPIC);
	return at + 12;
}

static size_t put_sci_override(struct table *t, size_t at)
{
	put(t, at, 1, 2);
	put(t, at + 1, 1, 10);
	put(t, at + 3, 1, IRQ_SCI);
	put(t, at + 4, 4, IRQ_SCI);
	put(t, at + 8, 2, 0x000d); /* active high, level */
	return at + 10;
}

static size_t put_lapic_nmi(struct table *t, size_t at)
{
	put(t, at, 1, 4);
	put(t, at + 1, 1, 6);
	put(t, at + 2, 1, 0xff); /* every processor */
	put(t, at + 5, 1, 1);    /* LINT1 */
	return at + 6;
}

/* 5.2.12 */
static u64 build_madt(struct builder *b, unsigned cpus)
{
	const size_t size = MADT_FIXED + 8 * cpus + 12 + 10 + 6;
	struct table t = table_with_header(b, "APIC", 5, size);
	size_t at = MADT_FIXED;

	if (b->full)
		return 0;
	put(&t, 36, 4, GPA_LAPIC);
	put(&t, 40, 4, 1); /* a PIC pair is there, too */
	for (unsigned i = 0; i < cpus; i++)
		at = put_lapic(&t, at, i);
	at = put_ioapic(&t, at);
	at = put_sci_override(&t, at);
	put_lapic_nmi(&t, at);
	table_seal(&t);
	return t.gpa;
}

/* 5.2.8 */
static u64 build_xsdt(struct builder *b, const u64 *tables, size_t n)
{
	struct table t = table_with_header(b, "XSDT", 1, HEADER_SIZE + 8 * n);

	if (b->full)
		return 0;
	for (size_t i = 0; i < n; i++)
		put(&t, HEADER_SIZE + 8 * i, 8, tables[i]);
	table_seal(&t);
	return t.gpa;
}

/* 5.2.5.3: two checksums, of the first 20 bytes and of all 36. */
static void fill_rsdp(struct table *t, u64 xsdt)
{
	memcpy(t->at, "RSD PTR ", 8);
	memcpy(t->at + 9, "UVISOR", 6);
	put(t, 15, 1, 2); /* revision */
	put(t, 20, 4, t->size);
	put(t, 24, 8, xsdt);
	t->at[8] = checksum(t->at, 20);
	t->at[32] = checksum(t->at, t->size);
}

bool acpi_build(u8 *area, size_t size, u64 gpa, unsigned cpus)
{
	struct builder b = {.area = area, .size = size, .gpa = gpa};
	struct table rsdp = table_new(&b, 36, 16);
	u64 facs = build_facs(&b), dsdt = build_dsdt(&b);
	u64 tables[2], xsdt;

	tables[0] = build_fadt(&b, dsdt, facs);
	tables[1] = build_madt(&b, cpus);
	xsdt = build_xsdt(&b, tables, ARRAY_SIZE(tables));
	if (!b.full)
		fill_rsdp(&rsdp, xsdt);
	return !b.full;
}
