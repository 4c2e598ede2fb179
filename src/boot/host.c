/* SPDX-License-Identifier: MIT */
/* Facts about the host: CPUID (SDM 2, CPUID; APM 3, appendix E), the kernel's switches, a device's group. */
#include <cpuid.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cpuidtrap.h"
#include "base/types.h"
#include "base/views.h"
#include "base/without.h"
#include "boot/host.h"
#include "cage/cage.h"

static void look_at_cpu(struct host_facts *f)
{
	u32 a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d)) {
		f->vmx = c & BIT(5);
		f->in_vm = c & BIT(31);
	}
	if (__get_cpuid(0x80000001, &a, &b, &c, &d))
		f->svm = c & BIT(2);
	host_cpu_look(&f->cpu);
}

static void look_at_views(struct host_facts *f)
{
	struct views v;
	int r = views_map(&v, PAGE_SIZE);

	f->exec_error = -r;
	if (r)
		return;
	f->exec_memfd = v.memfd;
	views_unmap(&v, PAGE_SIZE);
}

static void look_at_cpuid(struct host_facts *f)
{
	f->cpuid_faulting = !without(WITHOUT_CPUID_FAULTING) && !cpuid_fault();
	if (f->cpuid_faulting)
		cpuid_fault_end();
}

static void look_at_device(struct host_facts *f)
{
	struct stat st;
	struct group *group;

	if (stat("/dev/kvm", &st) < 0 || (st.st_mode & 060) != 060 || st.st_gid == 0)
		return;
	group = getgrgid(st.st_gid);
	if (group)
		snprintf(f->kvm_group, sizeof(f->kvm_group), "%s", group->gr_name);
	else
		snprintf(f->kvm_group, sizeof(f->kvm_group), "%u", st.st_gid);
}

void host_look(struct host_facts *facts)
{
	memset(facts, 0, sizeof(*facts));
	look_at_cpu(facts);
	look_at_device(facts);
	look_at_views(facts);
	facts->direct_error = -cage_try();
	facts->dispatch = host_has_dispatch();
	look_at_cpuid(facts);
}
