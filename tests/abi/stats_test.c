/* SPDX-License-Identifier: MIT */
/* KVM_GET_STATS_FD: a file that describes itself, counts while it is read, and outlives its vm. */
#include "tests/abi/port.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static void read_at(int fd, void *to, size_t n, u32 offset)
{
	assert_int_equal(pread(fd, to, n, offset), n);
}

static struct kvm_stats_header header_of(int fd)
{
	struct kvm_stats_header h;

	read_at(fd, &h, sizeof(h), 0);
	return h;
}

/* A row and its name behind it. */
struct row {
	struct kvm_stats_desc d;
	char name[256];
};

static struct row row_of(int fd, const struct kvm_stats_header *h, u32 i)
{
	struct row r = {.name = ""};
	u32 size = sizeof(r.d) + h->name_size;

	assert_in_range(h->name_size, 16, sizeof(r.name));
	read_at(fd, &r, size, h->desc_offset + i * size);
	return r;
}

/* One word of a statistic. */
static u64 stat_word(int fd, const char *name, u32 word)
{
	struct kvm_stats_header h = header_of(fd);
	u64 value = 0;
	u32 i;

	for (i = 0; i < h.num_desc; i++) {
		struct row r = row_of(fd, &h, i);

		if (strcmp(r.name, name))
			continue;
		assert_true(word < r.d.size);
		read_at(fd, &value, sizeof(value), h.data_offset + r.d.offset + word * 8);
		return value;
	}
	fail_msg("no statistic %s", name);
	return 0;
}

static u64 stat(int fd, const char *name)
{
	return stat_word(fd, name, 0);
}

static int stats_fd(int of)
{
	int fd = (int)kvm(of, KVM_GET_STATS_FD, 0);

	assert_true(fd >= 0);
	return fd;
}

static void check_row(const struct row *r)
{
	u32 unit = r->d.flags & KVM_STATS_UNIT_MASK;

	assert_in_range(r->d.flags & KVM_STATS_TYPE_MASK, 0, KVM_STATS_TYPE_MAX);
	assert_in_range(unit, 0, KVM_STATS_UNIT_MAX);
	assert_true(r->d.size > 0 && r->d.offset % 8 == 0);
	if ((r->d.flags & KVM_STATS_TYPE_MASK) == KVM_STATS_TYPE_LINEAR_HIST)
		assert_true(r->d.bucket_size > 0);
	assert_int_equal(r->d.exponent, unit == KVM_STATS_UNIT_SECONDS ? -9 : 0);
	assert_in_range(strlen(r->name), 1, 47);
}

/* Values follow the rows, do not overlap, and end where the file ends. */
static void check_layout(int fd, const char *id_prefix)
{
	struct kvm_stats_header h = header_of(fd);
	u64 words = 0, past = 0;
	char id[64], byte;
	u32 i;

	assert_int_equal(h.flags, 0);
	assert_int_equal(h.name_size, 48);
	assert_int_equal(h.id_offset, sizeof(h));
	assert_int_equal(h.desc_offset, sizeof(h) + h.name_size);
	read_at(fd, id, h.name_size, h.id_offset);
	assert_int_equal(strncmp(id, id_prefix, strlen(id_prefix)), 0);
	for (i = 0; i < h.num_desc; i++) {
		struct row r = row_of(fd, &h, i);

		check_row(&r);
		words += r.d.size;
		past = MAX(past, r.d.offset + r.d.size * sizeof(u64));
	}
	assert_int_equal(past, words * sizeof(u64));
	assert_int_equal(pread(fd, &byte, 1, h.data_offset + past - 1), 1);
	assert_int_equal(pread(fd, &byte, 1, h.data_offset + past), 0);
}

static void test_layout(void **state)
{
	struct guest g;
	char id[32];
	int fd;

	guest_open(&g);
	snprintf(id, sizeof(id), "kvm-%d", getpid());
	fd = stats_fd(g.vm);
	check_layout(fd, id);
	stat(fd, "remote_tlb_flush");
	close(fd);
	strcat(id, "/vcpu-0");
	fd = stats_fd(g.vcpu);
	check_layout(fd, id);
	close(fd);
	assert_int_equal(kvm(g.sys, KVM_GET_STATS_FD, 0), -EINVAL);
	guest_close(&g);
}

/* Only a file to read from: closed over exec, with a position of its own. */
static void test_file(void **state)
{
	struct guest g;
	u64 word = 0;
	int a, b;

	guest_open(&g);
	a = stats_fd(g.vcpu);
	b = stats_fd(g.vcpu);
	assert_int_equal(fcntl(a, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_int_equal(fcntl(a, F_GETFD), FD_CLOEXEC);
	assert_true(write(a, &word, sizeof(word)) < 0);
	assert_true(mmap(NULL, PAGE_SIZE, PROT_WRITE, MAP_SHARED, a, 0) == MAP_FAILED);
	assert_true(ftruncate(a, 0) < 0);
	if (!port.real) {
		char path[32];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", a);
		b = b < 0 ? b : (close(b), open(path, O_RDWR));
		if (b >= 0) /* sealed: nobody writes but the engine */
			assert_true(write(b, &word, sizeof(word)) < 0);
	}
	close(b);
	close(a);
	guest_close(&g);
}

static void test_counting(void **state)
{
	struct guest g;
	u64 exits, io;
	int fd;

	guest_open(&g);
	GUEST_CODE(&g, 0xe6, 0x10,            /* out %al, $0x10 */
		0xe4, 0x10,                   /* in $0x10, %al */
		0xc6, 0x06, 0x00, 0x00, 0x01, /* movb $1, 0: no RAM there */
		0xf4);                        /* hlt */
	run_to(&g, KVM_EXIT_IO);
	fd = stats_fd(g.vcpu); /* asked for late: what was counted is there */
	exits = stat(fd, "exits");
	io = stat(fd, "io_exits");
	assert_true(exits >= 1 && (port.real || io == 1));
	run_to(&g, KVM_EXIT_IO);
	assert_true(stat(fd, "exits") > exits);
	assert_true(port.real || stat(fd, "io_exits") == 2);
	run_to(&g, KVM_EXIT_MMIO);
	assert_true(port.real || stat(fd, "mmio_exits") == 1);
	run_to(&g, KVM_EXIT_HLT);
	assert_int_equal(stat(fd, "halt_exits"), 1);
	assert_true(port.real || stat(fd, "user_exits") == 4);
	close(fd);
	guest_close(&g);
}

/* Instructions that translated code leaves to step(), by kind and by the reason why. */
static void test_stepped(void **state)
{
	struct guest g;
	u64 stepped;
	int fd;

	if (port.real)
		skip();
	guest_open(&g);
	GUEST_CODE(&g, 0xb9, 0x05, 0x00, /* mov $5, %cx */
		0x27,                    /* daa: not translated */
		0x00, 0x26, 0x00, 0x80,  /* add %ah, 0x8000: nor is this */
		0x89, 0x06, 0xff, 0x9f,  /* mov %ax, 0x9fff: crosses a page */
		0xe2, 0xf5,              /* loop to daa */
		0xf4);                   /* hlt */
	run_to(&g, KVM_EXIT_HLT);
	fd = stats_fd(g.vcpu);
	stepped = stat(fd, "insns_stepped");
	assert_int_equal(stat(fd, "insns_untranslated_bcd"), 5);
	assert_int_equal(stat(fd, "insns_missed_bcd"), 0);
	assert_int_equal(stat(fd, "insns_untranslated_native"), 5);
	assert_int_equal(stat_word(fd, "insns_untranslated_native_opcodes", 0x00), 5);
	assert_int_equal(stat(fd, "insns_missed_native"), 5);
	assert_int_equal(stat_word(fd, "insns_missed_native_opcodes", 0x89), 5);
	assert_in_range(stepped, 15, 24);
	close(fd);
	guest_close(&g);
}

static void test_outlives(void **state)
{
	struct guest g;
	u64 exits;
	int fd, vm_fd, copy;

	guest_open(&g);
	GUEST_CODE(&g, 0xf4);
	run_to(&g, KVM_EXIT_HLT);
	fd = stats_fd(g.vcpu);
	vm_fd = stats_fd(g.vm);
	exits = stat(fd, "exits");
	copy = dup(fd);
	close(fd);
	guest_close(&g);
	assert_int_equal(stat(copy, "exits"), exits);
	stat(vm_fd, "remote_tlb_flush");
	close(copy);
	close(vm_fd);
	assert_true(fcntl(copy, F_GETFD) < 0);
}

int main(int argc, char **argv)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout),
		cmocka_unit_test(test_file),
		cmocka_unit_test(test_counting),
		cmocka_unit_test(test_stepped),
		cmocka_unit_test(test_outlives),
	};

	port_start(argc, argv);
	return port_end(cmocka_run_group_tests(tests, NULL, NULL));
}
