/* SPDX-License-Identifier: MIT */
/*
 * Linear access by the engine's own code: instructions that the host does not execute. Inner code.
 *
 * The fast path is the TLB. The slow path cuts the access into at most two parts, one a page, and
 * translates all of them before it touches anything; a part is RAM or MMIO. MMIO goes in fragments of
 * at most 8 bytes: reads are asked for one at a time (the instruction restarts with the
 * answers in cpu->answers), writes wait in cpu->posted for the end of the instruction.
 */
#include "engine/core/debug.h"
#include "engine/core/answer.h"
#include "engine/host/raw.h"
#include "engine/mem/mem_priv.h"
#include "engine/mem/mem.h"

struct access_part {
	struct access_target to;
	unsigned len;
};

struct parts {
	unsigned n;
	struct access_part part[2];
};

static unsigned bytes_to_page_end(u64 lin)
{
	return PAGE_SIZE - (lin & (PAGE_SIZE - 1));
}

/* Lower page first: it is its fault that is raised when both are bad. */
static int translate_parts(struct cpu *cpu, u64 lin, unsigned len, unsigned acc, struct parts *ret)
{
	for (ret->n = 0; len; ret->n++) {
		struct access_part *p = &ret->part[ret->n];
		int r;

		p->len = MIN(len, bytes_to_page_end(lin));
		r = tlb_translate(cpu, lin, acc, &p->to);
		if (r)
			return r;
		lin += p->len;
		len -= p->len;
	}
	return CPU_OK;
}

/* ---- MMIO ---- */

static void copy_bytes(u8 *dst, const u8 *src, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		dst[i] = src[i];
}

static int mmio_ask(struct cpu *cpu, u64 gpa, unsigned len)
{
	struct exit *e = &cpu->exit;

	if (answers_full(cpu))
		return mem_internal_error(cpu);
	cpu_exit_begin(cpu, EXIT_MMIO_READ);
	e->mmio.gpa = gpa;
	e->mmio.len = len;
	for (unsigned i = 0; i < sizeof(e->mmio.data); i++)
		e->mmio.data[i] = 0;
	return ask_outside(cpu);
}

static int mmio_read_fragment(struct cpu *cpu, u64 gpa, u8 *buf, unsigned len)
{
	const struct answer *a = answer_to(cpu, EXIT_MMIO_READ, gpa, len);

	if (!a)
		return mmio_ask(cpu, gpa, len);
	copy_bytes(buf, (const u8 *)&a->value, len);
	return CPU_OK;
}

static int mmio_read(struct cpu *cpu, u64 gpa, u8 *buf, unsigned len)
{
	gpa &= GPA_BITS; /* devices are the same in both address spaces */
	for (unsigned done = 0; done < len; done += 8) {
		int r = mmio_read_fragment(cpu, gpa + done, buf + done, MIN(len - done, 8));

		if (r)
			return r;
	}
	return CPU_OK;
}

static unsigned mmio_fragments(const struct parts *parts)
{
	unsigned n = 0;

	for (unsigned i = 0; i < parts->n; i++)
		n += parts->part[i].to.hva ? 0 : (parts->part[i].len + 7) / 8;
	return n;
}

static void mmio_post(struct cpu *cpu, u64 gpa, const u8 *buf, unsigned len)
{
	for (unsigned done = 0; done < len; done += 8) {
		struct posted_write *w = &cpu->posted[cpu->posted_count++];

		w->gpa = (gpa & GPA_BITS) + done;
		w->rip = cpu->rip;
		w->len = MIN(len - done, 8);
		copy_bytes(w->data, buf + done, w->len);
	}
}

/* ---- reads ---- */

/* Does the subscriber of engine/tap.h want other bytes to be read? */
static bool data_given(const struct cpu *cpu)
{
	return cpu->answers.tapped && cpu->given_count;
}

static void read_given(const struct cpu *cpu, const struct access_part *p, u8 *buf)
{
	u64 gpa = p->to.gpa & GPA_BITS;

	for (unsigned n = 0; data_given(cpu) && n < cpu->given_count; n++) {
		const struct given *g = &cpu->given[n];

		for (unsigned i = 0; i < p->len; i++)
			if (gpa + i - g->gpa < g->len)
				buf[i] = g->data[gpa + i - g->gpa];
	}
}

static int read_part(struct cpu *cpu, const struct access_part *p, u8 *buf)
{
	int r = CPU_OK;

	if (!p->to.hva)
		r = mmio_read(cpu, p->to.gpa, buf, p->len);
	else if (guest_copy(buf, p->to.hva, p->len))
		r = mem_host_fault(cpu, p->to.gpa, p->len);
	if (unlikely(p->to.once) && !r)
		read_given(cpu, p, buf);
	return r;
}

static int read_slow(struct cpu *cpu, u64 lin, u8 *buf, unsigned len, unsigned acc)
{
	struct parts parts;
	int r = translate_parts(cpu, lin, len, acc, &parts);

	for (unsigned i = 0; !r && i < parts.n; i++) {
		r = read_part(cpu, &parts.part[i], buf);
		buf += parts.part[i].len;
	}
	return r;
}

int mem_read(struct cpu *cpu, u64 lin, void *buf, unsigned len, unsigned acc)
{
	const u8 *hva;

	check_inside(cpu);
	acc &= ~ACC_WRITE;
	lin = linear_wrap(cpu, lin);
	debug_access(cpu, lin, len, acc);
	hva = tlb_lookup(cpu, access_view(cpu, acc), TLB_READ, lin, len);
	if (unlikely(!hva || guest_copy(buf, hva, len)))
		return read_slow(cpu, lin, buf, len, acc);
	return CPU_OK;
}

int mem_probe_read(struct cpu *cpu, u64 lin, unsigned len, unsigned acc)
{
	struct parts parts;

	check_inside(cpu);
	acc &= ~ACC_WRITE;
	lin = linear_wrap(cpu, lin);
	if (likely(tlb_lookup(cpu, access_view(cpu, acc), TLB_READ, lin, len)))
		return CPU_OK;
	return translate_parts(cpu, lin, len, acc, &parts);
}

/* ---- writes ---- */

static int write_part(struct cpu *cpu, const struct access_part *p, const u8 *buf)
{
	if (!p->to.hva)
		mmio_post(cpu, p->to.gpa, buf, p->len);
	else if (guest_copy(p->to.hva, buf, p->len))
		return mem_host_fault(cpu, p->to.gpa, p->len);
	cpu->away.has_stored = true;
	return CPU_OK;
}

/*
 * Only when all is written: code_written() may let another cpu believe that we hold no address of a page that it
 * begins to watch.
 */
static void tell_translator(struct cpu *cpu, const struct parts *parts)
{
	for (unsigned i = 0; i < parts->n; i++)
		if (parts->part[i].to.watched)
			code_written(cpu, parts->part[i].to.gpa, parts->part[i].len);
}

static int write_slow(struct cpu *cpu, u64 lin, const u8 *buf, unsigned len, unsigned acc)
{
	struct parts parts;
	int r = translate_parts(cpu, lin, len, acc, &parts);

	if (!r && mmio_fragments(&parts) > (unsigned)(POSTED_MAX - cpu->posted_count))
		return mem_internal_error(cpu);
	for (unsigned i = 0; !r && i < parts.n; i++) {
		r = write_part(cpu, &parts.part[i], buf);
		buf += parts.part[i].len;
	}
	if (parts.n)
		tell_translator(cpu, &parts);
	return r;
}

int mem_write(struct cpu *cpu, u64 lin, const void *buf, unsigned len, unsigned acc)
{
	u8 *hva;

	check_inside(cpu);
	acc |= ACC_WRITE;
	lin = linear_wrap(cpu, lin);
	debug_access(cpu, lin, len, acc);
	hva = tlb_lookup(cpu, access_view(cpu, acc), TLB_WRITE, lin, len);
	if (unlikely(!hva || guest_copy(hva, buf, len)))
		return write_slow(cpu, lin, buf, len, acc);
	cpu->away.has_stored = true;
	return CPU_OK;
}

int mem_probe_write(struct cpu *cpu, u64 lin, unsigned len, unsigned acc)
{
	struct parts parts;

	check_inside(cpu);
	acc |= ACC_WRITE;
	lin = linear_wrap(cpu, lin);
	if (likely(tlb_lookup(cpu, access_view(cpu, acc), TLB_WRITE, lin, len)))
		return CPU_OK;
	return translate_parts(cpu, lin, len, acc, &parts);
}

/* ---- native execution ---- */

int mem_host(struct cpu *cpu, u64 lin, unsigned len, unsigned acc, void **ret)
{
	struct access_target t;
	int r;

	check_inside(cpu);
	lin = linear_wrap(cpu, lin);
	debug_access(cpu, lin, len, acc);
	*ret = NULL;
	if (len > bytes_to_page_end(lin))
		return CPU_OK;
	*ret = tlb_lookup(
		cpu, access_view(cpu, acc), acc & ACC_WRITE ? TLB_WRITE : TLB_READ, lin, len);
	if (likely(*ret))
		return CPU_OK;
	r = tlb_translate(cpu, lin, acc, &t);
	if (!r && !t.watched && !t.once)
		*ret = t.hva;
	return r;
}

int mem_host_store(
	struct cpu *cpu, u64 lin, unsigned len, unsigned acc, void **ret, u64 *ret_watched)
{
	struct access_target t;
	int r;

	check_inside(cpu);
	lin = linear_wrap(cpu, lin);
	*ret = NULL;
	*ret_watched = MEM_UNWATCHED;
	debug_access(cpu, lin, len, ACC_WRITE);
	if (len > bytes_to_page_end(lin))
		return CPU_OK;
	*ret = tlb_lookup(cpu, cpu->view, TLB_WRITE, lin, len);
	if (likely(*ret))
		return CPU_OK;
	r = tlb_translate(cpu, lin, acc, &t);
	if (r)
		return r;
	if (unlikely(t.once) && data_given(cpu)) /* to be read from elsewhere, and written here */
		return CPU_OK;
	*ret = t.hva;
	if (t.watched)
		*ret_watched = t.gpa;
	return CPU_OK;
}
