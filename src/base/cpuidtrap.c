/* SPDX-License-Identifier: MIT */
/* See cpuidtrap.h. Handlers read what is here, and it is written before there is anything to handle. */
#include <asm/prctl.h>
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/cpuidtrap.h"
#include "base/hostcpu.h"
#include "base/sys.h"

#ifndef ARCH_SET_CPUID
#define ARCH_SET_CPUID 0x1012
#endif
#define VMX_BIT BIT(5)
#define SVM_BIT BIT(2)

enum { R_BX = 11, R_DX, R_AX, R_CX, R_SP, R_IP }; /* of uapi/asm/sigcontext.h, from r8 on */

static _Atomic bool faults; /* some thread has it switched on */
static bool amd;
static const u64 *_Atomic replaced;
static unsigned replaced_count;

static int set_faulting(bool on)
{
	return (int)sys_raw(SYS_arch_prctl, ARCH_SET_CPUID, !on, 0, 0, 0, (long)sys_key);
}

int cpuid_fault(void)
{
	int r;

	amd = host_cpu_is_amd();
	atomic_store(&faults, true); /* first: what follows may fault already */
	r = set_faulting(true);
	if (r)
		atomic_store(&faults, false);
	return r;
}

void cpuid_fault_end(void)
{
	if (unlikely(atomic_load_explicit(&faults, memory_order_relaxed)))
		set_faulting(false);
}

void cpuid_fault_leave(void)
{
	atomic_store(&faults, false);
}

void cpuid_replaced(const u64 *at, unsigned count)
{
	amd = host_cpu_is_amd();
	replaced_count = count;
	atomic_store(&replaced, at);
}

bool cpuid_traps(void)
{
	return atomic_load_explicit(&faults, memory_order_relaxed) ||
	       atomic_load_explicit(&replaced, memory_order_relaxed);
}

/* ---- in a handler ---- */

static bool is_prefix(u8 byte)
{
	switch (byte) {
	case 0x26:
	case 0x2e:
	case 0x36:
	case 0x3e:
	case 0x64:
	case 0x65:
	case 0x66:
	case 0x67:
	case 0xf2:
	case 0xf3: return true;
	default: return byte >> 4 == 4; /* REX */
	}
}

/* Code need not be readable, but where this call is forbidden it nearly always is. */
static unsigned fetch(u64 pc, u8 *bytes, unsigned n)
{
	unsigned in_page = (unsigned)MIN((u64)n, PAGE_SIZE - (pc & ~PAGE_MASK));

	if (!sys_copy(bytes, (const void *)pc, n))
		return n;
	n = in_page; /* there may be nothing beyond */
	if (!sys_copy(bytes, (const void *)pc, n))
		return n;
	for (unsigned i = 0; i < n; i++)
		bytes[i] = ((const volatile u8 *)pc)[i];
	return n;
}

/* The length of the CPUID at pc, 0 if there is another instruction. */
static unsigned cpuid_length(u64 pc)
{
	u8 bytes[15];
	unsigned n = fetch(pc, bytes, sizeof(bytes)), i = 0;

	while (i < n && is_prefix(bytes[i]))
		i++;
	return i + 1 < n && bytes[i] == 0x0f && bytes[i + 1] == 0xa2 ? i + 2 : 0;
}

static bool is_replaced(u64 pc)
{
	const u64 *at = atomic_load(&replaced);
	unsigned low = 0, high = at ? replaced_count : 0;

	while (low < high) {
		unsigned middle = (low + high) / 2;

		if (at[middle] == pc)
			return true;
		if (at[middle] < pc)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static void execute(u64 *regs)
{
	u32 leaf = (u32)regs[R_AX], a, b, c, d;

	__cpuid_count(leaf, (u32)regs[R_CX], a, b, c, d);
	if (leaf == 1 && !amd)
		c |= VMX_BIT;
	if (leaf == 0x80000001 && amd)
		c |= SVM_BIT;
	regs[R_AX] = a;
	regs[R_BX] = b;
	regs[R_CX] = c;
	regs[R_DX] = d;
}

bool cpuid_answer(int signo, int code, u64 *regs)
{
	unsigned length;

	if (signo == SIGILL && code == ILL_ILLOPN && is_replaced(regs[R_IP])) {
		execute(regs);
		regs[R_IP] += 2;
		return true;
	}
	if (signo != SIGSEGV || code != SI_KERNEL || !atomic_load(&faults))
		return false;
	length = cpuid_length(regs[R_IP]);
	if (!length || set_faulting(false))
		return false;
	execute(regs);
	regs[R_IP] += length;
	set_faulting(true);
	return true;
}
