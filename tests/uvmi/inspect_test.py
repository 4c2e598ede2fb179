#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""`uservisor inspect` against the mock VMM: each command in both dialects, its lines, its errors, and what it leaves behind.

usage: inspect_test.py USERVISOR MOCK MANUAL [CASE]

Each type of line and each member that a case has seen must be in the manual page's section OUTPUT.
"""
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

SLOW = float(os.environ.get('SLOW', '1'))
GVA = 0xffff800000000000
CODE, DATA = 0x1000, 0x3000
PROGRAM = b'\x90CMWRXHDI\xccJ'
CASES = []
SEEN = {}  # members by type of line


def case(*dialects):
    def register(function):
        CASES.extend((f'{function.__name__} {d}', function, d) for d in dialects)
        return function
    return register


class Failed(Exception):
    pass


def check(good, what):
    if not good:
        raise Failed(what)


def same(have, want):
    check(have == want, f'{have!r} instead of {want!r}')


class Run:
    """One inspect with a mock behind it."""

    def __init__(self, dialect, folder):
        self.dialect, self.folder = dialect, folder
        self.path = os.path.join(folder, 'vm.sock')
        self.mock_words, self.mock = [], None

    def start_mock(self, *words):
        argv = [MOCK, self.path, *(['v5'] if self.dialect == 'v5' else []), *words]
        self.mock = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)  # pylint: disable=consider-using-with

    def argv(self, args):
        return [USERVISOR, 'inspect', '--dialect', self.dialect, self.path, *args]

    def inspect(self, *args, mock=()):
        """Status, standard output and error; the mock's last words in self.after."""
        self.start_mock(*mock)
        r = subprocess.run(self.argv(args), capture_output=True, text=True, timeout=60 * SLOW, check=False)
        self.end_mock()
        return r

    def end_mock(self):
        self.after = self.mock.communicate(timeout=30 * SLOW)[0].strip()

    def lines(self, *args, mock=()):
        """What it prints, when all is well, as text lines and as objects; both must say the same."""
        text = self.inspect(*args, mock=mock)
        same((text.returncode, text.stderr), (0, ''))
        return note([parse(line) for line in text.stdout.splitlines()])

    def objects(self, *args, mock=()):
        r = self.inspect('--json', *args, mock=mock)
        same((r.returncode, r.stderr), (0, ''))
        return note([json.loads(line) for line in r.stdout.splitlines()])

    def fails(self, want, *args, mock=(), status=1):
        r = self.inspect(*args, mock=mock)
        same(r.returncode, status)
        check(re.search(want, r.stderr), f'{r.stderr!r} does not say {want!r}')
        check(r.stderr.startswith('uservisor inspect: ') and r.stderr.count('\n') == 1, r.stderr)

    def intact(self):
        same(self.after, 'code intact, pages open, reinjected 0, crashed 0')


def note(lines):
    for line in lines:
        SEEN.setdefault(line['type'], set()).update(set(line) - {'type'})
    return lines


def undocumented(manual):
    """What has been seen and is not in the manual page."""
    with open(manual, encoding='utf-8') as f:
        section = re.search(r'^\.Sh OUTPUT\n(.*?)^\.Sh ', f.read(), re.M | re.S)[1]
    blocks = {name: block for names, block in re.findall(r'^\.It (.*)\n((?:(?!\.It ).*\n)*)', section, re.M)
              for name in re.findall(r'\w+', names)}
    everywhere = {'vcpu', 'rip', 'cr3', 'gva', 'gpa', 'access'}  # of all lines about events, and of v5's break
    for kind, members in SEEN.items():
        block = set(re.findall(r'\w+', blocks.get(kind, '')))
        if kind not in blocks:
            yield kind
        for member in sorted(members - everywhere - block):
            if kind != 'regs' or not re.fullmatch(r'r\w\w?', member):
                yield f'{kind}: {member}'


def parse(line):
    """A text line as the object that --json prints."""
    words = re.findall(r'(?:[^\s"]|"(?:\\.|[^"])*")+', line)
    found = {'type': words[0]}
    for word in words[1:]:
        name, _, value = word.partition('=')
        found[name] = json.loads(value) if value.startswith('"') else int(value) if re.fullmatch(r'\d+', value) else value
    return found


def hexa(value):
    return f'{value:#x}'


# ---- the VM and its registers

@case('v6', 'v5')
def info(run):
    for lines in (run.lines('info', mock=['vcpus=3', 'started=2']), run.objects('info', mock=['vcpus=3', 'started=2'])):
        of = {}
        for line in lines:
            of.setdefault(line['type'], []).append(line)
        same(of['vm'], [{'type': 'vm', 'name': 'mock', 'uuid': '00112233-4455-6677-8899-aabbccddeeff',
                         'start': '2018-12-01T00:00:00Z', 'dialect': run.dialect}])
        guest = {'type': 'guest', 'version': 1, 'vcpus': 3}
        same(of['guest'], [guest if run.dialect == 'v5' else {**guest, 'max_gpa': '0x13ffff'}])
        same([v['started'] for v in of['vcpu']], ['yes', 'yes', 'no'])
        same(of['vcpu'][0]['tsc_hz'], 2500000000)
        commands = {c['name']: c['permitted'] for c in of['command']}
        same(commands['READ_PHYSICAL'], 'yes')
        same(commands['PAUSE_ALL_VCPUS'], 'yes' if run.dialect == 'v5' else 'unknown')
        same(commands['GET_MTRR_TYPE'], 'unknown' if run.dialect == 'v5' else 'no')
        events = {e['name']: e['permitted'] for e in of['event']}
        same(events['SINGLESTEP'], 'unknown' if run.dialect == 'v5' else 'yes')
    run.intact()


@case('v6')
def names(run):
    """The VM chooses its name; the terminal shall not obey it."""
    for name in ('two words', 'a"b\\c=d', '\x1b[2J', ''):
        for lines in (run.lines('info', mock=['name=' + name]), run.objects('info', mock=['name=' + name])):
            same(lines[0]['name'], name)
    r = run.inspect('info', mock=['name=\x1b[2J\u00e9'])
    check('\x1b' not in r.stdout and r.stdout.isascii(), r.stdout[:60])


@case('v6', 'v5')
def regs(run):
    lines = run.lines('regs', mock=['vcpus=2', 'idle=1'])
    same([line['vcpu'] for line in lines if line['type'] == 'regs'], [0, 1])
    lines = run.objects('regs', '1', '--msr', '0x10', '--msr', '0xdead', mock=['vcpus=2', 'idle=1'])
    of = {(line['type'], line.get('name', line.get('msr'))): line for line in lines}
    check(all(line['vcpu'] == 1 for line in lines), 'another vCPU')
    same(of['regs', None]['rax'], '0x1001')
    check(of['regs', None]['rip'] in (hexa(GVA + CODE), hexa(GVA + CODE + 1)), of['regs', None]['rip'])
    same(of['regs', None]['mode'], 8)
    same(of['control', None]['cr3'], '0x10000')
    same(of['control', None]['efer'], '0x500')
    same(of['segment', 'cs']['selector'], '0x10')
    same(of['segment', 'cs']['l'], 1)
    same(of['table', 'gdt']['limit'], '0x7f')
    same(of['msr', 'lstar']['value'], hexa(GVA + 0x6000))
    same(of['msr', '0x10']['value'], '0x20')
    check(('msr', '0xdead') not in of, 'an MSR that is not there')
    run.fails("there is no vCPU '2': the guest has 2", 'regs', '2', mock=['vcpus=2'], status=2)
    run.fails('there is no vCPU 5', 'regs', '--vcpu', '5', status=2)
    run.fails('has not started', 'regs', '1', mock=['vcpus=2', 'started=1'])


@case('v6', 'v5')
def translate(run):
    for words in ([], ['no-translate']):
        lines = run.lines('translate', hexa(GVA + 0x3456), mock=words)
        same(lines, [{'type': 'translation', 'vcpu': 0, 'gva': hexa(GVA + 0x3456), 'gpa': '0x3456'}])
        run.fails('virtual address 0x1000 is not mapped on vCPU 0', 'translate', '0x1000', mock=words)
    run.fails("'xyz' is not an address", 'translate', 'xyz', status=2)
    run.fails("'0x' is not an address", 'translate', '0x', status=2)


# ---- memory

@case('v6', 'v5')
def read(run):
    r = run.inspect('read', '0x1000', '20', mock=['idle=1'])
    same(r.stdout, '0000000000001000  90 43 4d 57 52 58 48 44 49 cc 4a 00 00 00 00 00  |.CMWRXHDI.J.....|\n'
                   '0000000000001010  00 00 00 00                                      |....|\n')
    r = run.inspect('read', 'gva:' + hexa(GVA + CODE), '3', mock=['idle=1'])
    same(r.stdout, 'ffff800000001000  90 43 4d                                         |.CM|\n')
    same(run.objects('read', hexa(CODE), '17', mock=['idle=1']),
         [{'type': 'memory', 'gpa': '0x1000', 'bytes': (PROGRAM + bytes(5)).hex()},
          {'type': 'memory', 'gpa': '0x1010', 'bytes': '00'}])
    out = os.path.join(run.folder, 'out')
    same(run.lines('read', '0', str(0xa0000), '--output', out, mock=['idle=1']), [])
    with open(out, 'rb') as f:
        data = f.read()
    same((len(data), data[CODE:CODE + len(PROGRAM)]), (0xa0000, PROGRAM))
    run.fails('there is no RAM at a part', 'read', '0x9fff0', '32')
    run.fails('not mapped on vCPU 0', 'read', 'gva:0', '1')
    run.fails('is not a length', 'read', '0', 'x1', status=2)
    run.fails('cannot be written', 'read', '0', '1', '--output', run.folder, status=2)


@case('v6', 'v5')
def write(run):
    source = os.path.join(run.folder, 'in')
    with open(source, 'wb') as f:
        f.write(bytes(range(256)) * 40)
    run.start_mock('times=5', 'idle=1')

    def inspect(*args):
        return subprocess.run(run.argv(args), capture_output=True, text=True, timeout=60 * SLOW, check=False)
    same(inspect('write', '0x8000', '0102', 'fF').stdout, 'written gpa=0x8000 length=3\n')
    same(inspect('write', 'gva:' + hexa(GVA + 0x9ffe), 'aabbccdd').stdout, f'written gva={hexa(GVA + 0x9ffe)} length=4\n')
    same(inspect('write', '0x20000', '--input', source).stdout, 'written gpa=0x20000 length=10240\n')
    same(inspect('read', '0x9ffd', '6').stdout[:36], '0000000000009ffd  00 aa bb cc dd 00 ')
    same(inspect('read', '0x227ff', '2').stdout[:24], '00000000000227ff  ff 00 ')
    run.end_mock()
    run.intact()
    for wrong in ('0', 'xx', '123', '0x12'):
        run.fails('two hexadecimal digits', 'write', '0x8000', wrong, status=2)
    run.fails('nothing to write', 'write', '0x8000', status=2)
    run.fails('there is no RAM', 'write', '0xa0000', '00')
    run.fails('cannot be read', 'write', '0', '--input', '/nonexistent', status=2)


@case('v6', 'v5')
def dump(run):
    out, raw = os.path.join(run.folder, 'core'), os.path.join(run.folder, 'raw')
    extra = ['--max-gpa', '0x200000'] if run.dialect == 'v5' else []
    for options in ([], ['--pause']):
        for words in (['vcpus=2'], ['vcpus=3', 'started=2', 'no-query'], ['vcpus=2', 'ram=1']):
            said = run.lines('dump', out, *extra, *options, mock=words)[0]
            check(said.pop('paused_us') > 0 and said.pop('saved') <= 20, f'{said}')
            same(said.pop('mapped'), 'yes' if run.dialect == 'v6' and 'ram=1' not in words else 'no')
            same(said, {'type': 'dump', 'file': out, 'format': 'elf', 'regions': 2, 'vcpus': 2, 'bytes': 0xa0000 + 0x40000})
            run.intact()
            check_core(out)
        run.lines('dump', raw, '--raw', *extra, *options)
        with open(raw, 'rb') as f:
            data = f.read()
        same(len(data), 0x140000)
        same(data[CODE:CODE + len(PROGRAM)], PROGRAM)
        run.fails('cannot be written', 'dump', '/nonexistent/x', *options, status=2)
        run.fails('cannot be written', 'dump', '/dev/full', *extra, *options)
        check(os.path.exists('/dev/full'), 'the device has been removed')


@case('v6', 'v5')
def dump_refused(run):
    """Who may not see writes can pause the guest."""
    out = os.path.join(run.folder, 'core')
    extra = ['--max-gpa', '0x200000'] if run.dialect == 'v5' else []
    run.fails('the VM does not permit this tool to see writes: give --pause', 'dump', out, *extra, mock=['events=1024'])
    check(not os.path.exists(out), 'half a dump is left')
    same(run.lines('dump', out, *extra, '--pause', mock=['events=1024'])[0]['saved'], 0)


def linux_note(release):
    text = b'OSRELEASE=' + release + b'\nPAGESIZE=4096\n'
    return struct.pack('<III12s', 11, len(text), 0, b'VMCOREINFO') + text, text


@case('v6', 'v5')
def dump_note(run):
    """The note of a Linux guest is taken over, if it is one."""
    out = os.path.join(run.folder, 'core')
    extra = ['--max-gpa', '0x200000'] if run.dialect == 'v5' else []
    good, text = linux_note(b'6.1.0')
    other = good.replace(b'OSRELEASE', b'MYRELEASE')
    long = struct.pack('<III', 11, 4096 - 24, 0) + good[12:]
    for at, data, found in ((0x8000, good, True), (0x8004, good, False), (0x8000, other, False), (0x8000, long, False)):
        run.start_mock('times=2', 'idle=1')
        subprocess.run(run.argv(['write', hexa(at), data.hex()]), check=True, stdout=subprocess.DEVNULL, timeout=60 * SLOW)
        subprocess.run(run.argv(['dump', out, *extra]), check=True, stdout=subprocess.DEVNULL, timeout=60 * SLOW)
        run.end_mock()
        with open(out, 'rb') as f:
            core = f.read()
        offset, size = struct.unpack_from('<Q', core, 64 + 8)[0], struct.unpack_from('<Q', core, 64 + 32)[0]
        last = list(notes_of(core[offset:offset + size]))[-1]
        same(last if found else last[0], (b'VMCOREINFO', 0, text) if found else b'QEMU')


def check_core(path):
    with open(path, 'rb') as f:
        data = f.read()
    same(data[:20], b'\x7fELF\x02\x01\x01' + bytes(9) + b'\x04\x00\x3e\x00')
    phoff, phnum = struct.unpack_from('<Q', data, 32)[0], struct.unpack_from('<H', data, 56)[0]
    headers = [struct.unpack_from('<IIQQQQQQ', data, phoff + 56 * i) for i in range(phnum)]
    same([h[0] for h in headers], [4, 1, 1])
    same([(h[4], h[5], h[6]) for h in headers[1:]], [(0, 0xa0000, 0xa0000), (0x100000, 0x40000, 0x40000)])
    at = headers[1][2] + CODE
    same(data[at:at + len(PROGRAM)], PROGRAM)
    same(len(data), headers[2][2] + 0x40000)
    notes = list(notes_of(data[headers[0][2]:headers[0][2] + headers[0][5]]))
    same([(n[0], n[1], len(n[2])) for n in notes], [(b'CORE', 1, 336)] * 2 + [(b'QEMU', 0, 440)] * 2)
    for i in range(2):
        same(struct.unpack_from('<I', notes[i][2], 32)[0], i + 1)  # pr_pid
        rip = struct.unpack_from('<Q', notes[i][2], 112 + 8 * 16)[0]
        check(GVA + CODE <= rip <= GVA + CODE + 16, hexa(rip))
        same(struct.unpack_from('<II', notes[2 + i][2], 0), (1, 440))
        check(struct.unpack_from('<Q', notes[2 + i][2], 8 + 18 * 8 + 240 + 24)[0] & ~0x18 == 0x10000, 'cr3')


def notes_of(data):
    while data:
        namesz, descsz, kind = struct.unpack_from('<III', data)
        name = data[12:12 + namesz].rstrip(b'\0')
        start = 12 + (namesz + 3) // 4 * 4
        yield name, kind, data[start:start + descsz]
        data = data[start + (descsz + 3) // 4 * 4:]


# ---- events

@case('v6', 'v5')
def trace(run):
    events = run.lines('trace', 'cr3', '--count', '5', mock=['vcpus=2'])
    same(len(events), 5)
    for e in events:
        same((e['type'], e['cr'], e['rip']), ('cr', 3, hexa(GVA + CODE + 1)))
        same(int(e['old'], 16) ^ int(e['new'], 16), 0x18)
        same(e['cr3'], e['old'])
    run.intact()
    same({e['new'] for e in run.lines('trace', 'cr3', '--value', '0x10018', '--count', '4')}, {'0x10018'})
    same({e['vcpu'] for e in run.objects('trace', 'cr3', '--vcpu', '1', '--count', '4', mock=['vcpus=2'])}, {1})
    events = run.lines('trace', 'msr', 'descriptors', 'hypercalls', 'xsetbv', '--count', '8')
    kinds = [e['type'] for e in events]
    same(sorted(kinds), sorted(['msr', 'xsetbv', 'hypercall', 'descriptor'] * 2))
    same(events[kinds.index('msr')]['msr'], '0xc0000082')
    same([events[kinds.index('descriptor')][k] for k in ('register', 'access')], ['idtr', 'w'])
    same(run.lines('trace', 'msr', '--msr', '0xc0000082', '--count', '1')[0]['type'], 'msr')


@case('v6', 'v5')
def trace_exceptions(run):
    """The guest's own breakpoints reach it."""
    events = run.lines('trace', 'exceptions', '--count', '3')
    same([(e['type'], e['gpa']) for e in events], [('breakpoint', '0x1009')] * 3)
    same(run.after, 'code intact, pages open, reinjected 3, crashed 0')


@case('v6')
def trace_cpuid(run):
    e = run.lines('trace', 'cpuid', '--count', '1')[0]
    same((e['type'], e['function'], e['index']), ('cpuid', '0x7', '0x1'))


@case('v6', 'v5')
def trace_refused(run):
    run.fails("'foo' cannot be traced: choose from cr0", 'trace', 'foo', status=2)
    run.fails('the VM does not permit this', 'trace', 'cr3', mock=['events=8'])
    if run.dialect == 'v5':
        run.fails('this dialect does not have it', 'trace', 'cpuid')


@case('v6', 'v5')
def watch(run):
    events = run.lines('watch', hexa(DATA), '--count', '4')
    same([e['access'] for e in events], ['w', 'r', 'w', 'r'] if events[0]['access'] == 'w' else ['r', 'w', 'r', 'w'])
    same({(e['type'], e['gpa'], e['gva']) for e in events}, {('access', '0x3008', hexa(GVA + 0x3008))})
    run.intact()
    same([e['access'] for e in run.lines('watch', 'gva:' + hexa(GVA + DATA), 'w', '--count', '2')], ['w', 'w'])
    same(run.lines('watch', '0x3008', 'r', '--length', '8', '--count', '1')[0]['access'], 'r')
    events = run.objects('watch', hexa(CODE), 'x', '--count', '11')
    same({e['access'] for e in events}, {'x'})
    same(len({e['gpa'] for e in events}), 11)
    run.fails("'q' is not an access", 'watch', '0', 'q', status=2)
    run.fails('beyond the page', 'watch', '0xfff', '--length', '2', status=2)


@case('v6', 'v5')
def breaks(run):
    """At several instructions, with several vCPUs; the guest's code is as before, and it has met no INT3 of ours."""
    for offset in (0, 1, 5, 10):
        at = GVA + CODE + offset
        events = run.lines('break', hexa(at), '--count', '20', mock=['vcpus=3'])
        same({(e['type'], e['rip']) for e in events}, {('break', hexa(at))})
        same(len(events), 20)
        check(len({e['vcpu'] for e in events}) > 1, 'only one vCPU came by')
        check(re.fullmatch(r'code intact, pages open, reinjected \d+, crashed 0', run.after), run.after)
    run.fails('is not mapped', 'break', '0x5000')


@case('v6')
def break_sees_all(run):
    """Each time round is told: none is lost by the step."""
    events = run.lines('break', hexa(GVA + CODE), '--count', '30')
    same(len(events), 30)
    run.start_mock('vcpus=1', 'times=1')
    tool = subprocess.Popen(run.argv(['break', hexa(GVA + CODE + 9)]), stdout=subprocess.PIPE, text=True)  # pylint: disable=consider-using-with
    same(parse(tool.stdout.readline())['gpa'], '0x1009')  # the guest's own INT3 stays its own
    tool.send_signal(signal.SIGINT)
    tool.communicate(timeout=30 * SLOW)
    same(tool.returncode, 0)
    run.end_mock()
    check(re.fullmatch(r'code intact, pages open, reinjected [1-9]\d*, crashed 0', run.after), run.after)


@case('v6', 'v5')
def interrupted(run):
    """SIGINT ends each kind of tracing, and undoes what it did."""
    for args in (['trace', 'cr3'], ['watch', hexa(DATA)], ['break', hexa(GVA + CODE + 2)],
                 *([['step', '1000000']] if run.dialect == 'v6' else [])):
        for _ in range(3):
            run.start_mock('vcpus=2')
            with subprocess.Popen(run.argv(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tool:
                tool.stdout.readline()
                tool.send_signal(signal.SIGINT)
                _, err = tool.communicate(timeout=30 * SLOW)
                same((tool.returncode, err), (0, ''))
            run.end_mock()
            check(re.fullmatch(r'code intact, pages open, reinjected \d+, crashed 0', run.after), run.after)
            check(not os.path.exists(run.path), 'the socket is left')


@case('v6', 'v5')
def reader_gone(run):
    """Whoever reads has gone: the same as a signal."""
    for args in (['trace', 'cr3'], ['break', hexa(GVA + CODE + 2)]):
        run.start_mock('vcpus=2')
        with subprocess.Popen(run.argv(args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tool:
            tool.stdout.readline()
            tool.stdout.close()
            tool.stderr.read()
            tool.wait(timeout=30 * SLOW)
        run.end_mock()
        check(run.after.startswith('code intact, pages open'), run.after)


@case('v6')
def step(run):
    events = run.lines('step', '25')
    rips = [int(e['rip'], 16) - GVA - CODE for e in events]
    same((len(rips), {e['type'] for e in events}), (25, {'step'}))
    check(all(b == (a + 1) % len(PROGRAM) for a, b in zip(rips, rips[1:])), f'{rips}')
    run.fails('does not have it', 'step', '1', mock=['no-step'])
    run.fails("'0' is not a number of steps", 'step', '0', status=2)
    run.fails('has not started', 'step', '1', '--vcpu', '1', mock=['vcpus=2', 'started=1'])


@case('v5')
def step_v5(run):
    run.fails('this dialect does not have it', 'step', '1')


# ---- pauses

@case('v6', 'v5')
def pause(run):
    same(run.lines('pause', '--seconds', '1', mock=['vcpus=2']),
         [{'type': 'paused', 'vcpus': 2}, {'type': 'resumed', 'vcpus': 2}])
    run.intact()
    run.start_mock('vcpus=2')
    with subprocess.Popen(run.argv(['pause']), stdout=subprocess.PIPE, text=True) as tool:
        same(tool.stdout.readline(), 'paused vcpus=2\n')
        same(subprocess.run(run.argv(['info']), capture_output=True, text=True, check=False).stderr,
             f'uservisor inspect: another tool listens at {run.path}: end it, or use another address for both sides\n')
        r = subprocess.run(run.argv(['resume']), capture_output=True, text=True, check=False)
        same((r.returncode, r.stdout), (0, f'resumed pid={tool.pid}\n'))
        same(tool.stdout.readline(), 'resumed vcpus=2\n')
        same(tool.wait(timeout=30 * SLOW), 0)
    run.end_mock()
    run.intact()
    r = subprocess.run(run.argv(['resume']), capture_output=True, text=True, check=False)
    same(r.returncode, 1)
    check('pause` is running' in r.stderr, r.stderr)


@case('v6')
def resume_ends_no_other(run):
    """Whoever else listens there is left alone."""
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(run.path)
        s.listen()
        r = subprocess.run(run.argv(['resume']), capture_output=True, text=True, check=False)
        same(r.returncode, 1)
    os.unlink(run.path)


@case('v6')
def vm_goes_while_paused(run):
    run.start_mock()
    with subprocess.Popen(run.argv(['pause']), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as tool:
        tool.stdout.readline()
        run.mock.kill()
        _, err = tool.communicate(timeout=30 * SLOW)
        same(tool.returncode, 1)
        check('the VM has gone' in err, err)
    run.mock.wait()


# ---- connections

def plain(*args, **kwargs):
    return subprocess.run([USERVISOR, 'inspect', *args], capture_output=True, text=True, timeout=60 * SLOW, check=False, **kwargs)


@case('v6')
def words(run):
    for args, want in (([], 'give an address and a command'), ([run.path], 'give an address and a command'),
                       ([run.path, 'foo'], "'foo' is not a command"), ([run.path, 'read', '0'], 'the command is `read PLACE LENGTH`'),
                       ([run.path, 'info', 'x'], 'wrong number of arguments'), (['--foo'], "'--foo' is not an option"),
                       (['--count'], '--count needs a value'), (['--count', 'x', run.path, 'info'], "--count 'x' is not valid"),
                       (['--vcpu', '65536', run.path, 'info'], "--vcpu '65536' is not valid"),
                       (['--dialect', 'v7', run.path, 'info'], 'give v5 or v6'), (['tcp:1', 'info'], "'tcp:1' is not an address"),
                       (['vsock:1', 'resume'], 'by its path only'), (['vsock:x', 'info'], 'is not an address'),
                       (['--cookie-file', '/nonexistent', run.path, 'info'], 'cookie'),
                       (['--msr', '1'] * 33 + [run.path, 'info'], '32 times only')):
        r = plain(*args)
        same(r.returncode, 2)
        check(want in r.stderr and r.stderr.count('\n') == 1, f'{args}: {r.stderr}')
    r = plain('--help')
    same((r.returncode, r.stderr), (0, ''))
    check('Usage: uservisor inspect' in r.stdout, r.stdout)


@case('v6')
def nobody(run):
    r = plain('--wait', '1', run.path, 'info')
    same(r.returncode, 1)
    check(f'no VM has connected to {run.path} within 1 seconds' in r.stderr, r.stderr)
    check(not os.path.exists(run.path), 'the socket is left')
    with subprocess.Popen(run.argv(['info']), stderr=subprocess.PIPE, text=True) as tool:
        while not os.path.exists(run.path):
            time.sleep(0.01)
        time.sleep(0.1)
        tool.send_signal(signal.SIGTERM)
        same(tool.wait(timeout=30 * SLOW), 130)


@case('v6')
def places(run):
    with open(run.path, 'w', encoding='utf-8'):
        pass
    check('exists and is not a socket' in plain(run.path, 'info').stderr, 'a file')
    os.unlink(run.path)
    check('No such file' in plain('/nonexistent/x', 'info').stderr, 'no folder')
    check('at most 107 characters' in plain('/' + 'x' * 200, 'info').stderr, 'long')
    with socket.socket(socket.AF_UNIX) as s:  # one that its owner has left
        s.bind(run.path)
    same(run.lines('regs', mock=['idle=1'])[0]['type'], 'regs')


@case('v6', 'v5')
def other_dialect(run):
    run.start_mock()
    other = 'v5' if run.dialect == 'v6' else 'v6'
    r = plain('--dialect', other, run.path, 'info')
    run.end_mock()
    same(r.returncode, 1)
    check(f'the VM does not speak dialect {other}: try --dialect {run.dialect}' in r.stderr, r.stderr)


@case('v6', 'v5')
def cookie(run):
    path = os.path.join(run.folder, 'cookie')
    with open(path, 'w', encoding='utf-8') as f:
        f.write('abc')
    same(run.inspect('info', '--cookie-file', path, mock=['cookie']).returncode, 0)
    with open(path, 'w', encoding='utf-8') as f:
        f.write('abd')
    run.fails('without its cookie: give --cookie-file', 'info', '--wait', '100000', mock=['cookie'])  # at once
    run.fails(f'hung up on the cookie of {path}', 'info', '--wait', '100000', '--cookie-file', path, mock=['cookie'])


@case('v6')
def strangers(run):
    """Who connects and is no VM is passed over."""
    with subprocess.Popen(run.argv(['info']), stdout=subprocess.PIPE, text=True) as tool:
        while not os.path.exists(run.path):
            time.sleep(0.01)
        for words_ in (b'', b'GET / HTTP/1.0\r\n\r\n', b'\x60\0\0\0half'):
            with socket.socket(socket.AF_UNIX) as s:
                for _ in range(100):  # it exists before it can be connected to
                    try:
                        s.connect(run.path)
                        break
                    except OSError:
                        time.sleep(0.01)
                s.send(words_)
        run.start_mock()
        out, _ = tool.communicate(timeout=60 * SLOW)
        check(out.startswith('vm name=mock'), out)
    run.end_mock()


def main():
    wanted = [c for c in CASES if len(sys.argv) < 5 or c[0].startswith(sys.argv[4])]
    failed = 0
    for name, function, dialect in wanted:
        with tempfile.TemporaryDirectory() as folder:
            run, start = Run(dialect, folder), time.monotonic()
            try:
                function(run)
            except (Failed, subprocess.TimeoutExpired, KeyError, IndexError, ValueError) as e:
                failed += 1
                print(f'{name}: {type(e).__name__}: {e}')
            finally:
                if run.mock and run.mock.poll() is None:
                    run.mock.kill()
                    run.mock.wait()
                if len(sys.argv) > 4:
                    print(f'{name}: {time.monotonic() - start:.1f} s')
    for what in undocumented(sys.argv[3]):
        failed += 1
        print(f'{sys.argv[3]}: not in OUTPUT: {what}')
    print(f'{len(wanted) - failed} of {len(wanted)} cases')
    return 1 if failed or not wanted else 0


if __name__ == '__main__':
    USERVISOR, MOCK = map(os.path.realpath, sys.argv[1:3])
    sys.exit(main())
