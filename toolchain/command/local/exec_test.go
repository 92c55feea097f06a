package local

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pulumi-resource-command/output"
)

func quiet() *Settings {
	none := Logging(output.None)
	return &Settings{Logging: &none}
}

func TestAKilledRunNamesWhatEndedIt(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	_, err := quiet().execute(ctx, "echo begun; sleep 300 & wait", Results{})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "begun")
}

func TestAChildThatLeftTheGroupHoldsNothingUp(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		_, err := quiet().execute(ctx, "setsid sh -c 'echo $$ > "+pidFile+"; exec sleep 300' & wait", Results{})
		ended <- err
	}()
	select {
	case err := <-ended:
		require.ErrorIs(t, err, context.DeadlineExceeded)
	case <-time.After(time.Minute):
		t.Error("waits for a process that was not killed")
	}
	pid, err := os.ReadFile(pidFile)
	require.NoError(t, err)
	leader, err := strconv.Atoi(strings.TrimSpace(string(pid)))
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(leader, syscall.SIGKILL), "it still held the output open")
}
