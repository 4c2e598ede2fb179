/* SPDX-License-Identifier: MIT */
/*
 * A program that plays VTL2 under `uservisor exec`: its nodes, its lower guest, what it maps and what is not there, and its messages and
 * events with other processes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uapi/mshv_vtl.h"
#include "x86/hyperv_root.h"

#define PAGE 4096ul

#define CHECK(expr)                                                                                \
	((expr) ? (void)0                                                                          \
		: (printf("%s:%d: %s is false, errno %s\n", __FILE__, __LINE__, #expr,             \
			   strerror(errno)),                                                       \
			  fflush(stdout), _exit(1)))
#define CHECK_ERRNO(expr, error) CHECK((expr) == -1 && errno == (error))

/* ---- nodes ---- */

static const char *const nodes[] = {
	"/dev/mshv", "/dev/mshv_sint", "/dev/mshv_hvcall", "/dev/mshv_vtl_low"};
#define NODES (sizeof(nodes) / sizeof(nodes[0]))

static void check_link(int fd, const char *expected)
{
	char path[64], link[128];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	n = readlink(path, link, sizeof(link) - 1);
	CHECK(n > 0);
	link[n] = 0;
	CHECK(!strcmp(link, expected));
}

static bool is_listed(const char *path)
{
	DIR *dir = opendir("/dev");
	struct dirent *e;
	bool found = false;

	CHECK(dir != NULL);
	while ((e = readdir(dir)))
		found |= !strcmp(e->d_name, path + 5);
	closedir(dir);
	return found;
}

static void check_nodes(void)
{
	dev_t seen[NODES];
	struct stat st;

	for (unsigned i = 0; i < NODES; i++) {
		int fd = open(nodes[i], O_RDWR | O_CLOEXEC);

		CHECK(!stat(nodes[i], &st) && S_ISCHR(st.st_mode));
		seen[i] = st.st_rdev;
		for (unsigned j = 0; j < i; j++)
			CHECK(seen[j] != seen[i]);
		CHECK(fd >= 0 && !fstat(fd, &st) && S_ISCHR(st.st_mode));
		CHECK(st.st_rdev == seen[i] && is_listed(nodes[i]));
		check_link(fd, nodes[i]);
		CHECK_ERRNO(ioctl(fd, _IO(MSHV_IOCTL, 0xf2)), ENOTTY);
		CHECK(!close(fd));
	}
}

/* ---- a lower guest ---- */

static struct {
	int mshv, vtl, low;
	unsigned cpu;
	volatile struct mshv_vtl_run *run;
	volatile struct hv_register_page *regs;
	unsigned char *ram;
} guest;

static void *map(int fd, unsigned long offset, size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);

	CHECK(at != MAP_FAILED);
	return at;
}

static void stay_here(void)
{
	cpu_set_t allowed;

	CHECK(!sched_getaffinity(0, sizeof(allowed), &allowed));
	while (!CPU_ISSET(guest.cpu, &allowed))
		guest.cpu++;
	CPU_ZERO(&allowed);
	CPU_SET(guest.cpu, &allowed);
	CHECK(!sched_setaffinity(0, sizeof(allowed), &allowed));
}

static void add(unsigned long first, unsigned long end)
{
	struct mshv_vtl_ram_disposition a = {first / PAGE, end / PAGE};

	CHECK(!ioctl(guest.vtl, MSHV_ADD_VTL0_MEMORY, &a));
}

static void open_guest(void)
{
	stay_here();
	guest.mshv = open("/dev/mshv", O_RDWR | O_CLOEXEC);
	guest.vtl = ioctl(guest.mshv, MSHV_CREATE_VTL, 0);
	guest.low = open("/dev/mshv_vtl_low", O_RDWR | O_CLOEXEC);
	CHECK(guest.mshv >= 0 && guest.vtl >= 0 && guest.low >= 0);
	check_link(guest.vtl, "anon_inode:mshv_vtl");
	guest.run = map(guest.vtl, guest.cpu * PAGE, PAGE);
	guest.regs = map(guest.vtl, (0x10000 | guest.cpu) * PAGE, PAGE);
	add(0x10000, 0x20000);
	guest.ram = map(guest.low, 0x10000, 0x10000);
}

static void set_code(const unsigned char *code, size_t n)
{
	memcpy(guest.ram, code, n);
	guest.regs->rip = 0;
	guest.regs->segment[1].base = 0x10000;
	guest.regs->segment[1].selector = 0x1000;
	guest.regs->dirty = HV_PAGE_DIRTY_RIP | HV_PAGE_DIRTY_SEGMENTS;
}

static volatile sig_atomic_t caught;

static void on_signal(int sig)
{
	caught++;
}

static void catch_alarm(void)
{
	struct sigaction a = {.sa_handler = on_signal, .sa_flags = SA_RESTART};

	CHECK(!sigaction(SIGALRM, &a, NULL));
	caught = 0;
	ualarm(50000, 50000);
}

static void no_alarm(void)
{
	ualarm(0, 0);
	CHECK(caught > 0);
}

static void *cancels(void *arg)
{
	usleep(20000);
	guest.run->cancel = 1;
	return NULL;
}

static void check_run(void)
{
	static const unsigned char out[] = {0xe6, 0x80, 0xeb, 0xfe}, halt[] = {0xfa, 0xf4};
	const struct hv_message *m;
	pthread_t t;

	open_guest();
	set_code(out, sizeof(out));
	guest.run->cpu_context.gp_regs[0] = 0x77;
	CHECK(!ioctl(guest.vtl, MSHV_RETURN_TO_LOWER_VTL));
	m = (const void *)guest.run->exit_message;
	CHECK(m->type == HVMSG_X64_IO_PORT_INTERCEPT);
	CHECK(((const struct hv_io_port_message *)m->payload)->rax == 0x77);
	guest.regs->rip += 2;
	guest.regs->dirty = HV_PAGE_DIRTY_RIP;
	catch_alarm();
	CHECK_ERRNO(ioctl(guest.vtl, MSHV_RETURN_TO_LOWER_VTL), EINTR);
	set_code(halt, sizeof(halt));
	CHECK_ERRNO(ioctl(guest.vtl, MSHV_RETURN_TO_LOWER_VTL), EINTR);
	no_alarm();
	CHECK(!pthread_create(&t, NULL, cancels, NULL));
	CHECK_ERRNO(ioctl(guest.vtl, MSHV_RETURN_TO_LOWER_VTL), EINTR);
	CHECK(!pthread_join(t, NULL));
}

/* ---- what is not there ---- */

static sigjmp_buf fault;

static void on_bus(int sig)
{
	siglongjmp(fault, 1);
}

static bool is_there(const volatile unsigned char *at)
{
	if (sigsetjmp(fault, 1))
		return false;
	(void)*at;
	return true;
}

static bool can_map(int fd, unsigned long page)
{
	unsigned char *at = map(fd, page * PAGE, PAGE);
	bool there = is_there(at);

	CHECK(!munmap(at, PAGE));
	return there;
}

static void check_holes(void)
{
	struct sigaction a = {.sa_handler = on_bus};
	unsigned char *all, *early;
	unsigned cpus = (unsigned)sysconf(_SC_NPROCESSORS_CONF);

	open_guest();
	CHECK(!sigaction(SIGBUS, &a, NULL));
	/* Pages of processors that the host does not have, of both kinds; and of no kind. */
	CHECK(can_map(guest.vtl, guest.cpu) && can_map(guest.vtl, 0x10000 | guest.cpu));
	CHECK(can_map(guest.vtl, cpus - 1) && can_map(guest.vtl, 0x10000 | (cpus - 1)));
	CHECK(!can_map(guest.vtl, cpus) && !can_map(guest.vtl, 0xffff));
	CHECK(!can_map(guest.vtl, 0x10000 | cpus) && !can_map(guest.vtl, 0x1ffff));
	CHECK(!can_map(guest.vtl, 0x20000) && !can_map(guest.vtl, 0x123456789));
	/* Memory that was not added: below, between, above. */
	early = map(guest.low, 0x20000, PAGE);
	add(0x30000, 0x31000);
	CHECK(!can_map(guest.low, 0) && can_map(guest.low, 0x10) && can_map(guest.low, 0x1f));
	CHECK(!can_map(guest.low, 0x20) && !can_map(guest.low, 0x2f));
	CHECK(can_map(guest.low, 0x30) && !can_map(guest.low, 0x31));
	CHECK(!can_map(guest.low, 0xfffffffff));
	munmap(early, PAGE);
	/* One mapping of it all; what is there is the same memory. */
	all = map(guest.low, 0, 0x40000);
	for (unsigned long at = 0; at < 0x40000; at += PAGE)
		CHECK(is_there(all + at) ==
			((at >= 0x10000 && at < 0x20000) || (at >= 0x30000 && at < 0x31000)));
	guest.ram[0x123] = 0x45;
	CHECK(all[0x10123] == 0x45);
	munmap(all, 0x40000);
	/* What nobody has, cannot be. */
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, open("/dev/mshv_hvcall", O_RDWR), 0) ==
			MAP_FAILED &&
		errno == ENODEV);
}

/* ---- messages and events ---- */

static int open_end(int flags)
{
	int fd = open("/dev/mshv_sint", O_RDWR | O_CLOEXEC | flags);

	CHECK(fd >= 0);
	return fd;
}

static void pause_end(int fd, bool pause)
{
	struct mshv_sint_mask a = {.mask = pause};

	CHECK(!ioctl(fd, MSHV_SINT_PAUSE_MESSAGE_STREAM, &a));
}

static int post(int fd, unsigned char byte)
{
	struct mshv_vtl_sint_post_msg a = {1, 1, 1, (unsigned long)&byte};

	return ioctl(fd, MSHV_SINT_POST_MESSAGE, &a);
}

static int signal_flag(int fd, unsigned flag)
{
	struct mshv_vtl_signal_event a = {2, flag};

	return ioctl(fd, MSHV_SINT_SIGNAL_EVENT, &a);
}

static void set_eventfd(int fd, unsigned flag, int event)
{
	struct mshv_vtl_set_eventfd a = {event, flag};

	CHECK(!ioctl(fd, MSHV_SINT_SET_EVENTFD, &a));
}

static short polled(int fd, int ms)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, ms) == 1 ? p.revents : 0;
}

/* The first byte of the next message; waits for it. */
static int message(int fd)
{
	struct hv_message m;

	CHECK(read(fd, &m, sizeof(m)) == sizeof(m));
	CHECK(m.type == 1 && m.len == 1 && m.sender == 1);
	return m.payload[0];
}

static void *posts(void *arg)
{
	usleep(20000);
	CHECK(!post(*(int *)arg, 7));
	return NULL;
}

static void check_sint(void)
{
	int a = open_end(0), b = open_end(0), loose = open_end(O_NONBLOCK);
	unsigned char buffer[512];
	pthread_t t;

	/* It begins paused. */
	CHECK(polled(a, 0) == POLLIN && read(a, buffer, 256) == 0 && read(a, buffer, 512) == 0);
	CHECK_ERRNO(read(a, buffer, 255), EINVAL);
	pause_end(a, false);
	pause_end(loose, false);
	CHECK(!polled(a, 0));
	CHECK_ERRNO(read(loose, buffer, 256), EAGAIN);
	CHECK(!post(b, 5) && polled(a, 0) == POLLIN && message(a) == 5 && message(loose) == 5);
	/* Who waits is woken: by a message, by a signal. */
	CHECK(!pthread_create(&t, NULL, posts, &b));
	CHECK(message(a) == 7 && !pthread_join(t, NULL));
	{
		struct sigaction sa = {.sa_handler = on_signal};

		CHECK(!sigaction(SIGALRM, &sa, NULL));
		caught = 0;
		ualarm(20000, 0);
		CHECK_ERRNO(read(a, buffer, 256), EINTR);
		CHECK(caught == 1);
	}
	CHECK(!close(a) && !close(b) && !close(loose));
}

/* Another process: what comes it sends back, plus one; the event comes back as another one. */
static int peer(void)
{
	int fd = open_end(0), event = eventfd(0, EFD_CLOEXEC);
	unsigned long long n;

	pause_end(fd, false);
	set_eventfd(fd, 3, event);
	CHECK(!post(fd, 100)); /* here I am */
	for (int i = 0; i < 3; i++)
		CHECK(!post(fd, (unsigned char)(message(fd) + 1)));
	CHECK(read(event, &n, sizeof(n)) == sizeof(n) && n == 1);
	CHECK(!signal_flag(fd, 4));
	return 0;
}

static void check_peer(char *own, bool executed)
{
	int fd = open_end(0), event = eventfd(0, EFD_CLOEXEC), status, pid;
	unsigned long long n;

	pause_end(fd, false);
	set_eventfd(fd, 4, event);
	CHECK_ERRNO(post(fd, 1), EINVAL);
	pid = fork();
	if (!pid && executed)
		execl(own, own, "peer", NULL);
	if (!pid)
		_exit(executed ? 1 : peer());
	CHECK(message(fd) == 100);
	for (unsigned char i = 1; i < 4; i++)
		CHECK(!post(fd, i) && message(fd) == i + 1);
	CHECK(!signal_flag(fd, 3) && read(event, &n, sizeof(n)) == sizeof(n) && n == 1);
	CHECK(waitpid(pid, &status, 0) == pid && !status);
	CHECK_ERRNO(post(fd, 1), EINVAL); /* its end went with it */
	CHECK(!close(fd) && !close(event));
}

/* A child holds nothing of its parent's open. */
static void check_forked(void)
{
	int a = open_end(0), b = open_end(0), here[2], there[2], pid;
	struct mshv_sint_mask mask = {0};
	char c = 0;

	CHECK(!pipe(here) && !pipe(there));
	pid = fork();
	if (!pid) {
		CHECK_ERRNO(ioctl(a, MSHV_SINT_PAUSE_MESSAGE_STREAM, &mask), EIO);
		close(here[1]);
		CHECK(write(there[1], &c, 1) == 1);
		CHECK(read(here[0], &c, 1) == 0);
		_exit(0);
	}
	CHECK(read(there[0], &c, 1) == 1);
	CHECK(!close(b));
	CHECK_ERRNO(post(a, 1), EINVAL);
	close(here[1]);
	CHECK(waitpid(pid, NULL, 0) == pid && !close(a));
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	alarm(50); /* hung: a signal ends it */
	if (!strcmp(what, "peer"))
		return peer();
	if (!strcmp(what, "nodes"))
		check_nodes();
	else if (!strcmp(what, "run"))
		check_run();
	else if (!strcmp(what, "holes"))
		check_holes();
	else if (!strcmp(what, "sint"))
		check_sint();
	else if (!strcmp(what, "forked"))
		check_forked();
	else if (!strcmp(what, "peers"))
		check_peer(argv[0], false), check_peer(argv[0], true);
	else
		return 2;
	return 0;
}
