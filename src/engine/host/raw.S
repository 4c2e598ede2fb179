/* SPDX-License-Identifier: MIT */
/*
 * The instructions with which the engine's own code touches guest RAM; see raw.h.
 *
 * Everything between guest_raw_begin and guest_raw_end may fault: the handler of host signals then
 * continues at guest_raw_fault, which makes the function return -1. So nothing here moves rsp or
 * keeps anything in callee-saved registers.
 */
	.intel_syntax noprefix
	.text

	.globl guest_raw_begin, guest_raw_end, guest_raw_fault
	.hidden guest_raw_begin, guest_raw_end, guest_raw_fault
	.globl guest_copy_long, guest_copy_end
	.hidden guest_copy_long, guest_copy_end

guest_raw_begin:

/* int guest_copy(void *dst, const void *src, size_t len) */
	.globl guest_copy
	.hidden guest_copy
	.type guest_copy, @function
	.p2align 4
guest_copy:
	cmp rdx, 8
	jne 1f
	mov rax, [rsi]
	mov [rdi], rax
	xor eax, eax
	ret
1:	cmp rdx, 4
	jne 2f
	mov eax, [rsi]
	mov [rdi], eax
	xor eax, eax
	ret
2:	cmp rdx, 1
	jne 3f
	movzx eax, byte ptr [rsi]
	mov [rdi], al
	xor eax, eax
	ret
3:	cmp rdx, 2
	jne 4f
	movzx eax, word ptr [rsi]
	mov [rdi], ax
	xor eax, eax
	ret
4:	mov rcx, rdx
guest_copy_long:
	cmp rcx, 128
	jae 6f
5:	cmp rcx, 8
	jb 6f
	mov rax, [rsi]
	mov [rdi], rax
	add rsi, 8
	add rdi, 8
	sub rcx, 8
	jmp 5b
6:	rep movsb
guest_copy_end:
	xor eax, eax
	ret
	.size guest_copy, . - guest_copy

/* int guest_copy_wide(void *dst, const void *src, size_t len): a multiple of 64, not 0 */
	.globl guest_copy_wide
	.hidden guest_copy_wide
	.type guest_copy_wide, @function
	.p2align 4
guest_copy_wide:
	movups xmm0, [rsi]
	movups xmm1, [rsi + 16]
	movups xmm2, [rsi + 32]
	movups xmm3, [rsi + 48]
	movups [rdi], xmm0
	movups [rdi + 16], xmm1
	movups [rdi + 32], xmm2
	movups [rdi + 48], xmm3
	add rsi, 64
	add rdi, 64
	sub rdx, 64
	jnz guest_copy_wide
	xor eax, eax
	ret
	.size guest_copy_wide, . - guest_copy_wide

/* int guest_load_pte(u64 *ret, const u8 *host, unsigned size) */
	.globl guest_load_pte
	.hidden guest_load_pte
	.type guest_load_pte, @function
	.p2align 4
guest_load_pte:
	cmp edx, 8
	jne 1f
	mov rax, [rsi]
	mov [rdi], rax
	xor eax, eax
	ret
1:	mov eax, [rsi]
	mov [rdi], rax
	xor eax, eax
	ret
	.size guest_load_pte, . - guest_load_pte

/* int guest_cmpxchg_pte(u8 *host, u64 old, u64 new, unsigned size) */
	.globl guest_cmpxchg_pte
	.hidden guest_cmpxchg_pte
	.type guest_cmpxchg_pte, @function
	.p2align 4
guest_cmpxchg_pte:
	mov rax, rsi
	cmp ecx, 8
	jne 1f
	lock cmpxchg [rdi], rdx
	jmp 2f
1:	lock cmpxchg [rdi], edx
2:	sete al
	movzx eax, al
	ret
	.size guest_cmpxchg_pte, . - guest_cmpxchg_pte

/* int guest_compare(const void *a, const void *b, size_t len) */
	.globl guest_compare
	.hidden guest_compare
	.type guest_compare, @function
	.p2align 4
guest_compare:
	cmp rdx, 32
	jb 7f
6:	mov rax, [rsi]			/* long runs of whole pages' code come here (code/page_copy.c) */
	mov rcx, [rsi + 8]
	mov r8, [rsi + 16]
	mov r9, [rsi + 24]
	xor rax, [rdi]
	xor rcx, [rdi + 8]
	xor r8, [rdi + 16]
	xor r9, [rdi + 24]
	or rax, rcx
	or r8, r9
	or rax, r8
	jnz 5f
	sub rdx, 32
	add rsi, 32
	add rdi, 32
	cmp rdx, 32
	jae 6b
	test rdx, rdx
	jz 4f
	cmp rdx, 8
	jae 1f
	mov rax, [rsi + rdx - 8]	/* the last eight again */
	cmp rax, [rdi + rdx - 8]
	jne 5f
	xor eax, eax
	ret
7:	cmp rdx, 8
	jb 3f
1:	mov rax, [rsi]
	cmp rax, [rdi]
	jne 5f
	sub rdx, 8
	add rsi, 8
	add rdi, 8
	cmp rdx, 8
	jae 1b
	test rdx, rdx
	jz 4f
	mov rax, [rsi + rdx - 8]	/* the last eight again */
	cmp rax, [rdi + rdx - 8]
	jne 5f
	xor eax, eax
	ret
2:	mov al, [rsi]
	cmp al, [rdi]
	jne 5f
	inc rsi
	inc rdi
	dec rdx
3:	test rdx, rdx
	jnz 2b
4:	xor eax, eax
	ret
5:	mov eax, 1
	ret
	.size guest_compare, . - guest_compare

guest_raw_end:

guest_raw_fault:
	mov eax, -1
	ret

	.section .note.GNU-stack, "", @progbits
