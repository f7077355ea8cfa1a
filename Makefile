# The commands of the README. `make help` lists them.
CARGO ?= cargo
ARGS ?=
PREFIX ?= /usr/local
DESTDIR ?=
PROFILE_DIR := $(or $(CARGO_TARGET_DIR),target)

.PHONY: help build demo test soak unit fuzz e2e bench bench-vrrp lint install uninstall clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## both programs, optimized
	$(CARGO) build --release --locked -p tandemd -p tandem

demo: ## two nodes, three web servers and a client, with the dashboard; ARGS=--headless prints instead
	scripts/install-test-tools.sh demo
	$(CARGO) build --release --locked -p tandemd -p tandem -p tandem-tests --bins
	$(PROFILE_DIR)/release/tandem-demo $(ARGS)

test: ## everything: unit tests, then end-to-end tests beside haproxy and keepalived
	scripts/install-test-tools.sh all
	scripts/test.sh

soak: ## ten minutes of mixed load, 1,000 reloads and 200 killed processes under load, optimized
	scripts/install-test-tools.sh all
	scripts/soak.sh

unit: ## tests that need nothing but the toolchain
	$(CARGO) test --locked --workspace --exclude tandem-tests

fuzz: ## every fuzz target for a minute; ARGS="600 request" for longer, and some alone
	scripts/fuzz.sh $(ARGS)

bench: ## tandemd beside haproxy and nginx, alternating on one core
	scripts/install-test-tools.sh bench
	scripts/bench.sh $(ARGS)

bench-vrrp: ## tandemd beside keepalived: takeovers, 255 instances, jitter; ARGS=--help for more
	scripts/install-test-tools.sh all
	scripts/bench-vrrp.sh $(ARGS)

lint: ## format, clippy, dependencies
	$(CARGO) fmt --all --check
	$(CARGO) clippy --locked --workspace --all-targets -- -D warnings
	$(CARGO) clippy --locked --workspace --all-targets --features tandemd/dbus -- -D warnings
	$(CARGO) deny --offline check bans licenses sources

install: build ## programs, unit and manuals below PREFIX (and DESTDIR)
	packaging/install.sh "$(DESTDIR)" "$(PREFIX)" "$(PROFILE_DIR)/release"

uninstall: ## what install put there, configuration excepted
	packaging/install.sh --remove "$(DESTDIR)" "$(PREFIX)"

clean: ## what cargo built
	$(CARGO) clean
