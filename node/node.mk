# The programs of the embedded node. Included by the Makefile of the checkout;
# stands alone too: make -f node/node.mk node

NODE_DIR := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))
BIN ?= bin
NODE_OUT = $(abspath $(BIN))
GO ?= go

KUBE_VERSION = v1.37.2
KUBE_STAMP = -X k8s.io/component-base/version.gitVersion=$(KUBE_VERSION) \
	-X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37 \
	-X k8s.io/client-go/pkg/version.gitVersion=$(KUBE_VERSION)

# Debian packages that the node needs: to build (runc is C and Go) and to run.
NODE_BUILD_PACKAGES = gcc libc6-dev libseccomp-dev pkg-config
NODE_RUN_PACKAGES = ca-certificates containernetworking-plugins libseccomp2 mmdebstrap mount nftables

NODE_PROGRAMS = hubship-node \
	node.d/nsinit node.d/pause node.d/hubship-policy node.d/runc node.d/etcd node.d/kube \
	node.d/containerd node.d/containerd-shim-runc-v2 node.d/buildkitd \
	node.d/registry node.d/coredns

.PHONY: node node-deps node-test $(addprefix node-program-,$(NODE_PROGRAMS))

## node: build all programs of the embedded node
node: $(addprefix node-program-,$(NODE_PROGRAMS))

# Go decides what is out of date, so every program is always handed to it.
# node-build: name, package, linker flags, further arguments, cgo
define node-build
@mkdir -p $(NODE_OUT)/node.d; start=$$(date +%s); \
(cd $(NODE_DIR) && CGO_ENABLED=$(if $(5),$(5),0) ../scripts/build.sh $(GO) $(NODE_OUT)/$(1) $(2) -trimpath -ldflags '-s -w $(3)' $(4)) && \
echo "$(1): built in $$(( $$(date +%s) - start )) s"
endef


node-program-hubship-node:
	$(call node-build,hubship-node,./cmd/hubship-node,$(KUBE_STAMP))
node-program-node.d/nsinit:
	$(call node-build,node.d/nsinit,./cmd/nsinit)
node-program-node.d/pause:
	$(call node-build,node.d/pause,./cmd/pause)
node-program-node.d/hubship-policy:
	$(call node-build,node.d/hubship-policy,./cmd/hubship-policy)
node-program-node.d/runc:
	$(call node-build,node.d/runc,github.com/opencontainers/runc,-X main.version=1.4.3,-tags seccomp,1)
node-program-node.d/etcd:
	$(call node-build,node.d/etcd,./cmd/etcd)
node-program-node.d/kube:
	$(call node-build,node.d/kube,./cmd/kube,$(KUBE_STAMP))
node-program-node.d/containerd:
	$(call node-build,node.d/containerd,github.com/containerd/containerd/v2/cmd/containerd,-X github.com/containerd/containerd/v2/version.Version=2.4.2)
node-program-node.d/containerd-shim-runc-v2:
	$(call node-build,node.d/containerd-shim-runc-v2,github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2,-X github.com/containerd/containerd/v2/version.Version=2.4.2)
node-program-node.d/buildkitd:
	$(call node-build,node.d/buildkitd,github.com/moby/buildkit/cmd/buildkitd,-X github.com/moby/buildkit/version.Version=v0.34.2)
node-program-node.d/registry:
	$(call node-build,node.d/registry,./cmd/registry)
node-program-node.d/coredns:
	$(call node-build,node.d/coredns,./cmd/coredns)

## node-deps: install the Debian packages that the node needs (root)
node-deps:
	@missing=$$(for p in $(NODE_BUILD_PACKAGES) $(NODE_RUN_PACKAGES); do \
		dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || echo $$p; done); \
	if [ -z "$$missing" ]; then echo "node: all Debian packages are there"; exit 0; fi; \
	echo "node: installing" $$missing; \
	export DEBIAN_FRONTEND=noninteractive; \
	apt-get update -q && apt-get install -q -y --no-install-recommends $$missing

## node-test: run the tests of the node, with two real nodes where possible (root)
node-test:
	cd $(NODE_DIR) && CGO_ENABLED=1 $(GO) test -race -count=1 -timeout 10m ./internal/... ./cmd/nsinit ./cmd/pause ./cmd/hubship-policy ./cmd/registry
	cd $(NODE_DIR) && HUBSHIP_BIN=$(NODE_OUT) CGO_ENABLED=0 $(GO) test -count=1 -v -timeout 25m ./test/...
