#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The Linux kernel's own x86 selftests, 64- and 32-bit, in guests of `uservisor boot`.

usage: tests/selftests/x86.py [--machine soft|tcg|native] [--cpus N] [--update] [NAME...]

Programs of tools/testing/selftests/x86, built static by their own makefile (suite.py), run one after the other in
Debian's cloud kernel; a guest that one of them hangs is ended, and another one runs those that are left. What each
shows is compared with the list expected-x86. The list only gets better: a test that fails and is listed otherwise is
a failure, and so is one that passes and is listed otherwise, until --update has written it down. "PASS or SKIP" and
the like depend on the machine or the kernel. Where there is no 32-bit compiler those that need it skip.

--machine tcg    in a guest of QEMU's emulator; native: on this machine's kernel. Compared with nothing: the oracles.
--update         write results that are better into the list

Output of all: build/check/selftests-x86.log. Time limits are stretched by SLOW=4.
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
import suite  # noqa: E402  pylint: disable=wrong-import-position
sys.path.insert(0, os.path.join(suite.TOP, 'tools'))
import machines  # noqa: E402  pylint: disable=wrong-import-position

EXPECTED = os.path.join(suite.HERE, 'expected-x86')
LOG = os.path.join(suite.TOP, 'build', 'check', 'selftests-x86.log')
SLOW = float(os.environ.get('SLOW', '1'))
LIMIT, BESIDE = 20 * SLOW, 10 * SLOW  # seconds for a test, and for what is around it
SKIP = 77
RANK = ['TIMEOUT', 'FAIL', 'SKIP', 'PASS']

# These are built with 32-bit code even where they are 64-bit programs.
NEEDS_32 = re.compile(r'.*_32|ldt_gdt_64|ptrace_syscall_64')
SCRIPT = '''
for name in {names}; do
    echo "@@test $name"
    timeout -s KILL {limit} /x86/$name </dev/null 2>&1
    echo "@@status $?"
done
'''


def read_expected():
    """name -> the rest of its line: results, and after a colon the reason."""
    with open(EXPECTED, encoding='utf-8') as f:
        lines = [line.split(None, 1) for line in f if line.strip() and not line.startswith('#')]
    return {name: text.strip() for name, text in lines}


def write_expected(expected):
    with open(EXPECTED, encoding='utf-8') as f:
        head = [line for line in f if line.startswith('#')]
    with open(EXPECTED, 'w', encoding='utf-8') as f:
        f.writelines(head)
        f.writelines(f'{name:26} {text}\n' for name, text in sorted(expected.items()))


# ---- results ----

def last_failure(output):
    lines = [line.strip() for line in output if line.strip()]
    told = [line for line in lines if re.search(r'\[FAIL|not ok|\[SKIP', line)]
    return re.sub(r'\s+', ' ', (told or lines or ['no output'])[0])


def result(status, output):
    if status == 0:
        return 'PASS'
    if status == 4 or any('[SKIP]' in line and 'ould not enable' in line for line in output):
        return 'SKIP: ' + last_failure(output)
    if status == 137:
        return 'TIMEOUT'
    return f'FAIL: status {status}, ' + last_failure(output)


def natively(names, log):
    results = {}
    for name in names:
        r = subprocess.run(['timeout', '-s', 'KILL', str(LIMIT), os.path.join(suite.X86, name)], check=False, text=True,
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, errors='replace')
        log.write(f'@@test {name}\n{r.stdout}\n@@status {r.returncode}\n')
        results[name] = result(r.returncode, r.stdout.splitlines())
    return results


def one_guest(names, args, work, log):
    """Results of these tests up to one that hung the guest, that one included."""
    script = os.path.join(work, 'script')
    with open(script, 'w', encoding='utf-8') as f:
        f.write(SCRIPT.format(names=' '.join(names), limit=int(LIMIT)))
    files = [f'{os.path.join(suite.X86, name)}:/x86/{name}' for name in names]
    initrd = machines.make_initrd(os.path.join(work, 'initrd'), script + ':/script', *files)
    results, name, output, began = {}, None, [], time.monotonic() + 60 * SLOW
    with machines.Guest(machines.command(args.machine, 'quiet', initrd, cpus=args.cpus)) as guest:
        try:
            for line in guest.lines(LIMIT + BESIDE):
                if line.startswith('@@test '):
                    name, output, began = line.split()[1], [], time.monotonic()
                    continue
                # A guest that hangs may still complain of it now and then.
                if time.monotonic() - began > LIMIT + BESIDE:
                    raise machines.Timeout
                elif line.startswith('@@status '):
                    results[name], name = result(int(line.split()[1]), output), None
                elif line.startswith('@@end'):
                    break
                output.append(line)
            else:
                if name:
                    results[name] = 'FAIL: the guest ended in it'
        except machines.Timeout:
            if name:
                results[name] = 'TIMEOUT: hangs the guest'
        log.write(guest.text)
    return results


def in_guests(names, args, log):
    results = {}
    while left := [name for name in names if name not in results]:
        with tempfile.TemporaryDirectory() as work:
            more = one_guest(left, args, work, log)
        if not more:
            raise suite.BuildFailed(f'the guest did not get to its first test; see {LOG}')
        results.update(more)
    return results


# ---- comparison ----

def judge(listed, now):
    """What is wrong with this result, or None; and whether it is better than the list."""
    allowed, kind = listed.split(':')[0].split(' or '), now.split(':')[0]
    if kind in allowed:
        return None, False
    if RANK.index(kind) > RANK.index(allowed[0]):
        return f'better than listed, {allowed[0]}: run with --update and commit expected-x86', True
    return f'WORSE: expected {listed}', False


def compare(expected, results, update):
    wrong = 0
    for name, now in sorted(results.items()):
        what, better = judge(expected[name], now)
        if better and update:
            expected[name], what = now, None
        if what or not now.startswith('PASS'):
            print(f'{name:26} {now}' + (f'  -- {what}' if what else ''))
        wrong += what is not None
    return wrong


def have_programs(names):
    """The names that can be run here."""
    able = suite.can_build_32() or not suite.missing_x86(names)
    if not able:
        kept = [name for name in names if not NEEDS_32.fullmatch(name)]
        print(f'{len(names) - len(kept)} skipped: gcc -m32 makes no static program (package gcc-multilib)')
        names = kept
    suite.build_x86(names)
    return names


def run(args):
    expected = read_expected()
    unknown = set(args.names) - set(expected)
    if unknown:
        raise suite.BuildFailed(f'no such test: {", ".join(sorted(unknown))}; see {EXPECTED}')
    have = have_programs(sorted(expected))
    names = [name for name in have if name in (args.names or have)]
    os.makedirs(os.path.dirname(LOG), exist_ok=True)
    with open(LOG, 'w', encoding='utf-8') as log:
        results = natively(names, log) if args.machine == 'native' else in_guests(names, args, log)
    if args.machine != 'soft':
        print('\n'.join(f'{name:26} {now}' for name, now in results.items()))
        return 0
    wrong = compare(expected, results, args.update)
    if args.update:
        write_expected(expected)
    kinds = [now.split(':')[0] for now in results.values()]
    print(f'{kinds.count("PASS")} passed, {len(kinds) - kinds.count("PASS") - kinds.count("SKIP")} failed, '
          f'{kinds.count("SKIP")} skipped; {wrong} not as listed')
    return 1 if wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--machine', choices=('soft', 'tcg', 'native'), default='soft')
    parser.add_argument('--cpus', type=int, default=2)
    parser.add_argument('--update', action='store_true')
    parser.add_argument('names', nargs='*', metavar='NAME')
    args = parser.parse_args()
    why = None if args.machine == 'native' else machines.have(args.machine)
    if why is None and args.machine != 'native' and not os.path.exists(machines.KERNEL):
        why = 'no guest: run tools/guest'
    try:
        if why:
            raise suite.NoSource(why)
        return run(args)
    except suite.NoSource as e:
        print(f'skipped: {e}')
        return SKIP
    except suite.BuildFailed as e:
        print(f'selftests-x86: {e}')
        return 1


if __name__ == '__main__':
    sys.exit(main())
