/* SPDX-License-Identifier: MIT */
/* Stands in for decode_test where Zydis is not installed. */
#include <stdio.h>

int main(void)
{
	printf("skipped: built without Zydis 4 (libzydis-dev), the oracle of this test\n");
	return 77;
}
