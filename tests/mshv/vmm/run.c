/* SPDX-License-Identifier: MIT */
/*
 * A signal brings a processor out of its run. One that comes just before the request is lost, so whoever wants a
 * processor sends it again until it has parked.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/mshv/vmm/vmm.h"

void vmm_end(struct vmm *vmm, enum end why)
{
	const u64 one = 1;
	int running = END_RUNNING;

	if (!atomic_compare_exchange_strong(&vmm->end, &running, why))
		return;
	while (write(vmm->ended, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

/* ---- what a processor's thread may not do ---- */

/*
 * New threads, descriptors and programs. Whatever the hypervisor needs of these must be there before the thread begins
 * to run its processor.
 */
static int restrict_calls(void)
{
	static const u32 forbidden[] = {SYS_clone, SYS_fork, SYS_vfork, SYS_execve, SYS_clone3,
		SYS_eventfd2, SYS_memfd_create, SYS_timerfd_create, SYS_timer_create, SYS_socket,
		SYS_userfaultfd, SYS_epoll_create1, SYS_signalfd4, SYS_inotify_init1,
		SYS_pidfd_open, SYS_io_uring_setup};
	enum { N = ARRAY_SIZE(forbidden) };
	struct sock_filter code[N + 3];
	const struct sock_fprog program = {N + 3, code};

	code[0] = (struct sock_filter)BPF_STMT(
		BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
	for (unsigned i = 0; i < N; i++)
		code[1 + i] = (struct sock_filter)BPF_JUMP(
			BPF_JMP | BPF_JEQ | BPF_K, forbidden[i], (u8)(N - i), 0);
	code[N + 1] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	code[N + 2] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		return -errno;
	return 0;
}

/* ---- a processor's thread ---- */

static void on_kick(int signo)
{
}

static int take_kicks(void)
{
	struct sigaction action = {.sa_handler = on_kick};
	sigset_t set;

	sigemptyset(&action.sa_mask);
	if (sigaction(SIGRTMIN, &action, NULL))
		return -errno;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	return -pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void park_if_wanted(struct vmm_vp *vp)
{
	struct vmm *vmm = vp->vmm;

	pthread_mutex_lock(&vmm->lock);
	while (vmm->pause && atomic_load(&vmm->end) == END_RUNNING) {
		atomic_store(&vp->parked, true);
		pthread_cond_wait(&vmm->resumed, &vmm->lock);
	}
	atomic_store(&vp->parked, false);
	pthread_mutex_unlock(&vmm->lock);
}

static int run_once(struct vmm_vp *vp)
{
	struct hv_message message = {0};
	long r = root_vp_run(vp->fd, &message);

	if (r == -EINTR || r == -EAGAIN)
		return 0;
	if (r < 0)
		return (int)vmm_failed("running a processor", r);
	return vmm_handle_exit(vp, &message);
}

static int run(struct vmm_vp *vp)
{
	int r = vp->vmm->options.seccomp ? restrict_calls() : 0;

	if (r == 0)
		r = take_kicks();
	if (r < 0)
		return (int)vmm_failed("preparing a processor's thread", r);
	atomic_store(&vp->takes_kicks, true);
	while (r == 0 && atomic_load(&vp->vmm->end) == END_RUNNING) {
		park_if_wanted(vp);
		if (atomic_load(&vp->vmm->end) == END_RUNNING)
			r = run_once(vp);
	}
	return r;
}

static void *vp_main(void *opaque)
{
	struct vmm_vp *vp = opaque;

	if (run(vp) < 0)
		vmm_end(vp->vmm, END_FAILED);
	atomic_store(&vp->parked, true);
	return NULL;
}

/* ---- all of them ---- */

int vmm_start_vps(struct vmm *vmm)
{
	long r = root_property_set(vmm->partition, HV_PROPERTY_TIME_FREEZE, 0);

	if (r < 0)
		return (int)vmm_failed("starting the time", r);
	devices_start_clock(&vmm->devices);
	for (u32 i = 0; i < vmm->options.cpus; i++) {
		struct vmm_vp *vp = &vmm->vp[i];

		r = -pthread_create(&vp->thread, NULL, vp_main, vp);
		if (r < 0)
			return (int)vmm_failed("creating a thread", r);
		vp->started = true;
	}
	return 0;
}

/* Kicks one until it is out. */
static void bring_out(struct vmm_vp *vp)
{
	while (vp->started && !atomic_load(&vp->parked)) {
		if (atomic_load(&vp->takes_kicks))
			pthread_kill(vp->thread, SIGRTMIN);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

static void bring_all_out(struct vmm *vmm)
{
	for (u32 i = 0; i < vmm->options.cpus; i++)
		bring_out(&vmm->vp[i]);
}

int vmm_pause(struct vmm *vmm)
{
	long r;

	pthread_mutex_lock(&vmm->lock);
	vmm->pause = true;
	pthread_mutex_unlock(&vmm->lock);
	bring_all_out(vmm);
	devices_stop_clock(&vmm->devices);
	r = root_property_set(vmm->partition, HV_PROPERTY_TIME_FREEZE, 1);
	return r < 0 ? (int)vmm_failed("freezing the time", r) : 0;
}

int vmm_resume(struct vmm *vmm)
{
	long r = root_property_set(vmm->partition, HV_PROPERTY_TIME_FREEZE, 0);

	if (r < 0)
		return (int)vmm_failed("starting the time", r);
	devices_start_clock(&vmm->devices);
	pthread_mutex_lock(&vmm->lock);
	vmm->pause = false;
	pthread_cond_broadcast(&vmm->resumed);
	pthread_mutex_unlock(&vmm->lock);
	return 0;
}

void vmm_stop_vps(struct vmm *vmm)
{
	pthread_mutex_lock(&vmm->lock);
	pthread_cond_broadcast(&vmm->resumed);
	pthread_mutex_unlock(&vmm->lock);
	bring_all_out(vmm);
	for (u32 i = 0; i < vmm->options.cpus; i++)
		if (vmm->vp[i].started)
			pthread_join(vmm->vp[i].thread, NULL);
}
