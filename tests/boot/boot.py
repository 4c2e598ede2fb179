#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""End to end: Debian's kernel to a shell, work whose results are compared with the host's, power-off.

usage: tests/boot/boot.py avx512|shell|jobs|loop|terminal|answers|piped|memory|panic|errors [--machine soft|mshv|tcg|kvm] [--cpus N] ...

The same tests prove themselves under another machine: --machine tcg, or MACHINE=tcg.
Exit status 0, 1, or 77 with the reason when it cannot run here.
"""
import argparse
import difflib
import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
import tty

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(HERE, '..', '..', 'tools'))
# pylint: disable=wrong-import-position
import machines  # noqa: E402

PROMPT = 'guest# '
SLOW = float(os.environ.get('SLOW', '1'))  # stretches every time limit


class Failure(Exception):
    """What was expected and did not happen."""


class Absent(Exception):
    """Why it cannot run here."""


def need(condition, what):
    if not condition:
        raise Failure(what)


def finish(guest, want=0):
    status = guest.wait(30 * SLOW)
    need(status == want, f'exit status {status} instead of {want}')


def start(args, append='', terminal=False, initrd=machines.INITRD):
    return machines.Guest(machines.command(args.machine, append, initrd, memory=args.memory, cpus=args.cpus), terminal)


def content_kernel(guest):
    """It reads no MSR that is not there, and spares what would hold nothing apart (ARCH_CAPABILITIES in msr.c)."""
    guest.type('dmesg | grep MSR; cat /sys/devices/system/cpu/vulnerabilities/*\n')
    text = guest.expect(PROMPT, 20 * SLOW)
    for costly in ('unchecked', 'SW loop', 'Aligned branch', 'PTI', 'Clear CPU buffers'):
        need(costly not in text, f'the kernel says "{costly}"')


def shell(args):
    """A shell on the terminal: what is typed runs, the processors are all there, exit powers off."""
    with start(args, terminal=True) as guest:
        try:
            guest.expect(PROMPT, 90 * SLOW)
            up = time.monotonic() - guest.started
            guest.type('cat /proc/cpuinfo\n')
            text = guest.expect(PROMPT, 20 * SLOW)
            got = len(re.findall(r'^processor\s*:', text, re.M))
            need(got == args.cpus, f'{got} processors instead of {args.cpus}')
            need('model name' in text and 'flags' in text, 'no processor description')
            if args.machine == 'soft':
                content_kernel(guest)
            guest.type('echo $((6*7)) | sed s/4/x/\n')
            guest.expect('x2', 20 * SLOW)
            guest.expect(PROMPT, 20 * SLOW)
            guest.type('n=0; for i in $(seq 1 100); do n=$(expr $n + 1); done; echo sum=$n\n')
            guest.expect('sum=100', 60 * SLOW)
            guest.type('sleep 1; cut -d" " -f1 /proc/uptime; echo a=$?\n')
            guest.expect('a=0', 20 * SLOW)
            guest.type('exit\n')
            finish(guest)
            need(guest.terminal_is_restored(), 'the terminal was left in another mode')
        except (machines.Timeout, Failure):
            print(guest.text[-4000:])
            raise
    print(f'{args.machine}, {args.cpus} CPU(s): shell after {up:.2f} s, powered off with status 0')


def on_host(script):
    with tempfile.TemporaryDirectory() as applets:
        subprocess.run([machines.BUSYBOX, '--install', '-s', applets], check=True)
        return subprocess.run([machines.BUSYBOX, 'sh', script], env={'PATH': applets}, capture_output=True, text=True,
                              check=True).stdout


def jobs(args):
    """The same script in the guest and on the host, byte for byte."""
    script = os.path.join(HERE, 'jobs.sh')
    want = on_host(script)
    with tempfile.TemporaryDirectory() as tmp:
        initrd = machines.make_initrd(os.path.join(tmp, 'initrd'), script + ':/script')
        with start(args, 'quiet', initrd=initrd) as guest:
            try:
                guest.expect('@@begin', 90 * SLOW)
                guest.expect('\n', 5)
                text = guest.expect('@@end ', 300 * SLOW).replace('\r', '')
                took = time.monotonic() - guest.started
                finish(guest)
            except (machines.Timeout, Failure):
                print(guest.text[-4000:])
                raise
    got = text[:-len('@@end ')]
    if got != want:
        sys.stdout.writelines(difflib.unified_diff(want.splitlines(True), got.splitlines(True), 'host', 'guest'))
        raise Failure('the guest computes something else than the host')
    print(f'{args.machine}, {args.cpus} CPU(s): {len(want.splitlines())} lines equal, {took:.1f} s')


def avx512(args):
    """A program that keeps values in AVX-512's registers, among others that do and with signals."""
    with tempfile.TemporaryDirectory() as tmp:
        initrd = machines.make_initrd(os.path.join(tmp, 'initrd'), args.program + ':/avx512')
        with start(args, 'quiet RUN=/avx512', initrd=initrd) as guest:
            try:
                guest.expect('@@begin', 90 * SLOW)
                text = guest.expect('@@end ', 120 * SLOW)
                finish(guest)
            except (machines.Timeout, Failure):
                print(guest.text[-4000:])
                raise
    if 'no AVX-512' in text:
        raise Absent('the processor has no AVX-512')
    need('0 of 6 processes' in text, text)
    print(f'{args.machine}, {args.cpus} CPU(s): nothing is lost')


def one_boot(args):
    with start(args, 'quiet RUN=true') as guest:
        try:
            guest.expect('@@begin', 60 * SLOW)
            guest.expect('@@end 0', 20 * SLOW)
            finish(guest)
            return time.monotonic() - guest.started
        except (machines.Timeout, Failure) as why:
            print(guest.text[-3000:])
            raise Failure(f'{args.cpus} CPU(s): {why}') from why


def loop(args):
    """Boot and power off again and again; every single one must work."""
    good, times = 0, []
    for i in range(args.count):
        try:
            times.append(one_boot(args))
            good += 1
        except Failure as why:
            print(f'boot {i + 1}: {why}', flush=True)
    if times:
        print(f'{args.machine}, {args.cpus} CPU(s): {min(times):.2f} to {max(times):.2f} s each')
    print(f'{good} of {args.count}')
    need(good == args.count, f'{args.count - good} boots failed')


def terminal(args):
    """Ctrl-A x quits and restores the terminal; a closed terminal ends it; so does SIGTERM."""
    with start(args, terminal=True) as guest:
        guest.expect('Linux', 60 * SLOW)
        guest.type('\x01x')
        status = guest.wait(10 * SLOW)
        need(guest.terminal_is_restored(), 'Ctrl-A x left the terminal in another mode')
        need(status != 0 or args.machine == 'tcg', 'Ctrl-A x looks like a power-off: status 0')
    for what, sig in (('SIGTERM', signal.SIGTERM), ('SIGHUP, the closed terminal,', signal.SIGHUP)):
        with start(args, terminal=True) as guest:
            guest.expect('Linux', 60 * SLOW)
            guest.process.send_signal(sig)
            status = guest.wait(10 * SLOW)
            need(status != 0 or args.machine == 'tcg', f'{what} looks like a power-off: status 0')
            need(guest.terminal_is_restored(), f'{what} left the terminal in another mode')
    print('the terminal is restored on every way out')


def late_answers(guest, late, how):
    """Be a terminal that answers so many seconds late, until the machine ends; what its user's shell then reads."""
    due, at = [], 0
    while guest.process.poll() is None or due:
        try:
            guest._read(0.05)  # pylint: disable=protected-access
        except machines.Timeout:
            pass
        for found in re.finditer('\033\\[[56]n|\033\\[c|\033]11;[?]\a', guest.text[at:]):
            due.append((time.monotonic() + late, how(found.group())))
            at = max(at, guest.text.rindex(found.group()) + len(found.group()))
        while due and due[0][0] <= time.monotonic():
            guest.type(due.pop(0)[1])
    tty.setraw(guest.other, termios.TCSANOW)
    return os.read(guest.other, 1000) if select.select([guest.other], [], [], 0.3)[0] else b''


def answers(args):
    """What the terminal answers to the guest after its end is not typed into the user's shell."""
    known = {'\033[5n': '\033[0n', '\033[6n': '\033[9;9R', '\033[c': '\033[?62c', '\033]11;?\a': '\033]11;rgb:0/0/0\a'}
    for late in (0, 0.3):
        for what in ('\\033[6n', '\\033[c\\033[6n', '\\033]11;?\\007'):
            append = f'quiet RUN="printf \'{what}\'; poweroff -f"'
            with start(args, append, terminal=True) as guest:
                rest = late_answers(guest, late, lambda asked: known[asked])
                need(guest.process.wait() == 0, 'it does not end with status 0')
                need('\033' in guest.text, f'the guest did not ask: {guest.text[-300:]!r}')
                need(not rest, f'the shell gets {rest!r} after {what}, answered {late} s late')
    print('no answer of the terminal is left for the shell')


def fed(args, text):
    """Boot with a file or pipe of that text as the input; what the guest says."""
    argv = machines.command(args.machine, 'quiet', memory=args.memory, cpus=args.cpus)
    r = subprocess.run(argv, input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=90 * SLOW, check=False)
    said = r.stdout.decode('utf-8', 'replace')
    need(r.returncode == 0, f'status {r.returncode} after {text[:40]!r}: {said[-500:]!r}')
    return said


def piped(args):
    """Input that is there before the guest is reaches the shell; so does its end."""
    need('x42y' in fed(args, 'echo x$((6*7))y\nexit\n'), 'a line that was there from the start is lost')
    need('x42y' in fed(args, 'echo x$((6*7))y\n'), 'a line before the end of input is lost')
    lines = ''.join(f'echo $(({i}*1000))z\n' for i in range(1, 100))
    said = fed(args, lines + 'sleep 2\necho x$((6*7))y\n')
    lost = [i for i in range(1, 100) if f'\n{i}000z' not in said.replace('\r', '')]
    need(not lost, f'lines {lost} are lost')
    need('x42y' in said, 'what comes after a pause is lost')
    print('all lines arrive, and the end of the input ends the shell')


def memory(args):
    """Resident memory: the RAM that the guest touched, plus at most 60 MiB."""
    args.memory = '2G'
    with start(args, 'quiet RUN="seq 1 100000 | sort -rn | md5sum; sleep 2"') as guest:
        guest.expect('@@begin', 60 * SLOW)
        guest.expect('-', 60 * SLOW)
        beside = machines.resident(guest.process.pid, 2 << 30).beside
        finish(guest)
    print(f'{beside >> 20} MiB resident beside the guest RAM')
    need(beside <= 60 << 20 or args.machine == 'tcg', f'{beside >> 10} KiB instead of at most {60 << 10}')


def panic(args):
    """A guest that panics is not a success."""
    with start(args, 'rdinit=/missing panic=-1') as guest:
        guest.expect('Kernel panic', 60 * SLOW)
        status = guest.wait(30 * SLOW)
        need(status != 0 or args.machine == 'tcg', 'a panic looks like a power-off: status 0')
    print(f'a panic ends with status {status}')


def bad_files(tmp):
    """name -> path of things that are not a kernel."""
    with open(machines.KERNEL, 'rb') as f:
        kernel = f.read()
    files = {'empty': b'', 'truncated': kernel[:100000], 'cut in the header': kernel[:600],
             'text': b'this is not a kernel\n' * 100, 'elf': b'\x7fELF\x02\x01\x01' + bytes(200),
             'zeros': bytes(1 << 20)}
    for name, data in files.items():
        files[name] = os.path.join(tmp, name)
        with open(files[name], 'wb') as f:
            f.write(data)
    files['missing'] = os.path.join(tmp, 'missing')
    files['a folder'] = tmp
    return files


def refused(why, argv, **more):
    """It ends soon, not by a signal, with a non-zero status and one sentence."""
    try:
        r = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=20 * SLOW, check=False,
                           **more)
    except subprocess.TimeoutExpired:
        return f'{why}: it runs instead of refusing'
    lines = r.stderr.strip().splitlines()
    if r.returncode < 0:
        return f'{why}: dies of signal {-r.returncode}'
    if r.returncode == 0:
        return f'{why}: status 0'
    if not lines:
        return f'{why}: says nothing (status {r.returncode})'
    if len(lines) > 2:
        return f'{why}: says {len(lines)} lines instead of a sentence: {lines[0]} ...'
    print(f'{why}: {lines[-1]}')
    return None


def errors(args):
    """Bad input: a sentence that says what to do, and a non-zero status."""
    def boot(*options):
        return [machines.USERVISOR, 'boot', '--engine', args.machine, *options]

    kernel = ('--kernel', machines.KERNEL, '--initrd', machines.INITRD)
    with tempfile.TemporaryDirectory() as tmp:
        files = bad_files(tmp)
        cases = [(f'kernel: {name}', boot('--kernel', path)) for name, path in files.items()]
        cases += [(f'initrd: {name}', boot('--kernel', machines.KERNEL, '--initrd', files[name]))
                  for name in ('missing', 'a folder')]
        big = os.path.join(tmp, 'big')
        with open(big, 'wb') as f:
            f.truncate(600 << 20)
        cases.append(('initrd larger than RAM', boot('--kernel', machines.KERNEL, '--initrd', big, '--memory', '512M')))
        cases += [(f'--memory {v}', boot(*kernel, '--memory', v))
                  for v in ('0', '1K', '999T', '-1', 'lots', '', '512MM', '99999999999999999999')]
        cases += [(f'--cpus {v}', boot(*kernel, '--cpus', v)) for v in ('0', '1000', '-1', 'x', '')]
        cases += [('no kernel', boot()), ('unknown option', boot(*kernel, '--colour')),
                  ('option without value', boot('--kernel')),
                  ('unknown engine', [machines.USERVISOR, 'boot', '--engine', 'steam', *kernel]),
                  ('unknown command', [machines.USERVISOR, 'fly'])]
        if os.geteuid() != 0:
            secret = os.path.join(tmp, 'secret')
            with open(secret, 'wb') as f:
                f.write(b'x')
            os.chmod(secret, 0)
            cases.append(('unreadable kernel', boot('--kernel', secret)))
        wrong = [w for w in (refused(*c) for c in cases) if w]
    print('\n'.join(wrong))
    need(not wrong, f'{len(wrong)} of {len(cases)} bad inputs are not refused as they should be')


TESTS = {'avx512': avx512, 'shell': shell, 'jobs': jobs, 'loop': loop, 'terminal': terminal, 'answers': answers, 'piped': piped, 'memory': memory,
         'panic': panic, 'errors': errors}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('test', choices=TESTS)
    parser.add_argument('--machine', choices=machines.MACHINES, default=os.environ.get('MACHINE', 'soft'))
    parser.add_argument('--cpus', type=int, default=1)
    parser.add_argument('--memory', default='512M')
    parser.add_argument('--count', type=int, default=50, help='loop: how many boots')
    parser.add_argument('--program', help='avx512: the program')
    args = parser.parse_args()
    why = machines.have(args.machine)
    if why is None and not os.path.exists(machines.KERNEL):
        why = 'no guest: run tools/guest'
    if why:
        print(f'skipped: {why}')
        return 77
    try:
        TESTS[args.test](args)
    except Absent as e:
        print(f'skipped: {e}')
        return 77
    except (Failure, machines.Timeout) as e:
        print(f'{args.test}: {e}')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
