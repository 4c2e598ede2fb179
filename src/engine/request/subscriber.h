/* SPDX-License-Identifier: MIT */
/* The subscriber of engine/tap.h, for whoever calls its functions. Outer code. */
#ifndef ENGINE_REQUEST_SUBSCRIBER_H
#define ENGINE_REQUEST_SUBSCRIBER_H

#include "engine/core/machine.h"

/* NULL: there is none. Else it does not go before it is released: machine_set_tap(NULL) waits. */
const struct tap *subscriber_hold(struct machine *m, void **ret_opaque);
/* NULL is allowed. */
void subscriber_release(struct machine *m, const struct tap *ops);

#endif
