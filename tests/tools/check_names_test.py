#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check-names finds two things of one name, and only those."""
import os
import subprocess
import sys
import tempfile

TOOL = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tools', 'check-names')

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


def write(root, path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text + '\n')


def run_case(first, second, want):
    path, text = first if isinstance(first, tuple) else ('src/one/a.c', first)
    with tempfile.TemporaryDirectory() as root:
        write(root, path, text)
        write(root, 'src/two/b.c', '/* the second */\n' + second)
        r = subprocess.run([TOOL, root], capture_output=True, text=True, check=False)
    if want is None:
        return None if r.returncode == 0 else f'{text!r} {second!r}: refused: {r.stdout}{r.stderr}'
    if r.returncode != 1 or f' is called {want}\n' not in r.stdout or path not in r.stdout:
        return f'{text!r} {second!r}: wanted {want}, got {r.returncode}: {r.stdout}{r.stderr}'
    return None


def main():
    failures = [f for f in (run_case(*c) for c in CASES) if f]
    print('\n'.join(failures))
    print(f'{len(CASES) - len(failures)} of {len(CASES)} cases pass')
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
