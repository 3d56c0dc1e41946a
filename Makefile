# Updraft is built with Go alone: make build. The other targets need a few
# Debian packages, which scripts/bootstrap installs, saying what it does.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
# The day before which no device's clock can be right (cmd/internal/device).
BUILT ?= $(shell git log -1 --format=%cI 2>/dev/null)
LDFLAGS := -s -w -X main.version=$(VERSION) -X github.com/updraft-ota/updraft/cmd/internal/device.built=$(BUILT)

# One package's tests may take this long. UPDRAFT_TEST_FLAGS adds flags, such
# as "-run TestUpload -v"; UPDRAFT_TEST_PACKAGES narrows the packages.
TEST_TIMEOUT ?= 15m
SOAK_TIMEOUT ?= 60m
UPDRAFT_TEST_PACKAGES ?= ./...
UPDRAFT_TEST_FLAGS ?=

.PHONY: help
help: ## show this help
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' Makefile

.PHONY: build
build: ## build bin/updraft and bin/updraft-agent; needs only Go
	CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/ ./cmd/updraft ./cmd/updraft-agent

.PHONY: run
run: ## build, then show a real package travel to real agents
	scripts/bootstrap run
	$(MAKE) --no-print-directory build
	bin/updraft demo

.PHONY: test
test: ## run every test with the race detector and the real parts
	scripts/bootstrap test
	CGO_ENABLED=1 go test -race -timeout $(TEST_TIMEOUT) $(UPDRAFT_TEST_FLAGS) $(UPDRAFT_TEST_PACKAGES)

.PHONY: check
check: ## gofmt, vet, staticcheck, generated code, tidy modules, the arrows
	scripts/check

.PHONY: bench
bench: ## measure, beside what the numbers are compared with
	scripts/bootstrap test
	scripts/bench

.PHONY: soak
soak: ## the tests that need size or patience (2 GiB files; up to an hour)
	scripts/bootstrap test
	go test -tags soak -run Soak -timeout $(SOAK_TIMEOUT) -v ./...

.PHONY: deb
deb: ## build Debian packages of both programs into build/deb
	scripts/bootstrap deb
	scripts/deb

.PHONY: generate
generate: ## make the generated code anew
	scripts/bootstrap generate
	scripts/generate
