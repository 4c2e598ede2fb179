/* SPDX-License-Identifier: MIT */
/* The clock and CMOS memory at ports 0x70 and 0x71, with the host's time of day. */
#ifndef BOOT_DEV_RTC_H
#define BOOT_DEV_RTC_H

#include <pthread.h>

#include "boot/dev/bus.h"
#include "chips/rtc.h"

struct rtc_device {
	pthread_mutex_t lock;
	struct rtc chip;
};

int rtc_attach(struct rtc_device *d, struct bus *bus, struct failure *f);

#endif
