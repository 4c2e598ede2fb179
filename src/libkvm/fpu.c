/* SPDX-License-Identifier: MIT */
/*
 * The floating-point and vector registers that struct kvm_fpu knows, through the XSAVE image where there is one.
 * KVM_GET_FPU and KVM_SET_FPU of the kernel pass the image's legacy part without its XSTATE_BV (SDM 1:13.4.2), so what
 * is set in a component that the guest has not used yet is lost at the next entry, and what is got may be stale. Not
 * so the soft engine's.
 */
#include <stdlib.h>
#include <string.h>

#include "libkvm/context.h"

#define XSTATE_X87 BIT(0)
#define XSTATE_SSE BIT(1)

/* The FXSAVE image (SDM 1:10.5.1) and XSTATE_BV, the first word behind it. */
struct legacy {
	u16 fcw, fsw;
	u8 ftw, reserved1;
	u16 last_opcode;
	u64 last_ip, last_dp;
	u32 mxcsr, mxcsr_mask;
	u8 st[8][16];
	u8 xmm[16][16];
	u8 reserved2[96];
	u64 xstate_bv;
};

_Static_assert(offsetof(struct legacy, xstate_bv) == 512, "as in the manual");

static struct legacy *image_alloc(kvm_context_t kvm)
{
	struct legacy *image = calloc(1, kvm->xsave_size);

	if (!image)
		fail(kvm, -ENOMEM, "there is no memory left for an XSAVE image");
	return image;
}

static long image_get(kvm_context_t kvm, int vcpu, struct legacy *image)
{
	const bool large = kvm->xsave_size > sizeof(struct kvm_xsave);

	return vcpu_ioctl(kvm, vcpu, large ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, image);
}

static void fpu_from_image(struct kvm_fpu *fpu, const struct legacy *image)
{
	memset(fpu, 0, sizeof(*fpu));
	memcpy(fpu->fpr, image->st, sizeof(fpu->fpr));
	memcpy(fpu->xmm, image->xmm, sizeof(fpu->xmm));
	fpu->fcw = image->fcw;
	fpu->fsw = image->fsw;
	fpu->ftwx = image->ftw;
	fpu->last_opcode = image->last_opcode;
	fpu->last_ip = image->last_ip;
	fpu->last_dp = image->last_dp;
	fpu->mxcsr = image->mxcsr;
}

static void fpu_to_image(const struct kvm_fpu *fpu, struct legacy *image)
{
	memcpy(image->st, fpu->fpr, sizeof(fpu->fpr));
	memcpy(image->xmm, fpu->xmm, sizeof(fpu->xmm));
	image->fcw = fpu->fcw;
	image->fsw = fpu->fsw;
	image->ftw = fpu->ftwx;
	image->last_opcode = fpu->last_opcode;
	image->last_ip = fpu->last_ip;
	image->last_dp = fpu->last_dp;
	image->mxcsr = fpu->mxcsr;
	image->xstate_bv |= XSTATE_X87 | XSTATE_SSE;
}

static int get_through_image(kvm_context_t kvm, int vcpu, struct kvm_fpu *fpu)
{
	struct legacy *image = image_alloc(kvm);
	long r;

	if (!image)
		return -ENOMEM;
	r = image_get(kvm, vcpu, image);
	if (r >= 0)
		fpu_from_image(fpu, image);
	free(image);
	return result(r);
}

/* What struct kvm_fpu does not know stays as it is. */
static int set_through_image(kvm_context_t kvm, int vcpu, const struct kvm_fpu *fpu)
{
	struct legacy *image = image_alloc(kvm);
	long r;

	if (!image)
		return -ENOMEM;
	r = image_get(kvm, vcpu, image);
	if (r >= 0) {
		fpu_to_image(fpu, image);
		r = vcpu_ioctl(kvm, vcpu, KVM_SET_XSAVE, image);
	}
	free(image);
	return result(r);
}

/* The plain request comes first: after it the pointer is known to be good, and so is what it points to. */
int kvm_get_fpu(kvm_context_t kvm, int vcpu, struct kvm_fpu *fpu)
{
	long r = vcpu_ioctl(kvm, vcpu, KVM_GET_FPU, fpu);

	if (r < 0 || !kvm->xsave_size)
		return result(r);
	return get_through_image(kvm, vcpu, fpu);
}

int kvm_set_fpu(kvm_context_t kvm, int vcpu, struct kvm_fpu *fpu)
{
	long r = vcpu_ioctl(kvm, vcpu, KVM_SET_FPU, fpu);

	if (r < 0 || !kvm->xsave_size)
		return result(r);
	return set_through_image(kvm, vcpu, fpu);
}
