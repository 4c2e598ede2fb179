/* SPDX-License-Identifier: MIT */
#include "seen.h"

#include "engine/mem/mem.h"

struct seen seen;

int __real_mem_read(struct cpu *cpu, u64 lin, void *buf, unsigned len, unsigned acc);
int __wrap_mem_read(struct cpu *cpu, u64 lin, void *buf, unsigned len, unsigned acc);
int __real_mem_write(struct cpu *cpu, u64 lin, const void *buf, unsigned len, unsigned acc);
int __wrap_mem_write(struct cpu *cpu, u64 lin, const void *buf, unsigned len, unsigned acc);
void __real_tlb_flush_all(struct cpu *cpu);
void __wrap_tlb_flush_all(struct cpu *cpu);
void __real_tlb_flush_nonglobal(struct cpu *cpu);
void __wrap_tlb_flush_nonglobal(struct cpu *cpu);
void __real_tlb_flush_page(struct cpu *cpu, u64 lin);
void __wrap_tlb_flush_page(struct cpu *cpu, u64 lin);

int __wrap_mem_read(struct cpu *cpu, u64 lin, void *buf, unsigned len, unsigned acc)
{
	int r = __real_mem_read(cpu, lin, buf, len, acc);

	seen.reads += !r;
	return r;
}

int __wrap_mem_write(struct cpu *cpu, u64 lin, const void *buf, unsigned len, unsigned acc)
{
	int r = __real_mem_write(cpu, lin, buf, len, acc);

	if (r)
		return r;
	seen.writes++;
	seen.last_write_acc = acc;
	return 0;
}

void __wrap_tlb_flush_all(struct cpu *cpu)
{
	seen.flush_all++;
	__real_tlb_flush_all(cpu);
}

void __wrap_tlb_flush_nonglobal(struct cpu *cpu)
{
	seen.flush_nonglobal++;
	__real_tlb_flush_nonglobal(cpu);
}

void __wrap_tlb_flush_page(struct cpu *cpu, u64 lin)
{
	seen.flush_page++;
	seen.flushed = lin;
	__real_tlb_flush_page(cpu, lin);
}
