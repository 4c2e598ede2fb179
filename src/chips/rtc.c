/* SPDX-License-Identifier: MIT */
/* Motorola MC146818A, with the PC's century byte. */
#include <string.h>
#include <time.h>

#include "chips/rtc.h"

enum {
	SECONDS = 0,
	MINUTES = 2,
	HOURS = 4,
	WEEKDAY = 6,
	DAY = 7,
	MONTH = 8,
	YEAR = 9,
	REG_A = 10,
	REG_B = 11,
	REG_C = 12,
	REG_D = 13,
	CENTURY = 0x32
};

#define A_DIVIDER_32K 0x20
#define A_RATE_1024HZ 0x06
#define B_24_HOURS    BIT(1)
#define B_BINARY      BIT(2)
#define D_VALID       BIT(7)
#define HOURS_PM      BIT(7)

static u8 encode(const struct rtc *r, int value)
{
	return (u8)(r->ram[REG_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static int decode(const struct rtc *r, u8 value)
{
	return r->ram[REG_B] & B_BINARY ? value : (value >> 4) * 10 + (value & 15);
}

static u8 encode_hour(const struct rtc *r, int hour)
{
	if (r->ram[REG_B] & B_24_HOURS)
		return encode(r, hour);
	return encode(r, (hour + 11) % 12 + 1) | (hour >= 12 ? HOURS_PM : 0);
}

static int decode_hour(const struct rtc *r, u8 value)
{
	if (r->ram[REG_B] & B_24_HOURS)
		return decode(r, value);
	return decode(r, value & (u8)~HOURS_PM) % 12 + (value & HOURS_PM ? 12 : 0);
}

static struct tm clock_now(const struct rtc *r, s64 now)
{
	time_t t = (time_t)(now + r->offset);
	struct tm tm;

	gmtime_r(&t, &tm);
	return tm;
}

void rtc_init(struct rtc *r)
{
	memset(r, 0, sizeof(*r));
	r->ram[REG_A] = A_DIVIDER_32K | A_RATE_1024HZ;
	r->ram[REG_B] = B_24_HOURS;
	r->ram[REG_D] = D_VALID;
}

static u8 read_data(struct rtc *r, s64 now)
{
	struct tm tm = clock_now(r, now);

	switch (r->index) {
	case SECONDS: return encode(r, tm.tm_sec);
	case MINUTES: return encode(r, tm.tm_min);
	case HOURS: return encode_hour(r, tm.tm_hour);
	case WEEKDAY: return encode(r, tm.tm_wday + 1);
	case DAY: return encode(r, tm.tm_mday);
	case MONTH: return encode(r, tm.tm_mon + 1);
	case YEAR: return encode(r, tm.tm_year % 100);
	case CENTURY: return encode(r, tm.tm_year / 100 + 19);
	default: return r->ram[r->index];
	}
}

/* True when the register is part of the clock; an impossible date is normalised by timegm. */
static bool set_field(const struct rtc *r, u8 value, struct tm *tm)
{
	const int v = decode(r, value);

	switch (r->index) {
	case SECONDS: tm->tm_sec = v; return true;
	case MINUTES: tm->tm_min = v; return true;
	case HOURS: tm->tm_hour = decode_hour(r, value); return true;
	case DAY: tm->tm_mday = v; return true;
	case MONTH: tm->tm_mon = v - 1; return true;
	case YEAR: tm->tm_year = tm->tm_year / 100 * 100 + v % 100; return true;
	case CENTURY: tm->tm_year = (v - 19) * 100 + tm->tm_year % 100; return true;
	default: return false;
	}
}

static void write_data(struct rtc *r, u8 value, s64 now)
{
	struct tm tm = clock_now(r, now);

	if (set_field(r, value, &tm))
		r->offset = (s64)timegm(&tm) - now;
	else if (r->index == REG_A)
		r->ram[REG_A] = value & 0x7f; /* bit 7, update in progress, is never seen set */
	else if (r->index != REG_C && r->index != REG_D && r->index != WEEKDAY)
		r->ram[r->index] = value;
}

u8 rtc_read(struct rtc *r, unsigned port, s64 now)
{
	return port == 0 ? 0xff : read_data(r, now); /* the index cannot be read back */
}

void rtc_write(struct rtc *r, unsigned port, u8 value, s64 now)
{
	if (port == 0)
		r->index = value & 0x7f; /* bit 7 masks NMIs, which nothing here raises */
	else
		write_data(r, value, now);
}
