# SPDX-License-Identifier: MIT
"""What a guest's RAM can be, and RAM that comes and goes while it runs: tests of qemu.py."""
import contextlib
import hashlib
import os
import re
import subprocess
import time

from moves import busy_linux, ticks_on
from vmm import SLOW, Failure, Skip, Timeout, Vmm, linux, machines, need, scripted
import counters  # from tools, which vmm has put on the path

MIB = 1 << 20


# ---- kinds of RAM ----

HUGE_PAGES = '/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages'


@contextlib.contextmanager
def huge_pages(mib, tmp):
    """So many MiB of huge pages, and a file system of them, for a while."""
    folder = os.path.join(tmp, 'huge')
    os.mkdir(folder)
    before = None
    try:
        try:
            with open(HUGE_PAGES, encoding='utf-8') as f:
                before = f.read()
            with open(HUGE_PAGES, 'w', encoding='utf-8') as f:
                f.write(str(int(before) + mib // 2))
            subprocess.run(['mount', '-t', 'hugetlbfs', 'none', folder], check=True)
        except (OSError, subprocess.CalledProcessError) as why:
            raise Skip(f'no huge pages: {why}') from why
        yield folder
    finally:
        if os.path.ismount(folder):
            subprocess.run(['umount', folder], check=False)
        if before and os.access(HUGE_PAGES, os.W_OK):
            with open(HUGE_PAGES, 'w', encoding='utf-8') as f:
                f.write(before)


def ram_kinds(folder):
    """What the guest's RAM can be: QEMU's object for each."""
    yield 'anonymous, merged', 'memory-backend-ram,merge=on,prealloc=on'
    yield 'memfd', 'memory-backend-memfd,share=on'
    yield 'file, shared', f'memory-backend-file,mem-path={folder}/ram,share=on'
    yield 'file, private', f'memory-backend-file,mem-path={folder}/ram,share=off,discard-data=on'


def huge_kinds(folder):
    yield 'huge pages, memfd', 'memory-backend-memfd,hugetlb=on,hugetlbsize=2M'
    yield 'huge pages, file', f'memory-backend-file,mem-path={folder},share=on'
    yield 'huge pages, private', f'memory-backend-file,mem-path={folder},prealloc=on'


def busy_on(args, tmp, name, backend):
    argv = ['-M', 'q35,memory-backend=m', '-object', f'{backend},size=256M,id=m', '-m', '256', '-smp', '2']
    with Vmm(args.machine, tmp, argv + busy_linux(tmp)) as vm:
        took = vm.until_init()
        ticks_on(vm)
        vm.monitor.do('quit')
        vm.ends()
    print(f'{name}: init after {took:.2f} s')


def memory(args, tmp):
    """RAM that is a file, shared or private, merged or huge pages; each boots and keeps what is written to it."""
    for name, backend in ram_kinds(tmp):
        busy_on(args, tmp, name, backend)
    with huge_pages(512, tmp) as folder:
        for name, backend in huge_kinds(folder):
            busy_on(args, tmp, name, backend)


# ---- memory that comes and goes ----

HOTPLUG = '''
mkdir -p /t
last=0
while :; do
    now=$(grep MemTotal: /proc/meminfo | tr -dc 0-9)
    if [ $now != $last ]; then
        last=$now
        echo "total $((now / 1024)) MiB"
        if [ $now -gt 600000 ]; then
            mount -t tmpfs -o size=100% t /t
            yes 0123456789abcde | head -c 314572800 > /t/file
            echo "filled $(md5sum < /t/file)"
            umount /t
        fi
    fi
    sleep 0.3
done
'''


def total_in(vm, low, high):
    """The guest's memory reaches that many MiB."""
    while True:
        vm.expect('total ', 60 * SLOW)
        mib = int(vm.expect(' MiB', 10 * SLOW).split()[0])
        if low < mib < high:
            return mib


def filled(vm):
    vm.expect('filled ', 120 * SLOW)
    got = vm.expect(' ', 10 * SLOW).strip()
    need(got == hashlib.md5(b'0123456789abcde\n' * (300 * MIB // 16)).hexdigest(), f'300 MiB of file are {got}')


def unplugged(vm):
    end = time.monotonic() + 60 * SLOW
    while any(d['type'] == 'dimm' for d in vm.monitor.do('query-memory-devices')):
        need(time.monotonic() < end, 'the guest does not give the memory back')
        time.sleep(0.2)


def hotplug(args, tmp):
    """A DIMM, and a virtio-mem device, are plugged, filled and unplugged while the guest runs."""
    argv = ['-M', 'q35', '-m', '256,slots=4,maxmem=2G', '-smp', '2', '-object', 'memory-backend-ram,id=v,size=1G',
            '-device', 'virtio-mem-pci,id=vm,memdev=v,requested-size=0']
    argv += linux('memhp_default_state=online_movable', scripted(tmp, HOTPLUG))
    with Vmm(args.machine, tmp, argv) as vm:
        try:
            vm.until_init()
            small = total_in(vm, 0, 256)
            vm.monitor.do('object-add', **{'qom-type': 'memory-backend-ram', 'id': 'm', 'size': 512 * MIB})
            vm.monitor.do('device_add', driver='pc-dimm', id='d', memdev='m')
            large = total_in(vm, small + 500, small + 520)
            filled(vm)
            vm.monitor.do('device_del', id='d')
            unplugged(vm)
            total_in(vm, 0, small + 10)
            print(f'DIMM: {small} MiB, with it {large} MiB, and without')
            vm.monitor.do('qom-set', path='/machine/peripheral/vm', property='requested-size', value=512 * MIB)
            large = total_in(vm, small + 500, small + 520)
            filled(vm)
            vm.monitor.do('qom-set', path='/machine/peripheral/vm', property='requested-size', value=0)
            total_in(vm, 0, small + 10)
            print(f'virtio-mem: {small} MiB, with it {large} MiB, and without')
        except (Timeout, Failure):
            print(vm.text[-2000:])
            raise
        vm.monitor.do('quit')
        vm.ends()


# ---- RAM in which user code runs as it is ----

def direct_runs(args, tmp, ram):
    """How often user code of a busy guest has run so, and whether its memory is a file of ours."""
    with Vmm(args.machine, tmp, ['-M', 'q35', *ram] + busy_linux(tmp)) as vm:
        ticks_on(vm, 40)
        with open(f'/proc/{vm.pid()}/maps', encoding='utf-8') as f:
            ours = '/memfd:uservisor-ram' in f.read()
        runs = counters.read(vm.monitor).get('direct_runs', 0)
        vm.monitor.do('quit')
        vm.ends()
    return runs, ours


def direct(args, tmp):
    """QEMU's own memory is private, and user code of the guest runs in it as it is; other memory is left alone."""
    if args.machine != 'kvm':
        raise Skip('an emulator has no direct execution')
    said = subprocess.run([machines.USERVISOR, 'doctor'], capture_output=True, text=True, check=False).stdout
    if re.search(r'direct execution.*NOT possible', said):
        raise Skip('this host has no direct execution: see uservisor doctor')
    for name, ram, wanted in (
            ('private', ['-m', '512'], True),
            ('allocated before', ['-m', '512', '-mem-prealloc'], True),
            ('two processors', ['-m', '512', '-smp', '2'], True),
            ('in a sandbox', ['-m', '512', '-sandbox', 'on,spawn=deny,elevateprivileges=deny'], True),
            ('shared by the user', ['-m', '512', '-object', 'memory-backend-memfd,id=m,size=512M,share=on', '-machine',
                                    'memory-backend=m'], False)):
        runs, ours = direct_runs(args, tmp, ram)
        print(f'{name}: {runs} runs, memory of ours: {ours}', flush=True)
        need((runs > 0) == wanted and ours == wanted, f'{name}: {runs} runs, memory of ours: {ours}')
