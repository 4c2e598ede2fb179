/* SPDX-License-Identifier: MIT */
/* See ended.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/sys.h"
#include "shim/ended.h"
#include "shim/nodes.h"
#include "shim/processor.h"
#include "shim/shim.h"

static struct {
	int pid;
	char name[64];
	struct stat standard_error; /* as it was at the start, */
	long faults_of_children; /* and what those had taken that the process had before an execve() */
} started;

static bool faults_of_children(long *ret)
{
	struct rusage u;

	if (SYS_CALL2(SYS_getrusage, RUSAGE_CHILDREN, &u))
		return false;
	*ret = u.ru_minflt;
	return true;
}

void ended_watch(const char *name)
{
	const char *value = getenv(STARTED_ENV), *slash = strrchr(name, '/');

	if (!value || atoi(value) != sys_getpid() || sys_fstat(2, &started.standard_error))
		return;
	faults_of_children(&started.faults_of_children);
	snprintf(started.name, sizeof(started.name), "%s", slash ? slash + 1 : name);
	started.pid = atoi(value);
}

/* The line is for who reads standard error, not for a file that has the same number by now. */
static bool standard_error_is_the_same(void)
{
	struct stat st;

	return !sys_fstat(2, &st) && st.st_dev == started.standard_error.st_dev &&
	       st.st_ino == started.standard_error.st_ino;
}

/* Then one of them may have opened it: the program is a script, or a launcher. */
static bool has_had_children(void)
{
	siginfo_t info;
	long faults;

	if (!SYS_CALL5(SYS_waitid, P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT | __WALL, 0))
		return true;
	return faults_of_children(&faults) && faults != started.faults_of_children;
}

static const char *why(void)
{
	switch (processor_shown()) {
	case PROCESSOR_HOST: return " (with --host-cpuid it saw the processor as it is)";
	case PROCESSOR_CANNOT:
		return " (its own CPUID instructions, if any, found no VT-x or AMD-V: this machine "
		       "cannot intercept them)";
	default: return "";
	}
}

void ended_tell(void)
{
	char line[256], nodes[64];
	int n;

	if (likely(!started.pid) || started.pid != sys_getpid() || shim_was_asked() ||
		has_had_children() || !standard_error_is_the_same())
		return;
	started.pid = 0;
	nodes_seen(nodes, sizeof(nodes));
	n = snprintf(line, sizeof(line),
		"uservisor: %s ended without having opened %s%s; --quiet omits this line\n",
		started.name, nodes, why());
	(void)!sys_write(2, line, MIN((size_t)n, sizeof(line) - 1));
}
