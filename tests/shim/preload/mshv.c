/* SPDX-License-Identifier: MIT */
/* A program that uses /dev/mshv: requests, hypercalls and messages whose lines trace.py looks at. */
#include "tests/shim/preload/client.h"

#include <sys/eventfd.h>
#include <sys/mman.h>

#include "uapi/mshv.h"
#include "x86/hyperv_root.h"

#define PAGE 4096ul

struct partition {
	int mshv, fd, vp;
	unsigned char *ram;
};

static int hvcall(int fd, struct mshv_root_hvcall *c, u16 code, const void *in, size_t in_size,
	void *out, size_t out_size)
{
	*c = (struct mshv_root_hvcall){.code = code,
		.reps = c->reps,
		.in_sz = (u16)in_size,
		.out_sz = (u16)out_size,
		.in_ptr = (unsigned long)in,
		.out_ptr = (unsigned long)out};
	return ioctl(fd, MSHV_ROOT_HVCALL, c);
}

/* Without repetitions. */
static int simple(int fd, u16 code, const void *in, size_t in_size, void *out, size_t out_size)
{
	struct mshv_root_hvcall c = {.reps = 0};

	return hvcall(fd, &c, code, in, in_size, out, out_size);
}

#define SIMPLE(fd, code, in)   simple(fd, code, &(in), sizeof(in), NULL, 0)
#define ASK(fd, code, in, out) simple(fd, code, &(in), sizeof(in), &(out), sizeof(out))

static void set_registers(int fd, const struct hv_register *r, u16 n)
{
	struct {
		struct hv_vp_registers head;
		struct hv_register r[8];
	} in = {.head = {.vp_index = 0}};
	struct mshv_root_hvcall c = {.reps = n};

	memcpy(in.r, r, n * sizeof(*r));
	CHECK(!hvcall(
		fd, &c, HVCALL_SET_VP_REGISTERS, &in, sizeof(in.head) + n * sizeof(*r), NULL, 0));
	CHECK(c.reps == n && !c.status);
}

static void open_partition(struct partition *p)
{
	struct mshv_create_partition_v2 a = {.pt_flags = 0xf,
		.pt_num_cpu_fbanks = 2,
		.pt_disabled_xsave = ~7ull,
		.pt_cpu_fbanks = {1ull << 21, 1ull << 6}};
	struct mshv_user_mem_region r = {.size = 16 * PAGE, .flags = 3};
	struct mshv_create_vp v = {.vp_index = 0};

	p->mshv = open("/dev/mshv", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	CHECK(p->mshv >= 0 && fcntl(p->mshv, F_GET_SEALS) > 0);
	p->fd = ioctl(p->mshv, MSHV_CREATE_PARTITION, &a);
	CHECK(p->fd >= 0 && !ioctl(p->fd, MSHV_INITIALIZE_PARTITION, 0));
	p->ram = mmap(NULL, r.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p->ram != MAP_FAILED);
	r.userspace_addr = (unsigned long)p->ram;
	CHECK(!ioctl(p->fd, MSHV_SET_GUEST_MEMORY, &r));
	CHECK_ERRNO(ioctl(p->fd, MSHV_SET_GUEST_MEMORY, &r), EEXIST);
	p->vp = ioctl(p->fd, MSHV_CREATE_VP, &v);
	CHECK(p->vp >= 0);
}

static void close_partition(struct partition *p)
{
	CHECK(!close(p->vp) && !close(p->fd) && !close(p->mshv));
	CHECK(!munmap(p->ram, 16 * PAGE));
}

/* ---- what the host and a partition are asked ---- */

static void properties(const struct partition *p)
{
	struct hv_get_property get = {.code = HV_PROPERTY_PROCESSOR_FEATURES0};
	struct hv_get_property_ex ex = {.code = HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES};
	struct hv_set_property set = {.code = HV_PROPERTY_UNIMPLEMENTED_MSR_ACTION, .value = 1};
	struct hv_property_bank bank;
	u64 value;

	CHECK(!ASK(p->mshv, HVCALL_GET_PARTITION_PROPERTY, get, value) && value);
	CHECK(!ASK(p->mshv, HVCALL_GET_PARTITION_PROPERTY_EX, ex, bank) && bank.count == 1);
	CHECK(!SIMPLE(p->fd, HVCALL_SET_PARTITION_PROPERTY, set));
	get.code = 0x12345;
	CHECK_ERRNO(ASK(p->fd, HVCALL_GET_PARTITION_PROPERTY, get, value), EIO);
	/* No hypercall of this interface: it is not made, so it has no status. */
	CHECK_ERRNO(SIMPLE(p->fd, 0x4e, get), EINVAL);
}

static void interrupts(const struct partition *p)
{
	struct {
		struct mshv_user_irq_table head;
		struct mshv_user_irq_entry e[2];
	} table = {.head.nr = 2,
		.e = {{.gsi = 1, .address_lo = 0xfee00000, .data = 0x31},
			{.gsi = 5, .address_lo = 0xfee01000, .data = 0x32}}};
	struct mshv_user_irqfd irqfd = {.fd = eventfd(0, EFD_CLOEXEC), .gsi = 5};
	struct mshv_user_ioeventfd io = {
		.fd = irqfd.fd, .addr = 0xd0000000, .len = 4, .flags = 1, .datamatch = 7};
	struct hv_assert_interrupt a = {.type = HV_INTERRUPT_EXTINT};

	CHECK(!ioctl(p->fd, MSHV_SET_MSI_ROUTING, &table));
	CHECK(!ioctl(p->fd, MSHV_IRQFD, &irqfd));
	CHECK(!ioctl(p->fd, MSHV_IOEVENTFD, &io));
	irqfd.fd = -1;
	CHECK_ERRNO(ioctl(p->fd, MSHV_IRQFD, &irqfd), EBADF);
	CHECK(!SIMPLE(p->fd, HVCALL_ASSERT_VIRTUAL_INTERRUPT, a));
	CHECK(!SIMPLE(p->fd, HVCALL_CLEAR_VIRTUAL_INTERRUPT, a.partition));
	close(io.fd);
}

static void synic(const struct partition *p)
{
	struct hv_signal_event_direct e = {.sint = 2, .flag = 9};
	struct hv_post_message_direct m = {.sint = 2};
	u64 signaled;

	/* Whatever comes of it: its SynIC is off. */
	(void)ASK(p->fd, HVCALL_SIGNAL_EVENT_DIRECT, e, signaled);
	memcpy(m.message, &(u32){0x77}, 4);
	(void)SIMPLE(p->fd, HVCALL_POST_MESSAGE_DIRECT, m);
}

static void memory(const struct partition *p)
{
	u8 bitmap[2], states[3];
	struct mshv_gpap_access_bitmap b = {.access_type = MSHV_GPAP_ACCESS_TYPE_DIRTY,
		.page_count = 16,
		.bitmap_ptr = (unsigned long)bitmap};
	struct hv_access_states s = {.gpa_page = 1};
	struct mshv_root_hvcall c = {.reps = 3};
	struct hv_translate t = {.flags = HV_TRANSLATE_READ, .gva_page = 2};
	struct hv_translated translated;

	(void)ioctl(p->fd, MSHV_GET_GPAP_ACCESS_BITMAP, &b);
	(void)hvcall(p->fd, &c, HVCALL_GET_GPA_PAGES_ACCESS_STATES, &s, sizeof(s), states,
		sizeof(states));
	CHECK(!ASK(p->vp, HVCALL_TRANSLATE_VIRTUAL_ADDRESS, t, translated) &&
		translated.gpa_page == 2);
}

static void cpuid(const struct partition *p)
{
	struct hv_intercept_result r = {.vp_index = HV_ANY_VP,
		.type = HV_INTERCEPT_CPUID,
		.cpuid = {.eax = 0x1f, .reg[1] = {0x5, 0xff}}};
	struct {
		struct hv_cpuid_values head;
		struct hv_cpuid_leaf leaf[2];
	} in = {.leaf = {{.eax = 0}, {.eax = 7, .ecx = 1}}};
	struct hv_install_intercept i = {
		.access = HV_ACCESS_EXECUTE, .type = HV_INTERCEPT_CPUID, .parameter = 0x100};
	struct mshv_root_hvcall c = {.reps = 2};
	u32 out[2][4];

	CHECK(!SIMPLE(p->fd, HVCALL_REGISTER_INTERCEPT_RESULT, r));
	CHECK(!hvcall(p->vp, &c, HVCALL_GET_VP_CPUID_VALUES, &in, sizeof(in), out, sizeof(out)));
	CHECK(!SIMPLE(p->fd, HVCALL_INSTALL_INTERCEPT, i));
}

static void state(const struct partition *p)
{
	struct mshv_get_set_vp_state s = {.type = MSHV_VP_STATE_LAPIC, .buf_sz = PAGE};
	void *page = aligned_alloc(PAGE, PAGE);

	s.buf_ptr = (unsigned long)page;
	CHECK(!ioctl(p->vp, MSHV_GET_VP_STATE, &s));
	s.buf_sz = PAGE;
	CHECK(!ioctl(p->vp, MSHV_SET_VP_STATE, &s));
	free(page);
}

static void mshv_requests(void)
{
	struct partition p;

	open_partition(&p);
	properties(&p);
	interrupts(&p);
	synic(&p);
	memory(&p);
	cpuid(&p);
	state(&p);
	CHECK_ERRNO(ioctl(p.fd, 0x4004b80f, 0), ENOTTY);
	CHECK_ERRNO(ioctl(p.vp, KVM_GET_API_VERSION, 0), ENOTTY);
	CHECK_ERRNO(ioctl(p.fd, _IOW(MSHV_IOCTL, 2, u64), 0), ENOTTY);
	close_partition(&p);
}

/* ---- registers ---- */

/* Some are refused; all are named. */
static void ask_for(const struct partition *p, u32 first, u32 last)
{
	struct {
		struct hv_vp_registers head;
		u32 name[16];
	} in = {.head = {.vp_index = 0}};
	struct hv_value128 out[16];
	struct mshv_root_hvcall c = {.reps = 0};

	while (first <= last) {
		for (c.reps = 0; c.reps < 16 && first <= last; c.reps++)
			in.name[c.reps] = first++;
		(void)hvcall(p->vp, &c, HVCALL_GET_VP_REGISTERS, &in,
			sizeof(in.head) + c.reps * sizeof(u32), out, c.reps * sizeof(*out));
	}
}

static void mshv_registers(void)
{
	const struct hv_segment cs = {.selector = 8, .limit = 0xffff, .attr = 0x9b};
	const struct hv_table gdtr = {.base = 0x2000, .limit = 0x27};
	struct hv_register r[] = {{.name = HV_X64_REGISTER_RIP, .value.low = 0x1234},
		{.name = HV_X64_REGISTER_CS}, {.name = HV_X64_REGISTER_GDTR},
		{.name = HV_X64_REGISTER_XMM0 + 3, .value = {1, 2}}};
	struct partition p;

	open_partition(&p);
	memcpy(&r[1].value, &cs, sizeof(cs));
	memcpy(&r[2].value, &gdtr, sizeof(gdtr));
	set_registers(p.vp, r, 4);
#define REGISTER(first, last, ...) ask_for(&p, first, last);
#include "abi/mshv/registers.def"
	close_partition(&p);
}

/* ---- messages ---- */

static u32 run_to(struct partition *p, u64 skip)
{
	struct hv_message m;
	struct hv_register rip = {.name = HV_X64_REGISTER_RIP};
	const struct hv_intercept_header *h = (const void *)m.payload;

	CHECK(!ioctl(p->vp, MSHV_RUN_VP, &m));
	rip.value.low = h->rip + skip;
	if (skip)
		set_registers(p->vp, &rip, 1);
	return m.type;
}

static void mshv_messages(void)
{
	static const u8 code[] = {0xba, 0xf8, 0x03, 0xb0, 0x41,
		0xee,                         /* mov $0x3f8, %dx; mov $0x41, %al; out %al, %dx */
		0xb8, 0x00, 0x20, 0x8e, 0xd8, /* mov $0x2000, %ax; mov %ax, %ds */
		0xa0, 0x04, 0x00,             /* mov 4, %al */
		0x66, 0xb8, 0x00, 0x01, 0x00, 0x00, 0x0f, 0xa2, /* mov $0x100, %eax; cpuid */
		0xf4};
	const struct hv_segment flat = {.limit = 0xffff, .attr = 0x9b};
	struct hv_register r[] = {{.name = HV_X64_REGISTER_RIP, .value.low = 0x1000},
		{.name = HV_X64_REGISTER_RFLAGS, .value.low = 2}, {.name = HV_X64_REGISTER_CS}};
	struct partition p;

	open_partition(&p);
	cpuid(&p);
	memcpy(p.ram + 0x1000, code, sizeof(code));
	memcpy(&r[2].value, &flat, sizeof(flat));
	set_registers(p.vp, r, 3);
	CHECK(run_to(&p, 1) == HVMSG_X64_IO_PORT_INTERCEPT);
	CHECK(run_to(&p, 3) == HVMSG_UNMAPPED_GPA);
	CHECK(run_to(&p, 2) == HVMSG_X64_CPUID_INTERCEPT);
	close_partition(&p);
}

/* ---- the side of a higher VTL ---- */

static void vtl_hypercalls(void)
{
	struct {
		struct hv_vp_registers head;
		u32 name;
	} in = {.head = {HV_PARTITION_ID_SELF, HV_VP_INDEX_SELF, 0}, .name = HV_X64_REGISTER_RIP};
	struct hv_value128 out;
	static u8 all[8192];
	struct mshv_vtl_hvcall_setup setup = {sizeof(all), (unsigned long)all};
	struct mshv_vtl_hvcall a = {.control = HVCALL_GET_VP_REGISTERS | 1ull << 32,
		.input_size = sizeof(in.head) + sizeof(in.name),
		.input_ptr = (unsigned long)&in,
		.output_size = sizeof(out),
		.output_ptr = (unsigned long)&out};
	int fd = open("/dev/mshv_hvcall", O_RDWR | O_CLOEXEC);

	memset(all, 0xff, sizeof(all));
	CHECK(fd >= 0 && !ioctl(fd, MSHV_HVCALL_SETUP, &setup) && !ioctl(fd, MSHV_HVCALL, &a));
	CHECK(a.status == 1ull << 32);
	a.control = 0xfff;
	CHECK(!ioctl(fd, MSHV_HVCALL, &a) && a.status == HVS_INVALID_CODE && !close(fd));
}

static void mshv_vtl(void)
{
	struct mshv_vtl_ram_disposition ram = {0x10, 0x20};
	struct mshv_vtl_set_poll_file poll = {0, ~0u};
	struct hv_register r = {.name = HV_X64_REGISTER_RIP, .value.low = 0x1234};
	struct mshv_vp_registers registers = {.count = 1, .regs_ptr = (unsigned long)&r};
	struct mshv_sint_mask mask = {.mask = 1};
	u32 extension = MSHV_CAP_REGISTER_PAGE;
	int mshv = open("/dev/mshv", O_RDWR | O_CLOEXEC), sint, vtl;

	CHECK(mshv >= 0 && ioctl(mshv, MSHV_CHECK_EXTENSION, &extension) == 1);
	vtl = ioctl(mshv, MSHV_CREATE_VTL, 0);
	CHECK(vtl >= 0 && !ioctl(vtl, MSHV_ADD_VTL0_MEMORY, &ram));
	CHECK(ioctl(vtl, MSHV_SET_POLL_FILE, &poll) == -1 && errno == EBADFD);
	CHECK(!ioctl(vtl, MSHV_SET_VP_REGISTERS, &registers));
	CHECK(!ioctl(vtl, MSHV_GET_VP_REGISTERS, &registers));
	vtl_hypercalls();
	sint = open("/dev/mshv_sint", O_RDWR | O_CLOEXEC);
	CHECK(sint >= 0 && !ioctl(sint, MSHV_SINT_PAUSE_MESSAGE_STREAM, &mask));
	CHECK(!close(sint) && !close(vtl) && !close(mshv));
}

const struct client_case mshv_cases[] = {
	{"mshv-requests", mshv_requests},
	{"mshv-registers", mshv_registers},
	{"mshv-messages", mshv_messages},
	{"mshv-vtl", mshv_vtl},
	{NULL, NULL},
};
