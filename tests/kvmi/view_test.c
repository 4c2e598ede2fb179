/* SPDX-License-Identifier: MIT */
/* V6: views of memory, of which each has its own rights and pages; and what a tool may write beyond registers. */
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/kvmi/groups.h"
#include "tests/kvmi/world.h"

/* Each round writes to PAGE1 and keeps what it reads at PAGE2. */
GUEST64(rounds, "1:	lock incq DATA\n"
		"	movq DATA, %rax\n"
		"	movq %rax, PAGE1 + 8\n"
		"	movq PAGE2, %rax\n"
		"	movq %rax, DATA + 64\n"
		"	jmp 1b\n");

static s32 create(struct tool *t, u16 *ret)
{
	const s32 err = tool_command(t, KVMI_V6_CREATE_EPT_VIEW, NULL, 0, 8);

	if (!err)
		*ret = get_u16(tool_data(t));
	return err;
}

static s32 destroy(struct tool *t, u16 view)
{
	u8 request[8] = {0};

	put_u16(request, view);
	return tool_command(t, KVMI_V6_DESTROY_EPT_VIEW, request, 8, 0);
}

static s32 switch_to(struct tool *t, unsigned vcpu, u16 view)
{
	u8 request[16] = {0};

	put_u16(request, (u16)vcpu);
	put_u16(request + 8, view);
	return tool_command(t, KVMI_V6_SWITCH_EPT_VIEW, request, 16, 0);
}

static u16 view_of(struct tool *t, unsigned vcpu)
{
	u8 request[8] = {0};

	put_u16(request, (u16)vcpu);
	CHECK_EQ(tool_command(t, KVMI_V6_GET_EPT_VIEW, request, 8, 8), 0);
	CHECK_EQ(get_u64(tool_data(t)) >> 16, 0);
	return get_u16(tool_data(t));
}

static s32 set_access(struct tool *t, u16 view, u64 gpa, u8 access)
{
	u8 request[24] = {0};

	put_u16(request, view);
	put_u16(request + 2, 1);
	put_u64(request + 8, gpa);
	request[16] = access;
	return tool_command(t, KVMI_V6_SET_PAGE_ACCESS, request, 24, 0);
}

static s32 change_gfn(struct tool *t, u16 view, u64 old_gfn, u64 new_gfn)
{
	u8 request[32] = {0};

	put_u16(request + 8, view);
	put_u64(request + 16, old_gfn);
	put_u64(request + 24, new_gfn);
	return tool_command(t, KVMI_V6_CHANGE_GFN, request, 32, 0);
}

static u16 created(struct tool *t)
{
	u16 view = 0;

	CHECK_EQ(create(t, &view), 0);
	CHECK(view);
	return view;
}

/* Rights belong to the view, events say in which one they are. */
static void test_rights(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, rounds);
	const u16 view = created(w.t);
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_PF);
	CHECK_EQ(set_access(w.t, view, VM_PAGE(1), 5), 0);
	vm_begin(w.vm);
	vm_moves(w.vm, VM_PAGE(1) + 8);
	tool_quiet(w.t);
	CHECK_EQ(view_of(w.t, 0), 0);
	CHECK_EQ(switch_to(w.t, 0, view), 0);
	CHECK_EQ(view_of(w.t, 0), view);
	e = tool_event(w.t, KVMI_EVENT_PF);
	CHECK_EQ(e.view, view);
	CHECK_EQ(e.gpa, VM_PAGE(1) + 8);
	CHECK_EQ(switch_to(w.t, 0, 0), 0);
	tool_retry(w.t, &e);
	vm_moves(w.vm, VM_PAGE(1) + 8);
	tool_quiet(w.t);
	CHECK_EQ(destroy(w.t, view), 0);
	world_close(&w);
}

/* Another page in the place of one, in this view alone */
static void test_change_gfn(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, rounds);
	const u16 view = created(w.t);
	u64 value;

	vm_write64(w.vm, VM_PAGE(2), 0x2222);
	vm_write64(w.vm, VM_PAGE(3), 0x3333);
	CHECK_EQ(change_gfn(w.t, view, VM_PAGE(2) >> 12, VM_PAGE(3) >> 12), 0);
	vm_begin(w.vm);
	vm_wait64(w.vm, VM_DATA + 64, 0x2222);
	CHECK_EQ(switch_to(w.t, 0, view), 0);
	vm_wait64(w.vm, VM_DATA + 64, 0x3333);
	/* The tool sees memory as it is. */
	CHECK_EQ(cmd_read(w.t, VM_PAGE(2), &value, 8), 0);
	CHECK_EQ(value, 0x2222);
	CHECK_EQ(switch_to(w.t, 0, 0), 0);
	vm_wait64(w.vm, VM_DATA + 64, 0x2222);
	world_close(&w);
}

static void test_no_such_view(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, rounds);
	const u16 view = created(w.t);

	CHECK_EQ(destroy(w.t, view), 0);
	CHECK_EQ(destroy(w.t, view), -KVM_EINVAL);
	CHECK_EQ(destroy(w.t, 0), -KVM_EINVAL);
	CHECK_EQ(destroy(w.t, 0xffff), -KVM_EINVAL);
	CHECK_EQ(switch_to(w.t, 0, view), -KVM_EINVAL);
	CHECK_EQ(set_access(w.t, view, VM_PAGE(1), 5), -KVM_EINVAL);
	CHECK_EQ(set_access(w.t, 0xffff, VM_PAGE(1), 5), -KVM_EINVAL);
	CHECK_EQ(change_gfn(w.t, view, 1, 2), -KVM_EINVAL);
	CHECK_EQ(view_of(w.t, 0), 0);
	world_close(&w);
}

/* Views go with the session: vcpus are in the first one again. There is an end to how many there can be. */
static void test_views_go(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, rounds);
	unsigned n[2] = {0};
	u16 view = 0;

	vm_begin(w.vm);
	for (unsigned i = 0; i < 2; i++) {
		s32 err = 0;

		while (n[i] < 10000 && !(err = create(w.t, &view)))
			n[i]++;
		CHECK(err);
		CHECK_EQ(set_access(w.t, view, VM_PAGE(1), 0), 0);
		event_on(w.t, 0, KVMI_EVENT_PF);
		CHECK_EQ(switch_to(w.t, 0, view), 0);
		tool_event(w.t, KVMI_EVENT_PF);
		tool_close(w.t);
		vm_moves(w.vm, VM_PAGE(1) + 8);
		w.t = tool_open(w.vm, d);
		CHECK_EQ(view_of(w.t, 0), 0);
	}
	CHECK_EQ(n[0], n[1]);
	CHECK(n[0]);
	world_close(&w);
}

/* ---- SET_XSAVE ---- */

GUEST64(xmm, "	pxor %xmm3, %xmm3\n"
	     "	int3\n"
	     "	movq %xmm3, %rax\n"
	     "	outl %eax, $0x10\n"
	     "	hlt\n");

static void test_set_xsave(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, xmm);
	u8 request[8 + 4096] = {0};
	struct kvm_regs r;
	struct event e;

	event_on(w.t, 0, KVMI_EVENT_BREAKPOINT);
	vm_begin(w.vm);
	e = tool_event(w.t, KVMI_EVENT_BREAKPOINT);
	CHECK_EQ(cmd_xsave(w.t, 0, request + 8), 0);
	put_u64(request + 8 + 160 + 3 * 16, 0x1234);
	request[8 + 512] |= 3;
	CHECK_EQ(tool_command(w.t, KVMI_V6_SET_XSAVE, request, sizeof(request), 0), 0);
	r = e.regs;
	r.rip++;
	CHECK_EQ(cmd_set_registers(w.t, 0, &r), 0);
	tool_retry(w.t, &e);
	VM_OUT(w.vm, 0, 0x10, 0x1234);
	world_close(&w);
}

/* ---- GET_RAM ---- */

/* The reply, in reply, with the descriptor that comes with its first byte, or -1. */
static int receive_ram(struct tool *t, u8 *reply, size_t size)
{
	union {
		struct cmsghdr head;
		u8 bytes[CMSG_SPACE(sizeof(int) * 16)];
	} control;
	struct iovec part = {reply, size};
	struct msghdr m = {.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c;
	int fd = -1;
	ssize_t n;

	tool_send(t, KVMI_V6_GET_RAM, NULL, 0);
	n = recvmsg(t->fd, &m, MSG_CMSG_CLOEXEC);
	CHECK(n > 0);
	if ((size_t)n < size)
		CHECK_EQ(recv(t->fd, reply + n, size - (size_t)n, MSG_WAITALL), size - (size_t)n);
	CHECK_EQ(get_u16(reply), KVMI_V6_GET_RAM);
	CHECK_EQ(get_u16(reply + 2), size - 8);
	CHECK_EQ(get_u64(reply + 8), 0);
	c = CMSG_FIRSTHDR(&m);
	if (c && c->cmsg_type == SCM_RIGHTS)
		memcpy(&fd, CMSG_DATA(c), sizeof(fd));
	return fd;
}

/* RAM of a file: the tool maps it, for reading alone. */
static void test_get_ram(enum dialect d)
{
	struct world w = world_open(d, 1, VM_MEMFD, LONG, guest_rounds, guest_rounds_end);
	u8 reply[16 + 8 + 32];
	const u8 *ram;
	int fd;

	fd = receive_ram(w.t, reply, sizeof(reply));
	CHECK(fd >= 0);
	CHECK_EQ(get_u32(reply + 16), 1);
	CHECK_EQ(get_u32(reply + 20), 1);
	CHECK_EQ(get_u64(reply + 24), 0);
	CHECK_EQ(get_u64(reply + 32), VM_BYTES);
	CHECK_EQ(get_u64(reply + 40), 4096);
	CHECK_EQ(get_u64(reply + 48), 0);
	CHECK(mmap(NULL, VM_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096) == MAP_FAILED);
	ram = mmap(NULL, VM_BYTES, PROT_READ, MAP_SHARED, fd, 4096);
	CHECK(ram != MAP_FAILED);
	CHECK(!memcmp(ram + VM_CODE, guest_rounds, 16));
	vm_write64(w.vm, VM_PAGE(3), 0x1234567);
	CHECK_EQ(get_u64(ram + VM_PAGE(3)), 0x1234567);
	munmap((void *)ram, VM_BYTES);
	close(fd);
	tool_quiet(w.t);
	world_close(&w);
}

/* Private memory of the VMM is no file: it is asked for page by page. */
static void test_get_ram_without_file(enum dialect d)
{
	struct world w = WORLD(d, 1, LONG, rounds);
	u8 reply[16 + 8 + 32];

	CHECK_EQ(receive_ram(w.t, reply, sizeof(reply)), -1);
	CHECK_EQ(get_u32(reply + 16), 1);
	CHECK_EQ(get_u32(reply + 20), 0);
	CHECK_EQ(get_u64(reply + 24), 0);
	CHECK_EQ(get_u64(reply + 32), VM_BYTES);
	CHECK_EQ(get_u32(reply + 48), KVMI_V6_RAM_NO_FILE);
	tool_quiet(w.t);
	world_close(&w);
}

const struct test view_tests[] = {
	TEST(test_get_ram, V6),
	TEST(test_get_ram_without_file, V6),
	TEST(test_rights, V6),
	TEST(test_change_gfn, V6),
	TEST(test_no_such_view, V6),
	TEST(test_views_go, V6),
	TEST(test_set_xsave, V6),
	{0},
};
