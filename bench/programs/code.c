/* SPDX-License-Identifier: MIT */
/* Code written at run time: what a just-in-time compiler in the guest does to the engine. */
#include <string.h>
#include <sys/mman.h>

#include "ubench.h"

static u8 *code;

static void prepare_code(void)
{
	code = must_map(1u << 17, PROT_READ | PROT_WRITE | PROT_EXEC);
}

/* mov $imm32, %eax; ret */
static u64 run_jitwrite(u64 n)
{
	u64 sum = 0;

	for (u64 i = 0; i < n; i++) {
		u32 value = (u32)(i * 2654435761u);
		u8 insn[6] = {0xb8, 0, 0, 0, 0, 0xc3};
		memcpy(insn + 1, &value, 4);
		memcpy(code, insn, sizeof(insn));
		MEMORY();
		sum += ((u32(*)(void))code)();
	}
	return sum;
}

/* 16384 instructions of 3 bytes that never ran before: lea disp8(%rax), %rax variants with 4 bytes. */
static u64 run_coldcode(u64 n)
{
	u64 sum = 0;

	for (u64 round = 0; round < n; round++) {
		u8 *p = code;
		for (unsigned i = 0; i < 16384; i++) {
			u32 insn = 0x00408d48 | (u32)((i ^ round) & 0x3f)
							<< 24; /* lea disp8(%rax),%rax */
			memcpy(p, &insn, 4);
			p += 4;
		}
		*p = 0xc3;
		MEMORY();
		u64 result = round;
		__asm__ volatile("call *%1" : "+a"(result) : "r"(code) : "memory", "cc");
		sum = mix(sum, result);
	}
	return sum;
}

const struct workload code_workloads[] = {
	{"jitwrite", "code", "rewrite 6 code bytes and call them", run_jitwrite, prepare_code, 8},
	{"coldcode", "code", "write and run 16384 new instructions", run_coldcode, prepare_code,
		16},
	{0},
};
