package provider

import (
	"testing"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
)

func TestTokensAreThePublishedOnes(t *testing.T) {
	for terraform, want := range map[string]string{
		"proxmox_virtual_environment_vm":                              "proxmoxve:index/vmLegacy:VmLegacy",
		"proxmox_haresource":                                          "proxmoxve:index/haresource:Haresource",
		"proxmox_network_linux_bridge":                                "proxmoxve:network/linux/bridge:Bridge",
		"proxmox_virtual_environment_cluster_firewall_security_group": "proxmoxve:cluster/firewall/security/groupLegacy:GroupLegacy",
	} {
		info := &tfbridge.ResourceInfo{}
		if err := tokens().Resource(terraform, info); err != nil || info.Tok.String() != want {
			t.Errorf("%s: got %s, %v; want %s", terraform, info.Tok, err, want)
		}
	}
}

func TestDataSourcesAreFunctions(t *testing.T) {
	info := &tfbridge.DataSourceInfo{}
	want := "proxmoxve:acme/getPlugins:getPlugins"
	if err := tokens().DataSource("proxmox_acme_plugins", info); err != nil || info.Tok.String() != want {
		t.Errorf("got %s, %v; want %s", info.Tok, err, want)
	}
}

func TestForeignNamesAreRefused(t *testing.T) {
	for _, terraform := range []string{"aws_instance", "proxmox_", "proxmox_virtual_environment_"} {
		if err := tokens().Resource(terraform, &tfbridge.ResourceInfo{}); err == nil {
			t.Errorf("%s was given a token", terraform)
		}
	}
}
