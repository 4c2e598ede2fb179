#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A tool at the socket of `uservisor exec --introspect`: it greets, reads memory, pauses and resumes, in both dialects.

usage: exec.py USERVISOR VMM
"""
import hashlib
import os
import socket
import struct
import subprocess
import sys
import tempfile

COOKIE = b'a secret'
COUNTER = 0x2000


class Tool:
    """V5: 1, 13, 27, event 23, reply 24. V6: 2, 17, 7, event 1, reply 0."""

    def __init__(self, connection, v6):
        self.s, self.v6, self.seq, self.events = connection, v6, 0, []
        self.version, self.read_id, self.pause_id, self.event, self.reply = (2, 17, 7, 1, 0) if v6 else (1, 13, 27, 23, 24)

    def exactly(self, n):
        data = b''
        while len(data) < n:
            piece = self.s.recv(n - len(data))
            assert piece, 'the connection is closed'
            data += piece
        return data

    def message(self):
        number, size, seq = struct.unpack('<HHI', self.exactly(8))
        return number, seq, self.exactly(size)

    def send(self, number, payload, seq=None):
        if seq is None:
            self.seq += 1
            seq = self.seq
        self.s.sendall(struct.pack('<HHI', number, len(payload), seq) + payload)

    def command(self, number, payload=b''):
        self.send(number, payload)
        got, seq, data = self.message()
        while got == self.event:
            self.events.append((seq, data))
            got, seq, data = self.message()
        assert (got, seq) == (number, self.seq), (got, seq)
        assert struct.unpack('<iI', data[:8]) == (0, 0), data[:8]
        return data[8:]

    def counter(self):
        return struct.unpack('<I', self.command(self.read_id, struct.pack('<QQ', COUNTER, 4)))[0]

    def pause(self):
        self.command(self.pause_id, struct.pack('<HHIB7x', 0, 0, 0, 1) if self.v6 else b'')
        if not self.events:
            number, seq, data = self.message()
            assert number == self.event, number
            self.events.append((seq, data))
        seq, data = self.events.pop()
        assert data[4 if self.v6 else 0] == 10, data[:16]
        return seq

    def resume(self, seq):
        self.send(self.reply, struct.pack('<HHIBBHI', 0, 0, 0, 0, 10, 0, 0) if self.v6 else struct.pack('<II', 0, 10), seq)


def greet(listener, answer):
    s, _ = listener.accept()
    s.settimeout(60)
    greeting = b''
    while len(greeting) < 96:
        greeting += s.recv(96 - len(greeting))
    size, _, _, _, name = struct.unpack('<I16sIq64s', greeting)
    assert size == 96 and name.rstrip(b'\0') == b'counter', greeting
    s.sendall(struct.pack('<I20s', 24, answer))
    return s


def session(tool):
    data = tool.command(tool.version)
    assert struct.unpack('<I', data[:4])[0] == 1
    was = tool.counter()
    while tool.counter() == was:
        pass
    seq = tool.pause()
    stands = tool.counter()
    assert tool.counter() == stands
    tool.resume(seq)
    while tool.counter() == stands:
        pass


def main():
    uservisor, vmm = sys.argv[1:]
    good = hashlib.sha1(COOKIE).digest()
    with tempfile.TemporaryDirectory() as folder:
        path, cookie = os.path.join(folder, 'tool'), os.path.join(folder, 'cookie')
        with open(cookie, 'wb') as f:
            f.write(COOKIE)
        listener = socket.socket(socket.AF_UNIX)
        listener.settimeout(60)
        listener.bind(path)
        listener.listen()
        with subprocess.Popen([uservisor, 'exec', '--introspect', f'unix:{path},cookie={cookie},name=counter', '--', vmm],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as program:
            with greet(listener, bytes(20)) as s:  # who does not know the cookie
                assert s.recv(1) == b''
            for v6 in (False, True, False):
                with greet(listener, good) as s:
                    session(Tool(s, v6))
            with greet(listener, good) as s:  # the program ends while the tool is there
                session(Tool(s, True))
                out, _ = program.communicate(b'', timeout=60)
                assert out == b'the end\n' and program.returncode == 0, (out, program.returncode)
                try:
                    assert s.recv(1) == b''
                except ConnectionResetError:
                    pass
    wrong = subprocess.run([uservisor, 'exec', '--introspect', 'nowhere', '--', vmm], capture_output=True, check=False)
    assert wrong.returncode == 2 and b'unix:PATH' in wrong.stderr, wrong
    print('ok')


main()
