# SPDX-License-Identifier: MIT
"""The part "real" of the bench: Debian's own programs, on the disk of tools/real-disk.

A job is a program of bench/jobs. It runs twice in each boot, because code that is translated in the first round need
not be in the second. "ours" is Debian's QEMU under `uservisor exec` with -accel kvm, "tcg" the same QEMU with its own
emulator; both have one CPU, 1 GiB, and one kernel command line, without "mitigations" and "norandmaps": both are as
Debian has them. Natively, jobs run in a chroot of the same files. Times are the guest's, and are checked against ours.
"""
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time

import counters
import machines
import monitored
from qmp import Failure

DISK = os.path.join(machines.GUEST, 'real')
JOBS = {
    'gcc': 'gcc -O2 of five C files',
    'python-start': 'python3 started 20 times',
    'python': 'a million integer operations, 100000 dictionary entries',
    'node': '30 million rounds of a loop, 200000 keys',
    'perl': 'integers, a hash, regular expressions',
    'lua': 'integers, floating point, a sorted table',
    'sqlite': '100000 rows: insert, index, join, update',
    'xz': '2 MB compressed and unpacked',
    'tar': 'thousands of files packed and unpacked',
    'fork': '/bin/true started 500 times',
}
# Only in guests.
DEVICES = {
    'disk-single': 'virtio-blk: 8192 direct reads of 4 KiB, one at a time',
    'disk-stream': 'virtio-blk: 1 GiB in direct reads of 1 MiB',
    'net': "virtio-net: 256 MiB received from QEMU's user network",
}
ARGUMENTS = {
    'net': ['-netdev', 'user,id=n,restrict=on,guestfwd=tcp:10.0.2.100:9-cmd:head -c 268435456 /dev/zero', '-device',
            'virtio-net-pci,netdev=n,romfile='],
}
STARTS = {
    'systemd': "from the kernel's first line to multi-user.target; second: again after a reset",
    'ovmf': "from QEMU's start, second from a reset, to the kernel's first line",
}
MEMORY = {'memory': 'resident memory of `uservisor boot`'}
PARTS = {**JOBS, **DEVICES, **STARTS, **MEMORY}
# In pictures.
LABELS = {'gcc': 'gcc -O2', 'python-start': 'python3, starting', 'python': 'python3, computing', 'tar': 'tar, many files',
          'fork': '500 × /bin/true'}
ROUNDS = ('first', 'second')
# Its PEI is 64-bit code and maps all addresses that the processor has with 1 GiB pages. That of the "4M" files makes
# 512 MiB of page tables for them.
FIRMWARE = '/usr/share/OVMF/OVMF_CODE.fd', '/usr/share/OVMF/OVMF_VARS.fd'
APPEND = 'console=ttyS0 panic=-1'
SILENCE = 300  # seconds without a line: the guest hangs
GUEST_RAM = 512 << 20  # of `uservisor boot`


def say(text):
    print(text, flush=True)


def chosen(only):
    """The parts that a list of names asks for."""
    return [p for p in PARTS if not only or p in only or 'real' in only]


def make_disk():
    """None, or why there is no disk."""
    if subprocess.run([os.path.join(machines.TOP, 'tools', 'real-disk'), '--quiet'], check=False).returncode:
        return 'its disk cannot be made here (tools/real-disk)'
    return None


# ---- guests ----

class Guest(monitored.Guest):
    """A QEMU with the disk, or firmware."""

    def __init__(self, env, tmp, append, args=()):
        accel, cpu = ('tcg', 'max') if env == 'tcg' else ('kvm', 'host')
        super().__init__(tmp, ['qemu-system-x86_64', '-M', 'q35', '-accel', accel, '-cpu', cpu, '-m', '1G', '-drive',
                               f'if=none,id=d,file={DISK}/disk.img,format=raw,snapshot=on', '-device',
                               'virtio-blk-pci,drive=d', '-kernel', machines.KERNEL, '-initrd', f'{DISK}/initrd',
                               '-append', f'{APPEND} {append}', *args], env == 'soft')

    def go(self):
        """Until the guest is ready for its next round, read the counters; then let it go on."""
        self.expect('@@ready', SILENCE)
        read = counters.read(self.monitor)
        self.type('\n')
        return read


class Run:
    """What one boot, or one native run, of a part found: by round seconds, counters; a checksum; or why it failed."""

    def __init__(self):
        self.seconds, self.counters, self.checksum, self.failed, self.clock = {}, {}, None, None, None

    def line(self, text):
        took = re.search(r'@@took (\w+) (\d+) (\w+)', text)
        failed = re.search(r'@@failed.*|Kernel panic.*', text)
        if took:
            self.seconds[took[1]] = int(took[2]) / 1e6
            self.checksum = took[3] if self.checksum in (None, took[3]) else 'differs between rounds'
        elif failed:
            self.failed = failed[0].strip()

    def believe(self, name, measured):
        if name in self.seconds and self.seconds[name] > 1.3 * measured + 0.2:
            self.clock = f'its clock says {self.seconds[name]:.2f} s, ours {measured:.2f} s'


def guest_job(env, job, tmp):
    run = Run()
    with Guest(env, tmp, f'quiet WAIT=1 JOB={job}', ['-no-reboot', *ARGUMENTS.get(job, [])]) as guest:
        before = guest.go()
        for name in ROUNDS:
            start = time.monotonic()
            run.line(guest.expect('@@', SILENCE) + guest.expect('\n', SILENCE))
            run.believe(name, time.monotonic() - start)
            if run.failed:
                return run
            after = guest.go()
            run.counters[name] = counters.difference(before, after)
            before = after
        guest.wait(60)
    return run


def guest_start(env, append, args, marks, tmp):
    """A start, a reset, another start: the seconds to the last mark, from the first one or, without, from the start."""
    run, before = Run(), {}
    with Guest(env, tmp, append, args) as guest:
        since = guest.started
        for name in ROUNDS:
            for mark in marks[:-1]:
                guest.expect(mark, SILENCE)
                since = time.monotonic()
            guest.expect(marks[-1], SILENCE)
            run.seconds[name] = time.monotonic() - since
            after = counters.read(guest.monitor)
            run.counters[name] = counters.difference(before, after)
            before = after
            since = time.monotonic()
            guest.monitor.do('system_reset')
    return run


def systemd(env, tmp):
    return guest_start(env, 'earlyprintk=ttyS0,115200 loglevel=6 FIRST=/lib/systemd/systemd', [],
                       ['Linux version', '@@up'], tmp)


def ovmf(env, tmp):
    mine = shutil.copy(FIRMWARE[1], os.path.join(tmp, f'vars{time.monotonic_ns()}'))
    flash = ['-drive', f'if=pflash,format=raw,readonly=on,file={FIRMWARE[0]}',
             '-drive', f'if=pflash,format=raw,file={mine}']
    return guest_start(env, 'earlyprintk=ttyS0,115200', flash, ['Linux version'], tmp)


# ---- natively ----

CHROOT = '''mount -t proc proc "$0/proc"; mount --rbind /dev "$0/dev"; mount -t tmpfs tmp "$0/tmp"
exec chroot "$0" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C /jobs/twice "$1"'''


def in_chroot(job):
    return ['unshare', '--mount', 'sh', '-ec', CHROOT, os.path.join(DISK, 'tree'), job]


def no_native():
    """None if jobs can run natively, else why not."""
    if os.geteuid():
        return 'a chroot needs root'
    r = subprocess.run(in_chroot('fork'), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return None if r.returncode == 0 else (r.stdout + r.stderr).strip().split('\n')[-1]


def native_job(job):
    run = Run()
    r = subprocess.run(in_chroot(job), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False)
    for line in r.stdout.splitlines():
        run.line(line)
    return run


# ---- in turns ----

def once(part, env, tmp):
    if env == 'native':
        return native_job(part)
    try:
        if part in JOBS or part in DEVICES:
            return guest_job(env, part, tmp)
        return systemd(env, tmp) if part == 'systemd' else ovmf(env, tmp)
    except (machines.Timeout, Failure) as e:
        run = Run()
        run.failed = str(e)
        return run


def in_turns(part, envs, rounds, tmp):
    """{environment: runs}; a part that fails somewhere is not tried there again."""
    runs = {e: [] for e in envs if e != 'native' or part in JOBS}
    for _ in range(rounds):
        for e, all_of in runs.items():
            if not all_of or not all_of[-1].failed:
                all_of.append(once(part, e, tmp))
    return runs


def combine(runs):
    """Of the runs of one part in one environment: medians, and what is to be said."""
    bad = [r.failed or 'it said no time' for r in runs if r.failed or set(r.seconds) != set(ROUNDS)]
    if bad:
        return {'failed': bad[0]}
    return {'seconds': {n: statistics.median(r.seconds[n] for r in runs) for n in ROUNDS},
            'runs': {n: [r.seconds[n] for r in runs] for n in ROUNDS},
            'counters': {n: counters.median([r.counters.get(n, {}) for r in runs]) for n in ROUNDS},
            'checksum': runs[0].checksum, 'clock': next((r.clock for r in runs if r.clock), None)}


def measure(parts, envs, rounds):
    results = {}
    with tempfile.TemporaryDirectory() as tmp:
        for part in parts:
            start = time.monotonic()
            results[part] = {e: combine(runs) for e, runs in in_turns(part, envs, rounds, tmp).items()}
            say(f'{part}: measured in {time.monotonic() - start:.0f} s')
    return results


# ---- the table ----

def seconds(result, env, name):
    return result.get(env, {}).get('seconds', {}).get(name)


def ratio(result, env, base, name):
    a, b = seconds(result, env, name), seconds(result, base, name)
    return a / b if a and b else None


def cell(value, width=8):
    return ('-' if value is None else f'{value:.2f}').rjust(width)


def notes(result):
    out = [f'{e}: {r["failed"]}' for e, r in result.items() if 'failed' in r]
    out += [f'{e}: {r["clock"]}' for e, r in result.items() if r.get('clock')]
    if len({r['checksum'] for r in result.values() if 'checksum' in r}) > 1:
        out.append('CHECKSUMS DIFFER')
    return f'  [{"; ".join(out)}]' if out else ''


def geomeans(results, name, pairs):
    out = []
    for pair in pairs:
        ratios = [r for r in (ratio(results[p], *pair, name) for p in results if p not in DEVICES) if r]
        out.append(statistics.geometric_mean(ratios) if ratios else None)
    return out


def print_round(results, envs, name):
    """One table: the seconds of a round, and ratios of our engine."""
    pairs = [('soft', e) for e in envs if e != 'soft'] if 'soft' in envs else []
    labels = [f'ours/{e}' for _, e in pairs]
    say('')
    say(f'{name} round, seconds'.ljust(22) + ''.join(('ours' if e == 'soft' else e).rjust(8) for e in envs)
        + ''.join(label.rjust(13) for label in labels))
    for part, result in results.items():
        say(f'  {part}'.ljust(22) + ''.join(cell(seconds(result, e, name)) for e in envs)
            + ''.join(cell(ratio(result, *pair, name), 13) for pair in pairs) + f'   {PARTS[part]}' + notes(result))
    means = geomeans(results, name, pairs)
    if pairs:
        say('  geometric mean'.ljust(22 + 8 * len(envs)) + ''.join(cell(m, 13) for m in means))
    return dict(zip(labels, means))


def memory():
    """What our own machine keeps resident beside the guest's RAM, at the guest's shell."""
    argv = machines.command('soft', 'quiet', memory=f'{GUEST_RAM >> 20}M')
    with machines.Guest(argv, terminal=True) as guest:
        guest.expect('guest# ', SILENCE)
        guest.type('ls -lR /sys | wc -l\n')
        guest.expect('guest# ', SILENCE)
        found = machines.resident(guest.process.pid, GUEST_RAM)
    return {'ram': found.ram, 'beside': found.beside, 'anonymous': found.anonymous, 'shared': found.shared,
            'files': found.files}


def print_memory(found):
    mib = {k: f'{v / (1 << 20):.1f} MiB' for k, v in found.items()}
    say('')
    say(f'resident memory of `uservisor boot` with a shell: {mib["ram"]} of the {GUEST_RAM >> 20} MiB of guest RAM; '
        f'beside it {mib["beside"]} (anonymous {mib["anonymous"]}, shared {mib["shared"]}, files {mib["files"]})')


def usable(parts, envs):
    """What of them can run here; says what cannot, and why."""
    why = no_native() if 'native' in envs and set(parts) & set(JOBS) else None
    if why:
        say(f'real: without native: {why}')
        envs = [e for e in envs if e != 'native']
    if 'ovmf' in parts and not all(os.path.exists(f) for f in FIRMWARE):
        say('real: without ovmf: its package is not installed (tools/setup bench)')
        parts = [p for p in parts if p != 'ovmf']
    return parts, envs


def bench(parts, envs, rounds):
    """Everything, printed; returns what goes into the JSON file."""
    data = {}
    timed = [p for p in parts if p not in MEMORY]
    why = make_disk() if timed else None
    if why:
        say(f'without real: {why}')
    elif timed:
        timed, envs = usable(timed, envs)
        say(f'real: guests with one CPU; kernel command line: {APPEND} (neither mitigations= nor norandmaps)')
        data['results'] = measure(timed, envs, rounds)
        data['means'] = {n: print_round(data['results'], envs, n) for n in ROUNDS}
        for name in ROUNDS:
            counters.show(f'our engine\'s counters, {name} round', {
                p: r['soft']['counters'][name] for p, r in data['results'].items() if 'counters' in r.get('soft', {})})
    if 'memory' in parts and 'soft' in envs:
        data['memory'] = memory()
        print_memory(data['memory'])
    return data
