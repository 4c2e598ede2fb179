/* SPDX-License-Identifier: MIT */
/* The commands of the mock, in both dialects. Both are decoded here into the same few functions. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "mock.h"

enum { PERMITTED_V5 = KVMI_KNOWN_COMMANDS, EVENTS_V6 = 0x2fff };

/* A command on its way through. */
struct job {
	struct mock *m;
	const struct kvmi_msg_hdr *h;
	const u8 *at; /* the payload */
	u8 out[UINT16_MAX - 16];
	size_t n;  /* bytes in out */
	bool data; /* has data in its answer, so not in a batch */
};

static int give(struct job *j, const void *data, size_t n)
{
	memcpy(j->out, data, n);
	j->n = n;
	j->data = true;
	return 0;
}

static struct mock_vcpu *vcpu_of(struct job *j, int *ret_error)
{
	u16 index;
	struct mock_vcpu *v;

	memcpy(&index, j->at, sizeof(index));
	v = &j->m->vcpu[index % MOCK_VCPUS_MAX];
	*ret_error = index >= j->m->config.vcpus ? -KVM_EINVAL : !v->started ? -KVM_EAGAIN : 0;
	return v;
}

static bool zero(const void *at, size_t n)
{
	const u8 *bytes = at;

	for (size_t i = 0; i < n; i++)
		if (bytes[i])
			return false;
	return true;
}

/* ---- what both dialects have ---- */

static int read_physical(struct job *j, bool v5)
{
	struct kvmi_read_physical c;

	memcpy(&c, j->at, sizeof(c));
	if (!c.size || (c.gpa & 4095) + c.size > 4096)
		return -KVM_EINVAL;
	if (!mock_is_ram(c.gpa, c.size))
		return v5 ? -KVM_EINVAL : -KVM_ENOENT;
	return give(j, j->m->ram + c.gpa, c.size);
}

static int write_physical(struct job *j, bool v5)
{
	struct kvmi_read_physical c;

	memcpy(&c, j->at, sizeof(c));
	if (!c.size || (c.gpa & 4095) + c.size > 4096 || j->h->size != sizeof(c) + c.size)
		return -KVM_EINVAL;
	if (!mock_is_ram(c.gpa, c.size))
		return v5 ? -KVM_EINVAL : -KVM_ENOENT;
	memcpy(j->m->ram + c.gpa, j->at + sizeof(c), c.size);
	return 0;
}

static int get_registers(struct job *j, struct mock_vcpu *v, unsigned n, const u8 *indices)
{
	struct kvmi_get_registers_reply r = {.mode = 8, .regs = v->regs, .sregs = v->sregs};

	r.msrs.nmsrs = n;
	memcpy(j->out, &r, sizeof(r));
	for (unsigned i = 0; i < n; i++) {
		struct kvm_msr_entry e = {.data = v->lstar};

		memcpy(&e.index, indices + 4 * i, 4);
		if (e.index == 0xdead)
			return -KVM_EINVAL;
		if (e.index != 0xc0000082)
			e.data = e.index * 2ull;
		memcpy(j->out + sizeof(r) + i * sizeof(e), &e, sizeof(e));
	}
	j->n = sizeof(r) + n * sizeof(struct kvm_msr_entry);
	j->data = true;
	return 0;
}

static int set_registers(struct job *j, struct mock_vcpu *v)
{
	if (!v->waits)
		return j->m->config.v5 ? 0 : -KVM_EOPNOTSUPP;
	memcpy(&v->new_regs, j->at + 8, sizeof(v->new_regs));
	v->new_regs_set = true;
	return 0;
}

static int get_cpuid(struct job *j, u32 function, u32 index)
{
	const struct kvmi_get_cpuid_reply r = {function, index, 3, 4};

	return function > 0x20 ? -KVM_ENOENT : give(j, &r, sizeof(r));
}

static int get_xsave(struct job *j)
{
	memset(j->out, 0x5a, 4096);
	j->n = 4096;
	j->data = true;
	return 0;
}

static int control_cr(struct mock_vcpu *v, u32 cr, bool enable)
{
	if (cr != 0 && cr != 3 && cr != 4)
		return -KVM_EINVAL;
	v->crs = enable ? v->crs | BIT(cr) : v->crs & ~BIT(cr);
	return 0;
}

static int control_msr(struct mock_vcpu *v, u32 msr, bool enable)
{
	if (msr > 0x1fff && (msr < 0xc0000000 || msr > 0xc0001fff))
		return -KVM_EINVAL;
	for (unsigned i = 0; i < v->n_msrs; i++)
		if (v->msrs[i] == msr)
			v->msrs[i] = enable ? msr : 0xffffffff;
	if (enable && v->n_msrs < MOCK_MSRS_MAX)
		v->msrs[v->n_msrs++] = msr;
	return 0;
}

static int set_access(struct job *j, u64 gpa, u8 access)
{
	if (access & ~7)
		return -KVM_EINVAL;
	if (gpa < MOCK_HIGH_END)
		j->m->rights[gpa / PAGE_SIZE] = access;
	return 0;
}

static int get_access(struct job *j, unsigned count, unsigned view)
{
	if (view)
		return -KVM_EINVAL;
	for (unsigned i = 0; i < count; i++) {
		u64 gpa;

		memcpy(&gpa, j->at + 8 + 8 * i, 8);
		j->out[i] = gpa < MOCK_HIGH_END ? j->m->rights[gpa / PAGE_SIZE] : 7;
	}
	j->n = count;
	j->data = true;
	return 0;
}

static int map_token(struct job *j)
{
	const u64 token[4] = {1, 2, 3, 4};

	return give(j, token, sizeof(token));
}

/* ---- v5 ---- */

static int get_version_v5(struct job *j)
{
	const struct mock_config *c = &j->m->config;
	const struct kvmi_get_version_reply r = {.version = 1,
		.commands = (c->commands ? c->commands : (u32)PERMITTED_V5) | BIT(KVMI_GET_VERSION),
		.events = c->events ? c->events : KVMI_KNOWN_EVENTS};

	return give(j, &r, sizeof(r));
}

static int guest_info_v5(struct job *j)
{
	const struct kvmi_get_guest_info_reply r = {
		.vcpu_count = j->m->config.vcpus, .tsc_speed = MOCK_TSC_HZ};

	return give(j, &r, sizeof(r));
}

static int pause_all(struct job *j)
{
	const struct kvmi_pause_all_vcpus_reply r = {.vcpu_count = j->m->config.vcpus};

	for (unsigned i = 0; i < j->m->config.vcpus; i++)
		j->m->vcpu[i].pauses++;
	return give(j, &r, sizeof(r));
}

static int control_events_v5(struct job *j, struct mock_vcpu *v)
{
	struct kvmi_control_events c;

	memcpy(&c, j->at, sizeof(c));
	if (c.events & ~KVMI_KNOWN_VCPU_EVENTS)
		return -KVM_EINVAL;
	if (j->m->config.events && c.events & ~j->m->config.events)
		return -KVM_EPERM;
	v->events = c.events;
	return 0;
}

static int control_vm_events_v5(struct job *j)
{
	struct kvmi_control_vm_events c;

	memcpy(&c, j->at, sizeof(c));
	if (c.events & ~KVMI_KNOWN_VM_EVENTS)
		return -KVM_EINVAL;
	j->m->vm_events = c.events;
	return 0;
}

static int set_access_v5(struct job *j)
{
	struct kvmi_set_page_access c;
	struct kvmi_page_access_entry e;
	int r = 0;

	memcpy(&c, j->at, sizeof(c));
	if (c.view || j->h->size != sizeof(c) + c.count * sizeof(e))
		return -KVM_EINVAL;
	for (unsigned i = 0; i < c.count && !r; i++) {
		memcpy(&e, j->at + sizeof(c) + i * sizeof(e), sizeof(e));
		r = zero(e.padding, sizeof(e.padding)) ? set_access(j, e.gpa, e.access)
						       : -KVM_EINVAL;
	}
	return r;
}

static int vcpu_command_v5(struct job *j, struct mock_vcpu *v)
{
	u16 count;
	u32 a, b;

	memcpy(&count, j->at + 2, 2);
	memcpy(&a, j->at + 4, 4);
	switch (j->h->id) {
	case KVMI_GET_GUEST_INFO: return guest_info_v5(j);
	case KVMI_GET_REGISTERS: return get_registers(j, v, count, j->at + 8);
	case KVMI_SET_REGISTERS: return set_registers(j, v);
	case KVMI_GET_PAGE_ACCESS: return get_access(j, count, a & 0xffff);
	case KVMI_SET_PAGE_ACCESS: return set_access_v5(j);
	case KVMI_INJECT_EXCEPTION:
		v->injected = (u8)(j->at[2] + 1);
		return j->at[2] > 31 ? -KVM_EINVAL : 0;
	case KVMI_CONTROL_EVENTS: return control_events_v5(j, v);
	case KVMI_CONTROL_CR: return control_cr(v, a, j->at[2]);
	case KVMI_CONTROL_MSR: return control_msr(v, a, j->at[2]);
	case KVMI_GET_CPUID:
		memcpy(&a, j->at + 8, 4);
		memcpy(&b, j->at + 12, 4);
		return get_cpuid(j, a, b);
	case KVMI_GET_XSAVE: return get_xsave(j);
	default: return -KVM_ENOSYS;
	}
}

static int command_v5(struct job *j)
{
	struct mock_vcpu *v;
	int r;

	switch (j->h->id) {
	case KVMI_GET_VERSION: return get_version_v5(j);
	case KVMI_READ_PHYSICAL: return read_physical(j, true);
	case KVMI_WRITE_PHYSICAL: return write_physical(j, true);
	case KVMI_GET_MAP_TOKEN: return map_token(j);
	case KVMI_PAUSE_ALL_VCPUS: return pause_all(j);
	case KVMI_CONTROL_VM_EVENTS: return control_vm_events_v5(j);
	case KVMI_GET_GUEST_INFO:
	case KVMI_GET_REGISTERS:
	case KVMI_SET_REGISTERS:
	case KVMI_GET_PAGE_ACCESS:
	case KVMI_SET_PAGE_ACCESS:
	case KVMI_INJECT_EXCEPTION:
	case KVMI_CONTROL_EVENTS:
	case KVMI_CONTROL_CR:
	case KVMI_CONTROL_MSR:
	case KVMI_GET_CPUID:
	case KVMI_GET_XSAVE: v = vcpu_of(j, &r); return r ? r : vcpu_command_v5(j, v);
	default: return -KVM_ENOSYS;
	}
}

/* ---- v6 ---- */

static int get_version_v6(struct job *j)
{
	const struct kvmi_v6_get_version_reply r = {.version = 1, .spp = 1, .ve = 1};

	return give(j, &r, j->m->config.short_version ? 8 : sizeof(r));
}

static bool event_permitted(const struct mock *m, unsigned event)
{
	return !m->config.events || m->config.events & BIT(event);
}

static int check_v6(struct job *j)
{
	struct kvmi_v6_check c;

	memcpy(&c, j->at, sizeof(c));
	if (j->h->id == KVMI_V6_CHECK_EVENT)
		return c.id > 13 ? -KVM_EINVAL : event_permitted(j->m, c.id) ? 0 : -KVM_EPERM;
	return c.id >= KVMI_V6_NUM_MESSAGES    ? -KVM_EINVAL
	       : c.id == KVMI_V6_GET_MTRR_TYPE ? -KVM_EPERM
					       : 0;
}

static int query(struct job *j)
{
	struct kvmi_v6_query_physical_reply r = {0, MOCK_LOW_END / PAGE_SIZE};
	u64 gfn;

	memcpy(&gfn, j->at, 8);
	if (j->m->config.no_query)
		return -KVM_EOPNOTSUPP;
	if (gfn > UINT64_MAX / PAGE_SIZE || !mock_is_ram(gfn * PAGE_SIZE, PAGE_SIZE))
		return -KVM_ENOENT;
	if (gfn * PAGE_SIZE >= MOCK_HIGH)
		r = (struct kvmi_v6_query_physical_reply){
			MOCK_HIGH / PAGE_SIZE, (MOCK_HIGH_END - MOCK_HIGH) / PAGE_SIZE};
	return give(j, &r, sizeof(r));
}

static int set_access_v6(struct job *j)
{
	struct kvmi_v6_set_page_access c;
	struct kvmi_v6_page_access_entry e;
	int r = 0;

	memcpy(&c, j->at, sizeof(c));
	if (c.view || j->h->size != sizeof(c) + c.count * sizeof(e))
		return -KVM_EINVAL;
	for (unsigned i = 0; i < c.count && !r; i++) {
		memcpy(&e, j->at + sizeof(c) + i * sizeof(e), sizeof(e));
		r = set_access(j, e.gpa, e.access);
	}
	return r;
}

static int control_event_v6(struct job *j, _Atomic u32 *mask)
{
	u16 event;
	const size_t at = j->h->id == KVMI_V6_CONTROL_EVENTS ? 8 : 0;

	memcpy(&event, j->at + at, 2);
	if (event > 13)
		return -KVM_EINVAL;
	if (!event_permitted(j->m, event))
		return -KVM_EPERM;
	*mask = j->at[at + 2] ? *mask | BIT(event) : *mask & ~BIT(event);
	return 0;
}

static int give_u64(struct job *j, u64 value)
{
	return give(j, &value, sizeof(value));
}

static int translate(struct job *j)
{
	u64 gva;

	memcpy(&gva, j->at + 8, 8);
	if (j->m->config.no_translate)
		return -KVM_EOPNOTSUPP;
	return give_u64(
		j, gva >= MOCK_GVA && mock_is_ram(gva - MOCK_GVA, 1) ? gva - MOCK_GVA : ~0ull);
}

static int vcpu_command_v6(struct job *j, struct mock_vcpu *v)
{
	u16 n;
	u32 a, b;

	memcpy(&n, j->at + 8, 2);
	memcpy(&a, j->at + 8, 4);
	memcpy(&b, j->at + 12, 4);
	switch (j->h->id) {
	case KVMI_V6_GET_VCPU_INFO: return give_u64(j, MOCK_TSC_HZ);
	case KVMI_V6_PAUSE_VCPU: v->pauses++; return 0;
	case KVMI_V6_CONTROL_EVENTS: return control_event_v6(j, &v->events);
	case KVMI_V6_CONTROL_CR: return control_cr(v, b, j->at[8]);
	case KVMI_V6_CONTROL_MSR: return control_msr(v, b, j->at[8]);
	case KVMI_V6_GET_REGISTERS: return get_registers(j, v, n, j->at + 16);
	case KVMI_V6_SET_REGISTERS: return set_registers(j, v);
	case KVMI_V6_GET_CPUID: return get_cpuid(j, a, b);
	case KVMI_V6_GET_XSAVE: return get_xsave(j);
	case KVMI_V6_INJECT_EXCEPTION: v->injected = (u8)(j->at[8] + 1); return 0;
	case KVMI_V6_GET_MTRR_TYPE: return give_u64(j, 6);
	case KVMI_V6_GET_EPT_VIEW: return give_u64(j, 0);
	case KVMI_V6_TRANSLATE_GVA: return translate(j);
	case KVMI_V6_GET_XCR: return j->at[8] ? -KVM_EINVAL : give_u64(j, 7);
	case KVMI_V6_SET_XSAVE: return j->h->size == 8 + 4096 ? 0 : -KVM_EINVAL;
	case KVMI_V6_CONTROL_SINGLESTEP:
		if (j->m->config.no_step)
			return -KVM_EOPNOTSUPP;
		v->step = j->at[8];
		v->stepped &= v->step;
		return 0;
	default: return -KVM_EOPNOTSUPP;
	}
}

static int control_response(struct job *j)
{
	j->m->batches += j->at[0] == 0;
	j->m->quiet = !j->at[0];
	return 0;
}

static bool is_vcpu_command_v6(unsigned id)
{
	return (id >= KVMI_V6_GET_VCPU_INFO && id <= KVMI_V6_PAUSE_VCPU) ||
	       (id >= KVMI_V6_CONTROL_EVENTS && id <= KVMI_V6_GET_XSAVE) ||
	       id == KVMI_V6_INJECT_EXCEPTION || id == KVMI_V6_GET_MTRR_TYPE ||
	       (id >= KVMI_V6_SWITCH_EPT_VIEW && id <= KVMI_V6_SET_XSAVE) ||
	       id == KVMI_V6_CONTROL_SINGLESTEP;
}

static int command_v6(struct job *j)
{
	const u32 info[4] = {j->m->config.vcpus};
	struct mock_vcpu *v;
	u16 count;
	int r;

	if (is_vcpu_command_v6(j->h->id)) {
		v = vcpu_of(j, &r);
		return r ? r : vcpu_command_v6(j, v);
	}
	memcpy(&count, j->at + 2, 2);
	switch (j->h->id) {
	case KVMI_V6_GET_VERSION: return get_version_v6(j);
	case KVMI_V6_CHECK_COMMAND:
	case KVMI_V6_CHECK_EVENT: return check_v6(j);
	case KVMI_V6_GET_GUEST_INFO: return give(j, info, sizeof(info));
	case KVMI_V6_CONTROL_VM_EVENTS: return control_event_v6(j, &j->m->vm_events);
	case KVMI_V6_READ_PHYSICAL: return read_physical(j, false);
	case KVMI_V6_WRITE_PHYSICAL: return write_physical(j, false);
	case KVMI_V6_GET_PAGE_ACCESS: return get_access(j, count, j->at[0]);
	case KVMI_V6_SET_PAGE_ACCESS: return set_access_v6(j);
	case KVMI_V6_GET_MAP_TOKEN: return map_token(j);
	case KVMI_V6_CONTROL_CMD_RESPONSE: return control_response(j);
	case KVMI_V6_GET_MAX_GFN: return give_u64(j, MOCK_HIGH_END / PAGE_SIZE - 1);
	case KVMI_V6_GET_NEXT_AVAILABLE_GFN: return give_u64(j, MOCK_HIGH_END / PAGE_SIZE);
	case KVMI_V6_QUERY_PHYSICAL: return query(j);
	case KVMI_V6_GET_RAM: return -KVM_EOPNOTSUPP;
	default: return -KVM_ENOSYS;
	}
}

/*
 * Low RAM and the first half of the high is in the file, the rest in none. Lies: 2: a file that there is not; 3: beyond the
 * file's end; 4: a pipe; 5: more regions than there are; 6: no file came; 7: not at a page.
 */
static void give_ram(struct mock *m, const struct kvmi_msg_hdr *h)
{
	const unsigned lie = m->config.ram;
	struct {
		struct kvmi_error_code code;
		struct kvmi_v6_get_ram_reply head;
		struct kvmi_v6_ram_region region[3];
	} r = {.head = {lie == 5 ? 4 : 3, 1},
		.region = {{0, MOCK_LOW_END, lie == 7, lie == 2, 0},
			{MOCK_HIGH, 0x20000, lie == 3 ? MOCK_HIGH_END - 0x1f000 : MOCK_HIGH, 0, 0},
			{MOCK_HIGH + 0x20000, 0x20000, 0, KVMI_V6_RAM_NO_FILE, 0}}};
	int fds[2];

	if (pipe(fds))
		return;
	if (lie == 6)
		mock_send(m, h->id, h->seq, &r, sizeof(r), NULL, 0);
	else
		mock_send_file(m, h->id, h->seq, &r, sizeof(r), lie == 4 ? fds[0] : m->ram_fd);
	close(fds[0]);
	close(fds[1]);
}

/* ---- replies to events ---- */

static struct mock_vcpu *who_waits(struct mock *m, u32 seq)
{
	for (unsigned i = 0; i < m->config.vcpus; i++)
		if (m->vcpu[i].waits && m->vcpu[i].seq == seq)
			return &m->vcpu[i];
	return NULL;
}

static size_t specific_size(bool v5, unsigned event)
{
	if (event == KVMI_EVENT_CR || event == KVMI_EVENT_MSR)
		return 8;
	if (event != KVMI_EVENT_PF)
		return 0;
	return v5 ? sizeof(struct kvmi_event_pf_reply) : sizeof(struct kvmi_v6_event_pf_reply);
}

static void take_pf_reply(bool v5, const u8 *at, struct kvmi_v6_event_pf_reply *pf)
{
	struct kvmi_event_pf_reply pf5;

	if (!v5) {
		memcpy(pf, at, sizeof(*pf));
		return;
	}
	memcpy(&pf5, at, sizeof(pf5));
	pf->ctx_size = pf5.ctx_size;
	memcpy(pf->ctx_data, pf5.ctx_data, sizeof(pf->ctx_data));
}

/* Whatever is not as it must be ends the session. */
static bool event_reply(struct mock *m, const struct kvmi_msg_hdr *h, const u8 *at)
{
	const bool v5 = m->config.v5;
	const size_t common = v5 ? 8 : 16;
	struct mock_vcpu *v = who_waits(m, h->seq);
	struct kvmi_v6_event_pf_reply pf = {.ctx_size = 0};
	u64 new_value = 0;
	u32 action, event;

	if (!v || h->size != common + specific_size(v5, v->event))
		return false;
	memcpy(&action, at, 4);
	memcpy(&event, at + 4, 4);
	if (!v5) {
		if (at[0] != v->index || !zero(at + 2, 6) || !zero(at + 10, 6))
			return false;
		action = at[8];
		event = at[9];
	}
	if (event != v->event || action > 2)
		return false;
	if (v->event == KVMI_EVENT_PF)
		take_pf_reply(v5, at + common, &pf);
	else if (specific_size(v5, v->event))
		memcpy(&new_value, at + common, 8);
	if (pf.ctx_size > 256)
		return false;
	mock_guest_go_on(m, v, action, new_value, &pf);
	return true;
}

bool mock_command(struct mock *m, const struct kvmi_msg_hdr *h, const u8 *payload)
{
	static _Thread_local struct job j;
	struct kvmi_error_code code = {.padding = 0};
	bool was_quiet;

	if (h->id == (m->config.v5 ? KVMI_EVENT_REPLY : KVMI_V6_EVENT_REPLY))
		return event_reply(m, h, payload);
	if (m->config.v5 && h->id >= KVMI_NUM_MESSAGES)
		return false;
	if (!m->config.v5 && h->id == KVMI_V6_GET_RAM && m->config.ram != 1) {
		give_ram(m, h);
		return true;
	}
	j.m = m;
	j.h = h;
	j.at = payload;
	j.n = 0;
	j.data = false;
	if (m->config.v5 && m->config.commands && h->id != KVMI_GET_VERSION &&
		!(m->config.commands & BIT(h->id)))
		code.err = -KVM_EACCES;
	else
		code.err = m->config.v5 ? command_v5(&j) : command_v6(&j);
	was_quiet = m->quiet;
	if (was_quiet) /* a command with data, or an unknown one, cannot be told of */
		return !j.data && code.err != -KVM_ENOSYS;
	mock_send(m, h->id, h->seq, &code, sizeof(code), j.out, code.err ? 0 : j.n);
	return true;
}
