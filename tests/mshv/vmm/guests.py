#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Debian's kernel in the monitor of this folder, which speaks only /dev/mshv: to a shell and power-off, held, saved, moved.

usage: tests/mshv/vmm/guests.py shell|jobs|hold|snapshot|live --vmm PROGRAM [--exec] [--cpus N] [--pvh] [--edge] [--seccomp]

PROGRAM is build/tests/mshv/vmm/mshv-vmm-soft, or mshv-vmm-kernel with --exec, under `uservisor exec`. Exit status 0, 1, or 77
with the reason when it cannot run here.
"""
import argparse
import difflib
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import time
import tty

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.join(HERE, '..', '..')
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(TESTS, '..', 'tools'))
# pylint: disable=wrong-import-position
import machines  # noqa: E402

PROMPT = 'guest# '
SLOW = float(os.environ.get('SLOW', '1'))  # stretches every time limit
SAVED = 10  # the exit status, enum end


class Failure(Exception):
    """What was expected and did not happen."""


def need(condition, what):
    if not condition:
        raise Failure(what)


# ---- the kernel's ELF file, out of the bzImage ----

def copy_match(out, offset, length):
    """LZ4: of what is there; a match may reach into itself."""
    at = len(out) - offset
    if offset >= length:
        out += out[at:at + length]
        return
    piece = bytes(out[at:])
    out += (piece * (length // offset + 1))[:length]


def lz4_length(data, i, length):
    if length == 15:
        more = 255
        while more == 255:
            more = data[i]
            i += 1
            length += more
    return i, length


def lz4_block(data, out):
    i, end = 0, len(data)
    while i < end:
        token = data[i]
        i, length = lz4_length(data, i + 1, token >> 4)
        out += data[i:i + length]
        i += length
        if i >= end:
            return
        offset = data[i] | data[i + 1] << 8
        i, length = lz4_length(data, i + 2, token & 15)
        copy_match(out, offset, length + 4)


def lz4_legacy(data):
    """The format that kernels are packed in: blocks behind their sizes; the size of the whole ends it."""
    out, i = bytearray(), 4
    while i + 4 < len(data):
        size, = struct.unpack_from('<I', data, i)
        lz4_block(data[i + 4:i + 4 + size], out)
        i += 4 + size
    return bytes(out)


def unpack(payload):
    if payload.startswith(b'\x02\x21\x4c\x18'):
        return lz4_legacy(payload)
    for magic, command in ((b'\x1f\x8b', 'gzip'), (b'\xfd7zXZ', 'xz'), (b'\x28\xb5\x2f\xfd', 'zstd')):
        if payload.startswith(magic):
            return subprocess.run([command, '-dc'], input=payload, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                  check=False).stdout
    raise Failure(f'the kernel is packed in an unknown way: {payload[:6].hex()}')


def vmlinux():
    """build/guest/vmlinux, made from vmlinuz if it is older."""
    path = os.path.join(machines.GUEST, 'vmlinux')
    if os.path.exists(path) and os.path.getmtime(path) >= os.path.getmtime(machines.KERNEL):
        return path
    with open(machines.KERNEL, 'rb') as f:
        image = f.read()
    start = ((image[0x1f1] or 4) + 1) * 512
    offset, length = struct.unpack_from('<II', image, 0x248)  # payload_offset, payload_length
    elf = unpack(image[start + offset:start + offset + length])
    need(elf.startswith(b'\x7fELF'), 'what is in the kernel is no ELF file')
    with tempfile.NamedTemporaryFile(dir=machines.GUEST, delete=False) as f:
        f.write(elf)
    os.replace(f.name, path)
    return path


# ---- the monitor ----

class Vmm(machines.Guest):
    """One that runs; its pid is the monitor's own, also under `uservisor exec`."""

    def __init__(self, args, options):
        argv = [args.vmm, *options] + (['--seccomp'] if args.seccomp else [])
        if args.exec:
            argv = [machines.USERVISOR, 'exec', '--', *argv]
        super().__init__(argv, terminal=True)
        tty.setraw(self.other)

    def signal(self, signo):
        self.process.send_signal(signo)

    def ask(self, command):
        """What a command of the guest's shell prints."""
        self.type(command + '\n')
        self.expect('\n', 20 * SLOW)
        return self.expect(PROMPT, 60 * SLOW)[:-len(PROMPT)].replace('\r', '')

    def uptime(self):
        """The guest's clock, and the host's before and after it was read."""
        before = time.monotonic()
        text = self.ask('cat /proc/uptime')
        return before, float(text.split()[0]), time.monotonic()

    def ends(self, status):
        got = self.wait(60 * SLOW)
        need(got == status, f'exit status {got} instead of {status}')


def boot(args, append='', initrd=machines.INITRD, *more):
    kernel = vmlinux() if args.pvh else machines.KERNEL
    return Vmm(args, ['--kernel', kernel, '--initrd', initrd, '--append', f'console=ttyS0 panic=-1 {append}', '--memory',
                      str(args.memory), '--cpus', str(args.cpus), *(['--edge'] if args.edge else []), *more])


def tell_on_failure(vmm, what):
    print(vmm.text[-12000:])
    raise Failure(what)


# ---- tests ----

def shell(args):
    with boot(args, 'quiet') as vmm:  # or its remarks come between what is asked for
        try:
            vmm.expect(PROMPT, 120 * SLOW)
            need('Microsoft Hyper-V' in vmm.ask('dmesg | grep "Hypervisor detected"'), 'the kernel does not know the hypervisor')
            need(vmm.ask('nproc').strip() == str(args.cpus), 'not all processors are there')
            need(vmm.ask('echo $((6*7)) | sed s/4/x/').strip() == 'x2', 'the shell computes something else')
            need('hyperv' in vmm.ask('cat /sys/devices/system/clocksource/*/current_clocksource'), 'another clock source')
            before, guest, _ = vmm.uptime()
            vmm.ask('sleep 1')
            _, later, after = vmm.uptime()
            need(1 <= later - guest <= after - before + 0.01, f'{later - guest} s in {after - before} s')
            if not args.edge:
                need('IO-APIC' in vmm.ask('cat /proc/interrupts'), 'no interrupt comes through the IOAPIC')
            vmm.type('exit\n')
            vmm.ends(0)
            level = int(re.search(r'mshv-vmm: (\d+) level-triggered interrupts', vmm.text).group(1))
            need((level > 0) != args.edge, f'{level} ends of level-triggered interrupts')
        except (machines.Timeout, Failure) as e:
            tell_on_failure(vmm, str(e))


def jobs(args):
    """The script of the boot tests in the guest and on the host, byte for byte."""
    script = os.path.join(TESTS, 'boot', 'jobs.sh')
    with tempfile.TemporaryDirectory() as tmp:
        applets = os.path.join(tmp, 'bin')
        os.mkdir(applets)
        subprocess.run([machines.BUSYBOX, '--install', '-s', applets], check=True)
        want = subprocess.run([machines.BUSYBOX, 'sh', script], env={'PATH': applets}, capture_output=True, text=True,
                              check=True).stdout
        initrd = machines.make_initrd(os.path.join(tmp, 'initrd'), script + ':/script')
        with boot(args, 'quiet', initrd) as vmm:
            try:
                vmm.expect('@@begin', 120 * SLOW)
                vmm.expect('\n', 5)
                got = vmm.expect('@@end ', 600 * SLOW).replace('\r', '')[:-len('@@end ')]
                vmm.ends(0)
            except (machines.Timeout, Failure) as e:
                tell_on_failure(vmm, str(e))
    if got != want:
        sys.stdout.writelines(difflib.unified_diff(want.splitlines(True), got.splitlines(True), 'host', 'guest'))
        raise Failure('the guest computes something else than the host')


def hold(args):
    """Held for a second: the guest's clock misses that second, and no more."""
    with boot(args, 'quiet') as vmm:
        try:
            vmm.expect(PROMPT, 120 * SLOW)
            for _ in range(3):
                before, guest, at = vmm.uptime()
                vmm.signal(signal.SIGUSR2)
                start = time.monotonic()
                vmm.expect('held\n', 30 * SLOW)
                end, later, after = vmm.uptime()
                need(later - guest <= after - before - 1 + 0.02, f'{later - guest} s in {after - before} s, 1 s of it held')
                need(later - guest >= (end - at) - (after - start) - 0.02, f'only {later - guest} s')
            vmm.type('exit\n')
            vmm.ends(0)
        except (machines.Timeout, Failure) as e:
            tell_on_failure(vmm, str(e))


def busy_initrd(tmp):
    program = os.path.join(tmp, 'busy')
    subprocess.run(['gcc', '-O1', '-Wall', '-Werror', '-static', '-o', program, os.path.join(TESTS, 'clients', 'busy.c')],
                   check=True)
    script = os.path.join(tmp, 'script')
    with open(script, 'w', encoding='utf-8') as f:
        # A busy program on each processor that is not the first one's, silent if all is well; and the clock.
        f.write('for i in $(seq 2 $(nproc)); do /bin/busy | grep BAD & done\n'
                'while :; do echo "up $(cut -d" " -f1 /proc/uptime)"; sleep 0.1; done &\n/bin/busy\n')
    return machines.make_initrd(os.path.join(tmp, 'initrd'), script + ':/script', program + ':/bin/busy')


def ticks(vmm, last=None, more=10):
    """So many further ticks, one after the other, and nothing bad; the last one."""
    for _ in range(more):
        text = vmm.expect('tick ', 60 * SLOW) + vmm.expect('\n', 60 * SLOW)
        need('BAD' not in text, text)
        n = int(re.search(r'tick (\d+)\s*\Z', text).group(1))
        need(last is None or n == last + 1, f'tick {n} after {last}')
        last = n
    return last


def save(vmm):
    """Saves and ends. What the guest has said, without the monitor's own lines, which may stand in the middle of the guest's."""
    vmm.signal(signal.SIGUSR1)
    vmm.ends(SAVED)
    need('BAD' not in vmm.text, 'something is bad')
    return re.sub(r'mshv-vmm: .*\n', '', vmm.text)


def unfinished(text):
    """The start of a line whose rest the next process says."""
    return text[text.rfind('\n') + 1:]


def last_tick(text):
    return int(re.findall(r'tick (\d+)\r?\n', text)[-1])


def last_reading(text):
    return float(re.findall(r'up ([\d.]+)\r?\n', text)[-1])


AWAY = 4  # seconds between two processes: longer than either needs to stop and to start


def check_gap(before, vmm, spent):
    """The guest's clock goes on from where it was: what is between two readings is what the two processes took."""
    after = float(re.search(r'up ([\d.]+)\r?\n', vmm.text).group(1))
    need(0 <= after - before <= spent + 0.1, f'the clock said {before} s before and {after} s after, {spent:.2f} s of work')


def moved(args, *live):
    """From process to process, twice."""
    with tempfile.TemporaryDirectory() as tmp:
        files = [os.path.join(tmp, name) for name in ('first', 'second')]
        with boot(args, 'quiet', busy_initrd(tmp), '--save', files[0], *live) as vmm:
            try:
                ticks(vmm)
                start = time.monotonic()
                said = save(vmm)
                stopping = time.monotonic() - start
            except (machines.Timeout, Failure) as e:
                tell_on_failure(vmm, str(e))
        for at, to in ((files[0], files[1]), (files[1], files[0])):
            time.sleep(AWAY)
            with Vmm(args, ['--restore', at, '--save', to, *live]) as vmm:
                try:
                    vmm.text = unfinished(said)
                    vmm.expect('up ', 60 * SLOW)
                    vmm.expect('\n', 60 * SLOW)
                    check_gap(last_reading(said), vmm, stopping + time.monotonic() - vmm.started)
                    vmm.seen = 0
                    ticks(vmm, last_tick(said))
                    start = time.monotonic()
                    said = save(vmm)
                    stopping = time.monotonic() - start
                except (machines.Timeout, Failure) as e:
                    tell_on_failure(vmm, str(e))
        print(f'{args.cpus} CPU(s): moved twice, {last_tick(said)} ticks; pages: '
              + ' '.join(re.findall(r'mshv-vmm: (\d+) dirty pages', vmm.text)))


def snapshot(args):
    moved(args)


def live(args):
    moved(args, '--live')


ALL = {'shell': shell, 'jobs': jobs, 'hold': hold, 'snapshot': snapshot, 'live': live}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('test', choices=ALL)
    parser.add_argument('--vmm', required=True)
    parser.add_argument('--exec', action='store_true')
    parser.add_argument('--cpus', type=int, default=1)
    parser.add_argument('--memory', type=int, default=512, help='MiB')
    parser.add_argument('--pvh', action='store_true', help='the ELF kernel by its PVH entry')
    parser.add_argument('--edge', action='store_true', help='the serial port interrupts by edges')
    parser.add_argument('--seccomp', action='store_true')
    args = parser.parse_args()
    if not os.path.exists(machines.KERNEL):
        print('skipped: no guest: run tools/guest')
        return 77
    try:
        ALL[args.test](args)
    except (Failure, machines.Timeout) as e:
        print(f'{args.test}: {e}')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
