/* SPDX-License-Identifier: MIT */
/* The option --introspect of the commands that start machines. */
#include <errno.h>
#include <string.h>

#include "cli/cli.h"
#include "shim/tool.h"

int cli_introspect(const char *command, const char *tool)
{
	struct refusal why = {0};
	char text[256];
	int r = tool_choose(tool, &why);

	if (r && why.why)
		cli_say(command, "--introspect %s: %s%s%s", tool,
			refusal_text(&why, text, sizeof(text)), r == -EINVAL ? "" : ": ",
			r == -EINVAL ? "" : strerror(-r));
	else if (r)
		cli_say(command, "--introspect %s: %s", tool, strerror(-r));
	return r;
}
