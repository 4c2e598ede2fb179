#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""covered.py IOCTLS.DEF TEST.C...: every request in the table is named by at least one test."""
import re
import sys

table = re.findall(r'^(?:SYS|VM|VCPU|DEVICE)\((KVM_\w+),', open(sys.argv[1]).read(), re.M)
tests = set(re.findall(r'\bKVM_\w+', ''.join(open(name).read() for name in sys.argv[2:])))
missing = sorted(set(table) - tests)
for name in missing:
    print(f'{name} has no test')
print(f'{len(set(table)) - len(missing)} of {len(set(table))} requests are tested')
sys.exit(len(table) < 50 or bool(missing))
