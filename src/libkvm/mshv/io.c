/* SPDX-License-Identifier: MIT */
/*
 * Port I/O. A single access is in the message, with RAX. A string instruction is handed over as a whole: elements are
 * collected in the page behind kvm_run, as many as lie in one page of memory, and the guest starts the instruction again
 * if there are more.
 */
#include <string.h>

#include "libkvm/mshv/mshv.h"

static const struct hv_io_port_message *message_of(const struct vp *v)
{
	return (const struct hv_io_port_message *)v->message.payload;
}

static bool is_out(const struct hv_io_port_message *m)
{
	return m->header.access == HV_INTERCEPT_WRITE;
}

static unsigned size_of(const struct hv_io_port_message *m)
{
	return m->access_info & HV_IO_SIZE;
}

static u8 *data_of(struct vp *v)
{
	return (u8 *)v->run + PAGE_SIZE;
}

/* ---- one access ---- */

/* IN leaves what it does not replace, and four bytes clear the upper half (SDM 1:3.4.1.1). */
static long complete_single(struct vp *v, struct refusal *why)
{
	const struct hv_io_port_message *m = message_of(v);
	const unsigned size = size_of(m);
	struct emu_regs regs;
	long r = vp_load(v, &regs, why);
	u64 value = 0;

	if (r < 0)
		return r;
	if (!is_out(m)) {
		memcpy(&value, data_of(v), size);
		regs.gpr[RAX] =
			size == 4 ? value : (regs.gpr[RAX] & ~(BIT64(8 * size) - 1)) | value;
	}
	regs.rip = emu_cut(regs.rip + (m->header.length_cr8 & 15), access_mode(&m->header));
	v->emu.regs = regs;
	return access_end(v, true, why);
}

/* ---- strings ---- */

/* How many elements there can be at once: those of the count, and of one page of data. */
static u64 elements(const struct vp *v)
{
	const struct emu *e = &v->emu;
	const u64 count =
		e->in.pfx & (PFX_REP | PFX_REPNE) ? emu_cut(e->regs.gpr[RCX], e->in.addr_size) : 1;

	return MIN(count, PAGE_SIZE / e->in.op_size);
}

static u64 stride(const struct emu *e)
{
	return e->regs.rflags & FL_DF ? 0 - (u64)e->in.op_size : e->in.op_size;
}

static u64 element_offset(const struct emu *e, unsigned reg, u64 i)
{
	return emu_cut(e->regs.gpr[reg] + i * stride(e), e->in.addr_size);
}

/* What one exit is about: the elements that lie ahead in one page, or one. */
struct stretch {
	u64 n;
	u8 *host; /* NULL: one, in two pages or with a device */
};

static unsigned segment_of(const struct emu *e, bool out)
{
	return out ? e->in.seg : SEG_ES;
}

static enum emu_result locate(struct vp *v, bool out, u64 n, struct stretch *ret)
{
	struct emu *e = &v->emu;
	struct emu_place place = {.host = NULL};
	enum emu_result r = emu_locate(e, segment_of(e, out), element_offset(e, out ? RSI : RDI, 0),
		(unsigned)n * e->in.op_size, !out, &place);

	*ret = (struct stretch){n, place.host};
	return r;
}

/* Fewer when there are not so many in the page, or in the segment. */
static enum emu_result find_stretch(struct vp *v, bool out, struct stretch *ret)
{
	const struct emu *e = &v->emu;
	u64 n = e->regs.rflags & FL_DF ? 1 : elements(v);

	while (n > 1) {
		if (locate(v, out, n, ret) == EMU_DONE && ret->host)
			return EMU_DONE;
		n /= 2;
	}
	return locate(v, out, 1, ret);
}

/* One element as instructions access it; on the way in, whether it can be done. */
static enum emu_result single_element(struct vp *v, bool out, void *data)
{
	struct emu *e = &v->emu;
	u64 value = 0;
	enum emu_result r;

	e->n_writes = e->n_stores = e->reads_used = e->n_reads = 0;
	if (out) {
		r = emu_read(e, e->in.seg, element_offset(e, RSI, 0), e->in.op_size, &value);
		memcpy(data, &value, e->in.op_size);
		return r == EMU_READ ? EMU_UNKNOWN : r; /* from a device to a port */
	}
	memcpy(&value, data, e->in.op_size);
	r = emu_write(e, SEG_ES, element_offset(e, RDI, 0), e->in.op_size, value);
	return e->n_writes ? EMU_UNKNOWN : r;
}

static enum emu_result gather(struct vp *v, bool out, u64 *ret_n)
{
	struct stretch stretch = {.n = 0};
	enum emu_result r;

	pthread_mutex_lock(&v->p->lock);
	r = find_stretch(v, out, &stretch);
	if ((r == EMU_DONE && !stretch.host) || r == EMU_UNKNOWN)
		r = single_element(v, out, data_of(v));
	else if (!r && out &&
		 !access_copy(stretch.host, data_of(v), stretch.n * v->emu.in.op_size, false))
		r = EMU_LOST;
	pthread_mutex_unlock(&v->p->lock);
	*ret_n = stretch.n;
	return r;
}

/* The way was found before, and may have changed since. */
static enum emu_result scatter(struct vp *v)
{
	struct stretch stretch;
	enum emu_result r;

	pthread_mutex_lock(&v->p->lock);
	r = locate(v, false, v->run->io.count, &stretch);
	if (!r && stretch.host)
		r = access_copy(stretch.host, data_of(v), stretch.n * v->emu.in.op_size, true)
			    ? EMU_DONE
			    : EMU_LOST;
	else if (!r || r == EMU_UNKNOWN) {
		r = single_element(v, false, data_of(v));
		if (!r)
			r = emu_commit(&v->emu);
	}
	pthread_mutex_unlock(&v->p->lock);
	return r;
}

static long advance_string(struct vp *v, unsigned reg, u64 n, struct refusal *why)
{
	struct emu *e = &v->emu;
	u64 left = 0;

	e->next = e->regs;
	emu_set_reg(e, reg, e->in.addr_size, element_offset(e, reg, n));
	if (e->in.pfx & (PFX_REP | PFX_REPNE)) {
		left = emu_cut(e->regs.gpr[RCX] - n, e->in.addr_size);
		emu_set_reg(e, RCX, e->in.addr_size, left);
	}
	if (!left)
		e->next.rip = emu_cut(e->next.rip + e->in.len, e->mode);
	e->regs = e->next;
	return access_end(v, !left, why);
}

/* The registers may have been set since the exit. */
static long complete_string(struct vp *v, struct refusal *why)
{
	const bool out = is_out(message_of(v));
	enum emu_result result = EMU_DONE;
	long r = vp_load(v, &v->emu.regs, why);

	if (r < 0)
		return r;
	if (!out)
		result = scatter(v);
	if (result)
		return exit_failed_instruction(v, result, why);
	return advance_string(v, out ? RSI : RDI, v->run->io.count, why);
}

/* A repeated one with a count of zero is over (SDM 2: REP). */
static long string_intercept(struct vp *v, u64 *ret_n, struct refusal *why)
{
	struct emu *e = &v->emu;
	const bool out = is_out(message_of(v));
	enum emu_result r = EMU_UNKNOWN;

	*ret_n = 0;
	if (insn_decode(&e->in, e->bytes, e->n_bytes, e->mode) == INSN_OK &&
		(e->in.desc->op == OP_INS || e->in.desc->op == OP_OUTS)) {
		if (!elements(v))
			return advance_string(v, out ? RSI : RDI, 0, why);
		r = gather(v, out, ret_n);
	}
	return r ? exit_failed_instruction(v, r, why) : 0;
}

/* ---- the exit ---- */

static void show(struct vp *v, u64 count)
{
	const struct hv_io_port_message *m = message_of(v);

	v->run->exit_reason = KVM_EXIT_IO;
	v->run->io.direction = is_out(m) ? KVM_EXIT_IO_OUT : KVM_EXIT_IO_IN;
	v->run->io.size = (u8)size_of(m);
	v->run->io.port = m->port;
	v->run->io.count = (u32)count;
	v->run->io.data_offset = PAGE_SIZE;
}

/* The chips of the VM are served without an exit. */
static bool served(struct vp *v, u64 count)
{
	const struct hv_io_port_message *m = message_of(v);

	for (u64 i = 0; i < count; i++)
		if (!chips_port(v->p, m->port, is_out(m), size_of(m), data_of(v) + i * size_of(m)))
			return false;
	return true;
}

long io_complete(struct vp *v, struct refusal *why)
{
	return message_of(v)->access_info & HV_IO_STRING ? complete_string(v, why)
							 : complete_single(v, why);
}

long io_intercept(struct vp *v, struct refusal *why)
{
	const struct hv_io_port_message *m = message_of(v);
	long r = 0;
	u64 n = 1;

	if (m->access_info & HV_IO_STRING) {
		r = access_begin(v, &m->header, m->bytes, m->byte_count, why);
		if (r >= 0)
			r = string_intercept(v, &n, why);
		if (r || !n)
			return r;
	} else
		memcpy(data_of(v), &m->rax, sizeof(m->rax));
	show(v, n);
	if (served(v, n))
		return io_complete(v, why);
	v->awaits = AWAITS_IO;
	return 1;
}
