# SPDX-License-Identifier: MIT
# Run by busybox's shell in the guest and on the host: both must print the same bytes.
# Only builtins, applets of the same busybox, and nothing that depends on the machine.
set -e
echo "== forked shell loop"
i=0
while [ $i -lt 300 ]; do
	(echo "$((i * i))")
	i=$((i + 1))
done | md5sum
echo "== sha256sum of 256 MiB"
yes "all work and no play" | head -c 268435456 | sha256sum
echo "== awk"
seq 1 30000 | awk '{ s += $1 * 1.5; h = (h * 31 + $1) % 1000003; t[$1 % 97]++ } END { print s, h, t[5], s / 7, h / 3 }'
echo "== sort"
seq 1 30000 | awk '{ print ($1 * 7919) % 30011, $1 }' | sort -n | md5sum
seq 1 30000 | sort -r | md5sum
echo "== gzip"
seq 1 300000 | gzip -c | md5sum
seq 1 300000 | gzip -c | gunzip -c | sha1sum
echo "== dd, od, tr, cut, sed, xargs"
dd if=/dev/zero bs=4k count=1000 2>/dev/null | od -A d | tail -n 2
seq 1 5000 | sed 's/\(.\)$/-\1/' | cut -d- -f2 | sort | uniq -c
seq 1 200 | xargs -n 3 echo | md5sum
echo "== many processes at once"
for n in 1 2 3 4 5 6; do
	seq 1 20000 | md5sum &
done | sort
wait
