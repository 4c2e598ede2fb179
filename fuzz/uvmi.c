/* SPDX-License-Identifier: MIT */
/*
 * fuzz-uvmi: libuvmi, in both dialects, against a VM that means no good (uvmi_vm.c), from one or two threads: every function of
 * uvmi.h with arguments that are right and wrong.
 *
 * Nothing may crash or hang, and afterwards the process holds what it held before (cases.c). Besides: a result is 0 or
 * -errno, a result's place is untouched if there is none, a session that is over stays so, an event is one of those that there
 * are, and RAM that was mapped can be read.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fuzz/uvmi_fuzz.h"

#define TIMEOUT_MS 30
#define CALLS      100
#define UNTOUCHED  0x5a5a5a5a5a5a5a5aull

static const char *const ingredients[] = {"greetings", "answers", "events", "files", "deaths",
	"silence", "shrinking", "threads", NULL};

struct caller {
	struct random r;
	struct uvmi *s;
	struct uvmi_ram *ram; /* that is mapped */
	bool ram_stays;       /* the VM does not cut it short */
	bool batch;
};

static u64 below(struct caller *c, u64 n)
{
	return rnd_below(&c->r, n);
}

static unsigned some_vcpu(struct caller *c)
{
	return (unsigned)below(c, rnd_chance(&c->r, 5) ? 0x20000 : VCPUS_MOST);
}

static u64 some_address(struct caller *c)
{
	return rnd_chance(&c->r, 20) ? rnd_edge(&c->r) : below(c, VM_RAM);
}

/* ---- calls ---- */

static int read_memory(struct caller *c)
{
	static _Thread_local u8 data[40 * PAGE_SIZE], present[42];
	const size_t n = below(c, rnd_chance(&c->r, 20) ? sizeof(data) : 100);
	const u64 at = some_address(c);

	switch (below(c, 6)) {
	case 0: return uvmi_read(c->s, at, data, n);
	case 1: return uvmi_read_present(c->s, at, data, n, present);
	case 2: return uvmi_read_physical(c->s, at, data, n);
	case 3: return uvmi_read_gva(c->s, some_vcpu(c), at, data, n);
	case 4: return uvmi_write(c->s, at, data, n);
	default: return uvmi_write_gva(c->s, some_vcpu(c), at, data, n);
	}
}

/* One number as the result. */
static int ask_number(struct caller *c)
{
	const unsigned vcpu = some_vcpu(c);
	u64 got = UNTOUCHED, more = UNTOUCHED;
	u32 count = (u32)UNTOUCHED;
	u16 view = (u16)UNTOUCHED;
	u8 type = (u8)UNTOUCHED;
	int r;

	switch (below(c, 11)) {
	case 0: r = uvmi_get_guest_info(c->s, &count); break;
	case 1: r = uvmi_get_vcpu_info(c->s, vcpu, &got); break;
	case 2: r = uvmi_get_max_gfn(c->s, &got); break;
	case 3: r = uvmi_query_physical(c->s, some_address(c), &got, &more); break;
	case 4: r = uvmi_get_next_available_gfn(c->s, &got); break;
	case 5: r = uvmi_get_xcr(c->s, vcpu, (unsigned)below(c, 2), &got); break;
	case 6: r = uvmi_get_mtrr_type(c->s, vcpu, some_address(c), &type); break;
	case 7: r = uvmi_translate_gva(c->s, vcpu, some_address(c), &got); break;
	case 8: r = uvmi_get_ept_view(c->s, vcpu, &view); break;
	case 9: r = uvmi_create_ept_view(c->s, &view); break;
	default: r = uvmi_pause_all_vcpus(c->s, &count); break;
	}
	if (r && (got != UNTOUCHED || more != UNTOUCHED || count != (u32)UNTOUCHED ||
			 view != (u16)UNTOUCHED || type != (u8)UNTOUCHED))
		finding("a call fails with %d and has changed the result's place", r);
	return r;
}

static int ask_state(struct caller *c)
{
	static _Thread_local u8 area[4096];
	struct kvm_msr_entry msrs[8] = {{.index = 1}};
	struct uvmi_registers registers;
	struct uvmi_version version;
	struct uvmi_cpuid cpuid;
	uint64_t token[4];
	size_t size;

	switch (below(c, 6)) {
	case 0:
		return uvmi_get_registers(
			c->s, some_vcpu(c), &registers, msrs, (unsigned)below(c, 9));
	case 1: return uvmi_get_cpuid(c->s, some_vcpu(c), 1, 0, &cpuid);
	case 2: return uvmi_get_xsave(c->s, some_vcpu(c), area, below(c, sizeof(area)), &size);
	case 3: return uvmi_get_version(c->s, &version);
	case 4: return uvmi_set_xsave(c->s, some_vcpu(c), area, below(c, sizeof(area)));
	default: return uvmi_get_map_token(c->s, token);
	}
}

static int page_rights(struct caller *c)
{
	static _Thread_local struct uvmi_page_access pages[5000];
	struct uvmi_write_bitmap maps[8] = {{.gpa = 0}};
	const unsigned n = (unsigned)below(c, rnd_chance(&c->r, 10) ? ARRAY_SIZE(pages) : 20);

	switch (below(c, 4)) {
	case 0: return uvmi_get_page_access(c->s, 0, pages, n);
	case 1: return uvmi_set_page_write_bitmap(c->s, 0, maps, n % 8);
	case 2: return uvmi_get_page_write_bitmap(c->s, 0, maps, n % 8);
	default: return uvmi_set_page_access(c->s, 0, pages, n);
	}
}

static int control(struct caller *c)
{
	const unsigned vcpu = some_vcpu(c), number = (unsigned)below(c, UVMI_EVENTS + 2);
	const int on = (int)below(c, 2);

	switch (below(c, 9)) {
	case 0: return uvmi_control_events(c->s, vcpu, number, on);
	case 1: return uvmi_control_vm_events(c->s, number, on);
	case 2: return uvmi_control_cr(c->s, vcpu, number, on);
	case 3: return uvmi_control_msr(c->s, vcpu, number, on);
	case 4: return uvmi_control_singlestep(c->s, vcpu, on);
	case 5: return uvmi_pause_vcpu(c->s, vcpu, on);
	case 6: return uvmi_inject_exception(c->s, vcpu, (u8)number, on, 0, 0);
	case 7: return uvmi_check_command(c->s, below(c, UVMI_COMMANDS + 2));
	default: return uvmi_check_event(c->s, number);
	}
}

static int pauses(struct caller *c)
{
	switch (below(c, 4)) {
	case 0: return uvmi_pause(c->s);
	case 1: return uvmi_pause_others(c->s, some_vcpu(c));
	default: return uvmi_resume(c->s);
	}
}

static int reply(struct caller *c, const struct uvmi_event *e)
{
	const struct uvmi_answer a = {.action = (u8)below(c, 4),
		.singlestep = (u8)below(c, 2),
		.ctx_size = (u32)below(c, UVMI_CTX_SIZE + 2)};

	switch (below(c, 5)) {
	case 0: return uvmi_reply(c->s, e, &a);
	case 1: return uvmi_reply_value(c->s, e, 1);
	case 2: return 0; /* never */
	default: return uvmi_reply_continue(c->s, e);
	}
}

static int events(struct caller *c)
{
	struct uvmi_event e;
	int r = uvmi_next_event(c->s, &e, (int)below(c, 3));

	if (r)
		return r;
	if (e.event >= UVMI_EVENTS)
		finding("event %u", e.event);
	if (rnd_chance(&c->r, 5)) { /* one that there is not */
		e.seq += (u32)below(c, 3);
		e.vcpu ^= (u16)below(c, 2);
	}
	return reply(c, &e);
}

static int batches(struct caller *c)
{
	const int r = c->batch ? uvmi_batch_end(c->s) : uvmi_batch_begin(c->s);

	c->batch = !c->batch && !r;
	return r;
}

/* What is there is there: it was compared with the file. */
static void touch(const struct caller *c)
{
	for (unsigned i = 0; i < c->ram->n && c->ram_stays; i++) {
		const struct uvmi_ram_region *r = &c->ram->regions[i];
		const volatile u8 *at = r->at;

		if (at)
			(void)(at[0] + at[r->size - 1]);
	}
}

static int ram(struct caller *c)
{
	u8 data[3 * PAGE_SIZE];
	int r;

	if (c->ram && rnd_chance(&c->r, 70)) {
		touch(c);
		r = uvmi_read_ram(c->ram, some_address(c), data, below(c, sizeof(data)));
		if (r == -EIO && c->ram_stays)
			finding("a file that is whole was taken for one that has been cut short");
		return r;
	}
	uvmi_unmap_ram(c->ram);
	c->ram = NULL;
	return uvmi_map_ram(c->s, &c->ram);
}

/* ---- a session ---- */

static const struct {
	const char *name;
	int (*call)(struct caller *c);
} calls[] = {{"batch", batches}, {"read or write", read_memory}, {"ask a number", ask_number},
	{"ask state", ask_state}, {"rights", page_rights}, {"control", control}, {"pause", pauses},
	{"event", events}, {"event", events}, {"ram", ram}};
#define AT_BATCH 0

/* After these there is nothing but the same. */
static void check_end(struct caller *c, int error)
{
	u32 count;
	int r;

	if (error != -EPROTO && error != -ENOTCONN)
		return;
	if (c->batch)
		uvmi_batch_end(c->s);
	c->batch = false;
	r = uvmi_get_guest_info(c->s, &count);
	if (r != -EPROTO && r != -ENOTCONN && r != -ENOMEM)
		finding("a session that is over (%d) gives %d", error, r);
}

static void *use(void *caller)
{
	struct caller *c = caller;
	int r = 0;

	for (unsigned n = 0; n < CALLS && r != -ENOTCONN && r != -EPROTO; n++) {
		const unsigned i = c->batch && rnd_chance(&c->r, 40)
					   ? AT_BATCH
					   : (unsigned)below(c, ARRAY_SIZE(calls));

		progress(calls[i].name);
		r = calls[i].call(c);
		tell("%s: %d", calls[i].name, r);
		if (r > 0 || r < -4095)
			finding("%s gives %d", calls[i].name, r);
		check_end(c, r);
	}
	if (c->batch)
		uvmi_batch_end(c->s);
	uvmi_unmap_ram(c->ram);
	return NULL;
}

static void use_by_two(struct random *r, struct uvmi *s, bool ram_stays)
{
	struct caller first = {.r = rnd_fork(r), .s = s, .ram_stays = ram_stays};
	struct caller second = {.r = rnd_fork(r), .s = s, .ram_stays = ram_stays};
	pthread_t thread;
	const bool two = with(THREADS) && rnd_chance(r, 30);

	if (two && pthread_create(&thread, NULL, use, &second))
		finding("no thread");
	use(&first);
	if (two)
		pthread_join(thread, NULL);
}

static void one_case(struct random *r)
{
	const enum uvmi_dialect dialect = rnd_chance(r, 50) ? UVMI_V5 : UVMI_V6;
	const struct uvmi_options o = {
		.dialect = dialect, .timeout_ms = TIMEOUT_MS, .cookie = "abc", .cookie_size = 3};
	struct uvmi *s = NULL;
	struct vm v;
	int pair[2], result;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		finding("socketpair: %d", errno);
	vm_begin(&v, r, dialect == UVMI_V5, pair[0]);
	progress("a session begins");
	result = uvmi_adopt(pair[1], &o, &s);
	if (result > 0 || result < -4095 || !result != !!s)
		finding("uvmi_adopt gives %d and %p", result, (void *)s);
	if (s) {
		use_by_two(r, s, !v.shrinks);
		uvmi_close(s);
	} else
		close(pair[1]);
	progress("the VM is to end");
	vm_end(&v);
}

int main(int argc, char **argv)
{
	static const struct fuzzer f = {.name = "uvmi",
		.ingredients = ingredients,
		.pass_seconds = 5,
		.hang_seconds = 60,
		.one_case = one_case};

	return fuzz_main(&f, argc, argv);
}
