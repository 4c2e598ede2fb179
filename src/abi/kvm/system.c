/* SPDX-License-Identifier: MIT */
/* Requests on /dev/kvm itself, except CPUID and MSR lists (cpuid.c, msr.c). */
#include <errno.h>

#include "abi/kvm/caps.h"

long system_api_version(struct call *c)
{
	return KVM_API_VERSION;
}

long system_mmap_size(struct call *c)
{
	return RUN_PAGES * PAGE_SIZE;
}

long check_extension(struct call *c)
{
	return c->arg > UINT32_MAX ? 0 : capability_value(vm_of(c), c->arg);
}

/* The number of banks is up to the caller. */
long system_mce_cap(struct call *c)
{
	*(u64 *)c->data = MCE_CAP_SUPPORTED;
	return 0;
}

/* Bits of XCR0 that a guest may be given: CPUID.(EAX=0DH,ECX=0). */
static u64 guest_xcr0(void)
{
	struct cpuid_entry e[CPUID_MAX];
	unsigned i, n = MIN(engine_supported_cpuid(e, CPUID_MAX), (unsigned)CPUID_MAX);

	for (i = 0; i < n; i++)
		if (e[i].function == 0xd && !e[i].index)
			return e[i].eax | (u64)e[i].edx << 32;
	return 3;
}

static long check_attr(struct call *c)
{
	const struct kvm_device_attr *a = c->data;

	if (!a->group && a->attr == KVM_X86_XCOMP_GUEST_SUPP)
		return 0;
	return refuse(c->why, -ENXIO,
		"attr %lu of group %lu: the only attribute is KVM_X86_XCOMP_GUEST_SUPP",
		(u64)a->attr, (u64)a->group);
}

long system_get_attr(struct call *c)
{
	const struct kvm_device_attr *a = c->data;
	u64 value = guest_xcr0();

	return check_attr(c) ? -ENXIO : copy_out(c->dev, a->addr, &value, sizeof(value));
}

long system_has_attr(struct call *c)
{
	return check_attr(c);
}
