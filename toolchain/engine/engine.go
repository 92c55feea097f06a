//go:build tools

// Package engine pins the Pulumi engine and everything it is linked with.
package engine

import _ "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
