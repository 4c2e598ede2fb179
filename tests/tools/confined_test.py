#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Under tools/confined a command can write where it may and nowhere else, and is otherwise what it was."""
import os
import subprocess
import sys
import tempfile

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
CONFINED = os.path.join(TOP, 'tools', 'confined')
SKIP = 77


def run(*argv, told=''):
    r = subprocess.run([CONFINED, *argv], input=told, capture_output=True, text=True, check=False)
    return r.returncode, r.stdout


def writes(folder, *options):
    """Can the command write there?"""
    name = os.path.join(folder, f'uservisor-{os.getpid()}')
    status, _ = run(*options, 'touch', name)
    assert os.path.exists(name) == (status == 0), f'{name} was written in another place'
    if status == 0:
        os.unlink(name)
    return status == 0


def main():
    said = run('sh', '-c', 'cat; printf "%s|" "$@"; exit 5', 'sh', '-x', 'a b', '', told='standard input,')
    assert said == (5, 'standard input,-x|a b||'), said
    for folder in (os.path.join(TOP, 'build'), tempfile.gettempdir()):
        assert writes(folder) == os.access(folder, os.W_OK), f'it cannot write to {folder}'
    status, why = run('--can')
    if status:
        print(why.strip())
        return SKIP
    tests = os.path.join(TOP, 'tests')
    temporary = os.path.realpath(tempfile.gettempdir()) + os.sep
    for folder in ['/', '/usr/lib', '/etc'] + ([] if TOP.startswith(temporary) else [tests]):
        assert not writes(folder), f'it wrote to {folder}'
    assert writes(tests, '--also', tests) == os.access(tests, os.W_OK), 'it cannot write to a folder that was named'
    print('confined: writes where it may only')
    return 0


if __name__ == '__main__':
    sys.exit(main())
