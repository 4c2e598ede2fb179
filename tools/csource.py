# SPDX-License-Identifier: MIT
"""C sources as the checks of this folder read them: as text, by declarations at file scope; and how a check is run."""
import os
import re
import sys

SOURCES = ('.c', '.h', '.S')

# What those above a part see of it; its other headers are private to it. Paths from src/.
DOOR = {
    'engine': ['engine/engine.h', 'engine/irqchip.h', 'engine/exit.h', 'engine/tap.h', 'engine/intercept.h'],
    'introspect': ['introspect/introspect.h', 'introspect/maps.h', 'introspect/kvmregs.h'],
    'abi': ['abi/dev.h'],
    'shim': ['shim/ended.h', 'shim/inject/inject.h', 'shim/nodes.h', 'shim/processor.h', 'shim/session.h', 'shim/target.h', 'shim/tool.h', 'shim/trace.h'],
}

GLOBAL_LABEL = re.compile(r'^\s*\.globa?l\s+([\w, \t]+)', re.M)
COMMENT_OR_LITERAL = re.compile(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.S)
PREPROCESSOR = re.compile(r'^[ \t]*#(?:[^\n]*\\\n)*[^\n]*', re.M)
DECORATION = re.compile(r'\b(?:__attribute__|_Alignas|_Atomic|__typeof__)\s*\(\)')
NOT_LINKED = {'static', 'typedef', '_Static_assert', '__asm__'}


def files(root, tops=('src',), suffixes=SOURCES, without=()):
    """The paths of sources from root, in order."""
    for top in tops:
        for where, dirs, names in os.walk(os.path.join(root, top)):
            dirs[:] = sorted(d for d in dirs if os.path.relpath(os.path.join(where, d), root) not in without)
            for name in sorted(names):
                if name.endswith(suffixes):
                    yield os.path.relpath(os.path.join(where, name), root)


def read(root, path):
    with open(os.path.join(root, path), encoding='utf-8', errors='replace') as f:
        return f.read()


def line_of(text, offset):
    """The number of the line on which what begins at the offset, or in the space after it, stands."""
    offset += len(text[offset:]) - len(text[offset:].lstrip())
    return text.count('\n', 0, offset) + 1


def blank(match):
    return re.sub(r'[^\n]', ' ', match.group(0))  # what follows stays on its line


def bare(text):
    """The text without comments, literals and preprocessor lines; offsets and lines are kept."""
    return PREPROCESSOR.sub(blank, COMMENT_OR_LITERAL.sub(blank, text))


def labels(text):
    """Yields name and offset of each global label of an assembler file."""
    for m in GLOBAL_LABEL.finditer(text):
        for name in re.findall(r'\w+', m.group(1)):
            yield name, m.start()


def collapse(text, pair, replacement):
    """Replaces each outermost pair, with all that is in it."""
    out, depth = [], 0
    for c in text:
        depth += c == pair[0]
        if depth == 0:
            out.append(c)
        elif depth == 1 and c == pair[0]:
            out.append(replacement)
        depth -= c == pair[1]
    return ''.join(out)


def declarations(text):
    """Yields offset, text before the body, and whether it has one, of each declaration at file scope of a bare text."""
    begin, depth = 0, 0
    for i, c in enumerate(text):
        depth += (c == '{') - (c == '}')
        if depth == 0 and c == ';':
            yield begin, text[begin:i], False
            begin = i + 1
        elif depth == 0 and c == '}':
            head = text[begin:text.index('{', begin)]
            if head.rstrip().endswith(')') and '=' not in collapse(head, '()', '()'):
                yield begin, head, True
                begin = i + 1


def linked(head):
    """The declaration with each pair of parentheses empty, or None if the linker does not see what it declares."""
    flat = DECORATION.sub(' ', collapse(head, '()', '()'))
    return None if NOT_LINKED & set(re.findall(r'\w+', flat)) else flat


def function_name(head):
    """The function of a declaration, with body or without; None: it is none, or a macro makes it."""
    flat = linked(head)
    if flat is None or '()' not in flat or '=' in flat or '{' in flat:  # the members of a struct are no functions
        return None
    found = re.findall(r'\w+', flat.split('()')[0])
    return found[-1] if len(found) > 1 else None


def run(doc, check):
    """The main() of a check: check(root) gives a list of what is wrong, and what to say when nothing is."""
    if len(sys.argv) > 2 or sys.argv[1:2] in (['-h'], ['--help']):
        sys.exit(doc)
    root = sys.argv[1] if len(sys.argv) == 2 else os.path.join(os.path.dirname(os.path.abspath(__file__)), '..')
    wrong, said = check(root)
    print('\n'.join(wrong) if wrong else said)
    sys.exit(1 if wrong else 0)
