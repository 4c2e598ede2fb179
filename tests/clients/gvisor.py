#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""gVisor as the host: a sandbox with a kernel of its own, in which nothing but ordinary system calls works.

usage: tests/clients/gvisor.py TEST... | all [--list]

Debian's `runsc`, with its ptrace platform, which needs no virtualization. What is left out because of the sandbox says so.
Exit status 0, 1, or 77 with the reason.
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

from vmm import SLOW, Failure, Skip, machines, need, require, require_program

BUILD = os.path.dirname(machines.USERVISOR)
EXAMPLES = os.path.join(machines.TOP, 'examples')
OF_DEVICES = ('mshv.c',)
PROMISE = os.path.join(machines.TOP, 'tests', 'libkvm', 'promise.py')
CLIENT = os.path.join(BUILD, 'tests', 'shim', 'preload', 'shim-client')

# The rest of its scenarios is not for this sandbox: it has no close_range() with flags, no MADV_WIPEONFORK, by which a
# forked child is told from its parent, and no instruction pointer in what seccomp filters see.
SCENARIOS = ('open-functions', 'open-flags', 'open-paths', 'open-hidden', 'stat-device', 'duplicates', 'numbers-again',
             'close-order', 'request-errors', 'vforked', 'fault-handlers', 'fault-defaults', 'raw-sigaction',
             'handler-asks', 'handler-jumps', 'cancelled', 'signal-mask')


class Sandbox:
    """`runsc do`: the host's files, read-only, with what is written kept apart."""

    def __init__(self, tmp):
        self.command = [require_program('runsc', 'runsc')]
        if os.geteuid():
            self.command.append('--rootless')
        self.command += ['--root', tmp, '--platform=ptrace', '--network=none', 'do']
        started = time.monotonic()
        r = self.run('true', seconds=60)
        if r.returncode:
            said = (r.stderr + r.stdout).strip().splitlines()
            raise Skip(f'runsc does not start here: {said[-1] if said else r.returncode}')
        print(f'the sandbox itself: {time.monotonic() - started:.1f} s')

    def run(self, *command, seconds):
        try:
            return subprocess.run([*self.command, *command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                  timeout=seconds * SLOW, check=False)
        except subprocess.TimeoutExpired as e:
            raise Failure(f'{" ".join(command)}: still running after {seconds * SLOW:.0f} s:\n'
                          f'{(e.stdout or b"")[-1000:]}') from e


def timed(what, function, *args, **more):
    started = time.monotonic()
    result = function(*args, **more)
    print(f'{what}: {time.monotonic() - started:.1f} s', flush=True)
    return result


def doctor(box):
    """It finds that guests run, and says how quickly."""
    r = timed('doctor', box.run, machines.USERVISOR, 'doctor', seconds=60)
    need(r.returncode == 0 and 'it runs guests' in r.stdout, f'doctor, status {r.returncode}:\n{r.stdout}{r.stderr}')
    print(re.search(r'it runs guests.*', r.stdout)[0])


def boot(box):
    """A shell runs what the kernel command line says, and the machine powers off."""
    require(machines.KERNEL, 'run tools/guest')
    for cpus in 1, 2:
        append = 'quiet RUN="nproc; echo $((6*7)) | sed s/4/x/; cat /proc/uptime"'
        command = machines.command('soft', append, memory='256M', cpus=cpus)
        r = timed(f'boot to power-off, {cpus} CPU(s)', box.run, *command, seconds=120)
        lines = r.stdout.replace('\r', '').splitlines()
        need(r.returncode == 0 and str(cpus) in lines and 'x2' in lines and '@@end 0' in lines,
             f'boot, status {r.returncode}:\n{r.stdout[-2000:]}{r.stderr[-1000:]}')
        print(f'the shell was reached {[line for line in lines if re.match(r"[0-9.]+ [0-9.]+$", line)][0].split()[0]} s '
              'after the start of the kernel')


def promises(name):
    with open(os.path.join(EXAMPLES, name), encoding='utf-8') as f:
        return '\n * prints' in f.read()


def examples(box):
    """Those with a guest print what they promise; those that open a device themselves are given it by `exec`."""
    for name in sorted(name for name in os.listdir(EXAMPLES) if name.endswith('.c') and promises(name)):
        program = os.path.join(BUILD, 'examples', name[:-2])
        given = [machines.USERVISOR, 'exec', '--'] if name in OF_DEVICES else ['env', 'LIBKVM_ENGINE=soft']
        command = [*box.command, *given, program]
        r = timed(f'example {name[:-2]}', subprocess.run,
                  [sys.executable, PROMISE, os.path.join(EXAMPLES, name), 'soft', *command], stdin=subprocess.DEVNULL,
                  capture_output=True, text=True, check=False)
        need(r.returncode == 0, f'{name}: {r.stdout}{r.stderr}')


def client(box):
    """Unmodified dynamic programs: scenarios of our own, what is shown of the processor, and QEMU to a guest's shell."""
    require(CLIENT, 'build it: make')
    for name in SCENARIOS:
        r = timed(f'exec, {name}', box.run, machines.USERVISOR, 'exec', '--', CLIENT, name, seconds=60)
        need(r.returncode == 0, f'{name}: status {r.returncode}, {r.stdout}{r.stderr}')
    processor = os.path.join(BUILD, 'tests', 'shim', 'shim-processor')
    r = timed('exec, CPUID', box.run, machines.USERVISOR, 'exec', '--', processor, 'seen', seconds=60)
    need(r.returncode == 0, f'the program does not find VT-x or AMD-V: {r.stdout}{r.stderr}')


def qemu(box):
    """Debian's QEMU under exec, to a guest's shell and power-off."""
    require_program('qemu-system-x86_64', 'qemu-system-x86')
    require(machines.KERNEL, 'run tools/guest')
    r = timed('exec, QEMU to power-off', box.run, machines.USERVISOR, 'exec', '--', 'qemu-system-x86_64', '-accel',
              'kvm', '-M', 'microvm,rtc=on', '-m', '256', '-nodefaults', '-display', 'none', '-no-reboot', '-serial', 'stdio',
              '-kernel', machines.KERNEL, '-initrd', machines.INITRD, '-append', 'console=ttyS0 quiet RUN="nproc"',
              seconds=240)
    need(r.returncode == 0 and '@@end 0' in r.stdout, f'status {r.returncode}:\n{r.stdout[-2000:]}{r.stderr[-1000:]}')


def static(box):
    """Static programs need Syscall User Dispatch, which the sandbox has not: that is said."""
    busybox = require_program('busybox', 'busybox-static')
    r = box.run(machines.USERVISOR, 'exec', '--', busybox, 'true', seconds=60)
    need(r.returncode in (0, 126), f'static program: status {r.returncode}, {r.stderr}')
    print('static programs run' if r.returncode == 0 else f'left out: static programs: {r.stderr.strip()}')


TESTS = {f.__name__: f for f in (doctor, boot, examples, client, qemu, static)}


def main():
    names = sys.argv[1:]
    if names == ['--list']:
        print('\n'.join(TESTS))
        return 0
    if names == ['all']:
        names = list(TESTS)
    if not names or not set(names) <= set(TESTS):
        sys.exit(__doc__)
    try:
        with tempfile.TemporaryDirectory(prefix='uservisor-gvisor-') as tmp:
            box = Sandbox(tmp)
            for name in names:
                TESTS[name](box)
    except Skip as why:
        print(f'skipped: {why}')
        return 77
    except Failure as why:
        print(why)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
