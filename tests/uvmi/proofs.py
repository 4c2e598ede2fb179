#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What a tool sees of Debian's kernel is held against what the guest itself has done and counted.

usage: proofs.py USERVISOR TOOL GUEST_PROGRAM tables|pages|steps|cr3|break boot|qemu v5|v6 CPUS

tables, pages and steps are linux_tool.c, which watches linux_guest.c. cr3 and break are `uservisor inspect`: what it writes is
compared with what the guest's kernel traces by a kprobe, value by value.
"""
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tools'))
import machines  # noqa: E402 pylint: disable=wrong-import-position

SLOW = float(os.environ.get('SLOW', '1'))
# What the guest does: each line that comes, and then say how it went. Its console neither echoes nor adds CR.
SCRIPT = 'echo @@ready; while read -r line; do eval "$line"; echo "@@done $?"; done'
TRACING = '/sys/kernel/tracing'
PAGE_OFFSET, KERNEL = 0xffff888000000000, 0xffffffff80000000  # where all memory, and the kernel's, are with nokaslr
ENTRY = 5  # bytes of the place of a call at the beginning of each function that can be traced
JOB = 'for i in $(seq 1 %d); do (true); done; seq 1 200 | xargs -n 4 echo | wc -l'
FORKS = 40


class Failed(Exception):
    pass


def check(good, what):
    if not good:
        raise Failed(what)


class Shell:
    """Of SCRIPT."""

    def __init__(self, guest):
        self.guest = guest

    def begin(self, line):
        self.guest.type(line + '\n')

    def end(self, seconds=60):
        """What the line has written; its status must be 0."""
        said = self.guest.expect('@@done ', seconds * SLOW)
        status = self.guest.expect('\n', 10 * SLOW).strip()
        check(status == '0', f'status {status}: {said[-500:]}')
        return said[:-len('@@done ')].replace('\r', '')

    def __call__(self, line, seconds=60):
        self.begin(line)
        return self.end(seconds)


# ---- the guest's own trace ----

class Probe:
    """A kprobe at the beginning of a kernel's function, with values of registers."""

    def __init__(self, shell, function, values):
        self.shell = shell
        self.pattern = re.compile(r'\[0*(\d+)\].*' + ''.join(f' {n}=(0x[0-9a-f]+)' for n in values))
        shell(f'mount -t tracefs none {TRACING}; cd {TRACING} && echo 8192 >buffer_size_kb')
        fetch = ' '.join(f'{n}={r}:x64' for n, r in values.items())
        shell(f"echo 'p:proof {function} {fetch}' >kprobe_events")

    def during(self, job):
        self.shell(f'echo 1 >events/kprobes/proof/enable; {job}; echo 0 >events/kprobes/proof/enable', 200)

    def seen(self, cpus):
        """For each CPU what it has traced, in order: tuples of the values. All that was traced is there."""
        text = self.shell("sed -n 's/^.*\\(\\[[0-9]*\\]\\).*) \\(.*=0x\\)/\\1 \\2/p; /entries-written/p' trace", 200)
        found = [[] for _ in range(cpus)]
        for m in self.pattern.finditer(text):
            found[int(m[1])].append(tuple(int(v, 16) for v in m.groups()[1:]))
        kept, written = map(int, re.search(r'entries-written: (\d+)/(\d+)', text).groups())
        missed = int(self.shell('cat kprobe_profile').split()[2])
        check(missed == 0 and kept == written == sum(map(len, found)),
              f'the guest has missed {missed}; of {written} it has kept {kept}, and {sum(map(len, found))} have come')
        return found


# ---- the tool ----

class Inspect:
    """`uservisor inspect` from its first line until it is interrupted."""

    def __init__(self, uservisor, dialect, path, folder, *args):
        self.path = os.path.join(folder, 'lines')
        self.argv = [uservisor, 'inspect', '--json', '--dialect', dialect, path, *args]
        self.process = None

    def begin(self, shell):
        with open(self.path, 'wb') as out:
            # pylint: disable-next=consider-using-with
            self.process = subprocess.Popen(self.argv, stdout=out, stderr=subprocess.PIPE)
        end = time.monotonic() + 60 * SLOW
        while not os.path.getsize(self.path):
            check(self.process.poll() is None, f'inspect has ended: {self.process.poll()}')
            check(time.monotonic() < end, 'inspect sees nothing')
            shell('(true)')

    def end(self, cpus):
        """For each vCPU its lines."""
        self.process.send_signal(signal.SIGINT)
        _, err = self.process.communicate(timeout=60 * SLOW)
        check((self.process.returncode, err) == (0, b''), f'inspect: status {self.process.returncode}: {err}')
        found = [[] for _ in range(cpus)]
        with open(self.path, encoding='utf-8') as f:
            for line in map(json.loads, f):
                found[line['vcpu']].append(line)
        return found


def position(part, whole):
    """Where the part begins in the whole, without a gap; None: nowhere."""
    for at in range(len(whole) - len(part) + 1):
        if whole[at:at + len(part)] == part:
            return at
    return None


def explain(part, whole):
    """Where they part."""
    starts = [at for at, value in enumerate(whole) if part and value == part[0]]
    best = max(starts, key=lambda at: next((i for i, (a, b) in enumerate(zip(part, whole[at:])) if a != b), len(part)), default=0)
    n = next((i for i, (a, b) in enumerate(zip(part, whole[best:])) if a != b), 0)
    return f'after {n} of {len(part)}: guest {part[n:n + 4]}, tool {whole[best + n:best + n + 4]}'


def compare(guest, tool):
    """What the guest has traced is a part of what the tool has seen, since the tool was there before and after."""
    for cpu, (part, whole) in enumerate(zip(guest, tool)):
        check(part, f'CPU {cpu} has traced nothing')
        check(position(part, whole) is not None, f'CPU {cpu}: {explain(part, whole)}')
    return sum(map(len, guest))


def on_all(job, cpus):
    """The job, once on each CPU at the same time."""
    one = [f"taskset {1 << cpu:x} sh -c '{job}'" for cpu in range(cpus)]
    return ' & '.join(one) + ' & wait' if cpus > 1 else one[0]


# ---- what is proven ----

def by_tool(name):
    def prove(args, shell):
        argv = [args.tool, args.path, args.dialect, name]
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as p:
            first = p.stdout.readline()
            if first == 'ready\n':
                shell.begin(f'linux-guest {name} {args.cpus}')
            said, _ = p.communicate(timeout=200 * SLOW)
            check((first, p.returncode) == ('ready\n', 0), f'{first}{said}status {p.returncode}')
        shell.end()
        print(said, end='')
    return prove


def physical(pointer):
    return pointer - (KERNEL if pointer >= KERNEL else PAGE_OFFSET)


def changes(values):
    """Without what writes what is there already, as the tool is not told of it."""
    return [v for i, v in enumerate(values) if not i or v != values[i - 1]]


def prove_cr3(args, shell):
    """Each write of CR3: those of the kernel's load_new_mm_cr3(), by the page table and the address space that it is given."""
    pcid = ' pcid ' in shell('grep -m 1 ^flags /proc/cpuinfo') + ' '
    probe = Probe(shell, 'load_new_mm_cr3', {'pgd': '%di', 'asid': '%si'})
    inspect = Inspect(args.uservisor, args.dialect, args.path, args.folder, 'trace', 'cr3')
    inspect.begin(shell)
    probe.during(on_all(JOB % FORKS, args.cpus))
    lines = inspect.end(args.cpus)
    tool = [[int(e['new'], 16) for e in of_one] for of_one in lines]
    for of_one in lines:
        check(all(a['new'] == b['old'] for a, b in zip(of_one, of_one[1:])), 'an old value is not the last new one')
    guest = [changes([physical(pgd) + ((asid & 0xffff) + 1 if pcid else 0) for pgd, asid in of_one])
             for of_one in probe.seen(args.cpus)]
    print(f'{compare(guest, tool)} changes of CR3 during the job, {sum(map(len, tool))} in all')


def prove_break(args, shell):
    """Each call of handle_mm_fault(), by its first two arguments; the breakpoint is behind the place of the kprobe."""
    symbol = shell('grep " T handle_mm_fault$" /proc/kallsyms').split()[0]
    probe = Probe(shell, 'handle_mm_fault', {'vma': '%di', 'address': '%si'})
    inspect = Inspect(args.uservisor, args.dialect, args.path, args.folder, 'break', f'{int(symbol, 16) + ENTRY:#x}')
    inspect.begin(shell)
    probe.during(on_all(JOB % FORKS, args.cpus))
    lines = inspect.end(args.cpus)
    tool = [[(int(e['rdi'], 16), int(e['rsi'], 16)) for e in of_one] for of_one in lines]
    print(f'{compare(probe.seen(args.cpus), tool)} calls during the job, {sum(map(len, tool))} in all')


PROOFS = {'tables': by_tool('tables'), 'pages': by_tool('pages'), 'steps': by_tool('steps'), 'cr3': prove_cr3,
          'break': prove_break}


# ---- the machine ----

class Args:
    def __init__(self, words):
        self.uservisor, self.tool, self.program = map(os.path.realpath, words[:3])
        self.proof, self.machine, self.dialect, self.cpus = words[3], words[4], words[5], int(words[6])
        self.folder = self.path = None


def command(args, initrd):
    append, told = 'nokaslr mitigations=off', 'unix:' + args.path
    if args.machine == 'boot':
        argv = machines.command('soft', append, initrd, memory='256M', cpus=args.cpus)
        return [args.uservisor, *argv[1:], '--introspect', told]
    return [args.uservisor, 'exec', '--introspect', told, '--', 'qemu-system-x86_64', '-accel', 'kvm', '-cpu', 'max', '-m', '256M',
            '-smp', str(args.cpus), '-nodefaults', '-display', 'none', '-serial', 'stdio', '-no-reboot', '-kernel',
            machines.KERNEL, '-initrd', initrd, '-append', 'console=ttyS0 panic=-1 ' + append]


def prove(args):
    script = os.path.join(args.folder, 'script')
    with open(script, 'w', encoding='utf-8') as f:
        f.write(SCRIPT)
    initrd = machines.make_initrd(os.path.join(args.folder, 'initrd'), args.program + ':/bin/linux-guest', script + ':/script')
    with machines.Guest(command(args, initrd), True) as guest:
        try:
            guest.expect('@@ready', 120 * SLOW)
            PROOFS[args.proof](args, Shell(guest))
            guest.type('exit\n')
            check(guest.wait(60 * SLOW) == 0, 'no power-off')
        except (Failed, machines.Timeout, subprocess.TimeoutExpired) as e:
            print(f'{type(e).__name__}: {e}\n{guest.text[-1500:]}')
            return 1
    return 0


def main():
    if len(sys.argv) != 8 or sys.argv[4] not in PROOFS:
        sys.exit(__doc__)
    args = Args(sys.argv[1:])
    if not os.path.exists(machines.KERNEL):
        print('skipped: there is no guest; run tools/guest')
        return 77
    if args.machine == 'qemu' and not shutil.which('qemu-system-x86_64'):
        print('skipped: qemu-system-x86_64 is not installed (package qemu-system-x86; tools/setup check)')
        return 77
    with tempfile.TemporaryDirectory() as args.folder:
        args.path = os.path.join(args.folder, 'vm.sock')
        return prove(args)


if __name__ == '__main__':
    sys.exit(main())
