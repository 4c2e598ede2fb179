#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""tests/selftests/run builds the kernel's programs where they belong, whoever runs it, and says so when it cannot.

usage: selftests_test.py BUILD

The source here is a little one that does as the kernel's lib.mk does: it builds into $(OUTPUT), which without one is
the current folder, but under another make the root folder.
"""
import os
import subprocess
import sys
import tarfile
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
SELFTESTS = os.path.join(HERE, '..', 'selftests')
sys.dont_write_bytecode = True
sys.path.insert(0, SELFTESTS)
import x86  # noqa: E402  pylint: disable=wrong-import-position

RUN = os.path.join(SELFTESTS, 'run')
FOLDER = 'linux-source-6.12'
KVM = f'{FOLDER}/tools/testing/selftests/kvm'
# What a caller's make, and a caller's shell, may have in store for a make of others.
RUDE = {'MAKELEVEL': '1', 'MAKEFLAGS': 'n', 'MFLAGS': '-n', 'OUTPUT': '/nowhere', 'O': '/nowhere', 'KBUILD_OUTPUT': '/nowhere',
        'ARCH': 'arm', 'LLVM': '1', 'CFLAGS': '-Wrong'}
MAKEFILE = '''
ifeq (0,$(MAKELEVEL))
ifeq ($(OUTPUT),)
OUTPUT := $(shell pwd)
endif
endif
ifneq ($(ARCH)$(O)$(LLVM)$(KBUILD_OUTPUT)$(CFLAGS),)
$(error told by the environment)
endif
all:
	@mkdir -p $(OUTPUT)/x86_64
'''

with open(os.path.join(SELFTESTS, 'expected'), encoding='utf-8') as f:
    NAMES = [line.split()[0] for line in f if line.strip() and not line.startswith('#')]


def write(root, path, text):
    path = os.path.join(root, path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)


def source(root, names, more=''):
    """A packed source whose programs are these."""
    programs = ''.join(f'\t@cp /bin/true $(OUTPUT)/x86_64/{name}\n' for name in names)
    write(root, f'{FOLDER}/Makefile', 'headers:\n\t@echo headers\n')
    write(root, f'{KVM}/Makefile', MAKEFILE + programs + more)
    for folder in ('arch/x86', 'include', 'scripts', 'usr'):
        write(root, f'{FOLDER}/{folder}/file', '')
    write(root, f'{FOLDER}/Kbuild', '')
    packed = os.path.join(root, 'source.tar')
    with tarfile.open(packed, 'w') as tar:
        tar.add(os.path.join(root, FOLDER), FOLDER)
    return packed


def run(home, packed):
    env = {**os.environ, **RUDE, 'HOME': home, 'XDG_CACHE_HOME': os.path.join(home, 'cache')}
    r = subprocess.run([RUN, '--build', '--source', packed], env=env, capture_output=True, text=True, check=False)
    return r.returncode, r.stdout + r.stderr


def built(home, name):
    return os.path.exists(os.path.join(home, 'cache', 'uservisor', 'selftests', KVM, 'x86_64', name))


def check_failed_build(root, home):
    status, said = run(home, source(root, NAMES[:3], '\t@echo "kvm.c:1: error: so it is"; false\n'))
    assert status == 1 and 'the kernel\'s own build failed' in said and 'error: so it is' in said, (status, said)
    status, said = run(home, source(root, NAMES[:-2]))
    assert status == 1 and f'left out 2 of {len(NAMES)} programs' in said and NAMES[-1] in said, (status, said)
    assert not built(home, NAMES[0]), 'a failed build was kept'


def check_no_source(root, home):
    write(root, 'not.tar', 'no archive')
    status, said = run(home, os.path.join(root, 'not.tar'))
    assert status == 77 and 'cannot be unpacked' in said.splitlines()[-1], (status, said)


def check_build(root, home):
    packed = source(root, NAMES)
    status, said = run(home, packed)
    assert status == 0 and built(home, NAMES[-1]), (status, said)
    assert sorted(os.listdir(home)) == ['cache'], os.listdir(home)
    status, said = run(home, '/no/source')
    assert (status, said) == (0, ''), 'what is there is built again'
    os.unlink(os.path.join(home, 'cache', 'uservisor', 'selftests', KVM, 'x86_64', NAMES[5]))
    status, said = run(home, packed)
    assert status == 0 and built(home, NAMES[5]), 'half a cache was taken for a whole one'


def check_x86():
    """The list of the x86 selftests only gets better."""
    for listed, now, wrong, better in (
            ('PASS', 'PASS', False, False), ('PASS', 'FAIL: status 1', True, False), ('PASS', 'SKIP: why', True, False),
            ('FAIL: known', 'FAIL: status 1', False, False), ('FAIL: known', 'TIMEOUT', True, False),
            ('FAIL: known', 'PASS', True, True), ('PASS or SKIP: why', 'SKIP: why', False, False)):
        what, up = x86.judge(listed, now)
        assert (what is not None, up) == (wrong, better), (listed, now, what, up)
    for name in x86.read_expected():
        assert name.endswith(('_32', '_64')), name


def main():
    check_x86()
    for check in (check_failed_build, check_no_source, check_build):
        # Not every /tmp lets programs run.
        with tempfile.TemporaryDirectory() as root, tempfile.TemporaryDirectory(dir=sys.argv[1]) as home:
            check(root, home)
    print('selftests: built where they belong; failures told')
    return 0


if __name__ == '__main__':
    sys.exit(main())
