#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a program is shown of the processor: the switch, and programs that read /proc/cpuinfo.

usage: processor.py USERVISOR PROCESSOR...

PROCESSOR: the programs made of processor.c, dynamic and static.
"""
import re
import subprocess
import sys

UV = sys.argv[1]
failed = 0


def out(*argv):
    r = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    return r.stdout if r.returncode == 0 else f'status {r.returncode}: {r.stdout}{r.stderr}'


def same(what, got, want):
    global failed
    if got != want:
        print(f'{what}: {got!r}, not {want!r}')
        failed += 1


def flags(text):
    return [re.split(r'\s+', line)[2:] for line in text.splitlines() if line.startswith('flags')]


def main():
    grep = ['sh', '-c', 'grep -E -c -w "vmx|svm" /proc/cpuinfo']
    native = flags(out('cat', '/proc/cpuinfo'))
    shown = flags(out(UV, 'exec', '--', 'cat', '/proc/cpuinfo'))
    for program in sys.argv[2:]:
        as_it_is = out(program, 'host')
        same('--host-cpuid', out(UV, 'exec', '--host-cpuid', '--', program, 'host'), as_it_is)
        same('--inject --host-cpuid', out(UV, 'exec', '--inject', '--host-cpuid', '--', program, 'host'), as_it_is)
        same('without it', out(UV, 'exec', '--', program, 'host'), '1 1\n')
        same('in a script', out(UV, 'exec', '--', 'sh', '-c', f'{program} host'), '1 1\n')
        same('in a script, with it', out(UV, 'exec', '--host-cpuid', '--', 'sh', '-c', f'{program} host'), as_it_is)
    same('processors that a script finds', out(UV, 'exec', '--', *grep), f'{len(native)}\n')
    same('flags besides', [[f for f in line if f not in ('vmx', 'svm')] for line in shown],
         [[f for f in line if f not in ('vmx', 'svm')] for line in native])
    same('each flag once', [line for line in shown if len(line) != len(set(line))], [])
    print('not ok' if failed else 'ok')
    return failed > 0


sys.exit(main())
