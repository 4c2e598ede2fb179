/* SPDX-License-Identifier: MIT */
/* From a file to a running program in this process: see inject.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "abi/dev.h"
#include "base/fd.h"
#include "base/without.h"
#include "shim/ended.h"
#include "shim/inject/inject.h"
#include "shim/inject/private.h"
#include "shim/inject/site.h"
#include "shim/inject/stack.h"
#include "shim/processor.h"
#include "shim/cpuidsites.h"

/* The processor sets fs by an instruction, and the kernel lets programs use it. */
static bool has_fsgsbase(void)
{
	return (getauxval(AT_HWCAP2) & HWCAP2_FSGSBASE) && !without(WITHOUT_FSGSBASE);
}

static int load_interpreter(const struct image *program, struct image *ret)
{
	int fd, r;

	*ret = (struct image){0};
	if (!program->interpreter[0])
		return 0;
	fd = open(program->interpreter, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	r = image_load(fd, ret);
	close(fd);
	return r;
}

/* The name that /proc/self/exe and the kernel's task have. */
static void take_name(struct program *p, const struct inject_config *cfg)
{
	char link[32];
	ssize_t n;
	const char *slash = strrchr(cfg->name, '/');

	snprintf(link, sizeof(link), "/proc/self/fd/%d", cfg->fd);
	n = readlink(link, p->path, sizeof(p->path) - 1);
	p->path[n > 0 ? n : 0] = 0;
	if (n <= 0) /* no /proc */
		snprintf(p->path, sizeof(p->path), "%s", cfg->name);
	prctl(PR_SET_NAME, slash ? slash + 1 : cfg->name);
	if (cfg->preload)
		snprintf(p->preload, sizeof(p->preload), "%s", cfg->preload);
}

/* The first context of a program: registers as the psABI has them, the caller's signal mask. */
static void first_context(struct thread *t, u64 entry, u64 sp, u64 mask)
{
	struct context none = {.flags = 6, /* UC_SIGCONTEXT_SS, UC_STRICT_RESTORE_SS */
		.rip = entry,
		.rsp = sp,
		.rflags = 0x202,
		.cs = 0x33,
		.ss = 0x2b};
	struct context *c = thread_context(t, &none);

	signal_set_mask(t, c, mask);
	thread_enter(t, c);
}

static void show_processor(const struct program *p, const struct image *i)
{
	struct object o = {
		.base = i->base, .phdrs = (const Elf64_Phdr *)i->phdrs, .count = i->phdr_count};
	int fd;

	if (!processor_decide() || processor_fault() || !i->phdrs)
		return;
	fd = open(p->path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		elf_find_section(fd, ".eh_frame", &o.frames, &o.frames_size);
		close(fd);
	}
	processor_replace(&o);
}

static int become(struct program *p, const struct image *i, u64 entry, u64 sp, int filters)
{
	struct thread *t = thread_create(p);
	u64 all = ~0ull, mask = 0;
	int r;

	if (!t)
		return -ENOMEM;
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &mask, sizeof(mask));
	r = thread_fs(t);
	r = r ? r : signals_init(p);
	/* Now, not with the first machine: other threads' faults may be ours at any time then (site_trap()). */
	if (!r && !dev_handle_faults())
		signal_capture_engine(p);
	r = r || filters < 0 ? r : seccomp_restore(t, filters);
	r = r ? r : thread_arm(t);
	if (r)
		return r == -EINVAL ? -ENOSYS : r;
	thread_list(t);
	ended_watch(p->path);
	show_processor(p, i);
	xstate_hide(p->sites, i);
	first_context(t, entry, sp, mask);
	return 0;
}

int inject_run(const struct inject_config *cfg)
{
	struct program *p = calloc(1, sizeof(*p));
	struct image program, interpreter;
	struct start s = {
		.program = &program, .name = cfg->name, .argv = cfg->argv, .envp = cfg->envp};
	u64 sp;
	int r;

	if (without(WITHOUT_DISPATCH))
		return -ENOSYS;
	if (!p)
		return -ENOMEM;
	nodes_begin();
	pthread_mutex_init(&p->lock, NULL);
	p->fs_calls = !has_fsgsbase();
	call_classes(p);
	p->sites = sites_create();
	if (!p->sites)
		return -ENOMEM;
	s.fsgsbase = !p->fs_calls;
	take_name(p, cfg);
	r = image_load(cfg->fd, &program);
	r = r ? r : load_interpreter(&program, &interpreter);
	r = r ? r : brk_init(p);
	if (r)
		return r;
	sites_add_text(p->sites, &program);
	sites_add_text(p->sites, &interpreter);
	p->exe = fd_keep(cfg->fd);
	p->self = fd_keep(cfg->self);
	fd_keep_in_children(p->exe);
	fd_keep_in_children(p->self);
	s.interpreter_base = interpreter.base;
	sp = stack_create(&s);
	if (sp)
		stack_show(sp);
	return sp ? become(p, &program, interpreter.entry ? interpreter.entry : program.entry, sp,
			    cfg->filters)
		  : -ENOMEM;
}
