# SPDX-License-Identifier: MIT
"""A check of tools/ is run on small trees: what it must refuse, and what it must let pass."""
import os
import subprocess
import sys
import tempfile

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'tools')


def run(tool, files):
    """Exit status and output of the tool on a tree of these files: path to text."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            path = os.path.join(root, path)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, 'w', encoding='utf-8') as f:
                f.write(text + '\n')
        r = subprocess.run([os.path.join(TOOLS, tool), root], capture_output=True, text=True, check=False)
    return r.returncode, r.stdout + r.stderr


def main(run_case, cases):
    """run_case(*case) gives None, or what is wrong."""
    failures = [f for f in (run_case(*c) for c in cases) if f]
    print('\n'.join(failures))
    print(f'{len(cases) - len(failures)} of {len(cases)} cases pass')
    sys.exit(1 if failures else 0)
