/* SPDX-License-Identifier: MIT */
/*
 * Life of a context and of its VM: choosing and opening the engine, and making the VM in the order that kernels of
 * today want (TSS and identity map, irqchip, PIT, memory; all before the first vCPU).
 */
#include <stdlib.h>
#include <string.h>

#include "base/hostcpu.h"
#include "libkvm/context.h"

/* Intel hosts need four pages of guest-physical space for real mode: just below a 256 KiB firmware image. */
#define IDENTITY_MAP_GPA 0xfffbc000ull
#define TSS_GPA          0xfffbd000ull

long cap_value(kvm_context_t kvm, int cap)
{
	return sys_ioctl(kvm, KVM_CHECK_EXTENSION, (void *)(long)cap);
}

static void context_free(kvm_context_t kvm)
{
	if (kvm->fd >= 0)
		kvm->port->close_fd(kvm->port_state, kvm->fd);
	if (kvm->fd >= 0)
		kvm->port->destroy(kvm->port_state);
	pthread_mutex_destroy(&kvm->lock);
	pthread_mutex_destroy(&kvm->ring_lock);
	free(kvm->vcpus);
	free(kvm);
}

/* What the program handed over. */
struct init {
	struct kvm_callbacks *callbacks;
	void *opaque;
	struct log log;
};

static kvm_context_t context_new(const struct init *init)
{
	kvm_context_t kvm = calloc(1, sizeof(*kvm));

	if (!kvm)
		return NULL;
	kvm->callbacks = init->callbacks;
	kvm->opaque = init->opaque;
	kvm->log = init->log;
	kvm->fd = kvm->vm_fd = -1;
	pthread_mutex_init(&kvm->lock, NULL);
	pthread_mutex_init(&kvm->ring_lock, NULL);
	return kvm;
}

static int context_size(kvm_context_t kvm)
{
	long n = sys_ioctl(kvm, KVM_GET_API_VERSION, NULL);

	if (n != KVM_API_VERSION)
		return n < 0 ? (int)n : -EPROTONOSUPPORT;
	n = sys_ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL);
	if (n < (long)sizeof(struct kvm_run))
		return n < 0 ? (int)n : -EPROTO;
	kvm->run_size = (size_t)n;
	n = MAX(cap_value(kvm, KVM_CAP_MAX_VCPU_ID), cap_value(kvm, KVM_CAP_MAX_VCPUS));
	kvm->max_vcpus = n > 0 ? (int)n : 4;
	n = cap_value(kvm, KVM_CAP_NR_MEMSLOTS);
	memory_init(&kvm->memory, n > 0 ? (u32)n : 32);
	kvm->vcpus = calloc((size_t)kvm->max_vcpus, sizeof(kvm->vcpus[0]));
	return kvm->vcpus ? 0 : -ENOMEM;
}

static int context_open(kvm_context_t kvm, const struct port_ops *port)
{
	kvm->port = port;
	kvm->fd = port->open(&kvm->port_state);
	return kvm->fd < 0 ? kvm->fd : context_size(kvm);
}

static kvm_context_t init_with(const struct init *init, const struct port_ops *port)
{
	kvm_context_t kvm = context_new(init);
	int r;

	if (!kvm)
		return NULL;
	r = context_open(kvm, port);
	if (r < 0) {
		context_free(kvm);
		errno = -r;
		return NULL;
	}
	return kvm;
}

/* The error of the last one is told: it is the one that should always work. */
static kvm_context_t init_first(const struct init *init, const struct port_ops *const *ports)
{
	kvm_context_t kvm = NULL;
	int error;

	for (; !kvm && *ports; ports++)
		kvm = init_with(init, *ports);
	if (kvm)
		return kvm;
	error = errno;
	log_to(&init->log, UV_KVM_LOG_ERROR, "%s: %s", ports[-1]->cannot_open, strerror(error));
	errno = error;
	return NULL;
}

/* Without virtualization hardware /dev/kvm is a substitute for it, which runs only guests made for that. */
static const struct port_ops *const *ports_of(const char *engine)
{
	static const struct port_ops *const any[] = {&port_kernel, &port_soft, NULL};
	static const struct port_ops *const kernel[] = {&port_kernel, NULL};
	static const struct port_ops *const soft[] = {&port_soft, NULL};

	if (!engine || !*engine)
		return host_cpu_virtualizes() ? any : soft;
	if (!strcmp(engine, port_kernel.name))
		return kernel;
	return strcmp(engine, port_soft.name) ? NULL : soft;
}

kvm_context_t uv_kvm_init(struct kvm_callbacks *callbacks, void *opaque, const char *engine,
	uv_kvm_log_fn log, void *log_opaque)
{
	const struct init init = {callbacks, opaque, {log, log_opaque}};
	const struct port_ops *const *ports;

	if (!engine)
		engine = getenv("LIBKVM_ENGINE");
	ports = ports_of(engine);
	if (callbacks && ports)
		return init_first(&init, ports);
	log_to(&init.log, UV_KVM_LOG_ERROR,
		callbacks ? "there is no engine \"%s\", only \"kernel\" and \"soft\""
			  : "kvm_init needs a struct kvm_callbacks, if an empty one",
		engine);
	errno = EINVAL;
	return NULL;
}

kvm_context_t kvm_init(struct kvm_callbacks *callbacks, void *opaque)
{
	return uv_kvm_init(callbacks, opaque, NULL, NULL, NULL);
}

const char *uv_kvm_engine(kvm_context_t kvm)
{
	return kvm->port->name;
}

void kvm_finalize(kvm_context_t kvm)
{
	if (!kvm)
		return;
	vcpus_free(kvm);
	if (kvm->vm_fd >= 0)
		kvm->port->close_fd(kvm->port_state, kvm->vm_fd);
	memory_free(&kvm->memory);
	context_free(kvm);
}

void kvm_disable_irqchip_creation(kvm_context_t kvm)
{
	kvm->no_irqchip = true;
}

void kvm_disable_pit_creation(kvm_context_t kvm)
{
	kvm->no_pit = true;
}

int kvm_check_extension(kvm_context_t kvm, int ext)
{
	return cap_value(kvm, ext) > 0;
}

int kvm_create_vm(kvm_context_t kvm)
{
	long r;

	if (kvm->vm_fd >= 0)
		return result(-EEXIST);
	r = sys_ioctl(kvm, KVM_CREATE_VM, NULL);
	if (r < 0)
		return result(r);
	kvm->vm_fd = (int)r;
	return 0;
}

void kvm_create_irqchip(kvm_context_t kvm)
{
	long r;

	kvm->irqchip = false;
	if (kvm->no_irqchip || cap_value(kvm, KVM_CAP_IRQCHIP) <= 0)
		return;
	r = vm_ioctl(kvm, KVM_CREATE_IRQCHIP, NULL);
	kvm->irqchip = r >= 0 || r == -EEXIST;
	if (!kvm->irqchip)
		log_line(kvm, UV_KVM_LOG_ERROR, "creating the irqchip failed: %s",
			strerror((int)-r));
}

static int set_real_mode_pages(kvm_context_t kvm)
{
	u64 identity = IDENTITY_MAP_GPA;
	long r = 0;

	if (cap_value(kvm, KVM_CAP_SET_TSS_ADDR) > 0)
		r = vm_ioctl(kvm, KVM_SET_TSS_ADDR, (void *)TSS_GPA);
	if (r >= 0 && cap_value(kvm, KVM_CAP_SET_IDENTITY_MAP_ADDR) > 0)
		r = vm_ioctl(kvm, KVM_SET_IDENTITY_MAP_ADDR, &identity);
	return (int)r;
}

static int create_pit(kvm_context_t kvm)
{
	struct kvm_pit_config config = {.flags = KVM_PIT_SPEAKER_DUMMY};
	long r;

	if (kvm->no_pit || !kvm->irqchip)
		return 0;
	if (cap_value(kvm, KVM_CAP_PIT2) > 0)
		r = vm_ioctl(kvm, KVM_CREATE_PIT2, &config);
	else
		r = vm_ioctl(kvm, KVM_CREATE_PIT, NULL);
	kvm->pit = r >= 0;
	return (int)r;
}

int kvm_create(kvm_context_t kvm, unsigned long phys_mem_bytes, void **phys_mem)
{
	int r = kvm_create_vm(kvm);

	if (r < 0)
		return r;
	r = set_real_mode_pages(kvm);
	if (r < 0)
		return result(r);
	kvm_create_irqchip(kvm);
	r = create_pit(kvm);
	if (r < 0)
		return result(r);
	r = kvm_init_coalesced_mmio(kvm);
	if (r < 0 || !phys_mem || !phys_mem_bytes)
		return r;
	return result(memory_create_initial(kvm, phys_mem_bytes, phys_mem));
}

int kvm_irqchip_in_kernel(kvm_context_t kvm)
{
	return kvm->irqchip;
}

int kvm_pit_in_kernel(kvm_context_t kvm)
{
	return kvm->pit;
}

int kvm_has_sync_mmu(kvm_context_t kvm)
{
	return (int)cap_value(kvm, KVM_CAP_SYNC_MMU);
}

int kvm_destroy_memory_region_works(kvm_context_t kvm)
{
	return (int)MAX(cap_value(kvm, KVM_CAP_DESTROY_MEMORY_REGION_WORKS), 0);
}

int kvm_set_shadow_pages(kvm_context_t kvm, unsigned int nrshadow_pages)
{
	long r;

	if (cap_value(kvm, KVM_CAP_MMU_SHADOW_CACHE_CONTROL) <= 0)
		return result(-ENOSYS);
	r = vm_ioctl(kvm, KVM_SET_NR_MMU_PAGES, (void *)(unsigned long)nrshadow_pages);
	if (r >= 0)
		kvm->shadow_pages = nrshadow_pages;
	return result(r);
}

/* Kernels no longer tell, so the value last set is remembered. */
int kvm_get_shadow_pages(kvm_context_t kvm, unsigned int *nrshadow_pages)
{
	if (cap_value(kvm, KVM_CAP_MMU_SHADOW_CACHE_CONTROL) <= 0)
		return result(-ENOSYS);
	*nrshadow_pages = kvm->shadow_pages;
	return 0;
}

int kvm_assign_pci_device(kvm_context_t kvm, struct kvm_assigned_pci_dev *assigned_dev)
{
	return result(-ENOTTY);
}

int kvm_assign_irq(kvm_context_t kvm, struct kvm_assigned_irq *assigned_irq)
{
	return result(-ENOTTY);
}
