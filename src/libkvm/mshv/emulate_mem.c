/* SPDX-License-Identifier: MIT */
/* Operands in memory: segments, pages, devices. */
#include "libkvm/mshv/emulate.h"

static enum emu_result fault(struct emu *e, unsigned seg)
{
	e->fault = (struct emu_fault){.vector = seg == SEG_SS ? X86_SS : X86_GP, .has_error = true};
	return EMU_FAULT;
}

static bool canonical(const struct emu *e, u64 gva)
{
	const unsigned shift = 64 - e->address_bits;

	return (u64)((s64)(gva << shift) >> shift) == gva;
}

/* Within the limit; that of a data segment that expands down is where it begins (SDM 3:5.3). */
static bool inside(const struct hv_segment *s, u64 offset, unsigned size)
{
	const u64 last = offset + size - 1;
	const bool down = (s->attr & (SEG_S | 12)) == (SEG_S | 4);

	if (!down)
		return last <= s->limit && last >= offset;
	return offset > s->limit && last <= (s->attr & SEG_DB ? 0xffffffff : 0xffff);
}

/* Code is not written, and data not if it is read-only (SDM 3:3.4.5.1). Real mode has no types. */
static bool allows(const struct emu *e, const struct hv_segment *s, bool write)
{
	if (e->real)
		return true;
	if (!(s->attr & SEG_P))
		return false;
	if (s->attr & 8)
		return !write && s->attr & 2;
	return !write || s->attr & 2;
}

static enum emu_result linear(
	struct emu *e, unsigned seg, u64 offset, unsigned size, bool write, u64 *ret)
{
	const struct hv_segment *s = &e->segment[seg];

	if (e->mode == 8) {
		*ret = offset + (seg >= SEG_FS ? s->base : 0);
		return canonical(e, *ret) && canonical(e, *ret + size - 1) ? EMU_DONE
									   : fault(e, seg);
	}
	if (!allows(e, s, write) || !inside(s, offset, size))
		return fault(e, seg);
	*ret = (u32)(s->base + offset);
	return EMU_DONE;
}

/* ---- pieces of an operand: within a page ---- */

static enum emu_result read_device(struct emu *e, u64 gpa, unsigned len, u64 *ret)
{
	if (e->reads_used == e->n_reads) {
		e->need = (struct emu_piece){.gpa = gpa, .len = (u8)len};
		return EMU_READ;
	}
	*ret = emu_cut(e->reads[e->reads_used++].value, len);
	return EMU_DONE;
}

static enum emu_result read_piece(struct emu *e, u64 gva, unsigned len, u64 *ret)
{
	struct emu_place place;
	enum emu_result r = e->find(e->opaque, gva, false, &place, &e->fault);

	*ret = 0;
	if (r)
		return r;
	if (!place.host)
		return read_device(e, place.gpa, len, ret);
	return e->copy(place.host, ret, len, false) ? EMU_DONE : EMU_LOST;
}

/* Not yet: a later part of the instruction may fault. */
static enum emu_result write_piece(struct emu *e, u64 gva, unsigned len, u64 value)
{
	struct emu_place place;
	enum emu_result r = e->find(e->opaque, gva, true, &place, &e->fault);

	if (r)
		return r;
	if (!place.host)
		e->writes[e->n_writes++] = (struct emu_piece){place.gpa, (u8)len, value};
	else {
		e->stores[e->n_stores].host = place.host;
		e->stores[e->n_stores].len = (u8)len;
		e->stores[e->n_stores++].value = value;
	}
	return EMU_DONE;
}

/* Of an operand there, how much is in the first page. */
static unsigned first_part(u64 gva, unsigned size)
{
	return (unsigned)MIN(PAGE_SIZE - gva % PAGE_SIZE, size);
}

/* Outside 64-bit mode addresses wrap around at 4 GiB. */
static u64 behind(const struct emu *e, u64 gva, unsigned len)
{
	return e->mode == 8 ? gva + len : (u32)(gva + len);
}

enum emu_result emu_read(struct emu *e, unsigned seg, u64 offset, unsigned size, u64 *ret)
{
	unsigned first;
	u64 gva, high = 0;
	enum emu_result r = linear(e, seg, offset, size, false, &gva);

	if (r)
		return r;
	first = first_part(gva, size);
	r = read_piece(e, gva, first, ret);
	if (r || first == size)
		return r;
	r = read_piece(e, behind(e, gva, first), size - first, &high);
	*ret |= high << 8 * first;
	return r;
}

enum emu_result emu_write(struct emu *e, unsigned seg, u64 offset, unsigned size, u64 value)
{
	unsigned first;
	u64 gva;
	enum emu_result r = linear(e, seg, offset, size, true, &gva);

	if (r)
		return r;
	first = first_part(gva, size);
	r = write_piece(e, gva, first, emu_cut(value, first));
	if (r || first == size)
		return r;
	return write_piece(
		e, behind(e, gva, first), size - first, emu_cut(value >> 8 * first, size - first));
}

enum emu_result emu_locate(
	struct emu *e, unsigned seg, u64 offset, unsigned n, bool write, struct emu_place *ret)
{
	u64 gva;
	enum emu_result r = linear(e, seg, offset, n, write, &gva);

	if (r)
		return r;
	if (first_part(gva, n) != n)
		return EMU_UNKNOWN;
	return e->find(e->opaque, gva, write, ret, &e->fault);
}

enum emu_result emu_commit(struct emu *e)
{
	for (unsigned i = 0; i < e->n_stores; i++)
		if (!e->copy(e->stores[i].host, &e->stores[i].value, e->stores[i].len, true))
			return EMU_LOST;
	return EMU_DONE;
}
