/* SPDX-License-Identifier: MIT */
/*
 * Private memory: guest_memfd as a descriptor and as memory of a slot, memory attributes, KVM_EXIT_MEMORY_FAULT,
 * KVM_PRE_FAULT_MEMORY.
 */
#include "tests/abi/port.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/dev.h"

#define DATA_GPA   0x20000
#define DATA_BYTES 0x4000

/* Slot 1 at DATA_GPA is where the guest's ds begins; with private memory if it has a memfd. */
struct protected
{
	struct guest g;
	u8 *data;
	int memfd;
};

static bool unsupported(void)
{
	int sys = kvm_open();
	long types = kvm(sys, KVM_CHECK_EXTENSION, KVM_CAP_VM_TYPES);

	kvm_close(sys);
	if (types & BIT(KVM_X86_SW_PROTECTED_VM))
		return false;
	assert_true(port.real); /* ours has them */
	return true;
}

static int create_memfd(int vm, u64 size, u64 flags)
{
	struct kvm_create_guest_memfd c = {.size = size, .flags = flags};

	return (int)kvm_p(vm, KVM_CREATE_GUEST_MEMFD, &c);
}

static long bind(struct guest *g, u32 id, u64 gpa, u64 size, const u8 *hva, int memfd, u64 offset)
{
	struct kvm_userspace_memory_region2 r = {
		.slot = id,
		.flags = memfd < 0 ? 0 : KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (unsigned long)hva,
		.guest_memfd = (u32)memfd,
		.guest_memfd_offset = offset,
	};

	return kvm_p(g->vm, KVM_SET_USER_MEMORY_REGION2, &r);
}

static long delete (struct guest *g, u32 id)
{
	return bind(g, id, 0, 0, NULL, -1, 0);
}

static long set_private(struct guest *g, u64 gpa, u64 size, bool on)
{
	struct kvm_memory_attributes a = {
		.address = gpa, .size = size, .attributes = on ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0};

	return kvm_p(g->vm, KVM_SET_MEMORY_ATTRIBUTES, &a);
}

static void *map(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

static void protected_open(struct protected *p, bool memfd)
{
	struct guest *g = &p->g;

	g->sys = kvm_open();
	g->vm = (int)kvm(g->sys, KVM_CREATE_VM, KVM_X86_SW_PROTECTED_VM);
	assert_true(g->vm >= 0);
	g->ram = map(RAM_BYTES);
	p->data = map(DATA_BYTES);
	p->memfd = memfd ? create_memfd(g->vm, DATA_BYTES, 0) : -1;
	assert_true(!memfd || p->memfd >= 0);
	assert_int_equal(bind(g, 0, RAM_GPA, RAM_BYTES, g->ram, -1, 0), 0);
	assert_int_equal(bind(g, 1, DATA_GPA, DATA_BYTES, p->data, p->memfd, 0), 0);
	g->vcpu = (int)kvm(g->vm, KVM_CREATE_VCPU, 0);
	g->run = mmap(NULL, 3 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, g->vcpu, 0);
	assert_true(g->run != MAP_FAILED);
}

static void protected_close(struct protected *p)
{
	if (p->memfd >= 0)
		kvm_close(p->memfd);
	munmap(p->data, DATA_BYTES);
	guest_close(&p->g);
}

/* `mov (bx), al; inc (bx); hlt` from the start, with ds at DATA_GPA. Returns al, or -errno of KVM_RUN. */
static int bump(struct protected *p, u64 bx)
{
	struct kvm_sregs s;
	struct kvm_regs r;
	long ret;

	GUEST_CODE(&p->g, 0x8a, 0x07, 0xfe, 0x07, 0xf4);
	assert_int_equal(kvm_p(p->g.vcpu, KVM_GET_SREGS, &s), 0);
	s.ds.base = DATA_GPA;
	assert_int_equal(kvm_p(p->g.vcpu, KVM_SET_SREGS, &s), 0);
	assert_int_equal(kvm_p(p->g.vcpu, KVM_GET_REGS, &r), 0);
	r.rbx = bx;
	assert_int_equal(kvm_p(p->g.vcpu, KVM_SET_REGS, &r), 0);
	ret = kvm(p->g.vcpu, KVM_RUN, 0);
	if (ret)
		return (int)ret;
	assert_int_equal(p->g.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(kvm_p(p->g.vcpu, KVM_GET_REGS, &r), 0);
	return r.rax & 0xff;
}

static void is_fault(struct protected *p, int result, u64 flags, u64 gpa)
{
	const struct kvm_run_memory_fault *f = (void *)&p->g.run->hw;

	assert_int_equal(result, -EFAULT);
	assert_int_equal(p->g.run->exit_reason, KVM_EXIT_MEMORY_FAULT);
	assert_int_equal(f->flags, flags);
	assert_int_equal(f->gpa, gpa);
	assert_int_equal(f->size, PAGE_SIZE);
}

static int punch(int fd, u64 offset, u64 len)
{
	int mode = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;

	if (!port.real)
		return dev_fallocate(port.dev, fd, mode, (s64)offset, (s64)len);
	return fallocate(fd, mode, (off_t)offset, (off_t)len) ? -errno : 0;
}

static void test_types(void **state)
{
	int sys = kvm_open(), vm = (int)kvm(sys, KVM_CREATE_VM, KVM_X86_DEFAULT_VM), p;

	assert_int_equal(kvm(sys, KVM_CREATE_VM, 99), -EINVAL);
	if (unsupported())
		goto out;
	p = (int)kvm(sys, KVM_CREATE_VM, KVM_X86_SW_PROTECTED_VM);
	assert_true(p >= 0);
	assert_int_equal(kvm(sys, KVM_CHECK_EXTENSION, KVM_CAP_MEMORY_ATTRIBUTES), 8);
	assert_int_equal(kvm(p, KVM_CHECK_EXTENSION, KVM_CAP_MEMORY_ATTRIBUTES), 8);
	assert_int_equal(kvm(vm, KVM_CHECK_EXTENSION, KVM_CAP_MEMORY_ATTRIBUTES), 0);
	assert_int_equal(kvm(p, KVM_CHECK_EXTENSION, KVM_CAP_GUEST_MEMFD), 1);
	kvm_close(p);
out:
	kvm_close(vm);
	kvm_close(sys);
}

static void test_descriptor(void **state)
{
	struct protected p;
	struct stat st;
	char byte;
	int fd;

	if (unsupported())
		return;
	protected_open(&p, false);
	assert_int_equal(create_memfd(p.g.vm, 0, 0), -EINVAL);
	assert_int_equal(create_memfd(p.g.vm, PAGE_SIZE + 1, 0), -EINVAL);
	assert_int_equal(create_memfd(p.g.vm, PAGE_SIZE, 1ull << 63), -EINVAL);
	assert_int_equal(create_memfd(p.g.vm, 1ull << 63, 0), -EINVAL);
	fd = create_memfd(p.g.vm, 4 * PAGE_SIZE, 0);
	assert_true(fd >= 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size, 4 * PAGE_SIZE);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true(read(fd, &byte, 1) < 0 && pread(fd, &byte, 1, 0) < 0);
	assert_true(write(fd, "x", 1) < 0 && pwrite(fd, "x", 1, 0) < 0);
	assert_true(mmap(NULL, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED);
	assert_true(mmap(NULL, PAGE_SIZE, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED);
	assert_int_equal(kvm(fd, KVM_GET_API_VERSION, 0), -ENOTTY);
	if (!port.real)
		assert_int_equal(
			dev_mmap_check(port.dev, fd, PROT_READ, MAP_SHARED, 1, 0), -ENODEV);
	assert_int_equal(punch(fd, 1, PAGE_SIZE), -EINVAL);
	assert_int_equal(punch(fd, 0, PAGE_SIZE - 1), -EINVAL);
	assert_int_equal(punch(fd, PAGE_SIZE, PAGE_SIZE), 0);
	assert_int_equal(punch(fd, 8 * PAGE_SIZE, PAGE_SIZE), 0); /* beyond the end */
	if (!port.real) {
		assert_int_equal(dev_fallocate(port.dev, fd, 0, 0, PAGE_SIZE), -EOPNOTSUPP);
		assert_int_equal(
			dev_fallocate(port.dev, fd, FALLOC_FL_KEEP_SIZE, 0, 4 * PAGE_SIZE), 0);
		assert_int_equal(dev_fallocate(port.dev, fd, FALLOC_FL_KEEP_SIZE, 0, 5 * PAGE_SIZE),
			-EINVAL);
		assert_int_equal(dev_fallocate(port.dev, p.g.vm, 1, 0, PAGE_SIZE), -ENODEV);
		assert_int_equal(dev_fallocate(port.dev, 0, 1, 0, PAGE_SIZE), -EBADF);
	}
	kvm_close(fd);
	protected_close(&p);
}

static void test_bind_args(void **state)
{
	struct protected p, q;
	int fd, other, file = memfd_create("file", 0);

	if (unsupported())
		return;
	protected_open(&p, false);
	protected_open(&q, false);
	fd = create_memfd(p.g.vm, 4 * PAGE_SIZE, 0);
	other = create_memfd(q.g.vm, 4 * PAGE_SIZE, 0);
	assert_int_equal(bind(&p.g, 2, 0x100000, PAGE_SIZE, p.data, 1000000, 0), -EBADF);
	assert_int_equal(bind(&p.g, 2, 0x100000, PAGE_SIZE, p.data, file, 0), -EINVAL);
	assert_int_equal(bind(&p.g, 2, 0x100000, PAGE_SIZE, p.data, p.g.vm, 0), -EINVAL);
	assert_int_equal(bind(&p.g, 2, 0x100000, PAGE_SIZE, p.data, other, 0), -EINVAL);
	assert_int_equal(bind(&p.g, 2, 0x100000, PAGE_SIZE, p.data, fd, 1), -EINVAL);
	assert_int_equal(bind(&p.g, 2, 0x100000, PAGE_SIZE, p.data, fd, 4 * PAGE_SIZE), -EINVAL);
	assert_int_equal(bind(&p.g, 2, 0x100000, PAGE_SIZE, p.data, fd, -4096ull), -EINVAL);
	assert_int_equal(bind(&p.g, 2, 0x100000, 5 * PAGE_SIZE, p.data, fd, 0), -EINVAL);
	assert_int_equal(bind(&p.g, 2, 0x100000, 2 * PAGE_SIZE, p.data, fd, PAGE_SIZE), 0);
	/* Private memory has one place; a slot that has it cannot be changed. */
	assert_int_equal(bind(&p.g, 3, 0x200000, 2 * PAGE_SIZE, p.data, fd, 0), -EEXIST);
	assert_int_equal(bind(&p.g, 3, 0x200000, PAGE_SIZE, p.data, fd, 0), 0);
	assert_int_equal(bind(&p.g, 2, 0x300000, 2 * PAGE_SIZE, p.data, fd, PAGE_SIZE), -EINVAL);
	assert_int_equal(bind(&p.g, 2, 0x100000, 2 * PAGE_SIZE, p.data, fd, PAGE_SIZE), -EINVAL);
	assert_int_equal(delete (&p.g, 2), 0);
	assert_int_equal(bind(&p.g, 2, 0x300000, 3 * PAGE_SIZE, p.data, fd, PAGE_SIZE), 0);
	kvm_close(fd);
	kvm_close(other);
	close(file);
	protected_close(&q);
	protected_close(&p);
}

static void test_flags(void **state)
{
	struct kvm_userspace_memory_region2 r = {.slot = 2, .guest_phys_addr = 0x100000};
	struct protected p;
	int fd;

	if (unsupported())
		return;
	protected_open(&p, false);
	fd = create_memfd(p.g.vm, PAGE_SIZE, 0);
	r.memory_size = PAGE_SIZE;
	r.userspace_addr = (unsigned long)p.data;
	r.guest_memfd = (u32)fd;
	r.flags = KVM_MEM_GUEST_MEMFD;
	/* The old request knows nothing of it. */
	assert_int_equal(kvm_p(p.g.vm, KVM_SET_USER_MEMORY_REGION, &r), -EINVAL);
	r.flags = KVM_MEM_GUEST_MEMFD | KVM_MEM_LOG_DIRTY_PAGES;
	assert_int_equal(kvm_p(p.g.vm, KVM_SET_USER_MEMORY_REGION2, &r), -EINVAL);
	r.flags = KVM_MEM_GUEST_MEMFD | KVM_MEM_READONLY;
	assert_int_equal(kvm_p(p.g.vm, KVM_SET_USER_MEMORY_REGION2, &r), -EINVAL);
	r.flags = KVM_MEM_GUEST_MEMFD | 8;
	assert_int_equal(kvm_p(p.g.vm, KVM_SET_USER_MEMORY_REGION2, &r), -EINVAL);
	kvm_close(fd);
	protected_close(&p);
}

static void test_attribute_args(void **state)
{
	struct kvm_memory_attributes a = {.address = PAGE_SIZE, .size = PAGE_SIZE, .attributes = 8};
	struct protected p;
	struct guest g;

	if (unsupported())
		return;
	protected_open(&p, false);
	assert_int_equal(kvm_p(p.g.vm, KVM_SET_MEMORY_ATTRIBUTES, (void *)BAD_POINTER), -EFAULT);
	assert_int_equal(kvm_p(p.g.vm, KVM_SET_MEMORY_ATTRIBUTES, &a), 0);
	a.flags = 1;
	assert_int_equal(kvm_p(p.g.vm, KVM_SET_MEMORY_ATTRIBUTES, &a), -EINVAL);
	a.flags = 0;
	a.attributes = 8 | 1;
	assert_int_equal(kvm_p(p.g.vm, KVM_SET_MEMORY_ATTRIBUTES, &a), -EINVAL);
	assert_int_equal(set_private(&p.g, 0, 0, true), -EINVAL);
	assert_int_equal(set_private(&p.g, 1, PAGE_SIZE, true), -EINVAL);
	assert_int_equal(set_private(&p.g, 0, PAGE_SIZE - 1, true), -EINVAL);
	assert_int_equal(set_private(&p.g, -4096ull, 2 * PAGE_SIZE, true), -EINVAL);
	protected_close(&p);
	guest_open(&g); /* a plain vm has nothing to be private */
	assert_int_equal(set_private(&g, PAGE_SIZE, PAGE_SIZE, true), -EINVAL);
	guest_close(&g);
}

/* Two memories at one address; what is in one survives while the guest uses the other. */
static void test_two_sides(void **state)
{
	struct protected p;

	if (unsupported())
		return;
	protected_open(&p, true);
	p.data[0] = 10;
	assert_int_equal(bump(&p, 0), 10);
	assert_int_equal(set_private(&p.g, DATA_GPA, PAGE_SIZE, true), 0);
	assert_int_equal(bump(&p, 0), 0);
	assert_int_equal(bump(&p, 0), 1);
	assert_int_equal(p.data[0], 11);
	assert_int_equal(bump(&p, PAGE_SIZE), 0); /* the neighbour is shared */
	assert_int_equal(p.data[PAGE_SIZE], 1);
	assert_int_equal(set_private(&p.g, DATA_GPA, DATA_BYTES, false), 0);
	assert_int_equal(bump(&p, 0), 11);
	assert_int_equal(set_private(&p.g, DATA_GPA, DATA_BYTES, true), 0);
	assert_int_equal(bump(&p, 0), 2);
	assert_int_equal(punch(p.memfd, 0, PAGE_SIZE), 0);
	assert_int_equal(bump(&p, 0), 0);
	protected_close(&p);
}

/* Ranges that split, join and touch. */
static void test_ranges(void **state)
{
	struct protected p;

	if (unsupported())
		return;
	protected_open(&p, true);
	assert_int_equal(set_private(&p.g, DATA_GPA, DATA_BYTES, true), 0);
	assert_int_equal(set_private(&p.g, DATA_GPA + PAGE_SIZE, PAGE_SIZE, false), 0);
	memset(p.data, 100, DATA_BYTES);
	assert_int_equal(bump(&p, 0), 0);
	assert_int_equal(bump(&p, PAGE_SIZE), 100);
	assert_int_equal(bump(&p, 2 * PAGE_SIZE), 0);
	assert_int_equal(set_private(&p.g, DATA_GPA + PAGE_SIZE, PAGE_SIZE, true), 0);
	assert_int_equal(bump(&p, PAGE_SIZE), 0);
	assert_int_equal(bump(&p, 0), 1);
	assert_int_equal(set_private(&p.g, DATA_GPA, 3 * PAGE_SIZE, false), 0);
	assert_int_equal(bump(&p, 2 * PAGE_SIZE), 100);
	assert_int_equal(bump(&p, 3 * PAGE_SIZE), 0);
	protected_close(&p);
}

static void test_faults(void **state)
{
	struct protected p;

	if (unsupported())
		return;
	protected_open(&p, false);
	assert_int_equal(set_private(&p.g, DATA_GPA, DATA_BYTES, true), 0);
	is_fault(&p, bump(&p, PAGE_SIZE + 5), KVM_MEMORY_EXIT_FLAG_PRIVATE, DATA_GPA + PAGE_SIZE);
	assert_int_equal(delete (&p.g, 1), 0); /* no slot at all: not a device's register */
	is_fault(&p, bump(&p, 5), KVM_MEMORY_EXIT_FLAG_PRIVATE, DATA_GPA);
	assert_int_equal(set_private(&p.g, DATA_GPA, DATA_BYTES, false), 0);
	assert_int_equal(kvm(p.g.vcpu, KVM_RUN, 0), 0); /* the same instruction again */
	assert_int_equal(p.g.run->exit_reason, KVM_EXIT_MMIO);
	protected_close(&p);
}

/* The file goes while its slot stays; the vm goes while the file stays. */
static void test_close_orders(void **state)
{
	struct protected p;
	int fd;

	if (unsupported())
		return;
	protected_open(&p, true);
	assert_int_equal(set_private(&p.g, DATA_GPA, DATA_BYTES, true), 0);
	assert_int_equal(bump(&p, 0), 0);
	fd = dup(p.memfd);
	kvm_close(p.memfd);
	assert_int_equal(bump(&p, 0), 1); /* the duplicate keeps it */
	kvm_close(fd);
	is_fault(&p, bump(&p, 0), KVM_MEMORY_EXIT_FLAG_PRIVATE, DATA_GPA);
	assert_int_equal(set_private(&p.g, DATA_GPA, DATA_BYTES, false), 0);
	assert_int_equal(bump(&p, 0), 0);
	fd = create_memfd(p.g.vm, PAGE_SIZE, 0);
	p.memfd = -1;
	protected_close(&p);
	assert_int_equal(punch(fd, 0, PAGE_SIZE), 0);
	kvm_close(fd);
}

/* Code in private memory, and other code at the same address in shared memory. */
static void test_code(void **state)
{
	struct kvm_regs r;
	struct protected p;

	if (unsupported())
		return;
	protected_open(&p, true);
	/* hlt twice, at 0x2000:0; the private side begins with zeros, "add %al, (%bx,%si)" */
	memset(p.data, 0xf4, DATA_BYTES);
	GUEST_CODE(&p.g, 0xea, 0x00, 0x00, 0x00, 0x20); /* ljmp $0x2000, $0 */
	assert_int_equal(kvm(p.g.vcpu, KVM_RUN, 0), 0);
	assert_int_equal(p.g.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(set_private(&p.g, DATA_GPA, PAGE_SIZE, true), 0);
	assert_int_equal(kvm_p(p.g.vcpu, KVM_GET_REGS, &r), 0);
	assert_int_equal(r.rip, 1);
	r.rbx = 0x3000;
	r.rsi = 0;
	r.rip = 0xffe; /* the page's last instruction, then the shared next page */
	assert_int_equal(kvm_p(p.g.vcpu, KVM_SET_REGS, &r), 0);
	assert_int_equal(kvm(p.g.vcpu, KVM_RUN, 0), 0);
	assert_int_equal(p.g.run->exit_reason, KVM_EXIT_HLT);
	assert_int_equal(kvm_p(p.g.vcpu, KVM_GET_REGS, &r), 0);
	assert_int_equal(r.rip, 0x1001);
	protected_close(&p);
}

static long pre_fault(struct guest *g, struct kvm_pre_fault_memory *f, u64 gpa, u64 size)
{
	*f = (struct kvm_pre_fault_memory){.gpa = gpa, .size = size};
	return kvm_p(g->vcpu, KVM_PRE_FAULT_MEMORY, f);
}

static void test_pre_fault(void **state)
{
	struct kvm_pre_fault_memory f;
	struct guest g;

	guest_open(&g);
	if (kvm(g.sys, KVM_CHECK_EXTENSION, KVM_CAP_PRE_FAULT_MEMORY) != 1) {
		assert_true(port.real);
		guest_close(&g);
		return;
	}
	assert_int_equal(kvm_p(g.vcpu, KVM_PRE_FAULT_MEMORY, (void *)BAD_POINTER), -EFAULT);
	f = (struct kvm_pre_fault_memory){.gpa = RAM_GPA, .size = PAGE_SIZE, .flags = 1};
	assert_int_equal(kvm_p(g.vcpu, KVM_PRE_FAULT_MEMORY, &f), -EINVAL);
	assert_int_equal(pre_fault(&g, &f, RAM_GPA + 1, PAGE_SIZE), -EINVAL);
	assert_int_equal(pre_fault(&g, &f, RAM_GPA, PAGE_SIZE + 1), -EINVAL);
	assert_int_equal(pre_fault(&g, &f, RAM_GPA, 0), -EINVAL);
	assert_int_equal(pre_fault(&g, &f, -4096ull, PAGE_SIZE), -EINVAL);
	assert_int_equal(pre_fault(&g, &f, RAM_GPA, RAM_BYTES), 0);
	assert_int_equal(f.size, 0);
	assert_int_equal(f.gpa, RAM_GPA + RAM_BYTES);
	assert_int_equal(pre_fault(&g, &f, RAM_GPA + RAM_BYTES - PAGE_SIZE, 3 * PAGE_SIZE), 0);
	assert_int_equal(f.size, 2 * PAGE_SIZE);
	assert_int_equal(kvm_p(g.vcpu, KVM_PRE_FAULT_MEMORY, &f), -ENOENT);
	assert_int_equal(f.size, 2 * PAGE_SIZE);
	munmap(g.ram, PAGE_SIZE);
	assert_int_equal(pre_fault(&g, &f, RAM_GPA, PAGE_SIZE), -EFAULT);
	guest_close(&g);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_descriptor),
		cmocka_unit_test(test_bind_args),
		cmocka_unit_test(test_flags),
		cmocka_unit_test(test_attribute_args),
		cmocka_unit_test(test_two_sides),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_faults),
		cmocka_unit_test(test_close_orders),
		cmocka_unit_test(test_code),
		cmocka_unit_test(test_pre_fault),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
