/* SPDX-License-Identifier: MIT */
/*
 * A virtual machine monitor of /dev/mshv, small but whole: it makes every request in the order in which large ones make
 * them, and the hypervisor must do everything that it does not.
 *
 * Threads: one for each virtual processor, one that reads the input, and the first one, which waits for signals and
 * for the end. The processors' threads are restricted by seccomp, if that is wanted.
 */
#ifndef TESTS_MSHV_VMM_VMM_H
#define TESTS_MSHV_VMM_VMM_H

#include <pthread.h>
#include <stdatomic.h>

#include "boot/core/layout.h"
#include "boot/dev/bus.h"
#include "boot/load/load.h"
#include "tests/mshv/mshv.h"
#include "tests/mshv/vmm/devices.h"
#include "tests/mshv/vmm/intr.h"

#define VPS_MAX 32

struct options {
	const char *kernel, *initrd, *cmdline;
	const char *save, *restore;
	u64 memory;
	unsigned cpus;
	bool level; /* the serial port's interrupt is level-triggered */
	bool live;  /* the guest runs while its memory is saved */
	bool seccomp;
};

/* Why it ended, which is the exit status. */
enum end {
	END_POWERED_OFF = 0,
	END_SAVED = 10,
	END_RESET = 20,
	END_TRIPLE_FAULT = 21,
	END_FAILED = 22, /* our fault, or the hypervisor's; a line says what */
	END_RUNNING = -1,
};

struct vmm;

struct vmm_vp {
	struct vmm *vmm;
	u32 index;
	int fd;
	struct hv_register_page *page;
	pthread_t thread;
	bool started;
	atomic_bool takes_kicks, parked;
};

struct vmm {
	struct options options;
	int device, partition;
	u64 host_features[2], synthetic, vendor;
	struct ram ram;
	struct bus bus;
	struct devices devices;
	struct intr intr;
	struct vmm_vp vp[VPS_MAX];
	struct start_state start;
	pthread_mutex_t lock; /* of parking */
	pthread_cond_t resumed;
	bool pause;     /* processors shall park; with the lock */
	atomic_int end; /* enum end */
	int ended;      /* eventfd */
	int doorbell;   /* eventfd: what is written to DOORBELL_GPA */
};

#define DOORBELL_GPA 0xd0000000ull

/* Prints what failed, with the hypervisor's status; returns r, which is < 0. */
long vmm_failed(const char *what, long r);
/* The first reason counts. */
void vmm_end(struct vmm *vmm, enum end why);

/* ---- partition.c: the partition, in the order of its requests ---- */

int vmm_open(struct vmm *vmm);
int vmm_create_partition(struct vmm *vmm);
int vmm_map_memory(struct vmm *vmm);
/* IOAPIC, devices, doorbell. */
int vmm_add_devices(struct vmm *vmm);

/* ---- vps.c: its processors before they run ---- */

int vmm_create_vps(struct vmm *vmm);
/* Where the kernel begins; of the first one. */
int vmm_set_start(struct vmm_vp *vp, const struct start_state *start);

/* ---- run.c: their threads ---- */

int vmm_start_vps(struct vmm *vmm);
/* All processors out of their runs, and time stands still. */
int vmm_pause(struct vmm *vmm);
int vmm_resume(struct vmm *vmm);
void vmm_stop_vps(struct vmm *vmm);

/* ---- exits.c: 0, or a negative value when it cannot go on ---- */

int vmm_handle_exit(struct vmm_vp *vp, const struct hv_message *message);

/* ---- file.c: the whole machine in a file ---- */

int vmm_save(struct vmm *vmm, const char *path);
/* Into a partition that was made with the options of the saved one: vmm_read_options() has them. */
int vmm_restore(struct vmm *vmm, const char *path);
int vmm_read_options(struct options *o, const char *path);

#endif
