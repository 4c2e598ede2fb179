/* SPDX-License-Identifier: MIT */
/*
 * Finding the CPUID instructions of a program in its code.
 *
 * The two bytes 0F A2 may as well be the middle of another instruction, or data. Certain is what a sweep says that
 * decodes a whole function, whose beginning and end the program's own tables for unwinding tell
 * (System V psABI for x86-64, 4.2.4; LSB 10.6.2, .eh_frame_hdr), if every instruction in it is known, the last
 * one ends where the function does, and all its branches within itself lead to beginnings of instructions.
 */
#ifndef SHIM_CPUIDSITES_H
#define SHIM_CPUIDSITES_H

#include <elf.h>

#include "base/types.h"

/* A program or library in memory. */
struct object {
	u64 base; /* added to the addresses in its headers */
	const Elf64_Phdr *phdrs;
	unsigned count;
	u64 frames,
		frames_size; /* .eh_frame as in its headers, for static ones, which have no .eh_frame_hdr; or 0 */
};

enum cpuid_site {
	CPUID_SITE_NONE,    /* in the middle of another instruction */
	CPUID_SITE_UNKNOWN, /* no table tells of the function, or something in it is not understood */
	CPUID_SITE_CERTAIN,
};

/* Are these bytes mapped from its file, as its headers say? */
bool object_maps(const struct object *o, u64 at, u64 n);

/* The first address at or after from of these two bytes in its executable segments, or 0. */
u64 cpuid_site_next(const struct object *o, u64 from);
enum cpuid_site cpuid_site_judge(const struct object *o, u64 at);

#endif
