// Package lifecycle holds which command a resource runs at which step of its life.
package lifecycle

import (
	"fmt"

	"github.com/pulumi/pulumi-go-provider/infer"
)

// Variables that carry the previous run's output into the next one.
const (
	PreviousStdout = "PULUMI_COMMAND_STDOUT"
	PreviousStderr = "PULUMI_COMMAND_STDERR"
)

// Scripts are the commands of a resource. A nil command means: nothing to run.
type Scripts struct {
	Triggers *[]any  `pulumi:"triggers,optional" provider:"replaceOnChanges"`
	Create   *string `pulumi:"create,optional"`
	Update   *string `pulumi:"update,optional"`
	Delete   *string `pulumi:"delete,optional"`
}

// Annotate describes the inputs in the schema.
func (s *Scripts) Annotate(a infer.Annotator) {
	a.Describe(&s.Triggers, "Values of any type. A change to one of them replaces the resource.")
	a.Describe(&s.Create, "The command of the first run. It also runs on a change of inputs if there is no `update`.")
	a.Describe(&s.Update, "The command to run on a change of inputs, instead of `create`.")
	a.Describe(&s.Delete, "The command to run when the resource is deleted.")
}

// OnUpdate is the command for changed inputs.
func (s *Scripts) OnUpdate() *string {
	if s.Update != nil {
		return s.Update
	}
	return s.Create
}

// PreviousOutput says whether and how the next run learns what the last one
// printed. Its field is an input of its own, true if unset.
type PreviousOutput struct {
	AddPreviousOutputInEnv *bool `pulumi:"addPreviousOutputInEnv,optional"`
}

// Annotate describes the input in the schema.
func (p *PreviousOutput) Annotate(a infer.Annotator) {
	a.Describe(&p.AddPreviousOutputInEnv, "Whether the next run gets what the last one printed "+
		"as `"+PreviousStdout+"` and `"+PreviousStderr+"`. Defaults to true.")
}

// maxVariable is the longest "NAME=value", in bytes with its final zero, that
// Linux hands to a program (MAX_ARG_STRLEN).
const maxVariable = 128 << 10

// Variables returns what to add to the environment of a run after one that
// printed stdout and stderr. Empty output adds no variable. What is too long for
// one is named in tooLong: with it no program would start, and the published
// plugin then fails every update and delete.
func (p *PreviousOutput) Variables(stdout, stderr string) (variables map[string]string, tooLong []string) {
	variables = map[string]string{}
	if p.AddPreviousOutputInEnv != nil && !*p.AddPreviousOutputInEnv {
		return variables, nil
	}
	for name, value := range map[string]string{PreviousStdout: stdout, PreviousStderr: stderr} {
		switch {
		case len(name)+len(value)+2 > maxVariable:
			tooLong = append(tooLong, fmt.Sprintf("'%s' is not set: the previous output is too long for a variable.", name))
		case value != "":
			variables[name] = value
		}
	}
	return variables, tooLong
}
