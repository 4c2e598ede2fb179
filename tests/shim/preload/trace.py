#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The lines of `uservisor trace`, readable and JSON. usage: trace.py UV CLIENT BUILD IOCTLS.DEF DECODE.C"""
import json
import os
import re
import subprocess
import sys
import tempfile

UV, CLIENT, _, TABLE, DECODER = sys.argv[1:]


def trace(case, *options):
    """Lines of a client's trace; it must succeed."""
    with tempfile.TemporaryDirectory() as d:
        out = os.path.join(d, 'trace')
        subprocess.run([UV, 'trace', *options, '-o', out, '--', CLIENT, case], check=True, timeout=120)
        with open(out, encoding='utf-8') as f:
            return f.read().splitlines()


def need(condition, what):
    if not condition:
        print('not so:', what)
        sys.exit(1)
    print('ok', what)


def check_json(lines):
    calls = [json.loads(line) for line in lines]
    runs = [c for c in calls if c['call'] == 'KVM_RUN']
    need(calls[0]['call'] == 'open' and calls[0]['path'] == '/dev/kvm', 'begins with the open')
    need(runs and all(c['kind'] == 'vcpu' and c['result'] == 0 for c in runs), 'every KVM_RUN')
    need(runs[-1]['exit'] == {'reason': 'IO', 'io.direction': 1, 'io.port': '0x42', 'io.size': 1, 'io.count': 1,
                              'data': '00'}, 'the exit')
    region = [c for c in calls if c['call'] == 'KVM_SET_USER_MEMORY_REGION'][0]
    need(region['data']['memory_size'] == '0x10000' and region['data']['slot'] == 0, 'a structure')
    need(all(a['time'] <= b['time'] for a, b in zip(calls, calls[1:])), 'time goes on')
    need(all(c['tid'] > 0 and c['result'] is not None for c in calls), 'thread and result')
    need(all(c['ns'] > 0 for c in runs), 'how long it took')


def check_errors(lines):
    calls = [json.loads(line) for line in lines]
    errors = {(c['call'], c.get('error')) for c in calls if c['result'] < 0}
    need(('KVM_IRQFD', 'EBADF') in errors and ('KVM_GET_REGS', 'EFAULT') in errors, 'errors by name')
    need(('0x0000aefe', 'ENOTTY') in errors, 'a request that nobody knows')


def check_text(lines):
    number = r'\s*\d+\.\d{6} \d+ '
    need(all(re.match(number + r'(open|kvm \d+|vm \d+|vcpu \d+) .* = -?\d+', line) for line in lines), 'readable lines')
    need(any(re.match(number + r'vcpu \d+ KVM_RUN 0x0 = 0 \{IO io.direction=1 io.port=0x42 io.size=1 io.count=1 data=00\}$',
                      line) for line in lines), 'the exit in words')
    need(any('KVM_SET_REGS {rip=0x0 rflags=0x2 ' in line for line in lines), 'registers')


def check_answers(lines, text):
    runs = [json.loads(line) for line in lines if '"KVM_RUN"' in line]
    answers = [r.get('answer') for r in runs]
    need(answers == [None, {'reason': 'IO', 'io.port': '0x60', 'data': '1c'}, None,
                     {'reason': 'MMIO', 'mmio.phys_addr': '0x10008', 'data': '78563412'},
                     {'reason': 'IO', 'io.port': '0x61', 'data': 'aabb'},
                     {'reason': 'X86_RDMSR', 'msr.index': '0x9999', 'msr.data': '0x77', 'msr.error': 0},
                     {'reason': 'X86_WRMSR', 'msr.index': '0x9999', 'msr.error': 0},
                     {'reason': 'HYPERCALL', 'hypercall.ret': '0x5'}], 'each answer, once, where it is given')
    need(runs[1]['error'] == 'EINTR' and 'data' not in runs[0]['exit'], 'questions have no data')
    need(any('KVM_RUN 0x0 answer {IO io.port=0x60 data=1c} = -4 EINTR ' in line for line in text), 'answers in words')


def check_sizes(lines, text):
    call = {c['like']: c for c in map(json.loads, lines) if 'like' in c}
    supported = call['KVM_GET_SUPPORTED_CPUID']
    need(supported['call'] == '0xc00cae05' and supported['size'] == 12 and supported['right_size'] == 8, 'another size')
    need(call['KVM_SET_USER_MEMORY_REGION']['direction'] == '_IO', 'another direction')
    need(call['KVM_ENABLE_CAP']['right_size'] == 104, 'of two with this number the one in the same direction')
    need(any('KVM_GET_SUPPORTED_CPUID, size 12, not 8 0x' in line for line in text) and
         any('KVM_SET_USER_MEMORY_REGION, _IO, not _IOW 0x' in line for line in text), 'the same in words')
    need(any(' 0x0000aefe 0x0 = -22 EINVAL' in line for line in text), 'a number that is like none')


def check_structures(lines, text):
    call = {c['call']: c for c in map(json.loads, lines)}
    status = call['KVM_IRQ_LINE_STATUS']
    need(status['data'] == {'irq': 4, 'level': 1} and status['answer'] == {'status': 1}, 'a line and what became of it')
    need(call['KVM_TRANSLATE']['answer']['physical_address'] == '0x1234', 'a translation')
    need(call['KVM_SET_SIGNAL_MASK']['data']['sigset'] == '0x' + '11' * 8, 'a signal mask')
    need('pin23' in call['KVM_GET_IRQCHIP']['data'], 'an IOAPIC')
    need(call['KVM_GET_LAPIC']['data']['svr'] == '0xff', 'a local APIC')
    room = call['KVM_GET_MSR_INDEX_LIST']['answer']
    need(room['nmsrs'] > 10 and 'indices' not in room, 'how much room a list needs')
    need(call['KVM_ENABLE_CAP']['data']['capability'] == 'KVM_CAP_X86_USER_SPACE_MSR', 'a capability by its name')
    need(call['KVM_SET_CPUID2']['data']['nent'] > 10 and '0x7.0' in call['KVM_SET_CPUID2']['data'], 'CPUID')
    need(any('KVM_IRQ_LINE_STATUS {irq=4 level=1} -> {status=1} = 0' in line for line in text), 'both in words')
    need(any('KVM_GET_SUPPORTED_CPUID {nent=100} -> {nent=' in line for line in text), 'CPUID in words')


def check_reasons(lines, text):
    why = {c['call']: c['why'] for c in map(json.loads, lines) if 'why' in c}
    need(why['KVM_SET_USER_MEMORY_REGION'] == 'slot 4 overlaps slot 0, which is at 0x0', 'why a slot is refused')
    need(why['KVM_SET_XCRS'].startswith('xcr0 bit 5: AVX-512 is not offered'), 'why XCR0 is')
    need(why['KVM_SET_SREGS'].startswith('cs.l: '), 'which of the special registers is wrong')
    need(why['KVM_SET_MSRS'].startswith('entries[1], MSR 0xc0000080: '), 'which of several MSRs')
    need(len(why) == 4, 'nothing else is refused')
    need(any('= -17 EEXIST (slot 4 overlaps slot 0, which is at 0x0)' in line for line in text) and
         any('= 1 (entries[1], MSR 0xc0000080: ' in line for line in text), 'reasons in words')


def check_complete():
    with open(TABLE, encoding='utf-8') as f:
        served = re.findall(r'^(?:SYS|VM|VCPU|DEVICE)\((KVM_\w+), ARG_(?:IN|OUT|INOUT|PTR),', f.read(), re.M)
    with open(DECODER, encoding='utf-8') as f:
        shown = set(re.findall(r'\bKVM_\w+', f.read()))
    need(len(served) > 50 and set(served) <= shown, f'every argument is decoded, {sorted(set(served) - shown)} are not')


def kernel_works():
    try:
        return os.access('/dev/kvm', os.R_OK | os.W_OK) and bool(os.open('/dev/kvm', os.O_RDWR))
    except OSError:
        return False


def main():
    check_json(trace('close-order', '--json'))
    check_errors(trace('request-errors', '--json'))
    check_text(trace('close-order'))
    check_answers(trace('asked', '--json'), trace('asked'))
    check_sizes(trace('other-sizes', '--json'), trace('other-sizes'))
    check_structures(trace('structures', '--json'), trace('structures'))
    check_reasons(trace('refused', '--json'), trace('refused'))
    check_complete()
    need(len(trace('forked')) > 20, 'children are traced, too')
    r = subprocess.run([UV, 'trace', '--', CLIENT, 'close-order'], capture_output=True, text=True, timeout=120, check=True)
    check_text(r.stderr.splitlines())
    if kernel_works():
        # The client insists on our engine, so it ends after one request: which the kernel has answered.
        with tempfile.TemporaryDirectory() as d:
            out = os.path.join(d, 'trace')
            subprocess.run([UV, 'trace', '--kernel', '-o', out, CLIENT, 'close-order'], check=False, timeout=120,
                           capture_output=True)
            with open(out, encoding='utf-8') as f:
                need('open /dev/kvm = ' in f.read(), 'the kernel\'s own')
    print('ok')


main()
