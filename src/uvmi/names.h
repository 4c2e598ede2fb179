/* SPDX-License-Identifier: MIT */
/* What is known of each command by its number in the public header: the rows of commands.def. */
#ifndef UVMI_NAMES_H
#define UVMI_NAMES_H

#include "base/types.h"
#include "uvmi.h"

/* The message's id in this dialect, or -1: it has no such command. */
int command_id(enum uvmi_dialect dialect, enum uvmi_command command);
bool command_in_batch(enum uvmi_command command);
/* Whether the dialect has the event at all. */
bool event_exists(enum uvmi_dialect dialect, unsigned event);

#endif
