// Command pulumi-resource-proxmoxve is the resource plugin for Proxmox VE.
package main

import (
	"context"
	"embed"
	"fmt"
	"os"

	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"

	"github.com/nested-pve-ha/toolchain/proxmoxve/provider"
)

// generated holds what pulumi-tfgen-proxmoxve wrote; in a fresh checkout it is empty.
//
//go:embed all:generated
var generated embed.FS

func main() {
	ctx := context.Background()
	metadata := mustRead("runtime-bridge-metadata.json")
	pf.MainWithMuxer(ctx, provider.Name, provider.Info(ctx, metadata), mustRead("schema.json"))
}

func mustRead(name string) []byte {
	content, err := generated.ReadFile("generated/" + name)
	if err != nil {
		fmt.Fprintf(os.Stderr, "this plugin was built before its schema was generated: %v\n", err)
		os.Exit(1)
	}

	return content
}
