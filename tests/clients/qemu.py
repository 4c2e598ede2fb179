#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Debian's QEMU, unmodified, with `-accel kvm` on our engine.

usage: tests/clients/qemu.py TEST [--machine kvm|tcg] [--rounds N]

Tests are the functions below; --list names them. `boot`, `devices` and `installer` measure the time against the
same machine under `-accel tcg`, in turns, and print a table. Exit status 0, 1, or 77 with the reason.
"""
import argparse
import http.server
import hashlib
import os
import re
import socketserver
import struct
import subprocess
import sys
import tempfile
import threading
import time

from moves import background, migration, postcopy, snapshot
from ram import direct, hotplug, memory
from vmm import (HERE, QEMU, SLOW, Failure, Skip, Timeout, Vmm, linux, machines, need, require,
                 require_program, scripted)

OVMF = '/usr/share/OVMF/OVMF_CODE_4M.fd', '/usr/share/OVMF/OVMF_VARS_4M.fd'
# Its PEI is 64-bit code and maps a host's whole address space with 1 GiB pages; the other's takes 512 MiB for that.
OVMF_X64 = '/usr/share/OVMF/OVMF_CODE.fd', '/usr/share/OVMF/OVMF_VARS.fd'
INSTALLER = '/usr/lib/debian-installer/images/12/amd64/text/debian-installer/amd64'
MIB = 1 << 20


# ---- boot: firmware, machine types, processors ----

def with_ovmf(tmp, files=OVMF):
    for path in files:
        require(path, 'ovmf')
    mine = os.path.join(tmp, f'vars{time.monotonic_ns()}')
    with open(files[1], 'rb') as f, open(mine, 'wb') as g:
        g.write(f.read())
    return ['-drive', f'if=pflash,format=raw,readonly=on,file={files[0]}', '-drive', f'if=pflash,format=raw,file={mine}']


def padded(data, size):
    return data + bytes(-len(data) % size)


def boot_disk(tmp, append):
    """A disk whose boot sector loads the kernel through the BIOS (loader.S)."""
    obj, sector = os.path.join(tmp, 'loader.o'), os.path.join(tmp, 'loader.bin')
    subprocess.run(['gcc', '-m32', '-c', '-o', obj, os.path.join(HERE, 'loader.S')], check=True)
    subprocess.run(['ld', '-m', 'elf_i386', '-Ttext', '0x7c00', '--oformat', 'binary', '-o', sector, obj], check=True)
    with open(machines.KERNEL, 'rb') as f:
        kernel = f.read()
    with open(machines.INITRD, 'rb') as f:
        initrd = f.read()
    split = (kernel[0x1f1] + 1) * 512
    setup, image, disk = bytearray(kernel[:split]), padded(kernel[split:], 32768), padded(initrd, 32768)
    initrd_at = 0x8000000
    setup[0x210], setup[0x211] = 0xff, setup[0x211] | 0x80
    struct.pack_into('<II', setup, 0x218, initrd_at, len(initrd))
    struct.pack_into('<HxxI', setup, 0x224, 0xde00, 0x8e000)
    setup = bytes(setup).ljust(0xe000, b'\0') + append.encode().ljust(0x1000, b'\0')
    with open(sector, 'rb') as f:
        loader = bytearray(f.read())
    struct.pack_into('<6I', loader, 0x1b0, 121, len(image) // 32768, 0x100000,
                     121 + len(image) // 512, len(disk) // 32768, initrd_at)
    path = os.path.join(tmp, 'boot.img')
    with open(path, 'wb') as f:
        f.write(bytes(loader) + setup + image + disk + bytes(MIB))
    return path


def boots(tmp):
    """name -> arguments; what differs from a plain PC is in the name."""
    run = linux('RUN=nproc')
    append = 'console=ttyS0 panic=-1 quiet RUN=nproc'
    disk = ['-drive', f'file={boot_disk(tmp, append)},format=raw,snapshot=on']
    return {
        # By default QEMU leaves out the clock when it believes to have KVM; the guest then looks for it for a second.
        'microvm': ['-M', 'microvm,rtc=on'] + run,
        'pc': ['-M', 'pc'] + run,
        'q35': ['-M', 'q35'] + run,
        'pc, by the BIOS': ['-M', 'pc'] + disk,
        'q35, by the BIOS': ['-M', 'q35'] + disk,
        'q35, OVMF': ['-M', 'q35'] + with_ovmf(tmp) + run,
    }


def one_boot(machine, tmp, args, cpus=1, seconds=90):
    with Vmm(machine, tmp, ['-m', '512', '-no-reboot', '-smp', str(cpus)] + args, monitor=False) as vm:
        try:
            took = vm.until_init(seconds)
            text = vm.expect('@@end 0', 30 * SLOW)
            need(re.search(rf'^{cpus}\r?$', text, re.M), f'not {cpus} processors: {text!r}')
            missing = re.findall(r'^qemu-system.*warning: host doesn.*', vm.text, re.M)
            need(not missing, f'a feature that the processor model asks for: {missing}')
            vm.ends()
        except (Timeout, Failure):
            print(vm.text[-3000:])
            raise
    return took


def table(title, rows):
    """rows: name, seconds under our engine, seconds under tcg."""
    print(f'{title:28} {"kvm":>8} {"tcg":>8} {"ratio":>6}')
    for name, ours, tcg in rows:
        peer = f'{tcg:7.2f}s {ours / tcg:6.2f}' if tcg else '  failed      -'
        print(f'{name:28} {ours:7.2f}s {peer}', flush=True)


def in_turns(rounds, run):
    """The best of some runs of each: run(machine) -> seconds. None for tcg if it cannot do it: that is not our failure."""
    times = {'kvm': [], 'tcg': []}
    for _ in range(rounds):
        times['kvm'].append(run('kvm'))
        try:
            times['tcg'].append(run('tcg'))
        except (Timeout, Failure) as why:
            print(f'tcg: {why}', flush=True)
    return min(times['kvm']), min(times['tcg'], default=None)


def boot(args, tmp):
    """Every machine type and firmware, to the first process, with one and two processors."""
    rows = []
    for name, argv in boots(tmp).items():
        for cpus in (1, 2):
            rows.append((f'{name}, {cpus} CPU', *in_turns(args.rounds, lambda m, a=argv, c=cpus: one_boot(m, tmp, a, c))))
            print(f'{rows[-1][0]}: {rows[-1][1]:.2f} s', flush=True)
    table('start to init', rows)


def quick(args, tmp):
    """Two boots, for every day: a machine without firmware work, and a PC with its BIOS."""
    for name, argv in (('microvm', ['-M', 'microvm']), ('pc', ['-M', 'pc'])):
        print(f'{args.machine}, {name}: init after {one_boot(args.machine, tmp, argv + linux("RUN=nproc"), 2):.2f} s')


def controllers(args, tmp):
    """Interrupt controllers in the engine, split, and in QEMU, on each machine type."""
    for machine in ('microvm', 'pc', 'q35'):
        for where in ('on', 'split', 'off'):
            # QEMU 7.2 never takes back a SIPI that it emulates itself: a second processor then spins in it for good.
            cpus = 1 if where == 'off' else 2
            argv = ['-M', f'{machine},kernel-irqchip={where}']
            took = one_boot('kvm', tmp, argv + linux('RUN=nproc'), cpus)
            print(f'{machine}, kernel-irqchip={where}, {cpus} CPU: init after {took:.2f} s', flush=True)


def processors(args, tmp):
    """Processor models, and more processors than the host has."""
    for model in ('host', 'max', 'qemu64', 'kvm64'):
        took = one_boot(args.machine, tmp, ['-M', 'q35', '-cpu', model] + linux('RUN=nproc'))
        print(f'-cpu {model}: init after {took:.2f} s', flush=True)
    machines = {'microvm': ['-M', 'microvm,rtc=on'], 'pc': ['-M', 'pc'], 'q35, 6 GiB': ['-M', 'q35', '-m', '6G'],
                'q35, OVMF': ['-M', 'q35'] + with_ovmf(tmp, OVMF_X64)}
    for name, argv in machines.items():
        took = one_boot(args.machine, tmp, argv + ['-cpu', 'host'] + linux('RUN=nproc'), 2)
        print(f'-cpu host, {name}, 2 CPU: init after {took:.2f} s', flush=True)
    for cpus in (1, 2, 4):
        took = one_boot(args.machine, tmp, ['-M', 'q35'] + linux('RUN=nproc'), cpus)
        print(f'-smp {cpus}: init after {took:.2f} s', flush=True)


def options(args, tmp):
    """Sandbox, more memory than fits below 4 GiB, other backings of memory, a daemon."""
    base = ['-M', 'q35', '-no-reboot']
    cases = {
        '-sandbox on': ['-m', '512', '-sandbox', 'on'],
        '-m 6G': ['-m', '6G'],
        'shared memfd': ['-m', '512', '-object', 'memory-backend-memfd,id=m,size=512M,share=on', '-machine',
                         'memory-backend=m'],
        'VGA': ['-m', '512', '-device', 'VGA'],
    }
    with open('/proc/meminfo', encoding='utf-8') as f:
        free = int(re.search(r'HugePages_Free:\s*(\d+)', f.read()).group(1))
    if free >= 256:
        cases['huge pages'] = ['-m', '512', '-object', 'memory-backend-memfd,id=m,size=512M,hugetlb=on', '-machine',
                               'memory-backend=m']
    else:
        print(f'skipped huge pages: {free} are free, 256 are needed')
    for name, argv in cases.items():
        with Vmm(args.machine, tmp, base + argv + linux('RUN="free -m | grep Mem"'), monitor=False) as vm:
            took = vm.until_init()
            vm.expect('@@end 0', 30 * SLOW)
            vm.ends()
        print(f'{name}: init after {took:.2f} s', flush=True)
    daemon(args, tmp)


def gone(pid, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            with open(f'/proc/{pid}/stat', encoding='utf-8') as f:
                if f.read().rsplit(')', 1)[1].split()[0] == 'Z':
                    return True
        except OSError:
            return True
        time.sleep(0.1)
    return False


def daemon(args, tmp):
    """-daemonize: KVM is opened before or after a fork, the caller gets its terminal back."""
    pidfile, log = os.path.join(tmp, 'pid'), os.path.join(tmp, 'console')
    argv = [QEMU, '-accel', args.machine, '-nodefaults', '-display', 'none', '-daemonize', '-pidfile', pidfile,
            '-serial', f'file:{log}', '-m', '512', '-M', 'q35', '-no-reboot'] + linux('RUN=nproc')
    if args.machine == 'kvm':
        argv = [machines.USERVISOR, 'exec', '--'] + argv
    start = time.monotonic()
    subprocess.run(argv, check=True, timeout=60 * SLOW, stdin=subprocess.DEVNULL)
    with open(pidfile, encoding='utf-8') as f:
        pid = int(f.read())
    need(gone(pid, 60 * SLOW), 'the daemon did not end')
    with open(log, encoding='utf-8') as f:
        need('@@end 0' in f.read(), 'the daemon\'s guest did not run')
    print(f'-daemonize: done after {time.monotonic() - start:.2f} s')


# ---- a distribution's installer ----

def installer(args, tmp):
    """Debian's installer, from the network boot image, to its first question."""
    kernel = require(os.path.join(INSTALLER, 'linux'), 'debian-installer-12-netboot-amd64')

    def run(machine):
        argv = ['-M', 'q35', '-m', '1G', '-kernel', kernel, '-initrd', os.path.join(INSTALLER, 'initrd.gz'), '-append',
                'console=ttyS0,115200']
        with Vmm(machine, tmp, argv, monitor=False) as vm:
            vm.expect('Select a language', 400 * SLOW)
            return time.monotonic() - vm.started
    table('start to first screen', [('installer', *in_turns(args.rounds, run))])


# ---- devices ----

def md5_of(path):
    digest = hashlib.md5()
    with open(path, 'rb') as f:
        for part in iter(lambda: f.read(MIB), b''):
            digest.update(part)
    return digest.hexdigest()


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


def serve(folder):
    """Files for the guest, and a place to send one to: GET and PUT on 127.0.0.1."""
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *a):
            super().__init__(*a, directory=folder)

        def log_message(self, *_):
            pass
    server = Server(('127.0.0.1', 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


TRANSFERS = '''
ip link set lo up; ip addr add 10.0.2.15/24 dev eth0; ip link set eth0 up
now() { cut -d" " -f1 /proc/uptime; }
a=$(now); echo read $(md5sum < /dev/vda)
b=$(now); dd if=/dev/vda of=/dev/vdb bs=1M oflag=direct 2>/dev/null; sync
c=$(now); echo net $(wget -q -O - http://10.0.2.2:$PORT/in.img | md5sum)
d=$(now); dd if=/dev/vda of=/dev/null bs=4k count=8192 iflag=direct 2>/dev/null
e=$(now); echo random $(dd if=/dev/hwrng bs=1 count=64 2>/dev/null | md5sum)
echo times $a $b $c $d $e
'''


def transfer(machine, tmp, names, argv):
    """names: what the virtio devices are called on this machine's bus. Seconds for read, write, network, 4k reads."""
    size = 256 * MIB
    source, target = os.path.join(tmp, 'in.img'), os.path.join(tmp, 'out.img')
    if not os.path.exists(source):
        with open(source, 'wb') as f:
            for _ in range(size // MIB):
                f.write(os.urandom(MIB))
    with open(target, 'wb') as f:
        f.truncate(size)
    server = serve(tmp)
    blk, net, rng = (f'virtio-{n}-{names}' for n in ('blk', 'net', 'rng'))
    argv = argv + ['-m', '512', '-no-reboot', '-drive', f'if=none,id=a,file={source},format=raw,readonly=on', '-drive',
                   f'if=none,id=b,file={target},format=raw', '-device', f'{blk},drive=a', '-device', f'{blk},drive=b',
                   '-netdev', 'user,id=n', '-device', f'{net},netdev=n', '-device', rng]
    initrd = scripted(tmp, f'PORT={server.server_address[1]}\n' + TRANSFERS)
    with Vmm(machine, tmp, argv + linux(initrd=initrd), monitor=False) as vm:
        try:
            vm.until_init()
            text = vm.expect('@@end 0', 600 * SLOW)
            vm.ends()
        except (Timeout, Failure):
            print(vm.text[-3000:])
            raise
    server.shutdown()
    want = md5_of(source)
    for word in ('read', 'net'):
        need(f'{word} {want}' in text, f'{word}: not the same bytes\n{text}')
    need(md5_of(target) == want, 'written: not the same bytes')
    t = [float(x) for x in re.search(r'times (.*)', text).group(1).split()]
    return [b - a for a, b in zip(t, t[1:])]


def devices(args, tmp):
    """virtio disk, network and random numbers: 256 MiB in each direction, compared by the host."""
    rows = []
    for name, bus, argv in (('q35', 'pci', ['-M', 'q35']), ('q35, 2 CPU', 'pci', ['-M', 'q35', '-smp', '2']),
                            ('microvm', 'device', ['-M', 'microvm'])):
        ours, tcg = in_turns(1, lambda m, b=bus, a=argv: transfer(m, tmp, b, a))
        for i, what in enumerate(('256M read', '256M written', '256M network', '8192 4k reads')):
            rows.append((f'{name}: {what}', ours[i], tcg and tcg[i]))
        print(f'{name}: the same bytes', flush=True)
    table('in guest time', rows)


def balloon(args, tmp):
    """A balloon gives memory back to the host, and the guest goes on."""
    argv = ['-M', 'q35', '-m', '768', '-device', 'virtio-balloon-pci,id=b']
    script = ('mount -o remount,size=90% /tmp; dd if=/dev/zero of=/tmp/x bs=1M count=400 2>/dev/null; rm /tmp/x;'
              ' echo full; for i in $(seq 1 600); do sleep 0.1; echo alive; done\n')
    with Vmm(args.machine, tmp, argv + linux(initrd=scripted(tmp, script))) as vm:
        vm.expect('full', 120 * SLOW)
        before = vm.resident()
        vm.monitor.do('balloon', value=256 * MIB)
        end = time.monotonic() + 60 * SLOW
        while vm.monitor.do('query-balloon')['actual'] > 260 * MIB:
            need(time.monotonic() < end, 'the balloon did not grow')
            time.sleep(0.2)
        after = vm.resident()
        vm.expect('alive', 20 * SLOW)
        vm.monitor.do('balloon', value=768 * MIB)
        vm.expect('alive', 20 * SLOW)
        vm.monitor.do('quit')
        vm.ends()
    print(f'resident {before // MIB} MiB, with the balloon {after // MIB} MiB')
    need(after < before - 300 * MIB, 'memory did not come back')


# ---- monitor ----

def monitor(args, tmp):
    """What the monitor says, resets, an end without traces."""
    with Vmm(args.machine, tmp, ['-M', 'q35', '-m', '512', '-smp', '2'] + linux('RUN="sleep 1000"')) as vm:
        vm.until_init()
        if args.machine == 'kvm':
            need('kvm support: enabled' in vm.monitor.human('info kvm'), 'info kvm does not say enabled')
        text = vm.monitor.human('info registers')
        need(re.search(r'RIP=[0-9a-f]{16}', text) and 'CR3=' in text, f'info registers: {text}')
        for i in range(3):
            vm.monitor.do('system_reset')
            vm.expect('@@begin', 120 * SLOW)
            print(f'reset {i + 1}: up again', flush=True)
        for _ in range(5):
            vm.monitor.do('stop')
            vm.monitor.do('cont')
        vm.monitor.do('system_powerdown')
        pid = vm.pid()
        vm.monitor.do('quit')
        vm.ends()
    need(gone(pid, 10), 'a process stayed')


# ---- debugger ----

GDB = '''
set pagination off
set confirm off
set architecture i386:x86-64
target remote {path}
printf "reset rip %x cs %x\\n", $rip, $cs
stepi
printf "after the jump rip %x cs %x\\n", $rip, $cs
hbreak *0x100000
continue
printf "kernel rip %x\\n", $rip
x/4xb $rip
stepi
printf "step 1 %x\\n", $rip
stepi
printf "step 2 %x\\n", $rip
delete
break *0x100200
continue
printf "software %x cs %x cr0 %x\\n", $rip, $cs, $cr0
x/1xb 0x100200
delete
stepi
stepi
stepi
printf "stepped from 100200 to %x\\n", $rip
watch *(unsigned*)$rsp
delete
detach
'''


def gdb(args, tmp):
    """-s -S: breakpoints of both kinds, single steps, registers; then the guest boots."""
    require_program('gdb', 'gdb')
    path, commands = os.path.join(tmp, 'gdb.socket'), os.path.join(tmp, 'gdb.commands')
    with open(commands, 'w', encoding='utf-8') as f:
        f.write(GDB.format(path=path))
    argv = ['-M', 'q35', '-m', '512', '-no-reboot', '-S', '-chardev', f'socket,path={path},server=on,wait=off,id=g', '-gdb',
            'chardev:g', '-smp', '2'] + linux('RUN=nproc')
    with Vmm(args.machine, tmp, argv) as vm:
        got = subprocess.run(['gdb', '-nx', '-batch', '-x', commands], capture_output=True, text=True, check=False,
                             timeout=120 * SLOW, stdin=subprocess.DEVNULL)
        text = got.stdout
        try:
            for want in ('reset rip fff0 cs f000', 'after the jump rip e05b', 'kernel rip 100000', 'step 1 100001',
                         'step 2 100002', 'software 100200 cs 10'):
                need(want in text, f'no "{want}"')
            need(re.search(r'0x100200[^:]*:\s+(?!0xcc)0x', text), 'the breakpoint shows in memory')
            need(re.search(r'stepped from 100200 to 1002\w\w', text), 'steps')
            vm.expect('@@end 0', 120 * SLOW)
            vm.ends()
        except (Timeout, Failure):
            print(text, got.stderr, vm.text[-1000:])
            raise
    print('breakpoints, steps and registers as expected; booted afterwards')


TESTS = (quick, boot, controllers, processors, options, installer, devices, balloon, monitor, snapshot, migration,
         postcopy, background, memory, direct, hotplug, gdb)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('test', choices=[t.__name__ for t in TESTS])
    parser.add_argument('--machine', choices=('kvm', 'tcg'), default='kvm')
    parser.add_argument('--rounds', type=int, default=1)
    args = parser.parse_args()
    test = next(t for t in TESTS if t.__name__ == args.test)
    try:
        require_program(QEMU, 'qemu-system-x86')
        require(machines.KERNEL, 'run tools/guest')
        with tempfile.TemporaryDirectory(prefix='uservisor-qemu-') as tmp:
            test(args, tmp)
    except Skip as why:
        print(why)
        return 77
    except (Failure, Timeout) as why:
        print(f'{args.test}: {why}')
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
