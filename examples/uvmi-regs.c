/* SPDX-License-Identifier: MIT */
/*
 * uvmi-regs: where each vCPU of a running VM is. It listens at a path, and `uservisor boot --introspect unix:PATH`
 * connects.
 *
 *     cc uvmi-regs.c -o uvmi-regs $(pkg-config --cflags --libs libuvmi)
 *
 * `./uvmi-regs ./vm.sock` then prints, for example,
 *
 *     the VM is called uservisor
 *     vCPU 0: rip 0xffffffff81a17a0b, cr3 0x5172006, 64-bit code
 *     vCPU 1 has not been started
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <uvmi.h>

static int show(struct uvmi *session, unsigned vcpu)
{
	struct uvmi_registers registers;
	int r = uvmi_get_registers(session, vcpu, &registers, NULL, 0);

	if (r == -EAGAIN)
		printf("vCPU %u has not been started\n", vcpu);
	else if (!r)
		printf("vCPU %u: rip %#llx, cr3 %#llx, %u-bit code\n", vcpu, registers.regs.rip,
			registers.sregs.cr3, 8 * registers.mode);
	return r == -EAGAIN ? 0 : r;
}

static int show_all(struct uvmi *session)
{
	uint32_t vcpus = 0, i;
	int r = uvmi_get_guest_info(session, &vcpus);

	printf("the VM is called %s\n", uvmi_vm(session)->name);
	for (i = 0; i < vcpus && !r; i++)
		r = show(session, i);
	return r;
}

int main(int argc, char **argv)
{
	struct uvmi_listener *listener;
	struct uvmi *session = NULL;
	int r;

	if (argc != 2) {
		fprintf(stderr, "usage: uvmi-regs ADDRESS\n");
		return 2;
	}
	r = uvmi_listen(argv[1], &listener);
	if (!r) {
		r = uvmi_accept(listener, NULL, 30 * 1000, &session);
		if (!r)
			r = show_all(session);
		uvmi_close(session); /* the guest has not noticed anything */
		uvmi_listener_close(listener);
	}
	if (r)
		fprintf(stderr, "uvmi-regs: %s\n", strerror(-r));
	return r != 0;
}
