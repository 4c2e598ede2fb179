/* SPDX-License-Identifier: MIT */
/* CPUID: SDM 2, "CPUID"; APM 3, appendix E. FSGSBASE faults unless the kernel has set CR4's bit, and says so. */
#include <cpuid.h>
#include <errno.h>
#include <stddef.h>
#include <sys/auxv.h>

#include "base/hostcpu.h"
#include "base/sys.h"
#include "base/types.h"
#include "base/without.h"

#define HWCAP2_FSGSBASE_BIT BIT(1)
#define XCR0_X87_SSE        3u
#define XCR0_SSE_AVX        6u

u64 host_xcr0(void)
{
	u32 a, b, c, d, low, high;

	if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & BIT(27))) /* OSXSAVE */
		return XCR0_X87_SSE;
	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	return (u64)high << 32 | low;
}

void host_cpu_look(struct host_cpu *ret)
{
	u32 a, b, c, d;

	*ret = (struct host_cpu){.fsgsbase = (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE_BIT) &&
					     !without(WITHOUT_FSGSBASE)};
	if (__get_cpuid(1, &a, &b, &c, &d) && (c & BIT(28)))
		ret->avx = (host_xcr0() & XCR0_SSE_AVX) == XCR0_SSE_AVX;
	if (__get_cpuid_count(7, 0, &a, &b, &c, &d))
		ret->bmi2 = b & BIT(8);
}

bool host_cpu_is_amd(void)
{
	u32 a, b = 0, c, d;

	__get_cpuid(0, &a, &b, &c, &d);
	return b == 0x68747541 /* Auth */ || b == 0x6f677948 /* Hygo */;
}

bool host_cpu_virtualizes(void)
{
	u32 a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) && (c & BIT(5)))
		return true;                                            /* VMX: SDM 3:23.6 */
	return __get_cpuid(0x80000001, &a, &b, &c, &d) && (c & BIT(2)); /* SVM: APM 2:15.4 */
}

const char *host_cpu_missing(const struct host_cpu *cpu)
{
	if (!cpu->bmi2)
		return "BMI2";
	return cpu->avx ? NULL : "AVX";
}

#define DISPATCH    59 /* PR_SET_SYSCALL_USER_DISPATCH */
#define DISPATCH_ON 1

/* A bad pointer is found out before anything is changed, and after the request was understood. */
bool host_has_dispatch(void)
{
	return !without(WITHOUT_DISPATCH) &&
	       SYS_CALL5(SYS_prctl, DISPATCH, DISPATCH_ON, 0, 0, -1l) < 0 && errno == EFAULT;
}
