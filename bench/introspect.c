/* SPDX-License-Identifier: MIT */
/*
 * introspect: what a tool costs and how fast it is served, over a socket pair, by the messages alone. The guest runs in
 * 16-bit mode. Prints "= NAME NANOSECONDS", the best of several samples: "socket" is the host's own round trip between two
 * threads, beside which the others stand; "loop" and "loop-connected" are a guest that nobody asks anything of. "other" and
 * "other-filtered" are a call by one of two processes, without and with a breakpoint on that function in the other one's view.
 */
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "uapi/kvmi_v6.h"

#define CODE    0x1000
#define CLOSED  0x3000 /* a page whose stores the tool is asked about */
#define SHARED  0x4000 /* a function that two processes call, */
#define SHADOW  0x5000 /* and the page that one of them has instead, with a breakpoint */
#define MEMORY  0x10000
#define PAGE    0x1000
#define BATCH   5000
#define SAMPLES 5
#define AT_ONCE 32 /* reads that are asked for before the first answer */

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

static double clock_now(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static double now(void)
{
	return clock_now(CLOCK_MONOTONIC);
}

/* ---- the machine ---- */

struct vm {
	int fd, vcpu;
	struct kvm_run *run;
	unsigned char *memory;
};

static void *map(int fd, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);

	if (p == MAP_FAILED)
		die("mmap");
	return p;
}

static void vm_make(struct vm *v)
{
	int dev = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct kvm_userspace_memory_region region = {.memory_size = MEMORY};
	struct kvm_sregs sregs;

	if (dev < 0)
		die("/dev/kvm");
	v->fd = request(dev, KVM_CREATE_VM, NULL, "vm");
	v->memory = map(-1, MEMORY);
	region.userspace_addr = (unsigned long)v->memory;
	request(v->fd, KVM_SET_USER_MEMORY_REGION, &region, "memory");
	v->vcpu = request(v->fd, KVM_CREATE_VCPU, NULL, "vcpu");
	v->run = map(v->vcpu, (size_t)request(dev, KVM_GET_VCPU_MMAP_SIZE, NULL, "size"));
	request(v->vcpu, KVM_GET_SREGS, &sregs, "sregs");
	sregs.cs.base = sregs.cs.selector = 0;
	request(v->vcpu, KVM_SET_SREGS, &sregs, "sregs");
}

static void vm_begin(struct vm *v, const unsigned char *code, size_t n)
{
	struct kvm_regs regs = {.rip = CODE, .rflags = 2};

	memcpy(v->memory + CODE, code, n);
	request(v->vcpu, KVM_SET_REGS, &regs, "regs");
}

static void *vm_run(void *vm)
{
	struct vm *v = vm;

	request(v->vcpu, KVM_RUN, NULL, "KVM_RUN");
	if (v->run->exit_reason != KVM_EXIT_HLT) {
		fprintf(stderr, "introspect: unexpected exit %u\n", v->run->exit_reason);
		exit(1);
	}
	return NULL;
}

/* ---- the tool ---- */

struct tool {
	int fd;
	unsigned seq;
	struct kvmi_msg_hdr header;
	unsigned char payload[65536];
};

static void put(struct tool *t, unsigned id, const void *payload, size_t n, unsigned seq)
{
	unsigned char message[KVMI_V6_MSG_SIZE];
	const struct kvmi_msg_hdr h = {.id = (__u16)id, .size = (__u16)n, .seq = seq};

	memcpy(message, &h, sizeof(h));
	if (n)
		memcpy(message + sizeof(h), payload, n);
	if (write(t->fd, message, sizeof(h) + n) != (ssize_t)(sizeof(h) + n))
		die("write");
}

static void get(struct tool *t)
{
	if (recv(t->fd, &t->header, sizeof(t->header), MSG_WAITALL) != sizeof(t->header) ||
		recv(t->fd, t->payload, t->header.size, MSG_WAITALL) != t->header.size)
		die("the connection is closed");
}

/* The answer to a command, which must be a good one. */
static void get_answer(struct tool *t, unsigned id)
{
	int err;

	get(t);
	memcpy(&err, t->payload, sizeof(err));
	if (t->header.id != id || err) {
		fprintf(stderr, "introspect: command %u: message %u, error %d\n", id, t->header.id,
			err);
		exit(1);
	}
}

static void command(struct tool *t, unsigned id, const void *payload, size_t n)
{
	put(t, id, payload, n, ++t->seq);
	get_answer(t, id);
}

static void hook(struct tool *t, const struct vm *v)
{
	int pair[2];
	struct kvm_introspection in = {.commands = ~0u, .events = ~0u};

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		die("socketpair");
	in.fd = pair[0];
	request(v->fd, KVM_INTROSPECTION_HOOK, &in, "hook");
	close(pair[0]);
	t->fd = pair[1];
	command(t, KVMI_V6_GET_VERSION, NULL, 0);
}

/* An event, answered with "continue". */
static void event(struct tool *t)
{
	struct {
		struct kvmi_v6_event_reply head;
		__u64 new_val;
	} reply = {0};
	size_t n = sizeof(reply.head);

	get(t);
	reply.head.event = ((const struct kvmi_v6_event *)t->payload)->event;
	if (reply.head.event == KVMI_V6_EVENT_CR) {
		reply.new_val =
			((const struct kvmi_event_cr *)(t->payload + sizeof(struct kvmi_v6_event)))
				->new_value;
		n = sizeof(reply);
	}
	put(t, KVMI_V6_EVENT_REPLY, &reply, n, t->header.seq);
}

/* ---- what is measured ---- */

static void tell(const char *name, double (*measure)(struct vm *v, struct tool *t), struct vm *v,
	struct tool *t)
{
	double best = 1e18;

	for (int i = 0; i < SAMPLES; i++) {
		double ns = measure(v, t);

		best = ns < best ? ns : best;
	}
	printf("= %s %.1f\n", name, best);
	fflush(stdout);
}

static void *echo(void *fd)
{
	char byte[64];
	ssize_t n;

	while ((n = read(*(int *)fd, byte, sizeof(byte))) > 0)
		if (write(*(int *)fd, byte, (size_t)n) != n)
			break;
	return NULL;
}

static double socket_round(struct vm *v, struct tool *t)
{
	int pair[2];
	char message[24] = {0};
	pthread_t thread;
	double t0;

	(void)v;
	(void)t;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		die("socketpair");
	pthread_create(&thread, NULL, echo, &pair[0]);
	t0 = now();
	for (int i = 0; i < BATCH; i++)
		if (write(pair[1], message, sizeof(message)) < 0 ||
			recv(pair[1], message, sizeof(message), MSG_WAITALL) < 0)
			die("socket");
	t0 = now() - t0;
	close(pair[1]);
	pthread_join(thread, NULL);
	close(pair[0]);
	return t0 / BATCH;
}

/* mov $0x8000, %ecx; 1: mov $0x2000, %ebx; 2: add %ebx, %eax; dec %ebx; jnz 2b; dec %ecx; jnz 1b; hlt */
static const unsigned char loop[] = {0x66, 0xb9, 0x00, 0x80, 0, 0, 0x66, 0xbb, 0x00, 0x20, 0, 0,
	0x66, 0x01, 0xd8, 0x66, 0x4b, 0x75, 0xf9, 0x66, 0x49, 0x75, 0xef, 0xf4};
#define LOOPS (0x8000 * 8192.)

/* Of the processor's time: it takes long enough for others to come in between. */
static double guest_loop(struct vm *v, struct tool *t)
{
	double t0;

	(void)t;
	vm_begin(v, loop, sizeof(loop));
	t0 = clock_now(CLOCK_THREAD_CPUTIME_ID);
	vm_run(v);
	return (clock_now(CLOCK_THREAD_CPUTIME_ID) - t0) / LOOPS;
}

/* The guest raises events until it has done it BATCH times. */
static double events(struct vm *v, struct tool *t, const unsigned char *code, size_t n)
{
	pthread_t thread;
	double t0;

	vm_begin(v, code, n);
	pthread_create(&thread, NULL, vm_run, v);
	t0 = now();
	for (int i = 0; i < BATCH; i++)
		event(t);
	t0 = now() - t0;
	pthread_join(thread, NULL);
	return t0 / BATCH;
}

#define COUNT BATCH & 0xff, BATCH >> 8

static double cr3_event(struct vm *v, struct tool *t)
{
	/* mov $BATCH, %cx; 1: xor $0x1000, %eax; mov %eax, %cr3; loop 1b; hlt */
	static const unsigned char code[] = {
		0xb9, COUNT, 0x66, 0x35, 0x00, 0x10, 0, 0, 0x0f, 0x22, 0xd8, 0xe2, 0xf5, 0xf4};

	return events(v, t, code, sizeof(code));
}

static double page_event(struct vm *v, struct tool *t)
{
	/* mov $BATCH, %cx; 1: incb 0x3000; loop 1b; hlt */
	static const unsigned char code[] = {0xb9, COUNT, 0xfe, 0x06, 0x00, 0x30, 0xe2, 0xfa, 0xf4};

	return events(v, t, code, sizeof(code));
}

static double one_read(struct vm *v, struct tool *t)
{
	const struct kvmi_read_physical q = {.gpa = 0x2000, .size = 4096};
	double t0 = now();

	(void)v;
	for (int i = 0; i < BATCH; i++)
		command(t, KVMI_V6_READ_PHYSICAL, &q, sizeof(q));
	return (now() - t0) / BATCH;
}

static double many_reads(struct vm *v, struct tool *t)
{
	const struct kvmi_read_physical q = {.gpa = 0x2000, .size = 4096};
	double t0 = now();
	int asked = 0;

	(void)v;
	for (int i = 0; i < BATCH; i++) {
		for (; asked < i + AT_ONCE && asked < BATCH; asked++)
			put(t, KVMI_V6_READ_PHYSICAL, &q, sizeof(q), ++t->seq);
		get(t);
	}
	return (now() - t0) / BATCH;
}

/* ---- rights of all pages ---- */

#define GIB_PAGES  (1 << 18)
#define PAGES_EACH 256

static void set_rights(struct tool *t, unsigned access)
{
	struct {
		struct kvmi_v6_set_page_access head;
		struct kvmi_v6_page_access_entry entry[PAGES_EACH];
	} c = {.head = {.count = PAGES_EACH}};
	int asked = 0;

	for (int done = 0; done < GIB_PAGES; done += PAGES_EACH) {
		for (; asked < done + AT_ONCE / 2 * PAGES_EACH && asked < GIB_PAGES;
			asked += PAGES_EACH) {
			for (int i = 0; i < PAGES_EACH; i++)
				c.entry[i] = (struct kvmi_v6_page_access_entry){
					.gpa = (__u64)(asked + i) * 4096, .access = (__u8)access};
			put(t, KVMI_V6_SET_PAGE_ACCESS, &c, sizeof(c), ++t->seq);
		}
		get_answer(t, KVMI_V6_SET_PAGE_ACCESS);
	}
}

/* What a dump of a guest that runs pauses it for: no page of a GiB may be written to. Addresses need no memory for it. */
static double close_gib(struct vm *v, struct tool *t)
{
	double t0 = now();

	(void)v;
	set_rights(t, KVMI_PAGE_ACCESS_R | KVMI_PAGE_ACCESS_X);
	t0 = now() - t0;
	set_rights(t, KVMI_PAGE_ACCESS_R | KVMI_PAGE_ACCESS_W | KVMI_PAGE_ACCESS_X);
	return t0;
}

/* ---- two processes, of which one has a breakpoint ---- */

#define CR3_FILTERED 0x1000ull
#define CR3_OTHER    0x2000ull
#define CALLS        0x40000 /* of a slice of the other one */
#define SLICES       20

static void switch_view(struct tool *t, __u16 view)
{
	const struct kvmi_v6_switch_ept_view q = {.view = view};

	command(t, KVMI_V6_SWITCH_EPT_VIEW, &q, sizeof(q));
}

/* A view in which the function begins with INT3. */
static __u16 filtered_view(struct vm *v, struct tool *t)
{
	struct kvmi_v6_change_gfn q = {.old_gfn = SHARED >> 12, .new_gfn = SHADOW >> 12};

	memcpy(v->memory + SHADOW, v->memory + SHARED, PAGE);
	v->memory[SHADOW] = 0xcc;
	command(t, KVMI_V6_CREATE_EPT_VIEW, NULL, 0);
	memcpy(&q.view, t->payload + sizeof(struct kvmi_error_code), sizeof(q.view));
	command(t, KVMI_V6_CHANGE_GFN, &q, sizeof(q));
	return q.view;
}

/* The tool does what INT3 stands for, which is 1 byte: inc %ax. */
static void step_across(struct tool *t, const struct kvmi_v6_event *e, unsigned seq)
{
	const struct kvmi_v6_event_reply reply = {
		.event = KVMI_V6_EVENT_BREAKPOINT, .action = KVMI_EVENT_ACTION_RETRY};
	struct kvmi_v6_set_registers q = {.regs = e->regs};

	q.regs.rax++;
	q.regs.rip++;
	command(t, KVMI_V6_SET_REGISTERS, &q, sizeof(q));
	put(t, KVMI_V6_EVENT_REPLY, &reply, sizeof(reply), seq);
}

/* What follows both. */
struct follower {
	bool filters;
	__u16 view; /* of the filtered one, when there is one */
	unsigned hits, slices;
	double began, best; /* of the other one's slice; 0: it is not its turn */
};

/* Whose turn it is: its view, and the answer. */
static void next_process(struct follower *f, struct vm *v, struct tool *t)
{
	struct {
		struct kvmi_v6_event_reply head;
		__u64 new_val;
	} reply = {.head.event = KVMI_V6_EVENT_CR};
	const unsigned seq = t->header.seq;
	const size_t at = sizeof(struct kvmi_v6_event) + offsetof(struct kvmi_event_cr, new_value);

	memcpy(&reply.new_val, t->payload + at, sizeof(reply.new_val));
	if (f->filters && !f->view)
		f->view = filtered_view(v, t);
	if (f->filters)
		switch_view(t, reply.new_val == CR3_FILTERED ? f->view : 0);
	put(t, KVMI_V6_EVENT_REPLY, &reply, sizeof(reply), seq);
	f->began = reply.new_val == CR3_OTHER ? now() : 0;
}

static void end_slice(struct follower *f)
{
	const double ns = now() - f->began;

	f->best = ns < f->best ? ns : f->best;
	f->slices++;
}

/* The breakpoint is met once a turn, and by one of them alone. The shortest slice of the other one. */
static double follow(struct vm *v, struct tool *t, bool filters)
{
	struct follower f = {.filters = filters, .best = 1e18};

	while (f.slices < SLICES) {
		struct kvmi_v6_event e;

		get(t);
		memcpy(&e, t->payload, sizeof(e));
		if (f.began != 0)
			end_slice(&f);
		f.began = 0;
		f.hits += e.event == KVMI_V6_EVENT_BREAKPOINT;
		if (e.event == KVMI_V6_EVENT_BREAKPOINT)
			step_across(t, &e, t->header.seq);
		else
			next_process(&f, v, t);
	}
	if (f.hits != (filters ? SLICES : 0)) {
		fprintf(stderr, "introspect: %u breakpoints in %u turns\n", f.hits, SLICES);
		exit(1);
	}
	return f.best / CALLS;
}

static double other_process(struct vm *v, struct tool *t, bool filters)
{
	/* mov $SLICES, %bx; 1: mov $CR3_FILTERED, %eax; mov %eax, %cr3; call SHARED; mov $CR3_OTHER, %eax; mov %eax, %cr3;
	 * mov $CALLS, %ecx; 2: call SHARED; dec %ecx; jnz 2b; dec %bx; jnz 1b; mov $0, %eax; mov %eax, %cr3; hlt */
	static const unsigned char code[] = {0xbb, SLICES, 0, 0x66, 0xb8, 0, 0x10, 0, 0, 0x0f, 0x22,
		0xd8, 0xe8, 0xf1, 0x2f, 0x66, 0xb8, 0, 0x20, 0, 0, 0x0f, 0x22, 0xd8, 0x66, 0xb9, 0,
		0, 4, 0, 0xe8, 0xdf, 0x2f, 0x66, 0x49, 0x75, 0xf9, 0x4b, 0x75, 0xdb, 0x66, 0xb8, 0,
		0, 0, 0, 0x0f, 0x22, 0xd8, 0xf4};
	static const unsigned char function[] = {0x40, 0xc3}; /* inc %ax; ret */
	pthread_t thread;
	double ns;

	memcpy(v->memory + SHARED, function, sizeof(function));
	vm_begin(v, code, sizeof(code));
	pthread_create(&thread, NULL, vm_run, v);
	ns = follow(v, t, filters);
	pthread_join(thread, NULL);
	return ns;
}

static double other(struct vm *v, struct tool *t)
{
	return other_process(v, t, false);
}

static double other_filtered(struct vm *v, struct tool *t)
{
	return other_process(v, t, true);
}

/* ---- */

/* The vcpu does what is asked of it while it runs: so it runs a loop that does not end by itself within that time. */
static void prepare(struct vm *v, struct tool *t)
{
	const struct kvmi_v6_control_events cr = {.event = KVMI_V6_EVENT_CR, .enable = 1};
	const struct kvmi_v6_control_events pf = {.event = KVMI_V6_EVENT_PF, .enable = 1};
	const struct kvmi_v6_control_events breakpoint = {
		.event = KVMI_V6_EVENT_BREAKPOINT, .enable = 1};
	const struct kvmi_v6_control_register cr3 = {.enable = 1, .index = 3};
	struct {
		struct kvmi_v6_set_page_access head;
		struct kvmi_v6_page_access_entry entry;
	} access = {.head = {.count = 1},
		.entry = {.gpa = CLOSED, .access = KVMI_PAGE_ACCESS_R | KVMI_PAGE_ACCESS_X}};
	pthread_t thread;

	vm_begin(v, loop, sizeof(loop));
	pthread_create(&thread, NULL, vm_run, v);
	command(t, KVMI_V6_CONTROL_EVENTS, &cr, sizeof(cr));
	command(t, KVMI_V6_CONTROL_EVENTS, &pf, sizeof(pf));
	command(t, KVMI_V6_CONTROL_EVENTS, &breakpoint, sizeof(breakpoint));
	command(t, KVMI_V6_CONTROL_CR, &cr3, sizeof(cr3));
	command(t, KVMI_V6_SET_PAGE_ACCESS, &access, sizeof(access));
	pthread_join(thread, NULL);
}

int main(void)
{
	static struct tool t;
	struct vm v;

	vm_make(&v);
	tell("socket", socket_round, &v, &t);
	tell("loop", guest_loop, &v, &t);
	hook(&t, &v);
	tell("loop-connected", guest_loop, &v, &t);
	tell("read", one_read, &v, &t);
	tell("read-32-at-once", many_reads, &v, &t);
	prepare(&v, &t);
	tell("event-cr3", cr3_event, &v, &t);
	tell("event-page", page_event, &v, &t);
	tell("close-gib", close_gib, &v, &t);
	tell("other", other, &v, &t);
	tell("other-filtered", other_filtered, &v, &t);
	return 0;
}
