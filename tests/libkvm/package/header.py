#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A public header compiles alone, in every dialect that it promises and with every compiler that is here.

usage: header.py c|c++ INCLUDE_DIRECTORY HEADER
"""
import itertools
import shutil
import subprocess
import sys

COMPILERS = {'c': ['gcc', 'clang'], 'c++': ['g++', 'clang++']}
DIALECTS = {'c': ['c99', 'c11', 'c17', 'gnu17'], 'c++': ['c++98', 'c++11', 'c++17', 'c++20', 'gnu++17']}
WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Wundef', '-Wredundant-decls', '-Werror']
C_WARNINGS = ['-Wstrict-prototypes', '-Wmissing-prototypes']
PROGRAMS = {
    'alone': '#include <HEADER>\n',
    'twice': '#include <HEADER>\n#include <HEADER>\n',
    'after others': '#define _GNU_SOURCE\n#include <linux/kvm.h>\n#include <signal.h>\n#include <HEADER>\n',
}
USED = {
    # As the old library's users did it: no other header for sigset_t and uint64_t.
    'libkvm.h': '#include <libkvm.h>\n'
                'int use(kvm_context_t kvm, const sigset_t *set, uint64_t *base);\n'
                'int use(kvm_context_t kvm, const sigset_t *set, uint64_t *base)\n'
                '{\n'
                '\t*base = kvm_get_apic_base(kvm, KVM_CAP_DEVICE_ASSIGNMENT);\n'
                '\treturn kvm_set_signal_mask(kvm, 0, set) + kvm_reset_mpstate(kvm, 0);\n'
                '}\n',
    'uvmi.h': '#include <uvmi.h>\n'
              'int use(struct uvmi *s, struct uvmi_event *e, size_t n);\n'
              'int use(struct uvmi *s, struct uvmi_event *e, size_t n)\n'
              '{\n'
              '\treturn uvmi_read(s, e->u.pf.gpa, &e->regs, n) + uvmi_reply_value(s, e, e->u.cr.old_value);\n'
              '}\n',
}


def compile_one(compiler, language, dialect, include, text):
    """None, or what the compiler says."""
    argv = [compiler, '-x', language, '-std=' + dialect, '-fsyntax-only', '-I', include, *WARNINGS, '-']
    if language == 'c':
        argv[-1:-1] = C_WARNINGS
    r = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
    return None if r.returncode == 0 else ' '.join(argv) + '\n' + r.stderr


def main():
    if len(sys.argv) != 4 or sys.argv[1] not in COMPILERS:
        sys.exit(__doc__)
    language, include, header = sys.argv[1:]
    programs = {**{name: text.replace('HEADER', header) for name, text in PROGRAMS.items()}, 'used': USED[header]}
    compilers = [c for c in COMPILERS[language] if shutil.which(c)]
    if not compilers:
        print(f'skipped: neither of {", ".join(COMPILERS[language])} is installed')
        return 77
    failed = count = 0
    for compiler, dialect, name in itertools.product(compilers, DIALECTS[language], programs):
        count += 1
        text = programs[name]
        if '_GNU_SOURCE' in text and language == 'c++':  # g++ defines it itself
            text = text.replace('#define _GNU_SOURCE\n', '')
        said = compile_one(compiler, language, dialect, include, text)
        if said:
            failed += 1
            print(f'{name}: {said}')
    print(f'{count - failed} of {count}, with {", ".join(compilers)}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
