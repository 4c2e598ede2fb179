/* SPDX-License-Identifier: MIT */
/* The end of a program. What main() returns comes here, too (main.c). */
#include <stdlib.h>
#include <unistd.h>

#include "shim/ended.h"
#include "shim/preload/hook.h"

HOOK void exit(int status)
{
	ended_tell();
	NEXT(exit)(status);
	__builtin_unreachable();
}

HOOK void _exit(int status)
{
	ended_tell();
	NEXT(_exit)(status);
	__builtin_unreachable();
}

HOOK void _Exit(int status) __attribute__((alias("_exit")));
