// Package local holds what runs on this machine.
package local

import (
	"context"

	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"pulumi-resource-command/lifecycle"
)

// Command is a command on this machine.
type Command struct{}

// Annotate describes the resource in the schema.
func (c *Command) Annotate(a infer.Annotator) {
	a.Describe(&c, "A command to run on the machine where Pulumi runs.")
}

// CommandInputs are the inputs of Command.
type CommandInputs struct {
	lifecycle.Scripts
	Settings
}

// CommandOutputs is the state of Command.
type CommandOutputs struct {
	CommandInputs
	Results
}

// Create runs the create command. If it fails, no state is recorded.
func (*Command) Create(
	ctx context.Context, req infer.CreateRequest[CommandInputs],
) (infer.CreateResponse[CommandOutputs], error) {
	state := CommandOutputs{CommandInputs: req.Inputs}
	if req.DryRun {
		return infer.CreateResponse[CommandOutputs]{Output: state}, nil
	}
	id, err := resource.NewUniqueHex(req.Name, 8, 0)
	if err == nil {
		err = state.run(ctx, req.Inputs.Create)
	}
	return infer.CreateResponse[CommandOutputs]{ID: id, Output: state}, err
}

// Update runs the update command or, without one, the create command again. If
// it fails, the old state stays.
func (*Command) Update(
	ctx context.Context, req infer.UpdateRequest[CommandInputs, CommandOutputs],
) (infer.UpdateResponse[CommandOutputs], error) {
	state := CommandOutputs{CommandInputs: req.Inputs, Results: req.State.Results}
	var err error
	if !req.DryRun {
		err = state.run(ctx, req.Inputs.OnUpdate())
	}
	return infer.UpdateResponse[CommandOutputs]{Output: state}, err
}

// Delete runs the delete command.
func (*Command) Delete(
	ctx context.Context, req infer.DeleteRequest[CommandOutputs],
) (infer.DeleteResponse, error) {
	return infer.DeleteResponse{}, req.State.run(ctx, req.State.Delete)
}

// run replaces the results with those of command; nil leaves them as they are.
func (c *CommandOutputs) run(ctx context.Context, command *string) error {
	if command == nil {
		return nil
	}
	results, err := c.execute(ctx, *command, c.Results)
	if err != nil {
		return err
	}
	c.Results = results
	return nil
}
