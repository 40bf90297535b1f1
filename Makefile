# Everything a developer or a build machine runs. CGO is not needed.
export CGO_ENABLED := 0
GO            ?= go
VERSION       ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LINT_VERSION  := v2.15.0
BIN           := $(CURDIR)/bin
CACHE         := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/lockstep
FLIGHTS       := $(CACHE)/vega-datasets-3.2.1/flights-3m.parquet
FEAST         := $(CACHE)/feast-0.66.0
SCHEMATHESIS  := $(CACHE)/schemathesis-4.32.5
LINT          := $(CACHE)/golangci-lint-$(LINT_VERSION)/golangci-lint

.PHONY: help build engine data demo test check lint test-go feast schemathesis kill faults histories race bench fuzz mutations compose fmt clean

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## the binary, bin/lockstep
	@mkdir -p $(BIN)
	$(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o $(BIN)/lockstep ./cmd/lockstep

engine: build ## fetch the embedded ClickHouse engine into the cache folder (npm)
	@$(BIN)/lockstep engine install

data: $(FLIGHTS) ## fetch the demo's data into the cache folder (npm)

$(FLIGHTS):
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js with npm, then run make again" >&2; exit 1; }
	@mkdir -p $(@D) && cd $(@D) && npm pack --silent vega-datasets@3.2.1 >/dev/null \
		&& tar -xzf vega-datasets-3.2.1.tgz package/data/flights-3m.parquet \
		&& mv package/data/flights-3m.parquet . && rm -rf package vega-datasets-3.2.1.tgz

demo: build engine data ## the whole road on 3,000,000 real flights: define, import, stream, train, read, compare
	@LOCKSTEP=$(BIN)/lockstep FLIGHTS=$(FLIGHTS) GO=$(GO) sh examples/flights/demo.sh

test: check feast ## lint and all tests, real engines and Feast's client included
check: lint test-go

$(LINT):
	@mkdir -p $(@D)
	GOBIN=$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(LINT_VERSION)

lint: $(LINT) ## go vet and golangci-lint
	$(GO) vet ./...
	$(LINT) run ./...

test-go: engine data ## the tests alone
	LOCKSTEP_BIN=$(BIN)/lockstep LOCKSTEP_FLIGHTS=$(FLIGHTS) $(GO) test -timeout 28m ./...

feast: build engine $(FEAST)/installed ## Feast's own client against a server (pip fetches it into the cache folder)
	@LOCKSTEP=$(BIN)/lockstep PYTHON=$(FEAST)/bin/python sh examples/feast/check.sh

$(FEAST)/installed: examples/feast/requirements.txt
	@command -v python3 >/dev/null || { echo "python3 is missing: install Python 3.11 or newer with venv, then run make again" >&2; exit 1; }
	@rm -rf $(FEAST) && mkdir -p $(CACHE)
	python3 -m venv $(FEAST) && $(FEAST)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: -r $<
	@touch $@

schemathesis: build engine $(SCHEMATHESIS)/installed ## requests made from /openapi.json, EXAMPLES (default 50) a route; SEED repeats a run
	@LOCKSTEP=$(BIN)/lockstep ST=$(SCHEMATHESIS)/bin/st EXAMPLES=$(EXAMPLES) SEED=$(SEED) sh api/schemathesis/check.sh

$(SCHEMATHESIS)/installed: api/schemathesis/requirements.txt
	@command -v python3 >/dev/null || { echo "python3 is missing: install Python 3.11 or newer with venv, then run make again" >&2; exit 1; }
	@rm -rf $(SCHEMATHESIS) && mkdir -p $(CACHE)
	python3 -m venv $(SCHEMATHESIS) && $(SCHEMATHESIS)/bin/pip install --quiet --disable-pip-version-check --only-binary :all: -r $<
	@touch $@

kill: engine ## kill every process at random moments, ROUNDS times (default 200); SEED and VICTIM repeat a round
	LOCKSTEP_BIN=$(BIN)/lockstep LOCKSTEP_KILL_ROUNDS=$(or $(ROUNDS),200) LOCKSTEP_KILL_SEED=$(SEED) LOCKSTEP_KILL_VICTIM=$(VICTIM) \
		$(GO) test -v -count 1 -timeout 24h -run TestKill ./internal/killtest

faults: engine ## NATS and ClickHouse away or slow, disks full, clocks wrong, files damaged; LONG=1m is how long each lasts
	LOCKSTEP_OUTAGE=$(or $(LONG),1m) $(GO) test -v -count 1 -timeout 1h ./internal/faulttest

histories: engine ## random histories on every execution, N of them (default 10000: some hours)
	LOCKSTEP_HISTORIES=$(or $(N),10000) $(GO) test -v -count 1 -timeout 24h -run '/histories|/.*/histories' ./internal/semtest

race: engine data ## the tests under the race detector (needs a C compiler)
	CGO_ENABLED=1 LOCKSTEP_BIN=$(BIN)/lockstep LOCKSTEP_FLIGHTS=$(FLIGHTS) $(GO) test -race -timeout 40m ./...

bench: engine data ## the benchmarks: a table of the whole road, then the windows of the replica
	LOCKSTEP_FLIGHTS=$(FLIGHTS) $(GO) run ./bench
	$(GO) test -run '^$$' -bench Window ./online

fuzz: ## every fuzz target, one after the other, for TIME (default 30s) each
	@for pkg in $$($(GO) list ./...); do for f in $$($(GO) test -list '^Fuzz' $$pkg | grep ^Fuzz); do \
		echo "$$pkg $$f"; $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(or $(TIME),30s) $$pkg || exit 1; done; done

mutations: engine ## apply each listed change to the law and see the suite fail
	$(GO) run ./internal/mutate testdata/mutations.txt

compose: ## check docker-compose.yml (needs Docker Compose)
	@if command -v docker-compose >/dev/null; then docker-compose config -q; else docker compose config -q; fi

fmt: $(LINT) ## format
	$(LINT) fmt ./...

clean: ## remove what builds made here (the cache folder stays)
	rm -rf $(BIN) data demo
