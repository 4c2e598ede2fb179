/* SPDX-License-Identifier: MIT */
/* The VM's side of a connection: greeting, framing, and turns of the vCPUs. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "mock.h"

static bool get(int fd, void *data, size_t size)
{
	return size == 0 || recv(fd, data, size, MSG_WAITALL) == (ssize_t)size;
}

void mock_send_file(struct mock *m, u16 id, u32 seq, const void *a, size_t n, int fd)
{
	_Alignas(struct cmsghdr) u8 control[CMSG_SPACE(sizeof(int))] = {0};
	struct kvmi_msg_hdr h = {.id = id, .size = (u16)n, .seq = seq};
	struct iovec parts[2] = {{&h, sizeof(h)}, {(void *)a, n}};
	struct msghdr msg = {.msg_iov = parts,
		.msg_iovlen = 2,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(fd));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	if (sendmsg(m->fd, &msg, MSG_NOSIGNAL) != (ssize_t)(sizeof(h) + n))
		m->over = true;
}

static bool put(int fd, const void *data, size_t size)
{
	u8 *at = (u8 *)data;

	while (size) {
		const ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		at += n;
		size -= (size_t)n;
	}
	return true;
}

void mock_send(struct mock *m, u16 id, u32 seq, const void *a, size_t na, const void *b, size_t nb)
{
	u8 bytes[sizeof(struct kvmi_msg_hdr) + UINT16_MAX];
	const struct kvmi_msg_hdr h = {.id = id, .size = (u16)(na + nb), .seq = seq};

	memcpy(bytes, &h, sizeof(h));
	if (na)
		memcpy(bytes + sizeof(h), a, na);
	if (nb)
		memcpy(bytes + sizeof(h) + na, b, nb);
	if (!put(m->fd, bytes, sizeof(h) + na + nb))
		m->over = true;
}

static u64 *table(struct mock *m, u64 gpa)
{
	return (u64 *)(void *)(m->ram + gpa);
}

static void map(struct mock *m)
{
	const unsigned first = MOCK_GVA >> 39 & 511;

	table(m, MOCK_CR3)[first] = (MOCK_CR3 + 0x1000) | 3;
	table(m, MOCK_CR3 + 0x1000)[0] = (MOCK_CR3 + 0x2000) | 3;
	table(m, MOCK_CR3 + 0x2000)[0] = (MOCK_CR3 + 0x3000) | 3;
	table(m, MOCK_CR3 + 0x2000)[1] = 0 | 0x83;
	for (u64 i = 0; i < 512; i++)
		if (mock_is_ram(i * PAGE_SIZE, PAGE_SIZE))
			table(m, MOCK_CR3 + 0x3000)[i] = i * PAGE_SIZE | 3;
}

static void start(struct mock_vcpu *v, unsigned index, bool started)
{
	*v = (struct mock_vcpu){.index = index, .started = started};
	v->regs.rip = MOCK_GVA + MOCK_CODE;
	v->regs.rflags = 2;
	v->regs.rax = 0x1000 + index;
	v->regs.rsp = MOCK_GVA + 0x8000;
	v->sregs.cr0 = 0x80000001;
	v->sregs.cr3 = MOCK_CR3;
	v->sregs.cr4 = 0x20;
	v->sregs.efer = 0x500;
	v->sregs.cs = (struct kvm_segment){.selector = 0x10,
		.limit = 0xffffffff,
		.type = 11,
		.present = 1,
		.s = 1,
		.l = 1,
		.g = 1};
	v->sregs.gdt.base = MOCK_GVA + 0x5000;
	v->sregs.gdt.limit = 0x7f;
	v->lstar = MOCK_GVA + 0x6000;
}

void mock_init(struct mock *m, const struct mock_config *config)
{
	*m = (struct mock){.config = *config, .fd = -1};
	m->ram_fd = memfd_create("mock", MFD_CLOEXEC);
	if (m->ram_fd < 0 || ftruncate(m->ram_fd, MOCK_HIGH_END))
		abort();
	m->ram = mmap(NULL, MOCK_HIGH_END, PROT_READ | PROT_WRITE, MAP_SHARED, m->ram_fd, 0);
	if (m->ram == MAP_FAILED)
		abort();
	memset(m->rights, 7, sizeof(m->rights));
	map(m);
	memcpy(m->ram + MOCK_CODE, MOCK_PROGRAM, sizeof(MOCK_PROGRAM) - 1);
	if (!m->config.vcpus)
		m->config.vcpus = 1;
	if (!m->config.started)
		m->config.started = m->config.vcpus;
	for (unsigned i = 0; i < m->config.vcpus; i++)
		start(&m->vcpu[i], i, i < m->config.started);
}

void mock_free(struct mock *m)
{
	munmap(m->ram, MOCK_HIGH_END);
	close(m->ram_fd);
}

static int greet(struct mock *m)
{
	u8 all[70000] = {0};
	struct kvmi_qemu2introspector g = {
		.struct_size = m->config.greeting_size ? m->config.greeting_size : sizeof(g),
		.start_time = 1543622400};
	struct kvmi_introspector2qemu answer;

	for (int i = 0; i < 16; i++)
		g.uuid[i] = (u8)(0x10 * i + i);
	strncpy(g.name, m->config.name ? m->config.name : "mock", sizeof(g.name));
	memcpy(all, &g, sizeof(g));
	if (!put(m->fd, all, MIN(g.struct_size, sizeof(all))) ||
		!get(m->fd, &answer, sizeof(answer)))
		return -1;
	if (answer.struct_size != sizeof(answer))
		return -1;
	return m->config.cookie_hash && memcmp(answer.cookie_hash, m->config.cookie_hash, 20) ? -1
											      : 0;
}

static bool take_message(struct mock *m)
{
	u8 payload[UINT16_MAX];
	struct kvmi_msg_hdr h;

	return get(m->fd, &h, sizeof(h)) && get(m->fd, payload, h.size) &&
	       mock_command(m, &h, payload);
}

static bool run_vcpus(struct mock *m)
{
	bool ran = false;

	for (unsigned i = 0; i < m->config.vcpus; i++)
		if (mock_guest_can_run(m, &m->vcpu[i])) {
			mock_guest_run(m, &m->vcpu[i]);
			ran = true;
		}
	return ran;
}

/* As after any end of a session: what held the guest is gone, what was written stays. */
static void let_go(struct mock *m)
{
	memset(m->rights, 7, sizeof(m->rights));
	for (unsigned i = 0; i < m->config.vcpus; i++) {
		struct mock_vcpu *v = &m->vcpu[i];

		v->events = v->crs = v->n_msrs = v->pauses = 0;
		v->step = v->stepped = false;
		if (v->waits && v->event == KVMI_EVENT_BREAKPOINT)
			m->reinjected++;
		v->waits = false;
	}
	m->quiet = false;
	m->vm_events = 0;
}

int mock_serve(struct mock *m, int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	bool ran = true;

	m->fd = fd;
	m->over = false;
	if (greet(m)) {
		shutdown(fd, SHUT_RDWR);
		return -1;
	}
	while (!m->over) {
		poll(&p, 1, ran ? 0 : 1);
		if (p.revents && !take_message(m))
			break;
		ran = !p.revents && run_vcpus(m);
	}
	shutdown(fd, SHUT_RDWR);
	let_go(m);
	return 0;
}
