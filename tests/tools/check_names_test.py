#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check-names finds two things of one name, and only those."""
import sys

sys.dont_write_bytecode = True
import cases  # noqa: E402 pylint: disable=wrong-import-position

# What is in src/one/a.c and src/two/b.c, or what else is named; and the name that must be found, or None.
CASES = [
    ('struct s { int a; };', 'struct s { int b; };', 's'),
    ('struct s { int a; };', 'union s { int b; };', 's'),
    ('void f(void)\n{\n\tenum e { A } e;\n}', 'enum e { B };', 'e'),
    ('struct outer {\n\tstruct inner { int a; } in;\n};', 'struct inner { int b; };', 'inner'),
    ('struct s { int a; };', 'struct s;\nvoid f(struct s *s);\nstruct s *g;', None),
    ('struct s { int a; };', '/* struct s { */\nconst char *g = "struct s {";\n#define X struct s {', None),
    ('struct { int a; } one;', 'struct { int a; } two;', None),
    ('int f(int a)\n{\n\treturn a;\n}', 'void f(void)\n{\n}', 'f'),
    ('int f(int a)\n{\n\treturn a;\n}', 'static int f(int a)\n{\n\treturn a;\n}', None),
    ('int f(int a)\n{\n\treturn a;\n}', 'int f(int a);\nextern int f(int a);', None),
    ('int f(int a)\n{\n\treturn a;\n}', 'int g(int a)\n{\n\treturn f(a);\n}', None),
    ('__attribute__((used)) struct s *f(int (*cb)(void))\n{\n}', 'void f(void)\n{\n}', 'f'),
    ('int v;', 'long v = 3;', 'v'),
    ('const int v[2] = {1, 2};', 'const char *const v[] = {"a", "b"};', 'v'),
    ('int a, v;', 'int v;', 'v'),
    ('int v;', 'static int v;', None),
    ('int v;', 'void f(void)\n{\n\tint v;\n\tv = 1;\n}', None),
    ('static const int t[] = {1};\nint v;', 'static const int t[] = {1};\nint w;', None),
    ('MAKE(a)\n{\n}', 'MAKE(b)\n{\n}', None),
    ('int main(void)\n{\n}', 'int main(void)\n{\n}', None),
    (('src/one/a.S', '\t.globl g, f\nf:\n'), 'int f(void)\n{\n}', 'f'),
    (('src/one/a.h', 'struct s { int a; };'), 'struct s { int b; };', 's'),
    (('src/uapi/a.h', 'struct s { int a; };'), 'struct s { int b; };', None),
    (('src/one/a.h', 'static inline int f(void)\n{\n}'), 'int f(void)\n{\n}', None),
]


def run_case(first, second, want):
    path, text = first if isinstance(first, tuple) else ('src/one/a.c', first)
    status, said = cases.run('check-names', {path: text, 'src/two/b.c': '/* the second */\n' + second})
    if want is None:
        return None if status == 0 else f'{text!r} {second!r}: refused: {said}'
    if status != 1 or f' is called {want}\n' not in said or path not in said:
        return f'{text!r} {second!r}: wanted {want}, got {status}: {said}'
    return None


if __name__ == '__main__':
    cases.main(run_case, CASES)
