#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A program that is killed at any moment leaves nothing behind.

usage: kill.py [--rounds N] [--life SECONDS] [--inject] USERVISOR PROGRAM [ARGUMENT]...
       kill.py [--rounds N] [--life SECONDS] USERVISOR qemu

The program runs by `uservisor exec` and is sent SIGKILL, SIGTERM or SIGINT after a random time. Then there must be no
process left of its session, no new file where it may write, no System V object, no memfd of ours in any process that
was not there before. `uservisor exec` becomes the program: there is no parent whose death could orphan it.
"""
import argparse
import glob
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '../..'))
SIGNALS = signal.SIGKILL, signal.SIGTERM, signal.SIGINT
GONE_SECONDS = 60 * float(os.environ.get('SLOW', '1'))


def stat_of(pid):
    """(state, session) of a process, or None."""
    try:
        with open(f'/proc/{pid}/stat', encoding='utf-8', errors='replace') as f:
            words = f.read().rpartition(')')[2].split()
        return words[0], int(words[3])
    except OSError:
        return None


def of_session(session):
    pids = [int(d) for d in os.listdir('/proc') if d.isdigit()]
    return [pid for pid in pids if (s := stat_of(pid)) and s[1] == session and s[0] not in 'ZX']


def memfds(pid):
    found = set()
    try:
        for name in os.listdir(f'/proc/{pid}/fd'):
            try:
                target = os.readlink(f'/proc/{pid}/fd/{name}')
            except OSError:
                continue
            if 'memfd:uservisor' in target:
                found.add(target)
    except OSError:
        pass
    return found


def ipc_objects(marks):
    """System V objects whose creator is one of ours."""
    found = []
    for kind in ('shm', 'sem', 'msg'):
        try:
            with open(f'/proc/sysvipc/{kind}', encoding='utf-8') as f:
                names, *rows = [line.split() for line in f]
        except OSError:
            continue
        for row in rows:
            values = dict(zip(names, row))
            if {int(values.get(k, 0)) for k in ('cpid', 'lpid', 'lspid')} & marks:
                found.append(f'{kind} {row}')
    return found


class Case:
    """One program in folders of its own."""

    def __init__(self, argv, tmp):
        self.argv = argv
        self.places = {name: os.path.join(tmp, name) for name in ('work', 'tmp', 'runtime')}
        for path in self.places.values():
            os.makedirs(path)
        self.shm = set(os.listdir('/dev/shm'))
        self.problems = []

    def start(self):
        env = dict(os.environ, TMPDIR=self.places['tmp'], XDG_RUNTIME_DIR=self.places['runtime'])
        return subprocess.Popen(self.argv, cwd=self.places['work'], env=env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

    def complain(self, what):
        self.problems.append(what)
        print(what, flush=True)

    def ends(self, p, sig):
        try:
            p.wait(GONE_SECONDS)
        except subprocess.TimeoutExpired:
            self.complain(f'{sig.name} does not end it')
            p.kill()
            p.wait()

    def wait_for_session(self, session):
        end = time.monotonic() + GONE_SECONDS
        while (left := of_session(session)) and time.monotonic() < end:
            time.sleep(0.02)
        for pid in left:
            self.complain(f'process {pid} is left')
            os.kill(pid, signal.SIGKILL)

    def check_files(self, pids):
        for name, path in self.places.items():
            for found in os.listdir(path):
                self.complain(f'{name}: {found} is left')
                shutil.rmtree(os.path.join(path, found), ignore_errors=True)
        for found in set(os.listdir('/dev/shm')) - self.shm:
            if 'uservisor' in found or any(str(pid) in found for pid in pids):
                self.complain(f'/dev/shm/{found} is left')
        for found in glob.glob('/tmp/*'):
            if any(str(pid) in os.path.basename(found) for pid in pids) and 'uservisor' in found:
                self.complain(f'{found} is left')

    def round(self, delay, sig):
        p = self.start()
        time.sleep(delay)
        pids = set(of_session(p.pid)) | {p.pid}
        if len(pids) > 1:
            self.complain(f'{len(pids)} processes for one program')
        state = p.poll()
        if state is None:
            os.kill(p.pid, sig)
        self.ends(p, sig)
        self.wait_for_session(p.pid)
        self.check_files(pids)
        for found in ipc_objects(pids):
            self.complain(f'{found} is left')
        for pid in pids:
            if memfds(pid):
                self.complain(f'{pid} still has {memfds(pid)}')
        return state is None


def natural_life(case, most):
    """How long it runs when it is let: delays are chosen from that."""
    start = time.monotonic()
    p = case.start()
    try:
        p.wait(most)
    except subprocess.TimeoutExpired:
        p.kill()
        p.wait()
    return time.monotonic() - start


def run_rounds(name, argv, rounds, most):
    killed = 0
    with tempfile.TemporaryDirectory() as tmp:
        case = Case(argv, tmp)
        life = natural_life(case, most)
        for i in range(rounds):
            # Half of them while it starts, where most is made.
            delay = random.uniform(0, life if i % 2 else min(life, 0.1))
            killed += case.round(delay, SIGNALS[i % len(SIGNALS)])
            if len(case.problems) > 5:
                break
        print(f'{name}: killed {killed} times of {rounds} in {life:.2f} s, {len(case.problems)} problems')
        if not killed:
            case.complain('it always ended before')
    return len(case.problems)


def qemu():
    guest = os.path.join(TOP, 'build', 'guest')
    program = shutil.which('qemu-system-x86_64')
    if not program or not os.path.exists(os.path.join(guest, 'vmlinuz')):
        print('skipped: no qemu-system-x86_64, or no build/guest: run tools/guest')
        sys.exit(77)
    return [program, '-accel', 'kvm', '-M', 'microvm', '-m', '256', '-smp', '2', '-nodefaults', '-display', 'none',
            '-no-reboot', '-serial', 'null', '-kernel', os.path.join(guest, 'vmlinuz'),
            '-initrd', os.path.join(guest, 'initrd'), '-append', 'console=ttyS0 panic=-1']


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('uservisor')
    parser.add_argument('--rounds', type=int, default=30)
    parser.add_argument('--life', type=float, default=3, help='of a program that does not end by itself')
    parser.add_argument('--inject', action='store_true')
    parser.add_argument('--seed', type=int, default=int(time.time()))
    parser.add_argument('program', nargs='+')
    args = parser.parse_args()
    print(f'--seed {args.seed}')
    random.seed(args.seed)
    program = qemu() if args.program == ['qemu'] else [os.path.abspath(args.program[0])] + args.program[1:]
    argv = [os.path.abspath(args.uservisor), 'exec'] + ['--inject'] * args.inject + ['--'] + program
    return 1 if run_rounds(os.path.basename(program[0]), argv, args.rounds, args.life) else 0


if __name__ == '__main__':
    sys.exit(main())
