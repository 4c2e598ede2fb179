/* SPDX-License-Identifier: MIT */
/* See xen.h. */
#include "engine/pv/xen/xen.h"

#include <errno.h>
#include <string.h>

#include "engine/engine.h"
#include "engine/mem/memory.h"

void machine_set_xen(struct machine *m, u32 hypercall_msr)
{
	__atomic_store_n(&m->xen_msr, hypercall_msr, __ATOMIC_SEQ_CST);
}

/* mov eax, n; vmcall or vmmcall; ret */
int xen_write_page(struct vcpu *v, u64 value)
{
	u8 page[PAGE_SIZE];

	memset(page, 0xcc, sizeof(page));
	for (u32 n = 0; n < PAGE_SIZE / XEN_CALL_BYTES; n++) {
		u8 *call = page + n * XEN_CALL_BYTES;

		call[0] = 0xb8;
		memcpy(call + 1, &n, 4);
		machine_hypercall_insn(v->machine, call + 5);
		call[8] = 0xc3;
	}
	return machine_write(v->machine, value & PAGE_MASK, page, sizeof(page)) ? -EINVAL : 0;
}
