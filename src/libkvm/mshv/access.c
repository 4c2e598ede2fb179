/* SPDX-License-Identifier: MIT */
/*
 * The guest's memory as an instruction of it sees it: from linear to guest-physical addresses by the hypervisor's walk,
 * from there to the slots. Whoever uses it holds the partition's lock, or a slot might go meanwhile.
 */
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "libkvm/mshv/mshv.h"

long vp_translate(struct vp *v, u64 gva, u64 flags, struct hv_translated *ret, struct refusal *why)
{
	const struct hv_translate in = {
		.vp_index = v->index, .flags = flags, .gva_page = gva / PAGE_SIZE};
	struct mshv_root_hvcall call = {.code = HVCALL_TRANSLATE_VIRTUAL_ADDRESS,
		.in_sz = sizeof(in),
		.out_sz = sizeof(*ret),
		.in_ptr = (u64)(uintptr_t)&in,
		.out_ptr = (u64)(uintptr_t)ret};

	return hvcall(v->p->mshv, v->fd, &call, why);
}

/* What the walk ended with, as the error code of a page fault (SDM 3:4.7). */
static u32 fault_code(u32 result, bool write, bool user)
{
	u32 code = (write ? PF_W : 0) | (user ? PF_U : 0);

	if (result == HV_TRANSLATE_PRIVILEGE)
		code |= PF_P;
	if (result == HV_TRANSLATE_BAD_FLAGS)
		code |= PF_P | PF_RSVD;
	return code;
}

static enum emu_result walk(
	struct vp *v, u64 gva, bool write, u64 *ret_page, struct emu_fault *ret_fault)
{
	const u64 flags = HV_TRANSLATE_SET_BITS | (write ? HV_TRANSLATE_WRITE : HV_TRANSLATE_READ);
	const bool user = SEG_DPL(v->emu.segment[SEG_SS].attr) == 3;
	struct hv_translated found = {.result = HV_TRANSLATE_NOT_PRESENT};
	struct refusal unsaid;

	vp_translate(v, gva, flags, &found, &unsaid);
	if (found.result != HV_TRANSLATE_OK && found.result < HV_TRANSLATE_UNMAPPED) {
		*ret_fault = (struct emu_fault){.vector = X86_PF,
			.has_error = true,
			.error = fault_code(found.result, write, user),
			.address = gva};
		return EMU_FAULT;
	}
	*ret_page = found.gpa_page;
	return EMU_DONE;
}

/* The last page is remembered for the time of one instruction: the hypervisor told of one, and strings stay in theirs. */
static enum emu_result find(
	void *opaque, u64 gva, bool write, struct emu_place *ret, struct emu_fault *ret_fault)
{
	struct vp *v = opaque;
	struct known_page *known = &v->known[write];
	const u64 page = gva / PAGE_SIZE;
	enum emu_result r;

	if (!known->valid || known->gva_page != page) {
		r = walk(v, gva, write, &known->gpa_page, ret_fault);
		if (r)
			return r;
		known->valid = true;
		known->gva_page = page;
	}
	ret->gpa = known->gpa_page * PAGE_SIZE + gva % PAGE_SIZE;
	ret->host = memory_at(v->p, ret->gpa, write);
	return EMU_DONE;
}

/* The program may have unmapped or protected it: so not by a pointer. */
bool access_copy(u8 *host, void *own, size_t n, bool to_host)
{
	const struct iovec here = {own, n}, there = {host, n};
	const ssize_t done = to_host ? process_vm_writev(getpid(), &here, 1, &there, 1, 0)
				     : process_vm_readv(getpid(), &here, 1, &there, 1, 0);

	return done == (ssize_t)n;
}

/* The linear address of the instruction, for which CS has a base outside 64-bit mode. */
static u64 code_address(const struct emu *e)
{
	return e->mode == 8 ? e->regs.rip : (u32)(e->segment[SEG_CS].base + e->regs.rip);
}

/* The hypervisor gives as many as it could read at once; the rest is in memory, or is not there. */
static void fetch_rest(struct vp *v)
{
	struct emu *e = &v->emu;
	struct emu_place place;
	struct emu_fault unsaid;

	pthread_mutex_lock(&v->p->lock);
	while (e->n_bytes < INSN_MAX) {
		const u64 gva = code_address(e) + e->n_bytes;

		if (find(v, gva, false, &place, &unsaid) || !place.host ||
			!access_copy(place.host, &e->bytes[e->n_bytes], 1, false))
			break;
		e->n_bytes++;
	}
	pthread_mutex_unlock(&v->p->lock);
}

u8 access_mode(const struct hv_intercept_header *h)
{
	if (h->execution_state & HV_EXEC_EFER_LMA && h->cs.attr & SEG_L)
		return 8;
	return h->cs.attr & SEG_DB ? 4 : 2;
}

/* The instruction that the last message is about. */
long access_begin(struct vp *v, const struct hv_intercept_header *h, const u8 *bytes, unsigned n,
	struct refusal *why)
{
	struct emu *e = &v->emu;
	long r = vp_load(v, &e->regs, why);

	if (r >= 0)
		r = vp_segments(v, e->segment, why);
	if (r < 0)
		return r;
	memset(v->known, 0, sizeof(v->known));
	e->find = find;
	e->copy = access_copy;
	e->opaque = v;
	e->mode = access_mode(h);
	e->real = !(h->execution_state & HV_EXEC_CR0_PE) || e->regs.rflags & FL_VM;
	e->address_bits = 48; /* no hypervisor of these has five levels for its guests yet */
	e->n_reads = 0;
	e->n_bytes = (u8)MIN(n, (unsigned)INSN_MAX);
	memcpy(e->bytes, bytes, e->n_bytes);
	if (e->n_bytes < INSN_MAX)
		fetch_rest(v);
	return 0;
}

/* The registers as the instruction leaves them, and what follows from its end: no shadow, perhaps a trap. */
long access_end(struct vp *v, bool complete, struct refusal *why)
{
	const bool trap = complete && v->emu.regs.rflags & FL_TF && !debug_steps(v);
	long r = vp_store(v, &v->emu.regs, why);

	v->stepped = complete && debug_steps(v);
	if (r >= 0)
		r = events_end_shadow(v, why);
	if (r >= 0 && trap)
		r = vp_inject(v, &(struct emu_fault){.vector = X86_DB, .address = DR6_BS}, why);
	return r;
}
