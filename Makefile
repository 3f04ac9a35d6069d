# hubship: `make` lists what can be made.
SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
MAKEFLAGS += --no-print-directory

BIN := $(CURDIR)/bin
GO = $(eval GO := $$(shell scripts/go.sh))$(GO)
VERSION := $(shell git describe --always --dirty --tags 2>/dev/null || echo dev)
STEP := scripts/step.sh
export GOTOOLCHAIN := auto
export CGO_ENABLED := 0

# What tests take. E2E=0 leaves the end-to-end scenarios out, by name.
E2E ?= 1
E2E_TIMEOUT ?= 45m

# Of the installation that `make up` and `make down` work with.
UPFLAGS ?=

-include node/node.mk

.PHONY: help
help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: up
up: deps build ## bring up Kubernetes, staging and prod on this machine; can be run again at any time
	@$(BIN)/hubship up $(UPFLAGS)

.PHONY: down
down: ## stop it; data stays (to remove it too: bin/hubship down --purge)
	@$(BIN)/hubship down

.PHONY: deps
deps: ## install the Debian packages that are missing
	@$(STEP) "packages" scripts/deps.sh git:git ca-certificates:/etc/ssl/certs/ca-certificates.crt
	@$(MAKE) node-deps

.PHONY: test-deps
test-deps:
	@$(STEP) "packages for tests" scripts/deps.sh gcc:gcc libc6-dev:/usr/include/stdlib.h python3-venv nodejs:node npm:npm chromium:/usr/bin/chromium

.PHONY: build
build: hubship forge node ## build everything into bin/

.PHONY: hubship
hubship: ## build bin/hubship alone
	@mkdir -p $(BIN)
	@$(STEP) "build hubship" scripts/build.sh $(GO) $(BIN)/hubship ./cmd/hubship -ldflags "-s -w -X github.com/hubship/hubship/internal/cli.Version=$(VERSION)"

.PHONY: forge
forge: ## build bin/hubship-forge, the embedded forge
	@mkdir -p $(BIN)
	@$(STEP) "build hubship-forge" sh -c 'cd devforge && ../scripts/build.sh $(GO) $(BIN)/hubship-forge ./cmd/hubship-forge -ldflags "-s -w -X main.version=$(VERSION)"'

.PHONY: test
test: deps test-deps build lint test-unit test-node test-e2e ## run every test there is

.PHONY: test-unit
test-unit: hubship forge node ## unit and integration tests on a node of their own, with the race detector where it is cheap
	@$(STEP) "compile the tests" scripts/tests.sh $(GO) -run '^$$' >/dev/null
	@$(STEP) "unit and integration tests" scripts/withnode.sh $(BIN) scripts/tests.sh $(GO) -timeout 20m

.PHONY: race
race: export RACE = all
race: test-unit ## the same, with the race detector everywhere

.PHONY: test-node
test-node: build
	@$(STEP) "tests of the embedded node" $(MAKE) node-test

.PHONY: test-e2e
test-e2e: build ## the scenarios on an embedded node of their own
	@$(STEP) "end-to-end scenarios" env HUBSHIP_E2E=$(E2E) HUBSHIP_BIN=$(BIN)/hubship $(GO) test -v -count=1 -timeout $(E2E_TIMEOUT) ./e2e/...

.PHONY: check
check: lint test-short ## before every push: format, vet, linters, unit tests; no root, network or cluster

.PHONY: test-short
test-short:
	@$(STEP) "build gotestsum" $(GO) build -C tools -o $(BIN)/gotestsum gotest.tools/gotestsum
	@$(STEP) "unit tests" env PATH="$$(dirname $(GO)):$$PATH" scripts/unit.sh $(BIN)/gotestsum
	@$(STEP) "unit tests of the forge" sh -c 'cd devforge && PATH="$$(dirname $(GO)):$$PATH" ../scripts/unit.sh $(BIN)/gotestsum'

.PHONY: lint
lint: ## gofmt, go vet, golangci-lint
	@$(STEP) "gofmt" sh -c 'bad=$$($$(dirname $(GO))/gofmt -l $$(git ls-files -co --exclude-standard "*.go")); [ -z "$$bad" ] || { echo "not formatted:"; echo "$$bad"; exit 1; }'
	@$(STEP) "go vet" $(GO) vet ./...
	@$(STEP) "go vet of the forge" $(GO) -C devforge vet ./...
	@$(STEP) "go vet of the node" env GOFLAGS=-trimpath $(GO) -C node vet ./internal/... ./test/... ./cmd/hubship-node ./cmd/nsinit ./cmd/pause ./cmd/hubship-policy ./cmd/registry
	@$(STEP) "build golangci-lint" $(GO) build -C tools/lint -o $(BIN)/golangci-lint github.com/golangci/golangci-lint/v2/cmd/golangci-lint
	@$(STEP) "golangci-lint" env PATH="$$(dirname $(GO)):$$PATH" $(BIN)/golangci-lint run ./...
	@$(STEP) "golangci-lint of the forge" sh -c 'cd devforge && PATH="$$(dirname $(GO)):$$PATH" $(BIN)/golangci-lint run -c ../.golangci.yml ./...'

.PHONY: fmt
fmt: ## format the code
	@$$(dirname $(GO))/gofmt -w $$(git ls-files -co --exclude-standard '*.go')

.PHONY: release-snapshot
release-snapshot: ## build what a release consists of into dist/, and publish nothing
	@$(STEP) "release" env RELEASE_ROOT="$(RELEASE_ROOT)" scripts/release.sh $(GO) $(BIN) $(VERSION)

.PHONY: bench
bench: ## measure what docs/performance.md reports, without the cluster
	@$(STEP) "build helm to compare with" $(GO) build -C tools -o $(BIN)/helm helm.sh/helm/v4/cmd/helm
	@HUBSHIP_BENCH_HELM=$(BIN)/helm $(GO) test -run '^$$' -bench . -benchmem ./internal/...
	@$(GO) -C devforge test -run '^$$' -bench . -benchmem ./...
