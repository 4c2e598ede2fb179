/* SPDX-License-Identifier: MIT */
/* Facts about the host: CPUID (SDM 2, CPUID; APM 3, appendix E), the kernel's switches, a device's group. */
#include <cpuid.h>
#include <errno.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/types.h"
#include "boot/host.h"

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

/* The code cache is one memory mapped twice, writable and executable. */
static int try_exec_memfd(void)
{
	int fd = memfd_create("uservisor-doctor", MFD_CLOEXEC), error = 0;
	void *page;

	if (fd < 0)
		return errno;
	if (ftruncate(fd, (off_t)PAGE_SIZE) < 0) {
		error = errno;
	} else {
		page = mmap(NULL, PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
		if (page == MAP_FAILED)
			error = errno;
		else
			munmap(page, PAGE_SIZE);
	}
	close(fd);
	return error;
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
	facts->exec_error = try_exec_memfd();
	facts->exec_memfd = facts->exec_error == 0;
}
