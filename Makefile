# ScaiVault: every task a person or CI runs. `make` or `make help` lists them.
SHELL       := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS     := -s -w -X main.version=$(VERSION)
CACHE       ?= $(or $(SCAIVAULT_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/scaivault)
TOOLS       := $(CACHE)/tools
BINARIES    := scaivault scaivault-server scaivault-operator kubectl-scaivault
# Tests share two cores with the servers they start; more packages at once only makes them slower.
TEST_P      ?= 2
FUZZ_TIME   ?= 60s

.DEFAULT_GOAL := help

help: ## list the tasks
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

## the two commands

demo: ## run the main job on a real local control plane and narrate it (first command)
	@hack/demo/up.sh

demo-down: ## end what `make demo` started
	@hack/demo/down.sh

test: setup test-go test-cookbook fuzz ## install what the tests need and run all of them (second command)

## building

build: ## build bin/scaivault, bin/scaivault-server, bin/scaivault-operator, bin/kubectl-scaivault
	@mkdir -p bin
	@for b in $(BINARIES); do \
	  start=$$SECONDS; CGO_ENABLED=0 go build -trimpath -ldflags '$(LDFLAGS)' -o bin/$$b ./cmd/$$b; \
	  echo "built bin/$$b in $$((SECONDS - start)) s"; done
	@ln -sf kubectl-scaivault bin/kubectl_complete-scaivault

## the install in a cluster

undeploy: ## free everything the operator holds, then remove the install; the namespace with root key and data stays
	@hack/undeploy.sh

## testing

setup: ## install packages and build the control plane that the tests and the demo use
	@hack/setup.sh

test-go: ## all Go tests: unit, both database engines, real API server
	@KUBEBUILDER_ASSETS="$$(hack/controlplane/assets.sh)" go test -p $(TEST_P) -timeout 40m ./...

test-cookbook: build ## the cookbook's recipes as the page prints them, against a real server
	@test/cookbook/run.sh

fuzz: ## the differential policy fuzz for FUZZ_TIME (default 60s) and each parser's fuzz target for a moment
	@hack/fuzz.sh $(FUZZ_TIME)

e2e: ## install, use and uninstall on a node that runs pods (root on Linux; says what is missing)
	@cd hack/node/image && go test .
	@go test -tags e2e -count=1 -timeout 40m -v ./test/e2e

bench: build ## measure the rows of docs/benchmarks.md against the floor program in the same run
	@test/bench/run.sh

## verifying

verify: fmt-check vet lint generate-check tidy-check chart-check ## format, vet, lint, generated files, tidy, the chart

fmt-check:
	@out=$$(gofmt -l $$(git ls-files '*.go')); [ -z "$$out" ] || { echo "gofmt these files:"; echo "$$out"; exit 1; }

vet:
	@go vet -tags e2e ./...

lint: $(TOOLS)/golangci-lint-v2.15.0
	@$(TOOLS)/golangci-lint-v2.15.0 run ./...

$(TOOLS)/golangci-lint-v2.15.0: hack/lint/go.mod
	@mkdir -p $(TOOLS); echo "building golangci-lint (once; kept in $(TOOLS))"
	@cd hack/lint && go build -o $@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@touch $@

generate: ## write generated files: deepcopy, CRDs, RBAC, OpenAPI, API reference, the chart's copies
	@hack/generate.sh

generate-check:
	@hack/generate.sh --check

tidy-check:
	@cp go.mod $(CACHE)/go.mod.was; cp go.sum $(CACHE)/go.sum.was; go mod tidy; \
	if ! cmp -s go.mod $(CACHE)/go.mod.was || ! cmp -s go.sum $(CACHE)/go.sum.was; then \
	  cp $(CACHE)/go.mod.was go.mod; cp $(CACHE)/go.sum.was go.sum; echo "go.mod or go.sum is not tidy: run go mod tidy"; exit 1; fi

# Not cached: Go would not see that charts and config changed, which are outside that module.
chart-check: ## the Helm chart renders to what config/default is
	@cd hack/charttest && KUBEBUILDER_ASSETS="$$(../controlplane/assets.sh)" go test -count=1 ./...

clean: ## remove what builds leave in the tree
	@rm -rf bin .demo

.PHONY: help demo demo-down test build undeploy setup test-go test-cookbook fuzz e2e bench verify fmt-check vet lint generate generate-check tidy-check chart-check clean
