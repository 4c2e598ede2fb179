/* SPDX-License-Identifier: MIT */
/*
 * For tests of /dev/mshv's interface: requests and hypercalls with their results, a small partition to make them on, and
 * tables of what is refused. Only over ours; with port.h, which has the rest.
 *
 * Results are as from a system call inside the kernel: >= 0 or -errno. Whatever is refused must come with a reason.
 */
#ifndef TESTS_ABI_MSHV_PORT_H
#define TESTS_ABI_MSHV_PORT_H

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tests/abi/port.h"
#include "uapi/mshv.h"
#include "x86/hyperv_root.h"
#include "x86/regs.h"

/* ---- requests ---- */

/* main() of a test program. */
int mshv_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n);
#define MSHV_MAIN(tests)                                                                           \
	int main(int argc, char **argv)                                                            \
	{                                                                                          \
		return mshv_main(argc, argv, tests, ARRAY_SIZE(tests));                            \
	}

int mshv_open(void);
long mshv(int fd, unsigned long request, unsigned long arg);
static inline long mshv_p(int fd, unsigned long request, const void *arg)
{
	return mshv(fd, request, (unsigned long)arg);
}
/* The reason of the last refusal, on this thread; "" after a success. */
const char *mshv_why(void);

/* ---- hypercalls ---- */

struct hv_result {
	long error; /* of the request */
	u16 status, reps;
};

struct hv_call {
	u16 code, reps;
	const void *in;
	size_t in_size;
	void *out;
	size_t out_size;
};

struct hv_result hv_call(int fd, const struct hv_call *c);
/* The request says of the status what the kernel's driver says. */
#define assert_hv(result, want_status, want_reps)                                                  \
	assert_hv_at(result, want_status, want_reps, __FILE__, __LINE__)
void assert_hv_at(struct hv_result r, u16 status, unsigned reps, const char *file, int line);

/* ---- a partition ---- */

#define RAM_SIZE   0x200000u /* at gpa 0 */
#define CODE_GPA   0x1000
#define STACK_GPA  0x8000 /* and down */
#define TABLES_GPA 0x10000
#define GDT_GPA    0x18000
#define IDT_GPA    0x19000
#define FREE_GPA   0x20000 /* from here on nobody but the test writes */
#define NOWHERE    0xd0000000ull

#define VPS    20
#define LAPIC  (1 << MSHV_PT_BIT_LAPIC)
#define X2APIC (1 << MSHV_PT_BIT_X2APIC)

struct partition {
	int sys, fd, vp[VPS];
	u64 features;                       /* in: HV_SYN_*, as bits */
	struct hv_register_page *page[VPS]; /* mapped */
	struct hv_message *message[VPS];
	u8 *ram;
};

/* Created, not initialised, without memory. */
void partition_open(struct partition *p, u64 pt_flags);
/* All of it, with the features that p says and one VP. */
void partition_start(struct partition *p, u64 pt_flags);
void partition_add_vp(struct partition *p, unsigned index);
void partition_close(struct partition *p);
long map_memory(int partition, u64 gpa, u64 size, const void *hva, unsigned flags);
long unmap_memory(int partition, u64 gpa, u64 size, const void *hva);
#define MEM_W (1u << MSHV_SET_MEM_BIT_WRITABLE)
#define MEM_X (1u << MSHV_SET_MEM_BIT_EXECUTABLE)
void *pages_alloc(size_t size);

struct hv_result property_set(int fd, u32 code, u64 value);
struct hv_result property_get(int fd, u32 code, u64 *ret);
u64 property(int fd, u32 code);

/* ---- a VP ---- */

struct hv_result hv_regs_get(int fd, u32 vp, const u32 *names, unsigned n, struct hv_value128 *ret);
struct hv_result hv_regs_set(int fd, u32 vp, const struct hv_register *r, unsigned n);
struct hv_value128 reg128(const struct partition *p, unsigned vp, u32 name);
u64 reg(const struct partition *p, unsigned vp, u32 name);
struct hv_result try_reg(const struct partition *p, unsigned vp, u32 name, u64 value);
void set_reg(const struct partition *p, unsigned vp, u32 name, u64 value);
void set_reg128(const struct partition *p, unsigned vp, u32 name, const void *sixteen_bytes);

/* Real mode, segments at 0, rip and code at CODE_GPA. */
void code_real(struct partition *p, unsigned vp, const void *code, size_t size);
/* 64-bit mode: the first and the fourth GiB as they are, in pages of 2 MiB; an empty IDT at IDT_GPA. */
void code_long(struct partition *p, unsigned vp, const void *code, size_t size);
void long_gate(struct partition *p, u8 vector, u64 handler);
#define BYTES(...) (const u8[]){__VA_ARGS__}, sizeof((const u8[]){__VA_ARGS__})

/* MSHV_RUN_VP ends with a message of this type, which its page has as well. */
const struct hv_message *run_until(struct partition *p, unsigned vp, u32 type);
#define RUN_UNTIL(p, vp, type, structure) ((const structure *)run_until(p, vp, type)->payload)

/*
 * The header says what the VP's registers say, and this of the instruction; nothing is behind a message's payload, which
 * has this size. state: HV_EXEC_* and the privilege level.
 */
struct header_check {
	const struct hv_message *message;
	u64 rip;
	u8 access, length;
	u16 state;
	size_t size;
};
void check_header(struct partition *p, unsigned vp, const struct header_check *c);
/* The bytes in a message are those of the instruction, or more: what memory has from gpa on. */
void check_bytes(
	const struct partition *p, const u8 *bytes, unsigned count, u64 gpa, unsigned length);

/* Goes on n bytes further. */
void skip_insn(struct partition *p, unsigned vp, unsigned n);
/* The next thing is an OUT to this port: what it writes. Done; the VP goes on behind it. */
u32 run_to_out(struct partition *p, unsigned vp, u16 port);

/* A thread in MSHV_RUN_VP, until there is a message or it is told to come out. */
struct runner {
	struct partition *p;
	unsigned vp;
	pthread_t thread;
	_Atomic int tid;
	_Atomic bool out;
	long result;
	struct hv_message message;
};
void runner_start(struct runner *r, struct partition *p, unsigned vp);
/* Until it sleeps or uses the processor there. */
void runner_inside(const struct runner *r);
/* By a signal; the result of MSHV_RUN_VP, -EINTR if there was no message first. */
long runner_stop(struct runner *r);
/* It gets out by itself. */
long runner_wait(struct runner *r);

/* ---- what is refused ---- */

/* A request that is right until something spoils it. */
struct attempt {
	int fd;
	unsigned long arg; /* the address of bytes, unless that is spoilt */
	unsigned cut;      /* so many bytes can be read, and no more; 0: all */
	union {
		u8 bytes[512];
		struct mshv_create_partition create;
		struct mshv_create_partition_v2 create2;
		struct mshv_create_vp vp;
		struct mshv_user_mem_region mem;
		struct mshv_user_irqfd irqfd;
		struct mshv_user_ioeventfd ioeventfd;
		struct {
			struct mshv_user_irq_table head;
			struct mshv_user_irq_entry e[4];
		} routes;
		struct mshv_gpap_access_bitmap bitmap;
		struct mshv_root_hvcall hvcall;
		struct mshv_get_set_vp_state state;
		u32 extension;
		struct mshv_vtl_ram_disposition ram;
		struct mshv_vtl_set_poll_file poll;
		struct mshv_vp_registers registers;
		struct mshv_vtl_signal_event event;
		struct mshv_vtl_sint_post_msg post;
		struct mshv_vtl_set_eventfd eventfd;
		struct mshv_sint_mask mask;
		struct mshv_vtl_hvcall_setup setup;
		struct mshv_vtl_hvcall call;
	};
	void *context; /* the test's */
};

struct refusal_row {
	const char *what;
	int error;
	void (*spoil)(struct attempt *a);
	unsigned group; /* not 0: two rows of one group cannot be true at once */
};

/* The rows of a request, in the order of its checks. tools/mshv-api reads them. */
#define REFUSALS(request) static const struct refusal_row refusals_##request[]

/*
 * Each row alone, and each two: then the first one counts, by its error and its reason. good() makes the attempt; what a
 * success has made is undone by undo(), which gets the result.
 */
struct refusal_check {
	unsigned long request;
	const struct refusal_row *rows;
	unsigned count;
	void (*good)(struct attempt *a);
	void (*undo)(struct attempt *a, long result);
	void *context;
};
void check_refusals(const struct refusal_check *c);

#endif
