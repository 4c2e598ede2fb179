/* SPDX-License-Identifier: MIT */
/* What the files of tool.h share. */
#ifndef TESTS_KVMI_EVENTS_H
#define TESTS_KVMI_EVENTS_H

#include "tests/kvmi/tool.h"

/* t->msg is an event: checks it and puts it behind those that are kept. */
void event_keep(struct tool *t);

#endif
