/* SPDX-License-Identifier: MIT */
/* A second vcpu from reset to its first instruction: INIT and SIPI, and what KVM_RUN says meanwhile. */
#include "tests/abi/port.h"

#include <errno.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sys/mman.h>
#include <unistd.h>

enum { INIT = 5, SIPI = 6 }; /* delivery modes: SDM 3:11.11.2 */

struct ap {
	struct guest g;
	int fd;
	struct kvm_run *run;
};

static void send(struct ap *a, unsigned mode, unsigned vector)
{
	struct kvm_msi msi = {.address_lo = 0xfee00000 | 1 << 12, .data = mode << 8 | vector};

	assert_int_equal(kvm_p(a->g.vm, KVM_SIGNAL_MSI, &msi), 1);
}

static u32 mp_state(struct ap *a)
{
	struct kvm_mp_state mp;

	assert_int_equal(kvm_p(a->fd, KVM_GET_MP_STATE, &mp), 0);
	return mp.mp_state;
}

static void ap_open(struct ap *a)
{
	static const u8 code[] = {0xe6, 0x10}; /* out %al, $0x10 */
	struct kvm_lapic_state lapic;
	size_t size;

	guest_open_irqchip(&a->g);
	size = (size_t)kvm(a->g.sys, KVM_GET_VCPU_MMAP_SIZE, 0);
	a->fd = (int)kvm(a->g.vm, KVM_CREATE_VCPU, 1);
	assert_true(a->fd >= 0);
	a->run = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, a->fd, 0);
	assert_true(a->run != MAP_FAILED);
	for (unsigned i = 0; i < sizeof(code); i++)
		a->g.ram[i] = code[i];
	/* Linux finds the last vcpu by its APIC id only after that changed or was set. */
	assert_int_equal(kvm_p(a->fd, KVM_GET_LAPIC, &lapic), 0);
	assert_int_equal(kvm_p(a->fd, KVM_SET_LAPIC, &lapic), 0);
	assert_int_equal(mp_state(a), KVM_MP_STATE_UNINITIALIZED);
}

static void ap_close(struct ap *a)
{
	munmap(a->run, (size_t)kvm(a->g.sys, KVM_GET_VCPU_MMAP_SIZE, 0));
	kvm_close(a->fd);
	guest_close(&a->g);
}

/* The wait ends with -EAGAIN whatever ended it; from then on it is a matter inside KVM_RUN. */
static void test_init_then_sipi(void **state)
{
	struct ap a;

	ap_open(&a);
	send(&a, INIT, 0);
	assert_int_equal(kvm(a.fd, KVM_RUN, 0), -EAGAIN);
	assert_int_equal(mp_state(&a), KVM_MP_STATE_INIT_RECEIVED);
	send(&a, SIPI, 1);
	assert_int_equal(kvm(a.fd, KVM_RUN, 0), 0);
	assert_int_equal(a.run->exit_reason, KVM_EXIT_IO);
	assert_int_equal(a.run->io.port, 0x10);
	ap_close(&a);
}

/* Both are there already. */
static void test_both_at_once(void **state)
{
	struct ap a;

	ap_open(&a);
	send(&a, INIT, 0);
	send(&a, SIPI, 1);
	assert_int_equal(kvm(a.fd, KVM_RUN, 0), -EAGAIN);
	assert_int_equal(mp_state(&a), KVM_MP_STATE_RUNNABLE);
	assert_int_equal(kvm(a.fd, KVM_RUN, 0), 0);
	assert_int_equal(a.run->exit_reason, KVM_EXIT_IO);
	ap_close(&a);
}

/* Who does not want to wait, and a SIPI that nobody waits for. */
static void test_no_wait(void **state)
{
	struct ap a;

	ap_open(&a);
	a.run->immediate_exit = 1;
	assert_int_equal(kvm(a.fd, KVM_RUN, 0), -EINTR);
	assert_int_equal(mp_state(&a), KVM_MP_STATE_UNINITIALIZED);
	a.run->immediate_exit = 0;
	send(&a, SIPI, 1); /* without INIT it is lost */
	assert_int_equal(mp_state(&a), KVM_MP_STATE_UNINITIALIZED);
	ap_close(&a);
}

static void *sends_later(void *arg)
{
	struct ap *a = arg;

	usleep(20000);
	send(a, INIT, 0);
	usleep(20000);
	send(a, SIPI, 1);
	return NULL;
}

/* As an operating system does it, while the vcpu waits on its thread. */
static void test_from_another_thread(void **state)
{
	unsigned again = 0;
	pthread_t thread;
	struct ap a;
	long r;

	ap_open(&a);
	assert_int_equal(pthread_create(&thread, NULL, sends_later, &a), 0);
	while ((r = kvm(a.fd, KVM_RUN, 0)) == -EAGAIN)
		again++;
	assert_int_equal(r, 0);
	assert_int_equal(again, 1);
	assert_int_equal(a.run->exit_reason, KVM_EXIT_IO);
	pthread_join(thread, NULL);
	ap_close(&a);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_init_then_sipi),
		cmocka_unit_test(test_both_at_once),
		cmocka_unit_test(test_no_wait),
		cmocka_unit_test(test_from_another_thread),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
