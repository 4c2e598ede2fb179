/* SPDX-License-Identifier: MIT */
/*
 * usage: mshv-vmm --kernel FILE [--initrd FILE] [--append TEXT] [--memory MIB] [--cpus N] [--edge] [--seccomp]
 *                 [--save FILE] [--live]
 *        mshv-vmm --restore FILE [--save FILE] [--live] [--seccomp]
 *
 * The guest's serial port is standard input and output. SIGUSR1 saves the machine to the file of --save and ends;
 * SIGUSR2 holds it for a second. The exit status is enum end's.
 */
#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "tests/mshv/vmm/acpi.h"
#include "tests/mshv/vmm/vmm.h"

/* ---- options ---- */

static int usage(void)
{
	fprintf(stderr,
		"usage: mshv-vmm --kernel FILE [--initrd FILE] [--append TEXT] [--memory MIB] "
		"[--cpus N] [--edge] [--seccomp] [--save FILE] [--live]\n"
		"       mshv-vmm --restore FILE ...\n");
	return -1;
}

static int check_options(const struct options *o)
{
	if (!o->kernel == !o->restore || o->cpus < 1 || o->cpus > VPS_MAX)
		return usage();
	if (o->memory < MEMORY_MIN || o->memory > DOORBELL_GPA)
		return usage();
	return 0;
}

static int parse(int argc, char **argv, struct options *o)
{
	static const struct option known[] = {
		{"kernel", required_argument, NULL, 'k'},
		{"initrd", required_argument, NULL, 'i'},
		{"append", required_argument, NULL, 'a'},
		{"memory", required_argument, NULL, 'm'},
		{"cpus", required_argument, NULL, 'c'},
		{"edge", no_argument, NULL, 'e'},
		{"seccomp", no_argument, NULL, 'S'},
		{"save", required_argument, NULL, 's'},
		{"live", no_argument, NULL, 'l'},
		{"restore", required_argument, NULL, 'r'},
		{0},
	};
	int c;

	*o = (struct options){.cmdline = "", .memory = 512ull << 20, .cpus = 1, .level = true};
	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'k': o->kernel = optarg; break;
		case 'i': o->initrd = optarg; break;
		case 'a': o->cmdline = optarg; break;
		case 'm': o->memory = strtoull(optarg, NULL, 0) << 20; break;
		case 'c': o->cpus = (unsigned)strtoul(optarg, NULL, 0); break;
		case 'e': o->level = false; break;
		case 'S': o->seccomp = true; break;
		case 's': o->save = optarg; break;
		case 'l': o->live = true; break;
		case 'r': o->restore = optarg; break;
		default: return usage();
		}
	}
	if (o->restore && vmm_read_options(o, o->restore) < 0)
		return -1;
	return check_options(o);
}

/* ---- the kernel ---- */

/* boot's loader writes what the kernel is told; the tables are our own, in the place of its. */
static int load(struct vmm *vmm)
{
	const struct load_request request = {.kernel = vmm->options.kernel,
		.initrd = vmm->options.initrd,
		.cmdline = vmm->options.cmdline,
		.cpus = vmm->options.cpus};
	const struct tables_request tables = {vmm->options.cpus, vmm->options.level};
	u8 *area = vmm->ram.base + GPA_ACPI;
	struct failure f;

	if (load_guest(&request, &vmm->ram, &vmm->start, &f) < 0) {
		fprintf(stderr, "mshv-vmm: %s\n", f.text);
		return -1;
	}
	/* Without paging a kernel file begins in its 32-bit entry, which is in front of the other one. */
	if (vmm->start.mode == START_LINUX64)
		vmm->start.entry -= 0x200;
	memset(area, 0, GPA_ACPI_END - GPA_ACPI);
	return tables_build(area, GPA_ACPI_END - GPA_ACPI, GPA_ACPI, &tables) ? 0 : -1;
}

static int fill(struct vmm *vmm)
{
	if (vmm->options.restore)
		return vmm_restore(vmm, vmm->options.restore);
	if (load(vmm) < 0)
		return -1;
	return vmm_set_start(&vmm->vp[0], &vmm->start);
}

/* ---- input, signals and the end ---- */

static void *read_input(void *opaque)
{
	struct vmm *vmm = opaque;
	u8 buffer[256];
	ssize_t n;

	while ((n = read(STDIN_FILENO, buffer, sizeof(buffer))) > 0)
		devices_type(&vmm->devices, buffer, (size_t)n);
	return NULL;
}

static void save(struct vmm *vmm)
{
	const bool good = vmm->options.save && vmm_save(vmm, vmm->options.save) == 0;

	vmm_end(vmm, good ? END_SAVED : END_FAILED);
}

static void hold(struct vmm *vmm)
{
	if (vmm_pause(vmm) < 0) {
		vmm_end(vmm, END_FAILED);
		return;
	}
	nanosleep(&(struct timespec){.tv_sec = 1}, NULL);
	fprintf(stderr, "mshv-vmm: held\n");
	if (vmm_resume(vmm) < 0)
		vmm_end(vmm, END_FAILED);
}

static void wait_for_end(struct vmm *vmm, int signals)
{
	struct pollfd fds[] = {
		{.fd = vmm->ended, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
	struct signalfd_siginfo info;

	while (atomic_load(&vmm->end) == END_RUNNING) {
		if (poll(fds, ARRAY_SIZE(fds), -1) <= 0 || !fds[1].revents)
			continue;
		if (read(signals, &info, sizeof(info)) != (ssize_t)sizeof(info))
			continue;
		if (info.ssi_signo == SIGUSR1)
			save(vmm);
		else
			hold(vmm);
	}
}

static int take_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	fd = signalfd(-1, &set, SFD_CLOEXEC);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	return fd;
}

/* ---- all of it ---- */

static int make(struct vmm *vmm)
{
	vmm->ended = eventfd(0, EFD_CLOEXEC);
	pthread_mutex_init(&vmm->lock, NULL);
	pthread_cond_init(&vmm->resumed, NULL);
	atomic_store(&vmm->end, END_RUNNING);
	if (vmm_open(vmm) < 0 || vmm_create_partition(vmm) < 0)
		return -1;
	if (vmm_map_memory(vmm) < 0 || vmm_add_devices(vmm) < 0)
		return -1;
	return vmm_create_vps(vmm);
}

static int go(struct vmm *vmm, int signals)
{
	pthread_t input;

	if (vmm_start_vps(vmm) < 0)
		return -1;
	if (pthread_create(&input, NULL, read_input, vmm))
		return -1;
	pthread_detach(input);
	wait_for_end(vmm, signals);
	vmm_stop_vps(vmm);
	return 0;
}

static void unmake(struct vmm *vmm)
{
	for (u32 i = 0; i < vmm->options.cpus; i++)
		port_close(vmm->vp[i].fd);
	port_close(vmm->partition);
	port_close(vmm->device);
}

int main(int argc, char **argv)
{
	static struct vmm vmm;
	const int signals = take_signals();

	if (parse(argc, argv, &vmm.options) < 0)
		return 2;
	if (make(&vmm) < 0 || fill(&vmm) < 0 || go(&vmm, signals) < 0)
		return END_FAILED;
	unmake(&vmm);
	fprintf(stderr, "mshv-vmm: %u level-triggered interrupts\n", vmm.intr.eois);
	return atomic_load(&vmm.end);
}
