# SPDX-License-Identifier: MIT
"""What the tools that write docs/*-api.md share: the sources, and which tests name which item."""
import collections
import glob
import os
import re
import sys

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..'))


def read(path):
    with open(os.path.join(TOP, path), encoding='utf-8') as f:
        return f.read()


def mentions(tests, words):
    """Word that the pattern finds -> ['file: function', ...], in the order of the files."""
    found = collections.defaultdict(list)
    for pattern in tests:
        for path in sorted(glob.glob(os.path.join(TOP, pattern))):
            where = os.path.basename(path)
            function = None
            for line in read(path).splitlines():
                head = re.match(r'(?:static )?[a-z][\w ]*?[ *](\w+)\(', line)
                if head and not line.rstrip().endswith(';'):
                    function = head.group(1)
                for word in re.findall(words, line):
                    test = f'{where}: {function}' if function else where
                    if test not in found[word]:
                        found[word].append(test)
    return found


def tests_cell(found, word, most=3):
    # Tests proper before the functions that prepare them.
    names = sorted(found.get(word, []), key=lambda n: ': test_' not in n)
    more = f' and {len(names) - most} more' if len(names) > most else ''
    return ', '.join(f'`{n}`' for n in names[:most]) + more if names else '**none**'


def main(doc, page, text, tool):
    """Write the page, or with --check say whether it is what would be written. The exit status."""
    path = os.path.join(TOP, page)
    if sys.argv[1:] == ['--check']:
        if not os.path.exists(path) or read(page) != text:
            print(f'{page} is out of date: run {tool} and commit it')
            return 1
        return 0
    if sys.argv[1:]:
        print(doc.strip())
        return 2
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    return 0
