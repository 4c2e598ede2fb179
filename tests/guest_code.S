/* SPDX-License-Identifier: MIT */
/* For assembly: guest code that tests copy into guests. GUEST name ... END name is what C knows as guest_NAME and guest_NAME_end. */
	.macro GUEST name
	.globl guest_\name, guest_\name\()_end
	.hidden guest_\name, guest_\name\()_end
	.balign 16
guest_\name:
	.endm

	.macro END name
guest_\name\()_end:
	.endm
