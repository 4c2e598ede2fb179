/* SPDX-License-Identifier: MIT */
/*
 * Linear access by the engine's own code: instructions that the host does not execute. Inner code.
 *
 * The fast path is the TLB. The slow path cuts the access into at most two parts, one a page, and
 * translates all of them before it touches anything; a part is RAM or MMIO. MMIO goes in fragments of
 * at most 8 bytes: reads are asked for one at a time (the instruction restarts with the
 * answers in cpu->answers), writes wait in cpu->posted for the end of the instruction. With OPT_INTERCEPTS a write
 * is asked for as a read is, before anything is written: whoever owns the register has done it when the answer is there.
 */
#include "engine/core/debug.h"
#include "engine/core/answer.h"
#include "engine/host/raw.h"
#include "engine/mem/mem_priv.h"
#include "engine/mem/mem.h"

struct access_part {
	struct access_target to;
	u64 lin;
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

		p->lin = lin;
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

/* One of the fragments in which device memory is accessed. */
struct fragment {
	u64 gpa, gva;
	const u8 *data; /* of a write, else NULL */
	unsigned len;
	bool rmw;
};

static int mmio_ask(struct cpu *cpu, const struct fragment *f)
{
	struct exit *e = &cpu->exit;

	if (answers_full(cpu))
		return mem_internal_error(cpu);
	cpu_exit_in_front(cpu, f->data ? EXIT_MMIO_WRITE : EXIT_MMIO_READ);
	e->mmio.gpa = f->gpa;
	e->mmio.len = f->len;
	__builtin_memset(e->mmio.data, 0, sizeof(e->mmio.data));
	if (f->data)
		copy_bytes(e->mmio.data, f->data, f->len);
	e->mmio.gva = f->gva;
	e->mmio.gva_valid = true;
	e->mmio.rmw = f->rmw;
	e->mmio.walk = false;
	e->mmio.denied = machine_intercepts(cpu->machine) && slot_denies(cpu, f->gpa);
	return ask_outside(cpu);
}

/* The n-th fragment of a part. Devices are the same in both address spaces. */
static struct fragment fragment_at(const struct access_part *p, const u8 *data, unsigned at)
{
	return (struct fragment){.gpa = (p->to.gpa & GPA_BITS) + at,
		.gva = p->lin + at,
		.data = data ? data + at : NULL,
		.len = MIN(p->len - at, 8)};
}

static int mmio_read(struct cpu *cpu, const struct access_part *p, u8 *buf, unsigned acc)
{
	for (unsigned done = 0; done < p->len; done += 8) {
		struct fragment f = fragment_at(p, NULL, done);
		const struct answer *a = answer_to(cpu, EXIT_MMIO_READ, f.gpa, f.len);

		f.rmw = acc & ACC_ALSO_WRITE;
		if (!a)
			return mmio_ask(cpu, &f);
		copy_bytes(buf + done, (const u8 *)&a->value, f.len);
	}
	return CPU_OK;
}

/* OPT_INTERCEPTS: has the owner of each register that is written been told? */
static int mmio_told(struct cpu *cpu, const struct access_part *p, const u8 *buf, unsigned acc)
{
	for (unsigned done = 0; done < p->len; done += 8) {
		struct fragment f = fragment_at(p, buf, done);

		f.rmw = acc & ACC_ALSO_READ;
		if (!answer_to(cpu, EXIT_MMIO_WRITE, f.gpa, f.len))
			return mmio_ask(cpu, &f);
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

static void mmio_post(struct cpu *cpu, const struct access_part *p, const u8 *buf)
{
	for (unsigned done = 0; done < p->len; done += 8) {
		struct posted_write *w = &cpu->posted[cpu->posted_count++];
		struct fragment f = fragment_at(p, buf, done);

		w->gpa = f.gpa;
		w->rip = cpu->rip;
		w->len = f.len;
		copy_bytes(w->data, f.data, f.len);
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
	u64 gpa = p->to.named & GPA_BITS;

	for (unsigned n = 0; data_given(cpu) && n < cpu->given_count; n++) {
		const struct given *g = &cpu->given[n];

		for (unsigned i = 0; i < p->len; i++)
			if (gpa + i - g->gpa < g->len)
				buf[i] = g->data[gpa + i - g->gpa];
	}
}

static int read_part(struct cpu *cpu, const struct access_part *p, u8 *buf, unsigned acc)
{
	int r = CPU_OK;

	if (!p->to.hva)
		r = mmio_read(cpu, p, buf, acc);
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
		r = read_part(cpu, &parts.part[i], buf, acc);
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
	if (!p->to.hva && machine_intercepts(cpu->machine))
		return CPU_OK; /* the device has it already */
	if (!p->to.hva)
		mmio_post(cpu, p, buf);
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

/* Before the first byte is written: can the parts that are devices go where they have to? */
static int mmio_accepts(struct cpu *cpu, const struct parts *parts, const u8 *buf, unsigned acc)
{
	int r = CPU_OK;

	if (!machine_intercepts(cpu->machine))
		return mmio_fragments(parts) > (unsigned)(POSTED_MAX - cpu->posted_count)
			       ? mem_internal_error(cpu)
			       : CPU_OK;
	for (unsigned i = 0; !r && i < parts->n; i++) {
		if (!parts->part[i].to.hva)
			r = mmio_told(cpu, &parts->part[i], buf, acc);
		buf += parts->part[i].len;
	}
	return r;
}

static int write_slow(struct cpu *cpu, u64 lin, const u8 *buf, unsigned len, unsigned acc)
{
	struct parts parts;
	int r = translate_parts(cpu, lin, len, acc, &parts);

	if (!r && (r = mmio_accepts(cpu, &parts, buf, acc)))
		return r;
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
