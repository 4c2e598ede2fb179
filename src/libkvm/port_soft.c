/* SPDX-License-Identifier: MIT */
/* The road to the engine in this process: calls into abi/. The only file of libkvm that knows abi/. */
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>

#include "abi/dev.h"
#include "base/hold.h"
#include "libkvm/port.h"

static int soft_open(const char *path, void **state)
{
	const char *tool = getenv(DEV_TOOL_ENV);
	struct refusal why;
	struct dev *dev;
	int r = dev_create(&dev);

	if (r < 0)
		return r;
	if (tool)
		r = dev_set_tool(dev, tool, &why);
	if (!r)
		r = dev_open(dev, path, O_RDWR | O_CLOEXEC);
	if (r < 0) {
		dev_destroy(dev);
		return r;
	}
	*state = dev;
	return r;
}

static long soft_ioctl(
	void *state, int fd, unsigned long request, unsigned long arg, struct refusal *ret_why)
{
	return dev_ioctl_why(state, fd, request, arg, NULL, ret_why);
}

/* All are blocked here; the engine looks for those that the mask lets through. */
static long soft_run(void *state, int fd, unsigned long request, unsigned long arg, u64 mask,
	struct refusal *ret_why)
{
	const struct dev_signals how = {.caller_mask = mask};
	sigset_t all, before;
	long r;

	sigfillset(&all);
	for (int signo = 1; signo < SIGRTMIN; signo++)
		if (SIG_IN_SYNC & SIG_BIT(signo))
			sigdelset(&all, signo);
	pthread_sigmask(SIG_BLOCK, &all, &before);
	r = dev_ioctl_why(state, fd, request, arg, &how, ret_why);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return r;
}

static void soft_close(void *state, int fd)
{
	dev_close(state, fd);
}

static void soft_destroy(void *state)
{
	dev_destroy(state);
}

static bool soft_has_tool(void)
{
	return getenv(DEV_TOOL_ENV) != NULL;
}

const char *request_name(unsigned long request)
{
	const char *name = dev_request_name(NULL, request);

	return name ? name : "a request";
}

const struct port_ops port_soft = {
	.open = soft_open,
	.ioctl = soft_ioctl,
	.run = soft_run,
	.close_fd = soft_close,
	.destroy = soft_destroy,
	.has_tool = soft_has_tool,
};
