#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check-declared wants a function declared where it is defined, once, and public ones explained."""
import sys

sys.dont_write_bytecode = True
import cases  # noqa: E402 pylint: disable=wrong-import-position

DEFINES = 'int f(int a)\n{\n\treturn a;\n}'

# files, None or what the complaint must say
CASES = [
    ({'src/engine/mem/a.h': 'int f(int a);', 'src/engine/mem/a.c': DEFINES}, None),
    ({'src/engine/irq/a.h': 'int f(int a);', 'src/engine/mem/a.c': DEFINES}, 'f() is declared here, but defined in'),
    ({'src/engine/engine.h': '/* What it does. */\nint f(int a);', 'src/engine/mem/a.c': DEFINES}, None),
    ({'src/engine/engine.h': 'int f(int a);', 'src/engine/mem/a.c': DEFINES}, 'f() has no comment'),
    ({'src/engine/engine.h': '/* Both. */\nint f(int a);\nint g(int a);', 'src/engine/mem/a.c': DEFINES}, None),
    ({'src/engine/engine.h': '/* Not its. */\n\nint f(int a);', 'src/engine/mem/a.c': DEFINES}, 'f() has no comment'),
    ({'src/engine/mem/a.h': 'int f(int a);', 'src/engine/mem/b.h': 'int f(int a);', 'src/engine/mem/a.c': DEFINES},
     'f() is declared more than once'),
    ({'src/engine/irq/b.c': 'int f(int a);', 'src/engine/mem/a.c': DEFINES}, 'f() is declared in a .c file'),
    ({'src/engine/irq/b.c': 'static int f(int a);', 'src/engine/mem/a.c': DEFINES}, None),
    ({'src/engine/irq/b.h': '/* int f(int a); */\n#define X int f(int a);', 'src/engine/mem/a.c': DEFINES}, None),
    ({'src/engine/irq/b.h': 'struct s { int (*f)(int a); };', 'src/engine/mem/a.c': DEFINES}, None),
    ({'src/engine/tap.h': 'struct s { enum e (*f)(int a); };'}, None),
    ({'src/engine/host/a.h': 'void g(void);', 'src/engine/host/a.S': '\t.globl g\ng:'}, None),
    ({'src/engine/irq/a.h': 'void g(void);', 'src/engine/host/a.S': '\t.globl g\ng:'}, 'g() is declared here'),
    ({'src/engine/irq/a.h': 'int absent(void);'}, None),
]


def run_case(files, want):
    status, said = cases.run('check-declared', files)
    if want is None:
        return None if status == 0 else f'{files}: refused: {said}'
    return None if status == 1 and want in said else f'{files}: wanted "{want}", got {status}: {said}'


if __name__ == '__main__':
    cases.main(run_case, CASES)
