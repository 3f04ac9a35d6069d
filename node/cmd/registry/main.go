// Command registry is the node's OCI registry: distribution with the
// filesystem driver alone, and the node's own rules of who may do what.
package main

import (
	"fmt"
	"os"

	"github.com/distribution/distribution/v3/registry"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/filesystem"

	"github.com/hubship/hubship/node/internal/registryauth"
)

func main() {
	if err := registryauth.Register(); err != nil {
		fmt.Fprintln(os.Stderr, "registry:", err)
		os.Exit(1)
	}
	if err := registry.RootCmd.Execute(); err != nil {
		os.Exit(1)
	}
}
