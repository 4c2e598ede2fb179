/* SPDX-License-Identifier: MIT */
#include "shim/tool.h"

#include <errno.h>
#include <stdlib.h>

#include "abi/dev.h"

int tool_choose(const char *text, struct refusal *why)
{
	int r = dev_check_tool(text, why);

	if (!r && setenv(DEV_TOOL_ENV, text, 1))
		r = -errno;
	return r;
}

/* A text that is wrong in here was right where it was chosen: the cookie's file has gone. Then there is no tool. */
void tool_tell(struct dev *d)
{
	const char *text = getenv(DEV_TOOL_ENV);
	struct refusal why;

	if (text)
		dev_set_tool(d, text, &why);
}
