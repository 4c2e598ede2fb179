# SPDX-License-Identifier: MIT
"""The kernel's selftests as built programs, those of KVM and those of x86: where they are, and how they get there.

They are built in a folder of their own, which takes its name only when every program is there: what was begun and
not finished is begun anew. The kernel's makefiles take orders from the environment (lib.mk builds into the root
folder under another make, for want of OUTPUT), so they see next to nothing of ours, and may write where they belong
only (tools/confined).
"""
import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile

HERE = os.path.dirname(os.path.realpath(__file__))
TOP = os.path.realpath(os.path.join(HERE, '..', '..'))
PACKAGE = 'linux-source-6.12'
PARTS = ['Makefile', 'Kbuild', 'arch/x86/*', 'include/*', 'scripts/*', 'tools/*', 'usr/*']
KEPT = ['PATH', 'HOME', 'USER', 'LOGNAME', 'TMPDIR', 'CCACHE_DIR']


class NoSource(Exception):
    """There is nothing to build: no network, no apt, no space."""


class BuildFailed(Exception):
    """The kernel's makefiles failed, or left programs out; the text says which and where the log is."""


def cache():
    """As tools/guest has it; and programs must be allowed to run there."""
    base = os.environ.get('XDG_CACHE_HOME') or os.path.join(os.environ.get('HOME') or '/tmp', '.cache')
    folder = os.path.join(base, 'uservisor')
    try:
        os.makedirs(folder, exist_ok=True)
        if os.access(folder, os.W_OK) and not os.statvfs(folder).f_flag & os.ST_NOEXEC:
            return folder
    except OSError:
        pass
    return os.path.join(TOP, 'build', 'cache')


SUITE = os.path.join(cache(), 'selftests')
X86 = os.path.join(cache(), 'selftests-x86')
LOG = os.path.join(cache(), 'selftests.log')


def kvm_folder(suite):
    return os.path.join(suite, PACKAGE, 'tools', 'testing', 'selftests', 'kvm')


def program(name, suite=SUITE):
    """The path of a built test, or None."""
    for path in (os.path.join(kvm_folder(suite), 'x86_64', name), os.path.join(kvm_folder(suite), name)):
        if os.access(path, os.X_OK) and os.path.isfile(path):
            return path
    return None


def missing(names, suite=SUITE):
    return [name for name in names if not program(name, suite)]


def environment():
    """For the kernel's make: nothing of a make that runs us, no OUTPUT, O, ARCH, LLVM, CFLAGS of the caller."""
    return {**{name: os.environ[name] for name in KEPT if name in os.environ}, 'LC_ALL': 'C'}


def download(work, log):
    def apt(*argv):
        return subprocess.run(['apt-get', '-qq', '-o', 'APT::Sandbox::User=root', '-o', 'Acquire::Retries=3', *argv],
                              cwd=work, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode == 0

    # The system's package lists may be empty or old: then with our own, which tools/guest uses as well.
    lists = os.path.join(cache(), 'apt')
    for folder in ('lists/partial', 'cache/archives/partial'):
        os.makedirs(os.path.join(lists, folder), exist_ok=True)
    own_cache = ['-o', f'Dir::Cache={lists}/cache']
    own = own_cache + ['-o', f'Dir::State::Lists={lists}/lists']
    if not apt(*own_cache, 'download', PACKAGE) and not (apt(*own, 'update') and apt(*own, 'download', PACKAGE)):
        raise NoSource(f'apt-get cannot download {PACKAGE}')
    deb = next(name for name in os.listdir(work) if name.endswith('.deb'))
    subprocess.run(['dpkg-deb', '-x', deb, '.'], cwd=work, stdout=log, stderr=log, check=True)


def source(work, log):
    """The packed source: installed already, or downloaded; its path."""
    installed = f'/usr/src/{PACKAGE}.tar.xz'
    if os.path.exists(installed):
        return installed
    print(f'== downloading {PACKAGE}', flush=True)
    try:
        download(work, log)
    except (OSError, StopIteration, subprocess.CalledProcessError) as e:
        raise NoSource(f'{PACKAGE} cannot be downloaded: {e}') from e
    return os.path.join(work, 'usr', 'src', f'{PACKAGE}.tar.xz')


def unpack(packed, suite, log):
    argv = ['tar', '-C', suite, '-xf', packed, '--wildcards'] + [f'{PACKAGE}/{part}' for part in PARTS]
    if subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode:
        raise NoSource(f'{packed} cannot be unpacked; see {LOG}')


def make(writable, log, *words):
    argv = ['make', f'-j{os.cpu_count() or 2}', *words]
    print('$ ' + ' '.join(argv), file=log, flush=True)
    confined = [os.path.join(TOP, 'tools', 'confined'), '--also', writable, '--']
    if subprocess.run(confined + argv, env=environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                      check=False).returncode:
        raise BuildFailed(f'the kernel\'s own build failed: {" ".join(argv)}; see {LOG}')


def compile_in(suite, names, log):
    make(suite, log, '-C', os.path.join(suite, PACKAGE), 'headers')
    make(suite, log, '-C', kvm_folder(suite))
    absent = missing(names, suite)
    if absent:
        raise BuildFailed(f'the kernel\'s own build left out {len(absent)} of {len(names)} programs, '
                          f'{", ".join(absent[:3])}{"..." if len(absent) > 3 else ""}; see {LOG}')


def tree(new, log, packed=None):
    """Linux with its headers made: what the suite of KVM was built from, or unpacked in the folder `new`."""
    built = os.path.join(SUITE, PACKAGE)
    if packed is None and os.path.isdir(os.path.join(built, 'usr', 'include', 'linux')):
        return built
    unpack(packed or source(new, log), new, log)
    make(new, log, '-C', os.path.join(new, PACKAGE), 'headers')
    return os.path.join(new, PACKAGE)


def can_build_32():
    """Has this system's compiler what 32-bit programs need?"""
    with tempfile.TemporaryDirectory() as work:
        return subprocess.run(['gcc', '-m32', '-static', '-xc', '-o', os.path.join(work, 'program'), '-'], check=False,
                              input=b'int main(void) { return 0; }', stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL).returncode == 0


def missing_x86(names):
    return [name for name in names if not os.access(os.path.join(X86, name), os.X_OK)]


@contextlib.contextmanager
def renewed(folder, is_whole):
    """An empty folder to build in and a log, unless this one is whole; it takes the name when what is done in it is done."""
    with open(folder + '.lock', 'w', encoding='utf-8') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another check on this machine may be at it
        if is_whole():
            yield None, None, None
            return
        new = folder + '.new'
        for old in (folder, new):
            shutil.rmtree(old, ignore_errors=True)
        os.makedirs(new)
        with tempfile.TemporaryDirectory(dir=new) as work, open(LOG, 'w', encoding='utf-8') as log:
            yield new, work, log
        os.rename(new, folder)


def build_x86(names, packed=None):
    """Have all these programs of tools/testing/selftests/x86, static, in the folder X86."""
    with renewed(X86, lambda: not missing_x86(names)) as (new, work, log):
        if not new:
            return
        print(f'== building the x86 selftests of {PACKAGE} in {X86}', flush=True)
        linux = tree(work, log, packed)
        make(new, log, '-C', os.path.join(linux, 'tools', 'testing', 'selftests', 'x86'), f'OUTPUT={new}',
             'CC=gcc -static -s')
    absent = missing_x86(names)
    if absent:
        raise BuildFailed(f'the kernel\'s own build left out {", ".join(absent)}; see {LOG}')


def build(names, packed=None):
    """Have all these programs. packed: this source and not Debian's."""
    if not missing(names):
        return
    with renewed(SUITE, lambda: not missing(names)) as (new, work, log):
        if not new:
            return
        packed = packed or source(work, log)
        print(f'== building the selftests of {PACKAGE} in {SUITE}', flush=True)
        unpack(packed, new, log)
        compile_in(new, names, log)
