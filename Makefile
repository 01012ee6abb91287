# Two commands do everything, on a fresh machine too: `make demo` and `make test`. They install what
# is missing (scripts/setup.sh), and a second run is quick.

SHELL := /bin/bash
# Always the same crates, so that all builds agree on their dependencies' features and share them.
RELEASE := cargo build --release --locked --workspace --exclude periapt-web

# The targets share one target directory, and so its lock.
.NOTPARALLEL:
.PHONY: help demo test build model small-model web bench fmt lint setup contract

help:
	@echo "make demo    ask the real model a question, with a wish and without (20 minutes the first time)"
	@echo "make test    all tests, the page in a real browser included (45 minutes the first time)"
	@echo "make build   the command line, target/release/periapt"
	@echo "make model   pull the default model, qwen2.5-coder:0.5b (491 MB)"
	@echo "make small-model  pull the one that tests and benchmarks take, smollm2:135m (98 MB)"
	@echo "make web     the page, into www/dist and into target/release/periapt"
	@echo "make bench   how fast the model runs here, by rows and method, on the GPU and the CPU"
	@echo "make lint    formatting, clippy, documentation, scripts, TypeScript; spelling and licences where those tools are"
	@echo "make fmt     format the Rust code, and the package's TypeScript"
	@echo "make contract  write the page's types and fields anew from core's contract"

setup:
	@scripts/setup.sh native

build: setup
	@printf '\n==> building periapt (about 12 minutes the first time, on two cores)\n'
	$(RELEASE)

model: build
	@printf '\n==> the default model, qwen2.5-coder:0.5b (491 MB, pulled once)\n'
	target/release/periapt models pull

small-model: build
	@printf '\n==> the small model, smollm2:135m (98 MB, pulled once)\n'
	target/release/periapt models pull smollm2:135m

demo: model
	@scripts/demo.sh

web:
	@scripts/web.sh

test: web small-model
	@scripts/setup.sh browser clients
	@scripts/test.sh

bench: small-model
	target/release/periapt bench --context 128
	target/release/periapt bench --context 128 --device cpu

fmt:
	cargo fmt --all
	www/node_modules/.bin/biome format --write

contract: setup
	PERIAPT_UPDATE=1 cargo test --release --locked --test all the_generated_contract_is_fresh

# In the release profile, so that build scripts and macros are built once for all.
lint: setup
	cargo fmt --all --check
	cargo clippy --release --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --release --locked --workspace --no-deps --quiet
	@scripts/lint.sh
