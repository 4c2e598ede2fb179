#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A program that ends without having opened /dev/kvm is told of in one line. usage: ended.py USERVISOR CLIENT STATIC

CLIENT and STATIC: a dynamic and a static program of which a scenario opens it.
"""
import os
import shutil
import subprocess
import sys
import tempfile

UV, CLIENT, STATIC = sys.argv[1:4]
BUSYBOX = shutil.which('busybox')
failed = 0


def check(what, status, name, *command):
    """The status, and the line about name, or no line."""
    global failed
    r = subprocess.run([UV, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    lines = [line for line in r.stderr.splitlines() if line.startswith('uservisor: ')]
    want = [f'uservisor: {name} ended without having opened /dev/kvm'] if name else []
    begins = [line[:len(want[0])] if want else line for line in lines]
    if r.returncode != status or begins != want:
        print(f'{what}: status {r.returncode}, {lines}, not {status}, {want}')
        failed += 1


def check_other_file():
    """Nothing is written to what has standard error's number by then."""
    global failed
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'data')
        check('standard error is another file', 1, None, 'exec', '--', 'sh', '-c', f'exec 2>{path}; exit 1')
        if os.path.getsize(path):
            print('the line went to a file of the program')
            failed += 1


def main():
    check('dynamic', 0, 'true', 'exec', '--', 'true')
    check('dynamic, with a status', 1, 'false', 'exec', '--', 'false')
    check('by exit()', 3, 'sh', 'exec', '--', 'sh', '-c', 'exit 3')
    check('closes standard error at its end', 1, 'grep', 'exec', '--', 'grep', 'x', '/dev/null')
    check('all calls caught', 1, 'false', 'exec', '--inject', '--', 'false')
    check('traced', 1, 'false', 'trace', '--', 'false')
    check('quiet', 1, None, 'exec', '--quiet', '--', 'false')
    check('quiet, and becomes another', 1, None, 'exec', '--quiet', '--', 'sh', '-c', 'exec false')
    check('as the machine is', 1, 'false', 'exec', '--host-cpuid', '--', 'false')
    check('becomes another program', 1, 'false', 'exec', '--', 'sh', '-c', 'exec false')
    check('opens it', 0, None, 'exec', '--', CLIENT, 'open-functions')
    check('opens it, inside', 0, None, 'exec', '--inject', '--', CLIENT, 'open-functions')
    check('static, opens it', 0, None, 'exec', '--', STATIC, 'exits')
    check('a child may have', 0, None, 'exec', '--', 'sh', '-c', '/bin/true; exit 0')
    check('a child that still runs may', 0, None, 'exec', '--', 'sh', '-c', 'sleep 0.2 & exit 0')
    check('becomes another, and that one, too', 4, 'sh', 'exec', '--', 'sh', '-c', 'exec sh -c "exit 4"')
    check_other_file()
    if BUSYBOX:
        check('static', 1, 'busybox', 'exec', '--', BUSYBOX, 'false')
        check('static, a child of it', 0, None, 'exec', '--', BUSYBOX, 'sh', '-c', f'{BUSYBOX} false; exit 0')
        check('static, becomes a dynamic one', 1, 'false', 'exec', '--', BUSYBOX, 'sh', '-c', 'exec /bin/false')
        check('static, quiet', 1, None, 'exec', '--quiet', '--', BUSYBOX, 'false')
    print('not ok' if failed else 'ok')
    return failed > 0


sys.exit(main())
