/* SPDX-License-Identifier: MIT */
/* fuzz-libkvm: chance, and the guest's side of it: its code and the callbacks. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz/libkvm_fuzz.h"

u64 next(void)
{
	return rnd(&fz.random);
}

u64 below(u64 n)
{
	return rnd_below(&fz.random, n);
}

bool chance(unsigned percent)
{
	return rnd_chance(&fz.random, percent);
}

u64 edge(void)
{
	static const u64 edges[] = {0, 1, 2, 3, 16, 24, 64, 255, 256, 4095, 4096, 0x9f000, 0xa0000,
		0xc0000, 0x100000, 0x7fffffff, 0xe0000000, 0xfec00000, 0xfee00000, 0xffffffff,
		0x100000000, 0x7fffffffffff, -4096ull, -1ull};

	return chance(70) ? edges[below(ARRAY_SIZE(edges))] : next();
}

void finding(const char *what, long value)
{
	fprintf(stderr, "%s: %s: %ld, errno %d\n", fz.call, what, value, errno);
	abort();
}

/* 0 or -errno. */
void check(long r)
{
	if (r > 0 || (r < 0 && errno != -r))
		finding("neither 0 nor -errno", r);
}

/* Mostly to go on; a run ends some time. */
static int answer(void *opaque)
{
	struct context *c = opaque;

	if (--c->left <= 0)
		return 1;
	return chance(90) ? 0 : (int)below(5) - 2;
}

static int on_inb(void *opaque, uint16_t addr, uint8_t *data)
{
	*data = (u8)next();
	return answer(opaque);
}

static int on_inw(void *opaque, uint16_t addr, uint16_t *data)
{
	*data = (u16)next();
	return answer(opaque);
}

static int on_inl(void *opaque, uint16_t addr, uint32_t *data)
{
	*data = (u32)next();
	return answer(opaque);
}

static int on_outb(void *opaque, uint16_t addr, uint8_t data)
{
	return answer(opaque);
}

static int on_outw(void *opaque, uint16_t addr, uint16_t data)
{
	return answer(opaque);
}

static int on_outl(void *opaque, uint16_t addr, uint32_t data)
{
	return answer(opaque);
}

static int on_mmio(void *opaque, uint64_t addr, uint8_t *data, int len)
{
	if (len < 1 || len > 8)
		finding("length of an access", len);
	data[0] = data[len - 1] = (u8)next();
	return answer(opaque);
}

static int on_debug(void *opaque, void *env, struct kvm_debug_exit_arch *arch)
{
	return answer(opaque);
}

static int on_halt(void *opaque, int number)
{
	return answer(opaque);
}

static int on_env(void *opaque, void *env)
{
	return answer(opaque);
}

static int on_nothing(void *opaque)
{
	return answer(opaque);
}

/*
 * Is an interrupt window wanted? Not for ever: where nothing else ends it, a run in which the window opens at once never comes
 * to guest code, where a signal would end it. The kernel's KVM has 0 of 5000 signals end such a run.
 */
static int on_try_push(void *opaque)
{
	struct context *c = opaque;

	return --c->left > 0 && chance(10);
}

static void on_push_nmi(void *opaque)
{
	struct context *c = opaque;

	if (chance(3))
		check(kvm_inject_nmi(c->kvm, 0));
}

static void on_post(void *opaque, void *env)
{
	errno = (int)below(100);
}

static int on_tpr(void *opaque, int number, uint64_t rip, int is_write)
{
	return answer(opaque);
}

void hear(void *opaque, enum uv_kvm_log_kind kind, const char *line)
{
	errno = EDOM;
	if (fz.trace && kind == UV_KVM_LOG_ERROR)
		fprintf(stderr, "  %s\n", line);
}

static const struct kvm_callbacks all_callbacks = {on_inb, on_inw, on_inl, on_outb, on_outw,
	on_outl, on_mmio, on_mmio, on_debug, on_halt, on_env, on_nothing, on_try_push, on_push_nmi,
	on_post, on_env, on_tpr};

/* Any subset. */
void some_callbacks(struct kvm_callbacks *cb)
{
	void (**members)(void) = (void *)cb;

	*cb = all_callbacks;
	for (size_t i = 0; i < sizeof(*cb) / sizeof(*members); i++)
		if (chance(10))
			members[i] = NULL;
}

/* Code of any kind where a guest begins. */
void write_code(u8 *mem)
{
	static const u8 hints[] = {
		0xf4, 0xe4, 0xe6, 0xec, 0xee, 0x6c, 0x6e, 0xf3, 0xfb, 0xa2, 0xa0, 0xeb, 0xcc, 0x90};

	for (size_t i = 0; i < 256; i++)
		mem[i] = chance(50) ? hints[below(sizeof(hints))] : (u8)next();
}
