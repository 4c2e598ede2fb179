#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every hook of the preload library with bad pointers answers as without it. usage: bad.py UV BAD LIBRARY

Also in the injected form. A hook that is exported and neither in bad.c nor named here fails.
"""
import re
import subprocess
import sys

UV, BAD, LIBRARY = sys.argv[1:4]
NO_POINTER = ('exit _exit _Exit close close_range closefrom dup dup2 dup3 fallocate fallocate64 pthread_cancel sigignore '
              'siginterrupt setns _Fork __libc_start_main').split()


def run(*command):
    r = subprocess.run(command, stdin=open(sys.executable, 'rb'), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                       timeout=200, check=False)
    if r.returncode:
        sys.exit(f'{command}: status {r.returncode} {r.stdout[-300:]} {r.stderr}')
    return r.stdout.splitlines()


def exported():
    """By address: names of one function."""
    listing = subprocess.run(['nm', '-D', '--defined-only', LIBRARY], capture_output=True, text=True, check=True).stdout
    functions = {}
    for line in listing.splitlines():
        address, _, name = line.split()
        functions.setdefault(address, set()).add(name)
    return functions.values()


def main():
    native = run(BAD)
    wrong = []
    for how in ([], ['--inject']):
        under_us = run(UV, 'exec', '--quiet', *how, '--', BAD)
        wrong += [f'{" ".join(how)} native  {a}\n{" ".join(how)} here    {b}' for a, b in zip(native, under_us) if a != b]
        if len(native) != len(under_us):
            wrong.append(f'{len(native)} lines natively, {len(under_us)} here')
        wrong += [f'{" ".join(how)} {line}' for line in run(UV, 'exec', '--quiet', *how, '--', BAD, 'ours')
                  if not re.search(r': -1, error 14$', line)]
    called = {line.split('(')[0] for line in native}
    wrong += [f'{", ".join(sorted(names))} is exported and not tested: add it to bad.c' for names in exported()
              if not names & called and not names & set(NO_POINTER)]
    print('\n'.join(wrong) or f'ok, {len(native)} calls of {len(called)} functions')
    return bool(wrong)


sys.exit(main())
