# SPDX-License-Identifier: MIT
"""Running a guest from a script: the same test or bench under our engine or under another machine.

A machine is named: "soft", "mshv" and "kvm" are `uservisor boot --engine NAME`, "tcg" is QEMU's emulator.
"""
import fcntl
import os
import pty
import select
import signal
import subprocess
import termios
import time

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))
GUEST = os.environ.get('GUEST_DIR', os.path.join(TOP, 'build', 'guest'))
USERVISOR = os.environ.get('USERVISOR', os.path.join(TOP, 'build', 'uservisor'))
KERNEL = os.path.join(GUEST, 'vmlinuz')
INITRD = os.path.join(GUEST, 'initrd')
BUSYBOX = os.path.join(GUEST, 'busybox')
MACHINES = ('soft', 'mshv', 'kvm', 'tcg')


def have(machine):
    """None if this machine can be tried here, else why not."""
    if machine == 'tcg':
        ok = any(os.access(os.path.join(d, 'qemu-system-x86_64'), os.X_OK)
                 for d in os.environ.get('PATH', '').split(':'))
        return None if ok else 'qemu-system-x86_64 is not installed (tools/setup bench)'
    if not os.access(USERVISOR, os.X_OK):
        return f'{os.path.relpath(USERVISOR, TOP)} does not exist'
    if machine == 'kvm' and not os.access('/dev/kvm', os.R_OK | os.W_OK):
        return '/dev/kvm is missing or not accessible'
    return None


def command(machine, append, initrd=INITRD, kernel=KERNEL, memory='512M', cpus=1):
    append = f'console=ttyS0 {append}'.strip()
    if machine == 'tcg':
        return ['qemu-system-x86_64', '-M', 'q35', '-accel', 'tcg', '-cpu', 'max', '-m', memory, '-smp', str(cpus),
                '-nodefaults', '-display', 'none', '-serial', 'mon:stdio', '-no-reboot', '-kernel', kernel,
                '-initrd', initrd, '-append', append]
    return [USERVISOR, 'boot', '--engine', machine, '--kernel', kernel, '--initrd', initrd, '--append', append,
            '--memory', memory, '--cpus', str(cpus)]


def make_initrd(target, *files):
    """An initrd with more files in it: each "FROM:TO"."""
    subprocess.run([os.path.join(TOP, 'tools', 'guest'), 'add', target, *files], check=True)
    return target


class Resident:
    """Resident bytes of a process: .ram is the one large mapping that is the guest's RAM, the others are beside it."""

    def __init__(self):
        self.ram = self.anonymous = self.shared = self.files = 0

    @property
    def beside(self):
        return self.anonymous + self.shared + self.files

    def count(self, ram, name, sizes):
        if 0.9 * ram <= sizes['Size'] <= 1.1 * ram:  # the addresses of the code cache are more
            self.ram += sizes['Rss']
            return
        self.anonymous += sizes['Anonymous']
        if name.startswith(('/memfd:', '/dev/', '/SYSV')):
            self.shared += sizes['Pss'] - sizes['Anonymous']  # a page that is mapped twice is one page
        else:
            self.files += sizes['Rss'] - sizes['Anonymous']


def resident(pid, ram):
    """What a process whose guest has so many bytes of RAM keeps resident."""
    found, name, sizes = Resident(), '', {}
    with open(f'/proc/{pid}/smaps', encoding='utf-8') as f:
        for line in f:
            words = line.split()
            if '-' in words[0]:
                name, sizes = ' '.join(words[5:]), {}
            elif words[-1] == 'kB':
                sizes[words[0].rstrip(':')] = int(words[1]) * 1024
            elif words[0] == 'VmFlags:':  # the last line of a mapping
                found.count(ram, name, sizes)
    return found


class Timeout(Exception):
    """The guest said nothing, or not what was waited for, in time."""


class Guest:
    """A running machine; output is kept in .text. Always close() it (or use `with`)."""

    def __init__(self, argv, terminal=False):
        self.text = ''
        self.started = time.monotonic()
        self.status = None
        if terminal:  # a terminal of its own, so that raw mode and its restoring are exercised
            self.fd, other = pty.openpty()
            self.terminal = termios.tcgetattr(other)
            self.other = other

            def own_terminal():
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            # pylint: disable-next=subprocess-popen-preexec-fn
            self.process = subprocess.Popen(argv, stdin=other, stdout=other, stderr=other, start_new_session=True,
                                            preexec_fn=own_terminal)
        else:
            self.other = None
            self.process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                            stderr=subprocess.STDOUT, start_new_session=True)
            self.fd = self.process.stdout.fileno()
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def type(self, text):
        os.write(self.fd, text.encode())

    def terminal_is_restored(self):
        """After the end: are the terminal's modes what they were before?"""
        return termios.tcgetattr(self.other) == self.terminal

    def _read(self, timeout):
        """More output, or '' at the end; Timeout when there is none in time."""
        end = time.monotonic() + timeout
        while True:
            left = end - time.monotonic()
            if left <= 0:
                raise Timeout('no output in time')
            if select.select([self.fd], [], [], min(left, 0.2))[0]:
                try:
                    data = os.read(self.fd, 65536)
                except OSError:  # a pty whose other end is closed
                    data = b''
                self.ended = not data
                text = data.decode('utf-8', 'replace')
                self.text += text
                return text
            if self.other is not None and self.process.poll() is not None:
                self.ended = True
                return ''

    def lines(self, silence):
        """Complete lines as they come; Timeout after so many seconds of silence."""
        at = len(self.text)
        while True:
            nl = self.text.find('\n', at)
            if nl >= 0:
                line, at = self.text[at:nl].rstrip('\r'), nl + 1
                yield line
            elif self.ended or not self._read(silence):
                return

    def expect(self, what, timeout):
        """Wait for a text that comes from now on; returns what came up to it, it included."""
        start = getattr(self, 'seen', 0)
        end = time.monotonic() + timeout
        while True:
            at = self.text.find(what, start)
            if at >= 0:
                self.seen = at + len(what)
                return self.text[start:self.seen]
            if self.ended:
                raise Timeout(f'the machine ended before it said "{what}"')
            left = end - time.monotonic()
            if left <= 0:
                raise Timeout(f'"{what}" did not come in {timeout} s')
            try:
                self._read(left)
            except Timeout:
                pass

    def wait(self, timeout):
        """The exit status, once everything it says is read."""
        end = time.monotonic() + timeout
        while not self.ended:
            self._read(max(0.01, end - time.monotonic()))
        try:
            self.status = self.process.wait(max(0.1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            raise Timeout('the machine did not end') from None
        return self.status

    def close(self):
        if self.process.poll() is None:
            # The whole session that we started, and nothing else.
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        if self.other is not None:
            os.close(self.fd)
            os.close(self.other)
        else:
            self.process.stdout.close()
