# SPDX-License-Identifier: MIT
"""Snapshots and migration of a busy guest: tests of qemu.py.

The guest is busy.c, which checks its memory and the clocks all the time and counts ticks; it must go on where it was.
"""
import os
import re
import struct
import time

from vmm import SLOW, Failure, Skip, Timeout, Vmm, compile_c, linux, need, scripted


def ticks_on(vm, more=10):
    """The busy program goes on: so many further ticks, one after the other, and nothing bad. The last one."""
    last = None
    for _ in range(more):
        text = vm.expect('tick ', 60 * SLOW)
        text += vm.expect('\n', 60 * SLOW)
        need('BAD' not in text, text)
        n = int(re.search(r'tick (\d+)\s*\Z', text).group(1))
        need(last is None or n == last + 1, f'tick {n} after {last}')
        last = n
    return last


def busy_linux(tmp):
    program = compile_c(tmp, 'busy.c', '-static')
    script = '/bin/busy &\nsleep 1\nwait\n'
    # A processor with which user code may run as it is.
    return ['-cpu', 'max'] + linux(initrd=scripted(tmp, script, program + ':/bin/busy'))


def make_qcow2(path):
    """An empty image of 1 GiB: header, refcounts, and a table of nothing, a cluster of 64 KiB each."""
    cluster = 1 << 16
    header = struct.pack('>4sIQIIQIIQQIIQQQQII', b'QFI\xfb', 3, 0, 0, 16, 1 << 30, 0, 2, 3 * cluster, cluster, 1, 0, 0,
                         0, 0, 0, 4, 104)
    with open(path, 'wb') as f:
        for part in (header, struct.pack('>Q', 2 * cluster), struct.pack('>4H', 1, 1, 1, 1), b''):
            f.write(part.ljust(cluster, b'\0'))


def snapshot(args, tmp):
    """savevm and loadvm of a busy guest."""
    disk = os.path.join(tmp, 'disk.qcow2')
    make_qcow2(disk)
    argv = ['-M', 'q35', '-m', '256', '-smp', '2', '-drive', f'if=none,id=d,file={disk}', '-device',
            'virtio-blk-pci,drive=d'] + busy_linux(tmp)
    with Vmm(args.machine, tmp, argv) as vm:
        try:
            vm.until_init()
            at = ticks_on(vm)
            for i in range(2):
                need(not vm.monitor.human(f'savevm s{i}'), 'savevm')
                ticks_on(vm)
            for i in (0, 1, 0):
                need(not vm.monitor.human(f'loadvm s{i}'), 'loadvm')
                vm.seen = len(vm.text)
                time.sleep(0.3)
                vm.expect('\n', 60 * SLOW)
                ticks_on(vm)
        except (Timeout, Failure):
            print(vm.text[-1000:])
            raise
        vm.monitor.do('quit')
        vm.ends()
    with Vmm(args.machine, tmp, argv + ['-loadvm', 's0']) as vm:
        last = ticks_on(vm)
        need(last > at, f'tick {last}: the guest began again')
        vm.monitor.do('quit')
        vm.ends()
    print('two snapshots, loaded three times, and by a new process')


def migrated(vm, seconds=180, wanted=('completed',)):
    """Waits for the end of a migration, or for another of its states; what query-migrate says then."""
    end = time.monotonic() + seconds * SLOW
    while True:
        status = vm.monitor.do('query-migrate')
        if status.get('status') in wanted + ('completed', 'failed', 'cancelled'):
            break
        need(time.monotonic() < end, f'migration: {status}')
        time.sleep(0.05)
    need(status['status'] in wanted, f'migration: {status}')
    return status


def migration(args, tmp):
    """A busy guest moves to another process while it runs."""
    path = os.path.join(tmp, 'migration')
    for cpus in (1, 2):
        argv = ['-M', 'q35', '-m', '256', '-smp', str(cpus)] + busy_linux(tmp)
        with Vmm(args.machine, tmp, argv) as source, \
                Vmm(args.machine, tmp, argv + ['-incoming', f'unix:{path}']) as target:
            source.until_init()
            at = ticks_on(source)
            source.monitor.do('migrate-set-parameters', **{'downtime-limit': 2000, 'max-bandwidth': 1 << 32})
            source.monitor.do('migrate', uri=f'unix:{path}')
            status = migrated(source)
            source.monitor.do('quit')
            source.ends()
            last = ticks_on(target, 20)
            need(last > at, f'tick {last} after {at}')
            need(target.monitor.do('query-status')['running'], 'it does not run')
            target.monitor.do('quit')
            target.ends()
        print(f'{cpus} CPU: moved in {status["total-time"]} ms, stood still {status["downtime"]} ms, '
              f'{status["ram"]["dirty-sync-count"]} rounds')


def enable(vm, *capabilities):
    vm.monitor.do('migrate-set-capabilities',
                  capabilities=[{'capability': name, 'state': True} for name in capabilities])


def need_userfaultfd():
    """What QEMU asks the kernel for, it gives to root alone, or to all where the administrator says so."""
    try:
        with open('/proc/sys/vm/unprivileged_userfaultfd', encoding='utf-8') as f:
            allowed = f.read().strip() == '1'
    except OSError:  # before Linux 5.2, or hidden from us: it will be seen
        allowed = True
    if os.geteuid() and not allowed:
        raise Skip('userfaultfd is not for ordinary users here (sysctl vm.unprivileged_userfaultfd)')


def postcopy(args, tmp):
    """A busy guest moves before its memory does: its processors wait for pages in userfaultfd."""
    need_userfaultfd()
    path = os.path.join(tmp, 'migration')
    for cpus in (1, 2):
        argv = ['-M', 'q35', '-m', '256', '-smp', str(cpus)] + busy_linux(tmp)
        with Vmm(args.machine, tmp, argv) as source, \
                Vmm(args.machine, tmp, argv + ['-incoming', 'defer']) as target:
            for vm in (source, target):
                enable(vm, 'postcopy-ram', 'postcopy-blocktime')
            target.monitor.do('migrate-incoming', uri=f'unix:{path}')
            source.until_init()
            at = ticks_on(source)
            # Too little to be done before post-copy starts, and then slow enough for the guest to be ahead of it.
            source.monitor.do('migrate-set-parameters',
                              **{'max-bandwidth': 8 << 20, 'max-postcopy-bandwidth': 32 << 20})
            source.monitor.do('migrate', uri=f'unix:{path}')
            migrated(source, wanted=('active',))
            ticks_on(source, 3)
            source.monitor.do('migrate-start-postcopy')
            status = migrated(source)
            ram, blocked = status['ram'], target.monitor.do('query-migrate')
            need(ram['postcopy-requests'] > 0, f'no page was asked for: {status}')
            source.monitor.do('quit')
            source.ends()
            last = ticks_on(target, 20)
            need(last > at, f'tick {last} after {at}')
            target.monitor.do('quit')
            target.ends()
        print(f'{cpus} CPU: moved in {status["total-time"]} ms, {ram["postcopy-requests"]} pages asked for, '
              f'blocked {blocked.get("postcopy-blocktime")} ms')


def background(args, tmp):
    """A snapshot of a busy guest that runs on: its pages are saved as it writes to them. A new process loads it."""
    need_userfaultfd()
    path = os.path.join(tmp, 'state')
    argv = ['-M', 'q35', '-m', '256', '-smp', '2'] + busy_linux(tmp)
    with Vmm(args.machine, tmp, argv) as vm:
        vm.until_init()
        before = ticks_on(vm)
        enable(vm, 'background-snapshot')
        vm.monitor.do('migrate-set-parameters', **{'max-bandwidth': 32 << 20})
        vm.monitor.do('migrate', uri=f'exec:cat > {path}')
        migrated(vm, wanted=('active',))
        during = ticks_on(vm, 5)
        status = migrated(vm)
        after = ticks_on(vm)
        vm.monitor.do('quit')
        vm.ends()
    with Vmm(args.machine, tmp, argv + ['-incoming', f'exec:cat {path}']) as vm:
        last = ticks_on(vm, 1)
        need(before <= last <= during, f'tick {last}, but it was saved between {before} and {during}')
        ticks_on(vm, 20)
        vm.monitor.do('quit')
        vm.ends()
    print(f'saved in {status["total-time"]} ms while it went from tick {before} to {after}; loaded at tick {last}')
