/* SPDX-License-Identifier: MIT */
/* See pair.h. */
#include <string.h>
#include <sys/mman.h>

#include "abi/dev.h"
#include "tests/kvmi/pair.h"

/*
 * Both guests do what they are told: DATA is what, DATA + 8 RAX, then RBX, RCX, RDX, and RAX as it is afterwards. DATA is 0 when it
 * is done.
 */
enum { HYPERCALL = 1, LOAD, STORE, CALL };
GUEST64(server, "1:	movq DATA, %rsi\n"
		"	testq %rsi, %rsi\n"
		"	jz 1b\n"
		"	movq DATA + 8, %rax\n"
		"	movq DATA + 16, %rbx\n"
		"	movq DATA + 24, %rcx\n"
		"	movq DATA + 32, %rdx\n"
		"	cmpl $2, %esi\n"
		"	je 3f\n"
		"	ja 4f\n"
		"	vmcall\n"
		"2:	movq %rax, DATA + 40\n"
		"	movq $0, DATA\n"
		"	jmp 1b\n"
		"3:	movq (%rbx), %rax\n"
		"	jmp 2b\n"
		"4:	cmpl $4, %esi\n"
		"	je 5f\n"
		"	movq %rcx, (%rbx)\n"
		"	jmp 2b\n"
		"5:	xorl %eax, %eax\n"
		"	call *%rbx\n"
		"	jmp 2b\n");

static struct vm *open_one(struct pair *p, enum mode mode, u64 at, u64 value)
{
	struct vm *vm = vm_open_in(p->dev, 1, 0);

	vm_guest(vm, 0, mode, guest_server, guest_server_end);
	vm_write64(vm, at, value);
	vm_go(vm);
	vm_begin(vm);
	return vm;
}

struct pair pair_open_without_tool(enum dialect d, enum mode mode)
{
	struct pair p = {.d = d};

	CHECK_EQ(dev_create(&p.dev), 0);
	p.lender = open_one(&p, LONG, LENT, LENT_VALUE);
	p.borrower = open_one(&p, mode, OWN, OWN_VALUE);
	return p;
}

struct pair pair_open(enum dialect d)
{
	struct pair p = pair_open_without_tool(d, LONG);

	p.t = tool_open(p.lender, d);
	return p;
}

void pair_close(struct pair *p)
{
	if (p->t)
		tool_close(p->t);
	if (p->borrower)
		vm_close(p->borrower);
	if (p->lender)
		vm_close(p->lender);
	dev_destroy(p->dev);
	if (p->second)
		munmap(p->second, 4096);
}

/* ---- what the guests are told ---- */

static u64 tell(struct vm *vm, u64 what, u64 rax, u64 rbx, u64 rcx, u64 rdx)
{
	vm_write64(vm, VM_DATA + 8, rax);
	vm_write64(vm, VM_DATA + 16, rbx);
	vm_write64(vm, VM_DATA + 24, rcx);
	vm_write64(vm, VM_DATA + 32, rdx);
	vm_write64(vm, VM_DATA, what);
	vm_wait64(vm, VM_DATA, 0);
	return vm_read64(vm, VM_DATA + 40);
}

u64 guest_load(struct vm *vm, u64 at)
{
	return tell(vm, LOAD, 0, at, 0, 0);
}

void guest_store(struct vm *vm, u64 at, u64 value)
{
	tell(vm, STORE, 0, at, value, 0);
}

u64 guest_call(struct vm *vm, u64 at)
{
	return tell(vm, CALL, 0, at, 0, 0);
}

u64 guest_hypercall(struct vm *vm, u64 nr, u64 rbx, u64 rcx, u64 rdx)
{
	return tell(vm, HYPERCALL, nr, rbx, rcx, rdx);
}

s64 pair_map_with(struct pair *p, u64 token, u64 lent, u64 own)
{
	return (s64)guest_hypercall(p->borrower, KVM_HC_MEM_MAP, token, lent, own);
}

s64 pair_unmap(struct pair *p, u64 own)
{
	return (s64)guest_hypercall(p->borrower, KVM_HC_MEM_UNMAP, own, 0, 0);
}

/* The tool gives a token to the borrower. */
void pair_give_token(struct pair *p, u64 at)
{
	u8 token[32];

	CHECK_EQ(cmd_map_token(p->t, token), 0);
	memcpy(p->borrower->ram + at, token, sizeof(token));
}

s64 pair_map(struct pair *p, u64 lent, u64 own)
{
	pair_give_token(p, TOKEN);
	return pair_map_with(p, TOKEN, lent, own);
}

struct pair pair_open_mapped(enum dialect d)
{
	struct pair p = pair_open(d);

	CHECK_EQ(pair_map(&p, LENT, OWN), 0);
	CHECK_EQ(guest_load(p.borrower, OWN), LENT_VALUE);
	return p;
}

/* ---- a second slot ---- */

void pair_set_second_at(struct pair *p, struct vm *vm, u64 at, u32 flags, bool there)
{
	const struct kvm_userspace_memory_region slot = {.slot = 1,
		.flags = flags,
		.guest_phys_addr = at,
		.memory_size = there ? 4096 : 0,
		.userspace_addr = (unsigned long)p->second};

	CHECK_EQ(kvm_p(vm, vm->fd, KVM_SET_USER_MEMORY_REGION, &slot), 0);
}

void pair_set_second(struct pair *p, struct vm *vm, u32 flags, bool there)
{
	pair_set_second_at(p, vm, SECOND, flags, there);
}

void pair_add_second(struct pair *p, struct vm *vm, u32 flags, u64 value)
{
	p->second = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(p->second != MAP_FAILED);
	memcpy(p->second, &value, sizeof(value));
	pair_set_second(p, vm, flags, true);
}
