/* SPDX-License-Identifier: MIT */
/*
 * mshv: a virtual machine by /dev/mshv, the Linux interface to the Microsoft hypervisor, and nothing else: a partition, a page
 * of memory, a virtual processor (VP), and a guest in 16-bit mode that writes a text to the serial port. The host prints it.
 *
 *     cc mshv.c -o mshv && uservisor exec -- ./mshv
 *
 * prints
 *
 *     Hello from a partition!
 *     VP 0 halted.
 *
 * The same program runs where the kernel has the device. The requests are those of linux/mshv.h, which few distributions ship
 * yet; registers and messages are the hypervisor's (Hypervisor Top Level Functional Specification).
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#define PAGE        4096ul
#define CODE        0x1000 /* where the guest's code begins */
#define SERIAL_PORT 0x3f8

/* Assembled with this file; the host copies it into the guest's memory. */
__asm__(".pushsection .rodata\n"
	".code16\n"
	"guest:\n"
	"	cld\n"
	"	movw $0x3f8, %dx\n"
	"	movw $0x1000 + .Ltext - guest, %si\n"
	".Lnext:	lodsb\n"
	"	testb %al, %al\n"
	"	jz .Lend\n"
	"	outb %al, %dx\n"
	"	jmp .Lnext\n"
	".Lend:	hlt\n"
	".Ltext:	.asciz \"Hello from a partition!\\n\"\n"
	"guest_end:\n"
	".code64\n"
	".popsection\n");
extern const char guest[], guest_end[];

/* ---- linux/mshv.h ---- */

struct mshv_create_partition {
	uint64_t flags, isolation;
};

struct mshv_create_vp {
	uint32_t index;
};

struct mshv_user_mem_region {
	uint64_t size, guest_pfn, userspace_addr;
	uint8_t flags, reserved[7];
};
#define MEM_WRITABLE   1
#define MEM_EXECUTABLE 2

/* A hypercall, made for the partition of the descriptor. */
struct mshv_root_hvcall {
	uint16_t code, reps, in_sz, out_sz, status;
	uint8_t reserved[6];
	uint64_t in_ptr, out_ptr;
};

struct mshv_run_vp {
	uint8_t message[256];
};

#define MSHV_CREATE_PARTITION     _IOW(0xb8, 0, struct mshv_create_partition)
#define MSHV_INITIALIZE_PARTITION _IO(0xb8, 0)
#define MSHV_CREATE_VP            _IOW(0xb8, 1, struct mshv_create_vp)
#define MSHV_SET_GUEST_MEMORY     _IOW(0xb8, 2, struct mshv_user_mem_region)
#define MSHV_ROOT_HVCALL          _IOWR(0xb8, 7, struct mshv_root_hvcall)
#define MSHV_RUN_VP               _IOR(0xb8, 0, struct mshv_run_vp)

/* ---- the hypervisor's own ---- */

#define SET_VP_REGISTERS 0x51
#define REGISTER_RIP     0x20010u
#define REGISTER_RFLAGS  0x20011u
#define REGISTER_CS      0x60001u
#define REGISTER_DS      0x60003u

struct segment {
	uint64_t base;
	uint32_t limit;
	uint16_t selector, attributes;
};

struct register_value {
	uint32_t name, pad;
	uint64_t reserved;
	union {
		uint64_t number[2];
		struct segment segment;
	} value;
};
#define REGISTERS_MAX 4

struct set_registers {
	uint64_t partition; /* the kernel fills it in */
	uint32_t vp, vtl;
	struct register_value value[REGISTERS_MAX];
};

#define MESSAGE_IO_PORT 0x80010000u
#define MESSAGE_HALT    0x80010007u

/* A message as far as we look at it: what it is, where the processor stands, and for a port what the guest wants of it. */
struct message {
	uint32_t type;
	uint8_t size, flags;
	uint16_t reserved;
	uint64_t sender;
	uint32_t vp;
	uint8_t length_cr8, access; /* the instruction's length in the lower half; 1: a write */
	uint16_t execution_state;
	struct segment cs;
	uint64_t rip, rflags;
	uint16_t port;
	uint8_t access_info, byte_count;
	uint32_t reserved2;
	uint64_t rax;
};

/* ---- the program ---- */

static int request(int fd, unsigned long number, const void *argument, const char *what)
{
	int r = ioctl(fd, number, argument);

	if (r < 0) {
		perror(what);
		exit(1);
	}
	return r;
}

static void set_registers(int vp, const struct register_value *r, unsigned n)
{
	struct set_registers in = {0};
	struct mshv_root_hvcall call = {.code = SET_VP_REGISTERS, .reps = (uint16_t)n};

	memcpy(in.value, r, n * sizeof(*r));
	call.in_sz = (uint16_t)(sizeof(in) - (REGISTERS_MAX - n) * sizeof(*r));
	call.in_ptr = (uintptr_t)&in;
	request(vp, MSHV_ROOT_HVCALL, &call, "registers");
}

static int create_partition(int mshv)
{
	struct mshv_create_partition create = {0};
	int partition = request(mshv, MSHV_CREATE_PARTITION, &create, "partition");

	request(partition, MSHV_INITIALIZE_PARTITION, NULL, "initialize");
	return partition;
}

static void load(int partition)
{
	void *memory = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mshv_user_mem_region region = {.size = PAGE,
		.guest_pfn = CODE / PAGE,
		.userspace_addr = (uintptr_t)memory,
		.flags = MEM_WRITABLE | MEM_EXECUTABLE};

	if (memory == MAP_FAILED) {
		perror("memory");
		exit(1);
	}
	memcpy(memory, guest, (size_t)(guest_end - guest));
	request(partition, MSHV_SET_GUEST_MEMORY, &region, "memory");
}

static int create_vp(int partition)
{
	struct mshv_create_vp create = {0};
	struct register_value r[REGISTERS_MAX] = {
		{.name = REGISTER_RIP, .value = {.number = {CODE}}},
		{.name = REGISTER_RFLAGS, .value = {.number = {2}}},
		{.name = REGISTER_CS, .value = {.segment = {.limit = 0xffff, .attributes = 0x9b}}},
		{.name = REGISTER_DS, .value = {.segment = {.limit = 0xffff, .attributes = 0x93}}},
	};
	int vp = request(partition, MSHV_CREATE_VP, &create, "virtual processor");

	set_registers(vp, r, REGISTERS_MAX);
	return vp;
}

/* The message has left in front of the instruction: we do what it does, and go past it. */
static void serve_port(int vp, const struct message *m)
{
	struct register_value rip = {
		.name = REGISTER_RIP, .value = {.number = {m->rip + (m->length_cr8 & 15)}}};

	if (m->port == SERIAL_PORT && m->access == 1)
		putchar((int)(m->rax & 0xff));
	set_registers(vp, &rip, 1);
}

int main(void)
{
	int mshv = open("/dev/mshv", O_RDWR | O_CLOEXEC), partition, vp;
	union {
		struct mshv_run_vp run;
		struct message message;
	} u;

	if (mshv < 0) {
		perror("/dev/mshv");
		return 1;
	}
	partition = create_partition(mshv);
	load(partition);
	vp = create_vp(partition);
	for (;;) {
		request(vp, MSHV_RUN_VP, &u.run, "run");
		if (u.message.type != MESSAGE_IO_PORT)
			break;
		serve_port(vp, &u.message);
	}
	if (u.message.type != MESSAGE_HALT) {
		fprintf(stderr, "unexpected message %x\n", (unsigned)u.message.type);
		return 1;
	}
	printf("VP %u halted.\n", (unsigned)u.message.vp);
	return 0;
}
