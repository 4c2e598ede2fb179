#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`uservisor exec` and `uservisor trace` as commands: statuses and messages. usage: command.py UV CLIENT BUILD"""
import os
import subprocess
import sys
import tempfile

UV, CLIENT = sys.argv[1], os.path.realpath(sys.argv[2])


def run(*args, **more):
    return subprocess.run([UV, *args], capture_output=True, text=True, timeout=120, check=False, **more)


def check(what, r, status, *words):
    text = r.stdout + r.stderr
    wrong = r.returncode != status or any(w not in text for w in words)
    if wrong:
        print(f'{what}: status {r.returncode}, not {status}, or {words} not in:\n{text}')
        sys.exit(1)
    print('ok', what)


def main():
    check('the status is the program\'s', run('exec', 'sh', '-c', 'exit 7'), 7)
    check('and its signal', run('exec', '--', 'sh', '-c', 'kill -9 $$'), -9)
    check('options after the program are its own', run('exec', 'echo', '--json', '-o', 'x'), 0, '--json -o x')
    check('not found', run('exec', 'no-such-program'), 127, 'no-such-program', 'No such file')
    check('not found by path', run('exec', '/no/such'), 127, '/no/such')
    check('not executable', run('exec', '/etc/passwd'), 126, 'Permission denied')
    check('no program', run('exec'), 2, 'no program')
    check('no program to trace', run('trace', '--json'), 2, 'no program')
    check('wrong option', run('exec', '--frobnicate', 'true'), 2)
    check('wrong option of trace', run('trace', '--frobnicate', 'true'), 2)
    check('file that cannot be written', run('trace', '-o', '/no/such/file', 'true'), 2, '/no/such/file')
    check('help', run('exec', '--help'), 0, 'Usage: uservisor exec')
    check('help of trace', run('trace', '--help'), 0, 'Usage: uservisor trace')
    here = '[ -e /dev/%s ] && ! [ -e /dev/%s ] && ls /dev | grep -qx %s && ! ls /dev | grep -qx %s'
    for name, other in (('kvm', 'mshv'), ('mshv', 'kvm')):
        sees = here % (name, other, name, other)
        check(f'{name} alone', run('exec', '--only', name, 'sh', '-c', sees), 0)
        check(f'{name} alone, by children', run('exec', '--only', name, '/usr/bin/env', '-i', '/bin/sh', '-c', f'/bin/sh -c "{sees}"'), 0)
        check(f'{name} alone, injected', run('exec', '--inject', '--only', name, 'sh', '-c', sees), 0)
        check(f'{name} alone, traced', run('trace', '--only', name, 'sh', '-c', sees), 0)
        if os.path.exists('/bin/busybox'):
            check(f'{name} alone, static', run('exec', '--only', name, '/bin/busybox', 'sh', '-c', sees), 0)
            check(f'{name} alone, static by dynamic', run('exec', '--only', name, 'sh', '-c', f"/bin/busybox sh -c '{sees}'"), 0)
    check('an interface that nobody knows', run('exec', '--only', 'hvf', 'true'), 2, 'uservisor exec: --only hvf: ',
          'it must be kvm or mshv')
    check('the same of trace', run('trace', '--only', '', 'true'), 2, 'uservisor trace: --only : ', 'kvm or mshv')
    check('what was not opened', run('exec', '--only', 'mshv', 'true'), 0, 'without having opened /dev/mshv;')
    check('and of both', run('exec', 'true'), 0, 'without having opened /dev/kvm or /dev/mshv;')
    strange = dict(os.environ, USERVISOR_WITHOUT='fsgsbase,frobs')
    check('a feature that nobody knows', run('exec', 'true', env=strange), 2, "'frobs'", 'fsgsbase, userfaultfd')
    check('what the kernel cannot hand to us', run('exec', '--inject', 'true', env=dict(
        os.environ, USERVISOR_WITHOUT='dispatch')), 126, 'Syscall User Dispatch')
    check('through a shell', run('exec', 'sh', '-c', f'exec {CLIENT} open-functions'), 0)
    check('through env -i', run('exec', '/usr/bin/env', '-i', CLIENT, 'open-functions'), 0)
    with tempfile.TemporaryDirectory(dir=sys.argv[3]) as d:
        name = os.path.join(d, 'narrow')
        with open(name, 'wb') as f:
            f.write(b'\x7fELF\x01\x01\x01' + bytes(64))
        os.chmod(name, 0o755)
        check('32-bit', run('exec', name), 126, '32-bit')
        script = os.path.join(d, 'script')
        with open(script, 'w', encoding='utf-8') as f:
            f.write(f'#!/bin/sh\nexec {CLIENT} open-flags\n')
        os.chmod(script, 0o755)
        check('script', run('exec', script), 0)
        if os.geteuid() == 0:
            os.chown(name, 65534, -1)
            with open(CLIENT, 'rb') as f, open(name, 'wb') as g:
                g.write(f.read())
            os.chmod(name, 0o4755)
            check('set-uid', run('exec', name), 126, 'set-uid')
    print('ok')


main()
