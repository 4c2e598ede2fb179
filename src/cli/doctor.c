/* SPDX-License-Identifier: MIT */
/* uservisor doctor: what this machine offers, what will be used, and what to do about what is missing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "boot/host.h"
#include "boot/probe.h"
#include "cli/cli.h"

static void line(const char *title, const char *text)
{
	printf("%-20s %s\n", title, text);
}

static void advise_permission(const struct probe_result *probe, const struct host_facts *host)
{
	char text[256];

	if (probe->error == EPERM)
		snprintf(text, sizeof(text),
			"a container's rules forbid it: start that with `--device /dev/kvm`");
	else if (host->kvm_group[0])
		snprintf(text, sizeof(text),
			"to use it: `sudo usermod -aG %s $USER`, then log in again",
			host->kvm_group);
	else
		snprintf(text, sizeof(text),
			"only root may open it: have a group given access, as `chgrp kvm /dev/kvm; "
			"chmod g+rw /dev/kvm` does");
	line("", text);
}

/* Why there is no useful /dev/kvm, and what would help. */
static void advise_kvm(const struct probe_result *probe, const struct host_facts *host)
{
	switch (probe->verdict) {
	case PROBE_WORKS: return;
	case PROBE_SLOW: line("", "the soft engine is likely faster"); return;
	case PROBE_NOT_A_PC:
		line("", "a KVM without hardware behind it: guests made for it may run, stock "
			 "kernels do not");
		return;
	case PROBE_DENIED: advise_permission(probe, host); return;
	default:
		if (host->vmx || host->svm)
			line("", "the CPU could: load the kvm module (`sudo modprobe kvm_intel` or "
				 "`kvm_amd`), or pass the device into the container");
		return;
	}
}

static void tell_virtualization(const struct host_facts *host)
{
	if (host->vmx || host->svm)
		line("CPU", host->vmx ? "has VT-x" : "has AMD-V");
	else if (host->in_vm)
		line("CPU", "shows no VT-x or AMD-V: this is a virtual machine without nested "
			    "virtualization");
	else
		line("CPU", "shows no VT-x or AMD-V: it has none, or the firmware setup switches "
			    "it off");
}

static const char *yes(bool value)
{
	return value ? "yes" : "NO";
}

static void tell_memory(const struct host_facts *host)
{
	char text[256];

	if (host->exec_error)
		snprintf(text, sizeof(text),
			"none can be mapped writable and executable (%s): allow it in this "
			"sandbox's or "
			"SELinux policy",
			strerror(host->exec_error));
	else
		snprintf(text, sizeof(text),
			host->exec_memfd ? "a memfd mapped twice, writable and executable"
					 : "anonymous memory mapped twice, because a memfd may not "
					   "be executable: "
					   "costs nothing");
	line("soft engine: memory", text);
}

/* True when nothing is missing. */
static bool tell_soft(const struct host_facts *host, const struct probe_result *soft)
{
	const bool cpu = !host_cpu_missing(&host->cpu);
	char text[256];

	snprintf(text, sizeof(text), "BMI2 %s, AVX and XSAVE %s%s", yes(host->cpu.bmi2),
		yes(host->cpu.avx), cpu ? "" : ": needs Intel of 2013, AMD of 2015 or later");
	line("soft engine: CPU", text);
	tell_memory(host);
	line("soft engine", soft->text);
	return cpu && !host->exec_error && soft->verdict >= PROBE_SLOW;
}

/* What `uservisor exec` does on this host, and what it does instead of what is missing. */
static void tell_exec(const struct host_facts *host)
{
	line("exec: dynamic", "by a preloaded library");
	if (!host->dispatch)
		line("exec: static",
			"NO Syscall User Dispatch (Linux 5.11): static and Go programs "
			"cannot be run, dynamic ones can");
	else if (host->cpu.fsgsbase)
		line("exec: static", "by Syscall User Dispatch, with FSGSBASE");
	else
		line("exec: static",
			"by Syscall User Dispatch; NO FSGSBASE: arch_prctl() instead, one or "
			"two system calls more for each that is caught");
	line("exec: CPUID", host->cpuid_faulting
				    ? "of programs faults and is answered with VT-x or AMD-V in it"
				    : "NO CPUID faulting: the instructions that are certain in the "
				      "executable are "
				      "replaced; libraries' see the processor as it is");
}

/* What a program's own seccomp filter is good for in each form: docs/shim.md has the whole table. */
static void tell_sandbox(void)
{
	line("sandbox: dynamic",
		"filters are the kernel's, with an exception that takes a secret: as strong for "
		"what is executed, not against code in the program itself");
	line("sandbox: static",
		"filters are kept by us: for honest programs, not against machine code that knows "
		"of us");
	line("sandbox: both", "put hostile guests and programs into a sandbox from outside");
}

static int tell_choice(const struct probe_result *probe, bool soft)
{
	if (probe->verdict == PROBE_WORKS) {
		line("--engine auto", "uses the kernel's /dev/kvm");
		line("expected speed", "that of the hardware, but for I/O exits");
		return 0;
	}
	if (soft) {
		line("--engine auto", "uses the soft engine");
		line("expected speed", "that of translated code: slower than hardware; `make "
				       "bench` measures it here");
		return 0;
	}
	line("--engine auto", "has nothing to use: see above");
	return 1;
}

static int help(void)
{
	return fputs("Usage: uservisor doctor\n\nTells what this machine offers for running guests "
		     "and what will be used.\n"
		     "Exit status: 0 guests can run, 1 they cannot.\n",
		       stdout) < 0;
}

int cli_doctor(int argc, char **argv)
{
	struct probe_result probe, soft;
	struct host_facts host;
	bool usable;

	if (argc == 2 && !strcmp(argv[1], "--help"))
		return help();
	if (argc > 1) {
		cli_say("doctor", "'%s' is no option: see `uservisor doctor --help`", argv[1]);
		return EXIT_USAGE;
	}
	host_look(&host);
	probe_kernel_kvm(&probe);
	probe_soft(&soft);
	tell_virtualization(&host);
	line("kernel's KVM", probe.text);
	advise_kvm(&probe, &host);
	usable = tell_soft(&host, &soft);
	tell_exec(&host);
	tell_sandbox();
	return tell_choice(&probe, usable);
}
