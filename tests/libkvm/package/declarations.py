# SPDX-License-Identifier: MIT
"""The functions that a header of ours declares, without those it defines."""
import re


def functions(text):
    text = re.sub(r'/\*.*?\*/', ' ', text, flags=re.S)
    text = re.sub(r'^\s*#(?:[^\n]*\\\n)*[^\n]*', '', text, flags=re.M)
    text = re.sub(r'extern\s+"C"\s*{', ' ', text)
    text = re.sub(r'\bstatic\s+inline\b[^{;]*', '@', text)  # and its body goes with the blocks
    while re.search(r'{[^{}]*}', text):
        text = re.sub(r'@?{[^{}]*}', ' ', text)
    names = []
    for statement in text.split(';'):
        found = re.search(r'\b(\w+)\s*\(', statement)
        if found and not re.search(r'\btypedef\b', statement):
            names.append(found[1])
    return names
