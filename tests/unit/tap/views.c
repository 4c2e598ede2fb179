/* SPDX-License-Identifier: MIT */
/* See views.h. */
#include "views.h"

unsigned view_new(struct watcher *w)
{
	unsigned view;

	assert_int_equal(machine_create_view(w->world.m, &view), 0);
	return view;
}

void view_deny(struct watcher *w, unsigned view, u64 gpa, u32 denied)
{
	const struct page_rights p = {gpa, RIGHTS_ALL & ~denied};

	assert_int_equal(machine_set_page_rights(w->world.m, view, &p, 1), 0);
}

void view_lead(struct watcher *w, unsigned view, u64 from, u64 to)
{
	assert_int_equal(
		machine_view_remap(w->world.m, view, from >> PAGE_SHIFT, to >> PAGE_SHIFT), 0);
}

void view_enter(struct watcher *w, unsigned view)
{
	assert_int_equal(vcpu_set_view(w->world.v, view), 0);
	assert_int_equal(vcpu_view(w->world.v), view);
}

u32 view_word_at(const struct watcher *w, u32 at)
{
	u32 v;

	memcpy(&v, w->world.ram + at, 4);
	return v;
}

u32 view_eax(struct watcher *w)
{
	return (u32)gpr_of(w->world.v, RAX);
}

unsigned view_again(struct watcher *w, unsigned view)
{
	view_enter(w, view);
	watcher_start(w);
	watcher_run(w);
	return w->count;
}

void view_begin(struct watcher *w, bool step)
{
	watcher_open(w, step);
	assert_int_equal(vcpu_tap_events(w->world.v, BIT(TAP_PAGE)), 0);
	memset(w->world.ram + DATA, 0x11, PAGE_SIZE);
	memset(w->world.ram + DATA2, 0x22, PAGE_SIZE);
}

void view_both(void (*test)(struct watcher *w))
{
	static struct watcher w;

	for (unsigned step = 0; step < 2; step++) {
		view_begin(&w, step);
		test(&w);
		watcher_close(&w);
	}
}

u32 view_result(struct watcher *w, unsigned view)
{
	view_again(w, view);
	return view_eax(w);
}
