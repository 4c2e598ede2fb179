# SPDX-License-Identifier: MIT
"""What a tool costs that is connected by introspection and asks for nothing: user-mode programs in one guest, with and without it.

The guest is booted once; between two passes over all programs the tool comes or goes. So the ratio does not depend on what differs
from boot to boot. A program's number is its best: what else the host does only adds to it. At most LIMIT is asked.
"""
import math
import os
import socket
import statistics
import struct
import tempfile

import machines

LIMIT = 1.01
SECONDS = 120  # of a pass
SCRIPT = 'echo @@ready; while read -r line; do eval "$line"; echo "@@done"; done'
GET_VERSION = 2  # of dialect V6


class Tool:
    """It greets, says which dialect it speaks, and waits."""

    def __init__(self, path):
        self.path, self.session = path, None

    def come(self):
        with socket.socket(socket.AF_UNIX) as listener:
            listener.settimeout(SECONDS)
            listener.bind(self.path)
            listener.listen()
            self.session, _ = listener.accept()
        self.session.settimeout(SECONDS)
        self.session.recv(96, socket.MSG_WAITALL)
        self.session.sendall(struct.pack('<I20s', 24, bytes(20)) + struct.pack('<HHI', GET_VERSION, 0, 1))
        number, size, _ = struct.unpack('<HHI', self.session.recv(8, socket.MSG_WAITALL))
        if number != GET_VERSION or len(self.session.recv(size, socket.MSG_WAITALL)) != size:
            raise OSError('the machine does not answer')
        os.unlink(self.path)

    def go(self):
        self.session.close()


def one_pass(guest, command):
    """{program: nanoseconds}"""
    guest.type(command + '\n')
    found = {}
    for line in guest.expect('@@done', SECONDS).splitlines():
        words = line.split()
        if len(words) == 4 and words[0] == '=' and words[2] != 'failed':
            found[words[1]] = float(words[2])
    return found


def passes(guest, tool, command, rounds):
    """{program: ([without], [with])}; who comes first alternates."""
    found = {}
    for r in range(rounds):
        for connected in ((False, True), (True, False))[r % 2]:
            if connected:
                tool.come()
            for name, ns in one_pass(guest, command).items():
                found.setdefault(name, ([], []))[connected].append(ns)
            if connected:
                tool.go()
    return found


def measure(program, job, rounds):
    """{program: (ns without, ns with)}"""
    with tempfile.TemporaryDirectory() as tmp:
        script, path = os.path.join(tmp, 'script'), os.path.join(tmp, 'tool')
        with open(script, 'w', encoding='utf-8') as f:
            f.write(SCRIPT)
        initrd = machines.make_initrd(os.path.join(tmp, 'initrd'), program + ':/bin/ubench', script + ':/script')
        argv = machines.command('soft', 'quiet mitigations=off', initrd) + ['--introspect', 'unix:' + path]
        with machines.Guest(argv, True) as guest:
            guest.expect('@@ready', 60)
            found = passes(guest, Tool(path), ' '.join(['ubench', *job.argv(list(job.counts))]), rounds)
    return {name: tuple(map(min, pair)) for name, pair in found.items() if all(pair)}


def bench(program, job, rounds, say):
    try:
        found = measure(program, job, rounds)
    except (machines.Timeout, OSError) as e:
        say(f'a connected tool: {e}')
        return None
    ratios = {name: b / a for name, (a, b) in found.items()}
    mean = math.exp(statistics.fmean(map(math.log, ratios.values())))
    worst = max(ratios, key=ratios.get)
    say(f'user mode with a connected tool: {mean:.4f} of the time without (limit {LIMIT})'
        + ('   OVER THE LIMIT' if mean > LIMIT else '') + f'; worst {worst} {ratios[worst]:.3f}')
    return {'mean': mean, 'ratios': ratios, 'ns': found}
