#!/bin/sh
# SPDX-License-Identifier: MIT
# The programs of 2008 know nothing that is newer: none of our additions, no direct word with the kernel.
if grep -nE 'uv_|UV_|ioctl *\(|/dev/kvm|[^_]KVM_(RUN|CREATE_|GET_|SET_)' "$@"; then
	echo "kvm82: these names are not of kvm-82's libkvm.h"
	exit 1
fi
