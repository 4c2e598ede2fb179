#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A library exports what its header declares, and nothing else: the shared library and the archive.

usage: exports.py HEADER.H LIBRARY.SO LIBRARY.A

Also what a shared library must be to be loaded by any program at any time: see check_shared.
"""
import os
import re
import subprocess
import sys

from declarations import functions

# By the header: the version of its functions, how many there are at least, whether the library can be unloaded.
LIBRARIES = {
    'libkvm.h': ('libkvm', 70, False),
    'uvmi.h': ('libuvmi', 70, True),
}
MAX_TLS = 64  # of initial-exec TLS; glibc has some 1600 bytes of it for all that dlopen() brings in
wrong = []


def run(*argv):
    return subprocess.run(argv, capture_output=True, text=True, check=True,
                          env={**os.environ, 'LC_ALL': 'C'}).stdout


def compare(what, names, declared):
    for name in sorted(set(declared) - set(names)):
        wrong.append(f'{what} lacks {name}')
    for name in sorted(set(names) - set(declared)):
        wrong.append(f'{what} has {name}, which the header does not declare')


def shared_symbols(path, library):
    """Names, and the complaint about those whose version is not ours."""
    names, ours = [], library.upper() + '_0'
    for line in run('nm', '-D', '--defined-only', path).splitlines():
        kind, name = line.split()[-2:]
        if kind == 'A' and name == ours:
            continue
        name, _, version = name.partition('@')
        if kind != 'T' or version.lstrip('@') != ours:
            wrong.append(f'{path}: {line}: wanted a function of version {ours}')
        names.append(name)
    return names


def check_shared(path, library, unloadable):
    dump = run('readelf', '-dlW', path)
    if f'[{library}.so.0]' not in dump:
        wrong.append(f'{path}: its soname is not {library}.so.0')
    for name in re.findall(r'\(NEEDED\).*\[(.*)\]', dump):
        if name not in ('libc.so.6', 'libpthread.so.0', 'ld-linux-x86-64.so.2'):
            wrong.append(f'{path} needs {name}, and should need libc only')
    if ('NODELETE' in dump) == unloadable:
        wrong.append(f'{path}: can be unloaded and should not (its signal handlers would go with it), or cannot and should')
    if 'TEXTREL' in dump:
        wrong.append(f'{path} has relocations in its code')
    if not re.search(r'GNU_STACK.* RW ', dump):
        wrong.append(f'{path} wants an executable stack')
    tls = re.search(r'^\s+TLS\s+\S+ \S+ \S+ \S+ (\S+)', dump, re.M)
    if tls and int(tls[1], 16) > MAX_TLS:
        wrong.append(f'{path}: {int(tls[1], 16)} bytes of thread-local storage; dlopen() may find no room')


def archive_symbols(path):
    return [line.split()[-1] for line in run('nm', '-g', '--defined-only', path).splitlines()
            if re.match(r'[0-9a-f]+ \w ', line)]


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    header, shared, archive = sys.argv[1:]
    with open(header, encoding='utf-8') as f:
        declared = functions(f.read())
    library, least, unloadable = LIBRARIES[os.path.basename(header)]
    if len(declared) < least or len(set(declared)) != len(declared):
        wrong.append(f'{header}: {len(declared)} declarations; the parser is wrong, or one stands there twice')
    compare(shared, shared_symbols(shared, library), declared)
    compare(archive, archive_symbols(archive), declared)
    check_shared(shared, library, unloadable)
    for line in wrong:
        print(line)
    print(f'{len(declared)} functions')
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
