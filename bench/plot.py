# SPDX-License-Identifier: MIT
"""Pictures of what the bench measured: horizontal bars of times in multiples of native time, as SVG.

The axis is logarithmic, because TCG and our engine may lie a hundredfold apart, and begins at native time. Colours are
such that a page may be light or dark.
"""
import math
import os
import statistics
from dataclasses import dataclass
from xml.sax.saxutils import escape

import real

ENVS = {'soft': ('uservisor', '#2f81f7'), 'tcg': ('QEMU TCG', '#8c959f')}
TEXT, GRID = '#6e7781', '#afb8c1'
WIDTH, LEFT, RIGHT = 760, 190, 60
TOP, BAR, GAP, FOOT = 64, 11, 9, 34
TICKS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


@dataclass
class Chart:
    """Rows are (label, {environment: times native})."""
    title: str
    note: str
    rows: list

    def envs(self):
        return [e for e in ENVS if any(e in values for _, values in self.rows)]

    def limit(self):
        most = max(max(values.values()) for _, values in self.rows)
        return next((t for t in TICKS if t >= most), TICKS[-1])


def text(x, y, words, size=12, anchor='start', weight='normal'):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}">'
            f'{escape(words)}</text>')


def place(value, limit):
    """Where on the axis: native time and less at its beginning."""
    return LEFT + (WIDTH - LEFT - RIGHT) * math.log(max(value, 1)) / math.log(limit)


def times(value):
    return f'{value:.2f}×' if value < 2 else f'{value:.1f}×' if value < 20 else f'{value:.0f}×'


def bar(y, value, limit, colour):
    end = max(place(value, limit), LEFT + 1.5)
    return (f'<rect x="{LEFT}" y="{y:.1f}" width="{end - LEFT:.1f}" height="{BAR}" rx="1.5" fill="{colour}"/>'
            + text(end + 5, y + BAR - 1.5, times(value), 10.5))


def row(y, label, values, envs, limit):
    height = BAR * len(envs)
    out = [text(LEFT - 8, y + height / 2 + 4, label, 12, 'end')]
    for n, e in enumerate(envs):
        if e in values:
            out.append(bar(y + n * BAR, values[e], limit, ENVS[e][1]))
    return out


def axis(bottom, limit):
    out = []
    for t in (t for t in TICKS if t <= limit):
        x = place(t, limit)
        dash = '' if t == 1 else ' stroke-dasharray="2 3"'
        out.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom}" stroke="{GRID}"'
                   f' stroke-opacity="{1 if t == 1 else .35}"{dash}/>')
        out.append(text(x, bottom + 15, 'native' if t == 1 else f'{t}×', 11, 'middle'))
    return out


def legend(envs):
    out, x = [], LEFT
    for e in envs:
        name, colour = ENVS[e]
        out += [f'<rect x="{x}" y="36" width="11" height="11" rx="1.5" fill="{colour}"/>', text(x + 16, 46, name)]
        x += 110
    return out


def svg(chart):
    envs, limit = chart.envs(), chart.limit()
    pitch = BAR * len(envs) + GAP
    bottom = TOP + pitch * len(chart.rows)
    body = [text(LEFT, 20, chart.title, 14, weight='bold')] + legend(envs)
    body += [text(WIDTH - 4, 46, 'logarithmic; a shorter bar is faster', 11, 'end')] + axis(bottom, limit)
    for n, (label, values) in enumerate(chart.rows):
        body += row(TOP + n * pitch, label, values, envs, limit)
    body.append(text(LEFT, bottom + FOOT - 2, chart.note, 10))
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + FOOT + 8}" width="{WIDTH}" role="img"'
            f' aria-label="{escape(chart.title)}" font-family="system-ui, sans-serif" fill="{TEXT}">')
    return '\n'.join([head, *body, '</svg>', ''])


# ---- what there is to show ----

def note_of(data):
    m = data['machine']
    return f"{m['cpu']}, {m['cpus']} CPUs, Linux {m['kernel'].split('-')[0]}; {m['when'][:10]}, commit {m['commit']}"


def mean_row(rows):
    columns = {e: [values[e] for _, values in rows if e in values] for e in ENVS}
    return 'geometric mean', {e: statistics.geometric_mean(v) for e, v in columns.items() if v}


def real_chart(data):
    rows = []
    for part, result in data.get('real', {}).get('results', {}).items():
        values = {e: real.ratio(result, e, 'native', 'second') for e in ENVS}
        rows.append((real.LABELS.get(part, part), {e: v for e, v in values.items() if v}))
    rows = [r for r in rows if r[1]]
    if not rows:
        return None
    return Chart("Debian's programs, second time in a guest", note_of(data), rows + [mean_row(rows)])


def programs_chart(data, labels):
    rows = [(labels.get(key, key).lower(), {e: v for e, v in means.items() if v and e in ENVS})
            for key, means in data.get('means', {}).items()]
    rows = [r for r in rows if r[1]]
    return Chart('Small programs, geometric means by kind', note_of(data), rows) if rows else None


def draw(data, folder, groups):
    """Writes a picture for each kind of result that there is; returns the paths."""
    charts = {'real': real_chart(data), 'programs': programs_chart(data, groups)}
    os.makedirs(folder, exist_ok=True)
    paths = []
    for name, chart in charts.items():
        if chart:
            paths.append(os.path.join(folder, f'{name}.svg'))
            with open(paths[-1], 'w', encoding='utf-8') as f:
                f.write(svg(chart))
    return paths
