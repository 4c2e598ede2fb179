/* SPDX-License-Identifier: MIT */
/*
 * modes [step]: what an instruction costs in real mode and with segments, by the loops of modes16.S. Prints
 * "= NAME NANOSECONDS". `modes image` writes the boot sector to standard output, for a PC emulator with port 0xe9.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "engine/insn/ops.h"
#include "engine/core/machine.h"
#include "engine/core/vcpu.h"
#include "engine/cpu/segment.h"
#include "engine/cpu/mode.h"

#define RAM (1u << 20)

extern const u8 modes16_begin[], modes16_end[];

static const struct {
	const char *name;
	unsigned insns; /* an iteration */
} loops[] = {
	{"registers", 5},
	{"memory", 6},
	{"strings", 6},
	{"calls", 8},
	{"far-calls", 4},
	{"interrupts", 4},
	{"segments", 7},
	{"prefixes", 8},
	{"flags", 5},
	{"fs-32", 5},
	{"flat-32", 5},
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void must(int r, const char *what)
{
	if (r) {
		fprintf(stderr, "modes: %s: %s\n", what, strerror(-r));
		exit(1);
	}
}

static struct vcpu *boot_sector(void)
{
	static struct cpuid_entry cpuid[256];
	u8 *ram = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct memslot_config slot = {.size = RAM, .hva = (u64)ram};
	struct machine *m;
	struct vcpu *v;

	if (ram == MAP_FAILED)
		exit(1);
	memcpy(ram + 0x7c00, modes16_begin, modes16_end - modes16_begin);
	must(machine_create(&m), "machine");
	must(machine_set_memslot(m, &slot), "memory");
	must(vcpu_create(m, 0, &v), "vcpu");
	must(vcpu_set_cpuid(v, cpuid, MIN(engine_supported_cpuid(cpuid, 256), 256u)), "cpuid");
	segment_set_real(&v->cpu.seg[SEG_CS], 0);
	v->cpu.rip = 0x7c00;
	cpu_update_mode(&v->cpu);
	return v;
}

static void run(struct vcpu *v, double *since, unsigned *loop)
{
	vcpu_run(v, 0);
	if (v->cpu.exit.reason != EXIT_IO_OUT) {
		fprintf(stderr, "modes: exit %d at %llx\n", v->cpu.exit.reason,
			(unsigned long long)v->cpu.rip);
		exit(1);
	}
	if (*loop)
		printf("= %s %.2f\n", loops[*loop - 1].name,
			(now() - *since) * 1e9 / loops[*loop - 1].insns / (64 * 65536));
	fflush(stdout);
	++*loop;
	*since = now();
}

int main(int argc, char **argv)
{
	struct vcpu *v;
	double since = 0;
	unsigned loop = 0;

	if (argc > 1 && !strcmp(argv[1], "image"))
		return fwrite(modes16_begin, modes16_end - modes16_begin, 1, stdout) != 1;
	v = boot_sector();
	v->cpu.step_only = argc > 1 && !strcmp(argv[1], "step");
	while (loop <= ARRAY_SIZE(loops))
		run(v, &since, &loop);
	return 0;
}
