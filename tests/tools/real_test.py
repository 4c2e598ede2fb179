#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The bench's part "real" reads what guests and QEMU say: times, checksums, every counter by name."""
import os
import sys

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(TOP, 'bench'), os.path.join(TOP, 'tools')]
# pylint: disable=wrong-import-position
import counters  # noqa: E402
import machines  # noqa: E402
import real  # noqa: E402


class Monitor:
    """A QEMU with two processors, or one whose emulator has no statistics."""

    def __init__(self, offers):
        self.offers = offers

    def do(self, command, target=None):
        if command == 'query-stats-schemas':
            return [{'provider': 'kvm', 'target': 'vcpu', 'stats': [
                {'name': 'exits', 'type': 'cumulative'}, {'name': 'blocking', 'type': 'instant'},
                {'name': 'wait', 'type': 'log2-histogram'}]}] if self.offers else []
        assert target == 'vcpu', 'asked for what is not offered'
        stats = [{'name': 'exits', 'value': 5}, {'name': 'blocking', 'value': True}, {'name': 'wait', 'value': [1, 2]}]
        return [{'provider': 'kvm', 'stats': stats}] * 2


def check_counters():
    read = counters.read(Monitor(True))
    assert read == {'exits': 10, 'blocking =': 2, 'wait': 6}, read
    assert counters.read(Monitor(False)) == {}
    assert counters.difference({'exits': 4, 'blocking =': 1}, read) == {'exits': 6, 'blocking =': 2, 'wait': 6}
    assert counters.median([{'a': 1}, {'a': 5}, {'a': 2, 'new': 7}]) == {'a': 2, 'new': 7}
    shown = [counters.short(n) for n in (0, 999, 1000, 123456, 1.5e9, 2e12)]
    assert shown == ['0', '999', '1.0k', '123k', '1.5G', '2000G'], shown


def run_of(*lines):
    run = real.Run()
    for line in lines:
        run.line(line)
    return run


def check_runs():
    good = [run_of(f'@@took first {n}000000 abc', '@@took second 500000 abc\r') for n in (9, 2, 3)]
    assert real.combine(good)['seconds'] == {'first': 3, 'second': 0.5}
    assert real.combine(good)['checksum'] == 'abc'
    assert real.combine(good + [run_of('@@took first 1 abc')])['failed'] == 'it said no time'
    assert real.combine([run_of('@@failed no memory')])['failed'] == '@@failed no memory'
    good[0].believe('first', 1)
    assert 'its clock says 9.00 s, ours 1.00 s' in real.notes({'soft': real.combine(good)})
    other = {'soft': real.combine(good), 'tcg': real.combine([run_of('@@took first 1 x', '@@took second 1 x')])}
    assert 'CHECKSUMS DIFFER' in real.notes(other)
    odd = run_of('@@took first 1 abc', '@@took second 1 xyz')
    assert odd.checksum == 'differs between rounds'


def check_table():
    half, one = ({'seconds': {'first': s}} for s in (0.5, 1.0))
    results = {'a': {'soft': one, 'native': half}, 'b': {'soft': {'failed': 'x'}, 'native': one}, 'c': {'soft': one}}
    assert real.geomeans(results, 'first', [('soft', 'native'), ('soft', 'tcg')]) == [2.0, None]


def check_memory():
    """The guest's RAM is what has its size, not what has more addresses, as the code cache does, whose pages are mapped twice."""
    found = machines.Resident()
    for name, size in (('', 512), ('/memfd:uservisor-code', 1024), ('/memfd:uservisor-code', 1024)):
        found.count(512 << 20, name, {'Size': size << 20, 'Rss': 8, 'Pss': 4, 'Anonymous': 0})
    assert (found.ram, found.shared) == (8, 8), vars(found)


def check_jobs():
    for job in real.JOBS:
        assert os.access(os.path.join(TOP, 'bench', 'jobs', job), os.X_OK), f'bench/jobs/{job} is no program'
    assert real.chosen(['tar', 'alu']) == ['tar'] and real.chosen(['real']) == real.chosen([]) == list(real.PARTS)


def main():
    for check in (check_counters, check_runs, check_table, check_memory, check_jobs):
        check()
    print('real: counters, times and ratios are read and combined as they should be')
    return 0


if __name__ == '__main__':
    sys.exit(main())
