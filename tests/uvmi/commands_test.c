/* SPDX-License-Identifier: MIT */
/* Each command against the mock: what it does there, what comes back, and how it is refused. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rig.h"

static void version_and_permissions(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 2});
	struct uvmi_version v = {.version = 0};

	assert_int_equal(uvmi_get_version(r->s, &v), 0);
	assert_int_equal(v.version, 1);
	assert_int_equal(v.commands, V5 ? KVMI_KNOWN_COMMANDS : 0);
	assert_int_equal(v.spp + v.ve, V5 ? 0 : 2);
	assert_int_equal(uvmi_check_command(r->s, UVMI_READ_PHYSICAL), 0);
	assert_int_equal(uvmi_check_command(r->s, UVMI_GET_MTRR_TYPE), V5 ? -ENOSYS : -EPERM);
	assert_int_equal(uvmi_check_command(r->s, UVMI_PAUSE_ALL_VCPUS), V5 ? 0 : -ENOSYS);
	assert_int_equal(uvmi_check_command(r->s, UVMI_COMMANDS), -ENOSYS);
	assert_int_equal(uvmi_check_event(r->s, UVMI_EVENT_PF), 0);
	assert_int_equal(uvmi_check_event(r->s, UVMI_EVENT_SINGLESTEP), V5 ? -ENOSYS : 0);
	rig_end(r);
}

static void permissions_are_few(void **state)
{
	const struct mock_config c = {.commands = BIT(KVMI_GET_VERSION) | BIT(KVMI_CONTROL_EVENTS),
		.events = BIT(UVMI_EVENT_CR)};
	struct rig *r = rig_open(DIALECT, c);
	u8 byte;

	if (V5) {
		assert_int_equal(uvmi_check_command(r->s, UVMI_READ_PHYSICAL), -EPERM);
		assert_int_equal(uvmi_read_physical(r->s, 0, &byte, 1), -EACCES);
	}
	assert_int_equal(uvmi_check_event(r->s, UVMI_EVENT_PF), -EPERM);
	assert_int_equal(uvmi_control_events(r->s, 0, UVMI_EVENT_PF, 1), -EPERM);
	/* The one before has not been remembered as on. */
	assert_int_equal(uvmi_control_events(r->s, 0, UVMI_EVENT_CR, 1), 0);
	rig_close(r);
	rig_free(r);
}

static void version_without_features(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.short_version = true});
	struct uvmi_version v = {.ve = 7};

	assert_int_equal(uvmi_get_version(r->s, &v), 0);
	assert_int_equal(v.version, 1);
	assert_int_equal(v.ve, 0);
	rig_end(r);
}

static void guest(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 3});
	uint32_t vcpus = 0;
	uint64_t hz = 0, gfn = 0, first = 9, pages = 0, token[4] = {0};

	assert_int_equal(uvmi_get_guest_info(r->s, &vcpus), 0);
	assert_int_equal(vcpus, 3);
	assert_int_equal(uvmi_get_vcpu_info(r->s, 2, &hz), 0);
	assert_int_equal(hz, MOCK_TSC_HZ);
	assert_int_equal(uvmi_get_vcpu_info(r->s, 3, &hz), -EINVAL);
	assert_int_equal(uvmi_get_vcpu_info(r->s, 1 << 16, &hz), -EINVAL);
	assert_int_equal(uvmi_get_max_gfn(r->s, &gfn), V5 ? -ENOSYS : 0);
	assert_int_equal(gfn, V5 ? 0 : MOCK_HIGH_END / PAGE_SIZE - 1);
	assert_int_equal(uvmi_query_physical(r->s, 0x101, &first, &pages), V5 ? -ENOSYS : 0);
	assert_int_equal(first, V5 ? 9 : 0x100);
	assert_int_equal(pages, V5 ? 0 : 0x40);
	assert_int_equal(uvmi_query_physical(r->s, 0xa0, &first, &pages), V5 ? -ENOSYS : -ENOENT);
	assert_int_equal(uvmi_get_next_available_gfn(r->s, &gfn), V5 ? -ENOSYS : 0);
	assert_int_equal(uvmi_get_map_token(r->s, token), 0);
	assert_int_equal(token[3], 4);
	rig_end(r);
}

static void registers(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 2, .idle = 1});
	struct kvm_msr_entry msrs[3] = {{.index = 0xc0000082}, {.index = 0x10}, {.index = 0x11}},
			     many[481];
	struct uvmi_registers regs;

	assert_int_equal(uvmi_get_registers(r->s, 1, &regs, msrs, 3), 0);
	assert_int_equal(regs.mode, 8);
	assert_int_equal(regs.regs.rax, 0x1001);
	assert_int_equal(regs.sregs.cr3, MOCK_CR3);
	assert_int_equal(msrs[0].data, MOCK_GVA + 0x6000);
	assert_int_equal(msrs[2].data, 0x22);
	assert_int_equal(uvmi_get_registers(r->s, 0, &regs, NULL, 0), 0);
	assert_int_equal(regs.regs.rax, 0x1000);
	msrs[1].index = 0xdead;
	assert_int_equal(uvmi_get_registers(r->s, 0, &regs, msrs, 3), -EINVAL);
	for (unsigned i = 0; i < ARRAY_SIZE(many); i++)
		many[i].index = i;
	assert_int_equal(uvmi_get_registers(r->s, 0, &regs, many, 480), 0);
	assert_int_equal(many[479].data, 958);
	assert_int_equal(uvmi_get_registers(r->s, 0, &regs, many, 481), 0);
	assert_int_equal(uvmi_get_registers(r->s, 0, &regs, many, 482), -EINVAL);
	assert_int_equal(uvmi_set_registers(r->s, 0, &regs.regs), V5 ? 0 : -EOPNOTSUPP);
	rig_end(r);
}

static void not_started(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.vcpus = 2, .started = 1});
	struct uvmi_registers regs;

	assert_int_equal(uvmi_get_registers(r->s, 1, &regs, NULL, 0), -EAGAIN);
	assert_int_equal(uvmi_pause(r->s), 0);
	assert_int_equal(uvmi_resume(r->s), 0);
	rig_end(r);
}

static void processor(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.idle = 1});
	struct uvmi_cpuid c = {.eax = 0};
	u8 area[5000] = {0};
	size_t size = 0;
	uint64_t xcr = 0;
	uint8_t type = 0;

	assert_int_equal(uvmi_get_cpuid(r->s, 0, 7, 1, &c), 0);
	assert_int_equal(c.eax, 7);
	assert_int_equal(c.ebx, 1);
	assert_int_equal(uvmi_get_cpuid(r->s, 0, 0x21, 0, &c), -ENOENT);
	assert_int_equal(uvmi_get_xsave(r->s, 0, area, sizeof(area), &size), 0);
	assert_int_equal(size, 4096);
	assert_int_equal(area[4095], 0x5a);
	assert_int_equal(area[4096], 0);
	memset(area, 0, sizeof(area));
	assert_int_equal(uvmi_get_xsave(r->s, 0, area, 10, &size), 0);
	assert_int_equal(size, 4096);
	assert_int_equal(area[10], 0);
	assert_int_equal(uvmi_set_xsave(r->s, 0, area, 4096), V5 ? -ENOSYS : 0);
	assert_int_equal(uvmi_set_xsave(r->s, 0, area, 100), V5 ? -ENOSYS : -EINVAL);
	assert_int_equal(uvmi_get_xcr(r->s, 0, 0, &xcr), V5 ? -ENOSYS : 0);
	assert_int_equal(xcr, V5 ? 0 : 7);
	assert_int_equal(uvmi_get_xcr(r->s, 0, 1, &xcr), V5 ? -ENOSYS : -EINVAL);
	assert_int_equal(uvmi_get_mtrr_type(r->s, 0, 0, &type), V5 ? -ENOSYS : 0);
	assert_int_equal(type, V5 ? 0 : 6);
	assert_int_equal(uvmi_inject_exception(r->s, 0, 14, 1, 4, 0x1234), 0);
	rig_end(r);
}

static void memory(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.idle = 1});
	static u8 out[70 * 4096], in[sizeof(out)], present[80];

	for (size_t i = 0; i < sizeof(out); i++)
		out[i] = (u8)(i * 7 + i / 4096);
	assert_int_equal(uvmi_write(r->s, 0x20123, out, sizeof(out)), 0);
	assert_memory_equal(r->mock.ram + 0x20123, out, sizeof(out));
	assert_int_equal(uvmi_read(r->s, 0x20123, in, sizeof(in)), 0);
	assert_memory_equal(in, out, sizeof(in));
	assert_int_equal(uvmi_read(r->s, 0, in, 0), 0);
	assert_int_equal(uvmi_read(r->s, ~0ull, in, 2), -EINVAL);
	assert_int_equal(uvmi_read(r->s, MOCK_LOW_END - 10, in, 11), V5 ? -EINVAL : -ENOENT);
	assert_int_equal(uvmi_write(r->s, MOCK_LOW_END, in, 1), V5 ? -EINVAL : -ENOENT);
	assert_int_equal(uvmi_read_physical(r->s, 0x1000, in, 4096), 0);
	assert_int_equal(uvmi_read_physical(r->s, 0x1001, in, 4096), -EINVAL);
	assert_int_equal(uvmi_read_physical(r->s, 0x1000, in, 0), -EINVAL);
	assert_int_equal(uvmi_write_physical(r->s, 0x1fff, in, 2), -EINVAL);

	memset(r->mock.ram + MOCK_LOW_END - 0x1000, 0x11, 0x1000);
	memset(r->mock.ram + MOCK_HIGH, 0x22, 0x1000);
	memset(in, 0x33, sizeof(in));
	assert_int_equal(uvmi_read_present(r->s, MOCK_LOW_END - 0x1000, in, 0x2000, present), 0);
	assert_int_equal(present[0], 1);
	assert_int_equal(present[1], 0);
	assert_int_equal(in[0xfff], 0x11);
	assert_int_equal(in[0x1000], 0);
	assert_int_equal(
		uvmi_read_present(r->s, MOCK_HIGH - 20 * 0x1000 - 1, in, 21 * 0x1000, present), 0);
	assert_int_equal(present[20], 0);
	assert_int_equal(present[21], 1);
	assert_int_equal(in[20 * 0x1000], 0);
	assert_int_equal(in[20 * 0x1000 + 1], 0x22);
	rig_end(r);
}

static unsigned count_descriptors(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 200; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void mapped_ram(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.idle = 1});
	const unsigned held = count_descriptors();
	struct uvmi_ram *ram = NULL;
	u8 byte;

	assert_int_equal(uvmi_map_ram(r->s, &ram), V5 ? -ENOSYS : 0);
	assert_int_equal(uvmi_read(r->s, 0, &byte, 1), 0); /* the mock has closed its own by now */
	if (!V5) {
		assert_int_equal(ram->n, 3);
		assert_int_equal(ram->regions[0].size, MOCK_LOW_END);
		assert_memory_equal(
			ram->regions[0].at + MOCK_CODE, MOCK_PROGRAM, sizeof(MOCK_PROGRAM) - 1);
		assert_int_equal(uvmi_write(r->s, MOCK_HIGH + 5, "x", 1), 0);
		assert_int_equal(ram->regions[1].gpa, MOCK_HIGH);
		assert_int_equal(ram->regions[1].at[5], 'x');
		assert_null(ram->regions[2].at);
	}
	uvmi_unmap_ram(ram);
	assert_int_equal(count_descriptors(), held);
	rig_end(r);
}

static void ram_read_from_files(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.idle = 1});
	struct uvmi_ram *ram = NULL;
	u8 bytes[2 * PAGE_SIZE] = {0};

	if (!V5) {
		assert_int_equal(uvmi_map_ram(r->s, &ram), 0);
		assert_int_equal(uvmi_read_ram(ram, MOCK_CODE, bytes, sizeof(bytes)), 0);
		assert_memory_equal(bytes, MOCK_PROGRAM, sizeof(MOCK_PROGRAM) - 1);
		assert_int_equal(uvmi_write(r->s, MOCK_HIGH + PAGE_SIZE - 1, "xy", 2), 0);
		assert_int_equal(uvmi_read_ram(ram, MOCK_HIGH + PAGE_SIZE - 2, bytes, 3), 0);
		assert_memory_equal(bytes, "\0xy", 3);
		assert_int_equal(uvmi_read_ram(ram, MOCK_LOW_END - 1, bytes, 1), 0);
		assert_int_equal(uvmi_read_ram(ram, MOCK_LOW_END - 1, bytes, 2), -ENOENT);
		assert_int_equal(uvmi_read_ram(ram, MOCK_HIGH + 0x20000, bytes, 1), -ENOENT);
		assert_int_equal(uvmi_read_ram(ram, ~0ull, bytes, 1), -ENOENT);
		/* The VM cuts its file short. */
		assert_int_equal(ftruncate(r->mock.ram_fd, MOCK_CODE + PAGE_SIZE), 0);
		assert_int_equal(uvmi_read_ram(ram, MOCK_CODE, bytes, PAGE_SIZE), 0);
		assert_int_equal(uvmi_read_ram(ram, MOCK_CODE, bytes, sizeof(bytes)), -EIO);
		assert_int_equal(ftruncate(r->mock.ram_fd, MOCK_HIGH_END), 0);
		uvmi_unmap_ram(ram);
	}
	rig_end(r);
}

static void ram_that_is_not(void **state)
{
	for (unsigned lie = 1; lie <= 7; lie++) {
		struct rig *r = rig_open(DIALECT, (struct mock_config){.idle = 1, .ram = lie});
		const unsigned held = count_descriptors();
		struct uvmi_ram *ram = NULL;
		u8 byte;

		assert_int_equal(uvmi_map_ram(r->s, &ram), lie == 1 ? -EOPNOTSUPP : -EPROTO);
		assert_null(ram);
		assert_int_equal(uvmi_read(r->s, 0, &byte, 1), lie == 1 ? 0 : -EPROTO);
		rig_close(r); /* the mock has closed its own by now */
		assert_int_equal(count_descriptors(), held - 3);
		rig_free(r);
	}
}

static void check_translation(void **state, bool no_translate)
{
	struct rig *r =
		rig_open(DIALECT, (struct mock_config){.no_translate = no_translate, .idle = 1});
	struct uvmi_registers regs;
	uint64_t gpa = 1;
	u8 bytes[8] = {0};

	assert_int_equal(uvmi_translate_gva(r->s, 0, MOCK_GVA + 0x3123, &gpa), 0);
	assert_int_equal(gpa, 0x3123);
	assert_int_equal(uvmi_translate_gva(r->s, 0, MOCK_GVA + MOCK_LOW_END, &gpa), -EFAULT);
	assert_int_equal(uvmi_translate_gva(r->s, 0, 0x1000, &gpa), -EFAULT);
	assert_int_equal(gpa, 0x3123);
	assert_int_equal(uvmi_get_registers(r->s, 0, &regs, NULL, 0), 0);
	assert_int_equal(
		uvmi_walk(r->s, &regs.sregs, MOCK_GVA + 0x203123, &gpa), 0); /* the large page */
	assert_int_equal(gpa, 0x3123);
	assert_int_equal(uvmi_walk(r->s, &regs.sregs, 0x0000900000000000, &gpa),
		-EFAULT); /* not canonical */
	memcpy(r->mock.ram + 0x4ffc, "abcdefgh", 8);
	assert_int_equal(uvmi_read_gva(r->s, 0, MOCK_GVA + 0x4ffc, bytes, 8), 0);
	assert_memory_equal(bytes, "abcdefgh", 8);
	assert_int_equal(uvmi_write_gva(r->s, 0, MOCK_GVA + 0x4ffe, "XY", 2), 0);
	assert_memory_equal(r->mock.ram + 0x4ffe, "XY", 2);
	assert_int_equal(uvmi_read_gva(r->s, 0, MOCK_GVA + MOCK_LOW_END - 1, bytes, 2), -EFAULT);
	rig_end(r);
}

static void translation(void **state)
{
	check_translation(state, false);
}

static void translation_by_walk(void **state)
{
	check_translation(state, true);
}

/* Page tables of the other modes, put into the guest's memory. */
static void walks(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.idle = 1});
	u32 *two = (u32 *)(void *)(r->mock.ram + 0x30000);
	u64 *pae = (u64 *)(void *)(r->mock.ram + 0x40020),
	    *five = (u64 *)(void *)(r->mock.ram + 0x50000);
	struct kvm_sregs s = {.cr0 = 1};
	uint64_t gpa = 0;

	assert_int_equal(uvmi_walk(r->s, &s, 0x12345, &gpa), 0); /* no paging */
	assert_int_equal(gpa, 0x12345);

	s = (struct kvm_sregs){.cr0 = 1u << 31, .cr3 = 0x30000};
	two[1] = 0x31003;
	((u32 *)(void *)(r->mock.ram + 0x31000))[2] = 0x7003;
	two[2] = 0x00c02083; /* 4 MiB; bit 13 is bit 32 of the address */
	assert_int_equal(uvmi_walk(r->s, &s, 0x402123, &gpa), 0);
	assert_int_equal(gpa, 0x7123);
	assert_int_equal(uvmi_walk(r->s, &s, 0x400123, &gpa), -EFAULT);
	assert_int_equal(uvmi_walk(r->s, &s, 0x100402123, &gpa), -EFAULT);
	s.cr4 = 0x10;
	assert_int_equal(uvmi_walk(r->s, &s, 0x812345, &gpa), 0);
	assert_int_equal(gpa, 0x100c12345);

	s = (struct kvm_sregs){.cr0 = 1u << 31, .cr4 = 0x20, .cr3 = 0x40020};
	pae[3] = 0x42001;
	((u64 *)(void *)(r->mock.ram + 0x42000))[1] = 0x600083; /* 2 MiB */
	((u64 *)(void *)(r->mock.ram + 0x42000))[2] = 0x43003;
	((u64 *)(void *)(r->mock.ram + 0x43000))[5] =
		0x8000000000009003; /* execute-disable is no address */
	assert_int_equal(uvmi_walk(r->s, &s, 0xc0212345, &gpa), 0);
	assert_int_equal(gpa, 0x612345);
	assert_int_equal(uvmi_walk(r->s, &s, 0xc0405678, &gpa), 0);
	assert_int_equal(gpa, 0x9678);

	s = (struct kvm_sregs){.cr0 = 1u << 31, .cr4 = 0x1020, .efer = 0x400, .cr3 = 0x50000};
	five[1] = 0x51003;
	((u64 *)(void *)(r->mock.ram + 0x51000))[0] = 0x52003;
	((u64 *)(void *)(r->mock.ram + 0x52000))[1] = 0x40000083; /* 1 GiB */
	assert_int_equal(uvmi_walk(r->s, &s, 0x0001000040123456, &gpa), 0);
	assert_int_equal(gpa, 0x40123456);
	five[1] = MOCK_LOW_END | 3; /* a table where no RAM is */
	assert_int_equal(uvmi_walk(r->s, &s, 0x0001000040123456, &gpa), -EFAULT);
	rig_end(r);
}

static void access_of_pages(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.idle = 1});
	struct uvmi_page_access pages[150];

	for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
		pages[i] =
			(struct uvmi_page_access){.gpa = i * PAGE_SIZE + 5, .access = (u8)(i % 8)};
	assert_int_equal(uvmi_set_page_access(r->s, 0, pages, ARRAY_SIZE(pages)), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(pages); i++) {
		assert_int_equal(r->mock.rights[i], i % 8);
		pages[i].access = 99;
	}
	assert_int_equal(uvmi_get_page_access(r->s, 0, pages, ARRAY_SIZE(pages)), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(pages); i++)
		assert_int_equal(pages[i].access, i % 8);
	pages[0].access = 0x10;
	assert_int_equal(uvmi_set_page_access(r->s, 0, pages, 1), -EINVAL);
	assert_int_equal(uvmi_set_page_access(r->s, 3, pages, 1), -EINVAL);
	assert_int_equal(uvmi_get_page_access(r->s, 3, pages, 1), -EINVAL);
	rig_end(r);
}

/* More than fit into one command, and into as many as are on their way at once. */
static void long_lists(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.idle = 1});
	struct uvmi_page_access *pages = calloc(9000, sizeof(*pages));

	for (unsigned i = 0; i < 9000; i++)
		pages[i] = (struct uvmi_page_access){
			.gpa = (i % 320) * PAGE_SIZE, .access = i < 8960 ? 0 : 5};
	assert_int_equal(uvmi_set_page_access(r->s, 0, pages, 9000), 0);
	assert_int_equal(r->mock.rights[39], 5);
	assert_int_equal(r->mock.rights[40], 0);
	assert_int_equal(uvmi_get_page_access(r->s, 0, pages, 1000), 0);
	assert_int_equal(pages[999].access, 5);
	assert_int_equal(pages[100].access, 0);
	pages[3000].access = 0xff;
	assert_int_equal(uvmi_set_page_access(r->s, 0, pages, 9000), -EINVAL);
	free(pages);
	rig_end(r);
}

static void what_is_not_there(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.idle = 1});
	const int want = V5 ? -ENOSYS : -EOPNOTSUPP;
	struct uvmi_write_bitmap map = {.gpa = 0};
	uint16_t view = 9;

	assert_int_equal(uvmi_get_ept_view(r->s, 0, &view), V5 ? -ENOSYS : 0);
	assert_int_equal(view, V5 ? 9 : 0);
	assert_int_equal(uvmi_switch_ept_view(r->s, 0, 1), want);
	assert_int_equal(uvmi_control_ept_view(r->s, 0, 1, 1), want);
	assert_int_equal(uvmi_disable_ve(r->s, 0), want);
	assert_int_equal(uvmi_create_ept_view(r->s, &view), -ENOSYS);
	assert_int_equal(uvmi_destroy_ept_view(r->s, 1), -ENOSYS);
	assert_int_equal(uvmi_change_gfn(r->s, 0, 0, 1, 2), -ENOSYS);
	assert_int_equal(uvmi_alloc_gfn(r->s, 1), -ENOSYS);
	assert_int_equal(uvmi_free_gfn(r->s, 1), -ENOSYS);
	assert_int_equal(uvmi_set_page_sve(r->s, 0, 0, 1), -ENOSYS);
	assert_int_equal(uvmi_set_ve_info_page(r->s, 0, 0, 1), -ENOSYS);
	assert_int_equal(uvmi_control_spp(r->s, 1), -ENOSYS);
	assert_int_equal(uvmi_set_page_write_bitmap(r->s, 0, &map, 1), -ENOSYS);
	assert_int_equal(uvmi_get_page_write_bitmap(r->s, 0, &map, 1), -ENOSYS);
	assert_int_equal(uvmi_pause_others(r->s, 0), V5 ? -ENOSYS : 0);
	rig_end(r);
}

static void wrong_arguments(void **state)
{
	struct rig *r = rig_open(DIALECT, (struct mock_config){.idle = 1});

	assert_int_equal(uvmi_control_events(r->s, 0, UVMI_EVENTS, 1), -EINVAL);
	assert_int_equal(uvmi_control_events(r->s, 70000, UVMI_EVENT_CR, 1), -EINVAL);
	assert_int_equal(uvmi_control_events(r->s, 5, UVMI_EVENT_CR, 1), -EINVAL);
	assert_int_equal(uvmi_control_cr(r->s, 0, 2, 1), -EINVAL);
	assert_int_equal(uvmi_control_msr(r->s, 0, 0x2000, 1), -EINVAL);
	assert_int_equal(uvmi_control_msr(r->s, 0, 0x1fff, 1), 0);
	assert_int_equal(uvmi_control_vm_events(r->s, UVMI_EVENT_UNHOOK, 1), 0);
	assert_int_equal(uvmi_control_vm_events(r->s, UVMI_EVENT_CREATE_VCPU, 1), 0);
	assert_int_equal(r->mock.vm_events, BIT(UVMI_EVENT_UNHOOK) | BIT(UVMI_EVENT_CREATE_VCPU));
	assert_int_equal(uvmi_control_vm_events(r->s, UVMI_EVENT_UNHOOK, 0), 0);
	assert_int_equal(r->mock.vm_events, BIT(UVMI_EVENT_CREATE_VCPU));
	assert_int_equal(uvmi_resume(r->s), -EALREADY);
	rig_end(r);
}

static void names(void **state)
{
	assert_string_equal(uvmi_command_name(UVMI_GET_VERSION), "GET_VERSION");
	assert_string_equal(uvmi_command_name(UVMI_FREE_GFN), "FREE_GFN");
	assert_string_equal(uvmi_command_name(UVMI_COMMANDS), "?");
	assert_string_equal(uvmi_event_name(UVMI_EVENT_CPUID), "CPUID");
	assert_string_equal(uvmi_event_name(14), "?");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(version_and_permissions),
		BOTH(permissions_are_few),
		ONLY_V6(version_without_features),
		BOTH(guest),
		BOTH(registers),
		BOTH(not_started),
		BOTH(processor),
		BOTH(memory),
		BOTH(mapped_ram),
		BOTH(ram_read_from_files),
		ONLY_V6(ram_that_is_not),
		BOTH(translation),
		BOTH(translation_by_walk),
		BOTH(walks),
		BOTH(access_of_pages),
		BOTH(long_lists),
		BOTH(what_is_not_there),
		BOTH(wrong_arguments),
		ONLY_V6(names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
