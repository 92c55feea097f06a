package remote

import (
	"context"

	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
)

// CopyFile is the deprecated forerunner of CopyToRemote. It has no update: every
// change of its inputs replaces it, and a change of the file is not noticed.
type CopyFile struct{}

// Annotate describes the resource in the schema.
func (c *CopyFile) Annotate(a infer.Annotator) {
	a.Describe(&c, "A copy of a local file on another machine.")
	a.Deprecate(&c, "CopyFile goes away in a future release. Use `CopyToRemote`.")
}

// CopyFileInputs are the inputs of CopyFile.
type CopyFileInputs struct {
	Connection *Connection `pulumi:"connection" provider:"secret"`
	Triggers   *[]any      `pulumi:"triggers,optional"`
	LocalPath  string      `pulumi:"localPath"`
	RemotePath string      `pulumi:"remotePath"`
}

// Annotate describes the inputs in the schema.
func (c *CopyFileInputs) Annotate(a infer.Annotator) {
	a.Describe(&c.Connection, "How to connect to the machine.")
	a.Describe(&c.Triggers, "Values of any type. A change to one of them replaces the resource, which copies again.")
	a.Describe(&c.LocalPath, "The file to copy.")
	a.Describe(&c.RemotePath, "The file to write on the machine.")
}

// CopyFileOutputs is the state of CopyFile.
type CopyFileOutputs struct {
	CopyFileInputs
}

// Create copies.
func (*CopyFile) Create(
	ctx context.Context, req infer.CreateRequest[CopyFileInputs],
) (infer.CreateResponse[CopyFileOutputs], error) {
	state := CopyFileOutputs{req.Inputs}
	if req.DryRun {
		return infer.CreateResponse[CopyFileOutputs]{Output: state}, nil
	}
	id, err := resource.NewUniqueHex("", 8, 0)
	if err == nil {
		err = withSFTP(ctx, req.Inputs.Connection, func(target *target) error {
			return target.copyFile(req.Inputs.LocalPath, req.Inputs.RemotePath)
		})
	}
	return infer.CreateResponse[CopyFileOutputs]{ID: id, Output: state}, err
}
