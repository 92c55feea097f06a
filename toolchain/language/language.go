//go:build tools

// Package language pins Pulumi's language host for Python and everything it is linked with.
package language

import _ "github.com/pulumi/pulumi/sdk/python/cmd/pulumi-language-python/v3"
