# SPDX-License-Identifier: MIT
"""The part "smp" of the bench: what several vCPUs give, by ratios of times of build/bench/smp.

Everything has the same two CPUs of the host, so that four vCPUs are more than there are. Natively the program runs on as many
CPUs as the guest has vCPUs, but no more than two. The environments take turns; a number is the median of ratios over the rounds.
"""
import os
import statistics
import subprocess
import tempfile

import machines

PROGRAM = os.path.join(machines.TOP, 'build', 'bench', 'smp')
HOST_CPUS = 2
SILENCE = 120  # seconds without a line: the guest hangs
# {name: ((program, workers, vCPUs), by (program, workers, vCPUs), what it says)}
ROWS = {
    'two': (('spin', 2, 2), ('spin', 1, 2), 'two processes that count, by one; 2 vCPUs: 1.0 is perfect'),
    'lock': (('lock', 2, 2), ('lock', 2, 1), 'two processes and one mutex: 2 vCPUs by 1'),
    'fork': (('fork', 2, 2), ('fork', 2, 1), 'two processes that make processes: 2 vCPUs by 1; 0.5 is perfect'),
    'spinlock': (('spinlock', 2, 2), ('spinlock', 1, 2), 'one spinlock: two processes on 2 vCPUs by one process'),
    'overcommit': (('spin', 4, 4), ('spin', 4, 2), 'four processes that count: 4 vCPUs on 2 host CPUs by 2 vCPUs'),
    'spinning': (('spinlock', 4, 4), ('spinlock', 2, 2), 'one spinlock, a process for each vCPU: 4 vCPUs on 2 host CPUs by 2'),
}


def jobs(cpus):
    """What is to run with so many vCPUs: [(program, workers)]."""
    return sorted({job[:2] for a, b, _ in ROWS.values() for job in (a, b) if job[2] == cpus})


def arguments(cpus):
    return [str(word) for job in jobs(cpus) for word in job]


def parse(lines, cpus):
    """{(program, workers, vCPUs): ns}"""
    found = {}
    for words in (line.split() for line in lines):
        if len(words) == 3 and words[0] == '=':
            program, workers = words[1].rsplit('-', 1)
            found[program, int(workers), cpus] = float(words[2])
    return found


def natively(cpus):
    mine = sorted(os.sched_getaffinity(0))[:cpus]
    # pylint: disable-next=subprocess-popen-preexec-fn
    r = subprocess.run([PROGRAM, *arguments(cpus)], stdout=subprocess.PIPE, text=True, check=True,
                       preexec_fn=lambda: os.sched_setaffinity(0, mine))
    return parse(r.stdout.splitlines(), cpus)


def in_guest(env, cpus, tmp):
    script = os.path.join(tmp, 'script')
    with open(script, 'w', encoding='utf-8') as f:
        f.write(' '.join(['/bin/smp', *arguments(cpus)]) + '\n')
    initrd = machines.make_initrd(os.path.join(tmp, 'initrd'), PROGRAM + ':/bin/smp', script + ':/script')
    with machines.Guest(machines.command(env, 'quiet mitigations=off', initrd, cpus=cpus)) as guest:
        return parse(guest.lines(SILENCE), cpus)


def once(env, tmp):
    """{(program, workers, vCPUs): ns} of all rows."""
    found = {}
    for cpus in sorted({job[2] for a, b, _ in ROWS.values() for job in (a, b)}):
        found.update(natively(cpus) if env == 'native' else in_guest(env, cpus, tmp))
    return found


def ratios(found):
    return {name: found[a] / found[b] for name, (a, b, _) in ROWS.items() if a in found and b in found}


def times_native(found, native):
    return {name: found[a] / native[a] for name, (a, _, _) in ROWS.items() if a in found and a in native}


def measure(envs, rounds, say):
    """{environment: [{job: ns} of each round]}"""
    runs = {e: [] for e in envs}
    with tempfile.TemporaryDirectory() as tmp:
        for r in range(rounds):
            for e in envs:
                try:
                    runs[e].append(once(e, tmp))
                except (machines.Timeout, subprocess.CalledProcessError) as error:
                    say(f'smp: {e}, round {r + 1}: {error}')
    return runs


def medians(per_round):
    return {name: statistics.median(r[name] for r in per_round if name in r) for name in ROWS
            if any(name in r for r in per_round)}


def print_table(title, table, say):
    say('')
    say(title.ljust(40) + ''.join(e.rjust(8) for e in table))
    for name, (_, _, words) in ROWS.items():
        say(f'  {name}'.ljust(40) + ''.join((f'{t[name]:.2f}' if name in t else '-').rjust(8) for t in table.values())
            + f'   {words}')


def bench(envs, rounds, say):
    """Everything, printed; returns what goes into the JSON file."""
    if not os.access(PROGRAM, os.X_OK):
        say('without smp: it is not built')
        return None
    before = os.sched_getaffinity(0)
    if len(before) < HOST_CPUS:
        say(f'without smp: it needs {HOST_CPUS} CPUs')
        return None
    os.sched_setaffinity(0, sorted(before)[:HOST_CPUS])
    try:
        runs = measure(envs, rounds, say)
    finally:
        os.sched_setaffinity(0, before)
    table = {e: medians(list(map(ratios, rs))) for e, rs in runs.items()}
    print_table('several vCPUs, ratios', table, say)
    native = runs.get('native', [])
    beside = {e: medians([times_native(r, n) for r, n in zip(rs, native)]) for e, rs in runs.items() if e != 'native'}
    if native:
        print_table('the first of each two, times native', beside, say)
    return {'ratios': table, 'times native': beside,
            'ns': {e: [{f'{p}-{w} on {c}': ns for (p, w, c), ns in r.items()} for r in rs] for e, rs in runs.items()}}
