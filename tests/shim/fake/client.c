/* SPDX-License-Identifier: MIT */
/*
 * A program that reads from a device, waits for it, and maps another one. The devices are those of tests/unit/abi/fake.c, which no
 * machine has: the uservisor that runs it has them instead of KVM's.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE  _IO('F', 8)
#define PUT    _IO('F', 9)
#define PACKET 256

#define CHECK(expr)                                                                                \
	((expr) ? (void)0                                                                          \
		: (printf("%s:%d: %s is false, errno %s\n", __FILE__, __LINE__, #expr,             \
			   strerror(errno)),                                                       \
			  fflush(stdout), _exit(1)))
#define CHECK_ERRNO(expr, error) CHECK((expr) == -1 && errno == (error))

static unsigned char buffer[1024];

static int open_stream(int flags)
{
	int fd = open("/dev/fake-other", O_RDWR | O_CLOEXEC | flags);

	CHECK(fd >= 0);
	return fd;
}

static short polled(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};

	return poll(&p, 1, 0) == 1 ? p.revents : 0;
}

static int selected(int fd)
{
	struct timeval none = {0, 0};
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, &none);
}

static void check_looks(void)
{
	static const char *const names[] = {"fake", "fake-other", "fake-memory", "fake-too"};
	char link[32], shown[32] = "";
	int fd = open_stream(0), seen = 0;
	struct dirent *e;
	struct stat st;
	DIR *dir = opendir("/dev");

	CHECK(!fstat(fd, &st) && S_ISCHR(st.st_mode) && st.st_rdev == makedev(10, 2));
	CHECK(!stat("/dev/fake-memory", &st) && st.st_rdev == makedev(10, 4));
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	CHECK(readlink(link, shown, sizeof(shown) - 1) > 0 && !strcmp(shown, "/dev/fake-other"));
	while ((e = readdir(dir)))
		for (int i = 0; i < 4; i++)
			seen += !strcmp(e->d_name, names[i]);
	CHECK(seen == 4 && !closedir(dir));
	CHECK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED && errno == ENODEV);
	CHECK(!close(fd));
}

static void check_paused(void)
{
	int fd = open_stream(O_NONBLOCK);
	struct iovec parts[2] = {{buffer, 200}, {buffer + 200, 100}};

	CHECK(polled(fd) == POLLIN && selected(fd) == 1);
	for (int i = 0; i < 1000; i++)
		CHECK(read(fd, buffer, sizeof(buffer)) == 0);
	CHECK(readv(fd, parts, 2) == 0 && syscall(SYS_read, fd, buffer, PACKET) == 0);
	CHECK_ERRNO(read(fd, buffer, PACKET - 1), EINVAL);
	CHECK_ERRNO(readv(fd, parts, 1), EINVAL);
	CHECK_ERRNO(ioctl(fd, PUT, 1), EAGAIN);
	CHECK(!close(fd));
}

static void check_packets(void)
{
	int fd = open_stream(O_NONBLOCK), copy = dup(fd), epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event e = {.events = EPOLLIN};
	struct iovec parts[2] = {{buffer, 200}, {buffer + 200, 800}};

	CHECK(!ioctl(fd, PAUSE, 0) && !polled(fd) && !selected(fd));
	CHECK(!epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) && !epoll_wait(epoll, &e, 1, 0));
	CHECK_ERRNO(read(fd, buffer, sizeof(buffer)), EAGAIN);
	CHECK(!ioctl(copy, PUT, 5) && !ioctl(copy, PUT, 6) && !ioctl(copy, PUT, 7));
	CHECK(polled(copy) == POLLIN && epoll_wait(epoll, &e, 1, 0) == 1);
	CHECK_ERRNO(read(copy, buffer, 8), EINVAL);
	CHECK(read(copy, buffer, sizeof(buffer)) == PACKET && buffer[0] == 5 && buffer[255] == 5);
	CHECK(readv(fd, parts, 2) == PACKET && buffer[0] == 6 && buffer[255] == 6);
	/* What waits comes before the end. */
	CHECK(!ioctl(fd, PAUSE, 1) && read(fd, buffer, PACKET) == PACKET && buffer[9] == 7);
	CHECK(read(fd, buffer, PACKET) == 0);
	CHECK(!ioctl(fd, PAUSE, 0) && !polled(fd));
	CHECK_ERRNO(read(fd, buffer, PACKET), EAGAIN);
	CHECK(!close(fd) && !ioctl(copy, PUT, 8) && read(copy, buffer, PACKET) == PACKET);
	CHECK(!close(copy) && !close(epoll));
	CHECK_ERRNO(read(copy, buffer, PACKET), EBADF);
}

static void *waits(void *opaque)
{
	static unsigned char own[PACKET];

	CHECK(read(*(int *)opaque, own, sizeof(own)) == PACKET && own[0] == 9);
	CHECK(read(*(int *)opaque, own, sizeof(own)) == 0);
	return NULL;
}

static volatile sig_atomic_t caught;

static void on_signal(int sig)
{
	caught++;
}

/* Who waits is woken by a packet, by a pause, and by a signal. */
static void check_waiting(void)
{
	struct sigaction sa = {.sa_handler = on_signal};
	int fd = open_stream(0);
	pthread_t t;

	CHECK(!ioctl(fd, PAUSE, 0) && !pthread_create(&t, NULL, waits, &fd));
	usleep(20000);
	CHECK(!ioctl(fd, PUT, 9));
	usleep(20000);
	CHECK(!ioctl(fd, PAUSE, 1) && !pthread_join(t, NULL) && !ioctl(fd, PAUSE, 0));
	CHECK(!sigaction(SIGALRM, &sa, NULL));
	ualarm(20000, 0);
	CHECK_ERRNO(read(fd, buffer, PACKET), EINTR);
	CHECK(caught == 1 && !close(fd));
}

/* Two opens show one memory; a child has a device of its own. */
static void check_memory(void)
{
	int one = open("/dev/fake-memory", O_RDWR), two = open("/dev/fake-memory", O_RDWR), status;
	char *first, *second;

	CHECK(one >= 0 && two >= 0 && one != two);
	first = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, one, 0);
	second = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, two, 0);
	CHECK(first != MAP_FAILED && second != MAP_FAILED);
	first[100] = 'a';
	CHECK(second[100] == 'a');
	CHECK(mmap(NULL, 4096, PROT_EXEC, MAP_SHARED, one, 0) == MAP_FAILED && errno == EPERM);
	if (!fork()) {
		int own = open("/dev/fake-memory", O_RDWR);
		char *there = mmap(NULL, 4096, PROT_READ, MAP_SHARED, own, 0);

		CHECK(own >= 0 && there != MAP_FAILED && !there[100]);
		_exit(0);
	}
	CHECK(wait(&status) > 0 && !status && !close(one) && !close(two));
}

int main(void)
{
	check_looks();
	check_paused();
	check_packets();
	check_waiting();
	check_memory();
	return 0;
}
