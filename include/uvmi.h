/* SPDX-License-Identifier: MIT */
/*
 * uvmi: look into running virtual machines, and watch and control what their guests do, through the KVMI protocol.
 *
 * The virtual machine monitor connects to the tool, and again and again when the tool has gone. So a tool listens
 * (uvmi_listen), accepts a VM (uvmi_accept), and then has a session with it: it calls commands, which answer at once,
 * and takes events, each of which holds its vCPU until it is replied to. Names are those of the protocol.
 *
 * The protocol has two dialects of the same commands. UVMI_V6 is what the tools of today speak, UVMI_V5 the first form
 * of December 2018. The tool chooses, and the VM follows. A command that a dialect lacks gives -ENOSYS.
 *
 * Errors: functions return 0, or -errno; results are untouched on failure. -ENOSYS: the VM does not know the command;
 * -EPERM, -EACCES: it does not permit it; -EINVAL: a wrong argument; -EAGAIN: the vCPU has not been started yet;
 * -ENOENT: there is no such thing; -ETIMEDOUT: no answer in time; -ENOTCONN: the VM has closed the session;
 * -EPROTO: it has sent what is not in the protocol. After the last two the session is over: every later call gives the
 * same error, and only uvmi_close is left. The library never prints and never ends the process.
 *
 * Threads: all functions of a session may be called from several threads at once, while others wait in
 * uvmi_next_event or uvmi_run. uvmi_close and uvmi_set_timeout are for one thread when no other uses the session, and
 * so is everything with a listener. There is no state outside of listeners and sessions. uvmi_wake may be called from a signal handler.
 */
#ifndef UVMI_H
#define UVMI_H

#include <linux/kvm.h> /* struct kvm_regs, kvm_sregs, kvm_msr_entry */
#include <stddef.h>
#include <stdint.h>

#if !defined(__x86_64__)
#error "uvmi: only x86-64 is supported"
#endif

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct uvmi;
struct uvmi_listener;

/* ---- Listening and sessions --------------------------------------------------------------------------- */

enum uvmi_dialect { UVMI_V6, UVMI_V5 };

#define UVMI_FOREVER (-1) /* as a number of milliseconds */

/* All zero is a good choice. */
struct uvmi_options {
	enum uvmi_dialect dialect;
	int timeout_ms;     /* for an answer of the VM; 0: 15 seconds */
	const void *cookie; /* a secret that the VM's owner has set for its tools; NULL: none */
	size_t cookie_size;
};

/* What a VM says of itself when it connects. */
struct uvmi_vm_info {
	uint8_t uuid[16];
	int64_t start_time; /* seconds since 1970; 0: not told */
	uint64_t max_gpa;   /* 0: not told */
	char name[64];      /* ends with a zero byte */
};

/*
 * Listens at "unix:PATH", at a path that begins with / or ., or at "vsock:PORT". The socket file is made, for this user
 * only, and removed by uvmi_listener_close; one that nobody listens at any more is replaced. -EADDRINUSE: another
 * tool listens there; -EEXIST: the path is something else than a socket; -EINVAL: not an address.
 */
int uvmi_listen(const char *address, struct uvmi_listener **ret);
/* Readable when a VM wants to connect. */
int uvmi_listener_fd(const struct uvmi_listener *listener);
void uvmi_listener_close(struct uvmi_listener *listener);

/*
 * Waits for a VM and begins a session with it. options may be NULL. -ETIMEDOUT: none came. A peer that does not
 * greet as a VM does gives -EPROTO, -ENOTCONN or -ETIMEDOUT too; the next one may. -EACCES: a VM has greeted, and closes
 * the connection now that it has the tool's answer: it wants another cookie, unless it has just come to its end.
 */
int uvmi_accept(struct uvmi_listener *listener, const struct uvmi_options *options, int timeout_ms,
	struct uvmi **ret);
/* Begins a session on a connected stream socket, which belongs to the session if this succeeds. */
int uvmi_adopt(int fd, const struct uvmi_options *options, struct uvmi **ret);
/*
 * Ends the session. The VM takes back its restrictions of pages and its events, and its guest goes on; what was written
 * stays, so breakpoints must be removed before. NULL is accepted.
 */
void uvmi_close(struct uvmi *session);

const struct uvmi_vm_info *uvmi_vm(const struct uvmi *session);
enum uvmi_dialect uvmi_get_dialect(const struct uvmi *session);
void uvmi_set_timeout(struct uvmi *session, int timeout_ms);
/* For poll(): readable when the VM has sent something. See uvmi_next_event. */
int uvmi_fd(const struct uvmi *session);
/* Makes the uvmi_next_event or uvmi_run that waits, or the next one, return -EINTR. Safe in signal handlers. */
void uvmi_wake(struct uvmi *session);

/* ---- Version and permissions -------------------------------------------------------------------------- */

/* The commands, in the order of uvmi_command_name. The numbers are this library's. */
enum uvmi_command {
	UVMI_GET_VERSION,
	UVMI_CHECK_COMMAND,
	UVMI_CHECK_EVENT,
	UVMI_GET_GUEST_INFO,
	UVMI_GET_VCPU_INFO,
	UVMI_PAUSE_VCPU,
	UVMI_PAUSE_ALL_VCPUS,
	UVMI_CONTROL_VM_EVENTS,
	UVMI_CONTROL_EVENTS,
	UVMI_CONTROL_CR,
	UVMI_CONTROL_MSR,
	UVMI_CONTROL_SINGLESTEP,
	UVMI_CONTROL_CMD_RESPONSE,
	UVMI_GET_REGISTERS,
	UVMI_SET_REGISTERS,
	UVMI_GET_CPUID,
	UVMI_GET_XSAVE,
	UVMI_SET_XSAVE,
	UVMI_GET_XCR,
	UVMI_GET_MTRR_TYPE,
	UVMI_INJECT_EXCEPTION,
	UVMI_READ_PHYSICAL,
	UVMI_WRITE_PHYSICAL,
	UVMI_TRANSLATE_GVA,
	UVMI_GET_MAX_GFN,
	UVMI_QUERY_PHYSICAL,
	UVMI_GET_NEXT_AVAILABLE_GFN,
	UVMI_GET_MAP_TOKEN,
	UVMI_GET_RAM,
	UVMI_GET_PAGE_ACCESS,
	UVMI_SET_PAGE_ACCESS,
	UVMI_CONTROL_SPP,
	UVMI_GET_PAGE_WRITE_BITMAP,
	UVMI_SET_PAGE_WRITE_BITMAP,
	UVMI_SET_PAGE_SVE,
	UVMI_SET_VE_INFO_PAGE,
	UVMI_DISABLE_VE,
	UVMI_GET_EPT_VIEW,
	UVMI_SWITCH_EPT_VIEW,
	UVMI_CONTROL_EPT_VIEW,
	UVMI_CREATE_EPT_VIEW,
	UVMI_DESTROY_EPT_VIEW,
	UVMI_CHANGE_GFN,
	UVMI_ALLOC_GFN,
	UVMI_FREE_GFN,
	UVMI_COMMANDS
};

/* The events; the numbers are the protocol's. UVMI_V5 has those up to PAUSE_VCPU. */
enum uvmi_event_id {
	UVMI_EVENT_UNHOOK,      /* the VM asks the tool to go; no reply */
	UVMI_EVENT_CR,          /* before a control register changes */
	UVMI_EVENT_MSR,         /* before an MSR changes */
	UVMI_EVENT_XSETBV,      /* before XCR0 changes */
	UVMI_EVENT_BREAKPOINT,  /* before INT3 */
	UVMI_EVENT_HYPERCALL,   /* the guest calls its tool */
	UVMI_EVENT_PF,          /* before an access that uvmi_set_page_access forbids */
	UVMI_EVENT_TRAP,        /* what became of uvmi_inject_exception */
	UVMI_EVENT_DESCRIPTOR,  /* before LGDT, SIDT and their like */
	UVMI_EVENT_CREATE_VCPU, /* before a vCPU first runs */
	UVMI_EVENT_PAUSE_VCPU, /* the vCPU has stopped as uvmi_pause_vcpu or uvmi_pause_all_vcpus asked */
	UVMI_EVENT_SINGLESTEP, /* after an instruction */
	UVMI_EVENT_CMD_ERROR,  /* a command of a batch failed; no reply */
	UVMI_EVENT_CPUID,      /* before CPUID */
	UVMI_EVENTS
};

/* In upper case, as the protocol writes it; "?" for a number without a name. */
const char *uvmi_command_name(enum uvmi_command command);
const char *uvmi_event_name(unsigned event);

struct uvmi_version {
	uint32_t version;
	uint32_t
		commands; /* that the VM permits, by bits; UVMI_V5 only, else 0: see uvmi_check_command */
	uint32_t events;
	uint8_t spp, vmfunc, eptp, ve; /* 1: the VM can do this; UVMI_V6 only */
};
int uvmi_get_version(struct uvmi *session, struct uvmi_version *ret);
/* 0: the VM permits it; -EPERM: it does not; -ENOSYS: it does not know it. */
int uvmi_check_command(struct uvmi *session, enum uvmi_command command);
int uvmi_check_event(struct uvmi *session, enum uvmi_event_id event);

/* ---- The guest ---------------------------------------------------------------------------------------- */

/* The number of vCPUs that are there. */
int uvmi_get_guest_info(struct uvmi *session, uint32_t *ret_vcpus);
/* The frequency of the vCPU's TSC in Hz; 0: not known. */
int uvmi_get_vcpu_info(struct uvmi *session, unsigned vcpu, uint64_t *ret_tsc_hz);
/* The highest number of a guest page. UVMI_V6 only. */
int uvmi_get_max_gfn(struct uvmi *session, uint64_t *ret_gfn);
/* The region of RAM that this page is in. UVMI_V6 only; a VM need not have it. */
int uvmi_query_physical(
	struct uvmi *session, uint64_t gfn, uint64_t *ret_first_gfn, uint64_t *ret_pages);
/* A page that the guest does not use. UVMI_V6 only; a VM need not have it. */
int uvmi_get_next_available_gfn(struct uvmi *session, uint64_t *ret_gfn);
/* For a tool in another guest of the same host: what it gives its hypervisor to map this guest's memory. */
int uvmi_get_map_token(struct uvmi *session, uint64_t ret_token[4]);

/* ---- Registers ---------------------------------------------------------------------------------------- */

struct uvmi_registers {
	uint32_t mode; /* bytes of an address in the code that runs: 2, 4 or 8 */
	struct kvm_regs regs;
	struct kvm_sregs sregs;
};
/* Also the n MSRs whose numbers are in msrs[].index, into msrs[].data; one that cannot be read is -EINVAL for all. */
int uvmi_get_registers(struct uvmi *session, unsigned vcpu, struct uvmi_registers *ret,
	struct kvm_msr_entry *msrs, unsigned n);
/*
 * Sets general registers, RIP and RFLAGS of a vCPU whose event waits for its reply; they count from the reply on.
 * Otherwise -EOPNOTSUPP, and with UVMI_V5 no effect.
 */
int uvmi_set_registers(struct uvmi *session, unsigned vcpu, const struct kvm_regs *regs);

struct uvmi_cpuid {
	uint32_t eax, ebx, ecx, edx;
};
/* What the guest finds. -ENOENT: it has no such leaf. */
int uvmi_get_cpuid(struct uvmi *session, unsigned vcpu, uint32_t function, uint32_t index,
	struct uvmi_cpuid *ret);
/* The XSAVE area in its standard form: at most size bytes of it, and its whole size into *ret_size. */
int uvmi_get_xsave(struct uvmi *session, unsigned vcpu, void *area, size_t size, size_t *ret_size);
/* UVMI_V6 only, like the next two. */
int uvmi_set_xsave(struct uvmi *session, unsigned vcpu, const void *area, size_t size);
int uvmi_get_xcr(struct uvmi *session, unsigned vcpu, unsigned xcr, uint64_t *ret);
int uvmi_get_mtrr_type(struct uvmi *session, unsigned vcpu, uint64_t gpa, uint8_t *ret_type);
/*
 * Queues an exception. has_error is for UVMI_V5; UVMI_V6 knows by the vector. address is CR2 of a page fault.
 * UVMI_EVENT_TRAP tells what became of it. -EBUSY: the one before has not been delivered.
 */
int uvmi_inject_exception(struct uvmi *session, unsigned vcpu, uint8_t vector, int has_error,
	uint32_t error_code, uint64_t address);

/* ---- Memory ------------------------------------------------------------------------------------------- */

/* One command: at least one byte, all in one page. -ENOENT or -EINVAL: there is no RAM. */
int uvmi_read_physical(struct uvmi *session, uint64_t gpa, void *data, size_t size);
int uvmi_write_physical(struct uvmi *session, uint64_t gpa, const void *data, size_t size);
/*
 * Any number of bytes, with several commands on their way at once. On failure a part may have been done. Of uvmi_read
 * the bytes in front of the first page that failed are good.
 */
int uvmi_read(struct uvmi *session, uint64_t gpa, void *data, size_t size);
int uvmi_write(struct uvmi *session, uint64_t gpa, const void *data, size_t size);
/*
 * As uvmi_read, but pages without RAM are not an error: they are zero, and have a 0 in present[], of which there is one for
 * each page from that of gpa to that of the last byte.
 */
int uvmi_read_present(
	struct uvmi *session, uint64_t gpa, void *data, size_t size, uint8_t *present);

/*
 * The guest-physical address of a linear address of this vCPU. -EFAULT: it is not mapped. UVMI_V6 asks the VM;
 * for UVMI_V5, and for a VM that does not have the command, this is uvmi_walk with the vCPU's registers.
 */
int uvmi_translate_gva(struct uvmi *session, unsigned vcpu, uint64_t gva, uint64_t *ret_gpa);
/* The same by reading page tables as CR0, CR3, CR4 and EFER of sregs say: another process's, for example. */
int uvmi_walk(struct uvmi *session, const struct kvm_sregs *sregs, uint64_t gva, uint64_t *ret_gpa);
/* Memory by linear addresses. -EFAULT: a part is not mapped. */
int uvmi_read_gva(struct uvmi *session, unsigned vcpu, uint64_t gva, void *data, size_t size);
int uvmi_write_gva(
	struct uvmi *session, unsigned vcpu, uint64_t gva, const void *data, size_t size);

/*
 * Guest RAM as files of the VM, mapped for reading: the fastest way to memory, for tools that the VM is connected to by a
 * unix socket. What the guest writes is seen at once. UVMI_V6 only; a VM need not have it (-ENOSYS, -EOPNOTSUPP). A region
 * that is in no file has no address: uvmi_read reads it. The mapping outlives the session, and shows the RAM that the
 * guest had when it was made. A VM that cuts its files short meanwhile can give the tool SIGBUS.
 */
struct uvmi_ram_region {
	uint64_t gpa, size;
	const uint8_t *at; /* or NULL */
};
struct uvmi_ram {
	struct uvmi_ram_region *regions;
	unsigned n;
};
int uvmi_map_ram(struct uvmi *session, struct uvmi_ram **ret);
/* NULL is accepted. */
void uvmi_unmap_ram(struct uvmi_ram *ram);
/*
 * The same bytes, read from the files in the place of the mappings: there is no SIGBUS, and pages that the guest has never
 * written are not made by it. Needs no session. -ENOENT: a part is in no file; -EIO: the file has been cut short.
 */
int uvmi_read_ram(const struct uvmi_ram *ram, uint64_t gpa, void *data, size_t size);

/* ---- Access to pages ---------------------------------------------------------------------------------- */

#define UVMI_ACCESS_R   1
#define UVMI_ACCESS_W   2
#define UVMI_ACCESS_X   4
#define UVMI_ACCESS_RWX 7
#define UVMI_ACCESS_SVE 8 /* suppress #VE; UVMI_V6 only */

struct uvmi_page_access {
	uint64_t gpa; /* its page counts */
	uint8_t access;
};
/* What the guest may do with pages, on all vCPUs: an access beyond it is UVMI_EVENT_PF, if that is on. */
int uvmi_set_page_access(
	struct uvmi *session, uint16_t view, const struct uvmi_page_access *pages, unsigned n);
/* Fills pages[].access. */
int uvmi_get_page_access(
	struct uvmi *session, uint16_t view, struct uvmi_page_access *pages, unsigned n);

/* Rights to write to parts of pages: bit i is for the 128 bytes from 128 * i on. UVMI_V6 only; a VM need not have it. */
struct uvmi_write_bitmap {
	uint64_t gpa;
	uint32_t bitmap;
};
int uvmi_control_spp(struct uvmi *session, int enable);
int uvmi_set_page_write_bitmap(
	struct uvmi *session, uint16_t view, const struct uvmi_write_bitmap *pages, unsigned n);
int uvmi_get_page_write_bitmap(
	struct uvmi *session, uint16_t view, struct uvmi_write_bitmap *pages, unsigned n);

/* Views: several sets of rights, of which each vCPU uses one; and #VE. UVMI_V6 only; a VM need not have them. */
int uvmi_get_ept_view(struct uvmi *session, unsigned vcpu, uint16_t *ret_view);
int uvmi_switch_ept_view(struct uvmi *session, unsigned vcpu, uint16_t view);
int uvmi_control_ept_view(struct uvmi *session, unsigned vcpu, uint16_t view, int visible);
int uvmi_create_ept_view(struct uvmi *session, uint16_t *ret_view);
int uvmi_destroy_ept_view(struct uvmi *session, uint16_t view);
int uvmi_change_gfn(
	struct uvmi *session, unsigned vcpu, uint16_t view, uint64_t old_gfn, uint64_t new_gfn);
int uvmi_alloc_gfn(struct uvmi *session, uint64_t gfn);
int uvmi_free_gfn(struct uvmi *session, uint64_t gfn);
int uvmi_set_page_sve(struct uvmi *session, uint16_t view, uint64_t gpa, int suppress);
int uvmi_set_ve_info_page(struct uvmi *session, unsigned vcpu, uint64_t gpa, int trigger_vmexit);
int uvmi_disable_ve(struct uvmi *session, unsigned vcpu);

/* ---- Which events ------------------------------------------------------------------------------------- */

/* Turns an event of this vCPU on or off; CR and MSR need the next two as well, SINGLESTEP the third. */
int uvmi_control_events(struct uvmi *session, unsigned vcpu, enum uvmi_event_id event, int enable);
/* The same for UNHOOK and CREATE_VCPU, which are the VM's. */
int uvmi_control_vm_events(struct uvmi *session, enum uvmi_event_id event, int enable);
/* CR0, CR3 or CR4 */
int uvmi_control_cr(struct uvmi *session, unsigned vcpu, unsigned cr, int enable);
/* 0 to 0x1fff, 0xc0000000 to 0xc0001fff */
int uvmi_control_msr(struct uvmi *session, unsigned vcpu, uint32_t msr, int enable);
/* An event after each instruction. UVMI_V6 only. */
int uvmi_control_singlestep(struct uvmi *session, unsigned vcpu, int enable);

/* ---- Events ------------------------------------------------------------------------------------------- */

struct uvmi_event_msrs {
	uint64_t sysenter_cs, sysenter_esp, sysenter_eip, efer, star, lstar, cstar, pat, shadow_gs;
};

#define UVMI_DESC_IDTR 1
#define UVMI_DESC_GDTR 2
#define UVMI_DESC_LDTR 3
#define UVMI_DESC_TR   4

struct uvmi_event {
	uint32_t seq; /* the VM's number for it, by which it is replied to */
	uint16_t vcpu;
	uint16_t view; /* that the vCPU uses; UVMI_V6 only */
	uint8_t event; /* enum uvmi_event_id */
	uint8_t mode;  /* as in struct uvmi_registers */
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct uvmi_event_msrs msrs;
	union {
		struct {
			uint16_t cr;
			uint64_t old_value, new_value;
		} cr;
		struct {
			uint32_t msr;
			uint64_t old_value, new_value;
		} msr;
		struct {
			uint64_t gpa;
			uint8_t insn_len; /* UVMI_V5: always 1 */
		} breakpoint;
		struct {
			uint64_t gva; /* all ones: not known */
			uint64_t gpa;
			uint8_t access; /* UVMI_ACCESS_*: what the guest does */
			uint16_t view;
		} pf;
		struct {
			uint32_t vector, type,
				error_code; /* type: as in VM-entry information; UVMI_V5 only */
			uint64_t cr2;
		} trap;
		struct {
			uint8_t descriptor; /* UVMI_DESC_* */
			uint8_t write;      /* 1: LGDT and its like; 0: SGDT and its like */
		} descriptor;
		struct {
			uint8_t failed;
		} singlestep;
		struct {
			int32_t err; /* -errno */
			uint32_t seq;
			uint16_t id; /* the message's */
		} cmd_error;
		struct {
			uint32_t function, index;
			uint8_t insn_len;
		} cpuid;
	} u;
};

/*
 * Takes the next event, in the order of their arrival. timeout_ms: 0 does not wait. -ETIMEDOUT: there is none;
 * -EINTR: uvmi_wake. Events arrive while commands wait for their answers, too. So who uses poll() takes events until
 * -ETIMEDOUT before each poll().
 */
int uvmi_next_event(struct uvmi *session, struct uvmi_event *ret, int timeout_ms);
/*
 * Takes events and gives each to the function, which replies to it, at once or later. The function returns 0; anything else
 * ends uvmi_run, which returns it. So does an error of the session, and -EINTR of uvmi_wake.
 */
typedef int (*uvmi_event_fn)(struct uvmi *session, const struct uvmi_event *event, void *opaque);
int uvmi_run(struct uvmi *session, uvmi_event_fn function, void *opaque);

#define UVMI_CONTINUE 0 /* the guest does what it was about to do; its breakpoint is its own */
#define UVMI_RETRY                                                                                 \
	1 /* the vCPU begins at its RIP again; for BREAKPOINT, PF and, in UVMI_V6, DESCRIPTOR */
#define UVMI_CRASH 2 /* the VM stops */

#define UVMI_CTX_SIZE 256

struct uvmi_answer {
	uint8_t action;       /* UVMI_CONTINUE and its like */
	uint8_t singlestep;   /* PF with RETRY: once, with the page open and other vCPUs stopped */
	uint8_t rep_complete; /* PF: no more events of this instruction's iterations */
	uint64_t new_val;     /* CR, MSR: what is written instead */
	uint64_t ctx_addr;    /* PF, UVMI_V6: the linear address that ctx_data is read at */
	uint32_t
		ctx_size; /* PF: the number of bytes in ctx_data, which the guest reads instead of memory */
	uint8_t ctx_data[UVMI_CTX_SIZE];
};
/*
 * Replies, once to each event. -ENOENT: it is not waiting; -EINVAL: it does not know the action, or ctx_size is too big.
 * To UNHOOK and CMD_ERROR there is no reply: nothing is sent.
 */
int uvmi_reply(
	struct uvmi *session, const struct uvmi_event *event, const struct uvmi_answer *answer);
/* The guest does what it was about to do. */
int uvmi_reply_continue(struct uvmi *session, const struct uvmi_event *event);
int uvmi_reply_retry(struct uvmi *session, const struct uvmi_event *event);
int uvmi_reply_crash(struct uvmi *session, const struct uvmi_event *event);
/* CR, MSR: another value is written; the old one leaves the register as it is. */
int uvmi_reply_value(struct uvmi *session, const struct uvmi_event *event, uint64_t new_val);

/* ---- Pausing ------------------------------------------------------------------------------------------ */

/* The commands themselves; each is answered by UVMI_EVENT_PAUSE_VCPU, whose reply lets the vCPU go on. */
int uvmi_pause_vcpu(struct uvmi *session, unsigned vcpu, int wait);  /* UVMI_V6 */
int uvmi_pause_all_vcpus(struct uvmi *session, uint32_t *ret_vcpus); /* UVMI_V5 */
/*
 * In both dialects: when uvmi_pause returns, no vCPU runs, but to reply to an event that it waits with. uvmi_resume lets them go on. The
 * events of these pauses are not seen. -EALREADY: it is paused, or it is not.
 */
int uvmi_pause(struct uvmi *session);
/* All but this one, which for example makes a step. UVMI_V6 only. */
int uvmi_pause_others(struct uvmi *session, unsigned vcpu);
int uvmi_resume(struct uvmi *session);

/* ---- Batches ------------------------------------------------------------------------------------------ */

/*
 * Between these, the thread's commands without a result and its replies to events are collected, and sent together at
 * the end, with one answer instead of one for each; they return 0 at once. All other functions of the session give
 * -EBUSY, and other threads wait. UVMI_V6 does not tell of errors of single commands (CONTROL_CMD_RESPONSE);
 * with UVMI_V5 uvmi_batch_end returns the first. UVMI_V6 closes the session over a command in a batch that the VM does not know
 * or permit: ask uvmi_check_command before.
 */
int uvmi_batch_begin(struct uvmi *session);
int uvmi_batch_end(struct uvmi *session);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
