# SPDX-License-Identifier: MIT
"""QEMU's monitor protocol, QMP: commands, commands of the human monitor through it, and statistics."""
import json
import socket
import time


class Failure(Exception):
    """What was expected and did not happen."""


class Monitor:
    """A connection to the socket that QEMU opens at path; alive() says whether it still may. slow stretches limits."""

    def __init__(self, path, alive, slow=1):
        end = time.monotonic() + 30 * slow
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if not alive() or time.monotonic() > end:
                    raise Failure('QEMU did not open its monitor') from None
                time.sleep(0.05)
        self.socket.settimeout(120 * slow)
        self.lines = self.socket.makefile('r')
        self.lines.readline()
        self.do('qmp_capabilities')

    def do(self, command, **arguments):
        message = {'execute': command}
        if arguments:
            message['arguments'] = arguments
        self.socket.sendall(json.dumps(message).encode())
        while True:
            line = self.lines.readline()
            if not line:
                raise Failure(f'{command}: QEMU closed its monitor')
            answer = json.loads(line)
            if 'error' in answer:
                raise Failure(f'{command}: {answer["error"]["desc"]}')
            if 'return' in answer:
                return answer['return']

    def human(self, line):
        return self.do('human-monitor-command', **{'command-line': line})
