/* SPDX-License-Identifier: MIT */
/*
 * fuzz-state: what a VMM reads of a vcpu it gives back with one field changed, runs, and reads again.
 *
 * Nothing may crash or hang. What SET accepts GET gives back, where nothing says otherwise: registers, segments' bases.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "fuzz/box.h"

enum { MSRS, MCE, STATES, RUNS, CPUID };
static const char *const ingredients[] = {"msrs", "mce", "states", "runs", "cpuid", NULL};

static const struct {
	const char *name;
	unsigned long get, set;
	unsigned size;
} parts[] = {
	{"regs", KVM_GET_REGS, KVM_SET_REGS, sizeof(struct kvm_regs)},
	{"sregs", KVM_GET_SREGS, KVM_SET_SREGS, sizeof(struct kvm_sregs)},
	{"sregs2", KVM_GET_SREGS2, KVM_SET_SREGS2, sizeof(struct kvm_sregs2)},
	{"events", KVM_GET_VCPU_EVENTS, KVM_SET_VCPU_EVENTS, sizeof(struct kvm_vcpu_events)},
	{"debugregs", KVM_GET_DEBUGREGS, KVM_SET_DEBUGREGS, sizeof(struct kvm_debugregs)},
	{"xsave", KVM_GET_XSAVE, KVM_SET_XSAVE, sizeof(struct kvm_xsave)},
	{"xcrs", KVM_GET_XCRS, KVM_SET_XCRS, sizeof(struct kvm_xcrs)},
	{"fpu", KVM_GET_FPU, KVM_SET_FPU, sizeof(struct kvm_fpu)},
	{"lapic", KVM_GET_LAPIC, KVM_SET_LAPIC, sizeof(struct kvm_lapic_state)},
	{"mp_state", KVM_GET_MP_STATE, KVM_SET_MP_STATE, sizeof(struct kvm_mp_state)},
	{"irqchip", KVM_GET_IRQCHIP, KVM_SET_IRQCHIP, sizeof(struct kvm_irqchip)},
	{"pit2", KVM_GET_PIT2, KVM_SET_PIT2, sizeof(struct kvm_pit_state2)},
	{"clock", KVM_GET_CLOCK, KVM_SET_CLOCK, sizeof(struct kvm_clock_data)},
};

static void change(struct random *r, u8 *p, unsigned size)
{
	const u64 v = rnd_edge(r);
	const unsigned wanted = 1u << rnd_below(r, 4), width = MIN(size, wanted);
	const unsigned at = (unsigned)rnd_below(r, size / width) * width;

	if (rnd_chance(r, 30))
		p[at] ^= (u8)(1u << rnd_below(r, 8));
	else
		memcpy(p + at, &v, width);
}

static int fd_of(struct box *b, unsigned long get)
{
	return get == KVM_GET_IRQCHIP || get == KVM_GET_PIT2 || get == KVM_GET_CLOCK ? b->vm
										     : b->vcpu[0];
}

static void one_state(struct box *b, struct random *r)
{
	const unsigned i = (unsigned)rnd_below(r, ARRAY_SIZE(parts));
	const int fd = fd_of(b, parts[i].get);
	_Alignas(64) u8 was[8192] = {0}, is[8192] = {0};

	((struct kvm_irqchip *)was)->chip_id = (u32)rnd_below(r, 3);
	if (box_do(b, fd, parts[i].get, was))
		return;
	for (u64 n = 1 + rnd_below(r, 2); n; n--)
		change(r, was, parts[i].size);
	tell("set %s: %ld", parts[i].name, box_do(b, fd, parts[i].set, was));
	((struct kvm_irqchip *)is)->chip_id = (u32)rnd_below(r, 3);
	box_do(b, fd, parts[i].get, is);
}

/* Registers have no bits that mean something else: what was set is what is there. */
static void check_regs(struct box *b, struct random *r)
{
	struct kvm_regs was, is;

	box_do(b, b->vcpu[0], KVM_GET_REGS, &was);
	for (unsigned i = 0; i < 16; i++)
		(&was.rax)[i] = rnd_edge(r);
	if (box_do(b, b->vcpu[0], KVM_SET_REGS, &was))
		return;
	box_do(b, b->vcpu[0], KVM_GET_REGS, &is);
	if (memcmp(&was, &is, 16 * 8))
		finding("KVM_GET_REGS differs from what was set");
}

static u32 any_msr(struct random *r)
{
	static const u32 base[] = {0x10, 0x174, 0x179, 0x17a, 0x1a0, 0x1d9, 0x200, 0x250, 0x277,
		0x280, 0x2ff, 0x400, 0x4d0, 0x6e0, 0x800, 0x830, 0x9e, 0x1b, 0x3a, 0x3b, 0x8b,
		0x4b564d00, 0x40000000, 0x40000020, 0x40000070, 0x40000080, 0x40000090, 0x400000b0,
		0xc0000080, 0xc0000081, 0xc0000100, 0xc0010000, 0xda0};

	return RND_OF(r, base) + (u32)(rnd_chance(r, 40) ? 0 : rnd_below(r, 32));
}

static void one_msr(struct box *b, struct random *r)
{
	struct {
		struct kvm_msrs h;
		struct kvm_msr_entry e;
	} m = {.h.nmsrs = 1, .e.index = any_msr(r)};

	if (box_do(b, b->vcpu[0], KVM_GET_MSRS, &m) == 1 && rnd_chance(r, 50))
		change(r, (u8 *)&m.e.data, 8);
	else
		m.e.data = rnd_edge(r);
	tell("msr %#x = %#llx: %ld", m.e.index, (unsigned long long)m.e.data,
		box_do(b, b->vcpu[0], KVM_SET_MSRS, &m));
}

/* The number of banks comes from one request, the number of the bank from another. */
static void one_mce(struct box *b, struct random *r)
{
	struct kvm_x86_mce mce = {.status = rnd_edge(r) | 1ull << 63,
		.addr = rnd(r),
		.misc = rnd(r),
		.mcg_status = rnd_chance(r, 50) ? 5 : rnd_edge(r),
		.bank = (u8)(rnd_chance(r, 50) ? rnd_below(r, 256) : rnd_edge(r))};
	u64 cap = rnd_edge(r) & (rnd_chance(r, 80) ? 0x10001ff : -1ull);
	struct {
		struct kvm_msrs h;
		struct kvm_msr_entry e;
	} m = {.h.nmsrs = 1,
		.e = {.index = 0x179, .data = rnd_below(r, 256) | rnd_below(r, 2) << 8}},
	  s = {.h.nmsrs = 1, .e.index = 0x179};

	if (rnd_chance(r, 50))
		box_do(b, b->vcpu[0], KVM_X86_SETUP_MCE, &cap);
	if (rnd_chance(r, 50))
		box_do(b, b->vcpu[0], KVM_SET_MSRS, &m);
	box_do(b, b->vcpu[0], KVM_GET_MSRS, &s);
	if (!box_do(b, b->vcpu[0], KVM_X86_SET_MCE, &mce) && mce.bank >= 32)
		finding("KVM_X86_SET_MCE takes bank %u of the 32 that there are (MCG_CAP %#llx)",
			mce.bank, (unsigned long long)s.e.data);
}

static void one_cpuid(struct box *b, struct random *r)
{
	struct {
		struct kvm_cpuid2 h;
		struct kvm_cpuid_entry2 e[256];
	} c = {.h.nent = 256};

	if (box_do(b, b->sys, KVM_GET_SUPPORTED_CPUID, &c))
		return;
	for (u64 n = rnd_below(r, 4); n; n--)
		change(r, (u8 *)c.e, c.h.nent * (u32)sizeof(c.e[0]));
	box_do(b, b->vcpu[0], KVM_SET_CPUID2, &c);
}

static void some_runs(struct box *b, struct random *r)
{
	if (rnd_chance(r, 40))
		box_start(b, 0, rnd_chance(r, 70));
	for (unsigned i = 0; i < 4; i++) {
		b->run[0]->immediate_exit = 0;
		/* A guest may wait or loop forever, that is its right. */
		alarm(0);
		ualarm(2000, 0);
		if (box_do(b, b->vcpu[0], KVM_RUN, NULL))
			break;
	}
	ualarm(0, 0);
}

static void one_case(struct random *r)
{
	struct box b = {0};

	box_open(&b, 1, rnd_chance(r, 70), 0);
	memcpy(b.ram + AT_CODE,
		(const u8[]){0x50, 0x58, 0xe6, 0x10, 0x0f, 0x31, 0x0f, 0xa2, 0xeb, 0xf6}, 10);
	box_start(&b, 0, rnd_chance(r, 70));
	for (unsigned i = 0; i < 60; i++) {
		progress("state is set");
		count_step();
		switch (rnd_below(r, 12)) {
		case 0 ... 4: with(STATES) ? one_state(&b, r) : (void)0; break;
		case 5 ... 6: with(MSRS) ? one_msr(&b, r) : (void)0; break;
		case 7: with(MCE) ? one_mce(&b, r) : (void)0; break;
		case 8: with(CPUID) ? one_cpuid(&b, r) : (void)0; break;
		case 9: check_regs(&b, r); break;
		default: with(RUNS) ? some_runs(&b, r) : (void)0;
		}
	}
	progress("the machine is closed");
	box_close(&b);
}

int main(int argc, char **argv)
{
	static const struct fuzzer f = {.name = "state",
		.ingredients = ingredients,
		.pass_seconds = 4,
		.hang_seconds = 60,
		.interrupts = SIGALRM,
		.one_case = one_case};

	return fuzz_main(&f, argc, argv);
}
