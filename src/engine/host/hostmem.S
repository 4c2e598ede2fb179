/* SPDX-License-Identifier: MIT */
/*
 * See hostmem.h. Up to host_mem_mid a fault continues at host_string_fault, which still finds the
 * structure in r8 and the progress in rcx; from there to host_mem_end at host_lock_fault. Nothing here
 * moves rsp or uses callee-saved registers.
 */
	.intel_syntax noprefix
	.text

	.globl host_mem_begin, host_mem_mid, host_mem_end, host_string_fault, host_lock_fault
	.hidden host_mem_begin, host_mem_mid, host_mem_end, host_string_fault, host_lock_fault

/* int name(struct host_string *h) */
	.macro STRING name, insn:vararg
	.p2align 4
\name:
	mov r8, rdi
	mov rdi, [r8]
	mov rsi, [r8 + 8]
	mov rcx, [r8 + 16]
	mov rax, [r8 + 24]
	cmp dword ptr [r8 + 36], 0
	jne 1f
	\insn
	jmp string_done
1:	std
	\insn
	jmp string_done
	.endm

host_mem_begin:
	STRING movs1, rep movsb
	STRING movs2, rep movsw
	STRING movs4, rep movsd
	STRING movs8, rep movsq
	STRING stos1, rep stosb
	STRING stos2, rep stosw
	STRING stos4, rep stosd
	STRING stos8, rep stosq
	STRING cmpse1, repe cmpsb
	STRING cmpse2, repe cmpsw
	STRING cmpse4, repe cmpsd
	STRING cmpse8, repe cmpsq
	STRING cmpsn1, repne cmpsb
	STRING cmpsn2, repne cmpsw
	STRING cmpsn4, repne cmpsd
	STRING cmpsn8, repne cmpsq
	STRING scase1, repe scasb
	STRING scase2, repe scasw
	STRING scase4, repe scasd
	STRING scase8, repe scasq
	STRING scasn1, repne scasb
	STRING scasn2, repne scasw
	STRING scasn4, repne scasd
	STRING scasn8, repne scasq
host_mem_mid:

/* int host_lock_*(u8 *p, u8 mask) */
	.macro LOCKED name, insn
	.globl \name
	.hidden \name
	.type \name, @function
	.p2align 4
\name:
	mov al, [rdi]
1:	mov ecx, eax
	\insn cl, sil
	lock cmpxchg [rdi], cl
	jne 1b
	movzx eax, al
	ret
	.size \name, . - \name
	.endm

	LOCKED host_lock_or, or
	LOCKED host_lock_xor, xor
	LOCKED lock_and, and
host_mem_end:

	.globl host_lock_andnot
	.hidden host_lock_andnot
	.type host_lock_andnot, @function
host_lock_andnot:
	not esi
	jmp lock_and
	.size host_lock_andnot, . - host_lock_andnot

string_done:
	cld
	mov [r8 + 16], rcx
	lahf
	seto al
	movzx eax, ax
	mov [r8 + 32], eax
	xor eax, eax
	ret

host_string_fault:
	cld
	mov [r8 + 16], rcx
host_lock_fault:
	mov eax, -1
	ret

	.section .data.rel.ro, "aw"
	.macro TABLE name, entries:vararg
	.globl \name
	.hidden \name
	.p2align 3
\name:
	.quad \entries
	.endm
	TABLE host_movs, movs1, movs2, movs4, movs8
	TABLE host_stos, stos1, stos2, stos4, stos8
	TABLE host_cmps, cmpse1, cmpse2, cmpse4, cmpse8, cmpsn1, cmpsn2, cmpsn4, cmpsn8
	TABLE host_scas, scase1, scase2, scase4, scase8, scasn1, scasn2, scasn4, scasn8

	.section .note.GNU-stack, "", @progbits
