/* SPDX-License-Identifier: MIT */
/*
 * A virtual machine by /dev/mshv, the Linux interface to the Microsoft hypervisor, and nothing else: a partition, a page of
 * memory, a virtual processor, and a guest that writes to a serial port until it halts.
 *
 *   cc -Isrc -o mshv examples/mshv.c && uservisor exec -- ./mshv
 *
 * The same program runs where the kernel has the device. uapi/mshv.h is the kernel's linux/mshv.h, which few distributions
 * ship yet; x86/hyperv_root.h has the hypervisor's own structures.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "uapi/mshv.h"
#include "x86/hyperv_root.h"

#define SERIAL_PORT 0x3f8
#define GUEST_BASE  0x1000

/* Real mode, at 0000:1000: the string after the code goes to the port, byte by byte. */
static const unsigned char guest[] = {
	0xba, 0xf8, 0x03, /* mov dx, 3f8h */
	0xbe, 0x0f, 0x10, /* mov si, 100fh: the string is behind the code */
	0xac,             /* next: lodsb */
	0x84, 0xc0,       /* test al, al */
	0x74, 0x03,       /* jz end */
	0xee,             /* out dx, al */
	0xeb, 0xf8,       /* jmp next */
	0xf4,             /* end: hlt */
};
static const char text[] = "Hello from a partition of /dev/mshv\n";

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static int request(int fd, unsigned long number, const void *argument, const char *what)
{
	int r = ioctl(fd, number, argument);

	if (r < 0)
		die(what);
	return r;
}

/* Most of what can be asked for goes through one request: a hypercall, made for the partition of the descriptor. */
static void set_registers(int vp, const struct hv_register *r, unsigned n)
{
	struct {
		struct hv_vp_registers head;
		struct hv_register r[8];
	} in = {.head = {.vp_index = 0}};
	struct mshv_root_hvcall call = {.code = HVCALL_SET_VP_REGISTERS,
		.reps = (__u16)n,
		.in_sz = (__u16)(sizeof(in.head) + n * sizeof(*r)),
		.in_ptr = (unsigned long)&in};

	memcpy(in.r, r, n * sizeof(*r));
	request(vp, MSHV_ROOT_HVCALL, &call, "registers");
}

static int create_partition(int mshv)
{
	struct mshv_create_partition a = {.pt_flags = 0};
	int partition = request(mshv, MSHV_CREATE_PARTITION, &a, "partition");

	request(partition, MSHV_INITIALIZE_PARTITION, NULL, "initialize");
	return partition;
}

static void load(int partition)
{
	unsigned char *memory = mmap(NULL, MSHV_HV_PAGE_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mshv_user_mem_region region = {.size = MSHV_HV_PAGE_SIZE,
		.guest_pfn = GUEST_BASE / MSHV_HV_PAGE_SIZE,
		.userspace_addr = (unsigned long)memory,
		.flags = 1 << MSHV_SET_MEM_BIT_WRITABLE | 1 << MSHV_SET_MEM_BIT_EXECUTABLE};

	if (memory == MAP_FAILED)
		die("memory");
	memcpy(memory, guest, sizeof(guest));
	memcpy(memory + sizeof(guest), text, sizeof(text));
	request(partition, MSHV_SET_GUEST_MEMORY, &region, "memory");
}

static int create_vp(int partition)
{
	struct mshv_create_vp a = {.vp_index = 0};
	const struct hv_segment code = {.limit = 0xffff, .attr = 0x9b};
	const struct hv_segment data = {.limit = 0xffff, .attr = 0x93};
	struct hv_register r[] = {{.name = HV_X64_REGISTER_RIP, .value = {.low = GUEST_BASE}},
		{.name = HV_X64_REGISTER_RFLAGS, .value = {.low = 2}}, {.name = HV_X64_REGISTER_CS},
		{.name = HV_X64_REGISTER_DS}};
	int vp = request(partition, MSHV_CREATE_VP, &a, "virtual processor");

	memcpy(&r[2].value, &code, sizeof(code));
	memcpy(&r[3].value, &data, sizeof(data));
	set_registers(vp, r, 4);
	return vp;
}

/* An intercept leaves in front of the instruction: we do what it does, and go past it. */
static void serve_port(int vp, const struct hv_io_port_message *m)
{
	struct hv_register rip = {.name = HV_X64_REGISTER_RIP,
		.value = {.low = m->header.rip + (m->header.length_cr8 & 15)}};

	if (m->port == SERIAL_PORT && m->header.access == HV_INTERCEPT_WRITE)
		putchar((int)(m->rax & 0xff));
	set_registers(vp, &rip, 1);
}

int main(void)
{
	int mshv = open("/dev/mshv", O_RDWR | O_CLOEXEC), partition, vp;
	struct hv_message message;

	if (mshv < 0)
		die("/dev/mshv");
	partition = create_partition(mshv);
	load(partition);
	vp = create_vp(partition);
	for (;;) {
		request(vp, MSHV_RUN_VP, &message, "run");
		if (message.type == HVMSG_X64_HALT)
			return 0;
		if (message.type != HVMSG_X64_IO_PORT_INTERCEPT) {
			fprintf(stderr, "unexpected message %x\n", message.type);
			return 1;
		}
		serve_port(vp, (const void *)message.payload);
	}
}
