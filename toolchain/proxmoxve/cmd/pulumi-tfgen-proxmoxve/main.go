// Command pulumi-tfgen-proxmoxve writes the schema and the metadata that
// pulumi-resource-proxmoxve embeds.
package main

import (
	"context"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfgen"

	"github.com/nested-pve-ha/toolchain/proxmoxve/provider"
)

func main() {
	tfgen.MainWithMuxer(provider.Name, provider.Info(context.Background(), nil))
}
