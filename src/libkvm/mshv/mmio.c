/* SPDX-License-Identifier: MIT */
/*
 * Accesses to where there is no memory. The hypervisor tells of the address; the instruction is emulated here, and each
 * read and write of a device becomes an exit, or is served by the IOAPIC.
 */
#include <string.h>

#include "libkvm/mshv/mshv.h"

static void show(struct vp *v, const struct emu_piece *piece, bool write)
{
	v->run->exit_reason = KVM_EXIT_MMIO;
	v->run->mmio.phys_addr = piece->gpa;
	v->run->mmio.len = piece->len;
	v->run->mmio.is_write = write;
	memset(v->run->mmio.data, 0, sizeof(v->run->mmio.data));
	if (write)
		memcpy(v->run->mmio.data, &piece->value, piece->len);
}

/* The rest of the instruction's writes: 1 if one is for the program. */
static long write_rest(struct vp *v)
{
	struct emu *e = &v->emu;

	while (v->writes_done < e->n_writes) {
		struct emu_piece *piece = &e->writes[v->writes_done++];

		if (chips_mmio(v->p, piece, true))
			continue;
		show(v, piece, true);
		v->awaits = AWAITS_MMIO_WRITE;
		return 1;
	}
	return 0;
}

/* With the answers that there are. */
static enum emu_result attempt(struct vp *v)
{
	struct emu *e = &v->emu;
	enum emu_result r;

	pthread_mutex_lock(&v->p->lock);
	for (;;) {
		r = emulate(e);
		if (r != EMU_READ || !chips_mmio(v->p, &e->need, false))
			break;
		e->reads[e->n_reads++] = e->need;
	}
	pthread_mutex_unlock(&v->p->lock);
	return r;
}

static long go_on(struct vp *v, struct refusal *why)
{
	const enum emu_result result = attempt(v);
	long r;

	switch (result) {
	case EMU_DONE:
		r = access_end(v, !v->emu.again, why);
		v->writes_done = 0;
		return r < 0 ? r : write_rest(v);
	case EMU_READ:
		show(v, &v->emu.need, false);
		v->awaits = AWAITS_MMIO_READ;
		return 1;
	default: return exit_failed_instruction(v, result, why);
	}
}

/* The registers may have been set meanwhile; the instruction is still the one that asked. */
long mmio_take_read(struct vp *v, struct refusal *why)
{
	struct emu *e = &v->emu;
	long r = vp_load(v, &e->regs, why);

	if (r < 0)
		return r;
	memcpy(&e->need.value, v->run->mmio.data, e->need.len);
	e->reads[e->n_reads++] = e->need;
	return go_on(v, why);
}

long mmio_take_write(struct vp *v)
{
	return write_rest(v);
}

static void remember_page(struct vp *v, const struct hv_memory_message *m)
{
	const struct known_page page = {true, m->gva / PAGE_SIZE, m->gpa / PAGE_SIZE};

	if (!(m->access_info & HV_MEMORY_GVA_GPA_VALID))
		return;
	v->known[false] = page;
	if (m->header.access == HV_INTERCEPT_WRITE)
		v->known[true] = page;
}

/* There is memory, so an access other than a write is refused only when the program has taken away what is behind it. */
static bool memory_lost(struct vp *v, const struct hv_memory_message *m)
{
	bool lost;

	pthread_mutex_lock(&v->p->lock);
	lost = m->header.access != HV_INTERCEPT_WRITE && memory_at(v->p, m->gpa, false);
	pthread_mutex_unlock(&v->p->lock);
	return lost;
}

long mmio_intercept(struct vp *v, struct refusal *why)
{
	const struct hv_memory_message *m = (const struct hv_memory_message *)v->message.payload;
	long r = access_begin(v, &m->header, m->bytes, m->byte_count, why);

	if (r < 0)
		return r;
	if (memory_lost(v, m))
		return exit_failed_instruction(v, EMU_LOST, why);
	if (m->header.access == HV_INTERCEPT_EXECUTE)
		return exit_failed_instruction(v, EMU_UNKNOWN, why);
	remember_page(v, m);
	return go_on(v, why);
}
