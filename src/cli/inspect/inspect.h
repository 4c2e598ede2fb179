/* SPDX-License-Identifier: MIT */
/*
 * uservisor inspect: one session with a VM, a command on it, and lines about what it found.
 *
 * Each line is a record: a type, and members with names. As text it is "type name=value name=value"; with --json it is
 * an object with the same names, and "type". uservisor-inspect(1) lists all of them. A command's function gives the
 * exit status; what went wrong it has told.
 */
#ifndef CLI_INSPECT_INSPECT_H
#define CLI_INSPECT_INSPECT_H

#include <stdio.h>

#include "base/types.h"
#include "uvmi.h"

#define INSPECT_MSRS 32
#define ALL_VCPUS    UINT32_MAX

struct inspect {
	/* what the command line says */
	const char *address;
	bool json, raw, pause;
	unsigned wait_s, timeout_s, seconds; /* seconds: 0 is for ever */
	unsigned vcpu;                       /* or ALL_VCPUS */
	u64 count;                           /* of lines; 0: no end */
	u32 msrs[INSPECT_MSRS];
	unsigned n_msrs;
	bool has_value;
	u64 value, length, max_gpa;
	const char *output, *input, *cookie_file;
	enum uvmi_dialect dialect;
	char **args; /* of the command */
	int n_args;

	/* the session */
	struct uvmi_listener *listener;
	struct uvmi *s;
	int signals; /* readable when it is time to end */
	unsigned vcpus;
};

/* ---- commands ---- */

int inspect_info(struct inspect *in);
int inspect_regs(struct inspect *in);
int inspect_read(struct inspect *in);
int inspect_write(struct inspect *in);
int inspect_dump(struct inspect *in);
int inspect_translate(struct inspect *in);
int inspect_watch(struct inspect *in);
int inspect_break(struct inspect *in);
int inspect_trace(struct inspect *in);
int inspect_step(struct inspect *in);
int inspect_pause(struct inspect *in);
/* Needs no session. */
int inspect_resume(struct inspect *in);

/* ---- connect.c ---- */

/* Both tell what is wrong; the result is an exit status. */
int inspect_connect(struct inspect *in);
void inspect_disconnect(struct inspect *in);
/* Whether SIGINT, SIGTERM or SIGHUP has come. */
bool inspect_ended(const struct inspect *in);
/* As uvmi_next_event(); -EINTR: a signal has come. */
int inspect_next(struct inspect *in, struct uvmi_event *ret, int timeout_ms);
/* "what: reason: what to do"; the result is the exit status 1. */
int inspect_failed(const struct inspect *in, const char *what, int error);
/* The same about the command line; 2. */
int inspect_usage(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- record.c ---- */

void record_begin(struct inspect *in, const char *type);
void record_text(struct inspect *in, const char *name, const char *text);
void record_number(struct inspect *in, const char *name, u64 value);
void record_hex(struct inspect *in, const char *name, u64 value);
void record_bytes(struct inspect *in, const char *name, const u8 *bytes, size_t n);
/* False: it cannot be written any more. */
bool record_end(struct inspect *in);
/* The members that lines about events begin with. */
void record_event(struct inspect *in, const char *type, const struct uvmi_event *e);

/* ---- numbers.c ---- */

/* Decimal, or hexadecimal behind 0x. */
bool inspect_number(const char *text, u64 *ret);

struct address_word {
	bool virtual_address;
	u64 at;
};
/* A number, behind gpa: or gva: or neither. 0, or an exit status. */
int inspect_place(const char *text, bool usually_virtual, struct address_word *ret);
/* Its guest-physical address. 0, or an exit status. */
int inspect_physical(struct inspect *in, const struct address_word *place, u64 *ret_gpa);
/* The vCPU whose page tables count. */
unsigned inspect_one_vcpu(const struct inspect *in);

/* ---- regions.c ---- */

struct ram_part {
	u64 gpa, size;
	u64 offset; /* of a dump: where it is in the file */
	u64 piece;  /* of a dump: the number of its first one */
};
/* All RAM of the guest, in order; *ret is for free(). -errno */
int inspect_regions(struct inspect *in, struct ram_part **ret, unsigned *ret_n);

/* ---- core.c ---- */

struct core_vcpu {
	unsigned index;
	struct uvmi_registers registers;
	u64 kernel_gs_base;
};
struct core {
	struct ram_part *regions;
	unsigned n;
	struct core_vcpu *vcpus;
	unsigned n_vcpus;
	/* The note in which a Linux guest describes itself, as it is in memory; 0: it has not been found. */
	u8 vmcoreinfo[PAGE_SIZE];
	u32 vmcoreinfo_size;
};
/* Says where regions are in the file, when it is known how many vCPUs there are. -E2BIG */
int core_place(struct core *core);
/* Is the note in this page? */
void core_look_for_note(struct core *core, const u8 *page);
/* What stands before the memory. -EIO */
int core_write_headers(FILE *f, const struct core *core);

/* ---- watch.c ---- */

/* Events when a page is accessed (UVMI_ACCESS_*), one line for each from `first` to `last`. An exit status */
int inspect_watch_page(struct inspect *in, const char *type, u64 first, u64 last, unsigned access);

/* Calls the function for each vCPU that --vcpu means; a vCPU that has not been started is passed over. */
int inspect_each(struct inspect *in, int (*function)(struct inspect *in, unsigned vcpu, void *arg),
	void *arg);
/* Turns an event on or off for them. -errno */
int inspect_control(struct inspect *in, unsigned event, bool on);

#endif
