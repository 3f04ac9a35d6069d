#!/bin/sh
# Runs a command with a Kubernetes cluster, a registry and an image builder at
# hand: an embedded node of its own, removed afterwards whatever happens. The
# command finds them through the environment, as the integration tests expect.
# Usage: withnode.sh BIN command [argument]...
#
# Without root or off Linux the command runs without them, and its tests say
# what they miss. A cluster that HUBSHIP_TEST_KUBECONFIG names already is used.
set -eu
bin=$1
shift
if [ -n "${HUBSHIP_TEST_KUBECONFIG:-}" ] || [ "$(uname -s)" != Linux ] || [ "$(id -u)" -ne 0 ]; then
	exec "$@"
fi
name=hstests base=23400
dir=${TMPDIR:-/tmp}/hubship-$name
config=$dir/node.json
mkdir -p "$dir"
chmod 700 "$dir"
cat >"$config" <<JSON
{"name": "$name", "dataDir": "$dir/node", "runDir": "/run/hubship/$name", "bridge": "hstests0",
 "nodeIP": "10.241.0.1", "podCIDR": "10.241.0.0/24", "serviceCIDR": "10.242.0.0/24", "portBase": $base, "fsync": false}
JSON
node=$bin/hubship-node
purge() {
	"$node" stop --config "$config" >>"$dir/node.log" 2>&1 || true
	"$node" purge --config "$config" >>"$dir/node.log" 2>&1
}
remove() {
	trap - EXIT INT TERM
	purge || { echo "the test node was not removed:" >&2; tail -n 20 "$dir/node.log" >&2; return; }
	rm -rf "$dir"
}
trap remove EXIT
trap 'exit 130' INT TERM
# What a killed run left behind is removed first.
: >"$dir/node.log"
purge || true
setsid "$node" run --config "$config" >>"$dir/node.log" 2>&1 </dev/null &
supervisor=$!
started=$(date +%s)
echo "starting a node for the tests" >&2
until "$node" status --config "$config" 2>/dev/null | grep -Eq '"ready": *true'; do
	if ! kill -0 "$supervisor" 2>/dev/null || [ $(($(date +%s) - started)) -gt 600 ]; then
		echo "the node for the tests does not come up:" >&2
		tail -n 40 "$dir/node.log" >&2
		exit 1
	fi
	sleep 1
done
echo "the node for the tests is ready after $(($(date +%s) - started)) s" >&2
export HUBSHIP_TEST_KUBECONFIG="$dir/node/admin.kubeconfig"
export HUBSHIP_TEST_CONTEXT="hubship-$name"
export HUBSHIP_TEST_REGISTRY="127.0.0.1:$((base + 20))"
export HUBSHIP_TEST_REGISTRY_CREDENTIALS="$dir/node/pki/registry-push.json"
export HUBSHIP_TEST_BUILDKIT="unix:///run/hubship/$name/buildkitd.sock"
export HUBSHIP_TEST_IMAGE="127.0.0.1:$((base + 20))/library/debian:bookworm-slim"
code=0
"$@" || code=$?
exit "$code"
