/* SPDX-License-Identifier: MIT */
/*
 * lent call|device: the engine has traces of writes to guest RAM (userfaultfd) until the program makes a userfaultfd of its
 * own, which then has the guest's RAM for itself. Exit status 77: there are no traces on this host.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE  4096ul
#define BYTES (16 * PAGE)
#define CODE  0x1000u
#define LIMIT 30 /* seconds: it takes two, and more on a busy machine */

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO(0xaa, 0)
#endif

static unsigned char *ram;

static struct kvm_run *start(int *ret_vcpu)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm = ioctl(kvm, KVM_CREATE_VM, 0);
	struct kvm_userspace_memory_region region = {.memory_size = BYTES};
	struct kvm_regs regs = {.rip = CODE, .rflags = 2};
	struct kvm_sregs sregs;
	void *run;

	assert(vm >= 0);
	ram = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	region.userspace_addr = (unsigned long)ram;
	assert(!ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region));
	*ret_vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	run = mmap(NULL, (size_t)ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), PROT_READ | PROT_WRITE,
		MAP_SHARED, *ret_vcpu, 0);
	assert(*ret_vcpu >= 0 && run != MAP_FAILED);
	assert(!ioctl(*ret_vcpu, KVM_GET_SREGS, &sregs));
	sregs.cs.base = sregs.cs.selector = 0;
	assert(!ioctl(*ret_vcpu, KVM_SET_SREGS, &sregs) && !ioctl(*ret_vcpu, KVM_SET_REGS, &regs));
	return run;
}

/* mov $value, %al; out %al, $0x10; jmp back */
static void code(unsigned char *to, unsigned char value)
{
	memcpy(to, (unsigned char[]){0xb0, value, 0xe6, 0x10, 0xeb, 0xfa}, 6);
}

static void expect(int vcpu, const struct kvm_run *run, unsigned char value)
{
	assert(!ioctl(vcpu, KVM_RUN, 0) && run->exit_reason == KVM_EXIT_IO);
	assert(((const unsigned char *)run)[run->io.data_offset] == value);
}

/* Is guest RAM registered? "uw" among the flags of its mapping. */
static int is_traced(void)
{
	FILE *f = fopen("/proc/self/smaps", "r");
	unsigned long from, to;
	int inside = 0, found = 0;
	char line[512];

	assert(f);
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			inside = from <= (unsigned long)ram && (unsigned long)ram < to;
		found = inside && !strncmp(line, "VmFlags:", 8) && strstr(line, " uw");
	}
	fclose(f);
	return found;
}

/* Then there is nothing to wait for. */
static int is_without(void)
{
	const char *list = getenv("USERVISOR_WITHOUT");

	return list && strstr(list, "userfaultfd");
}

static int make(const char *how)
{
	int device, fd;

	if (!strcmp(how, "call"))
		return (int)syscall(SYS_userfaultfd, O_CLOEXEC | 1);
	device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
	fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC);
	close(device);
	return fd;
}

/* The program holds the page of code back, and gives another one. */
static void replace(int fd, unsigned char value)
{
	static unsigned char page[PAGE] __attribute__((aligned(4096)));
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register all = {
		.range = {(unsigned long)ram, BYTES}, .mode = UFFDIO_REGISTER_MODE_MISSING};
	struct uffdio_copy copy = {
		.dst = (unsigned long)ram + CODE, .src = (unsigned long)page, .len = PAGE};

	code(page, value);
	assert(!ioctl(fd, UFFDIO_API, &api));
	if (ioctl(fd, UFFDIO_REGISTER, &all))
		perror("register");
	assert(all.ioctls);
	assert(!madvise(ram + CODE, PAGE, MADV_DONTNEED) && !ioctl(fd, UFFDIO_COPY, &copy));
}

int main(int argc, char **argv)
{
	time_t end = time(NULL) + LIMIT;
	struct kvm_run *run;
	int vcpu, fd;

	assert(argc == 2);
	run = start(&vcpu);
	code(ram + CODE, 1);
	while (!is_without() && !is_traced() && time(NULL) < end)
		for (int i = 0; i < 1000; i++)
			expect(vcpu, run, 1);
	if (!is_traced()) {
		printf("the engine has no traces of writes on this host\n");
		return 77;
	}
	code(ram + CODE, 2);
	expect(vcpu, run, 2);
	fd = make(argv[1]);
	if (fd < 0) {
		printf("%s: %s\n", argv[1], strerror(errno));
		return 77;
	}
	assert(!is_traced());
	replace(fd, 3);
	expect(vcpu, run, 3);
	return 0;
}
