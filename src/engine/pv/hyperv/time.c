/* SPDX-License-Identifier: MIT */
/*
 * Reference time (TLFS 12.4): 100 ns units since the machine's clock was 0, and the page that lets the guest
 * compute it from its TSC. While there is a page the register follows the same formula, so that a guest never sees
 * the two disagree.
 */
#include <errno.h>

#include "engine/pv/hyperv/hv.h"
#include "engine/irqchip.h"
#include "engine/time/clock.h"

static u64 scaled(u64 tsc, u64 scale)
{
	return (u64)((unsigned __int128)tsc * scale >> 64);
}

u64 hv_reference_time(struct machine *m)
{
	struct hv_partition *p = m->hv;
	u64 scale;
	s64 offset;

	pthread_mutex_lock(&p->lock);
	scale = p->tsc_scale;
	offset = p->tsc_offset;
	pthread_mutex_unlock(&p->lock);
	if (!scale)
		return machine_get_clock(m) / 100;
	return scaled(machine_guest_tsc(m), scale) + (u64)offset;
}

/* Sequence numbers go on, so that a reader who was in between starts again. */
static u32 next_sequence(u32 n)
{
	n++;
	return n == 0 || n == UINT32_MAX ? 1 : n;
}

static int write_page(struct machine *m, u64 gpa)
{
	struct hv_partition *p = m->hv;
	struct hv_tsc_page page = {0};
	u64 tsc, ref = machine_get_clock_and_tsc(m, &tsc) / 100, hz = machine_guest_tsc_hz(m);

	if (hz <= HV_TICKS_PER_SEC) /* too slow for the formula: the register tells the time */
		return machine_write(m, gpa, &page, sizeof(page)) ? -EINVAL : 0;
	page.scale = (u64)(((unsigned __int128)HV_TICKS_PER_SEC << 64) / hz);
	page.offset = (s64)(ref - scaled(tsc, page.scale));
	if (machine_write(m, gpa, &page.sequence, sizeof(page.sequence)) ||
		machine_write(m, gpa, &page, sizeof(page)))
		return -EINVAL;
	pthread_mutex_lock(&p->lock);
	p->tsc_scale = page.scale;
	p->tsc_offset = page.offset;
	page.sequence = p->tsc_sequence = next_sequence(p->tsc_sequence);
	pthread_mutex_unlock(&p->lock);
	return machine_write(m, gpa, &page.sequence, sizeof(page.sequence)) ? -EINVAL : 0;
}

/* Where there is no RAM there is no page, and no complaint. */
int hv_set_reference_tsc(struct machine *m, u64 value)
{
	struct hv_partition *p = m->hv;

	pthread_mutex_lock(&p->lock);
	p->reference_tsc = value;
	p->tsc_scale = 0;
	pthread_mutex_unlock(&p->lock);
	if (value & HV_PAGE_ENABLE)
		write_page(m, value & PAGE_MASK);
	return 0;
}

/* A guest that has asked for TSC emulation is told first (TLFS 12.5): until it is done, the page stands. */
void hv_clock_changed(struct machine *m)
{
	struct hv_partition *p = m->hv;
	bool update;
	u64 value;

	pthread_mutex_lock(&p->lock);
	value = p->reference_tsc;
	update = (value & HV_PAGE_ENABLE) && !p->tsc_emulation;
	if (update)
		p->tsc_scale = 0;
	pthread_mutex_unlock(&p->lock);
	if (update)
		write_page(m, value & PAGE_MASK);
}
