#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check-deps accepts what the table allows and names what it does not."""
import sys

sys.dont_write_bytecode = True
import cases  # noqa: E402 pylint: disable=wrong-import-position

HEADERS = ['base/types.h', 'uapi/kvm.h', 'x86/insn.h', 'chips/pit.h', 'engine/engine.h', 'engine/exit.h',
           'engine/core/machine.h', 'engine/core/cpu.h',
           'engine/mem/mem.h', 'engine/mem/memory.h', 'engine/irq/irq.h', 'abi/dev.h', 'abi/kvm/vm.h', 'abi/kvm/kinds.h', 'libkvm/port.h', 'boot/boot.h']

# file, line in it, None or what the complaint must say
CASES = [
    ('src/engine/cpu/a.c', '#include "engine/core/machine.h"', None),
    ('src/engine/a.c', '#include "x86/insn.h"', None),
    ('src/engine/a.c', '#include "abi/dev.h"', 'is in abi, but engine may include only'),
    ('src/engine/a.c', '#include "uapi/kvm.h"', 'is in uapi'),
    ('src/engine/a.c', '#include <linux/kvm.h>', 'system header'),
    ('src/engine/a.c', '#include "machine.h"', 'does not exist'),
    ('src/engine/a.c', '#include "../base/types.h"', 'is relative'),
    ('src/base/a.c', '#include "x86/insn.h"', 'nothing of ours'),
    ('src/chips/a.c', '#include <pthread.h>', 'system header'),
    ('src/chips/a.c', '#include <time.h>', None),
    ('src/abi/kvm/a.c', '#include "engine/exit.h"', None),
    ('src/abi/kvm/a.c', '#include "abi/dev.h"', None),
    ('src/abi/kvm/a.c', '#include "engine/core/machine.h"', 'is in engine/core, but abi/kvm'),
    ('src/abi/kvm/a.c', '#include "engine/core/cpu.h"', 'is in engine/core, but abi/kvm'),
    ('src/engine/core/a.c', '#include "engine/mem/mem.h"', 'is in engine/mem, but engine/core'),
    ('src/engine/mem/a.c', '#include "engine/irq/irq.h"', 'is in engine/irq, but engine/mem'),
    ('src/engine/vm/a.c', '#include "engine/mem/memory.h"', None),
    ('src/engine/a.c', '#include "engine/core/cpu.h"', 'is in engine/core, but engine may'),
    ('src/abi/kvm/a.c', '#include <linux/kvm.h>', None),
    ('src/abi/a.c', '#include <linux/kvm.h>', 'system header'),
    ('src/abi/a.c', '#include "uapi/kvm.h"', 'is in uapi'),
    ('src/abi/a.c', '#include "abi/kvm/kinds.h"', 'is in abi/kvm'),
    ('src/abi/interfaces.c', '#include "abi/kvm/kinds.h"', None),
    ('src/abi/interfaces.c', '#include "abi/kvm/vm.h"', 'is in abi/kvm'),
    ('src/engine/vcpu/a.c', 'cpu->apic_own.cr8 = 1;', 'belong to the local APIC'),
    ('src/engine/vcpu/a.c', 'reg_set(l, R_TPR, 0);', 'belong to the local APIC'),
    ('src/engine/irq/lapic.c', 'reg_set(l, R_TPR, 0);', None),
    ('src/engine/irq/irq.c', 'cpu->apic_own.base = 0;', 'belong to the local APIC'),
    ('src/engine/vcpu/a.c', 'gpa |= GPA_SMM;', 'set by cpu_gpa() alone'),
    ('src/libkvm/a.c', '#include "abi/dev.h"', 'is in abi'),
    ('src/libkvm/a.c', '#include <libkvm.h>', None),
    ('src/libkvm/port_soft.c', '#include "abi/dev.h"', None),
    ('src/libkvm/port_soft.c', '#include "engine/engine.h"', 'is in engine'),
    ('src/boot/a.c', '#include "libkvm.h"', None),
    ('src/boot/a.c', '#include "libkvm/port.h"', 'is in libkvm'),
    ('src/boot/a.c', '#  include "engine/engine.h"', 'is in engine'),
    ('src/boot/a.c', '#include "boot/load/load.h"', None),
    ('src/boot/a.c', '#include "boot/dev/bus.h"', None),
    ('src/boot/a.c', '#include "chips/pit.h"', 'is in chips'),
    ('src/boot/dev/a.c', '#include "chips/pit.h"', None),
    ('src/boot/dev/a.c', '#include "boot/core/layout.h"', None),
    ('src/boot/dev/a.c', '#include "boot/boot.h"', 'is in boot'),
    ('src/boot/dev/a.c', '#include "boot/load/load.h"', 'is in boot/load'),
    ('src/boot/dev/a.c', '#include <libkvm.h>', 'which boot/dev may not use'),
    ('src/boot/load/a.c', '#include <libkvm.h>', None),
    ('src/boot/load/a.c', '#include "boot/dev/bus.h"', 'is in boot/dev'),
    ('src/boot/load/a.c', '#include "boot/boot.h"', 'is in boot'),
    ('src/boot/load/a.c', '#include <linux/kvm.h>', 'system header'),
    ('src/boot/core/a.c', '#include "boot/dev/bus.h"', 'is in boot/dev'),
    ('src/boot/core/a.c', '#include "boot/boot.h"', 'is in boot, but boot/core'),
    ('src/cli/a.c', '#include "boot/boot.h"', None),
    ('src/cli/a.c', '#include "boot/dev/bus.h"', 'is in boot/dev'),
    ('src/novel/a.c', '', 'belongs to no part'),
    ('src/engine/code/emit_a.h', 'emit8(e, 0x90);', None),
    ('src/engine/jit/a.c', 'emit8(e, 0x90);', 'written by a function of engine/code/emit.h'),
    ('src/engine/insn/a.c', 'emit32(e, 0);', 'written by a function of engine/code/emit.h'),
    ('src/engine/jit/a.c', 'emit_nop(e, 1);', None),
    ('src/engine/vcpu/a.c', 'pthread_cond_wait(&c, &l);', 'may be cancelled'),
    ('src/introspect/a.c', 'pthread_cond_timedwait(&c, &l, &t);', 'may be cancelled'),
    ('src/abi/kvm/a.c', 'pthread_join(t, NULL);', 'may be cancelled'),
    ('src/abi/kvm/a.c', 'thread_join(t);', None),
    ('src/base/a.c', 'pthread_join(t, NULL);', None),
    ('src/libkvm/a.c', 'pthread_cond_wait(&c, &l);', None),
    ('include/a.h', '#include "base/types.h"', 'is in base'),
    ('include/a.h', '#include <stdint.h>', None),
    ('include/a.h', '#include <sys/select.h>', None),
    ('include/a.h', '#include <pthread.h>', 'system header'),
    ('src/abi/kvm/a.c', '#include <libkvm.h>', 'which abi/kvm may not use'),
    ('examples/a.c', '#include <libkvm.h>', None),
    ('examples/a.c', '#include <stdio.h>', None),
    ('examples/a.c', '#include <pthread.h>', None),
    ('examples/a.c', '#include <linux/kvm.h>', 'system header'),
    ('examples/a.c', '#include "base/types.h"', 'is in base'),
    ('examples/a.c', '#include <libkvm/port.h>', 'is in libkvm'),
]
HEADERS += ['boot/core/layout.h', 'boot/load/load.h', 'boot/dev/bus.h']


def run_case(path, line, want):
    tree = {'src/' + h: '' for h in HEADERS} | {'include/libkvm.h': '', path: '/* first line */\n' + line}
    status, said = cases.run('check-deps', tree)
    if want is None:
        return None if status == 0 else f'{path} {line}: refused: {said}'
    if status != 1 or want not in said or path not in said:
        return f'{path} {line}: wanted "{want}", got {status}: {said}'
    return None


if __name__ == '__main__':
    cases.main(run_case, CASES)
