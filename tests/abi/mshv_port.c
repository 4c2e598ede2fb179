/* SPDX-License-Identifier: MIT */
/* See mshv_port.h: requests, hypercalls, partitions. */
#include "tests/abi/mshv_port.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/dev.h"

/* ---- requests ---- */

int mshv_main(int argc, char **argv, const struct CMUnitTest *tests, size_t n)
{
	char *soft[] = {argv[0], (char *)"soft", NULL};

	port_start(2, soft);
	return port_end(_cmocka_run_group_tests(argv[0], tests, n, NULL, NULL));
}

int mshv_open(void)
{
	int fd = dev_open(port.dev, "/dev/mshv", O_CLOEXEC);

	assert_true(fd >= 0);
	port_keep_handlers(false);
	return fd;
}

static _Thread_local char why_text[256];

const char *mshv_why(void)
{
	return why_text;
}

/* These need no more words. */
static bool speaks_for_itself(long error)
{
	static const int errors[] = {EFAULT, ENOMEM, EMFILE, ENFILE, EINTR, EAGAIN};

	for (unsigned i = 0; i < ARRAY_SIZE(errors); i++)
		if (error == -errors[i])
			return true;
	return false;
}

long mshv(int fd, unsigned long request, unsigned long arg)
{
	struct refusal why;
	long r = dev_ioctl_why(port.dev, fd, request, arg, NULL, &why);

	why_text[0] = 0;
	if ((request == MSHV_CREATE_PARTITION || request == MSHV_CREATE_VTL) && r >= 0)
		port_keep_handlers(true);
	if (r < 0 && why.why)
		refusal_text(&why, why_text, sizeof(why_text));
	if (r >= 0 ? !why.why : why.why || speaks_for_itself(r) || !dev_owns(port.dev, fd))
		return r;
	fprintf(stderr, "request 0x%lx: %ld, %s\n", request, r,
		why.why ? why.why : "without a reason");
	abort();
}

/* ---- hypercalls ---- */

struct hv_result hv_call(int fd, const struct hv_call *c)
{
	struct mshv_root_hvcall a = {.code = c->code,
		.reps = c->reps,
		.in_sz = (u16)c->in_size,
		.out_sz = (u16)c->out_size,
		.in_ptr = (unsigned long)c->in,
		.out_ptr = (unsigned long)c->out};
	long error = mshv_p(fd, MSHV_ROOT_HVCALL, &a);

	return (struct hv_result){error, a.status, a.reps};
}

/* As the kernel's driver has it. */
static long error_of(u16 status)
{
	switch (status) {
	case 0: return 0;
	case 2:
	case 3:
	case 5:
	case 0xd:
	case 0xe:
	case 0x11:
	case 0x12:
	case 0x41:
	case 0x50: return -EINVAL;
	case 0xb: return -ENOMEM;
	default: return -EIO;
	}
}

void assert_hv_at(struct hv_result r, u16 status, unsigned reps, const char *file, int line)
{
	_assert_int_equal(r.status, status, file, line);
	_assert_int_equal((u64)r.error, (u64)error_of(status), file, line);
	_assert_int_equal(r.reps, reps, file, line);
}

/* ---- a partition ---- */

void *pages_alloc(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	assert_true(p != MAP_FAILED);
	return p;
}

long map_memory(int partition, u64 gpa, u64 size, const void *hva, unsigned flags)
{
	struct mshv_user_mem_region r = {.size = size,
		.guest_pfn = gpa / HV_PAGE_SIZE,
		.userspace_addr = (unsigned long)hva,
		.flags = (u8)flags};

	return mshv_p(partition, MSHV_SET_GUEST_MEMORY, &r);
}

long unmap_memory(int partition, u64 gpa, u64 size, const void *hva)
{
	return map_memory(partition, gpa, size, hva, 1u << MSHV_SET_MEM_BIT_UNMAP);
}

void partition_open(struct partition *p, u64 pt_flags)
{
	struct mshv_create_partition a = {.pt_flags = pt_flags};

	p->sys = mshv_open();
	p->fd = (int)mshv_p(p->sys, MSHV_CREATE_PARTITION, &a);
	assert_true(p->fd >= 0);
	p->ram = NULL;
	for (unsigned i = 0; i < VPS; i++)
		p->vp[i] = -1;
}

static void *vp_page(int vp, unsigned which)
{
	void *p = mmap(NULL, HV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vp,
		(off_t)(which * HV_PAGE_SIZE));

	assert_true(p != MAP_FAILED);
	return p;
}

void partition_add_vp(struct partition *p, unsigned index)
{
	struct mshv_create_vp a = {.vp_index = index};

	p->vp[index] = (int)mshv_p(p->fd, MSHV_CREATE_VP, &a);
	assert_true(p->vp[index] >= 0);
	p->page[index] = vp_page(p->vp[index], MSHV_VP_MMAP_OFFSET_REGISTERS);
	p->message[index] = vp_page(p->vp[index], MSHV_VP_MMAP_OFFSET_INTERCEPT_MESSAGE);
}

void partition_start(struct partition *p, u64 pt_flags)
{
	partition_open(p, pt_flags);
	if (p->features)
		assert_hv(property_set(p->fd, HV_PROPERTY_SYNTHETIC_PROC_FEATURES, p->features), 0,
			0);
	assert_int_equal(mshv(p->fd, MSHV_INITIALIZE_PARTITION, 0), 0);
	p->ram = pages_alloc(RAM_SIZE);
	assert_int_equal(map_memory(p->fd, 0, RAM_SIZE, p->ram, MEM_W | MEM_X), 0);
	partition_add_vp(p, 0);
}

void partition_close(struct partition *p)
{
	for (unsigned i = 0; i < VPS; i++) {
		if (p->vp[i] < 0)
			continue;
		munmap(p->page[i], HV_PAGE_SIZE);
		munmap(p->message[i], HV_PAGE_SIZE);
		assert_int_equal(dev_close(port.dev, p->vp[i]), 0);
	}
	assert_int_equal(dev_close(port.dev, p->fd), 0);
	assert_int_equal(dev_close(port.dev, p->sys), 0);
	if (p->ram)
		munmap(p->ram, RAM_SIZE);
}

struct hv_result property_set(int fd, u32 code, u64 value)
{
	struct hv_set_property in = {.code = code, .value = value};

	return hv_call(fd,
		&(struct hv_call){
			.code = HVCALL_SET_PARTITION_PROPERTY, .in = &in, .in_size = sizeof(in)});
}

struct hv_result property_get(int fd, u32 code, u64 *ret)
{
	struct hv_get_property in = {.code = code};

	return hv_call(fd, &(struct hv_call){.code = HVCALL_GET_PARTITION_PROPERTY,
				   .in = &in,
				   .in_size = sizeof(in),
				   .out = ret,
				   .out_size = sizeof(*ret)});
}

u64 property(int fd, u32 code)
{
	u64 value = 0;

	assert_hv(property_get(fd, code, &value), 0, 0);
	return value;
}

/* ---- what is refused ---- */

static void begin(const struct refusal_check *c, struct attempt *a)
{
	*a = (struct attempt){.context = c->context};
	a->arg = (unsigned long)a->bytes;
	c->good(a);
}

/* The structure ends where memory ends. */
static long request(const struct refusal_check *c, struct attempt *a)
{
	u8 *page;
	long r;

	if (!a->cut)
		return mshv(a->fd, c->request, a->arg);
	page = pages_alloc(2 * HV_PAGE_SIZE);
	munmap(page + HV_PAGE_SIZE, HV_PAGE_SIZE);
	memcpy(page + HV_PAGE_SIZE - a->cut, a->bytes, a->cut);
	r = mshv(a->fd, c->request, (unsigned long)page + HV_PAGE_SIZE - a->cut);
	munmap(page, HV_PAGE_SIZE);
	return r;
}

static void refused(const struct refusal_check *c, struct attempt *a, const struct refusal_row *row,
	const struct refusal_row *other, char *ret_why, size_t n)
{
	long r = request(c, a);

	if (r != -row->error)
		fail_msg("request 0x%lx, %s%s%s: %ld, not %d", c->request, row->what,
			other ? ", and " : "", other ? other->what : "", r, -row->error);
	snprintf(ret_why, n, "%s", mshv_why());
}

/* Reasons begin with the field that is wrong; its value may be another one. */
static bool same_reason(const char *a, const char *b)
{
	return strcspn(a, " ,:") == strcspn(b, " ,:") && !strncmp(a, b, strcspn(a, " ,:"));
}

static void check_two(const struct refusal_check *c, unsigned i, unsigned j)
{
	const struct refusal_row *first = &c->rows[i], *second = &c->rows[j];
	char alone[256], both[256];
	struct attempt a;

	if (first->group && first->group == second->group)
		return;
	begin(c, &a);
	first->spoil(&a);
	refused(c, &a, first, NULL, alone, sizeof(alone));
	begin(c, &a);
	second->spoil(&a);
	first->spoil(&a);
	refused(c, &a, first, second, both, sizeof(both));
	if (!same_reason(alone, both))
		fail_msg("%s, and %s: the reason is \"%s\"", first->what, second->what, both);
}

void check_refusals(const struct refusal_check *c)
{
	struct attempt a;
	char why[256];
	long r;

	for (unsigned i = 0; i < c->count; i++) {
		begin(c, &a);
		c->rows[i].spoil(&a);
		refused(c, &a, &c->rows[i], NULL, why, sizeof(why));
		for (unsigned j = i + 1; j < c->count; j++)
			check_two(c, i, j);
	}
	begin(c, &a);
	r = mshv(a.fd, c->request, a.arg);
	if (r < 0)
		fail_msg("request 0x%lx: %ld, %s", c->request, r, mshv_why());
	if (c->undo)
		c->undo(&a, r);
}
