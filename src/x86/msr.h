/* SPDX-License-Identifier: MIT */
/* Numbers of model-specific registers that code names (SDM 4). All that the engine has: engine/msr/table.c. */
#ifndef X86_MSR_H
#define X86_MSR_H

#define MSR_TSC          0x10
#define MSR_APIC_BASE    0x1b
#define MSR_TSC_ADJUST   0x3b
#define MSR_PAT          0x277
#define MSR_TSC_DEADLINE 0x6e0
/* Registers of the local APIC in x2APIC mode, SDM 3:10.12.1.2 */
#define MSR_X2APIC       0x800
#define MSR_X2APIC_END   0x8ff

#endif
