package output

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
)

func record(mode Mode) (logged []string, recorder *Recorder) {
	recorder = NewRecorder(mode, func(line string) { logged = append(logged, line) })
	fmt.Fprint(recorder.Stdout(), "out 1\nout")
	fmt.Fprint(recorder.Stderr(), "err 1\n")
	fmt.Fprint(recorder.Stdout(), " 2\n\n")
	return logged, recorder
}

func TestResultKeepsAllButTheLastNewline(t *testing.T) {
	for _, mode := range []Mode{Both, None} {
		_, recorder := record(mode)
		stdout, stderr := recorder.Result()
		require.Equal(t, "out 1\nout 2\n", stdout)
		require.Equal(t, "err 1", stderr)
	}
}

func TestCombinedIsInOrderOfArrival(t *testing.T) {
	_, recorder := record(None)
	require.Equal(t, "out 1\nouterr 1\n 2\n\n", recorder.Combined())
}

func TestModesChooseWhatIsLogged(t *testing.T) {
	for mode, want := range map[Mode][]string{
		Both: {"out 1", "err 1", "out 2"}, Stdout: {"out 1", "out 2"}, Stderr: {"err 1"}, None: nil,
	} {
		logged, _ := record(mode)
		require.Equal(t, want, logged, mode)
	}
}

func TestUnsetModeIsBoth(t *testing.T) {
	require.Equal(t, Both, ModeOf[Mode](nil))
	none := None
	require.Equal(t, None, ModeOf(&none))
}

func TestStreamsMayBeWrittenAtOnce(t *testing.T) {
	count := 0
	var logging, overlapped atomic.Bool
	recorder := NewRecorder(Both, func(string) {
		overlapped.Store(overlapped.Load() || !logging.CompareAndSwap(false, true))
		count++
		runtime.Gosched()
		logging.Store(false)
	})
	var writers sync.WaitGroup
	for _, stream := range []io.Writer{recorder.Stdout(), recorder.Stderr()} {
		writers.Go(func() {
			for range 1000 {
				_, _ = io.WriteString(stream, "line\n")
			}
		})
	}
	writers.Wait()
	require.False(t, overlapped.Load())
	require.Equal(t, 2000, count)
	require.Equal(t, 2000, strings.Count(recorder.Combined(), "line\n"))
}
