package output

import "github.com/pulumi/pulumi-go-provider/infer"

// Mode names the streams that are passed on while a command runs. Each module of
// the schema has an enum of its own on top of it, since a token carries the module.
type Mode string

// The values of Mode.
const (
	Stdout Mode = "stdout"
	Stderr Mode = "stderr"
	Both   Mode = "stdoutAndStderr"
	None   Mode = "none"
)

// ModeOf reads an optional input; unset means both streams.
func ModeOf[T ~string](mode *T) Mode {
	if mode == nil {
		return Both
	}
	return Mode(*mode)
}

// EnumValues lists the values of Mode for an enum of the schema.
func EnumValues[T ~string]() []infer.EnumValue[T] {
	return []infer.EnumValue[T]{
		{Name: string(Stdout), Value: T(Stdout), Description: "Log stdout only"},
		{Name: string(Stderr), Value: T(Stderr), Description: "Log stderr only"},
		{Name: string(Both), Value: T(Both), Description: "Log stdout and stderr"},
		{Name: string(None), Value: T(None), Description: "Log nothing"},
	}
}
