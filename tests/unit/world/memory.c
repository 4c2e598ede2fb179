/* SPDX-License-Identifier: MIT */
#include "memory.h"
#include "engine/core/cpu.h"
#include "engine/core/stat.h"
#include "engine/core/vcpu.h"
#include "engine/engine.h"
#include "engine/mem/mem.h"
#include "x86/regs.h"

#include <sys/mman.h>

struct told told;

static void stored(struct cpu *cpu, u64 gpa, unsigned len)
{
	told.written++;
	told.written_gpa = gpa;
	told.written_len = len;
}

static void changed(struct machine *m, u64 gpa, unsigned len)
{
	told.written_external++;
	told.written_gpa = gpa;
	told.written_len = len;
}

static const struct code_watcher watcher = {stored, changed};

static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static void add_vcpu(struct machine *m, u32 id)
{
	struct vcpu *v;

	assert_int_equal(vcpu_create(m, id, &v), 0);
	v->cpu.phys_bits = 46; /* as CPUID would make it */
	v->cpu.inside = true;
	fixture_unpaged(&v->cpu);
	tlb_flush_all(&v->cpu);
}

void fixture_open(struct fixture *f, unsigned vcpus, u64 ram_size)
{
	memset(&told, 0, sizeof(told));
	*f = (struct fixture){.ram_size = ram_size};
	assert_int_equal(machine_create(&f->m), 0);
	f->m->watcher = &watcher;
	for (unsigned i = 0; i < vcpus; i++)
		add_vcpu(f->m, i);
	if (vcpus)
		f->cpu = &atomic_load(&f->m->vcpus[0])->cpu;
	if (ram_size) {
		f->ram = map(ram_size);
		assert_int_equal(fixture_slot(f, 0, 0, 0, ram_size, f->ram), 0);
	}
	for (unsigned i = 0; i < vcpus; i++)
		fixture_serve(&atomic_load(&f->m->vcpus[i])->cpu);
}

void fixture_close(struct fixture *f)
{
	unsigned n = atomic_load(&f->m->vcpu_high);

	for (unsigned i = 0; i < n;
		i++) /* they come out, or to destroy one would wait for the others */
		atomic_store(&atomic_load(&f->m->vcpus[i])->where, VCPU_OUT);
	while (n--)
		vcpu_destroy(atomic_load(&f->m->vcpus[n]));
	machine_destroy(f->m);
	if (f->ram)
		munmap(f->ram, f->ram_size);
}

u64 fixture_pauses(const struct fixture *f)
{
	return atomic_load(&f->m->own_stats[MACHINE_STAT_PAUSES]);
}

u64 fixture_requests(const struct fixture *f)
{
	return atomic_load(&f->m->own_stats[MACHINE_STAT_REMOTE_TLB_FLUSH]);
}

int fixture_slot(struct fixture *f, u32 id, u32 flags, u64 gpa, u64 size, void *hva)
{
	struct memslot_config c = {
		.id = id, .flags = flags, .gpa = gpa, .size = size, .hva = (uintptr_t)hva};

	return machine_set_memslot(f->m, &c);
}

void fixture_serve(struct cpu *cpu)
{
	u32 req = __atomic_exchange_n(&cpu->exit_request, 0, __ATOMIC_SEQ_CST);

	if (req & REQ_FLUSH)
		tlb_flush_all(cpu);
	if (req & REQ_FLUSH_W)
		tlb_flush_write(cpu, ~0ull);
}

void fixture_unpaged(struct cpu *cpu)
{
	cpu->cr0 = CR0_PE;
	cpu->cr3 = cpu->cr4 = cpu->efer = 0;
	fixture_view(cpu, TLB_KERNEL);
}

void fixture_long_mode(struct cpu *cpu, u64 cr3, u64 cr4)
{
	cpu->cr0 = CR0_PE | CR0_PG | CR0_WP;
	cpu->cr3 = cr3;
	cpu->cr4 = CR4_PAE | cr4;
	cpu->efer = EFER_LME | EFER_LMA | EFER_NX;
	fixture_view(cpu, TLB_KERNEL);
}

void fixture_view(struct cpu *cpu, unsigned view)
{
	cpu->view = view;
	cpu->cpl = view == TLB_USER ? 3 : 0;
	cpu->rflags = FL_FIXED | (view == TLB_KERNEL_AC ? FL_AC : 0);
}
