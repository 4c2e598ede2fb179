/* SPDX-License-Identifier: MIT */
/* Life of a context: choosing the engine, opening it, and releasing everything. */
#include <stdlib.h>
#include <string.h>

#include "base/hostcpu.h"
#include "libkvm/context.h"

static void context_free(kvm_context_t kvm)
{
	if (kvm->fd >= 0) {
		kvm->driver->close_fd(kvm, kvm->fd);
		kvm->driver->destroy(kvm);
	}
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
	struct refusal unsaid;
	long n = sys_ioctl(kvm, KVM_GET_API_VERSION, NULL, &unsaid);

	if (n != KVM_API_VERSION)
		return n < 0 ? (int)n : -EPROTONOSUPPORT;
	n = sys_ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, NULL, &unsaid);
	if (n < (long)sizeof(struct kvm_run))
		return n < 0 ? (int)n : -EPROTO;
	kvm->run_size = (size_t)n;
	n = MAX(cap_value(kvm, KVM_CAP_MAX_VCPU_ID), cap_value(kvm, KVM_CAP_MAX_VCPUS));
	kvm->max_vcpus = n > 0 ? (int)n : 4;
	n = cap_value(kvm, KVM_CAP_NR_MEMSLOTS);
	memory_init(&kvm->memory, n > 0 ? (u32)n : 32);
	if (!kvm->driver->fpu_complete && cap_value(kvm, KVM_CAP_XSAVE) > 0)
		kvm->xsave_size =
			(size_t)MAX(cap_value(kvm, KVM_CAP_XSAVE2), (long)sizeof(struct kvm_xsave));
	kvm->vcpus = calloc((size_t)kvm->max_vcpus, sizeof(kvm->vcpus[0]));
	return kvm->vcpus ? 0 : -ENOMEM;
}

static int context_open(kvm_context_t kvm, const struct driver *driver)
{
	kvm->driver = driver;
	kvm->fd = driver->open(kvm);
	return kvm->fd < 0 ? kvm->fd : context_size(kvm);
}

static kvm_context_t init_with(const struct init *init, const struct driver *driver)
{
	kvm_context_t kvm = context_new(init);
	int r;

	if (!kvm)
		return NULL;
	r = context_open(kvm, driver);
	if (r < 0) {
		context_free(kvm);
		errno = -r;
		return NULL;
	}
	return kvm;
}

/* The error of the last one is told: it is the one that should always work. */
static kvm_context_t init_first(const struct init *init, const struct driver *const *drivers)
{
	kvm_context_t kvm = NULL;
	int error;

	for (; !kvm && *drivers; drivers++)
		kvm = init_with(init, *drivers);
	if (kvm)
		return kvm;
	error = errno;
	log_to(&init->log, UV_KVM_LOG_ERROR, "%s: %s", drivers[-1]->cannot_open,
		error == EPROTONOSUPPORT ? "it does not have version 12 of the interface"
					 : strerror(error));
	errno = error;
	return NULL;
}

/* By name; each of them alone. */
static const struct driver *const engines[][2] = {
	{&kvm_kernel}, {&kvm_soft}, {&mshv_soft}, {&mshv_kernel}};

/* Without virtualization hardware /dev/kvm is a substitute for it, which runs only guests made for that. */
static const struct driver *const *drivers_of(const char *engine)
{
	static const struct driver *const any[] = {&kvm_kernel, &kvm_soft, NULL};

	if (!engine || !*engine)
		return host_cpu_virtualizes() ? any : any + 1;
	for (size_t i = 0; i < ARRAY_SIZE(engines); i++)
		if (!strcmp(engine, engines[i][0]->name))
			return engines[i];
	return NULL;
}

kvm_context_t uv_kvm_init(struct kvm_callbacks *callbacks, void *opaque, const char *engine,
	uv_kvm_log_fn log, void *log_opaque)
{
	const struct init init = {callbacks, opaque, {log, log_opaque}};
	const struct driver *const *drivers;
	const char *from = engine ? "" : "LIBKVM_ENGINE: ";

	if (!engine)
		engine = getenv("LIBKVM_ENGINE");
	drivers = drivers_of(engine);
	if (callbacks && drivers)
		return init_first(&init, drivers);
	if (callbacks)
		log_to(&init.log, UV_KVM_LOG_ERROR,
			"%sthere is no engine \"%s\", only \"kernel\", \"soft\", \"mshv\" and "
			"\"mshv-kernel\"",
			from, engine);
	else
		log_to(&init.log, UV_KVM_LOG_ERROR,
			"callbacks is NULL: kvm_init needs a struct kvm_callbacks, even an empty "
			"one");
	errno = EINVAL;
	return NULL;
}

kvm_context_t kvm_init(struct kvm_callbacks *callbacks, void *opaque)
{
	return uv_kvm_init(callbacks, opaque, NULL, NULL, NULL);
}

const char *uv_kvm_engine(kvm_context_t kvm)
{
	return kvm->driver->name;
}

void kvm_finalize(kvm_context_t kvm)
{
	if (!kvm)
		return;
	vcpus_free(kvm);
	if (kvm->vm_fd >= 0)
		kvm->driver->close_fd(kvm, kvm->vm_fd);
	memory_free(&kvm->memory);
	context_free(kvm);
}
