#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Static programs under `uservisor exec`.

usage: static.py USERVISOR scenarios [--native] PROGRAM     every scenario that PROGRAM lists
       static.py USERVISOR go COMPILER SOURCE FOLDER         must print what it prints natively
       static.py USERVISOR busybox                          shell sessions, compared with the native ones
       static.py USERVISOR jail PROGRAM                     a dynamic program that executes PROGRAM in a chroot
       static.py USERVISOR filters PROGRAM                  filters that cannot be read back: it must not start
       static.py USERVISOR gvisor                           runsc with its KVM platform, its guest being itself

--native: also without uservisor, where the same must hold.
"""
import os
import shutil
import struct
import subprocess
import sys
import tempfile

SESSIONS = [
    'echo one | cat | tr a-z A-Z; echo $?',
    '(echo sub; exit 3); echo $?; { false; } || echo no',
    'trap "echo got" USR1; kill -USR1 $$; echo after; kill -USR1 $$; trap "echo bye" EXIT; exit 5',
    'exec 2>/dev/null; sleep 0.2 & wait $!; echo $?; sleep 5 & kill $!; wait $!; echo $?',
    'for i in 1 2 3 4 5 6 7 8; do (echo $i) & done | sort; wait',
    'x=$(echo $(echo $(echo nested))); echo $x; echo "${#x}"',
    'echo text > file; cat < file >> other; cat file other | wc -l; ls; rm file; test -e file; echo $?',
    'yes | head -n 1000 | sha256sum; seq 1 20000 | gzip | gunzip | sha256sum',
    'mkdir a; seq 1 999 > a/x; tar cf - a | tar tvf - | wc -l; tar czf t.gz a; rm -r a; tar xzf t.gz; sha256sum a/x',
    'set -m 2>/dev/null; sleep 0.1 & jobs | wc -l; wait; echo done',
    'readlink /proc/self/exe | grep -c busybox; cat /proc/self/comm',
    'printf "#!$BUSYBOX sh\\necho script \\$0 \\$1\\n" > s; chmod +x s; ./s arg; ./nothing; echo $?',
    'ulimit -c 0; sh -c "kill -SEGV \\$\\$"; echo $?; sh -c "kill -TERM \\$\\$"; echo $?; sh -c "kill -SYS \\$\\$"; echo $?',
    'timeout 0.2 sleep 5; echo $?; nice -n 5 nice; env -i X=1 env; xargs -n 1 echo < /dev/null; find . | sort',
    'awk "BEGIN { for (i = 0; i < 100000; i++) s += i; print s }"; dd if=/dev/zero bs=1k count=100 2>/dev/null | md5sum',
    'tr "\\0" " " < /proc/$$/cmdline; env -i A=b cat /proc/self/environ /proc/self/cmdline | tr "\\0" " "',
    '/bin/echo dynamic; cat /etc/hostname | cmp - /etc/hostname && echo same',
]


def run(argv, timeout=60, **more):
    return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=timeout, **more)


def refused(uservisor, program):
    """Why this kernel cannot do it at all, or None."""
    r = run([uservisor, 'exec', '--', program])
    text = r.stderr.decode(errors='replace')
    return text.strip() if r.returncode == 126 and 'Syscall User Dispatch' in text else None


def scenarios(uservisor, program, native):
    why = refused(uservisor, program)
    if why:
        print(f'skipped: {why}')
        return 77
    failed = 0
    count = 0
    for name in run([program]).stdout.decode().split():
        for prefix in ([[]] if native else []) + [[uservisor, 'exec', '--']]:
            count += 1
            try:
                r = run(prefix + [program, name], env=dict(os.environ, **({'STATIC_UNDER_US': '1'} if prefix else {})))
                said, status = r.stderr.decode(errors='replace'), r.returncode
            except subprocess.TimeoutExpired:
                said, status = 'it did not end\n', 'timeout'
            print(''.join(line for line in r.stdout.decode().splitlines(True) if line.startswith('skipped')), end='')
            if status:
                failed += 1
                print(f'{name}{"" if prefix else " (native)"}: status {status}\n{said}', end='')
    print(f'{count} runs, {failed} failed')
    return 1 if failed or not count else 0


def golang(uservisor, compiler, source, folder):
    program = os.path.join(folder, 'static-go')
    env = dict(os.environ, CGO_ENABLED='0', GO111MODULE='off', GOENV='off', GOTELEMETRY='off',
               GOCACHE=os.path.join(folder, 'go-cache'), GOPATH=os.path.join(folder, 'go-path'))
    subprocess.run([compiler, 'build', '-p', '2', '-o', program, source], env=env, check=True)
    why = refused(uservisor, program)
    if why:
        print(f'skipped: {why}')
        return 77
    results = [run(prefix + [program], 120) for prefix in ([], [uservisor, 'exec', '--'])]
    native, ours = [(r.returncode, r.stdout, r.stderr) for r in results]
    guest = run([uservisor, 'exec', '--', program, 'kvm'], 120)
    if native != ours or guest.returncode or b'exits 1000 reason 5' not in guest.stdout:
        print(f'native {native}\nours   {ours}\nguest  {guest}')
        return 1
    return 0


def session(prefix, busybox, script):
    with tempfile.TemporaryDirectory() as folder:
        env = {'PATH': os.environ['PATH'], 'BUSYBOX': busybox, 'LC_ALL': 'C'}
        env |= {name: value for name, value in os.environ.items() if name.startswith('USERVISOR_')}
        r = run(prefix + [busybox, 'sh', '-c', script], cwd=folder, env=env)
        return r.returncode, r.stdout, r.stderr


def busybox(uservisor):
    path = shutil.which('busybox')
    if not path or b'/ld-linux' in open(path, 'rb').read(4096):
        print('skipped: no static busybox is installed (Debian: busybox-static)')
        return 77
    why = refused(uservisor, path)
    if why:
        print(f'skipped: {why}')
        return 77
    failed = 0
    for script in SESSIONS:
        want, have = session([], path, script), session([uservisor, 'exec', '--quiet', '--'], path, script)
        if want != have:
            failed += 1
            print(f'{script}\n  native {want}\n  ours   {have}')
    print(f'{len(SESSIONS)} sessions, {failed} differ')
    return 1 if failed else 0


def filters(uservisor, program):
    """What shim/inject/exec.c hands over to the next `uservisor exec`, and what may have become of it."""
    why = refused(uservisor, program)
    if why:
        print(f'skipped: {why}')
        return 77
    errno_77 = struct.pack('<' + 'HBBI' * 4, 0x20, 0, 0, 0, 0x15, 0, 1, 111, 0x06, 0, 0, 0x50000 | 77, 0x06, 0, 0, 0x7fff0000)
    good = struct.pack('<I', 4) + errno_77
    cases = {'empty': b'', 'count only': good[:4], 'short count': good[:2], 'cut': good[:-1], 'second cut': good + good[:-3],
             'too many': struct.pack('<I', 5000) + errno_77, 'none': struct.pack('<I', 0) + errno_77,
             'no filter': struct.pack('<I', 4) + bytes(32), 'closed': None}
    failed = 0
    for name, content in dict(cases, good=good).items():
        fd = os.memfd_create('filters')
        os.write(fd, content or b'')
        for how in ([], ['--inject']):
            target = [sys.executable, '-c', 'print("runs")'] if how else [program, 'is-shut-in']
            r = run([uservisor, 'exec', *how, '--filters', '99999' if content is None else str(fd), '--', *target], pass_fds=[fd])
            runs = r.returncode == (0 if how else 45)
            if runs != (name == 'good') or (not runs and (r.returncode != 126 or b'cannot be run' not in r.stderr)):
                failed += 1
                print(name, how, r)
        os.close(fd)
    # One that we do not load after all: the kernel knows nothing of the filters.
    fd = os.memfd_create('filters')
    os.write(fd, good)
    for target in (['/bin/echo', 'runs'], ['/dev/null'], ['/nowhere']):
        r = run([uservisor, 'exec', '--filters', str(fd), '--', *target], pass_fds=[fd])
        if r.returncode not in (126, 127) or r.stdout or not r.stderr:
            failed += 1
            print(target, r)
    if run([uservisor, 'exec', '--filters', '-1', '--', '/bin/echo', 'runs']).returncode != 2:
        failed += 1
        print('a filter that is no descriptor')
    return 1 if failed else 0


def jail(uservisor, program):
    enter = [] if os.geteuid() == 0 else ['unshare', '-r']
    if enter and run(enter + ['true']).returncode:
        print('skipped: no user namespaces for a chroot')
        return 77
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(program, os.path.join(folder, 'program'))
        env = {'PATH': os.environ['PATH'] + ':/usr/sbin:/sbin'}
        r = run([uservisor, 'exec', '--'] + enter + ['chroot', folder, '/program', 'jailed-again'], env=env)
        print(r.stdout.decode(errors='replace') + r.stderr.decode(errors='replace'), end='')
        return 1 if r.returncode else 0


def gvisor(uservisor):
    command = ['--network=none', 'do', 'sh', '-c', 'for i in 1 2 3 4 5; do /bin/echo $i; done']
    if os.geteuid() or not shutil.which('runsc'):
        print('skipped: not root' if os.geteuid() else 'skipped: no runsc is installed (Debian: runsc)')
        return 77
    native = run(['runsc', '--platform=ptrace'] + command)
    if native.returncode:
        print('skipped: runsc cannot run here:', native.stderr.decode(errors='replace').strip())
        return 77
    ours = run([uservisor, 'exec', '--quiet', '--', 'runsc', '--platform=kvm'] + command)
    if (native.returncode, native.stdout) != (ours.returncode, ours.stdout):
        print(f'native {native}\nours   {ours}')
        return 1
    return 0


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    uservisor = os.path.abspath(sys.argv[1])
    if sys.argv[2] == 'busybox':
        return busybox(uservisor)
    if sys.argv[2] == 'gvisor':
        return gvisor(uservisor)
    if sys.argv[2] == 'jail':
        return jail(uservisor, os.path.abspath(sys.argv[3]))
    if sys.argv[2] == 'filters':
        return filters(uservisor, os.path.abspath(sys.argv[3]))
    if sys.argv[2] == 'go':
        return golang(uservisor, *map(os.path.abspath, sys.argv[3:6]))
    return scenarios(uservisor, os.path.abspath(sys.argv[-1]), '--native' in sys.argv)


if __name__ == '__main__':
    sys.exit(main())
