/* SPDX-License-Identifier: MIT */
/*
 * What a program sees of the processor when it looks for VT-x or AMD-V before it opens a device: its own CPUID
 * instructions (base/cpuidtrap.h) and the flags in /proc/cpuinfo.
 *
 * Where CPUID can fault, all of a program's do, unless there is none in it and in its libraries: to switch between
 * threads of which one faults costs some 50 us where a hypervisor emulates the switch. The C and C++ run-time
 * libraries have some, for themselves. Elsewhere those that certainly are CPUID are replaced in the
 * program's own copy of its code.
 */
#include <asm/prctl.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "abi/dev.h"
#include "base/cpuidtrap.h"
#include "base/hostcpu.h"
#include "base/sys.h"
#include "base/without.h"
#include "shim/processor.h"
#include "shim/shim.h"
#include "shim/cpuidsites.h"
#include "shim/trace.h"

#define SITES_MAX 511

#ifndef ARCH_GET_CPUID /* asm/prctl.h since Linux 4.12 */
#define ARCH_GET_CPUID 0x1011
#define ARCH_SET_CPUID 0x1012
#endif

static _Atomic enum processor shown; /* of this process, from before its first instruction on */

enum processor processor_shown(void)
{
	return atomic_load_explicit(&shown, memory_order_relaxed);
}

/* ---- replaced instructions ---- */

static int set_bytes(u64 at, const u8 bytes[2])
{
	u64 first = at & PAGE_MASK, end = ALIGN_UP(at + 2, PAGE_SIZE);

	if (SYS_CALL3(SYS_mprotect, first, end - first, PROT_READ | PROT_WRITE | PROT_EXEC))
		return -errno;
	memcpy((void *)at, bytes, 2);
	return SYS_CALL3(SYS_mprotect, first, end - first, PROT_READ | PROT_EXEC) ? -errno : 0;
}

static u64 *sites_map(void)
{
	u64 *list = sys_mmap(NULL, (SITES_MAX + 1) * sizeof(u64), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return list == MAP_FAILED ? NULL : list;
}

static bool replace(const struct object *o)
{
	static const u8 ud2[2] = {0x0f, 0x0b};
	u64 *list = sites_map(), at = 0;
	unsigned n = 0;

	while (list && n < SITES_MAX && (at = cpuid_site_next(o, at + 1)))
		if (cpuid_site_judge(o, at) == CPUID_SITE_CERTAIN)
			list[n++] = at;
	if (n)
		cpuid_replaced(list, n);
	else if (list)
		sys_munmap(list, (SITES_MAX + 1) * sizeof(u64));
	/* The list first: another thread may run into one at once. */
	for (unsigned i = 0; i < n; i++)
		if (set_bytes(list[i], ud2))
			return false;
	return n;
}

/* ---- before the program's first instruction ---- */

bool processor_is_asked(const struct object *o)
{
	u64 at = 0;

	while ((at = cpuid_site_next(o, at + 1)))
		if (cpuid_site_judge(o, at) != CPUID_SITE_NONE)
			return true;
	return false;
}

bool processor_decide(void)
{
	if (getenv(PROCESSOR_HOST_ENV))
		shown = PROCESSOR_HOST;
	else if (getenv(TRACE_KERNEL_ENV) || host_cpu_virtualizes())
		shown = PROCESSOR_HAS_IT;
	else
		return true;
	return false;
}

bool processor_fault(void)
{
	if (without(WITHOUT_CPUID_FAULTING) || cpuid_fault())
		return false;
	shown = PROCESSOR_FAULTS;
	return true;
}

void processor_replace(const struct object *program)
{
	shown = replace(program) ? PROCESSOR_REPLACED : PROCESSOR_CANNOT;
}

void processor_leave(void)
{
	shown = PROCESSOR_CANNOT;
}

void processor_has_machine(unsigned long request)
{
	if (unlikely(shown == PROCESSOR_FAULTS) && dev_makes_machine(request))
		cpuid_fault_end();
}

long processor_arch_prctl(int code, unsigned long arg)
{
	if (shown != PROCESSOR_FAULTS)
		return NOT_OURS;
	if (code == ARCH_GET_CPUID)
		return 1; /* it does not fault, as far as the program can tell */
	if (code == ARCH_SET_CPUID && !arg) {
		shown = PROCESSOR_HOST;
		cpuid_fault_leave();
	}
	return NOT_OURS;
}
