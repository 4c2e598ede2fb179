/* SPDX-License-Identifier: MIT */
/*
 * uvmi-cr3: the next ten changes of address space in a guest, which are its kernel's switches between processes. Each
 * event holds its vCPU until it is replied to; commands may be called meanwhile.
 *
 *     cc uvmi-cr3.c -o uvmi-cr3 $(pkg-config --cflags --libs libuvmi)
 *
 * `./uvmi-cr3 ./vm.sock` then prints ten lines, for example
 *
 *     vCPU 1: 0x2a10001 -> 0x1ffc8004
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <uvmi.h>

#define ENOUGH 1 /* not an error: those are negative */

static int switched(struct uvmi *session, const struct uvmi_event *event, void *opaque)
{
	int *left = opaque, r;

	if (event->event == UVMI_EVENT_CR && *left > 0) {
		printf("vCPU %u: %#llx -> %#llx\n", event->vcpu,
			(unsigned long long)event->u.cr.old_value,
			(unsigned long long)event->u.cr.new_value);
		--*left;
	}
	r = uvmi_reply_continue(session, event); /* the register takes the new value */
	return r ? r : *left ? 0 : ENOUGH;
}

static int watch(struct uvmi *session)
{
	uint32_t vcpus = 0, i;
	int left = 10, r = uvmi_get_guest_info(session, &vcpus);

	for (i = 0; i < vcpus && !r; i++) {
		r = uvmi_control_events(session, i, UVMI_EVENT_CR, 1);
		if (!r)
			r = uvmi_control_cr(session, i, 3, 1);
		if (r == -EAGAIN) /* it has not been started */
			r = 0;
	}
	if (!r)
		r = uvmi_run(session, switched, &left);
	return r == ENOUGH ? 0 : r;
}

int main(int argc, char **argv)
{
	struct uvmi_listener *listener;
	struct uvmi *session = NULL;
	int r;

	if (argc != 2) {
		fprintf(stderr, "usage: uvmi-cr3 ADDRESS\n");
		return 2;
	}
	r = uvmi_listen(argv[1], &listener);
	if (!r) {
		r = uvmi_accept(listener, NULL, 30 * 1000, &session);
		if (!r)
			r = watch(session);
		uvmi_close(session); /* no event is sent any more */
		uvmi_listener_close(listener);
	}
	if (r)
		fprintf(stderr, "uvmi-cr3: %s\n", strerror(-r));
	return r != 0;
}
