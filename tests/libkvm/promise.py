#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A program prints what the comment at the beginning of its source says it prints.

usage: run.py SOURCE soft|mshv|kernel PROGRAM [ARGUMENT...]

The text is what stands indented behind the word "prints" in the comment. What calls itself /dev/kvm on a machine
without virtualization hardware runs these guests with KVM's emulator of instructions; a program that needs one which
the emulator has not may fail there, and is named below.
"""
import os
import re
import subprocess
import sys

SLOW = float(os.environ.get('SLOW', '1'))
# By the file that promises: what an emulator cannot do of it. The library says so, and the status is not 0.
NOT_EMULATED = {
    'kvmctl.c': 'IRET in protected mode',
    'apic.S': 'IRET in protected mode',
}
CANNOT = 'an instruction cannot be emulated'
TIMEOUT = 'time out'


def promised(source):
    with open(source, encoding='utf-8') as f:
        comment = re.search(r'/\*\n.*?\*/', f.read(), re.S)
    lines = comment[0].split('\n')
    start = next(i for i, line in enumerate(lines) if line.startswith(' * prints'))
    return ''.join(line[7:] + '\n' for line in lines[start:] if line.startswith(' *     '))


def substitute():
    with open('/proc/cpuinfo', encoding='utf-8') as f:
        return not re.search(r'^flags.*\b(vmx|svm)\b', f.read(), re.M)


def run(command, engine, seconds):
    """Exit status or what happened instead, and the output."""
    env = {**os.environ, 'LIBKVM_ENGINE': engine}
    try:
        r = subprocess.run(command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           timeout=seconds * SLOW, check=False)
    except subprocess.TimeoutExpired:
        return TIMEOUT, '', ''
    return r.returncode, r.stdout, r.stderr


def main():
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    source, engine, command = sys.argv[1], sys.argv[2], sys.argv[3:]
    want = promised(source)
    if not want:
        print(f'{source}: no output is promised')
        return 1
    if engine == 'kernel' and not os.access('/dev/kvm', os.R_OK | os.W_OK):
        print('skipped: /dev/kvm cannot be opened')
        return 77
    reason = NOT_EMULATED.get(os.path.basename(source)) if engine == 'kernel' and substitute() else None
    status, out, err = run(command, engine, 20)
    if status == 0 and out == want and not err:
        return 0
    print(f'--- promised\n{want}--- status {status}, printed\n{out}--- and to stderr\n{err}---')
    if reason and status not in (0, TIMEOUT) and CANNOT in err:
        print(f'skipped: this /dev/kvm runs without virtualization hardware, and cannot emulate {reason}')
        return 77
    return 1


if __name__ == '__main__':
    sys.exit(main())
