#!/bin/sh
# SPDX-License-Identifier: MIT
# A test that cannot run says why.
echo "skipped: $*"
exit 77
