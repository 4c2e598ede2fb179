#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`uservisor inspect` looks into Debian's kernel, which `uservisor boot` runs, while a shell works; then the shell must still work.

usage: linux_test.py USERVISOR v5|v6 CPUS
"""
import json
import os
import re
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tools'))
import machines  # noqa: E402 pylint: disable=wrong-import-position

SLOW = float(os.environ.get('SLOW', '1'))
PROMPT = 'guest# '
SWAPGS = '0f01f8'  # the first instruction of a system call
MEMORY = 256 << 20


class Failed(Exception):
    pass


def check(good, what):
    if not good:
        raise Failed(what)


class Tool:
    def __init__(self, uservisor, dialect, path):
        self.argv = [uservisor, 'inspect', '--json', '--dialect', dialect, path]
        self.v6 = dialect == 'v6'

    def __call__(self, *args):
        r = subprocess.run([*self.argv, *map(str, args)], capture_output=True, text=True, timeout=120 * SLOW, check=False)
        check((r.returncode, r.stderr) == (0, ''), f'{args}: status {r.returncode}: {r.stderr}')
        return [json.loads(line) for line in r.stdout.splitlines()]

    def interrupted(self, *args):
        """Ended by SIGINT after the first line."""
        with subprocess.Popen([*self.argv, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
            p.stdout.readline()
            p.send_signal(signal.SIGINT)
            _, err = p.communicate(timeout=60 * SLOW)
            check((p.returncode, err) == (0, ''), f'{args}: status {p.returncode}: {err}')


def state(tool, cpus):
    lines = tool('info')
    check(lines[1]['vcpus'] == cpus, f'{lines[1]}')
    for vcpu in range(cpus):
        of = {(line['type'], line.get('name')): line for line in tool('regs', vcpu)}
        check(int(of['control', None]['cr0'], 16) >> 31 and of['regs', None]['mode'] in (4, 8), f'{of}')
    return int(of['msr', 'lstar']['value'], 16)


def code(tool, lstar):
    """By its address, and by what that means in physical memory."""
    at = int(tool('translate', hex(lstar))[0]['gpa'], 16)
    check(tool('read', f'gva:{lstar:#x}', 3)[0]['bytes'] == SWAPGS, 'no SWAPGS')
    check(tool('read', hex(at), 3)[0]['bytes'] == SWAPGS, 'no SWAPGS in physical memory')
    return at


def watch_stack(tool):
    """Of the kernel, in which vCPU 0 must be found. It goes with its process: then that of the next one."""
    for _ in range(20):
        stack = int(tool('regs', 0)[0]['rsp'], 16)
        if not stack >> 63:
            continue
        try:
            lines = tool('watch', f'gva:{stack:#x}', 'rw', '--count', 5)
        except Failed as e:
            if 'is not mapped' not in str(e):
                raise
            continue
        check(len(lines) == 5, 'the stack is not used')
        return


def events(tool, lstar, at):
    for e in tool('trace', 'cr3', '--count', 20):
        check(e['type'] == 'cr' and e['old'] != e['new'], f'{e}')
    lines = tool('break', hex(lstar), '--count', 50)
    check(len(lines) == 50 and all(int(e['rip'], 16) == lstar for e in lines), f'{lines[0]}')
    for e in tool('watch', hex(at), 'x', '--count', 20):
        check(e['access'] == 'x' and int(e['gpa'], 16) >> 12 == at >> 12, f'{e}')
    watch_stack(tool)
    if tool.v6:
        check(len(tool('step', 100)) == 100, 'steps')
    for _ in range(5):
        tool.interrupted('break', hex(lstar))
        tool.interrupted('trace', 'cr3')
    check(tool('read', hex(at), 3)[0]['bytes'] == SWAPGS, 'INT3 is left')


def readelf(option, path):
    return subprocess.run(['readelf', '-W', option, path], capture_output=True, text=True, check=True).stdout


def dump(tool, folder, at, cpus):
    path = os.path.join(folder, 'core')
    for options in ([], ['--pause']):
        found = tool('dump', path, *options, *([] if tool.v6 else ['--max-gpa', MEMORY]))[0]
        check(found['vcpus'] == cpus and 0.9 * MEMORY < found['bytes'] <= MEMORY, f'{found}')
        check(found['mapped'] == ('yes' if tool.v6 else 'no'), f'{found}')
        check_core(path, found, at)
        os.unlink(path)


def check_core(path, found, at):
    said = readelf('-l', path)
    loads = [[int(n, 16) for n in m] for m in re.findall(r'LOAD +(0x\w+) 0x\w+ (0x\w+) (0x\w+)', said)]
    check(len(loads) == found['regions'] and not sum(size for _, _, size in loads) - found['bytes'], said)
    offset = next(offset + at - gpa for offset, gpa, size in loads if gpa <= at < gpa + size)
    check('VMCOREINFO' in readelf('-n', path), 'the kernel\'s note is missing')
    with open(path, 'rb') as f:
        f.seek(offset)
        check(f.read(3).hex() == SWAPGS, 'no SWAPGS in the core file')
        f.seek(0)
        check(b'Linux version ' in f.read(), 'no kernel in the core file')


def look(guest, tool, folder, cpus):
    guest.expect(PROMPT, 120 * SLOW)
    guest.type('while :; do ls / >/dev/null; done &\n')
    guest.expect(PROMPT, 20 * SLOW)
    lstar = state(tool, cpus)
    at = code(tool, lstar)
    events(tool, lstar, at)
    dump(tool, folder, at, cpus)
    check([line['type'] for line in tool('pause', '--seconds', 1)] == ['paused', 'resumed'], 'pause')
    guest.type('kill $!; echo $((6*7)) | sed s/4/x/\n')
    guest.expect('x2', 60 * SLOW)
    guest.type('exit\n')
    check(guest.wait(60 * SLOW) == 0, 'no power-off')


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    uservisor, dialect, cpus = os.path.realpath(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    if not os.path.exists(machines.KERNEL):
        print('skipped: there is no guest; run tools/guest')
        return 77
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, 'vm.sock')
        argv = machines.command('soft', '', memory=f'{MEMORY >> 20}M', cpus=cpus)
        with machines.Guest([uservisor, *argv[1:], '--introspect', 'unix:' + path], True) as guest:
            try:
                look(guest, Tool(uservisor, dialect, path), folder, cpus)
            except (Failed, machines.Timeout, subprocess.TimeoutExpired, StopIteration) as e:
                print(f'{type(e).__name__}: {e}\n{guest.text[-2000:]}')
                return 1
    print('done')
    return 0


if __name__ == '__main__':
    sys.exit(main())
