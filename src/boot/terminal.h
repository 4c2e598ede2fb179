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
/* The guest has gone, the rest of its output is being written: Ctrl-C is a signal again, but what comes in is still
 * neither shown nor kept for a line. A signal that ends the process restores. */
void terminal_leave(void);
/* After terminal_leave(): the guest asked the terminal something, whose answer may still be on its way here. Waits for
 * it and drops it; for a second at most. */
void terminal_drop_answers(void);
/* Raw mode, and back; what was not read by then is nobody's. Both may be called in any order and any number of times. */
void terminal_raw(void);
void terminal_restore(void);
/* Restore also when the process dies of a fault or an assertion. */
void terminal_restore_on_crash(void);

#endif
