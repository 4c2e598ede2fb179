/* SPDX-License-Identifier: MIT */
/*
 * fuzz-kvmi: a machine whose two vcpus run all the time, and introspection tools that hook it one after the other, in both
 * dialects: they send what is right, half right, malformed and hostile, answer events rightly, wrongly, late or never, and die at
 * any moment; meanwhile the VMM unhooks, destroys vcpus and closes the machine.
 *
 * Nothing may crash or hang, what comes is well formed, afterwards the process holds what it held before (cases.c), and no
 * page is restricted. Where the tools have been gentle, the guest runs on after each of them.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/kvmi_fuzz.h"

static const char *const ingredients[] = {
	"garbage", "replies", "deaths", "unhooks", "closing", "harm", "views", NULL};

/* ---- vcpus ---- */

struct runner {
	struct play *p;
	unsigned n;
};

/* What is no end of a gentle guest. */
static bool goes_on(const struct kvm_run *run)
{
	return run->exit_reason == KVM_EXIT_IO || run->exit_reason == KVM_EXIT_HLT;
}

static void *run_vcpu(void *opaque)
{
	struct runner *r = opaque;
	struct play *p = r->p;
	struct kvm_run *run = p->box.run[r->n];

	while (!p->stop) {
		const long result = box_do(&p->box, p->box.vcpu[r->n], KVM_RUN, NULL);

		if (result == -EINTR || (!result && goes_on(run)))
			continue;
		if (p->gentle)
			finding("vcpu %u of a gentle case ends: %ld, exit %u", r->n, result,
				run->exit_reason);
		usleep(100);
		box_start(&p->box, (int)r->n, true);
	}
	p->over[r->n] = true;
	return NULL;
}

static struct runner runners[KVMI_VCPUS];

static void vcpus_go(struct play *p)
{
	for (unsigned i = 0; i < KVMI_VCPUS; i++) {
		runners[i] = (struct runner){p, i};
		if (pthread_create(&p->thread[i], NULL, run_vcpu, &runners[i]))
			finding("no thread");
	}
}

static void vcpus_stop(struct play *p)
{
	progress("the vcpus are to stop");
	p->stop = true;
	for (unsigned i = 0; i < KVMI_VCPUS; i++) {
		while (!p->over[i]) {
			pthread_kill(p->thread[i], SIGUSR1);
			usleep(100);
		}
		pthread_join(p->thread[i], NULL);
	}
}

/* ---- a case ---- */

static void runs_on(struct play *p)
{
	progress("the guest is to run on");
	for (unsigned i = 0; i < KVMI_VCPUS; i++) {
		const u64 was = guest_count(p, i);
		unsigned tries = 0;

		while (guest_count(p, i) == was) {
			if (tries++ > 400000)
				finding("vcpu %u stands after the tool has gone", i);
			usleep(100);
		}
	}
}

/* The machine, or one of its vcpus, is closed while the tool is still there. */
static void close_under(struct play *p, bool vcpu)
{
	struct box *b = &p->box;

	vcpus_stop(p);
	if (vcpu) {
		munmap(b->run[1], 12288);
		dev_close(b->dev, b->vcpu[1]);
		b->vcpus = 1;
	}
}

static void *second_tool(void *opaque)
{
	tool_session(opaque);
	return NULL;
}

static void one_case(struct random *r)
{
	static struct play p;
	unsigned sessions;
	bool under;

	memset(&p, 0, sizeof(p));
	p.r = rnd_fork(r);
	p.gentle = !with(HARM) || chance(&p, 50);
	p.irqchip = chance(&p, 30);
	sessions = 1 + (unsigned)below(&p, 4);
	under = with(CLOSING) && chance(&p, 20);
	box_open(&p.box, KVMI_VCPUS, p.irqchip, 0);
	guest_make(&p);
	vcpus_go(&p);
	while (sessions--) {
		tool_session(&p);
		if (p.gentle)
			runs_on(&p);
	}
	tool_check_rights(&p);
	if (under) {
		/* The tool goes on while everything ends. */
		const unsigned us = (unsigned)below(&p, 5000);
		const bool vcpu = chance(&p, 50);
		pthread_t thread;

		p.closing = true;
		p.hooked = false;
		if (pthread_create(&thread, NULL, second_tool, &p))
			finding("no thread");
		while (!p.hooked)
			usleep(100);
		usleep(us);
		close_under(&p, vcpu);
		box_close(&p.box);
		pthread_join(thread, NULL);
		return;
	}
	vcpus_stop(&p);
	progress("it is taken down");
	box_close(&p.box);
}

int main(int argc, char **argv)
{
	static const struct fuzzer f = {.name = "kvmi",
		.ingredients = ingredients,
		.pass_seconds = 8,
		.hang_seconds = 60,
		.interrupts = SIGUSR1,
		.one_case = one_case};

	return fuzz_main(&f, argc, argv);
}
