/* SPDX-License-Identifier: MIT */
/*
 * Shell-level jobs, run by busybox's shell with busybox's tools, natively as in the guest. BUSYBOX
 * names the binary; PATH must lead to its applets. The checksum is that of the job's output.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ubench.h"

static u64 job(const char *script)
{
	const char *busybox = getenv("BUSYBOX");
	char *const argv[] = {(char *)"sh", (char *)"-c", (char *)script, NULL};
	posix_spawn_file_actions_t actions;
	u64 hash = 0;
	u8 buf[4096];
	ssize_t got;
	int fds[2], status;
	pid_t pid;

	must(pipe2(fds, O_CLOEXEC) == 0, "pipe");
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], 1);
	must(posix_spawn(&pid, busybox ? busybox : "/bin/busybox", &actions, NULL, argv, environ) ==
			0,
		"busybox");
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	while ((got = read(fds[0], buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < got; i++)
			hash = mix(hash, buf[i]);
	close(fds[0]);
	waitpid(pid, &status, 0);
	must(status == 0, script);
	return hash;
}

#define JOB(name, script)                                                                          \
	static u64 run_##name(u64 n)                                                               \
	{                                                                                          \
		u64 sum = 0;                                                                       \
		while (n--)                                                                        \
			sum = mix(sum, job(script));                                               \
		return sum;                                                                        \
	}

JOB(ash, "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo $i")
JOB(gzip, "seq 1 200000 | gzip -c | md5sum")
JOB(gunzip, "seq 1 200000 | gzip -1 -c | gunzip -c | md5sum")
JOB(sha256sum, "dd if=/dev/zero bs=64k count=64 2>/dev/null | sha256sum")
JOB(sortawk,
	"seq 1 20000 | sort -rn | awk '{s+=$1*NR; t=t substr($1,1,1)} END {print s, length(t)}'")
JOB(forkbb, "i=0; while [ $i -lt 50 ]; do busybox true; i=$((i+1)); done; echo $i")
JOB(pipeline, "i=0; while [ $i -lt 20 ]; do echo abc$i | tr a-z A-Z | cat; i=$((i+1)); done")

const struct workload job_workloads[] = {
	{"ash", "jobs", "shell loop to 20000", run_ash},
	{"gzip", "jobs", "gzip 1.3 MB", run_gzip},
	{"gunzip", "jobs", "gzip -1 and gunzip 1.3 MB", run_gunzip},
	{"sha256sum", "jobs", "4 MiB through a pipe", run_sha256sum},
	{"sortawk", "jobs", "sort and awk 20000 lines", run_sortawk},
	{"forkbb", "jobs", "50 forked commands", run_forkbb},
	{"pipeline", "jobs", "20 pipelines of 3", run_pipeline},
	{0},
};
