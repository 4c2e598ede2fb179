/* SPDX-License-Identifier: MIT */
/* What is shown in words. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vm.h"

static void collect(void *opaque, enum uv_kvm_log_kind kind, const char *line)
{
	char *text = opaque;

	assert_int_equal(kind, UV_KVM_LOG_DUMP);
	if (strlen(text) + strlen(line) + 2 < 65536) {
		strcat(text, line);
		strcat(text, "\n");
	}
}

static void text(void **state)
{
	struct kvm_regs regs = {.rbx = 0xfeedfacecafebeef, .rflags = 2};
	char *seen = calloc(1, 65536);
	struct vm vm;

	vm_create_with_irqchip(&vm, MEM);
	uv_kvm_set_log(vm.kvm, collect, seen);
	assert_int_equal(kvm_set_regs(vm.kvm, 0, &regs), 0);
	kvm_show_regs(vm.kvm, 0);
	assert_non_null(strstr(seen, "rbx feedfacecafebeef"));
	assert_non_null(strstr(seen, "cs  f000 (00000000ffff0000/"));
	assert_null(strstr(seen, "msr c0000081"));
	seen[0] = 0;
	assert_int_equal(kvm_dump_vcpu(vm.kvm, 0), 0);
	assert_non_null(strstr(seen, "rbx feedfacecafebeef"));
	assert_non_null(strstr(seen, "msr c0000081"));
	assert_non_null(strstr(seen, "lapic 000:"));
	assert_non_null(strstr(seen, "xmm15 "));
	assert_non_null(strstr(seen, "xcr0 1\n"));
	assert_non_null(strstr(seen, "dr0 0"));
	assert_non_null(strstr(seen, "code xx"));
	uv_kvm_set_log(vm.kvm, NULL, NULL);
	assert_int_equal(kvm_dump_vcpu(vm.kvm, 5), -EINVAL);
	vm_destroy(&vm);
	free(seen);
}

int main(int argc, char **argv)
{
	struct CMUnitTest tests[] = {
		cmocka_unit_test(text),
	};

	return vm_main(argc, argv, tests, ARRAY_SIZE(tests));
}
