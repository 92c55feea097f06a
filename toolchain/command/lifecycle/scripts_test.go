package lifecycle

import (
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
	require.Equal(t, all, (&PreviousOutput{}).Variables("out", "err"))
	require.Equal(t, all, (&PreviousOutput{&yes}).Variables("out", "err"))
	require.Empty(t, (&PreviousOutput{&no}).Variables("out", "err"))
	require.Equal(t, map[string]string{PreviousStderr: "err"}, (&PreviousOutput{}).Variables("", "err"))
}
