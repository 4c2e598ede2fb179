/* SPDX-License-Identifier: MIT */
/*
 * uservisor exec: run a program with our devices.
 *
 * A dynamic program gets our library by LD_PRELOAD. A static one makes its system calls itself: it
 * is loaded into this process (shim/inject).
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli/cli.h"
#include "shim/ended.h"
#include "shim/inject/inject.h"
#include "shim/nodes.h"
#include "shim/processor.h"
#include "shim/session.h"
#include "shim/target.h"

#define LIBRARY "libuservisor-preload.so"
#define LOADER  "uservisor-loader" /* does as `uservisor exec`, and needs no other file */

static const char help_text[] =
	"Usage: uservisor exec [OPTION]... [--] PROGRAM [ARGUMENT]...\n"
	"\n"
	"Runs an unmodified program that uses /dev/kvm or /dev/mshv on the soft engine, whether\n"
	"or not this machine has such a device of its own.\n"
	"\n"
	"  --inject      catch every system call of a dynamic program, as for static programs: "
	"for\n"
	"                programs that make system calls themselves\n"
	"  --only NAME   show the devices of one interface only, kvm or mshv: /dev/kvm, or\n"
	"                /dev/mshv and its relatives. Programs that can use both take /dev/kvm\n"
	"  --introspect TOOL\n"
	"                let a tool introspect the machines, by the KVMI protocol. It listens at\n"
	"                unix:PATH or vsock:PORT; `man uservisor` has the options that may follow\n"
	"  --host-cpuid  show the processor as it is; without this option, the CPUID instruction\n"
	"                and /proc/cpuinfo report VT-x or AMD-V\n"
	"  --quiet       print nothing if the program ends without having opened a device\n"
	"  --argv0 NAME  the name that the program receives as its own (implies --quiet)\n"
	"  --no-rewrite  leave the code of static programs as it is; each system call then costs\n"
	"                a signal\n"
	"\n"
	"Exit status: that of the program; 126: the program cannot be run; 127: it was not found;\n"
	"2: wrong options.\n";

/* The last four are what shim/inject says when a program executes another one. */
static const struct option options[] = {{"help", no_argument, NULL, 'h'},
	{"inject", no_argument, NULL, 'i'}, {"quiet", no_argument, NULL, 'q'},
	{"host-cpuid", no_argument, NULL, 'c'}, {"argv0", required_argument, NULL, 'a'},
	{"no-rewrite", no_argument, NULL, 'n'}, {"only", required_argument, NULL, 'y'},
	{"introspect", required_argument, NULL, 't'}, {"program", required_argument, NULL, 'p'},
	{"filters", required_argument, NULL, 'f'}, {"self", required_argument, NULL, 's'},
	{"own", required_argument, NULL, 'o'}, {NULL, 0, NULL, 0}};

struct choice {
	bool inject, quiet;
	const char *argv0;
	int program; /* an open descriptor of it, or -1 */
	int filters; /* seccomp filters from before an exec, or -1 */
	int self;    /* of the loader, likewise */
	char **envp; /* of the program: without what options have put into ours */
	const char *name;
	char **args; /* of the program; args[0] is its name */
};

/*
 * Beside the executable, as in the build tree; where it lies from there once installed, also if the whole was
 * moved; or where it was to be installed. path has PATH_MAX bytes.
 */
static bool find_beside(const char *name, char *path)
{
	static const char *const places[] = {"/", "/" UV_LIBDIR_FROM_BIN "/"};
	char self[PATH_MAX], at[PATH_MAX + 256];
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *slash;

	self[n < 0 ? 0 : n] = 0;
	slash = strrchr(self, '/');
	if (slash)
		*slash = 0;
	for (size_t i = 0; slash && i < ARRAY_SIZE(places); i++) {
		snprintf(at, sizeof(at), "%s%s%s", self, places[i], name);
		if (!access(at, R_OK) && realpath(at, path))
			return true;
	}
	snprintf(path, PATH_MAX, "%s/%s", UV_LIBDIR, name);
	return !access(path, R_OK);
}

static bool find_library(char *path)
{
	return find_beside(LIBRARY, path);
}

/* What programs that the program executes are started by, also in a chroot. */
static int open_self(const struct choice *o)
{
	char loader[PATH_MAX];

	if (o->self >= 0)
		return o->self;
	return open(find_beside(LOADER, loader) ? loader : "/proc/self/exe", O_RDONLY | O_CLOEXEC);
}

/* In front of the user's own. */
static int preload(const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	char *value;

	if (strpbrk(library, " :")) {
		cli_say("exec",
			"the path %s contains spaces or colons, so LD_PRELOAD cannot contain it: "
			"move the file",
			library);
		return -EINVAL;
	}
	if (asprintf(&value, "%s%s%s", library, old && *old ? ":" : "", old ? old : "") < 0)
		return -ENOMEM;
	return setenv("LD_PRELOAD", value, 1);
}

static int run_dynamic(const struct choice *o)
{
	char library[PATH_MAX];

	if (!find_library(library)) {
		cli_say("exec",
			"%s is neither beside this executable nor in %s: install uservisor again",
			LIBRARY, UV_LIBDIR);
		return 126;
	}
	if (preload(library))
		return 126;
	execvp(o->name, o->args);
	cli_say("exec", "%s cannot be run: %s", o->name, strerror(errno));
	return errno == ENOENT ? 127 : 126;
}

/* ---- static programs ---- */

/* As execvp() looks for it; a descriptor, or -1. */
static int open_program(const char *name, char *path, size_t size)
{
	const char *dir = getenv("PATH"), *end;

	snprintf(path, size, "%s", name);
	if (strchr(name, '/') || !dir)
		return open(path, O_RDONLY | O_CLOEXEC);
	for (;; dir = end + 1) {
		end = strchrnul(dir, ':');
		snprintf(path, size, "%.*s%s%s", (int)(end - dir), dir, end > dir ? "/" : "", name);
		if (!access(path, X_OK))
			return open(path, O_RDONLY | O_CLOEXEC);
		if (!*end)
			return -1;
	}
}

static const char *why_not(int error)
{
	switch (error) {
	case -ENOSYS:
		return "it makes its system calls itself, and this kernel cannot pass them to "
		       "uservisor: Linux 5.11 with Syscall User Dispatch is necessary";
	case -EEXIST: return "the addresses at which it must be loaded are in use in this process";
	default: return strerror(-error);
	}
}

/* argv[0] and what a script's first line puts before the rest. */
static char **program_args(const struct choice *o, const struct target *t)
{
	unsigned n = 0, i, at = 0;
	char **args;

	while (o->args[n])
		n++;
	args = calloc(n + t->count + 2, sizeof(*args));
	if (!args)
		return NULL;
	for (i = 0; i < t->count; i++)
		args[at++] = t->args[i];
	if (!t->count)
		args[at++] = o->argv0 ? (char *)o->argv0 : o->args[0];
	for (i = 1; i < n; i++)
		args[at++] = o->args[i];
	return args;
}

static int run_inside(const struct choice *o, const char *path, const struct target *t)
{
	char library[PATH_MAX];
	struct inject_config cfg = {.name = path,
		.fd = t->fd,
		.self = open_self(o),
		.argv = program_args(o, t),
		.envp = o->envp,
		.preload = find_library(library) ? library : NULL,
		.filters = o->filters};
	int r = cfg.argv ? inject_run(&cfg) : -ENOMEM;

	cli_say("exec", "%s cannot be run: %s", path, why_not(r));
	return 126;
}

/* The dynamic linker takes no library from whom the program has more rights than. */
static bool has_more_rights(int fd)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st))
		return false;
	if (((st.st_mode & S_ISUID) && st.st_uid != geteuid()) ||
		((st.st_mode & S_ISGID) && st.st_gid != getegid()))
		return true;
	return geteuid() && fgetxattr(fd, "security.capability", NULL, 0) > 0;
}

static bool is_32_bit(int fd)
{
	u8 head[5];

	return fd >= 0 && pread(fd, head, sizeof(head), 0) == sizeof(head) &&
	       !memcmp(head, ELFMAG, SELFMAG) && head[EI_CLASS] == ELFCLASS32;
}

static const char *never_works(int fd)
{
	if (is_32_bit(fd))
		return "it is a 32-bit program, and uservisor supports only 64-bit programs";
	if (has_more_rights(fd))
		return "it is set-uid or set-gid or has capabilities, so the system loads no "
		       "library into it: run it as its owner, or run a copy without these "
		       "attributes";
	return NULL;
}

/*
 * The first of several tells: what a program executes is not what the user started. (shim/ gives it a name, and it may
 * come without our variables.)
 */
static int mark_started(const struct choice *o)
{
	char number[12];

	if (o->argv0)
		return 0;
	snprintf(number, sizeof(number), "%d", o->quiet ? 0 : (int)getpid());
	return setenv(STARTED_ENV, number, 0);
}

static int run(const struct choice *o)
{
	static struct target target;
	const char *problem;
	char path[PATH_MAX];
	int fd = o->program;

	if (fd < 0)
		fd = open_program(o->name, path, sizeof(path));
	else
		snprintf(path, sizeof(path), "%s", o->name);
	problem = never_works(fd);
	if (problem) {
		cli_say("exec", "%s cannot be run: %s", path, problem);
		return 126;
	}
	if (mark_started(o) || session_begin())
		return 126;
	target_find(path, fd, &target);
	if (target.kind == IMAGE_STATIC || (target.kind == IMAGE_DYNAMIC && o->inject))
		return run_inside(o, path, &target);
	if (o->filters >= 0) { /* the file has changed: the kernel would start it without */
		cli_say("exec", "%s cannot be run: its seccomp filters would be lost", path);
		return 126;
	}
	return run_dynamic(o);
}

int exec_program(char **args)
{
	const struct choice o = {.program = -1,
		.filters = -1,
		.self = -1,
		.envp = environ,
		.name = args[0],
		.args = args};

	return run(&o);
}

int cli_only(const char *command, const char *name)
{
	char names[64] = "";
	size_t used = 0;
	const char *known;
	int r = nodes_only(name);

	for (unsigned n = 0; (known = interface_name(n)) && used < sizeof(names); n++)
		used += (size_t)snprintf(
			names + used, sizeof(names) - used, "%s%s", n ? " or " : "", known);
	if (r == -EINVAL)
		cli_say(command, "--only %s: there is no interface of this name; it must be %s",
			name, names);
	else if (r)
		cli_say(command, "--only %s: %s", name, strerror(-r));
	return r;
}

int cli_exec(int argc, char **argv)
{
	struct choice o = {.program = -1, .filters = -1, .self = -1, .envp = environ};
	int option;

	while ((option = getopt_long(argc, argv, "+", options, NULL)) != -1) {
		switch (option) {
		case 'h': return fputs(help_text, stdout) < 0;
		case 'i': o.inject = true; break;
		case 'q': o.quiet = true; break;
		case 'c': setenv(PROCESSOR_HOST_ENV, "1", 1); break;
		case 'a': o.argv0 = optarg; break;
		case 'n':
			if (setenv(INJECT_REWRITE_ENV, "never", 1))
				return 126;
			break;
		case 'y':
			if (cli_only("exec", optarg))
				return EXIT_USAGE;
			break;
		case 't':
			if (cli_introspect("exec", optarg))
				return EXIT_USAGE;
			break;
		case 'p': o.program = atoi(optarg); break;
		case 'f':
			o.filters = atoi(optarg);
			if (o.filters < 0)
				return EXIT_USAGE;
			break;
		case 's': o.self = atoi(optarg); break;
		case 'o':
			if (putenv(optarg))
				return 126;
			break;
		default: return EXIT_USAGE;
		}
	}
	if (optind == argc) {
		cli_say("exec", "there is no program to run: see `uservisor exec --help`");
		return EXIT_USAGE;
	}
	o.name = argv[optind];
	o.args = argv + optind;
	return run(&o);
}
