#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What README.md shows of examples/hello.c stands there, in this order.

usage: readme.py README.md HELLO.C
"""
import re
import sys


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding='utf-8') as f:
        shown = re.search(r'```c\n(.*?)```', f.read(), re.S)
    with open(sys.argv[2], encoding='utf-8') as f:
        rest = f.read()
    if not shown:
        print('README.md shows no C')
        return 1
    for part in shown[1].split('...\n'):
        _, found, rest = rest.partition(part)
        if not found:
            print('these lines of README.md are not in the example, or not in that order:\n' + part)
            return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
