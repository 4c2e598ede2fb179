/* SPDX-License-Identifier: MIT */
/*
 * uvmi-watch: who writes to a page of a guest. The guest may not write to it, which gives an event before each write;
 * the reply lets the write happen all the same. This one waits with poll(), as a program does that has other things to
 * do.
 *
 *     cc uvmi-watch.c -o uvmi-watch $(pkg-config --cflags --libs libuvmi)
 *
 * `./uvmi-watch ./vm.sock 0x2a03000` then prints the first five, for example
 *
 *     vCPU 0 at 0xffffffff81c013c0 writes to 0x2a03e50
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uvmi.h>

/* All events that there are; poll() knows only of what the library has not taken from the socket yet. */
static int take_events(struct uvmi *session, int *left)
{
	struct uvmi_event event;
	int r;

	while ((r = uvmi_next_event(session, &event, 0)) == 0) {
		if (event.event == UVMI_EVENT_PF && event.u.pf.access & UVMI_ACCESS_W &&
			*left > 0) {
			printf("vCPU %u at %#llx writes to %#llx\n", event.vcpu, event.regs.rip,
				(unsigned long long)event.u.pf.gpa);
			--*left;
		}
		r = uvmi_reply_continue(session, &event);
		if (r)
			return r;
	}
	return r == -ETIMEDOUT ? 0 : r;
}

static int watch(struct uvmi *session, uint64_t gpa)
{
	struct uvmi_page_access page;
	uint32_t vcpus = 0, i;
	int left = 5, r = uvmi_get_guest_info(session, &vcpus);

	for (i = 0; i < vcpus && !r; i++) {
		r = uvmi_control_events(session, i, UVMI_EVENT_PF, 1);
		if (r == -EAGAIN) /* it has not been started */
			r = 0;
	}
	page.gpa = gpa;
	page.access = UVMI_ACCESS_R | UVMI_ACCESS_X;
	if (!r)
		r = uvmi_set_page_access(session, 0, &page, 1);
	while (!r && left) {
		struct pollfd p;

		r = take_events(session, &left);
		p.fd = uvmi_fd(session);
		p.events = POLLIN;
		if (!r && left && poll(&p, 1, -1) < 0)
			r = -errno;
	}
	return r;
}

int main(int argc, char **argv)
{
	struct uvmi_listener *listener;
	struct uvmi *session = NULL;
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: uvmi-watch ADDRESS PHYSICAL_ADDRESS\n");
		return 2;
	}
	r = uvmi_listen(argv[1], &listener);
	if (!r) {
		r = uvmi_accept(listener, NULL, 30 * 1000, &session);
		if (!r)
			r = watch(session, strtoull(argv[2], NULL, 0));
		uvmi_close(session); /* the guest may write again */
		uvmi_listener_close(listener);
	}
	if (r)
		fprintf(stderr, "uvmi-watch: %s\n", strerror(-r));
	return r != 0;
}
