/* SPDX-License-Identifier: MIT */
/*
 * KVMI as the tools of today speak it: the numbers of version 6 of the kernel patches, with the additions of the branch
 * that libkvmi is made for. The header of a message, the greeting and struct kvmi_error_code are those of uapi/kvmi.h.
 * kvmi_check.h states sizes and offsets.
 *
 * Commands for a vcpu and replies to events begin with struct kvmi_v6_vcpu_hdr. It is part of the structures below.
 */
#ifndef UAPI_KVMI_V6_H
#define UAPI_KVMI_V6_H

#include "uapi/kvmi.h"

#define KVMI_V6_MSG_SIZE 8192 /* the largest message, with its header */

enum {
	KVMI_V6_EVENT_REPLY = 0,
	KVMI_V6_EVENT = 1,
	KVMI_V6_GET_VERSION = 2,
	KVMI_V6_CHECK_COMMAND = 3,
	KVMI_V6_CHECK_EVENT = 4,
	KVMI_V6_GET_GUEST_INFO = 5,
	KVMI_V6_GET_VCPU_INFO = 6,
	KVMI_V6_PAUSE_VCPU = 7,
	KVMI_V6_CONTROL_VM_EVENTS = 8,
	KVMI_V6_CONTROL_EVENTS = 9,
	KVMI_V6_CONTROL_CR = 10,
	KVMI_V6_CONTROL_MSR = 11,
	KVMI_V6_CONTROL_VE = 12,
	KVMI_V6_GET_REGISTERS = 13,
	KVMI_V6_SET_REGISTERS = 14,
	KVMI_V6_GET_CPUID = 15,
	KVMI_V6_GET_XSAVE = 16,
	KVMI_V6_READ_PHYSICAL = 17,  /* struct kvmi_read_physical */
	KVMI_V6_WRITE_PHYSICAL = 18, /* struct kvmi_write_physical */
	KVMI_V6_INJECT_EXCEPTION = 19,
	KVMI_V6_GET_PAGE_ACCESS = 20,
	KVMI_V6_SET_PAGE_ACCESS = 21,
	KVMI_V6_GET_MAP_TOKEN = 22,
	KVMI_V6_GET_MTRR_TYPE = 23,
	KVMI_V6_CONTROL_SPP = 24,
	KVMI_V6_GET_PAGE_WRITE_BITMAP = 25,
	KVMI_V6_SET_PAGE_WRITE_BITMAP = 26,
	KVMI_V6_CONTROL_CMD_RESPONSE = 27,
	KVMI_V6_SET_VE_INFO_PAGE = 28,
	KVMI_V6_GET_MAX_GFN = 29,
	KVMI_V6_SET_PAGE_SVE = 30,
	KVMI_V6_GET_NEXT_AVAILABLE_GFN = 31,
	KVMI_V6_SWITCH_EPT_VIEW = 32,
	KVMI_V6_DISABLE_VE = 33,
	KVMI_V6_GET_EPT_VIEW = 34,
	KVMI_V6_TRANSLATE_GVA = 35,
	KVMI_V6_CONTROL_EPT_VIEW = 36,
	KVMI_V6_GET_XCR = 37,
	KVMI_V6_SET_XSAVE = 38,
	KVMI_V6_QUERY_PHYSICAL = 39,
	KVMI_V6_ALLOC_GFN = 41,
	KVMI_V6_FREE_GFN = 42,
	KVMI_V6_CREATE_EPT_VIEW = 43,
	KVMI_V6_DESTROY_EPT_VIEW = 44,
	KVMI_V6_CHANGE_GFN = 60,
	KVMI_V6_CONTROL_SINGLESTEP = 63,
	KVMI_V6_NUM_MESSAGES,
	/* Ours alone. CHECK_COMMAND says whether it is there. */
	KVMI_V6_GET_RAM = 127,
};

enum {
	KVMI_V6_EVENT_UNHOOK,
	KVMI_V6_EVENT_CR,
	KVMI_V6_EVENT_MSR,
	KVMI_V6_EVENT_XSETBV,
	KVMI_V6_EVENT_BREAKPOINT,
	KVMI_V6_EVENT_HYPERCALL,
	KVMI_V6_EVENT_PF,
	KVMI_V6_EVENT_TRAP,
	KVMI_V6_EVENT_DESCRIPTOR,
	KVMI_V6_EVENT_CREATE_VCPU,
	KVMI_V6_EVENT_PAUSE_VCPU,
	KVMI_V6_EVENT_SINGLESTEP,
	KVMI_V6_EVENT_CMD_ERROR,
	KVMI_V6_EVENT_CPUID,
	KVMI_V6_NUM_EVENTS,
};

/* ---- commands ---- */

struct kvmi_v6_vcpu_hdr {
	__u16 vcpu;
	__u16 padding1;
	__u32 padding2;
};

struct kvmi_v6_get_version_reply {
	__u32 version;
	__u32 padding;
	__u8 spp; /* 1: the host has it; likewise the others */
	__u8 vmfunc;
	__u8 eptp;
	__u8 ve;
	__u8 padding2[4];
};

/* CHECK_COMMAND, CHECK_EVENT */
struct kvmi_v6_check {
	__u16 id;
	__u16 padding1;
	__u32 padding2;
};

struct kvmi_v6_get_guest_info_reply {
	__u32 vcpu_count;
	__u32 padding[3];
};

struct kvmi_v6_get_vcpu_info_reply {
	__u64 tsc_speed; /* Hz */
};

struct kvmi_v6_pause_vcpu {
	struct kvmi_v6_vcpu_hdr hdr;
	__u8 wait;
	__u8 padding1;
	__u16 padding2;
	__u32 padding3;
};

struct kvmi_v6_control_vm_events {
	__u16 event;
	__u8 enable;
	__u8 padding1;
	__u32 padding2;
};

struct kvmi_v6_control_events {
	struct kvmi_v6_vcpu_hdr hdr;
	__u16 event;
	__u8 enable;
	__u8 padding1;
	__u32 padding2;
};

/* CONTROL_CR, CONTROL_MSR */
struct kvmi_v6_control_register {
	struct kvmi_v6_vcpu_hdr hdr;
	__u8 enable;
	__u8 padding1;
	__u16 padding2;
	__u32 index;
};

/* The reply is struct kvmi_get_registers_reply. */
struct kvmi_v6_get_registers {
	struct kvmi_v6_vcpu_hdr hdr;
	__u16 nmsrs;
	__u16 padding1;
	__u32 padding2;
	__u32 msrs_idx[];
};

struct kvmi_v6_set_registers {
	struct kvmi_v6_vcpu_hdr hdr;
	struct kvm_regs regs;
};

/* The reply is struct kvmi_get_cpuid_reply. */
struct kvmi_v6_get_cpuid {
	struct kvmi_v6_vcpu_hdr hdr;
	__u32 function;
	__u32 index;
};

struct kvmi_v6_inject_exception {
	struct kvmi_v6_vcpu_hdr hdr;
	__u8 nr;
	__u8 padding1; /* has_error of the first tools: not looked at */
	__u16 padding2;
	__u32 error_code;
	__u64 address;
};

struct kvmi_v6_get_page_access {
	__u16 view;
	__u16 count;
	__u32 padding;
	__u64 gpa[];
};

struct kvmi_v6_page_access_entry {
	__u64 gpa;
	__u8 access;
	__u8 padding1;
	__u16 padding2;
	__u32 padding3;
};

struct kvmi_v6_set_page_access {
	__u16 view;
	__u16 count;
	__u32 padding;
	struct kvmi_v6_page_access_entry entries[];
};

struct kvmi_v6_get_mtrr_type {
	struct kvmi_v6_vcpu_hdr hdr;
	__u64 gpa;
};

struct kvmi_v6_get_mtrr_type_reply {
	__u8 type;
	__u8 padding[7];
};

struct kvmi_v6_control_cmd_response {
	__u8 enable;
	__u8 now;   /* 1: this message's own reply goes by it already */
	__u8 flags; /* KVMI_V6_RESPONSE_EVENT */
	__u8 padding1;
	__u32 padding2;
};
/* Errors of commands without a reply come as KVMI_V6_EVENT_CMD_ERROR. */
#define KVMI_V6_RESPONSE_EVENT 1

struct kvmi_v6_gfn_reply {
	__u64 gfn;
};

struct kvmi_v6_switch_ept_view {
	struct kvmi_v6_vcpu_hdr hdr;
	__u16 view;
	__u16 padding[3];
};

/* Of GET_EPT_VIEW and CREATE_EPT_VIEW; DESTROY_EPT_VIEW's command */
struct kvmi_v6_ept_view {
	__u16 view;
	__u16 padding[3];
};

struct kvmi_v6_control_ept_view {
	struct kvmi_v6_vcpu_hdr hdr;
	__u16 view;
	__u8 visible;
	__u8 padding1;
	__u32 padding2;
};

struct kvmi_v6_translate_gva {
	struct kvmi_v6_vcpu_hdr hdr;
	__u64 gva;
};

struct kvmi_v6_translate_gva_reply {
	__u64 gpa; /* all ones: not mapped */
};

struct kvmi_v6_get_xcr {
	struct kvmi_v6_vcpu_hdr hdr;
	__u8 xcr;
	__u8 padding[7];
};

struct kvmi_v6_get_xcr_reply {
	__u64 value;
};

struct kvmi_v6_set_xsave {
	struct kvmi_v6_vcpu_hdr hdr;
	__u8 area[];
};

struct kvmi_v6_query_physical {
	__u64 gfn;
};

struct kvmi_v6_query_physical_reply {
	__u64 gfn; /* the first of the region */
	__u64 pages;
};

/* ALLOC_GFN, FREE_GFN */
struct kvmi_v6_own_gfn {
	struct kvmi_v6_vcpu_hdr hdr;
	__u64 gfn;
};

struct kvmi_v6_change_gfn {
	struct kvmi_v6_vcpu_hdr hdr;
	__u16 view;
	__u16 padding1;
	__u32 padding2;
	__u64 old_gfn;
	__u64 new_gfn;
};

struct kvmi_v6_control_singlestep {
	struct kvmi_v6_vcpu_hdr hdr;
	__u8 enable;
	__u8 padding[7];
};

/*
 * Guest RAM for tools on the same host, connected by a unix socket. The reply to GET_RAM is this, then the regions; with its
 * first byte come files descriptors (SCM_RIGHTS), to be mapped for reading.
 */
struct kvmi_v6_get_ram_reply {
	__u32 regions;
	__u32 files;
};

#define KVMI_V6_RAM_NO_FILE 0xffffffffu /* the VMM has it in no file: READ_PHYSICAL */

struct kvmi_v6_ram_region {
	__u64 gpa;
	__u64 size;
	__u64 offset; /* in the file */
	__u32 file;   /* counts the descriptors */
	__u32 padding;
};

/* ---- events: this, then one of those below, or for CR and MSR one of uapi/kvmi.h ---- */

struct kvmi_v6_event {
	__u16 size; /* of this structure */
	__u16 vcpu;
	__u8 event;
	__u8 padding1[3];
	__u8 mode; /* 2, 4 or 8 */
	__u8 padding2;
	__u16 view;
	__u32 padding3;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvmi_event_msrs msrs;
};

struct kvmi_v6_event_breakpoint {
	__u64 gpa;
	__u8 insn_len;
	__u8 padding[7];
};

struct kvmi_v6_event_pf {
	__u64 gva;
	__u64 gpa;
	__u8 access;
	__u8 padding1;
	__u16 view;
	__u32 padding2;
};

struct kvmi_v6_event_trap {
	__u8 vector;
	__u8 padding1;
	__u16 padding2;
	__u32 error_code;
	__u64 cr2;
};

struct kvmi_v6_event_descriptor {
	__u8 descriptor; /* KVMI_DESC_* */
	__u8 write;
	__u8 padding[6];
};

struct kvmi_v6_event_singlestep {
	__u8 failed;
	__u8 padding[7];
};

struct kvmi_v6_event_cmd_error {
	__s32 err;
	__u32 msg_seq;
	__u16 msg_id;
	__u16 padding[3];
};

struct kvmi_v6_event_cpuid {
	__u32 function;
	__u32 index;
	__u8 insn_len;
	__u8 padding1[3];
	__u32 padding2;
};

/* ---- replies to events: this, then for CR and MSR one of uapi/kvmi.h, for a page fault the one below ---- */

struct kvmi_v6_event_reply {
	struct kvmi_v6_vcpu_hdr hdr;
	__u8 action;
	__u8 event;
	__u16 padding1;
	__u32 padding2;
};

struct kvmi_v6_event_pf_reply {
	__u64 ctx_addr;
	__u32 ctx_size;
	__u8 singlestep;
	__u8 rep_complete;
	__u16 padding;
	__u8 ctx_data[KVMI_CTX_DATA_SIZE];
};

#endif
