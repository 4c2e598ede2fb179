/* SPDX-License-Identifier: MIT */
/* See world.h. */
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/refusal.h"

struct dev *dev_new(void)
{
	struct dev *d;

	assert_int_equal(dev_create(&d), 0);
	return d;
}

int world_setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));

	fake_log = mmap(
		NULL, sizeof(*fake_log), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	f->dev = dev_new();
	f->sys = dev_open(f->dev, "/dev/fake", O_RDWR | O_CLOEXEC);
	assert_true(f->sys >= 0);
	*state = f;
	return 0;
}

int world_teardown(void **state)
{
	struct fixture *f = *state;

	dev_close(f->dev, f->sys);
	dev_destroy(f->dev);
	munmap(fake_log, sizeof(*fake_log));
	free(f);
	return 0;
}

int make(struct dev *d, int fd, unsigned long request, unsigned long number)
{
	int r = (int)dev_ioctl(d, fd, request, number);

	assert_true(r >= 0);
	return r;
}

int make_box(struct fixture *f, unsigned long number)
{
	return make(f->dev, f->sys, FAKE_MAKE_BOX, number);
}

int make_part(struct fixture *f, int box, unsigned long number)
{
	return make(f->dev, box, FAKE_MAKE_PART, number);
}

bool was_released(int number)
{
	for (unsigned i = 0; i < fake_log->count; i++)
		if (fake_log->number[i] == number)
			return true;
	return false;
}

void expect_refused(struct dev *d, int fd, unsigned long request, long error)
{
	struct refusal why;

	assert_int_equal(dev_ioctl_why(d, fd, request, 0, NULL, &why), error);
	assert_non_null(why.why);
}
