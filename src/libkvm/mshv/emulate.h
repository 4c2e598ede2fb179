/* SPDX-License-Identifier: MIT */
/*
 * One instruction with an operand that is no memory: what hypervisors that hand over the access only leave to their
 * user. It knows no hypervisor and no guest memory; who calls it says where a linear address leads.
 *
 * An instruction is done as a whole or not at all. A read of a device cannot be answered in the middle of it, so emulate()
 * returns, and is called again with the answer among `reads`. Writes to devices are left in `writes`, in their order.
 * A repeated string instruction is done one element at a time, and rip stays on it until the last.
 */
#ifndef LIBKVM_MSHV_EMULATE_H
#define LIBKVM_MSHV_EMULATE_H

#include "x86/hyperv_root.h"
#include "x86/insn.h"
#include "x86/regs.h"

/* The general registers, RIP and RFLAGS. */
struct emu_regs {
	u64 gpr[GPR_COUNT], rip, rflags;
};

/* Part of an operand: at most 8 bytes, within a page. */
struct emu_piece {
	u64 gpa;
	u8 len;
	u64 value;
};
#define EMU_PIECES 4 /* two operands, each across a page */

struct emu_fault {
	u8 vector;
	bool has_error;
	u32 error;
	u64 address; /* of a page fault */
};

enum emu_result {
	EMU_DONE,
	EMU_READ,    /* need.gpa and need.len: to be read from a device */
	EMU_FAULT,   /* the guest gets this exception */
	EMU_UNKNOWN, /* not an instruction of these */
	EMU_LOST,    /* memory of the guest's is not there any more */
};

struct emu_place {
	u64 gpa;
	u8 *host; /* NULL: a device */
};

struct emu {
	struct emu_regs regs; /* changed by EMU_DONE alone */
	struct hv_segment segment[6];
	u8 mode;         /* of the code: 2, 4 or 8 bytes */
	bool real;       /* real or virtual-8086 mode */
	u8 address_bits; /* of linear addresses in 64-bit mode: 48 or 57 */
	u8 bytes[INSN_MAX];
	u8 n_bytes;

	/* Where the bytes from gva on are, all in one page: EMU_DONE, or EMU_FAULT with the fault. */
	enum emu_result (*find)(void *opaque, u64 gva, bool write, struct emu_place *ret,
		struct emu_fault *ret_fault);
	/* From memory of the guest's, or to it; false if it cannot be accessed. */
	bool (*copy)(u8 *host, void *own, size_t n, bool to_host);
	void *opaque;

	struct emu_piece reads[EMU_PIECES], writes[EMU_PIECES];
	u8 n_reads, n_writes;
	struct emu_piece need;
	struct emu_fault fault;
	bool again; /* EMU_DONE of a repeated string instruction that is not at its end */

	/* emulate()'s own */
	struct insn in;
	struct emu_regs next;
	struct {
		u8 *host;
		u8 len;
		u64 value;
	} stores[EMU_PIECES];
	u8 n_stores, reads_used;
};

enum emu_result emulate(struct emu *e);

/* ---- among the files of the emulator ---- */

enum emu_result emu_read(struct emu *e, unsigned seg, u64 offset, unsigned size, u64 *ret);
enum emu_result emu_write(struct emu *e, unsigned seg, u64 offset, unsigned size, u64 value);
/* Where n bytes of a segment are, if they are in one page; EMU_UNKNOWN if not. */
enum emu_result emu_locate(
	struct emu *e, unsigned seg, u64 offset, unsigned n, bool write, struct emu_place *ret);
/* Performs the stores to memory. */
enum emu_result emu_commit(struct emu *e);

/* In the order of the opcodes 00 to 38 and of the group 80. */
enum emu_alu { EMU_ADD, EMU_OR, EMU_ADC, EMU_SBB, EMU_AND, EMU_SUB, EMU_XOR, EMU_CMP };
/* The result, and the status flags in *rflags. */
u64 emu_alu(enum emu_alu op, unsigned size, u64 a, u64 b, u64 *rflags);
u64 emu_increment(unsigned size, u64 a, u64 *rflags);
u64 emu_decrement(unsigned size, u64 a, u64 *rflags);

enum emu_result emu_string(struct emu *e);

u64 emu_reg(const struct emu *e, unsigned reg, unsigned size);
void emu_set_reg(struct emu *e, unsigned reg, unsigned size, u64 value);

static inline u64 emu_cut(u64 value, unsigned size)
{
	return size == 8 ? value : value & (BIT64(8 * size) - 1);
}

#endif
