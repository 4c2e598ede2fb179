/* SPDX-License-Identifier: MIT */
/* Numbers and addresses of the command line. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/inspect/inspect.h"

bool inspect_number(const char *text, u64 *ret)
{
	const bool hex = text[0] == '0' && (text[1] | 0x20) == 'x';
	const char *digits = hex ? "0123456789abcdefABCDEF" : "0123456789";
	const char *at = hex ? text + 2 : text;

	if (!*at || at[strspn(at, digits)])
		return false;
	errno = 0;
	*ret = strtoull(at, NULL, hex ? 16 : 10);
	return errno == 0;
}

int inspect_place(const char *text, bool usually_virtual, struct address_word *ret)
{
	const char *number = text;

	ret->virtual_address = usually_virtual;
	if (!strncmp(text, "gva:", 4) || !strncmp(text, "gpa:", 4)) {
		ret->virtual_address = text[1] == 'v';
		number = text + 4;
	}
	if (inspect_number(number, &ret->at))
		return 0;
	return inspect_usage(
		"'%s' is not an address: give a number such as 4096 or 0x1000, behind gpa: if it "
		"is physical or gva: if it is virtual",
		text);
}

unsigned inspect_one_vcpu(const struct inspect *in)
{
	return in->vcpu == ALL_VCPUS ? 0 : in->vcpu;
}

int inspect_physical(struct inspect *in, const struct address_word *place, u64 *ret_gpa)
{
	const unsigned vcpu = inspect_one_vcpu(in);
	int r = 0;

	if (place->virtual_address)
		r = uvmi_translate_gva(in->s, vcpu, place->at, ret_gpa);
	else
		*ret_gpa = place->at;
	if (r == -EFAULT) {
		cli_say("inspect",
			"virtual address 0x%" PRIx64 " is not mapped on vCPU %u now: its process "
			"may not be running there, choose another "
			"with --vcpu",
			place->at, vcpu);
		return 1;
	}
	return r ? inspect_failed(in, "the address cannot be translated", r) : 0;
}
