/* SPDX-License-Identifier: MIT */
/*
 * MC146818 clock and CMOS memory behind ports 0x70 and 0x71. A pure model: the caller passes the time of day, the
 * guest's own setting of the clock is kept as a difference to it. Alarms and periodic interrupts never come.
 */
#ifndef CHIPS_RTC_H
#define CHIPS_RTC_H

#include "base/types.h"

struct rtc {
	u8 index;
	u8 ram[128];
	s64 offset; /* guest's clock minus the caller's, seconds */
};

void rtc_init(struct rtc *r);
/* `port` is 0 (index) or 1 (data); `now` is in seconds since 1970, UTC. */
u8 rtc_read(struct rtc *r, unsigned port, s64 now);
void rtc_write(struct rtc *r, unsigned port, u8 value, s64 now);

#endif
