package provider

import (
	"fmt"
	"strings"

	"github.com/pulumi/pulumi-terraform-bridge/v3/pkg/tfbridge"
)

const (
	legacyPrefix = "proxmox_virtual_environment_"
	prefix       = "proxmox_"
	rootModule   = "index"
)

// member is the place of a Terraform name in the Pulumi package.
type member struct {
	module string // "network/linux"
	name   string // "Bridge"
}

// memberOf splits proxmox_a_b_c into module a/b and member C, and marks the
// proxmox_virtual_environment_ twins with the suffix Legacy: the names that the
// published SDKs carry.
func memberOf(terraformName string) (member, error) {
	words, suffix := "", ""
	if rest, ok := strings.CutPrefix(terraformName, legacyPrefix); ok {
		words, suffix = rest, "Legacy"
	} else if rest, ok := strings.CutPrefix(terraformName, prefix); ok {
		words = rest
	}

	if words == "" {
		return member{}, fmt.Errorf("%q does not start with %q", terraformName, prefix)
	}

	path := strings.Split(words, "_")
	last := len(path) - 1
	module := rootModule
	if last > 0 {
		module = strings.Join(path[:last], "/")
	}

	return member{module: module, name: upperFirst(path[last]) + suffix}, nil
}

func upperFirst(word string) string { return strings.ToUpper(word[:1]) + word[1:] }

// tokens names every resource and data source of the Terraform provider.
func tokens() tfbridge.Strategy {
	return tfbridge.Strategy{
		Resource: func(terraformName string, info *tfbridge.ResourceInfo) error {
			at, err := memberOf(terraformName)
			if err != nil {
				return err
			}
			info.Tok = tfbridge.MakeResource(Name, at.module, at.name)
			return nil
		},
		DataSource: func(terraformName string, info *tfbridge.DataSourceInfo) error {
			at, err := memberOf(terraformName)
			if err != nil {
				return err
			}
			info.Tok = tfbridge.MakeDataSource(Name, at.module, "get"+at.name)
			return nil
		},
	}
}
