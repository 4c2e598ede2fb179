/* SPDX-License-Identifier: MIT */
/* The state of a vCPU. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "uvmi/session.h"

/* So many that the answer is no longer than a message of v6. */
#define MSRS_MAX                                                                                   \
	((KVMI_V6_MSG_SIZE - sizeof(struct kvmi_msg_hdr) - sizeof(struct kvmi_error_code) -        \
		 sizeof(struct kvmi_get_registers_reply)) /                                        \
		sizeof(struct kvm_msr_entry))

/* False: they are not those that were asked for. */
static bool take_registers(
	const u8 *answer, struct uvmi_registers *ret, struct kvm_msr_entry *msrs, unsigned n)
{
	struct kvmi_get_registers_reply reply;

	memcpy(&reply, answer, sizeof(reply));
	if (reply.msrs.nmsrs != n)
		return false;
	ret->mode = reply.mode;
	ret->regs = reply.regs;
	ret->sregs = reply.sregs;
	for (unsigned i = 0; i < n; i++) {
		struct kvm_msr_entry entry;

		memcpy(&entry, answer + sizeof(reply) + i * sizeof(entry), sizeof(entry));
		msrs[i].data = entry.data;
	}
	return true;
}

int uvmi_get_registers(struct uvmi *s, unsigned vcpu, struct uvmi_registers *ret,
	struct kvm_msr_entry *msrs, unsigned n)
{
	const struct kvmi_get_registers v5 = {.vcpu = (u16)vcpu, .nmsrs = (u16)n};
	const struct kvmi_v6_get_registers v6 = {.hdr.vcpu = (u16)vcpu, .nmsrs = (u16)n};
	const size_t size = sizeof(struct kvmi_get_registers_reply) + n * sizeof(*msrs);
	u8 answer[KVMI_V6_MSG_SIZE];
	u32 indices[MSRS_MAX];
	const struct iovec in[2] = {EITHER(s, v5, v6), {indices, n * sizeof(*indices)}};
	struct pending spec = {.out = answer, .min = size, .max = size};
	int r = vcpu_check(vcpu);

	if (r || n > MSRS_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++)
		indices[i] = msrs[i].index;
	r = command_open(s, UVMI_GET_REGISTERS, in, 2, &spec);
	if (!r && !take_registers(answer, ret, msrs, n))
		r = peer_refuse(s);
	return r;
}

int uvmi_set_registers(struct uvmi *s, unsigned vcpu, const struct kvm_regs *regs)
{
	const struct kvmi_set_registers v5 = {.vcpu = (u16)vcpu, .regs = *regs};
	const struct kvmi_v6_set_registers v6 = {.hdr.vcpu = (u16)vcpu, .regs = *regs};

	return vcpu_check(vcpu) ? -EINVAL : command_plain(s, UVMI_SET_REGISTERS, EITHER(s, v5, v6));
}

int uvmi_get_cpuid(
	struct uvmi *s, unsigned vcpu, uint32_t function, uint32_t index, struct uvmi_cpuid *ret)
{
	const struct kvmi_get_cpuid v5 = {.vcpu = (u16)vcpu, .function = function, .index = index};
	const struct kvmi_v6_get_cpuid v6 = {
		.hdr.vcpu = (u16)vcpu, .function = function, .index = index};

	_Static_assert(sizeof(*ret) == sizeof(struct kvmi_get_cpuid_reply), "the protocol's");
	if (vcpu_check(vcpu))
		return -EINVAL;
	return command_fixed(s, UVMI_GET_CPUID, EITHER(s, v5, v6), ret, sizeof(*ret));
}

/* The area may be of any size; what does not fit is dropped. */
int uvmi_get_xsave(struct uvmi *s, unsigned vcpu, void *area, size_t size, size_t *ret_size)
{
	const struct kvmi_get_xsave v5 = {.vcpu = (u16)vcpu};
	const struct kvmi_v6_vcpu_hdr v6 = {.vcpu = (u16)vcpu};
	const struct iovec in = EITHER(s, v5, v6);
	u8 *answer = malloc(UINT16_MAX);
	struct pending spec = {.out = answer, .min = 0, .max = UINT16_MAX};
	int r = vcpu_check(vcpu);

	if (!r && !answer)
		r = -ENOMEM;
	if (!r)
		r = command_open(s, UVMI_GET_XSAVE, &in, 1, &spec);
	if (!r) {
		if (spec.got && size)
			memcpy(area, answer, MIN(size, spec.got));
		*ret_size = spec.got;
	}
	free(answer);
	return r;
}

int uvmi_set_xsave(struct uvmi *s, unsigned vcpu, const void *area, size_t size)
{
	const struct kvmi_v6_vcpu_hdr hdr = {.vcpu = (u16)vcpu};
	const struct iovec in[2] = {PART(hdr), {(void *)area, size}};
	struct pending spec = {.min = 0};

	return vcpu_check(vcpu) ? -EINVAL : command_open(s, UVMI_SET_XSAVE, in, 2, &spec);
}

int uvmi_get_xcr(struct uvmi *s, unsigned vcpu, unsigned xcr, uint64_t *ret)
{
	const struct kvmi_v6_get_xcr c = {.hdr.vcpu = (u16)vcpu, .xcr = (u8)xcr};

	if (vcpu_check(vcpu) || xcr > UINT8_MAX)
		return -EINVAL;
	return command_fixed(s, UVMI_GET_XCR, PART(c), ret, sizeof(*ret));
}

int uvmi_get_mtrr_type(struct uvmi *s, unsigned vcpu, uint64_t gpa, uint8_t *ret_type)
{
	const struct kvmi_v6_get_mtrr_type c = {.hdr.vcpu = (u16)vcpu, .gpa = gpa};
	struct kvmi_v6_get_mtrr_type_reply reply;
	int r = vcpu_check(vcpu);

	if (!r)
		r = command_fixed(s, UVMI_GET_MTRR_TYPE, PART(c), &reply, sizeof(reply));
	if (!r)
		*ret_type = reply.type;
	return r;
}

int uvmi_inject_exception(struct uvmi *s, unsigned vcpu, uint8_t vector, int has_error,
	uint32_t error_code, uint64_t address)
{
	const struct kvmi_inject_exception v5 = {.vcpu = (u16)vcpu,
		.nr = vector,
		.has_error = has_error != 0,
		.error_code = (u16)error_code,
		.address = address};
	const struct kvmi_v6_inject_exception v6 = {
		.hdr.vcpu = (u16)vcpu, .nr = vector, .error_code = error_code, .address = address};

	if (vcpu_check(vcpu) || (s->dialect == UVMI_V5 && error_code > UINT16_MAX))
		return -EINVAL;
	return command_plain(s, UVMI_INJECT_EXCEPTION, EITHER(s, v5, v6));
}
