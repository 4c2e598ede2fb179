/* SPDX-License-Identifier: MIT */
/* Stands in for port_soft.c in a build without the engine. */
#include <errno.h>

#include "libkvm/port.h"

static int none_open(void **state)
{
	return -ENOSYS;
}

const struct port_ops port_soft = {.name = "soft", .open = none_open};
