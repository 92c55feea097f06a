package lifecycle

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestUpdateFallsBackToCreate(t *testing.T) {
	create, update, empty := "create", "update", ""
	require.Equal(t, &update, (&Scripts{Create: &create, Update: &update}).OnUpdate())
	require.Equal(t, &create, (&Scripts{Create: &create}).OnUpdate())
	require.Equal(t, &empty, (&Scripts{Create: &create, Update: &empty}).OnUpdate(), "an empty command is a command")
	require.Nil(t, (&Scripts{}).OnUpdate())
}

func TestPreviousOutput(t *testing.T) {
	yes, no := true, false
	all := map[string]string{PreviousStdout: "out", PreviousStderr: "err"}
	longest := strings.Repeat("x", maxVariable-len(PreviousStdout+"=\x00"))
	for name, c := range map[string]struct {
		choice         *bool
		stdout, stderr string
		want           map[string]string
		tooLong        int
	}{
		"default":  {nil, "out", "err", all, 0},
		"chosen":   {&yes, "out", "err", all, 0},
		"kept out": {&no, "out", longest + "x", map[string]string{}, 0},
		"empty":    {nil, "", "err", map[string]string{PreviousStderr: "err"}, 0},
		"longest":  {nil, longest, "", map[string]string{PreviousStdout: longest}, 0},
		"too long": {nil, longest + "x", "err", map[string]string{PreviousStderr: "err"}, 1},
		"both too": {nil, longest + "x", longest + "x", map[string]string{}, 2},
	} {
		variables, tooLong := (&PreviousOutput{c.choice}).Variables(c.stdout, c.stderr)
		require.Equal(t, c.want, variables, name)
		require.Len(t, tooLong, c.tooLong, name)
	}
}
