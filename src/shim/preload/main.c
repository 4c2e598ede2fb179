/* SPDX-License-Identifier: MIT */
/*
 * Before main: the C library's start of a program, which is the only hook that comes before the program has asked for
 * something. CPUID is no function, so what answers it must be there before the program runs into it.
 */
#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "abi/dev.h"
#include "base/sys.h"
#include "shim/ended.h"
#include "shim/preload/hook.h"
#include "shim/processor.h"
#include "shim/shim.h"
#include "shim/cpuidsites.h"

typedef int main_function(int argc, char **argv, char **envp);
int __libc_start_main(main_function *program, int argc, char **argv, void (*init)(void),
	void (*fini)(void), void (*linker_fini)(void), void *stack_end);

/* They ask the processor for themselves, and virtualization is not what they ask for. */
static const char *const run_times[] = {"libc.so.", "libm.so.", "libgcc_s.so.", "libstdc++.so.",
	"ld-linux-x86-64.so.", "libuservisor-preload.so", "linux-vdso.so."};

static bool is_run_time(const char *path)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

	for (unsigned i = 0; i < ARRAY_SIZE(run_times); i++)
		if (!strncmp(name, run_times[i], strlen(run_times[i])))
			return true;
	return false;
}

/* A note of the Go linker's. */
static bool has_go_note(const u8 *at, u64 n)
{
	while (n >= sizeof(Elf64_Nhdr) + 4) {
		const Elf64_Nhdr *h = (const void *)at;
		u64 size =
			sizeof(*h) + ALIGN_UP((u64)h->n_namesz, 4) + ALIGN_UP((u64)h->n_descsz, 4);

		if (h->n_namesz == 4 && !memcmp(h + 1, "Go\0", 4))
			return true;
		if (size > n)
			return false;
		at += size;
		n -= size;
	}
	return false;
}

/*
 * The run time of Go takes the signals of faults by system calls of its own. No handler of ours comes before it, so
 * nothing may fault that it does not expect.
 */
static bool is_go(const struct object *o)
{
	for (unsigned i = 0; i < o->count; i++)
		if (o->phdrs[i].p_type == PT_NOTE &&
			object_maps(o, o->base + o->phdrs[i].p_vaddr, o->phdrs[i].p_filesz) &&
			has_go_note(
				(const u8 *)(o->base + o->phdrs[i].p_vaddr), o->phdrs[i].p_filesz))
			return true;
	return false;
}

struct look {
	struct object program; /* the first object is the program itself */
	bool asked, go;
};

static int look_at(struct dl_phdr_info *info, size_t size, void *opaque)
{
	const struct object o = {
		.base = info->dlpi_addr, .phdrs = info->dlpi_phdr, .count = info->dlpi_phnum};
	struct look *l = opaque;

	(void)size;
	if (!l->program.phdrs)
		l->program = o;
	l->go = l->go || is_go(&o);
	l->asked = l->asked || (!is_run_time(info->dlpi_name) && processor_is_asked(&o));
	return 0;
}

static void show_processor(void)
{
	struct look l = {.asked = false};

	if (!processor_decide())
		return;
	dl_iterate_phdr(look_at, &l);
	if (l.go)
		processor_leave();
	else if (l.asked && !dev_handle_faults() && !processor_fault())
		processor_replace(&l.program);
}

static main_function *programs_own;

/* Programs close standard error when they end, and that is after this. */
static int run(int argc, char **argv, char **envp)
{
	int status = programs_own(argc, argv, envp);

	ended_tell();
	return status;
}

HOOK int __libc_start_main(main_function *program, int argc, char **argv, void (*init)(void),
	void (*fini)(void), void (*linker_fini)(void), void *stack_end)
{
	programs_own = program;
	nodes_begin();
	sys_key_make(); /* while no other thread is in a call: a filter may come later (seccomp.c) */
	pthread_atfork(hook_before_fork, NULL, hook_forked);
	ended_watch(argc > 0 ? argv[0] : "the program");
	atexit(ended_tell); /* for those that the C library ends */
	show_processor();
	return NEXT(__libc_start_main)(run, argc, argv, init, fini, linker_fini, stack_end);
}
