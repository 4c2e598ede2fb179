/* SPDX-License-Identifier: MIT */
/*
 * Translated basic blocks: their table, and what becomes of them when their code changes.
 */
#ifndef ENGINE_CPU_BLOCK_H
#define ENGINE_CPU_BLOCK_H

#include "engine/cpu/cpu.h"

struct blocks;

int blocks_create(struct blocks **ret);
void blocks_destroy(struct blocks *b);

#endif
