/* SPDX-License-Identifier: MIT */
/*
 * kvm_run: enter the guest, serve the exit through the callbacks, again until one of them ends it. The order of the
 * callbacks is part of the interface: push_nmi, try_push_interrupts, pre_kvm_run, (guest), post_kvm_run, the collected
 * MMIO writes, then the exit's own.
 */
#include <string.h>

#include "libkvm/context.h"

/* The result of a missing callback that would have to decide: stop. */
#define STOP 1

static int io_in(kvm_context_t kvm, u16 port, unsigned size, void *data)
{
	struct kvm_callbacks *cb = kvm->callbacks;

	memset(data, 0xff, size);
	switch (size) {
	case 1: return cb->inb ? cb->inb(kvm->opaque, port, data) : 0;
	case 2: return cb->inw ? cb->inw(kvm->opaque, port, data) : 0;
	default: return cb->inl ? cb->inl(kvm->opaque, port, data) : 0;
	}
}

static int io_out(kvm_context_t kvm, u16 port, unsigned size, const void *data)
{
	struct kvm_callbacks *cb = kvm->callbacks;

	switch (size) {
	case 1: return cb->outb ? cb->outb(kvm->opaque, port, *(const u8 *)data) : 0;
	case 2: return cb->outw ? cb->outw(kvm->opaque, port, *(const u16 *)data) : 0;
	default: return cb->outl ? cb->outl(kvm->opaque, port, *(const u32 *)data) : 0;
	}
}

/* Every element is served even when one asks to stop: the guest's instruction is done as a whole. */
static int exit_io(kvm_context_t kvm, struct kvm_run *run)
{
	const unsigned size = run->io.size, in = run->io.direction == KVM_EXIT_IO_IN;
	u8 *data = (u8 *)run + run->io.data_offset;
	int first = 0;

	if (size != 1 && size != 2 && size != 4)
		return fail(kvm, -EMSGSIZE, "port %x: an access of %u bytes", run->io.port, size);
	if (run->io.direction > KVM_EXIT_IO_OUT)
		return fail(kvm, -EPROTO, "port %x: an access in direction %u", run->io.port,
			run->io.direction);
	for (u32 i = 0; i < run->io.count; i++, data += size) {
		int r = in ? io_in(kvm, run->io.port, size, data)
			   : io_out(kvm, run->io.port, size, data);

		if (!first)
			first = r;
	}
	return first;
}

static int mmio_write(kvm_context_t kvm, u64 gpa, u8 *data, u32 len)
{
	struct kvm_callbacks *cb = kvm->callbacks;

	return cb->mmio_write ? cb->mmio_write(kvm->opaque, gpa, data, (int)len) : 0;
}

static int exit_mmio(kvm_context_t kvm, struct kvm_run *run)
{
	struct kvm_callbacks *cb = kvm->callbacks;
	u64 gpa = run->mmio.phys_addr;

	/* Programs of the old interface never saw these: some guests read three bytes at the edge of video memory. */
	if (run->mmio.len == 3 && gpa > 0xa0000 - 4 && gpa <= 0xa0000)
		return 0;
	if (run->mmio.is_write)
		return mmio_write(kvm, gpa, run->mmio.data, run->mmio.len);
	memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
	if (!cb->mmio_read)
		return 0;
	return cb->mmio_read(kvm->opaque, gpa, run->mmio.data, (int)run->mmio.len);
}

static int exit_shutdown(kvm_context_t kvm, void *env)
{
	struct kvm_callbacks *cb = kvm->callbacks;

	return cb->shutdown ? cb->shutdown(kvm->opaque, env) : STOP;
}

static int exit_tpr(kvm_context_t kvm, int vcpu, struct kvm_run *run)
{
	struct kvm_callbacks *cb = kvm->callbacks;

	if (!cb->tpr_access)
		return STOP;
	return cb->tpr_access(
		kvm->opaque, vcpu, run->tpr_access.rip, (int)run->tpr_access.is_write);
}

static bool ends_system(u32 event)
{
	return event == KVM_SYSTEM_EVENT_SHUTDOWN || event == KVM_SYSTEM_EVENT_RESET ||
	       event == KVM_SYSTEM_EVENT_CRASH;
}

static int serve_exit(kvm_context_t kvm, int vcpu, struct kvm_run *run, void *env)
{
	struct kvm_callbacks *cb = kvm->callbacks;

	/* Not through the jump table: the processor does not know where to, so soon after the kernel. */
	if (likely(run->exit_reason == KVM_EXIT_IO))
		return exit_io(kvm, run);
	switch (run->exit_reason) {
	case KVM_EXIT_MMIO: return exit_mmio(kvm, run);
	case KVM_EXIT_INTR:
	case KVM_EXIT_IRQ_WINDOW_OPEN:
	case KVM_EXIT_SET_TPR: return 0;
	case KVM_EXIT_HLT: return cb->halt ? cb->halt(kvm->opaque, vcpu) : STOP;
	case KVM_EXIT_DEBUG:
		return cb->debug ? cb->debug(kvm->opaque, env, &run->debug.arch) : STOP;
	case KVM_EXIT_SHUTDOWN: return exit_shutdown(kvm, env);
	case KVM_EXIT_TPR_ACCESS: return exit_tpr(kvm, vcpu, run);
	case KVM_EXIT_SYSTEM_EVENT:
		if (ends_system(run->system_event.type))
			return exit_shutdown(kvm, env);
		/* fallthrough */
	default: return exit_failed(kvm, vcpu, run);
	}
}

static void unlock(void *mutex)
{
	pthread_mutex_unlock(mutex);
}

/*
 * The producer is the hypervisor on any vCPU; entries are given up only after they were served. A handler may end its
 * thread.
 */
static void drain_ring(kvm_context_t kvm, struct kvm_run *run)
{
	struct kvm_coalesced_mmio_ring *ring;

	if (!atomic_load_explicit(&kvm->coalesces, memory_order_acquire))
		return;
	ring = (void *)((u8 *)run + (size_t)kvm->ring_page * PAGE_SIZE);
	/* Without the lock it is a guess: who fills the ring meanwhile empties it himself. */
	if (__atomic_load_n(&ring->first, __ATOMIC_ACQUIRE) ==
		__atomic_load_n(&ring->last, __ATOMIC_ACQUIRE))
		return;
	pthread_mutex_lock(&kvm->ring_lock);
	pthread_cleanup_push(unlock, &kvm->ring_lock);
	while (ring->first != __atomic_load_n(&ring->last, __ATOMIC_ACQUIRE)) {
		struct kvm_coalesced_mmio *m = &ring->coalesced_mmio[ring->first];

		mmio_write(kvm, m->phys_addr, m->data, m->len);
		__atomic_store_n(
			&ring->first, (ring->first + 1) % KVM_COALESCED_MMIO_MAX, __ATOMIC_RELEASE);
	}
	pthread_cleanup_pop(true);
}

/* The vCPU's state tells something when it was the guest that touched what is not there. */
static int run_failed(kvm_context_t kvm, int vcpu, long error, const struct refusal *why)
{
	int r = request_failed(kvm, vcpu, KVM_RUN, error, why);

	if (error == -EFAULT)
		show_state(kvm, vcpu);
	return r;
}

/* -EAGAIN is no signal: a vCPU that waited for its SIPI has it, and can begin. */
static int interrupted(kvm_context_t kvm, long error)
{
	struct kvm_callbacks *cb = kvm->callbacks;

	if (cb->io_window)
		return cb->io_window(kvm->opaque);
	return error == -EAGAIN ? 0 : STOP;
}

/* One turn of the guest; 0 means: again. */
static int run_once(kvm_context_t kvm, int vcpu, const struct vcpu_handle *v, void *env)
{
	struct kvm_callbacks *cb = kvm->callbacks;
	struct refusal why;
	long r;

	if (cb->push_nmi)
		cb->push_nmi(kvm->opaque);
	if (!kvm->irqchip)
		v->run->request_interrupt_window =
			cb->try_push_interrupts && cb->try_push_interrupts(kvm->opaque);
	r = cb->pre_kvm_run ? cb->pre_kvm_run(kvm->opaque, env) : 0;
	if (r)
		return (int)r;
	r = fd_ioctl(kvm, v->fd, KVM_RUN, NULL, &why);
	if (cb->post_kvm_run)
		cb->post_kvm_run(kvm->opaque, env);
	if (unlikely(r < 0 && r != -EINTR && r != -EAGAIN))
		return run_failed(kvm, vcpu, r, &why);
	drain_ring(kvm, v->run);
	if (r < 0)
		return interrupted(kvm, r);
	return serve_exit(kvm, vcpu, v->run, env);
}

int kvm_run(kvm_context_t kvm, int vcpu, void *env)
{
	int r;
	struct vcpu_handle *v = context_vcpu(kvm, vcpu, &r);

	if (!v)
		return r;
	if (unlikely(!v->entered)) {
		v->entered = true;
		reset_vector_find(kvm, vcpu);
	}
	do
		r = run_once(kvm, vcpu, v, env);
	while (r == 0);
	return result(r);
}

int kvm_init_coalesced_mmio(kvm_context_t kvm)
{
	const struct refusal unsaid = {.why = NULL};
	long page = cap_value(kvm, KVM_CAP_COALESCED_MMIO);

	if (page < 0)
		return request_failed(kvm, NO_VCPU, KVM_CHECK_EXTENSION, page, &unsaid);
	if ((size_t)(page + 1) * PAGE_SIZE > kvm->run_size)
		page = 0;
	kvm->ring_page = (int)page;
	return 0;
}

static int coalesced_zone(kvm_context_t kvm, unsigned long request, u64 addr, u32 size)
{
	struct kvm_coalesced_mmio_zone zone = {.addr = addr, .size = size};
	int r = vm_check(kvm);

	if (r < 0)
		return r;
	if (!kvm->ring_page)
		return fail(kvm, -ENOSYS,
			"writes cannot be collected: call kvm_init_coalesced_mmio() first, or the "
			"hypervisor cannot collect them");
	kvm->coalesces = true;
	return result(vm_ioctl(kvm, request, &zone));
}

int kvm_register_coalesced_mmio(kvm_context_t kvm, uint64_t addr, uint32_t size)
{
	return coalesced_zone(kvm, KVM_REGISTER_COALESCED_MMIO, addr, size);
}

int kvm_unregister_coalesced_mmio(kvm_context_t kvm, uint64_t addr, uint32_t size)
{
	return coalesced_zone(kvm, KVM_UNREGISTER_COALESCED_MMIO, addr, size);
}
