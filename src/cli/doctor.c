/* SPDX-License-Identifier: MIT */
/* uservisor doctor: what this machine offers, what will be used, and what to do about what is missing. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "boot/host.h"
#include "boot/probe.h"
#include "cli/cli.h"
#include "shim/nodes.h"

static void line(const char *title, const char *text)
{
	printf("%-20s %s\n", title, text);
}

static void advise_permission(const struct probe_result *probe, const struct host_facts *host)
{
	char text[256];

	if (probe->error == EPERM)
		snprintf(text, sizeof(text),
			"the container does not allow /dev/kvm: start the container with `--device "
			"/dev/kvm`");
	else if (host->kvm_group[0])
		snprintf(text, sizeof(text),
			"this user may not open /dev/kvm: run `sudo usermod -aG %s $USER`, then "
			"log in again",
			host->kvm_group);
	else
		snprintf(text, sizeof(text),
			"only root may open /dev/kvm: give a group access, for example with `chgrp "
			"kvm /dev/kvm; chmod g+rw /dev/kvm`");
	line("", text);
}

/* Why there is no useful /dev/kvm, and what would help. */
static void advise_kvm(const struct probe_result *probe, const struct host_facts *host)
{
	switch (probe->verdict) {
	case PROBE_WORKS: return;
	case PROBE_SLOW: line("", "the soft engine is likely faster"); return;
	case PROBE_NOT_A_PC:
		line("", "this KVM has no hardware behind it: guests made for it may run, ordinary "
			 "kernels do not");
		return;
	case PROBE_DENIED: advise_permission(probe, host); return;
	default:
		if (host->vmx || host->svm)
			line("", "the CPU supports it: load the kvm module (`sudo modprobe "
				 "kvm_intel` or `kvm_amd`), or pass the device into the container");
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
		line("CPU",
			"shows no VT-x or AMD-V: it has none, or the firmware setup disables it");
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
			"no memory can be mapped writable and executable (%s): allow it in the "
			"policy of this sandbox or of SELinux",
			strerror(host->exec_error));
	else
		snprintf(text, sizeof(text),
			host->exec_memfd
				? "translated code is in a memfd, mapped twice: writable and "
				  "executable"
				: "translated code is in anonymous memory, mapped twice, because a "
				  "memfd may not be executable: this costs nothing");
	line("soft engine: memory", text);
}

static void tell_direct(const struct host_facts *host)
{
	char text[256];

	if (!host->direct_error)
		snprintf(text, sizeof(text),
			"user code of guests of `boot` and QEMU that computes for long runs as it "
			"is, in processes of its own (USERVISOR_DIRECT=0: never)");
	else if (host->direct_error == EOPNOTSUPP)
		snprintf(text, sizeof(text),
			"NOT possible here: it needs FSGSBASE, user notification of seccomp "
			"(Linux 5.0), and a sandbox that allows processes both; user code is "
			"translated");
	else
		snprintf(text, sizeof(text), "NOT possible now (%s); user code is translated",
			strerror(host->direct_error));
	line("direct execution", text);
}

/* True when nothing is missing. */
static bool tell_soft(const struct host_facts *host, const struct probe_result *soft)
{
	const bool cpu = !host_cpu_missing(&host->cpu);
	char text[256];

	snprintf(text, sizeof(text), "BMI2 %s, AVX and XSAVE %s%s", yes(host->cpu.bmi2),
		yes(host->cpu.avx),
		cpu ? "" : ": an Intel CPU of 2013 or an AMD CPU of 2015, or later, is necessary");
	line("soft engine: CPU", text);
	tell_memory(host);
	line("soft engine", soft->text);
	tell_direct(host);
	return cpu && !host->exec_error && soft->verdict >= PROBE_SLOW;
}

/* The kernel's drivers beside KVM, of which nothing is used. */
static void tell_others(void)
{
	const char *name, *node;
	char title[32], text[128];

	for (unsigned n = 1; (name = interface_name(n)); n++) {
		node = interface_node(n, 0);
		snprintf(title, sizeof(title), "kernel's %s", name);
		if (!access(node, R_OK | W_OK))
			snprintf(text, sizeof(text), "%s is there, and `exec` does not use it",
				node);
		else if (errno == ENOENT)
			snprintf(text, sizeof(text), "no %s, which `exec` does not need", node);
		else
			snprintf(text, sizeof(text), "%s: %s; `exec` does not need it", node,
				strerror(errno));
		line(title, text);
	}
}

/* What programs find under `uservisor exec`, by interface. */
static void tell_devices(void)
{
	const char *name, *node;
	char title[32], text[256];

	for (unsigned n = 0; (name = interface_name(n)); n++) {
		size_t used = 0;

		for (unsigned i = 0; (node = interface_node(n, i)) && used < sizeof(text); i++)
			used += (size_t)snprintf(
				text + used, sizeof(text) - used, "%s%s", i ? ", " : "", node);
		snprintf(title, sizeof(title), "exec: %s", name);
		line(title, text);
	}
}

/* What `uservisor exec` does on this host, and what it does instead of what is missing. */
static void tell_exec(const struct host_facts *host)
{
	line("exec: dynamic", "a preloaded library catches the calls");
	if (!host->dispatch)
		line("exec: static", "NO Syscall User Dispatch (Linux 5.11): static and Go "
				     "programs cannot run, dynamic programs can");
	else if (host->cpu.fsgsbase)
		line("exec: static", "Syscall User Dispatch catches the calls, with FSGSBASE");
	else
		line("exec: static", "Syscall User Dispatch catches the calls; NO FSGSBASE: each "
				     "call that is caught costs one or two calls of arch_prctl()");
	line("exec: CPUID",
		host->cpuid_faulting
			? "the instruction faults in programs, and the answer includes VT-x or "
			  "AMD-V"
			: "NO CPUID faulting: the instruction is replaced where it is certain in "
			  "the executable; libraries see the processor as it is");
}

/* What a program's own seccomp filter is good for in each form: docs/shim.md has the whole table. */
static void tell_sandbox(void)
{
	line("sandbox: dynamic",
		"the kernel runs the filters, with an exception that needs a secret: as strong as "
		"ever for executed programs, not against code in the program itself");
	line("sandbox: static", "uservisor runs the filters: they hold for honest programs, not "
				"against machine code that knows uservisor");
	line("sandbox: both",
		"put hostile guests and programs into a sandbox around the whole process");
}

static const char *soft_speed(const struct host_facts *host)
{
	return host->direct_error
		       ? "that of translated code, slower than hardware; `make bench` measures it"
		       : "user code that computes: nearly that of the hardware; the rest: that of "
			 "translated code, slower; `make bench` measures both";
}

static int tell_choice(const struct probe_result *probe, const struct host_facts *host, bool soft)
{
	if (probe->verdict == PROBE_WORKS) {
		line("--engine auto", "boot uses the kernel's /dev/kvm");
		line("expected speed", "that of the hardware, except for I/O exits");
		return 0;
	}
	if (soft) {
		line("--engine auto", "boot uses the soft engine");
		line("expected speed", soft_speed(host));
		return 0;
	}
	line("--engine auto", "boot has no engine that works: see above");
	return 1;
}

static int help(void)
{
	return fputs("Usage: uservisor doctor\n\nShows what this machine offers for running guests "
		     "and what uservisor uses.\n"
		     "Exit status: 0: guests can run; 1: they cannot.\n",
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
		cli_say("doctor", "'%s' is not an option: see `uservisor doctor --help`", argv[1]);
		return EXIT_USAGE;
	}
	host_look(&host);
	probe_kernel_kvm(&probe);
	probe_soft(&soft);
	tell_virtualization(&host);
	line("kernel's KVM", probe.text);
	advise_kvm(&probe, &host);
	tell_others();
	usable = tell_soft(&host, &soft);
	tell_devices();
	tell_exec(&host);
	tell_sandbox();
	return tell_choice(&probe, &host, usable);
}
