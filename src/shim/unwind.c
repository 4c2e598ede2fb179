/* SPDX-License-Identifier: MIT */
/* See unwind.h. Tables are read only within what the program headers say is mapped. */
#include <string.h>

#include "shim/unwind.h"

/* Encodings of pointers (LSB 10.5.1): 32 bits, signed, from where they stand or from the header on. */
#define ENCODING_UDATA4         0x03
#define ENCODING_PCREL_SDATA4   0x1b
#define ENCODING_DATAREL_SDATA4 0x3b

/* From where it stands. */
static u64 relative(u64 at)
{
	s32 distance;

	memcpy(&distance, (const void *)at, sizeof(distance));
	return at + (u64)(s64)distance;
}

/* ---- .eh_frame_hdr: a table in rising order ---- */

struct frame_header {
	u8 version, frame_encoding, count_encoding, table_encoding;
	s32 frame;
	u32 count;
	struct frame_entry {
		s32 start, fde; /* from the header on */
	} table[];
};

static const struct frame_header *header_of(const struct object *o)
{
	for (unsigned i = 0; i < o->count; i++) {
		const Elf64_Phdr *p = &o->phdrs[i];
		const struct frame_header *h = (const void *)(o->base + p->p_vaddr);

		if (p->p_type != PT_GNU_EH_FRAME || p->p_filesz < sizeof(*h) ||
			!object_maps(o, (u64)h, p->p_filesz))
			continue;
		if (h->version != 1 || h->count_encoding != ENCODING_UDATA4 ||
			h->table_encoding != ENCODING_DATAREL_SDATA4 ||
			h->count > (p->p_filesz - sizeof(*h)) / sizeof(h->table[0]))
			return NULL;
		return h;
	}
	return NULL;
}

/* The last entry that starts at or before at. */
static const struct frame_entry *entry_of(const struct frame_header *h, u64 at)
{
	u32 low = 0, high = h->count;

	while (low < high) {
		u32 middle = low + (high - low) / 2;

		if ((u64)h + (u64)(s64)h->table[middle].start <= at)
			low = middle + 1;
		else
			high = middle;
	}
	return low ? &h->table[low - 1] : NULL;
}

/* ---- .eh_frame: records, each 4 bytes of length and then a CIE or an FDE ---- */

#define FDE_CIE   4 /* distance back to its CIE; 0: it is one */
#define FDE_START 8
#define FDE_BYTES 12
#define FDE_LEAST 16
#define CIE_LEAST 20

/*
 * In what encoding start and bytes are, its CIE says. But if the start, taken as a distance from itself in 32 bits, is
 * what the table says, there is no doubt.
 */
static bool by_header(const struct object *o, u64 at, struct function *ret)
{
	const struct frame_header *h = header_of(o);
	const struct frame_entry *e = h ? entry_of(h, at) : NULL;
	u64 fde = e ? (u64)h + (u64)(s64)e->fde : 0;
	u32 bytes;

	if (!e || !object_maps(o, fde, FDE_LEAST))
		return false;
	ret->start = (u64)h + (u64)(s64)e->start;
	if (relative(fde + FDE_START) != ret->start)
		return false;
	memcpy(&bytes, (const void *)(fde + FDE_BYTES), sizeof(bytes));
	ret->end = ret->start + bytes;
	return true;
}

static const u8 *skip_leb128(const u8 *at)
{
	while (*at & 0x80)
		at++;
	return at + 1;
}

/* The encoding that a CIE gives: version, augmentation, two factors, a register, and what the augmentation says. */
static bool is_usual_cie(u64 cie)
{
	const u8 *text = (const u8 *)cie + 9, *at = text + strlen((const char *)text) + 1;

	if (((const u8 *)cie)[8] != 1 || text[0] != 'z')
		return false;
	at = skip_leb128(skip_leb128(at)) + 1;
	at = skip_leb128(at);
	for (text++; *text == 'L' || *text == 'S'; text++)
		at += *text == 'L';
	return *text == 'R' && *at == ENCODING_PCREL_SDATA4;
}

static bool by_record(const struct object *o, u64 record, u64 at, struct function *ret)
{
	u32 back, bytes;
	u64 cie;

	memcpy(&back, (const void *)(record + FDE_CIE), sizeof(back));
	cie = record + FDE_CIE - back;
	if (!back || !object_maps(o, cie, CIE_LEAST) || !is_usual_cie(cie))
		return false;
	memcpy(&bytes, (const void *)(record + FDE_BYTES), sizeof(bytes));
	ret->start = relative(record + FDE_START);
	ret->end = ret->start + bytes;
	return at >= ret->start && at < ret->end;
}

static bool by_records(const struct object *o, u64 at, struct function *ret)
{
	u64 record = o->base + o->frames, end = record + o->frames_size;
	u32 length;

	if (!o->frames || !object_maps(o, record, o->frames_size))
		return false;
	for (; end - record >= FDE_LEAST; record += 4 + (u64)length) {
		memcpy(&length, (const void *)record, sizeof(length));
		if (!length || length > end - record - 4) /* the last one, or the long form */
			return false;
		if (length >= FDE_LEAST - 4 && by_record(o, record, at, ret))
			return true;
	}
	return false;
}

bool unwind_function(const struct object *o, u64 at, struct function *ret)
{
	return (by_header(o, at, ret) || by_records(o, at, ret)) && at >= ret->start &&
	       at < ret->end;
}
