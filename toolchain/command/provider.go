package main

import (
	"context"
	"strings"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/middleware/schema"

	"pulumi-resource-command/local"
	"pulumi-resource-command/remote"
)

func newProvider() provider.Provider {
	served := infer.Provider(infer.Options{
		Metadata: schema.Metadata{
			DisplayName: "Command",
			Description: "Runs commands and copies files, locally or over SSH, in the life cycle of Pulumi resources.",
			Keywords:    []string{"pulumi", "command", "category/utility", "kind/native"},
			License:     "Apache-2.0",
		},
		Resources: []infer.InferredResource{
			infer.Resource(&local.Command{}),
			infer.Resource(&remote.Command{}),
			infer.Resource(&remote.CopyToRemote{}),
			infer.Resource(&remote.CopyFile{}),
		},
		Functions: []infer.InferredFunction{
			infer.Function(&local.Run{}),
		},
	})
	served.Diff = replacingOnTriggers(served.Diff)
	return served
}

type diffFunc = func(context.Context, provider.DiffRequest) (provider.DiffResponse, error)

// replacingOnTriggers reports a changed trigger as a replacement. The library
// looks for the whole path ("triggers[0]") among the properties marked
// replaceOnChanges and so misses it; the SDKs make up for that with a resource
// option, programs without an SDK (YAML) cannot.
func replacingOnTriggers(diff diffFunc) diffFunc {
	return func(ctx context.Context, req provider.DiffRequest) (provider.DiffResponse, error) {
		resp, err := diff(ctx, req)
		for path, change := range resp.DetailedDiff {
			if path == "triggers" || strings.HasPrefix(path, "triggers[") {
				change.Kind = asReplace(change.Kind)
				resp.DetailedDiff[path] = change
			}
		}
		return resp, err
	}
}

func asReplace(kind provider.DiffKind) provider.DiffKind {
	switch kind {
	case provider.Add:
		return provider.AddReplace
	case provider.Delete:
		return provider.DeleteReplace
	case provider.Update:
		return provider.UpdateReplace
	default:
		return kind
	}
}
