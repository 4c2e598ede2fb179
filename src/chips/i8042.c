/* SPDX-License-Identifier: MIT */
/* Intel 8042 as wired in the IBM PC AT (Technical Reference, "Keyboard Controller"). */
#include "chips/i8042.h"

#define PULSE_RESET 0xfe /* pulse output lines, of which only line 0 is selected (low) */

u8 i8042_read(u16 port)
{
	return port == I8042_COMMAND ? 0 : 0xff; /* status: both buffers empty */
}

bool i8042_write(u16 port, u8 value)
{
	return port == I8042_COMMAND && value == PULSE_RESET;
}
