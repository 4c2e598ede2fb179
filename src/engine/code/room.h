/* SPDX-License-Identifier: MIT */
#ifndef ENGINE_CODE_ROOM_H
#define ENGINE_CODE_ROOM_H

struct blocks;

int blocks_create(struct blocks **ret);
void blocks_destroy(struct blocks *b);

#endif
