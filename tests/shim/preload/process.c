/* SPDX-License-Identifier: MIT */
/* Other processes: children, programs that are started, descriptors that are sent. */
#include "tests/shim/preload/client.h"

#include <libgen.h>
#include <poll.h>
#include <sched.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static void check_status(pid_t pid, int wanted)
{
	int status;

	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	if (status != wanted)
		printf("status 0x%x\n", status);
	CHECK(status == wanted);
}

static void check_runs(struct guest *g)
{
	GUEST_CODE(g, OUT_AL_42);
	CHECK(!ioctl(g->vcpu, KVM_RUN, 0) && g->run->exit_reason == KVM_EXIT_IO);
}

static void forked(void)
{
	struct guest g, own;
	pid_t pid;

	guest_open(&g, false);
	pid = fork();
	if (!pid) {
		CHECK_ERRNO(ioctl(g.vm, KVM_CHECK_EXTENSION, 0), EIO);
		CHECK_ERRNO(ioctl(g.vcpu, KVM_RUN, 0), EIO);
		check_ours(g.sys);
		guest_open(&own, true);
		check_runs(&own);
		guest_close(&own);
		close(g.vcpu);
		close(g.vm);
		_exit(0);
	}
	check_status(pid, 0);
	check_runs(&g);
	guest_close(&g);
}

/* The child works in our memory, on descriptors of its own. */
static void vforked(void)
{
	struct guest g;
	int null = open("/dev/null", O_RDWR);
	pid_t pid;

	guest_open(&g, false);
	pid = vfork();
	if (!pid) {
		close(g.vm);
		dup2(null, g.vcpu);
		close_range(3, ~0u, 0);
		execl("/bin/true", "true", NULL);
		_exit(1);
	}
	check_status(pid, 0);
	CHECK(ioctl(g.vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == 1);
	check_runs(&g);
	guest_close(&g);
}

/* What the started program does: descriptor 50 is a /dev/kvm that came with it. */
static void started(void)
{
	int vm;

	CHECK(ioctl(50, KVM_GET_API_VERSION, 0) == 12);
	vm = ioctl(50, KVM_CREATE_VM, 0);
	CHECK(vm >= 0 && ioctl(vm, KVM_CHECK_EXTENSION, KVM_CAP_USER_MEMORY) == 1);
	check_ours(open("/dev/kvm", O_RDWR));
}

static char *no_env[] = {"A=b", NULL};

/* By every function, with nothing of us in the environment. */
static void exec_clean(int how, const char *path, char **argv)
{
	char *dir = dirname(strdup(path));

	switch (how) {
	case 0: execve(path, argv, no_env); break;
	case 1: execle(path, argv[0], argv[1], argv[2], NULL, no_env); break;
	case 2: execvpe(path, argv, no_env); break;
	case 3: clearenv(), execv(path, argv); break;
	case 4: clearenv(), execl(path, argv[0], argv[1], argv[2], NULL); break;
	case 5: clearenv(), execvp(path, argv); break;
	case 6: clearenv(), execlp(path, argv[0], argv[1], argv[2], NULL); break;
	case 7: fexecve(open(path, O_RDONLY | O_CLOEXEC), argv, no_env); break;
	case 8: execveat(AT_FDCWD, path, argv, no_env, 0); break;
	case 9: syscall(SYS_execve, path, argv, no_env); break;
	case 10: syscall(SYS_execveat, AT_FDCWD, path, argv, no_env, 0); break;
	case 11:
		clearenv();
		setenv("PATH", dir, 1);
		execvp(path + strlen(dir) + 1, argv);
		break;
	}
	_exit(99);
}

static void check_started(const char *path, char **argv)
{
	pid_t pid;

	for (int how = 0; how <= 11; how++) {
		pid = fork();
		if (!pid)
			exec_clean(how, path, argv);
		check_status(pid, 0);
	}
	pid = vfork();
	if (!pid) {
		execve(path, argv, no_env);
		_exit(99);
	}
	check_status(pid, 0);
	CHECK(!posix_spawn(&pid, path, NULL, NULL, argv, no_env));
	check_status(pid, 0);
	CHECK(!posix_spawnp(&pid, path, NULL, NULL, argv, no_env));
	check_status(pid, 0);
	CHECK(!posix_spawn(&pid, path, NULL, NULL, argv, environ));
	check_status(pid, 0);
}

static void executed(void)
{
	char *argv[] = {(char *)client_path, "started", NULL};
	int fd = open("/dev/kvm", O_RDWR);

	CHECK(dup2(fd, 50) == 50);
	check_started(client_path, argv);
	CHECK_ERRNO(execve("/nosuch", argv, no_env), ENOENT);
}

/* A static program, which executes a dynamic one in its turn. */
static void executed_static(void)
{
	char *argv[] = {"name of its own", (char *)client_path, "started", NULL};
	int fd = open("/dev/kvm", O_RDWR);

	CHECK(dup2(fd, 50) == 50);
	check_started(static_path, argv);
}

/* To ask whether it could be executed does not execute it (AT_EXECVE_CHECK of Linux 6.14). */
static void executed_not(void)
{
	char *argv[] = {(char *)static_path, "/nosuch", NULL}; /* with which it fails */
	int fd = open(static_path, O_RDONLY);

	CHECK(!execveat(AT_FDCWD, static_path, argv, no_env, 0x10000) || errno == EINVAL);
	CHECK(!execveat(fd, "", argv, no_env, AT_EMPTY_PATH | 0x10000) || errno == EINVAL);
	CHECK(!syscall(SYS_execveat, AT_FDCWD, static_path, argv, no_env, 0x10000) ||
		errno == EINVAL);
}

/* A folder with all that leads to it. */
static void make_folders(char *path)
{
	for (char *at = path + 1; (at = strchr(at, '/')); *at++ = '/') {
		*at = 0;
		CHECK(!mkdir(path, 0755) || errno == EEXIST);
	}
}

/* In the jail, where our loader has its place, lies something else. */
static void furnish_jail(const char *jail)
{
	char library[2048], fake[4096];

	snprintf(library, sizeof(library), "%s", getenv("LD_PRELOAD"));
	*strchrnul(library, ':') = 0;
	CHECK(library[0] == '/');
	snprintf(fake, sizeof(fake), "%s%s/uservisor-loader", jail, dirname(library));
	make_folders(fake);
	CHECK(!close(open(fake, O_CREAT | O_WRONLY, 0755)));
}

static void run_in_jail(const char *jail, int at, const char *name)
{
	char *argv[] = {"static", NULL};

	if (chroot(jail) && (errno != EPERM || unshare(CLONE_NEWUSER) || chroot(jail))) {
		puts("no chroot() without privilege here");
		_exit(77);
	}
	execveat(at, name, argv, no_env, 0);
	perror("execveat");
	_exit(99);
}

/* What is found there by its path is whoever's made the jail: it must not be executed for us. */
static void executed_jailed(void)
{
	char jail[] = "/tmp/uservisor-jail-XXXXXX", command[64];
	const char *name = strrchr(static_path, '/') + 1;
	int at = open(strndup(static_path, (size_t)(name - static_path)), O_PATH), status;
	pid_t pid;

	CHECK(at >= 0 && mkdtemp(jail));
	furnish_jail(jail);
	pid = fork();
	if (!pid)
		run_in_jail(jail, at, name);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
	snprintf(command, sizeof(command), "rm -r %s", jail);
	CHECK(!system(command));
	if (WEXITSTATUS(status) == 77)
		_exit(77);
	CHECK(!status);
}

/* By the C library's own ways. */
static void shelled(void)
{
	const char *paths[] = {client_path, static_path};
	char command[4096];

	CHECK(dup2(open("/dev/kvm", O_RDWR), 50) == 50);
	clearenv();
	for (int i = 0; i < 2; i++) {
		snprintf(command, sizeof(command), i ? "%s %s started" : "%s started", paths[i],
			client_path);
		CHECK(!system(command));
		CHECK(!pclose(popen(command, "r")));
	}
	CHECK(system(NULL) == 1);
	CHECK(WEXITSTATUS(system("a='it'; test \"$a's $0\" = \"it's sh\" || exit 2; exit 3")) == 3);
}

static void send_fd(int socket, int fd)
{
	char data = 0, control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec iov = {&data, 1};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	CHECK(sendmsg(socket, &m, 0) == 1);
}

static int receive_fd(int socket)
{
	char data, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {&data, 1};
	struct msghdr m = {.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control,
		.msg_controllen = sizeof(control)};
	int fd;

	CHECK(recvmsg(socket, &m, 0) == 1 && CMSG_FIRSTHDR(&m));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof(fd));
	return fd;
}

/* Two numbers of a line of maps, if it is one of the engine's shared pieces of code. */
static bool is_code(const char *line, unsigned long *start, unsigned long *end)
{
	char perm[8];

	return sscanf(line, "%lx-%lx %7s", start, end, perm) == 3 && perm[3] == 's' &&
	       (strstr(line, "uservisor-code") || strstr(line, "/dev/zero"));
}

/* How many there are in this process. */
static unsigned count_code(void)
{
	unsigned long start, end;
	unsigned n = 0;
	char line[512];
	FILE *f = fopen("/proc/self/maps", "r");

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		n += is_code(line, &start, &end);
	fclose(f);
	return n;
}

/* What a parent executes is not in its children, by whatever call they are made: they could write it. */
static void forked_code(void)
{
	static const long calls[] = {SYS_fork, SYS_clone, SYS_clone3};
	struct guest g;

	guest_open(&g, false);
	check_runs(&g);
	CHECK(count_code() >= 2);
	for (unsigned i = 0; i < 3; i++) {
		unsigned long args[8] = {[4] = SIGCHLD};
		long pid = calls[i] == SYS_clone3 ? syscall(SYS_clone3, args, sizeof(args))
						  : syscall(calls[i], SIGCHLD, 0, 0, 0, 0);

		if (!pid)
			_exit(count_code() != 0);
		if (pid < 0 && errno == ENOSYS)
			continue;
		CHECK(pid > 0);
		check_status((pid_t)pid, 0);
	}
	check_runs(&g);
	guest_close(&g);
}

static bool is_taken(int irq)
{
	unsigned long one = 1;
	struct pollfd p = {irq, POLLIN, 0};

	CHECK(write(irq, &one, sizeof(one)) == sizeof(one));
	for (int i = 0; i < 200 && poll(&p, 1, 0); i++)
		usleep(10000);
	return !poll(&p, 1, 0);
}

/* By a system call that no hook sees: whether anything is watched no more. */
static bool unwatch_all(void)
{
	bool done = false;

	for (long epoll = 256; epoll < 600; epoll++)
		for (long fd = 3; fd < 600; fd++) {
			register long r10 __asm__("r10") = 0;
			long r;

			__asm__ volatile("syscall"
					 : "=a"(r)
					 : "0"(SYS_epoll_ctl), "D"(epoll), "S"(EPOLL_CTL_DEL),
					 "d"(fd), "r"(r10)
					 : "rcx", "r11", "memory");
			done = done || !r;
		}
	return done;
}

pid_t _Fork(void) __attribute__((weak)); /* glibc 2.34 */

/* What a machine wakes by is not in the hands of children. */
static void forked_descriptors(void)
{
	pid_t (*const ways[])(void) = {fork, _Fork};
	struct kvm_irqfd irqfd = {.fd = (unsigned)eventfd(0, EFD_CLOEXEC), .gsi = 4};
	struct guest g;

	guest_open(&g, true);
	CHECK(!ioctl(g.vm, KVM_IRQFD, &irqfd) && is_taken((int)irqfd.fd));
	for (unsigned i = 0; i < 2; i++) {
		pid_t pid = ways[i] ? ways[i]() : fork();

		if (!pid)
			_exit(unwatch_all());
		check_status(pid, 0);
		CHECK(is_taken((int)irqfd.fd));
	}
	guest_close(&g);
}

/* Within a process it is a duplicate, in another one the machine is not at home. */
static void sent(void)
{
	struct guest g;
	int pair[2], fd;
	pid_t pid;

	CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	pid = fork();
	if (!pid) {
		CHECK(ioctl(receive_fd(pair[1]), KVM_GET_API_VERSION, 0) == -1 && errno == ENOTTY);
		check_ours(receive_fd(pair[1]));
		CHECK_ERRNO(ioctl(receive_fd(pair[1]), KVM_CHECK_EXTENSION, 0), EIO);
		_exit(0);
	}
	guest_open(&g, false);
	send_fd(pair[0], pair[0]);
	send_fd(pair[0], g.sys);
	send_fd(pair[0], g.vm);
	check_status(pid, 0);
	send_fd(pair[0], g.vcpu);
	fd = receive_fd(pair[1]);
	CHECK(!close(g.vcpu));
	g.vcpu = fd;
	check_runs(&g);
	guest_close(&g);
}

/* The user's own libraries are still there, after ours. */
static void preload_kept(void)
{
	const char *list = getenv("LD_PRELOAD");

	CHECK(list && strstr(list, "libuservisor-preload.so:libm.so.6"));
	check_ours(open("/dev/kvm", O_RDWR));
}

/* Statistics that the parent gives out: a child reads them as everybody, and must not be able to write them. */
static void forked_statistics(void)
{
	struct guest g;
	char header[24];
	int fd, status;
	pid_t pid;

	guest_open(&g, false);
	fd = ioctl(g.vm, KVM_GET_STATS_FD, 0);
	CHECK(fd >= 0);
	pid = fork();
	if (!pid) {
		char line[512];
		FILE *f = fopen("/proc/self/maps", "r");

		CHECK(f);
		while (fgets(line, sizeof(line), f))
			CHECK(!strstr(line, "kvm-stats"));
		CHECK(pread(fd, header, sizeof(header), 0) == sizeof(header));
		CHECK(pwrite(fd, header, sizeof(header), 0) == -1);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && !status);
	CHECK(pread(fd, header, sizeof(header), 0) == sizeof(header));
	CHECK(!close(fd));
	guest_close(&g);
}

const struct client_case process_cases[] = {
	{"forked", forked},
	{"forked-statistics", forked_statistics},
	{"forked-code", forked_code},
	{"forked-descriptors", forked_descriptors},
	{"vforked", vforked},
	{"started", started},
	{"executed", executed},
	{"executed-static", executed_static},
	{"executed-not", executed_not},
	{"executed-jailed", executed_jailed},
	{"shelled", shelled},
	{"sent", sent},
	{"preload-kept", preload_kept},
	{NULL, NULL},
};
