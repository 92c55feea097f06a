package remote

import (
	"context"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// CopyToRemote is a copy of local content on another machine.
type CopyToRemote struct{}

// Annotate describes the resource in the schema.
func (c *CopyToRemote) Annotate(a infer.Annotator) {
	a.Describe(&c, "A copy of a file, a text or a directory on another machine, made over SFTP. "+
		"Deleting the resource leaves the copy in place.")
}

// CopyToRemoteInputs are the inputs of CopyToRemote.
type CopyToRemoteInputs struct {
	Connection *Connection          `pulumi:"connection" provider:"secret"`
	Triggers   *[]any               `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Source     types.AssetOrArchive `pulumi:"source"`
	RemotePath string               `pulumi:"remotePath"`
}

// Annotate describes the inputs in the schema.
func (c *CopyToRemoteInputs) Annotate(a infer.Annotator) {
	a.Describe(&c.Connection, "How to connect to the machine.")
	a.Describe(&c.Triggers, "Values of any type. A change to one of them replaces the resource, which copies again.")
	a.Describe(&c.Source, "What to copy: a FileAsset, a StringAsset or a FileArchive. "+
		"A packed archive is copied as the file that it is; a directory is copied with all below it.")
	a.Describe(&c.RemotePath, "Where to copy to. Missing parent directories are made. "+
		"If this is a directory, a file or directory is copied into it; an existing file is overwritten by a file.")
}

// CopyToRemoteOutputs is the state of CopyToRemote.
type CopyToRemoteOutputs struct {
	CopyToRemoteInputs
}

// Check refuses content that has no file of its own to copy.
func (*CopyToRemote) Check(
	ctx context.Context, req infer.CheckRequest,
) (infer.CheckResponse[CopyToRemoteInputs], error) {
	inputs, failures, err := infer.DefaultCheck[CopyToRemoteInputs](ctx, req.NewInputs)
	if err == nil && !req.NewInputs.Get("source").IsComputed() {
		failures = append(failures, sourceFailures(inputs.Source)...)
	}
	return infer.CheckResponse[CopyToRemoteInputs]{Inputs: inputs, Failures: failures}, err
}

func sourceFailures(source types.AssetOrArchive) []provider.CheckFailure {
	var reason string
	switch asset, archive := source.Asset, source.Archive; {
	case asset == nil && archive == nil:
		reason = "an asset or an archive must be given"
	case asset != nil && archive != nil:
		reason = "only one of asset and archive can be given"
	case asset != nil && !asset.IsPath() && !asset.IsText():
		reason = "an asset must be a file or a text (FileAsset, StringAsset)"
	case archive != nil && !archive.IsPath():
		reason = "an archive must be a file or a directory (FileArchive)"
	default:
		return nil
	}
	return []provider.CheckFailure{{Property: "source", Reason: reason}}
}

// Create copies.
func (*CopyToRemote) Create(
	ctx context.Context, req infer.CreateRequest[CopyToRemoteInputs],
) (infer.CreateResponse[CopyToRemoteOutputs], error) {
	state := CopyToRemoteOutputs{req.Inputs}
	if req.DryRun {
		return infer.CreateResponse[CopyToRemoteOutputs]{Output: state}, nil
	}
	id, err := resource.NewUniqueHex("", 8, 0)
	if err == nil {
		err = req.Inputs.copy(ctx)
	}
	return infer.CreateResponse[CopyToRemoteOutputs]{ID: id, Output: state}, err
}

// Update copies if the content or the place has changed; a changed connection
// alone does not.
func (*CopyToRemote) Update(
	ctx context.Context, req infer.UpdateRequest[CopyToRemoteInputs, CopyToRemoteOutputs],
) (infer.UpdateResponse[CopyToRemoteOutputs], error) {
	resp := infer.UpdateResponse[CopyToRemoteOutputs]{Output: CopyToRemoteOutputs{req.Inputs}}
	if req.DryRun {
		// The source may be unknown yet.
		return resp, nil
	}
	if req.Inputs.hash() == req.State.hash() && req.Inputs.RemotePath == req.State.RemotePath {
		return resp, nil
	}
	return resp, req.Inputs.copy(ctx)
}

func (c *CopyToRemoteInputs) hash() string {
	if c.Source.Archive != nil {
		return c.Source.Archive.Hash
	}
	return c.Source.Asset.Hash
}

func (c *CopyToRemoteInputs) copy(ctx context.Context) error {
	return withSFTP(ctx, c.Connection, func(target *target) error {
		switch {
		case c.Source.Archive != nil:
			return target.copyPath(c.Source.Archive.Path, c.RemotePath)
		case c.Source.Asset.IsText():
			return target.copyText(c.Source.Asset.Text, c.RemotePath)
		default:
			return target.copyPath(c.Source.Asset.Path, c.RemotePath)
		}
	})
}
