package local

import (
	"github.com/pulumi/pulumi-go-provider/infer"
	"github.com/pulumi/pulumi-go-provider/infer/types"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"

	"pulumi-resource-command/lifecycle"
	"pulumi-resource-command/output"
)

// Logging names the streams to log.
type Logging output.Mode

// Values lists the values of Logging for the schema.
func (Logging) Values() []infer.EnumValue[Logging] { return output.EnumValues[Logging]() }

// Settings say how to run a command and which files to collect after it.
type Settings struct {
	lifecycle.PreviousOutput
	Stdin        *string            `pulumi:"stdin,optional"`
	Logging      *Logging           `pulumi:"logging,optional"`
	Interpreter  *[]string          `pulumi:"interpreter,optional"`
	Dir          *string            `pulumi:"dir,optional"`
	Environment  *map[string]string `pulumi:"environment,optional"`
	AssetPaths   *[]string          `pulumi:"assetPaths,optional"`
	ArchivePaths *[]string          `pulumi:"archivePaths,optional"`
}

const globRules = "Patterns are matched against paths relative to the command's directory, with `/` on every " +
	"system; `*` does not match a `/`, `**` does. Only files are collected. A pattern that begins with `!` takes " +
	"away what an earlier one found."

// Annotate describes the inputs in the schema.
func (s *Settings) Annotate(a infer.Annotator) {
	a.Describe(&s.Stdin, "What the command reads from its standard input.")
	a.Describe(&s.Logging, "Which output to log while the command runs. It does not affect the outputs. Defaults to both.")
	a.Describe(&s.Interpreter, "The program, with its first arguments, that runs the command. Defaults to `/bin/sh -c`.")
	a.Describe(&s.Dir, "The directory to run the command in. It must exist. Defaults to that of the program.")
	a.Describe(&s.Environment, "Variables to set for the command, beside those of the Pulumi process.")
	a.Describe(&s.AssetPaths, "Patterns of files to return as assets after the command has run. "+globRules)
	a.Describe(&s.ArchivePaths, "Patterns of files to return as one archive after the command has run. "+globRules)
}

// Results is what a command left.
type Results struct {
	Stdout  string                           `pulumi:"stdout"`
	Stderr  string                           `pulumi:"stderr"`
	Assets  *map[string]types.AssetOrArchive `pulumi:"assets,optional"`
	Archive *resource.Archive                `pulumi:"archive,optional"`
}

// Annotate describes the outputs in the schema.
func (r *Results) Annotate(a infer.Annotator) {
	a.Describe(&r.Stdout, "What the command printed to standard output.")
	a.Describe(&r.Stderr, "What the command printed to standard error.")
	a.Describe(&r.Assets, "The files that assetPaths found, by path relative to the command's directory.")
	a.Describe(&r.Archive, "The files that archivePaths found.")
}
