#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What the preload library exports and calls. usage: symbols.py UV CLIENT BUILD

The engine and the interfaces must not call a function that the library replaces: such a call would
come to ourselves. Nor may memory functions be the program's, or thread-local storage need malloc.
"""
import os
import re
import subprocess
import sys

BUILD = sys.argv[3]
HERE = os.path.dirname(os.path.abspath(__file__))
LIBRARY = os.path.join(BUILD, 'libuservisor-preload.so')


def nm(path, *options):
    r = subprocess.run(['nm', *options, path], capture_output=True, text=True, check=True)
    return [line.split() for line in r.stdout.splitlines()]


def undefined(path, *options):
    return {f[-1].split('@')[0] for f in nm(path, *options) if len(f) >= 2 and f[-2] == 'U'}


def main():
    with open(os.path.join(HERE, '../../../src/shim/preload/exports.map'), encoding='utf-8') as f:
        hooks = set(re.findall(r'\b(\w+);', f.read().split('local:')[0]))
    exported = {f[-1] for f in nm(LIBRARY, '-D', '--defined-only')}
    wrong = []
    if exported != hooks:
        wrong.append(f'exports and exports.map differ: {sorted(exported ^ hooks)}')
    for archive in ('base/libbase.a', 'x86/libx86.a', 'chips/libchips.a', 'engine/libengine.a',
                    'engine/libengine-inner.a', 'abi/libabi.a'):
        path = os.path.join(BUILD, 'src', archive)
        for name in sorted(undefined(path) & (hooks - {'fopen', 'exit'}) if os.path.exists(path) else []):
            wrong.append(f'{archive} calls {name}(), which a preload library replaces: use sys_{name}() of base/sys.h')
    for name in sorted(undefined(LIBRARY, '-D') & {'memcpy', 'memset', 'memmove', 'memcmp', '__tls_get_addr'}):
        wrong.append(f'the library takes {name} from the program')
    for line in wrong:
        print(line)
    print('not ok' if wrong else 'ok')
    return bool(wrong)


sys.exit(main())
