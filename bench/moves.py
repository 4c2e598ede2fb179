# SPDX-License-Identifier: MIT
"""The part "moves" of the bench: a QEMU guest of 1 GiB is saved and restored, and what logging its writes costs it.

The guest (build/bench/dirty) has 768 MiB of numbers, to each page of which it writes in turn, and checks them. QEMU saves it
to a file while it is stopped, and another QEMU restores it. Its writes are logged for a migration that is not waited for: on our
engine by a bitmap ("soft") and by a ring ("ring"). The environments take turns.
"""
import os
import re
import statistics
import tempfile
import time

import machines
import monitored
from qmp import Failure

PROGRAM = os.path.join(machines.TOP, 'build', 'bench', 'dirty')
MIB = 768
SILENCE = 120
ACCEL = {'soft': 'kvm', 'ring': 'kvm,dirty-ring-size=4096', 'tcg': 'tcg'}
ROWS = {'save': 'seconds to save 1 GiB to a file', 'restore': 'seconds to restore it, QEMU\'s start included',
        'plain': 'ms for a write to each of 196608 pages', 'logged': 'the same when each is the first that is logged'}


class Guest(monitored.Guest):
    def __init__(self, env, tmp, initrd, args=()):
        super().__init__(tmp, ['qemu-system-x86_64', '-M', 'q35', '-accel', ACCEL[env], '-m', '1G', '-kernel',
                               machines.KERNEL, '-initrd', initrd, '-append', 'console=ttyS0 quiet mitigations=off',
                               '-no-reboot', *args], env != 'tcg')

    def passes(self, seconds):
        """ns of each pass that begins and ends in that time."""
        end, found = time.monotonic() + seconds, []
        self.expect('= pass', SILENCE)  # what is under way began before
        while not found or time.monotonic() < end:
            self.expect('= pass', SILENCE)
            found.append(float(re.match(r' *(\d+) ', self.expect('\n', SILENCE))[1]))
        return found

    def wait_for(self, command, wanted):
        while True:
            status = self.monitor.do(command)['status']
            if status in wanted:
                return
            if status == 'failed':
                raise Failure(f'{command}: failed')
            time.sleep(0.02)


def logged(guest):
    """The slowest pass after QEMU has begun to log writes for a migration: the one that is first to write to all pages."""
    guest.monitor.do('migrate-set-parameters', **{'max-bandwidth': 1 << 20})
    guest.monitor.do('migrate', uri='exec:cat > /dev/null')
    guest.wait_for('query-migrate', ['active'])
    slowest = max(guest.passes(2))
    guest.monitor.do('migrate_cancel')
    guest.wait_for('query-migrate', ['cancelled'])
    return slowest


def save(guest, path):
    guest.monitor.do('stop')
    guest.monitor.do('migrate-set-parameters', **{'max-bandwidth': 1 << 40})
    start = time.monotonic()
    guest.monitor.do('migrate', uri=f'exec:cat > {path}')
    guest.wait_for('query-migrate', ['completed'])
    return time.monotonic() - start


def restore(env, tmp, initrd, path):
    with Guest(env, tmp, initrd, ['-incoming', f'exec:cat {path}']) as guest:
        guest.wait_for('query-status', ['paused', 'postmigrate', 'running'])
        took = time.monotonic() - guest.started
        guest.monitor.do('cont')
        guest.passes(0)  # goes on where it was, or says that it has lost something
        return took


def once(env, tmp, initrd):
    path = os.path.join(tmp, 'saved')
    with Guest(env, tmp, initrd) as guest:
        guest.expect('@@filled', SILENCE)
        found = {'plain': statistics.median(guest.passes(2)) / 1e6, 'logged': logged(guest) / 1e6, 'save': save(guest, path)}
    found['restore'] = restore(env, tmp, initrd, path)
    os.unlink(path)
    return found


def turned(envs, r):
    """Another one begins in each round: it meets memory that the host has not used for a while."""
    return envs[r % len(envs):] + envs[:r % len(envs)]


def measure(envs, rounds, say):
    """{environment: [{row: value} of each round]}"""
    runs = {e: [] for e in envs}
    with tempfile.TemporaryDirectory() as tmp:
        script = os.path.join(tmp, 'script')
        with open(script, 'w', encoding='utf-8') as f:
            f.write(f'exec /bin/dirty {MIB}\n')
        initrd = machines.make_initrd(os.path.join(tmp, 'initrd'), PROGRAM + ':/bin/dirty', script + ':/script')
        for r in range(rounds):
            for e in turned(envs, r):
                try:
                    runs[e].append(once(e, tmp, initrd))
                except (machines.Timeout, Failure) as error:
                    say(f'moves: {e}, round {r + 1}: {error}')
    return runs


def environments(env):
    """Those of the bench that can be tried; a guest of ours has two kinds of logs."""
    return [e for name in env if name in ('soft', 'tcg') for e in (['soft', 'ring'] if name == 'soft' else ['tcg'])]


def bench(envs, rounds, say):
    """Everything, printed; returns what goes into the JSON file."""
    missing = machines.have('tcg')
    if missing or not os.access(PROGRAM, os.X_OK):
        say(f'without moves: {missing or "it is not built"}')
        return None
    runs = measure(environments(envs), rounds, say)
    table = {e: {row: statistics.median(f[row] for f in fs) for row in ROWS} for e, fs in runs.items() if fs}
    say('')
    say('a guest of 1 GiB under QEMU'.ljust(30) + ''.join(e.rjust(9) for e in table))
    for row, words in ROWS.items():
        say(f'  {row}'.ljust(30) + ''.join(f'{t[row]:.2f}'.rjust(9) for t in table.values()) + f'   {words}')
    return {'medians': table, 'runs': runs}
