/* SPDX-License-Identifier: MIT */
/*
 * The parameters of the kernel's KVM modules, which programs read to learn what a KVM does: ours do
 * not depend on modules, so that these files answer for the engine, whether or not the machine has
 * such modules. One row a parameter. There is a real MMU nowhere, so what asks for one is off.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim/shim.h"

#define MODULES      "/sys/module/"
#define PARAMETERS   "/parameters/"
#define MODULE_AMD   "kvm_amd"
#define MODULE_INTEL "kvm_intel"

static const struct {
	const char *module, *name, *value;
} params[] = {
	{"kvm", "eager_page_split", "N\n"},
	{"kvm", "enable_pmu", "N\n"},
	{"kvm", "enable_vmware_backdoor", "N\n"},
	{"kvm", "force_emulation_prefix", "0\n"},
	{"kvm", "halt_poll_ns", "0\n"},
	{"kvm", "ignore_msrs", "N\n"},
	{"kvm", "mmio_caching", "Y\n"},
	{"kvm", "nx_huge_pages", "N\n"},
	{"kvm", "report_ignored_msrs", "Y\n"},
	{"kvm", "tdp_mmu", "N\n"},
	{MODULE_AMD, "avic", "N\n"},
	{MODULE_AMD, "nested", "0\n"},
	{MODULE_AMD, "npt", "N\n"},
	{MODULE_AMD, "sev", "N\n"},
	{MODULE_INTEL, "enable_apicv", "N\n"},
	{MODULE_INTEL, "ept", "N\n"},
	{MODULE_INTEL, "nested", "N\n"},
	{MODULE_INTEL, "unrestricted_guest", "Y\n"},
};

/* The module that would be loaded on this processor, beside kvm itself. */
static const char *vendor_module(void)
{
	u32 a, b, c, d;

	if (!__get_cpuid(0, &a, &b, &c, &d))
		return "";
	return b == 0x756e6547 /* Genu */ ? MODULE_INTEL : MODULE_AMD;
}

/* path is prefix followed by what is returned, else NULL. */
static const char *after(const char *path, const char *prefix)
{
	size_t n = strlen(prefix);

	return strncmp(path, prefix, n) ? NULL : path + n;
}

static const char *value_of(const char *module, const char *rest)
{
	const char *name = after(rest, module);

	name = name ? after(name, PARAMETERS) : NULL;
	for (unsigned i = 0; name && i < ARRAY_SIZE(params); i++)
		if (!strcmp(params[i].module, module) && !strcmp(params[i].name, name))
			return params[i].value;
	return NULL;
}

static long open_text(const char *text, int flags)
{
	int fd = memfd_create(
		"parameter", MFD_ALLOW_SEALING | (flags & O_CLOEXEC ? MFD_CLOEXEC : 0));
	ssize_t n = strlen(text);

	if (fd < 0)
		return -errno;
	if (write(fd, text, n) == n && !lseek(fd, 0, SEEK_SET) &&
		!fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL))
		return fd;
	close(fd);
	return -EIO;
}

long params_open(const char *path, int flags)
{
	const char *rest = path ? after(path, MODULES) : NULL, *value;

	if (!rest || !after(rest, "kvm"))
		return NOT_OURS;
	value = value_of("kvm", rest);
	if (!value)
		value = value_of(vendor_module(), rest);
	if (!value)
		return NOT_OURS;
	return (flags & O_ACCMODE) == O_RDONLY ? open_text(value, flags) : -EACCES;
}
