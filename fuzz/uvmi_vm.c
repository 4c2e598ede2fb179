/* SPDX-License-Identifier: MIT */
/*
 * The VM of fuzz-uvmi. It reads what the tool asks, and answers with what has the right form, so that the library believes it,
 * and any content; or with something of which one field is wrong, to a question that was never put, with descriptors that nobody
 * wants, in pieces, late, or not at all. Events come at any time.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/uvmi_fuzz.h"

#define MESSAGE_ROOM (sizeof(struct kvmi_msg_hdr) + UINT16_MAX)
#define PATIENCE_MS  2 /* without a question; then perhaps an event */
#define FILES_ROOM   70

static bool vm_chance(struct vm *v, unsigned percent)
{
	return rnd_chance(&v->r, percent);
}

static u64 vm_below(struct vm *v, u64 n)
{
	return rnd_below(&v->r, n);
}

/* Numbers that are small, or on an edge, or anything: 8 bytes at a time. */
static void fill(struct vm *v, u8 *at, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		const u64 value = vm_chance(v, 60)   ? vm_below(v, 4)
				  : vm_chance(v, 50) ? rnd_edge(&v->r)
						     : rnd(&v->r);

		memcpy(at + i, &value, MIN(n - i, sizeof(value)));
	}
}

/* ---- sending ---- */

static bool put_part(struct vm *v, const u8 *bytes, size_t n, const int *files, unsigned n_files)
{
	_Alignas(struct cmsghdr) u8 control[CMSG_SPACE(FILES_ROOM * sizeof(int))] = {0};
	struct iovec part = {(void *)bytes, n};
	struct msghdr m = {.msg_iov = &part, .msg_iovlen = 1};
	ssize_t done;

	if (n_files) {
		struct cmsghdr *c;

		m.msg_control = control;
		m.msg_controllen = CMSG_SPACE(n_files * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n_files * sizeof(int));
		memcpy(CMSG_DATA(c), files, n_files * sizeof(int));
	}
	done = sendmsg(v->fd, &m, MSG_NOSIGNAL);
	if (done < 0)
		return false;
	return (size_t)done == n || put_part(v, bytes + done, n - (size_t)done, NULL, 0);
}

/* Whole, or cut anywhere. The tool's files come with the first byte. */
static bool put_bytes(struct vm *v, const u8 *bytes, size_t n, const int *files, unsigned n_files)
{
	const size_t cut = vm_chance(v, 10) ? vm_below(v, n) : 0;

	count_step();
	if (with(DEATHS) && vm_chance(v, v->wrong) && vm_chance(v, 20)) {
		put_part(v, bytes, 1 + vm_below(v, n), NULL, 0);
		return false;
	}
	if (!cut)
		return put_part(v, bytes, n, files, n_files);
	return put_part(v, bytes, cut, files, n_files) &&
	       put_part(v, bytes + cut, n - cut, NULL, 0);
}

static unsigned choose_files(struct vm *v, unsigned right, int files[FILES_ROOM])
{
	unsigned n = right;

	if (with(FILES) && vm_chance(v, right ? 20 : 2))
		n = (unsigned)vm_below(v, vm_chance(v, 10) ? FILES_ROOM : 4);
	for (unsigned i = 0; i < n; i++)
		files[i] = with(FILES) && vm_chance(v, 10) ? v->fd : v->ram;
	return n;
}

static bool put_message(struct vm *v, struct kvmi_msg_hdr h, u8 *message, unsigned right_files)
{
	int files[FILES_ROOM];
	const unsigned n = choose_files(v, right_files, files);

	memcpy(message, &h, sizeof(h));
	return put_bytes(v, message, sizeof(h) + h.size, files, n);
}

/* ---- answers ---- */

/* What follows the error code. */
static const struct answer_size {
	u16 v5, v6, size;
} answer_sizes[] = {
	{KVMI_GET_VERSION, 0, sizeof(struct kvmi_get_version_reply)},
	{KVMI_GET_GUEST_INFO, 0, sizeof(struct kvmi_get_guest_info_reply)},
	{KVMI_GET_REGISTERS, 0, sizeof(struct kvmi_get_registers_reply)},
	{KVMI_GET_CPUID, 0, sizeof(struct kvmi_get_cpuid_reply)},
	{KVMI_GET_MAP_TOKEN, 0, 32},
	{KVMI_PAUSE_ALL_VCPUS, 0, sizeof(struct kvmi_pause_all_vcpus_reply)},
	{0, KVMI_V6_GET_VERSION, sizeof(struct kvmi_v6_get_version_reply)},
	{0, KVMI_V6_GET_GUEST_INFO, 16},
	{0, KVMI_V6_GET_REGISTERS, sizeof(struct kvmi_get_registers_reply)},
	{0, KVMI_V6_GET_CPUID, sizeof(struct kvmi_get_cpuid_reply)},
	{0, KVMI_V6_GET_MAP_TOKEN, 32},
	{0, KVMI_V6_GET_VCPU_INFO, 8},
	{0, KVMI_V6_GET_MTRR_TYPE, 8},
	{0, KVMI_V6_GET_MAX_GFN, 8},
	{0, KVMI_V6_GET_NEXT_AVAILABLE_GFN, 8},
	{0, KVMI_V6_TRANSLATE_GVA, 8},
	{0, KVMI_V6_GET_XCR, 8},
	{0, KVMI_V6_GET_EPT_VIEW, 8},
	{0, KVMI_V6_CREATE_EPT_VIEW, 8},
	{0, KVMI_V6_QUERY_PHYSICAL, sizeof(struct kvmi_v6_query_physical_reply)},
};

static size_t plain_size(const struct vm *v, unsigned id)
{
	for (size_t i = 0; i < ARRAY_SIZE(answer_sizes); i++)
		if ((v->v5 ? answer_sizes[i].v5 : answer_sizes[i].v6) == id)
			return answer_sizes[i].size;
	return 0;
}

/* Few vCPUs, or more than there can be: each of them costs the tool commands. */
static void few_vcpus(struct vm *v, u8 *at)
{
	const u32 count = vm_chance(v, 3) ? UINT32_MAX : (u32)vm_below(v, VCPUS_MOST + 1);

	memcpy(at, &count, sizeof(count));
}

static size_t give_registers(struct vm *v, const u8 *question, u8 *at)
{
	const size_t head = sizeof(struct kvmi_get_registers_reply);
	u16 n;

	memcpy(&n, question + (v->v5 ? 2 : 8), sizeof(n));
	n = MIN(n, (u16)40);
	memcpy(at + offsetof(struct kvmi_get_registers_reply, msrs), &(u32){n}, 4);
	fill(v, at + head, n * sizeof(struct kvm_msr_entry));
	return head + n * sizeof(struct kvm_msr_entry);
}

/* Regions that overlap, are empty, wrap around or are not in the file, and right ones. */
static size_t give_ram(struct vm *v, u8 *at, unsigned *ret_files)
{
	struct kvmi_v6_get_ram_reply head = {(u32)vm_below(v, 5), 1};
	struct kvmi_v6_ram_region region;

	for (u32 i = 0; i < head.regions; i++) {
		const u64 page = vm_below(v, VM_RAM / PAGE_SIZE);

		region = (struct kvmi_v6_ram_region){.gpa = page * PAGE_SIZE,
			.size = VM_RAM - page * PAGE_SIZE,
			.file = vm_chance(v, 80) ? 0 : KVMI_V6_RAM_NO_FILE,
			.offset = page * PAGE_SIZE};
		if (with(ANSWERS) && vm_chance(v, 10))
			fill(v, (u8 *)&region + vm_below(v, 3) * 8, 8);
		memcpy(at + sizeof(head) + i * sizeof(region), &region, sizeof(region));
	}
	*ret_files = head.files;
	if (with(ANSWERS) && vm_chance(v, 10))
		fill(v, (u8 *)&head, sizeof(head));
	memcpy(at, &head, sizeof(head));
	return sizeof(head) + 4 * sizeof(region);
}

/* The right one; the content is filled already. */
static size_t right_answer(
	struct vm *v, const struct kvmi_msg_hdr *h, const u8 *question, u8 *at, unsigned *ret_files)
{
	u64 size;

	switch (v->v5 ? h->id | 0x10000 : h->id) {
	case KVMI_READ_PHYSICAL | 0x10000:
	case KVMI_V6_READ_PHYSICAL:
		memcpy(&size, question + 8, sizeof(size));
		return MIN(size, (u64)PAGE_SIZE);
	case KVMI_GET_REGISTERS | 0x10000:
	case KVMI_V6_GET_REGISTERS: return give_registers(v, question, at);
	case KVMI_GET_PAGE_ACCESS | 0x10000:
	case KVMI_V6_GET_PAGE_ACCESS: return (h->size - 8u) / 8;
	case KVMI_V6_GET_PAGE_WRITE_BITMAP: return (h->size - 8u) / 8 * sizeof(u32);
	case KVMI_GET_XSAVE | 0x10000:
	case KVMI_V6_GET_XSAVE: return vm_below(v, 5000);
	case KVMI_V6_GET_RAM: return give_ram(v, at, ret_files);
	case KVMI_GET_GUEST_INFO | 0x10000:
	case KVMI_V6_GET_GUEST_INFO: few_vcpus(v, at); return plain_size(v, h->id);
	case KVMI_GET_VERSION | 0x10000:
	case KVMI_V6_GET_VERSION:
		if (vm_chance(v, 95))
			memcpy(at, &(u32){1}, 4);
		return plain_size(v, h->id);
	default: return plain_size(v, h->id);
	}
}

/* One field is not what it should be. */
static void spoil(struct vm *v, struct kvmi_msg_hdr *h, struct kvmi_error_code *code)
{
	switch (vm_below(v, 5)) {
	case 0: h->size = (u16)vm_below(v, h->size + 40u); break;
	case 1: h->seq += (u32)vm_below(v, 5) - 2; break;
	case 2: h->id = (u16)vm_below(v, 70); break;
	case 3: h->size = UINT16_MAX; break;
	default: fill(v, (u8 *)code, sizeof(*code)); break;
	}
}

static const int errors[] = {-KVM_EINVAL, -KVM_ENOENT, -KVM_EAGAIN, -KVM_EPERM, -KVM_ENOSYS,
	-KVM_EOPNOTSUPP, -KVM_EBUSY, -KVM_ENOMEM};

/* False: it dies. */
static bool answer(struct vm *v, const struct kvmi_msg_hdr *question, const u8 *payload)
{
	static _Thread_local u8 message[MESSAGE_ROOM];
	struct kvmi_error_code code = {.err = 0};
	struct kvmi_msg_hdr h = *question;
	u8 *at = message + sizeof(h) + sizeof(code);
	unsigned files = 0;
	size_t n;

	if (with(SILENCE) && vm_chance(v, v->wrong) && vm_chance(v, 20))
		return true;
	fill(v, at, 600);
	n = right_answer(v, question, payload, at, &files);
	if (vm_chance(v, 8)) {
		code.err = RND_OF(&v->r, errors);
		n = files = 0;
	}
	h.size = (u16)(sizeof(code) + n);
	if (with(ANSWERS) && vm_chance(v, v->wrong))
		spoil(v, &h, &code);
	memcpy(message + sizeof(h), &code, sizeof(code));
	return put_message(v, h, message, files);
}

/* ---- events ---- */

static const u8 rest_sizes_v5[KVMI_NUM_EVENTS] = {[KVMI_EVENT_CR] = sizeof(struct kvmi_event_cr),
	[KVMI_EVENT_MSR] = sizeof(struct kvmi_event_msr),
	[KVMI_EVENT_BREAKPOINT] = sizeof(struct kvmi_event_breakpoint),
	[KVMI_EVENT_PF] = sizeof(struct kvmi_event_pf),
	[KVMI_EVENT_TRAP] = sizeof(struct kvmi_event_trap),
	[KVMI_EVENT_DESCRIPTOR] = sizeof(struct kvmi_event_descriptor)};

static bool event(struct vm *v)
{
	static _Thread_local u8 message[4096];
	const size_t common = v->v5 ? sizeof(struct kvmi_event) : sizeof(struct kvmi_v6_event);
	const unsigned kind = (unsigned)vm_below(v, v->v5 ? KVMI_NUM_EVENTS : UVMI_EVENTS);
	struct kvmi_msg_hdr h = {.id = v->v5 ? KVMI_EVENT : KVMI_V6_EVENT};
	u8 *at = message + sizeof(h);
	const u16 vcpu = (u16)vm_below(v, vm_chance(v, 5) ? 65536 : VCPUS_MOST);

	fill(v, at, 1000);
	h.size = (u16)(common + (v->v5 ? rest_sizes_v5[kind] : 64));
	h.seq = vm_chance(v, 95) ? ++v->event_seq : v->event_seq;
	if (v->v5) {
		memcpy(at + offsetof(struct kvmi_event, event), &(u32){kind}, 4);
		memcpy(at + offsetof(struct kvmi_event, vcpu), &vcpu, 2);
	} else {
		memcpy(at + offsetof(struct kvmi_v6_event, size), &(u16){(u16)common}, 2);
		at[offsetof(struct kvmi_v6_event, event)] = (u8)kind;
		memcpy(at + offsetof(struct kvmi_v6_event, vcpu), &vcpu, 2);
	}
	if (with(ANSWERS) && vm_chance(v, v->wrong))
		h.size = (u16)vm_below(v, 1200);
	if (with(ANSWERS) && vm_chance(v, v->wrong))
		fill(v, at, 8);
	return put_message(v, h, message, 0);
}

/* ---- a life ---- */

static bool put_greeting(struct vm *v)
{
	u8 bytes[4096];
	u32 size = vm_chance(v, 50) ? sizeof(struct kvmi_qemu2introspector) : 104;

	fill(v, bytes, sizeof(bytes));
	if (with(GREETINGS) && vm_chance(v, 10))
		size = vm_chance(v, 50) ? (u32)vm_below(v, 200) : (u32)rnd_edge(&v->r);
	memcpy(bytes, &size, sizeof(size));
	return put_bytes(v, bytes, MIN(MAX(size, 4u), (u32)sizeof(bytes)), NULL, 0);
}

static bool get(struct vm *v, void *data, size_t n)
{
	return !n || recv(v->fd, data, n, MSG_WAITALL) == (ssize_t)n;
}

/* The first thing of a batch turns answers off, the last one on. */
static bool wants_answer(struct vm *v, const struct kvmi_msg_hdr *h, const u8 *payload)
{
	if (h->id == (v->v5 ? KVMI_EVENT_REPLY : KVMI_V6_EVENT_REPLY))
		return false;
	if (!v->v5 && h->id == KVMI_V6_CONTROL_CMD_RESPONSE)
		v->mute = !payload[0];
	return !v->mute || (with(ANSWERS) && vm_chance(v, v->wrong));
}

static void one_message(struct vm *v)
{
	static _Thread_local u8 payload[MESSAGE_ROOM];
	struct kvmi_msg_hdr h;

	if (!get(v, &h, sizeof(h)) || !get(v, payload, h.size) ||
		(wants_answer(v, &h, payload) && !answer(v, &h, payload)))
		v->budget = 0;
}

static void *live(void *vm)
{
	struct vm *v = vm;
	struct kvmi_introspector2qemu hello;
	struct pollfd p = {.fd = v->fd, .events = POLLIN};

	if (!put_greeting(v) || !get(v, &hello, sizeof(hello)))
		v->budget = 0;
	while (v->budget) {
		v->budget--;
		if (poll(&p, 1, PATIENCE_MS) > 0)
			one_message(v);
		if (with(EVENTS) && v->budget && vm_chance(v, 20) && !event(v))
			v->budget = 0;
		if (v->shrinks && vm_chance(v, 5) && ftruncate(v->ram, (off_t)vm_below(v, VM_RAM)))
			finding("ftruncate: %d", errno);
	}
	shutdown(v->fd, SHUT_RDWR);
	return NULL;
}

void vm_begin(struct vm *v, struct random *r, bool v5, int fd)
{
	*v = (struct vm){.r = rnd_fork(r), .v5 = v5, .fd = fd};
	v->wrong = RND_OF(&v->r, ((const unsigned[]){0, 0, 1, 5}));
	v->shrinks = with(SHRINKING) && vm_chance(v, 20);
	v->budget = with(DEATHS) ? 20 + (unsigned)vm_below(v, 4000) : 100000;
	v->ram = memfd_create("fuzz-uvmi", MFD_CLOEXEC);
	if (v->ram < 0 || ftruncate(v->ram, VM_RAM))
		finding("memfd: %d", errno);
	if (pthread_create(&v->thread, NULL, live, v))
		finding("no thread");
}

void vm_end(struct vm *v)
{
	pthread_join(v->thread, NULL);
	close(v->fd);
	close(v->ram);
}
