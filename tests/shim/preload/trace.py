#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The lines of `uservisor trace`, readable and JSON. usage: trace.py UV CLIENT BUILD SRC"""
import json
import os
import re
import subprocess
import sys
import tempfile

UV, CLIENT, _, SRC = sys.argv[1:]


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
    need(('0x0000aef3', 'ENOTTY') in errors, 'a request that nobody knows')


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
    need(any(' 0x0000aef3 0x0 = -22 EINVAL' in line for line in text), 'a number that is like none')


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
    need(why['KVM_SET_XCRS'].startswith('xcr0 bit 9: PKU is not offered'), 'why XCR0 is')
    need(why['KVM_SET_SREGS'].startswith('cs.l: '), 'which of the special registers is wrong')
    need(why['KVM_SET_MSRS'].startswith('entries[1], MSR 0xc0000080: '), 'which of several MSRs')
    need(len(why) == 4, 'nothing else is refused')
    need(any('= -17 EEXIST (slot 4 overlaps slot 0, which is at 0x0)' in line for line in text) and
         any('= 1 (entries[1], MSR 0xc0000080: ' in line for line in text), 'reasons in words')


def check_mshv_requests(lines, text):
    calls = [json.loads(line) for line in lines]
    call = {c['call']: c for c in reversed(calls)}
    hvcall = {c['data']['code']: c for c in calls if c['call'] == 'MSHV_ROOT_HVCALL'}
    need(calls[0]['path'] == '/dev/mshv' and {c['kind'] for c in calls[1:]} == {'mshv', 'partition', 'vp'}, 'kinds of /dev/mshv')
    made = call['MSHV_CREATE_PARTITION']['data']
    need(made['pt_flags'] == '0xf' and made['pt_cpu_fbanks[1]'] == '0x40', 'the second version of a structure')
    need(call['MSHV_SET_GUEST_MEMORY']['data']['size'] == '0x10000', 'memory')
    need(call['MSHV_SET_MSI_ROUTING']['data']['gsi5'] == 'msi 0x0:0xfee01000 0x32', 'routes')
    need(call['MSHV_GET_VP_STATE']['data']['type'] == 'LAPIC', 'which state')
    need(hvcall['HVCALL_GET_PARTITION_PROPERTY_EX']['data']['property'] == 'HV_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES' and
         hvcall['HVCALL_GET_PARTITION_PROPERTY_EX']['answer']['count'] == 1, 'properties by name')
    wrong = hvcall['HVCALL_GET_PARTITION_PROPERTY']
    need(wrong['answer'] == {'status': 'UNKNOWN_PROPERTY'} and wrong['error'] == 'EIO', 'a status by name')
    need(hvcall['0x4e'].get('answer') is None and hvcall['0x4e']['error'] == 'EINVAL', 'no status where no hypercall was made')
    need(hvcall['HVCALL_TRANSLATE_VIRTUAL_ADDRESS']['answer']['gpa_page'] == '0x2', 'a translation')
    need(hvcall['HVCALL_GET_VP_CPUID_VALUES']['data']['leaves'] == '0x0.0 0x7.1' and
         len(hvcall['HVCALL_GET_VP_CPUID_VALUES']['answer']['0x7.1'].split()) == 4, 'CPUID, asked and answered')
    need(hvcall['HVCALL_REGISTER_INTERCEPT_RESULT']['data']['set_ebx'] == '0x5/0xff', 'a union')
    need(hvcall['HVCALL_POST_MESSAGE_DIRECT']['data']['message_type'] == '0x77', 'a message to the guest')
    need([c['like'] for c in calls if 'like' in c] == ['MSHV_SET_GUEST_MEMORY'], 'another size, and nothing of KVM')
    need(any('MSHV_ROOT_HVCALL {HVCALL_GET_PARTITION_PROPERTY property=0x12345} -> {UNKNOWN_PROPERTY} = -5 EIO' in line
             for line in text), 'a hypercall in words')


def check_mshv_registers(lines):
    calls = [json.loads(line) for line in lines]
    sets = [c['data'] for c in calls if c.get('data', {}).get('code') == 'HVCALL_SET_VP_REGISTERS'][0]
    need(sets['RIP'] == '0x1234' and sets['CS.selector'] == '0x8' and sets['GDTR.limit'] == '0x27' and
         sets['XMM3'] == '0x2:0x0000000000000001', 'registers by name')
    asked = [c for c in calls if c.get('data', {}).get('code') == 'HVCALL_GET_VP_REGISTERS']
    names = ' '.join(c['data']['names'] for c in asked).split()
    wrong = [n for n in names if not re.fullmatch('[A-Z][A-Z0-9_]*', n)]
    need(len(names) > 250 and len(names) == len(set(names)) and not wrong, f'each register has one name, {wrong} have none')
    rip = [c['answer'] for c in asked if c['data']['names'] == 'RIP'][0]
    need(rip == {'status': 'SUCCESS', 'reps': 1, 'RIP': '0x1234'}, 'what was asked for')


def check_mshv_messages(lines, text):
    runs = [json.loads(line)['exit'] for line in lines if '"MSHV_RUN_VP"' in line]
    need([r['type'] for r in runs] == ['X64_IO_PORT_INTERCEPT', 'UNMAPPED_GPA', 'X64_CPUID_INTERCEPT'], 'messages by name')
    need(runs[0]['port'] == '0x3f8' and runs[0]['access'] == 'WRITE' and runs[0]['rax'] == '0x41' and
         runs[0]['instruction'] == 'ee', 'a port')
    need(runs[1]['gpa'] == '0x20004' and runs[1]['access'] == 'READ' and runs[1]['length'] == 3, 'memory that is not there')
    need(runs[2]['rax'] == '0x100' and runs[2]['default_rax'] == '0x0', 'CPUID that was asked for')
    need(any(re.search(r'vp \d+ MSHV_RUN_VP 0x[0-9a-f]+ = 0 \{UNMAPPED_GPA READ gpa=0x20004 ', line) for line in text),
         'a message in words')


def check_mshv_vtl(lines):
    calls = [json.loads(line) for line in lines]
    call = {c['call']: c for c in reversed(calls) if 'call' in c}
    need({c['kind'] for c in calls if 'kind' in c} == {'mshv', 'vtl', 'hvcall', 'sint'}, 'kinds of the VTL side')
    need(call['MSHV_CHECK_EXTENSION']['data']['capability'] == 'MSHV_CAP_REGISTER_PAGE', 'an extension by name')
    need(call['MSHV_SET_POLL_FILE']['data'] == {'cpu': 0, 'fd': 4294967295} and
         call['MSHV_SINT_PAUSE_MESSAGE_STREAM']['data'] == {'mask': '0x1'}, 'one number, by the kind of descriptor')
    need(call['MSHV_SET_VP_REGISTERS']['data']['RIP'] == '0x1234' and 'RIP' in call['MSHV_GET_VP_REGISTERS']['answer'], 'registers of VTL0')
    made = [c for c in calls if c.get('call') == 'MSHV_HVCALL']
    need(made[0]['data']['code'] == 'HVCALL_GET_VP_REGISTERS' and made[0]['data']['names'] == 'RIP' and
         made[0]['answer']['status'] == 'SUCCESS' and made[0]['answer']['reps'] == 1 and 'RIP' in made[0]['answer'], 'a raw hypercall by name')
    need(made[1]['answer'] == {'status': 'INVALID_CODE'}, 'its status by name')


def words_of(path, pattern):
    with open(os.path.join(SRC, path), encoding='utf-8') as f:
        return re.findall(pattern, f.read(), re.M)


def check_complete():
    for interface, prefix in (('kvm', 'KVM'), ('mshv', 'MSHV')):
        served = words_of(f'abi/{interface}/ioctls.def', rf'^[A-Z]+\(({prefix}_\w+), ARG_(?:IN|OUT|INOUT|PTR),')
        shown = set(words_of(f'shim/decode/{interface}.c', rf'\b{prefix}_\w+'))
        need(len(served) > 10 and set(served) <= shown, f'every argument of {interface} is decoded, {sorted(set(served) - shown)} are not')
    for what, table, decoder, pattern in (
            ('hypercall', 'abi/mshv/hvcalls.def', 'mshv_hvcall.c', r'\bHVCALL_\w+'),
            ('message', 'x86/hyperv_root.h', 'mshv_message.c', r'\bHVMSG_(\w+)'),
            ('status', 'x86/hyperv.h', 'mshv_names.c', r'\bHVS_(\w+)')):
        served, shown = set(words_of(table, pattern)), set(words_of(f'shim/decode/{decoder}', r'\w+'))
        need(len(served) > 10 and served <= shown, f'every {what} has a name, {sorted(served - shown)} have none')


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
    check_mshv_requests(trace('mshv-requests', '--json'), trace('mshv-requests'))
    check_mshv_registers(trace('mshv-registers', '--json'))
    check_mshv_messages(trace('mshv-messages', '--json'), trace('mshv-messages'))
    check_mshv_vtl(trace('mshv-vtl', '--json'))
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
