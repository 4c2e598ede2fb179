#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The lines of `uservisor trace`, readable and JSON. usage: trace.py UV CLIENT BUILD"""
import json
import os
import re
import subprocess
import sys
import tempfile

UV, CLIENT = sys.argv[1], sys.argv[2]


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


def kernel_works():
    try:
        return os.access('/dev/kvm', os.R_OK | os.W_OK) and bool(os.open('/dev/kvm', os.O_RDWR))
    except OSError:
        return False


def main():
    check_json(trace('close-order', '--json'))
    check_errors(trace('request-errors', '--json'))
    check_text(trace('close-order'))
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
