#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A tool of examples/ looks into the mock VMM, and prints lines as its comment shows them.

usage: examples.py MOCK SOURCE PROGRAM [ARGUMENT...]

The example line in the comment, with its numbers replaced by any numbers, is what each line must look like. The tool is
run with the address in front of the arguments.
"""
import os
import re
import subprocess
import sys
import tempfile

SLOW = float(os.environ.get('SLOW', '1'))
LINES = {'uvmi-regs.c': 3, 'uvmi-cr3.c': 10, 'uvmi-watch.c': 5}


def shown(source):
    """A pattern for each line that stands indented behind the word "prints" in the comment."""
    with open(source, encoding='utf-8') as f:
        comment = re.search(r'/\*\n.*?\*/', f.read(), re.S)[0]
    lines = re.findall(r'^ \*     (.*)$', comment[comment.index(' prints'):], re.M)
    return [re.sub(r'0x[0-9a-f]+', '0x[0-9a-f]+', re.sub(r'(?<!x)\b\d+\b', r'\\d+', re.escape(line).replace(r'\-', '-')))
            .replace('uservisor', 'mock') for line in lines]


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    mock, source, program, *arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'vm.sock')
        with subprocess.Popen([mock, path, 'vcpus=2', 'started=1'], stdout=subprocess.PIPE, text=True) as vm:
            r = subprocess.run([program, path, *arguments], capture_output=True, text=True, timeout=60 * SLOW, check=False)
            after = vm.communicate(timeout=30 * SLOW)[0]
    lines, patterns = r.stdout.splitlines(), shown(source)
    good = (r.returncode == 0 and not r.stderr and len(lines) == LINES[os.path.basename(source)]
            and all(any(re.fullmatch(p, line) for p in patterns) for line in lines)
            and after.startswith('code intact, pages open') and len(patterns) > 0)
    if not good:
        print(f'status {r.returncode}, stderr {r.stderr!r}, VM {after!r}, patterns {patterns}\n{r.stdout}')
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())
