/* SPDX-License-Identifier: MIT */
/* A local APIC's registers: KVM has them where xAPIC has them in memory, the hypervisor one behind the other. */
#include <errno.h>
#include <string.h>

#include "libkvm/mshv/mshv.h"

/* Offset in the page (SDM 3:10.4.1, table 10-1) and in the state; n registers, 16 bytes apart in the page. */
static const struct lapic_run {
	u16 page, state;
	u8 n;
} runs[] = {
#define RUN(page, field, n)                                                                        \
	{                                                                                          \
		page, offsetof(struct hv_lapic_state, field), n                                    \
	}
	RUN(0x20, id, 1),
	RUN(0x30, version, 1),
	RUN(0xc0, remote_read, 1),
	RUN(0xd0, ldr, 1),
	RUN(0xe0, dfr, 1),
	RUN(0xf0, spurious, 1),
	RUN(0x100, isr, 8),
	RUN(0x180, tmr, 8),
	RUN(0x200, irr, 8),
	RUN(0x280, esr, 1),
	RUN(0x2f0, lvt_cmci, 1),
	RUN(0x300, icr_low, 1),
	RUN(0x310, icr_high, 1),
	RUN(0x320, lvt_timer, 1),
	RUN(0x330, lvt_thermal, 1),
	RUN(0x340, lvt_perfmon, 1),
	RUN(0x350, lvt_lint0, 1),
	RUN(0x360, lvt_lint1, 1),
	RUN(0x370, lvt_error, 1),
	RUN(0x380, initial_count, 1),
	RUN(0x390, counter_value, 1),
	RUN(0x3e0, divide_configuration, 1),
#undef RUN
};

/* Not in the state: the task priority is CR8's (SDM 3:10.8.6), the processor's follows from it and what is in service. */
#define LAPIC_TPR 0x80
#define LAPIC_PPR 0xa0

struct state_page {
	struct hv_lapic_state s;
	u8 rest[PAGE_SIZE - sizeof(struct hv_lapic_state)];
} __attribute__((aligned(PAGE_SIZE)));

static void copy(u8 *regs, u8 *state, bool to_state)
{
	for (const struct lapic_run *r = runs; r < runs + ARRAY_SIZE(runs); r++)
		for (unsigned i = 0; i < r->n; i++) {
			u8 *reg = regs + r->page + 16 * i, *word = state + r->state + 4 * i;

			memcpy(to_state ? word : reg, to_state ? reg : word, 4);
		}
}

static u32 priority(const struct hv_lapic_state *s, u32 tpr)
{
	u32 served = 0;

	for (unsigned i = 0; i < ARRAY_SIZE(s->isr); i++)
		if (s->isr[i])
			served = (32 * i + 31 - (u32)__builtin_clz(s->isr[i])) & 0xf0;
	return (tpr & 0xf0) >= served ? tpr : served;
}

static long no_lapic(struct ask *c)
{
	return refuse(c->why, -EINVAL, "there is no local APIC: the VM has no irqchip");
}

long serve_get_lapic(struct ask *c)
{
	struct kvm_lapic_state *k = c->arg;
	struct state_page page;
	u64 cr8 = 0;
	u32 tpr, ppr;
	long r;

	if (!c->p->lapics)
		return no_lapic(c);
	r = vp_read_state(c->v, MSHV_VP_STATE_LAPIC, &page, c->why);
	if (r >= 0)
		r = vp_read_one(c->v, HV_X64_REGISTER_CR8, &cr8, c->why);
	if (r < 0)
		return r;
	memset(k, 0, sizeof(*k));
	copy((u8 *)k->regs, (u8 *)&page.s, false);
	tpr = (u32)cr8 << 4;
	ppr = priority(&page.s, tpr);
	memcpy(k->regs + LAPIC_TPR, &tpr, sizeof(tpr));
	memcpy(k->regs + LAPIC_PPR, &ppr, sizeof(ppr));
	return 0;
}

long serve_set_lapic(struct ask *c)
{
	struct kvm_lapic_state *k = c->arg;
	struct state_page page;
	u32 tpr;
	long r;

	if (!c->p->lapics)
		return no_lapic(c);
	r = vp_read_state(c->v, MSHV_VP_STATE_LAPIC, &page, c->why);
	if (r < 0)
		return r;
	copy((u8 *)k->regs, (u8 *)&page.s, true);
	r = vp_write_state(c->v, MSHV_VP_STATE_LAPIC, &page, c->why);
	memcpy(&tpr, k->regs + LAPIC_TPR, sizeof(tpr));
	return r < 0 ? r : vp_write_one(c->v, HV_X64_REGISTER_CR8, tpr >> 4 & 15, c->why);
}
