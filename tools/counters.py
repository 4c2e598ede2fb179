# SPDX-License-Identifier: MIT
"""The statistics that KVM offers (KVM_GET_STATS_FD), read through QEMU's monitor: every counter that exists, by name.

A histogram counts as the number of its events. What is not a number that grows has no difference; its last value is
kept under "NAME =".
"""
import statistics


def kinds(monitor, target):
    """{name: kind} of what a KVM offers; nothing under an emulator."""
    return {s['name']: s['type'] for schema in monitor.do('query-stats-schemas') if schema['target'] == target
            for s in schema['stats']}


def number(value):
    return sum(value) if isinstance(value, list) else int(value)


def read(monitor):
    """{name: value}, of the machine and of the sum of its processors."""
    found = {}
    for target in ('vcpu', 'vm'):
        kind = kinds(monitor, target)
        for source in monitor.do('query-stats', target=target) if kind else []:
            for stat in source['stats']:
                name = stat['name'] if kind[stat['name']] not in ('instant', 'peak') else f'{stat["name"]} ='
                found[name] = found.get(name, 0) + number(stat['value'])
    return found


def difference(before, after):
    return {name: value if name.endswith('=') else value - before.get(name, 0) for name, value in after.items()}


def median(runs):
    return {name: statistics.median(r[name] for r in runs if name in r) for name in {n: 0 for r in runs for n in r}}


def short(value):
    """At most five characters and a letter."""
    for unit in ('', 'k', 'M', 'G'):
        if value < 1000 or unit == 'G':
            break
        value /= 1000
    return f'{value:.0f}{unit}' if not unit or value >= 100 else f'{value:.1f}{unit}'


def show(title, columns):
    """A table: a row for each counter that is not zero everywhere; columns is {name: {counter: value}}."""
    if not any(columns.values()):
        return
    names = sorted({n for values in columns.values() for n in values})
    rows = [n for n in names if any(values.get(n) for values in columns.values())]
    print(f'\n{title}')
    print(' ' * 26 + ''.join(c[:8].rjust(9) for c in columns))
    for name in rows:
        print(f'  {name}'.ljust(26) + ''.join(short(values.get(name, 0)).rjust(9) for values in columns.values()))
    zero = [n for n in names if n not in rows]
    if zero:
        print(f'  zero everywhere: {", ".join(zero)}', flush=True)
