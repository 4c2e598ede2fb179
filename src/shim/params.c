/* SPDX-License-Identifier: MIT */
/*
 * /sys/module/kvm*: what the kernel's modules show of themselves. Programs read it before they open
 * /dev/kvm, or decide by it what they may expect. It says what is true of our engine, also where
 * the machine has modules of its own: these are not what the program runs on. There is a real MMU
 * nowhere, so what asks for one is off.
 */
#include <cpuid.h>
#include <string.h>

#include "shim/shim.h"

#define ROOT "/sys/module/"

/* Whose module it is: the host's vendor, which is also the guest's. */
enum vendor { ANY, INTEL, AMD };

static const struct param {
	enum vendor vendor;
	const char *path, *text;
} params[] = {
	{ANY, "kvm/parameters/eager_page_split", "N\n"},
	{ANY, "kvm/parameters/enable_pmu", "N\n"},
	{ANY, "kvm/parameters/enable_vmware_backdoor", "N\n"},
	{ANY, "kvm/parameters/force_emulation_prefix", "0\n"},
	{ANY, "kvm/parameters/halt_poll_ns", "200000\n"},
	{ANY, "kvm/parameters/ignore_msrs", "N\n"},
	{ANY, "kvm/parameters/kvmclock_periodic_sync", "N\n"},
	{ANY, "kvm/parameters/mmio_caching", "Y\n"},
	{ANY, "kvm/parameters/nx_huge_pages", "N\n"},
	{ANY, "kvm/parameters/report_ignored_msrs", "Y\n"},
	{ANY, "kvm/parameters/tdp_mmu", "N\n"},
	{ANY, "kvm/parameters/tsc_tolerance_ppm", "250\n"},
	{AMD, "kvm_amd/parameters/avic", "N\n"},
	{AMD, "kvm_amd/parameters/nested", "0\n"},
	{AMD, "kvm_amd/parameters/npt", "N\n"},
	{AMD, "kvm_amd/parameters/nrips", "1\n"},
	{AMD, "kvm_amd/parameters/sev", "N\n"},
	{INTEL, "kvm_intel/parameters/enable_apicv", "N\n"},
	{INTEL, "kvm_intel/parameters/ept", "N\n"},
	{INTEL, "kvm_intel/parameters/nested", "N\n"},
	{INTEL, "kvm_intel/parameters/unrestricted_guest", "Y\n"},
};

static enum vendor host_vendor(void)
{
	u32 a, b, c, d;

	__cpuid(0, a, b, c, d);
	return b == signature_INTEL_ebx ? INTEL : AMD;
}

static bool applies(const struct param *p)
{
	return p->vendor == ANY || p->vendor == host_vendor();
}

/* What follows the root, or NULL. */
static const char *under_root(const char *path)
{
	return strncmp(path, ROOT "kvm", sizeof(ROOT "kvm") - 1) ? NULL : path + sizeof(ROOT) - 1;
}

const char *params_text(const char *path)
{
	const char *name = under_root(path);

	for (unsigned i = 0; name && i < ARRAY_SIZE(params); i++)
		if (!strcmp(name, params[i].path) && applies(&params[i]))
			return params[i].text;
	return NULL;
}

bool params_is_folder(const char *path)
{
	const char *name = under_root(path);
	size_t n = name ? strlen(name) : 0;

	while (n && name[n - 1] == '/')
		n--;
	for (unsigned i = 0; n && i < ARRAY_SIZE(params); i++)
		if (!strncmp(name, params[i].path, n) && params[i].path[n] == '/' &&
			applies(&params[i]))
			return true;
	return false;
}
