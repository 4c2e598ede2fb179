/* SPDX-License-Identifier: MIT */
/*
 * A VMM for tests of tools: the VM's side of KVMI in both dialects, with a small guest behind it that gives every event.
 * It is written from the protocol, not from the library, and shares only the structures of uapi with it.
 *
 * The guest has RAM at 0 to 0xa0000 and at 0x100000 to 0x140000. Its page tables map the first 2 MiB behind GVA with
 * pages of 4 KiB, and the same once more behind them with one of 2 MiB. Each vCPU runs the program at CODE, in which a
 * byte is an instruction (mock_guest.c), round and round.
 */
#ifndef UVMI_MOCK_H
#define UVMI_MOCK_H

#include "base/types.h"
#include "uapi/kvmi_v6.h"

#define MOCK_GVA       0xffff800000000000ull
#define MOCK_CODE      0x1000ull /* gpa */
#define MOCK_DATA      0x3000ull /* gpa that the guest reads and writes */
#define MOCK_CR3       0x10000ull
#define MOCK_LOW_END   0xa0000ull
#define MOCK_HIGH      0x100000ull
#define MOCK_HIGH_END  0x140000ull
#define MOCK_TSC_HZ    2500000000ull
#define MOCK_VCPUS_MAX 8
#define MOCK_MSRS_MAX  8
#define MOCK_PROGRAM                                                                               \
	"\x90"                                                                                     \
	"CMWRXHDI\xcc"                                                                             \
	"J"

struct mock_config {
	bool v5;
	unsigned vcpus, started; /* those from started on answer as vCPUs that wait for INIT */
	bool no_translate, no_query, first_traps, short_version, no_step;
	u32 commands, events; /* v5: permitted, if not 0; v6: events that are permitted, if not 0 */
	const char *name;
	const u8 *cookie_hash; /* compared if not NULL */
	u32 greeting_size;     /* if not 0: another one than the usual */
	unsigned ram; /* GET_RAM: 0: as it is; 1: -EOPNOTSUPP; 2 and more: lies (mock_commands.c) */
	u64 idle; /* instructions that each vCPU executes before it waits for the tool; 0: no end */
};

struct mock_vcpu {
	unsigned index;
	bool started;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	u64 lstar;
	_Atomic u64 executed; /* tests look at it meanwhile */
	_Atomic u32 events;   /* bits */
	u32 crs;
	u32 msrs[MOCK_MSRS_MAX];
	unsigned n_msrs;
	unsigned pauses;
	bool step, stepped, pass; /* pass: the next access is allowed, whatever the rights */
	bool waits;
	u32 seq; /* of the event that waits */
	u8 event;
	u64 new_value;
	u8 injected; /* vector + 1 */
	bool new_regs_set;
	struct kvm_regs new_regs;
};

struct mock {
	struct mock_config config;
	int fd;
	bool over, quiet; /* quiet: commands are not answered */
	u32 event_seq;
	_Atomic u32 vm_events;
	struct mock_vcpu vcpu[MOCK_VCPUS_MAX];
	int ram_fd;
	u8 *ram;
	u8 rights[MOCK_HIGH_END / PAGE_SIZE];
	/* What tests look at afterwards */
	unsigned reinjected, crashed, pauses_sent, replies, batches;
};

/* Makes the guest; serves a tool at the socket until that goes or breaks the protocol; frees the guest. */
void mock_init(struct mock *m, const struct mock_config *config);
/* 0, or -1: the greeting failed */
int mock_serve(struct mock *m, int fd);
void mock_free(struct mock *m);

/* ---- mock_guest.c ---- */

bool mock_is_ram(u64 gpa, u64 size);
/* One instruction, or an event. */
void mock_guest_run(struct mock *m, struct mock_vcpu *v);
bool mock_guest_can_run(const struct mock *m, const struct mock_vcpu *v);
/* The tool's reply to the event that waits. */
void mock_guest_go_on(struct mock *m, struct mock_vcpu *v, unsigned action, u64 new_value,
	const struct kvmi_v6_event_pf_reply *pf);

/* ---- mock_commands.c ---- */

/* One message. False: the connection is to be closed. */
bool mock_command(struct mock *m, const struct kvmi_msg_hdr *h, const u8 *payload);

/* ---- mock.c ---- */

void mock_send(struct mock *m, u16 id, u32 seq, const void *a, size_t na, const void *b, size_t nb);
/* The same with a descriptor. */
void mock_send_file(struct mock *m, u16 id, u32 seq, const void *a, size_t n, int fd);

#endif
