/* SPDX-License-Identifier: MIT */
/* What linux_guest.c does and linux_tool.c expects. */
#ifndef UVMI_LINUX_PROOF_H
#define UVMI_LINUX_PROOF_H

#define LINUX_CPUS   8
#define TABLE_ROUNDS 4
#define PAGE_CALLS   1000
#define PAGE_LOADS   100
#define PAGE_STORES  50

/* RDX of the guest's hypercall; R8 is as told. */
enum linux_mark {
	MARK_TABLE =
		1, /* the page tables that map what lies at R8 are to be watched; R9 vcpus will write them */
	MARK_TABLE_CLEARED, /* no entry is marked accessed now */
	MARK_TABLE_TOUCHED, /* each is, and no instruction has written to the tables meanwhile */
	MARK_TABLE_ROUNDS,  /* all are empty; the rounds begin */
	MARK_TABLE_END,
	MARK_EXECUTE_ONLY, /* the page at R8 is to be so */
	MARK_WRITE_ONLY,
	MARK_CALLS, /* so many follow: */
	MARK_LOADS,
	MARK_STORES,
	MARK_KERNEL_LOADS,
	MARK_PAGE_END,
	MARK_STEPS, /* each instruction of this vcpu is to be told of, until enough of them were, and R8 points to 1 */
	MARK_STEPS_END,
};

#endif
