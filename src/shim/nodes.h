/* SPDX-License-Identifier: MIT */
/* What there is to see, for who starts programs and tells of it. See nodes.c. */
#ifndef SHIM_NODES_H
#define SHIM_NODES_H

#include "base/types.h"

#define ONLY_ENV "USERVISOR_ONLY" /* the name of an interface: the nodes of all others are hidden */

/* The n-th interface's name, and its n-th node; or NULL. */
const char *interface_name(unsigned n);
const char *interface_node(unsigned interface, unsigned n);
/* Programs that this process becomes or starts see the nodes of this interface alone. 0 or -errno; -EINVAL: there is none. */
int nodes_only(const char *interface);
/* The first node of each interface that this program sees: "/dev/kvm or ...". */
void nodes_seen(char *text, size_t size);

#endif
