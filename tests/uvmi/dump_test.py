#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`uservisor inspect dump` of a guest that runs shows one moment; the guest goes on, also when the tool is killed.

usage: dump_test.py USERVISOR VMM v5|v6 anonymous|memfd

counting_vmm.c has the guest, and the rule that holds at each moment. What is read without care must break it, or this test
would prove nothing.
"""
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time

SLOW = float(os.environ.get('SLOW', '1'))
RAM, BASE, PAGE = 8 << 20, 0x100000, 0x1000
DUMPS, WAIT = 3, 60 * SLOW
ECX, EDI = 11, 14  # places in NT_PRSTATUS


class Failed(Exception):
    pass


def check(good, what):
    if not good:
        raise Failed(what)


def broken(ram):
    """Why this picture of RAM shows no moment, or None."""
    numbers = [struct.unpack_from('<I', ram, at)[0] for at in range(BASE, len(ram), PAGE)]
    for name, own in (('first', numbers[::2]), ('second', numbers[1::2])):
        for i, (a, b) in enumerate(zip(own, own[1:])):
            if a < b:
                return f'{name} vCPU: page {i} has {a}, and the next one has {b}'
        if len(set(own)) > 2:
            return f'{name} vCPU: three numbers: {sorted(set(own))}'
    if numbers[0] - numbers[-2] > 1:
        return f'first vCPU: {numbers[0]} and {numbers[-2]}'
    if numbers[1] > numbers[0]:
        return f'the second vCPU has {numbers[1]} from the first, which has {numbers[0]}'
    return None


def parse_core(path):
    """RAM, and the registers of vCPU 0."""
    with open(path, 'rb') as f:
        data = f.read()
    phoff, phnum = struct.unpack_from('<Q', data, 32)[0], struct.unpack_from('<H', data, 56)[0]
    headers = [struct.unpack_from('<IIQQQQQQ', data, phoff + 56 * i) for i in range(phnum)]
    note, load = headers[0], headers[1]
    check((load[4], load[5]) == (0, RAM), f'{headers}')
    return data[load[2]:load[2] + RAM], struct.unpack_from('<27Q', data, note[2] + 20 + 112)


def check_registers(ram, regs):
    """The first vCPU has written its number to all pages in front of edi, and the one before to all others."""
    for at in range(BASE, RAM, 2 * PAGE):
        have, want = struct.unpack_from('<I', ram, at)[0], regs[ECX] if at < regs[EDI] else regs[ECX] - 1
        # At edi the number may be written already; behind the last page edi or ecx may be the next one.
        near = at == regs[EDI] or regs[EDI] in (BASE, RAM)
        check(have == want or (near and abs(have - want) <= 1), f'{at:#x}: {have}, ecx {regs[ECX]}, edi {regs[EDI]:#x}')


class Tool:
    def __init__(self, uservisor, dialect, folder):
        self.path, self.out = os.path.join(folder, 'vm.sock'), os.path.join(folder, 'core')
        self.argv = [uservisor, 'inspect', '--json', '--dialect', dialect, '--max-gpa', str(RAM), self.path]

    def __call__(self, *args):
        r = subprocess.run([*self.argv, *args], capture_output=True, text=True, timeout=120 * SLOW, check=False)
        check((r.returncode, r.stderr) == (0, ''), f'{args}: status {r.returncode}: {r.stderr}')
        return [json.loads(line) for line in r.stdout.splitlines()]

    def numbers(self):
        return [int.from_bytes(bytes.fromhex(self('read', hex(BASE + i * PAGE), '4')[0]['bytes']), 'little') for i in (0, 1)]

    def wait_for_progress(self):
        was = self.numbers()
        end = time.monotonic() + WAIT
        while not all(a > b for a, b in zip(self.numbers(), was)):
            check(time.monotonic() < end, f'the guest stands at {was}')

    def dump(self, *options):
        said = self('dump', self.out, *options)[0]
        ram, regs = parse_core(self.out)
        check(not broken(ram), f'{options}: {broken(ram)}')
        check_registers(ram, regs)
        return said

    def killed_dump(self, size):
        """The kernel kills it where its file would grow beyond `size`: in the middle, whatever the speeds are."""
        if os.path.exists(self.out):
            os.unlink(self.out)
        limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
        r = subprocess.run([*self.argv, 'dump', self.out], capture_output=True, text=True, preexec_fn=limit, check=False)
        check(r.returncode == -signal.SIGXFSZ, f'a dump of {RAM} bytes ended with {r.returncode} at {size}: {r.stderr}')


def careless(tool):
    """A picture that is made while the guest runs breaks the rule, sooner or later."""
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        tool('read', '0', str(RAM), '--output', tool.out)
        with open(tool.out, 'rb') as f:
            if broken(f.read()):
                return
    raise Failed('reading without care never breaks the rule: this test proves nothing')


def look(tool, kind, v6):
    tool.wait_for_progress()
    careless(tool)
    saved, dumps, end = 0, 0, time.monotonic() + WAIT
    while dumps < DUMPS or (not saved and time.monotonic() < end):
        said = tool.dump()
        dumps += 1
        check(said['mapped'] == ('yes' if v6 and kind == 'memfd' else 'no'), f'{said}')
        saved += said['saved']
        tool.wait_for_progress()
    check(saved, 'the guest has never been about to write before the tool came by')
    check(not tool.dump('--pause')['saved'], 'a paused guest has written')
    for size in (PAGE, RAM // 2):
        tool.killed_dump(size)
    tool.wait_for_progress()
    tool.dump()


def main():
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    uservisor, vmm, dialect, kind = os.path.realpath(sys.argv[1]), os.path.realpath(sys.argv[2]), *sys.argv[3:]
    with tempfile.TemporaryDirectory() as folder:
        tool = Tool(uservisor, dialect, folder)
        argv = [uservisor, 'exec', '--introspect', 'unix:' + tool.path, '--', vmm, kind]
        with subprocess.Popen(argv, stdin=subprocess.PIPE) as program:
            try:
                look(tool, kind, dialect == 'v6')
            except (Failed, subprocess.TimeoutExpired) as e:
                print(f'{type(e).__name__}: {e}')
                return 1
            finally:
                program.communicate(b'', timeout=60 * SLOW)
    print('done')
    return 0


if __name__ == '__main__':
    sys.exit(main())
