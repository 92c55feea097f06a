// Pulumi-resource-command runs commands on this machine or, over SSH, on others
// as Pulumi resources. It answers to the published SDKs of Pulumi's "command"
// package, for sites that can reach package registries but no release page.
package main

import (
	"context"
	"fmt"
	"os"

	provider "github.com/pulumi/pulumi-go-provider"
)

// version is the SDK version whose schema is served; a build may set another
// with -ldflags "-X main.version=…".
var version = "1.2.1"

func main() {
	if err := provider.RunProvider(context.Background(), "command", version, newProvider()); err != nil {
		fmt.Fprintln(os.Stderr, "pulumi-resource-command:", err)
		os.Exit(1)
	}
}
