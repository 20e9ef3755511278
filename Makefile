# The project's tasks. `make` alone lists them. What a task needs beyond Rust, `tools/setup` installs.

LISTEN ?= 127.0.0.1:8080
DATA   ?= data

SHELL := /bin/bash
CARGO := cargo
# The pinned tools of tools/setup go before others of the same name; it leaves this folder empty where those are right.
export PATH := $(CURDIR)/.tools/venv/bin:$(PATH)

.DEFAULT_GOAL := help
# The steps of `make test` share one target directory and its lock, so they run one after the other, whatever -j says.
.NOTPARALLEL:
.PHONY: help run cluster build test test-long setup lint audit docs wasm build-all budget doctest nextest fmt generate sabotage clean

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build the server and serve on LISTEN (127.0.0.1:8080), keeping its data in DATA (./data)
	@$(CARGO) build --release --locked --package sealwire
	@$(CARGO) run --quiet --release --locked --package sealwire -- serve --listen $(LISTEN) --data-dir $(DATA)

cluster: setup ## a whole cluster to try on LISTEN's port: MongoDB, Redis, three nodes, HAProxy; its data in ./cluster-data
	@$(CARGO) build --release --locked --package sealwire
	@$(CARGO) run --quiet --locked --package sealwire-parts --example cluster -- target/release/sealwire cluster-data $(lastword $(subst :, ,$(LISTEN)))

build: ## build the server and the terminal client for use (target/release)
	$(CARGO) build --release --locked --package sealwire --package sealwire-chat

test: setup lint audit docs wasm build-all budget doctest nextest ## everything that a commit must pass: what .ci/run runs

test-long: setup build-all ## `make test`'s tests at full length, and those that take long: kills, power loss, faults
	SEALWIRE_LONG=1 cargo-nextest nextest run --workspace --locked --profile long --run-ignored all

sabotage: setup ## take one defence of the client, or rule of the broker, out after the other and see its test notice; NAME=replay for one
	tools/sabotage $(NAME)

fmt: ## format the Rust sources
	$(CARGO) fmt --all

generate: ## write the generated regions of docs/ anew
	$(CARGO) run --quiet --locked --package sealwire-protocol --example generate-docs
	UPDATE_GENERATED=1 $(CARGO) test --quiet --locked --package sealwire generated

setup: ## install what the tests need; quiet when all is there
	@tools/setup

lint: ## format and clippy, warnings denied
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --features counted --locked -- --deny warnings

audit: ## licences, sources, banned packages; known vulnerabilities
	cargo-deny --workspace --locked check --hide-inclusion-graph bans licenses sources
	tools/refresh-advisories --check
	cargo-audit audit

docs: ## the Rust documentation, broken links denied
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --workspace --no-deps --locked

# Browsers are to run the client's logic as it is. `make setup` adds the target where rustup can; elsewhere this says that it was left out.
wasm: ## the client's logic compiles for browsers (wasm32)
	@if test -d "$$(rustc --print target-libdir --target wasm32-unknown-unknown)"; then \
	    $(CARGO) check --package sealwire-core --target wasm32-unknown-unknown --locked; \
	else \
	    echo "LEFT OUT: the target wasm32-unknown-unknown is not installed, so nobody knows whether browsers can run sealwire-core"; \
	fi

# All targets in one go: the binaries that the end-to-end tests start, and the tests, with the same features below them,
# so that no dependency is built twice.
build-all:
	$(CARGO) build --workspace --all-targets --locked

# Above the tests, so that a count is known before they have run; it builds our own packages once more, as a release has them.
budget: setup ## what the server's hot paths cost, in instructions, against benches/budget.toml; UPDATE=1 writes that file anew
	$(CARGO) build --workspace --locked --example budget
	target/debug/examples/budget $(if $(UPDATE),--update)

doctest:
	$(CARGO) test --workspace --doc --locked --quiet

# Last, so that its summary is the last thing to read.
nextest:
	cargo-nextest nextest run --workspace --locked --profile ci

clean: ## remove what was built (the data directory and .tools stay)
	$(CARGO) clean
