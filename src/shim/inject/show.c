/* SPDX-License-Identifier: MIT */
/*
 * How others see the process: /proc/PID/cmdline, environ and auxv say what is on the program's stack
 * (prctl(2), PR_SET_MM_MAP). Where the kernel does not allow it they say uservisor's; no more than
 * that depends on it.
 */
#include <elf.h>
#include <linux/prctl.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/inject/stack.h"

/* From the process's own line: what shall stay as it is (proc(5), fields of stat). */
static bool now(struct prctl_mm_map *m)
{
	FILE *f = fopen("/proc/self/stat", "re");
	char line[1024], *at;
	unsigned long long v[52] = {0};
	unsigned i;

	at = f && fgets(line, sizeof(line), f) ? strrchr(line, ')') : NULL;
	if (f)
		fclose(f);
	for (i = 3; at && i < ARRAY_SIZE(v); i++) {
		at = strchr(at + 1, ' ');
		if (at)
			sscanf(at, "%llu", &v[i]);
	}
	m->start_code = v[26];
	m->end_code = v[27];
	m->start_stack = v[28];
	m->start_data = v[45];
	m->end_data = v[46];
	m->start_brk = v[47];
	m->brk = (u64)sbrk(0);
	m->exe_fd = (u32)-1;
	return at;
}

/* The strings of a list, which stand one after the other; *ret_end follows the last. */
static u64 *strings(u64 *list, u64 *ret_start, u64 *ret_end)
{
	*ret_start = *list ? *list : *ret_end;
	*ret_end = *ret_start;
	for (; *list; list++)
		*ret_end = *list + strlen((const char *)*list) + 1;
	return list + 1;
}

void stack_show(u64 sp)
{
	struct prctl_mm_map m = {0};
	u64 *at = (u64 *)sp + 1, start, end = sp;
	Elf64_auxv_t *aux;

	if (!now(&m))
		return;
	at = strings(at, &start, &end);
	m.arg_start = start;
	m.arg_end = end;
	aux = (Elf64_auxv_t *)strings(at, &start, &end);
	m.env_start = start;
	m.env_end = end;
	m.auxv = (__u64 *)aux;
	while (aux->a_type != AT_NULL)
		aux++;
	m.auxv_size = (u32)((u64)(aux + 1) - (u64)m.auxv);
	syscall(SYS_prctl, PR_SET_MM, PR_SET_MM_MAP, &m, sizeof(m), 0);
}
