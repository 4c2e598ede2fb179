#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A library's manual pages say what its header says, are well-formed, and their examples work.

usage: manpages.py names HEADER MAN_DIR PAGE=NAME[,NAME...]...
       manpages.py lint MAN_DIR
       manpages.py examples HEADER MAN_DIR LIBRARY COMPILER...
       manpages.py tools HEADER MAN_DIR LIBRARY MOCK COMPILER...

names: every function of the header is in one page, with the same prototype, and is installed as a link; nothing else
is; the members of struct kvm_callbacks are described; references lead somewhere. The arguments are the links that
man/meson.build makes. lint: mandoc and groff have no warning. examples: the first display of each EXAMPLES section is
a program that compiles without a warning and writes the second to standard output, on the soft engine. tools: the same
for programs that look into a VM, the mock of tests/uvmi.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

SKIP = 77
# By the header: what its names look like, and its pages.
NAMES = {'libkvm.h': r'(?:uv_)?kvm_\w+', 'uvmi.h': r'uvmi_\w+'}
PAGES = {'libkvm.h': r'libkvm|(?:uv_)?kvm_\w+', 'uvmi.h': r'uvmi(?:_\w+)?'}
TROFF = {'\\e': '\\', '\\-': '-', '\\(aq': "'", '\\(ga': '`', '\\(ha': '^', '\\(ti': '~', '\\&': ''}


def read(path):
    with open(path, encoding='utf-8') as f:
        return f.read()


def pages(man_dir, header):
    found = {os.path.basename(p)[:-2]: read(p) for p in sorted(glob.glob(os.path.join(man_dir, '*.3')))}
    return {name: text for name, text in found.items() if re.fullmatch(PAGES[os.path.basename(header)], name)}


def untroff(text):
    return re.sub(r'\\(?:\(..|.)', lambda m: TROFF[m.group(0)], text)


# ---- Prototypes

def split_arguments(text):
    """At commas that are in no parentheses."""
    parts, depth = [''], 0
    for c in text:
        depth += (c == '(') - (c == ')')
        if c == ',' and depth == 0:
            parts.append('')
        else:
            parts[-1] += c
    return parts


def tidy(text):
    text = re.sub(r'\s+', ' ', text).strip()
    return re.sub(r'\* (?=\w)', '*', text)


def tidy_argument(text):
    """The arguments of a function pointer may have names or not."""
    m = re.match(r'(.*\(\*\w+\))\((.*)\)$', tidy(text))
    if not m:
        return tidy(text)
    types = [re.sub(r'(?<=[\s*])\w+$', '', a) if not re.fullmatch(r'unsigned long', tidy(a)) else a
             for a in map(tidy, m.group(2).split(','))]
    return m.group(1) + '(' + ', '.join(map(tidy, types)) + ')'


def prototype(result, name, arguments):
    return f'{tidy(result)} {name}({", ".join(map(tidy_argument, arguments))})'


def without_comments(header):
    header = re.sub(r'/\*.*?\*/', ' ', header, flags=re.S)
    return re.sub(r'^#.*$', '', header, flags=re.M)


def header_prototypes(header, pattern):
    found = re.findall(r'(?:static inline )?([\w ]+?[\s*]+)\b(' + pattern + r')\(((?:[^()]|\([^()]*\))*)\)\s*[;{]',
                       without_comments(header))
    return {name: prototype(result, name, split_arguments(arguments))
            for result, name, arguments in found if not result.strip().startswith(('return', 'typedef'))}


def words(line):
    return re.findall(r'"([^"]*)"|(\S+)', line)


def page_prototypes(text):
    """.Ft and then .Fn, or .Fo, .Fa and .Fc, in SYNOPSIS."""
    result, opened, found = '', None, {}
    for line in section(text, 'SYNOPSIS').splitlines():
        macro, _, rest = line.partition(' ')
        args = [a or b for a, b in words(rest)]
        if macro == '.Ft':
            result = ' '.join(args)
        elif macro == '.Fn':
            found[args[0]] = prototype(result, args[0], args[1:])
        elif macro == '.Fo':
            opened = [args[0]]
        elif macro == '.Fa':
            opened += args
        elif macro == '.Fc':
            found[opened[0]] = prototype(result, opened[0], opened[1:])
    return found


def section(text, name):
    m = re.search(rf'^\.Sh {name}\n(.*?)(?=^\.Sh |\Z)', text, re.M | re.S)
    return m.group(1) if m else ''


def callbacks_of(text):
    m = re.search(r'struct kvm_callbacks \{(.*?)\};', text, re.S)
    return [tidy(member) for member in m.group(1).split(';') if tidy(member)] if m else []


# ---- names

class Faults(list):
    def same(self, what, wanted, found):
        """Both lists; only what is in one of them is told."""
        for w in wanted:
            if w not in found:
                self.append(f'{what}: missing or different: {w}')
        for f in found:
            if f not in wanted:
                self.append(f'{what}: too much, or different: {f}')


def check_prototypes(faults, header, pattern, texts):
    ours, theirs = header_prototypes(header, pattern), {}
    for page, text in texts.items():
        for name, proto in page_prototypes(text).items():
            if name in theirs:
                faults.append(f'{page}(3): {name} has a page already')
            theirs[name] = proto
    faults.same('prototypes', ours.values(), theirs.values())
    return ours


def check_links(faults, texts, links):
    if texts.keys() != links.keys():
        faults.append(f'installed pages: {sorted(texts.keys() ^ links.keys())} are not, or do not exist')
    for page, text in texts.items():
        named = set(re.findall(r'^\.Nm (\w+)', section(text, 'NAME'), re.M))
        faults.same(f'{page}(3): links and names', sorted(links.get(page, set()) | {page}), sorted(named))
        functions = set(page_prototypes(text)) | {page}
        others = named - functions - {'kvm_callbacks'}
        missing = functions - named
        if others or missing:
            faults.append(f'{page}(3): NAME and SYNOPSIS differ: {sorted(others | missing)}')


def check_described(faults, texts):
    for page, text in texts.items():
        described = section(text, 'DESCRIPTION')
        for name in page_prototypes(text):
            if not re.search(rf'\bFn {name}\b', described):
                faults.append(f'{page}(3): {name} is not described')


def check_callbacks(faults, header, text):
    ours = callbacks_of(without_comments(header))
    faults.same('struct kvm_callbacks', ours, callbacks_of(text))
    for member in (re.search(r'\(\*(\w+)\)', m).group(1) for m in ours):
        if not re.search(rf'^\.It Fa .*\b{member}\b', text, re.M):
            faults.append(f'kvm_run(3): the callback {member} is not described')


def check_references(faults, texts, links, pattern):
    known = set(links) | {name for names in links.values() for name in names}
    for page, text in texts.items():
        for name in re.findall(rf'\bXr ({pattern}) 3', text):
            if name not in known and name != 'kvm_open':
                faults.append(f'{page}(3) refers to {name}(3), which does not exist')


def names(header_path, man_dir, *link_args):
    header, texts, faults = read(header_path), pages(man_dir, header_path), Faults()
    kind = os.path.basename(header_path)
    links = {page: set(filter(None, of.split(','))) for page, of in (arg.split('=') for arg in link_args)}
    functions = check_prototypes(faults, header, NAMES[kind], texts)
    check_links(faults, texts, links)
    check_described(faults, texts)
    if kind == 'libkvm.h':
        check_callbacks(faults, header, texts.get('kvm_run', ''))
    check_references(faults, texts, links, PAGES[kind])
    print('\n'.join(faults) or f'{len(functions)} functions in {len(texts)} pages')
    return 1 if faults or not functions else 0


# ---- lint

def lint(man_dir):
    tools = [['mandoc', '-T', 'lint', '-W', 'warning'], ['groff', '-mandoc', '-Tutf8', '-ww', '-z', '-rLL=78n']]
    tools = [tool for tool in tools if shutil.which(tool[0])]
    complaints = ''
    for tool in tools:
        for page in sorted(glob.glob(os.path.join(man_dir, '*.[1-9]'))):
            r = subprocess.run(tool + [page], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
            complaints += r.stdout or ('' if r.returncode == 0 else f'{tool[0]} {page}: {r.returncode}\n')
    print(complaints or ('neither mandoc nor groff is installed' if not tools else 'no warning'))
    return 1 if complaints else 0 if tools else SKIP


# ---- examples

def displays(text):
    return [untroff(d) for d in re.findall(r'^\.Bd -literal[^\n]*\n(.*?)^\.Ed', section(text, 'EXAMPLES'), re.M | re.S)]


def run_program(binary, mock):
    """Output and errors; with a mock, a tool that is run with the address of a VM."""
    env, argv = {**os.environ, 'LIBKVM_ENGINE': 'soft'}, [binary]
    if not mock:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env,
                              text=True, timeout=120, check=False)
    with tempfile.TemporaryDirectory() as folder:  # a path that is short enough for a socket
        path = os.path.join(folder, 'vm.sock')
        with subprocess.Popen([mock, path, 'vcpus=2'], stdout=subprocess.DEVNULL) as vm:
            try:
                return subprocess.run([*argv, path], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      text=True, timeout=120, check=False)
            finally:
                vm.kill()


def run_example(folder, page, program, compiler, include_dir, library, mock):
    """What it writes to standard output, and what is wrong with it otherwise."""
    source, binary = os.path.join(folder, page + '.c'), os.path.join(folder, page)
    with open(source, 'w', encoding='utf-8') as f:
        f.write(program)
    r = subprocess.run([*compiler, '-std=c17', '-Wall', '-Wextra', '-Werror', '-I', include_dir, '-o', binary, source,
                        library, '-Wl,-rpath,' + os.path.dirname(library)],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if r.returncode:
        return None, r.stdout
    try:
        r = run_program(binary, mock)
    except subprocess.TimeoutExpired:
        return None, 'does not end'
    return r.stdout, f'exit status {r.returncode}: {r.stderr}' if r.returncode else ''


def run_examples(header, man_dir, library, mock, compiler):
    faults, texts = [], pages(man_dir, header)
    # Beside the library: where the build may run programs, which not every /tmp allows.
    with tempfile.TemporaryDirectory(dir=os.path.dirname(os.path.realpath(library))) as folder:
        for page, text in texts.items():
            shown = displays(text)
            if len(shown) != 2:
                faults.append(f'{page}(3): {len(shown)} displays in EXAMPLES instead of a program and its output')
                continue
            output, wrong = run_example(folder, page, shown[0], compiler, os.path.dirname(header), os.path.realpath(library), mock)
            if wrong or output != shown[1]:
                faults.append(f'{page}(3): {wrong}\n--- expected\n{shown[1]}--- got\n{output}')
    print('\n'.join(faults) or f'{len(texts)} examples')
    return 1 if faults or not texts else 0


def examples(header, man_dir, library, *compiler):
    return run_examples(header, man_dir, library, None, compiler)


def tools(header, man_dir, library, mock, *compiler):
    return run_examples(header, man_dir, library, os.path.realpath(mock), compiler)


if __name__ == '__main__':
    modes = {'names': names, 'lint': lint, 'examples': examples, 'tools': tools}
    sys.exit(modes[sys.argv[1]](*sys.argv[2:]))
