# SPDX-License-Identifier: MIT
"""A QEMU guest with a monitor, as the parts "real" and "moves" of the bench measure it."""
import os
import time

import machines
from qmp import Monitor


class Guest(machines.Guest):
    """.monitor is its QMP; ours: /dev/kvm is that of our engine."""

    def __init__(self, tmp, argv, ours):
        path = os.path.join(tmp, f'qmp{time.monotonic_ns()}')
        argv = [*argv, '-nodefaults', '-display', 'none', '-serial', 'stdio', '-qmp', f'unix:{path},server=on,wait=off']
        if ours:
            argv = [machines.USERVISOR, 'exec', '--'] + argv
        super().__init__(argv, terminal=True)
        try:
            self.monitor = Monitor(path, lambda: self.process.poll() is None)
        except Exception:
            self.close()
            raise
