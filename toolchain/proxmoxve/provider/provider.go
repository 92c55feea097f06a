// Package provider describes how the Terraform provider for Proxmox VE appears in
// Pulumi: under the names of the published proxmoxve SDKs.
package provider

import (
	"context"

	"github.com/bpg/terraform-provider-proxmox/fwprovider"
	proxmoxsdk "github.com/bpg/terraform-provider-proxmox/proxmoxtf/provider"
	pf "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/pf/tfbridge"
	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
	sdkv2 "github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfshim/sdk-v2"
)

const (
	// Name is what engines and SDKs call this plugin.
	Name = "proxmoxve"
	// Version is the release of the Python SDK that asks for this plugin.
	Version = "8.6.0"
	// terraformVersion is what the wrapped provider reports about itself.
	terraformVersion = "0.112.0"
	// upstream takes reports about the wrapped provider.
	upstream = "https://github.com/bpg/terraform-provider-proxmox"
)

// Info joins the two halves of the Terraform provider (one on each generation of
// Terraform's plugin SDK) into one package. The metadata is what the generator
// recorded; the generator itself starts from none.
func Info(ctx context.Context, metadata []byte) tfbridge.ProviderInfo {
	terraform := pf.MuxShimWithPF(ctx,
		sdkv2.NewProvider(proxmoxsdk.ProxmoxVirtualEnvironment()),
		fwprovider.New(terraformVersion)(),
	)
	info := tfbridge.ProviderInfo{
		P:                       terraform,
		Name:                    Name,
		Version:                 Version,
		DisplayName:             "Proxmox Virtual Environment",
		Description:             "Proxmox Virtual Environment, through the Terraform provider of bpg",
		License:                 "MPL-2.0",
		GitHubOrg:               "bpg",
		ResourcePrefix:          "proxmox",
		MetadataInfo:            tfbridge.NewProviderMetadata(metadata),
		GenerateRuntimeMetadata: true,
		Resources:               resourcesWithChosenID(terraform),
	}
	info.MustComputeTokens(tokens())

	return info
}
