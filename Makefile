# SPDX-License-Identifier: MIT
# A thin front for Meson: the everyday commands, each of which sets up what it needs.
# README.md says what they are for; `make help` lists them.

BUILD ?= build
CPUS ?= 2
MEMORY ?= 512M
ENGINE ?= auto
APPEND ?=
SECONDS_EACH ?= 60
PREFIX ?= /usr/local

MESON_OPTIONS ?=

.DEFAULT_GOAL := all
.PHONY: all help setup boot check check-clients bench fuzz format install clean

# Meson keeps what it was told; configure once, later runs only ninja.
$(BUILD)/build.ninja:
	@tools/setup build
	@echo "== configuring $(BUILD)/"
	@meson setup --prefix=$(PREFIX) $(MESON_OPTIONS) $(BUILD) >$(BUILD).log 2>&1 || { cat $(BUILD).log; rm -f $(BUILD).log; exit 1; }
	@mv $(BUILD).log $(BUILD)/setup.log

# A PREFIX that is asked for also reaches a folder that was configured with another one.
all: $(BUILD)/build.ninja
	@$(if $(filter-out file,$(origin PREFIX)),meson configure --prefix=$(PREFIX) $(BUILD))
	@echo "== building $(BUILD)/uservisor"
	@ninja -C $(BUILD)

help:
	@echo "make            build build/uservisor"
	@echo "make boot       build, fetch Debian's cloud kernel, boot it with a shell in this terminal"
	@echo "                CPUS=$(CPUS) MEMORY=$(MEMORY) ENGINE=$(ENGINE) APPEND='more kernel options'"
	@echo "make check      everything that must hold: builds, rules, tests, sanitizers, boots"
	@echo "make check-clients  on our engine: the kernel's own KVM selftests, Debian's QEMU (half an hour)"
	@echo "make bench      programs run natively, on our engine and under QEMU TCG (BENCH=--quick)"
	@echo "                BENCH='--only real': gcc, Python, systemd and others, as Debian has them"
	@echo "make fuzz       every fuzzer for SECONDS_EACH=$(SECONDS_EACH) seconds"
	@echo "make format     clang-format all C files"
	@echo "make install    install under PREFIX=$(PREFIX) (DESTDIR is obeyed)"
	@echo "make setup      install the Debian packages that all of the above need"
	@echo "make clean      remove everything that was built"

setup:
	@tools/setup all

boot:
	@tools/setup boot
	@$(MAKE) --no-print-directory $(BUILD)/build.ninja
	@echo "== building $(BUILD)/uservisor"
	@ninja -C $(BUILD) uservisor
	@tools/guest --quiet
	@echo "== booting $$(cat build/guest/version) with $(CPUS) CPUs and $(MEMORY); 'exit' powers it off, Ctrl-A x quits"
	@$(BUILD)/uservisor boot --engine $(ENGINE) --kernel build/guest/vmlinuz --initrd build/guest/initrd \
		--append "console=ttyS0 quiet $(APPEND)" --memory $(MEMORY) --cpus $(CPUS)

check:
	@tools/setup check
	@tools/check $(CHECK)

# Programs that know nothing of us: built or fetched on demand, minutes the first time.
check-clients:
	@tools/setup check
	@tools/check --only build,selftests,clients

bench:
	@tools/setup bench
	@$(MAKE) --no-print-directory all
	@tools/guest --quiet
	@bench/run $(BENCH)

fuzz:
	@tools/setup build
	@$(MAKE) --no-print-directory all
	@tools/fuzz --seconds $(SECONDS_EACH) $(FUZZ)

format:
	@tools/setup check
	@tools/check-format --fix

# Packagers, who set DESTDIR, and those who are not root have no business in the system's ldconfig cache.
install: all
	meson install -C $(BUILD) --no-rebuild
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then PATH="$$PATH:/sbin:/usr/sbin" ldconfig || :; fi

clean:
	rm -rf build build-*
