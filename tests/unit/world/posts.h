/* SPDX-License-Identifier: MIT */
/*
 * Counts the events that are posted to vcpus. They arrive all the same: the linker puts this before vcpu_post_event()
 * (--wrap; posts_args in meson.build), which has no other place from which a count of them could be seen.
 */
#ifndef TESTS_UNIT_WORLD_POSTS_H
#define TESTS_UNIT_WORLD_POSTS_H

struct vcpu;

/* To this vcpu, since the last call. */
unsigned world_posts(struct vcpu *v);

#endif
