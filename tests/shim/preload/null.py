#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Every hook of the preload library with NULL pointers. usage: null.py UV NULL LIBRARY

The hooks are those that the library exports; one that is neither in null.c nor named here fails.
"""
import subprocess
import sys

UV, NULL, LIBRARY = sys.argv[1:4]
# Hooks without a pointer that the kernel would refuse, and why they are not called with NULL.
OTHERS = {
    'takes no pointer': 'exit _exit _Exit close close_range closefrom dup dup2 dup3 fallocate fallocate64 pthread_cancel sigignore '
                        'siginterrupt',
    'takes what a request makes of it': 'ioctl fcntl fcntl64 mmap mmap64 syscall',
    'NULL has a meaning': 'sigaction __sigaction signal bsd_signal ssignal sysv_signal __sysv_signal sigset pthread_sigmask '
                          'sigprocmask system',
    'is the C library\'s own, which crashes on NULL as without us': 'fopen fopen64 popen posix_spawn posix_spawnp execvp execvpe '
                                                                  'execl execlp execle',
    'starts the program': '__libc_start_main',
}


def run(*args):
    return subprocess.run([UV, 'exec', '--quiet', '--', NULL, *args], capture_output=True, text=True, timeout=60, check=False)


def main():
    listing = subprocess.run(['nm', '-D', '--defined-only', LIBRARY], capture_output=True, text=True, check=True).stdout
    exported = {line.split()[-1] for line in listing.splitlines()}
    called = set(run('list').stdout.split())
    known = called | set(' '.join(OTHERS.values()).split())
    wrong = [f'{name} is exported and not tested with NULL: add it to null.c' for name in sorted(exported - known)]
    for name in sorted(called & exported):
        r = run(name)
        if r.returncode:
            wrong.append(f'{name}: status {r.returncode} {r.stdout.strip()} {r.stderr.strip()}')
    print('\n'.join(wrong) or f'ok, {len(called)} hooks')
    return bool(wrong)


sys.exit(main())
