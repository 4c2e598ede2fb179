/* SPDX-License-Identifier: MIT */
/*
 * The ways to /dev/mshv, of which a program is linked with one: port_kernel.c makes system calls, as on a real root
 * partition and under `uservisor exec`; port_soft.c calls the engine in the same process, so that sanitizers see both.
 *
 * Results are as from a system call inside the kernel: >= 0 or -errno. Mappings of a descriptor are made with mmap().
 */
#ifndef TESTS_MSHV_PORT_H
#define TESTS_MSHV_PORT_H

#include "base/types.h"
#include "uapi/mshv.h"

int port_open(void);
long port_ioctl(int fd, unsigned long request, const void *arg);
void port_close(int fd);

#endif
