/* SPDX-License-Identifier: MIT */
/* Where a tool is, and what it may do: what introspect_parse() makes of its text. */
#ifndef INTROSPECT_TARGET_H
#define INTROSPECT_TARGET_H

#include <sys/socket.h>
#include <sys/un.h>

#include "base/sha1.h"
#include "introspect/introspect.h"

struct introspect_target {
	struct sockaddr_storage address;
	socklen_t address_size;
	struct introspect_rights rights;
	bool has_cookie;
	u8 cookie_hash[SHA1_SIZE];
	char name[INTROSPECT_NAME_MAX + 1]; /* empty: the process's */
};

#endif
