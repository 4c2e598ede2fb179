/* SPDX-License-Identifier: MIT */
/*
 * What one `uservisor exec` has started is a session: its processes have a name in their environment, by which devices that lead from
 * one process to another find each other.
 */
#ifndef SHIM_SESSION_H
#define SHIM_SESSION_H

/* For who starts programs: a name that nobody else has, unless there is one already. 0 or -errno. */
int session_begin(void);
/* Of this process, or NULL. */
const char *session_name(void);

#endif
