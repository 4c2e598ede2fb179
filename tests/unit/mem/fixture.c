/* SPDX-License-Identifier: MIT */
#include "fixture.h"
#include "engine/core/cpu.h"
#include "engine/core/machine.h"
#include "engine/core/vcpu.h"
#include "engine/engine.h"
#include "engine/mem/mem.h"
#include "engine/mem/memory.h"
#include "engine/request/pause.h"
#include "engine/request/post.h"
#include "x86/regs.h"

#include <sys/mman.h>

struct fake_calls fake;

void machine_pause(struct machine *m)
{
	fake.pauses++;
	atomic_store(&m->pausing, true);
}

void machine_resume(struct machine *m)
{
	fake.resumes++;
	atomic_store(&m->pausing, false);
}

void vcpu_request(struct vcpu *v, u32 req, bool wait)
{
	fake.requests++;
	__atomic_fetch_or(&v->cpu.exit_request, req, __ATOMIC_SEQ_CST);
}

static void stored(struct cpu *cpu, u64 gpa, unsigned len)
{
	fake.written++;
	fake.written_gpa = gpa;
	fake.written_len = len;
}

static void changed(struct machine *m, u64 gpa, unsigned len)
{
	fake.written_external++;
	fake.written_gpa = gpa;
	fake.written_len = len;
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
	struct vcpu *v = map(sizeof(*v));

	v->machine = v->cpu.machine = m;
	v->cpu.vcpu = v;
	v->id = v->cpu.id = id;
	v->cpu.phys_bits = 46;
	atomic_store(&m->vcpus[m->vcpu_count++], v);
	atomic_store(&m->vcpu_high, m->vcpu_count);
	v->cpu.inside = true;
	fixture_unpaged(&v->cpu);
	tlb_flush_all(&v->cpu);
}

void fixture_open(struct fixture *f, unsigned vcpus, u64 ram_size)
{
	memset(&fake, 0, sizeof(fake));
	*f = (struct fixture){.m = map(sizeof(struct machine)), .ram_size = ram_size};
	f->m->watcher = &watcher;
	assert_int_equal(memory_create(f->m), 0);
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
	memory_destroy(f->m);
	for (unsigned i = 0; i < f->m->vcpu_count; i++)
		munmap(atomic_load(&f->m->vcpus[i]), sizeof(struct vcpu));
	if (f->ram)
		munmap(f->ram, f->ram_size);
	munmap(f->m, sizeof(struct machine));
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
