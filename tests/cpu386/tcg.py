#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The same guests in QEMU's emulator, as a second opinion.

usage: tests/cpu386/tcg.py [NAME...]

The firmware is a jump to the image. Where it and we disagree the manuals decide. QEMU 7.2 has no limits of segments and
does not look at their types (SDM 3:5.3, 3:5.5), takes LOCK before many instructions that do not allow it (2:LOCK), has
no F1 (2:INT1), no CR4.VME, no debug trap of a TSS (3:7.3), no RF in a task's image (3:6.8.3), looks at no reserved bit
of PDPTEs, DR7 and EFER, clears P in the error code of a reserved bit (3:4.7), and does not check stack and instruction
pointer for canonical form (1:3.3.7.1). What would run wild there is left out (LIMITS in macros.inc), yet some guests
do not come to their end.
"""
import glob
import os
import subprocess
import sys
import tempfile

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..'))
BUILD = os.path.join(TOP, 'build', 'tests', 'cpu386')


def run(image, folder):
    firmware, records = os.path.join(folder, 'firmware'), os.path.join(folder, 'records')
    with open(firmware, 'wb') as f:
        f.write(b'\xf4' * 0xfff0 + b'\xea\x00\x70\x00\x00' + b'\xf4' * 11)
    qemu = ['qemu-system-x86_64', '-accel', 'tcg', '-cpu', 'max,vendor=GenuineIntel', '-m', '16', '-nodefaults', '-display', 'none',
            '-bios', firmware, '-device', f'loader,file={image},addr=0x7000,force-raw=on',
            '-chardev', f'file,id=c,path={records}', '-device', 'isa-debugcon,iobase=0xe9,chardev=c',
            '-device', 'isa-debug-exit,iobase=0xf4,iosize=1', '-no-reboot']
    try:
        subprocess.run(qemu, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        print(image, 'hangs')
    subprocess.run([os.path.join(BUILD, 'cpu386'), image, 'read', records], check=False)


def main():
    with tempfile.TemporaryDirectory() as folder:
        for image in sorted(glob.glob(os.path.join(BUILD, '*.bin'))):
            if not sys.argv[1:] or os.path.basename(image)[:-4] in sys.argv[1:]:
                run(image, folder)


if __name__ == '__main__':
    main()
