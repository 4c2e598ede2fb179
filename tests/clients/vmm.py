# SPDX-License-Identifier: MIT
"""Running an unmodified virtual machine monitor: under `uservisor exec`, or QEMU's own emulator for comparison.

A machine is named "kvm" (what the program believes) or "tcg".
"""
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(HERE, '..', '..', 'tools'))
# pylint: disable=wrong-import-position
import machines  # noqa: E402
from machines import Timeout  # noqa: E402,F401
from qmp import Failure, Monitor  # noqa: E402

QEMU = 'qemu-system-x86_64'
SLOW = float(os.environ.get('SLOW', '1'))  # stretches every time limit


class Skip(Exception):
    """It cannot be tried here; says why."""


def need(condition, what):
    if not condition:
        raise Failure(what)


def require(path, package):
    """A file of a package, or a skip that names it."""
    if not os.path.exists(path):
        raise Skip(f'{path} is missing (package {package}; tools/setup check)')
    return path


def require_program(name, package):
    found = shutil.which(name)
    if not found:
        raise Skip(f'{name} is not installed (package {package}; tools/setup check)')
    return found


class Vmm(machines.Guest):
    """A QEMU that runs; console in .text, monitor in .monitor."""

    def __init__(self, machine, tmp, args, monitor=True):
        argv = [QEMU, '-accel', machine, '-nodefaults', '-display', 'none', '-serial', 'stdio']
        self.path = os.path.join(tmp, f'qmp{time.monotonic_ns()}')
        if monitor:
            argv += ['-qmp', f'unix:{self.path},server=on,wait=off']
        if machine == 'kvm':
            argv = [machines.USERVISOR, 'exec', '--'] + argv
        self.machine = machine
        super().__init__(argv + args)
        try:
            self.monitor = Monitor(self.path, lambda: self.process.poll() is None, SLOW) if monitor else None
        except Exception:
            self.close()
            print(self._rest())
            raise

    def _rest(self):
        try:
            self.wait(1)
        except Timeout:
            pass
        return self.text[-2000:]

    def until_init(self, seconds=120):
        """Seconds from start to the guest's first process."""
        self.expect('@@begin', seconds * SLOW)
        took = time.monotonic() - self.started
        self.expect('\n', 10 * SLOW)
        return took

    def ends(self, seconds=60, status=0):
        got = self.wait(seconds * SLOW)
        need(got == status, f'exit status {got} instead of {status}')

    def resident(self):
        with open(f'/proc/{self.pid()}/status', encoding='utf-8') as f:
            return int(re.search(r'VmRSS:\s*(\d+)', f.read()).group(1)) * 1024

    def pid(self):
        """QEMU's own: `uservisor exec` becomes it."""
        return self.process.pid


def linux(append='', initrd=machines.INITRD):
    return ['-kernel', machines.KERNEL, '-initrd', initrd, '-append', f'console=ttyS0 panic=-1 quiet {append}']


def drivers():
    """FROM:TO of the virtio modules and their order, for machines.make_initrd()."""
    folder = os.path.join(machines.GUEST, 'modules')
    require(os.path.join(folder, 'order'), 'run tools/guest')
    return [f'{os.path.join(folder, name)}:/modules/{name}' for name in sorted(os.listdir(folder))]


LOAD_DRIVERS = 'cd /modules; for m in $(cat order); do insmod ./$m.ko; done; cd /\n'


def scripted(tmp, script, *files):
    """An initrd that loads the drivers and then runs script."""
    path = os.path.join(tmp, 'script')
    with open(path, 'w', encoding='utf-8') as f:
        f.write(LOAD_DRIVERS + script)
    return machines.make_initrd(os.path.join(tmp, 'initrd'), path + ':/script', *drivers(), *files)


def compile_c(tmp, source, *flags):
    out = os.path.join(tmp, os.path.basename(source).split('.')[0])
    subprocess.run(['gcc', '-O1', '-Wall', '-Werror', '-o', out, os.path.join(HERE, source), *flags], check=True)
    return out
