/* SPDX-License-Identifier: MIT */
/* Control sequences as in ECMA-48 section 5.4 and xterm's ctlseqs; those that are answered are in one table. */
#include <stddef.h>

#include "boot/query.h"

#define ENQ 0x05
#define BEL 0x07
#define ESC 0x1b

enum { TEXT, ESCAPED, CONTROL, STRING, DEVICE };

/* A private marker and a last intermediate byte, 0: none, '*': any; and the final byte. */
static const struct {
	u8 private, before, final;
} answered[] = {
	{'*', 0, 'n'},   /* DSR: status, cursor position */
	{'*', 0, 'c'},   /* DA: device attributes */
	{0, 0, 't'},     /* sizes and title of the window */
	{0, 0, 'x'},     /* DECREQTPARM */
	{'?', 0, 'u'},   /* keyboard flags */
	{'?', 0, 'm'},   /* key modifiers */
	{'?', 0, 'S'},   /* graphics */
	{'>', 0, 'q'},   /* name and version */
	{'*', '$', 'p'}, /* DECRQM: modes */
	{0, '$', 'w'},   /* DECRQPSR, DECRQTSR */
	{'*', '$', 'u'}, /* DECRQTSR */
	{0, '*', 'y'},   /* DECRQCRA */
};

static bool is_answered(const struct query *q, u8 final)
{
	for (size_t i = 0; i < ARRAY_SIZE(answered); i++)
		if (answered[i].final == final && answered[i].before == q->before &&
			(answered[i].private == '*' || answered[i].private == q->private))
			return true;
	return false;
}

static bool escaped(struct query *q, u8 byte)
{
	*q = (struct query){.state = TEXT};
	switch (byte) {
	case '[': q->state = CONTROL; break;
	case ']': q->state = STRING; break;
	case 'P': q->state = DEVICE; break;
	case ESC: q->state = ESCAPED; break;
	default: break;
	}
	return byte == 'Z'; /* DECID */
}

static bool control(struct query *q, u8 byte)
{
	if (byte >= '<' && byte <= '?')
		q->private = byte;
	else if (byte >= 0x20 && byte <= 0x2f)
		q->before = byte;
	else if (byte == ESC)
		q->state = ESCAPED;
	else if (byte >= 0x40) {
		q->state = TEXT;
		return is_answered(q, byte);
	}
	return false;
}

/* OSC asks where a value is "?"; DCS $ q and DCS + q ask for settings and for terminfo. */
static bool string(struct query *q, u8 byte)
{
	if (byte == BEL || byte == ESC) {
		q->state = byte == ESC ? ESCAPED : TEXT;
		return q->asks;
	}
	if (q->state == STRING)
		q->asks |= byte == '?';
	else
		q->asks |= byte == 'q' && (q->before == '$' || q->before == '+');
	q->before = byte;
	return false;
}

bool query_byte(struct query *q, u8 byte)
{
	switch (q->state) {
	case ESCAPED: return escaped(q, byte);
	case CONTROL: return control(q, byte);
	case STRING:
	case DEVICE: return string(q, byte);
	default: q->state = byte == ESC ? ESCAPED : TEXT; return byte == ENQ;
	}
}
