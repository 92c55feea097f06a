// Package remote holds the resources that act on another machine over SSH.
package remote

import (
	"context"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"pulumi-resource-command/lifecycle"
	"pulumi-resource-command/output"
)

// Logging names the streams to log.
type Logging output.Mode

// Values lists the values of Logging for the schema.
func (Logging) Values() []infer.EnumValue[Logging] { return output.EnumValues[Logging]() }

// Command is a command on another machine.
type Command struct{}

// Annotate describes the resource in the schema.
func (c *Command) Annotate(a infer.Annotator) {
	a.Describe(&c, "A command to run on another machine, over SSH, by the login shell of the user.")
}

// CommandInputs are the inputs of Command.
type CommandInputs struct {
	lifecycle.Scripts
	lifecycle.PreviousOutput
	Connection  *Connection        `pulumi:"connection" provider:"secret"`
	Stdin       *string            `pulumi:"stdin,optional"`
	Environment *map[string]string `pulumi:"environment,optional"`
	Logging     *Logging           `pulumi:"logging,optional"`
}

// Annotate describes the inputs in the schema.
func (c *CommandInputs) Annotate(a infer.Annotator) {
	a.Describe(&c.Connection, "How to connect to the machine.")
	a.Describe(&c.Stdin, "What the command reads from its standard input.")
	a.Describe(&c.Environment, "Variables to set for the command. The SSH server must accept them (AcceptEnv); "+
		"otherwise put them in front of the command, as in 'VAR=value command'.")
	a.Describe(&c.Logging, "Which output to log while the command runs. It does not affect the outputs. Defaults to both.")
}

// CommandOutputs is the state of Command.
type CommandOutputs struct {
	CommandInputs
	Stdout string `pulumi:"stdout"`
	Stderr string `pulumi:"stderr"`
}

// Annotate describes the outputs in the schema.
func (c *CommandOutputs) Annotate(a infer.Annotator) {
	a.Describe(&c.Stdout, "What the last run of create or update printed to standard output.")
	a.Describe(&c.Stderr, "What the last run of create or update printed to standard error.")
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
	state := CommandOutputs{CommandInputs: req.Inputs, Stdout: req.State.Stdout, Stderr: req.State.Stderr}
	var err error
	if !req.DryRun {
		err = state.run(ctx, req.Inputs.OnUpdate())
	}
	return infer.UpdateResponse[CommandOutputs]{Output: state}, err
}

// Delete runs the delete command over the connection in the state.
func (*Command) Delete(
	ctx context.Context, req infer.DeleteRequest[CommandOutputs],
) (infer.DeleteResponse, error) {
	return infer.DeleteResponse{}, req.State.run(ctx, req.State.Delete)
}

// run replaces the outputs with those of command; nil leaves them as they are.
func (c *CommandOutputs) run(ctx context.Context, command *string) error {
	if command == nil {
		return nil
	}
	previous, tooLong := c.Variables(c.Stdout, c.Stderr)
	for _, warning := range tooLong {
		provider.GetLogger(ctx).Warning(warning)
	}
	job := invocation{
		command:     *command,
		stdin:       valueOr(c.Stdin, ""),
		environment: valueOr(c.Environment, nil),
		optional:    previous,
		logging:     output.ModeOf(c.Logging),
	}
	stdout, stderr, err := job.run(ctx, c.Connection)
	if err != nil {
		return err
	}
	c.Stdout, c.Stderr = stdout, stderr
	return nil
}
