/* SPDX-License-Identifier: MIT */
/*
 * KVMI, the protocol between a virtual machine monitor's kernel and an introspection tool: messages of version 1 as of
 * December 2018. Names, numbers and layouts are the kernel patches'; kvmi_check.h states each of them once more, as the
 * numbers that they must be. uapi/kvmi_v6.h has what later tools send.
 *
 * Sizes are bytes. All integers are little endian. Padding must be 0. Errors in replies are negative KVM_E*.
 */
#ifndef UAPI_KVMI_H
#define UAPI_KVMI_H

#include <linux/errno.h>
#include <linux/ioctl.h>
#include <linux/kvm.h>
#include <linux/kvm_para.h>
#include <linux/types.h>

#define KVMI_VERSION  0x00000001
#define KVMI_MSG_SIZE 4096

/* ---- messages ---- */

enum {
	KVMI_GET_VERSION = 1,
	KVMI_GET_GUEST_INFO = 3,
	KVMI_GET_REGISTERS = 6,
	KVMI_SET_REGISTERS = 7,
	KVMI_GET_PAGE_ACCESS = 10,
	KVMI_SET_PAGE_ACCESS = 11,
	KVMI_INJECT_EXCEPTION = 12,
	KVMI_READ_PHYSICAL = 13,
	KVMI_WRITE_PHYSICAL = 14,
	KVMI_GET_MAP_TOKEN = 15,
	KVMI_CONTROL_EVENTS = 17,
	KVMI_CONTROL_CR = 18,
	KVMI_CONTROL_MSR = 19,
	KVMI_EVENT = 23,
	KVMI_EVENT_REPLY = 24,
	KVMI_GET_CPUID = 25,
	KVMI_GET_XSAVE = 26,
	KVMI_PAUSE_ALL_VCPUS = 27,
	KVMI_CONTROL_VM_EVENTS = 28,
	KVMI_NUM_MESSAGES,
};
/* Bit n is message n. */
#define KVMI_KNOWN_COMMANDS 0x1f8efccau

/* What the patches add to linux/kvm_para.h */
#ifndef KVM_EAGAIN
#define KVM_EAGAIN 11
#endif
#ifndef KVM_EBUSY
#define KVM_EBUSY 16
#endif
#ifndef KVM_ENOENT
#define KVM_ENOENT 2
#endif
#ifndef KVM_ENOMEM
#define KVM_ENOMEM 12
#endif
#ifndef KVM_EACCES
#define KVM_EACCES 13
#endif
#define KVM_HC_MEM_MAP                     32
#define KVM_HC_MEM_UNMAP                   33
#define KVM_HC_XEN_HVM_OP                  34
/* The one operation of KVM_HC_XEN_HVM_OP: the guest asks for KVMI_EVENT_HYPERCALL. */
#define KVMI_HVM_OP_GUEST_REQUEST_VM_EVENT 24

struct kvmi_msg_hdr {
	__u16 id;
	__u16 size; /* of what follows */
	__u32 seq;
};

struct kvmi_error_code {
	__s32 err;
	__u32 padding;
};

/* ---- commands; the first field of those for a vcpu is its index ---- */

struct kvmi_get_version_reply {
	__u32 version;
	__u32 commands; /* that the tool may use: bit n is message n */
	__u32 events;   /* the same for events */
	__u32 padding;
};

struct kvmi_get_guest_info {
	__u16 vcpu;
	__u16 padding[3];
};

struct kvmi_get_guest_info_reply {
	__u32 vcpu_count;
	__u32 padding;
	__u64 tsc_speed; /* Hz */
};

struct kvmi_pause_all_vcpus_reply {
	__u32 vcpu_count;
	__u32 padding;
};

struct kvmi_control_events {
	__u16 vcpu;
	__u16 padding;
	__u32 events; /* all that are on from now on: KVMI_EVENT_*_FLAG */
};

struct kvmi_control_vm_events {
	__u32 events;
	__u32 padding;
};

struct kvmi_control_cr {
	__u16 vcpu;
	__u8 enable;
	__u8 padding;
	__u32 cr;
};

struct kvmi_control_msr {
	__u16 vcpu;
	__u8 enable;
	__u8 padding;
	__u32 msr;
};

#define KVMI_PAGE_ACCESS_R (1 << 0)
#define KVMI_PAGE_ACCESS_W (1 << 1)
#define KVMI_PAGE_ACCESS_X (1 << 2)

/* The reply is one byte for each page: KVMI_PAGE_ACCESS_*. */
struct kvmi_get_page_access {
	__u16 vcpu;
	__u16 count;
	__u16 view;
	__u16 padding;
	__u64 gpa[];
};

struct kvmi_page_access_entry {
	__u64 gpa;
	__u8 access;
	__u8 padding[7];
};

struct kvmi_set_page_access {
	__u16 vcpu;
	__u16 count;
	__u16 view;
	__u16 padding;
	struct kvmi_page_access_entry entries[];
};

struct kvmi_inject_exception {
	__u16 vcpu;
	__u8 nr;
	__u8 has_error;
	__u16 error_code;
	__u16 padding;
	__u64 address; /* CR2 of a page fault */
};

/* The reply is size bytes. */
struct kvmi_read_physical {
	__u64 gpa;
	__u64 size;
};

struct kvmi_write_physical {
	__u64 gpa;
	__u64 size;
	__u8 data[];
};

struct kvmi_get_registers {
	__u16 vcpu;
	__u16 nmsrs;
	__u16 padding[2];
	__u32 msrs_idx[];
};

struct kvmi_get_registers_reply {
	__u32 mode; /* bytes of an operand: 2, 4 or 8 */
	__u32 padding;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_msrs msrs;
};

struct kvmi_set_registers {
	__u16 vcpu;
	__u16 padding[3];
	struct kvm_regs regs;
};

struct kvmi_get_cpuid {
	__u16 vcpu;
	__u16 padding[3];
	__u32 function;
	__u32 index;
};

struct kvmi_get_cpuid_reply {
	__u32 eax;
	__u32 ebx;
	__u32 ecx;
	__u32 edx;
};

/* The reply is 4096 bytes in the standard format of XSAVE. */
struct kvmi_get_xsave {
	__u16 vcpu;
	__u16 padding[3];
};

struct kvmi_map_mem_token {
	__u64 token[4];
};

struct kvmi_get_map_token_reply {
	struct kvmi_map_mem_token token;
};

/* ---- events ---- */

enum {
	KVMI_EVENT_UNHOOK,
	KVMI_EVENT_CR,
	KVMI_EVENT_MSR,
	KVMI_EVENT_XSETBV,
	KVMI_EVENT_BREAKPOINT,
	KVMI_EVENT_HYPERCALL,
	KVMI_EVENT_PF,
	KVMI_EVENT_TRAP,
	KVMI_EVENT_DESCRIPTOR,
	KVMI_EVENT_CREATE_VCPU,
	KVMI_EVENT_PAUSE_VCPU,
	KVMI_NUM_EVENTS,
};
/* Bit n is event n. */
#define KVMI_KNOWN_VCPU_EVENTS 0x5feu
#define KVMI_KNOWN_VM_EVENTS   0x201u
#define KVMI_KNOWN_EVENTS      (KVMI_KNOWN_VCPU_EVENTS | KVMI_KNOWN_VM_EVENTS)

#define KVMI_EVENT_ACTION_CONTINUE 0
#define KVMI_EVENT_ACTION_RETRY    1
#define KVMI_EVENT_ACTION_CRASH    2

struct kvmi_event_msrs {
	__u64 sysenter_cs;
	__u64 sysenter_esp;
	__u64 sysenter_eip;
	__u64 efer;
	__u64 star;
	__u64 lstar;
	__u64 cstar;
	__u64 pat;
	__u64 shadow_gs;
};

/* What each event begins with */
struct kvmi_event {
	__u32 event;
	__u16 vcpu;
	__u8 mode; /* 2, 4 or 8 */
	__u8 padding;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvmi_event_msrs msrs;
};

struct kvmi_event_cr {
	__u16 cr;
	__u16 padding[3];
	__u64 old_value;
	__u64 new_value;
};

struct kvmi_event_msr {
	__u32 msr;
	__u32 padding;
	__u64 old_value;
	__u64 new_value;
};

struct kvmi_event_breakpoint {
	__u64 gpa;
};

struct kvmi_event_pf {
	__u64 gva; /* all ones: unknown */
	__u64 gpa;
	__u32 mode; /* KVMI_PAGE_ACCESS_* of the access */
	__u32 padding;
};

struct kvmi_event_trap {
	__u32 vector;
	__u32 type;
	__u32 error_code;
	__u32 padding;
	__u64 cr2;
};

#define KVMI_DESC_IDTR 1
#define KVMI_DESC_GDTR 2
#define KVMI_DESC_LDTR 3
#define KVMI_DESC_TR   4

struct kvmi_event_descriptor {
	union {
		struct {
			__u32 instr_info;
			__u32 padding;
			__u64 exit_qualification;
		} vmx;
		struct {
			__u64 exit_info;
			__u64 padding;
		} svm;
	} arch;
	__u8 descriptor;
	__u8 write;
	__u8 padding[6];
};

/* ---- replies to events ---- */

struct kvmi_event_reply {
	__u32 action; /* KVMI_EVENT_ACTION_* */
	__u32 event;
};

struct kvmi_event_cr_reply {
	__u64 new_val;
};

struct kvmi_event_msr_reply {
	__u64 new_val;
};

#define KVMI_CTX_DATA_SIZE 256

struct kvmi_event_pf_reply {
	__u8 singlestep;
	__u8 rep_complete;
	__u16 padding;
	__u32 ctx_size;
	__u8 ctx_data[KVMI_CTX_DATA_SIZE];
};

/* ---- requests on the descriptor of a virtual machine ---- */

#define KVM_CAP_INTROSPECTION 999

struct kvm_introspection {
	int fd; /* a connected socket; may be closed afterwards */
	__u32 padding;
	__u32 commands; /* that are allowed: bit n is message n */
	__u32 events;
	__u8 uuid[16];
};
#define KVM_INTROSPECTION_HOOK   _IOW(KVMIO, 0xff, struct kvm_introspection)
#define KVM_INTROSPECTION_UNHOOK _IO(KVMIO, 0xfe)

/* ---- requests of /dev/kvmmem in a guest: a page of another guest takes the place of one's own ---- */

struct kvmi_mem_map {
	struct kvmi_map_mem_token token;
	__u64 gpa;
	__u64 gva;
};
#define KVM_INTRO_MEM_MAP   _IOW('i', 0x01, struct kvmi_mem_map)
#define KVM_INTRO_MEM_UNMAP _IOW('i', 0x02, unsigned long)

/* ---- the greeting that comes before the protocol, which QEMU and the tools have agreed on ---- */

struct kvmi_qemu2introspector {
	__u32 struct_size; /* of all of it; may grow */
	__u8 uuid[16];
	__u32 padding;
	__s64 start_time; /* seconds since 1970 */
	char name[64];
};

struct kvmi_introspector2qemu {
	__u32 struct_size;
	__u8 cookie_hash[20]; /* SHA-1; 0 without a cookie */
};

#endif
