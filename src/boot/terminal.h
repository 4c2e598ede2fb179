/* SPDX-License-Identifier: MIT */
/*
 * The user's terminal on standard input: raw while a guest has it, as it was before on every way out, a crash
 * included. There is one terminal and one set of signal handlers per process, so this part has the program's only
 * static variable.
 */
#ifndef BOOT_TERMINAL_H
#define BOOT_TERMINAL_H

#include <stdbool.h>

/* Standard input is a terminal and it is ours to read (not a background job's). */
bool terminal_present(void);
/* Raw mode, and back. Both may be called in any order and any number of times. */
void terminal_raw(void);
void terminal_restore(void);
/* Restore also when the process dies of a fault or an assertion. */
void terminal_restore_on_crash(void);

#endif
