package local

import (
	"context"

	"github.com/pulumi/pulumi-go-provider/infer"
)

// Run is a function that runs a command each time the program runs, in previews too.
type Run struct{}

// Annotate describes the function in the schema.
func (r *Run) Annotate(a infer.Annotator) {
	a.Describe(&r, "Runs a command on the machine where Pulumi runs, each time the program runs, in previews too.")
}

// RunInputs are the arguments of Run.
type RunInputs struct {
	Settings
	Command string `pulumi:"command"`
}

// Annotate describes the arguments in the schema.
func (r *RunInputs) Annotate(a infer.Annotator) {
	a.Describe(&r.Command, "The command to run.")
}

// RunOutputs is the answer of Run.
type RunOutputs struct {
	RunInputs
	Results
}

// Invoke runs the command.
func (*Run) Invoke(
	ctx context.Context, req infer.FunctionRequest[RunInputs],
) (infer.FunctionResponse[RunOutputs], error) {
	results, err := req.Input.execute(ctx, req.Input.Command, Results{})
	return infer.FunctionResponse[RunOutputs]{Output: RunOutputs{RunInputs: req.Input, Results: results}}, err
}
