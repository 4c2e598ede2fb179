#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The examples compile as strict C with all warnings, with every compiler that is here.

usage: compile.py INCLUDE_DIRECTORY SOURCE...
"""
import itertools
import os
import shutil
import subprocess
import sys
import tempfile

WARNINGS = ['-Wall', '-Wextra', '-Wpedantic', '-Wshadow', '-Wstrict-prototypes', '-Werror']


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    include, sources = sys.argv[1], sys.argv[2:]
    compilers = [c for c in ('gcc', 'clang') if shutil.which(c)]
    if not compilers:
        print('skipped: neither gcc nor clang is installed')
        return 77
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        for compiler, std, source in itertools.product(compilers, ('c99', 'c17'), sources):
            argv = [compiler, '-std=' + std, *WARNINGS, '-I', include, '-O2', '-c', source,
                    '-o', os.path.join(folder, 'a.o')]
            r = subprocess.run(argv, capture_output=True, text=True, check=False)
            if r.returncode:
                failed += 1
                print(' '.join(argv) + '\n' + r.stderr)
    print(f'{len(sources)} examples, with {", ".join(compilers)}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
