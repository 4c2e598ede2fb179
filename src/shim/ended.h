/* SPDX-License-Identifier: MIT */
/*
 * One line for who started a program that ends without having opened a device: nothing of it ran on the engine, and
 * what it looked for instead it may not have said.
 */
#ifndef SHIM_ENDED_H
#define SHIM_ENDED_H

/* The process that `uservisor exec` became, which keeps its number over execve(); 0: nobody wants to know. */
#define STARTED_ENV "USERVISOR_STARTED"

/* Before the program's first instruction: is it the one that was started? */
void ended_watch(const char *name);
/* This process ends. In any thread, and in a forked or vforked child, whose end is not meant. */
void ended_tell(void);

#endif
