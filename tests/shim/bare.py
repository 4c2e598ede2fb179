#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What runs with a program's own fs calls nothing and uses no thread-local storage. usage: bare.py ARCHIVE"""
import re
import shutil
import subprocess
import sys

# Ours, by name: other parts of src/shim/inject that keep to the same rule, and labels.
OURS = re.compile(r'^(_GLOBAL_OFFSET_TABLE_|bpf_run|sys_raw|inject_(finished|site|site_\w+))$')


def main():
    if not shutil.which('nm') or not shutil.which('objdump'):
        print('skipped: nm and objdump are not installed (Debian: binutils)')
        return 77
    undefined = subprocess.run(['nm', '-u', sys.argv[1]], capture_output=True, text=True, check=True).stdout
    names = {line.split()[-1] for line in undefined.splitlines() if line.startswith(' ')}
    wrong = sorted(n for n in names if not OURS.match(n))
    code = subprocess.run(['objdump', '-d', sys.argv[1]], capture_output=True, text=True, check=True).stdout
    wrong += [line for line in code.splitlines() if re.search(r'%fs:|%[xyz]mm|%st\b', line)]
    print('\n'.join(wrong))
    return 1 if wrong or 'inject_forward' not in code else 0


sys.exit(main())
