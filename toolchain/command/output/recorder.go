// Package output records what a command prints and passes it on, line by line,
// while the command runs.
package output

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// Recorder keeps both streams of one run. Its writers may be used concurrently.
type Recorder struct {
	mu       sync.Mutex
	stdout   stream
	stderr   stream
	combined tail
}

// NewRecorder returns a Recorder that hands each complete line of the streams
// that mode names to log.
func NewRecorder(mode Mode, log func(line string)) *Recorder {
	r := &Recorder{}
	r.stdout.recorder, r.stderr.recorder = r, r
	if mode == Stdout || mode == Both {
		r.stdout.lines = &lineWriter{emit: log}
	}
	if mode == Stderr || mode == Both {
		r.stderr.lines = &lineWriter{emit: log}
	}
	return r
}

// Stdout is where the command's standard output goes.
func (r *Recorder) Stdout() io.Writer { return &r.stdout }

// Stderr is where the command's standard error goes.
func (r *Recorder) Stderr() io.Writer { return &r.stderr }

// Result passes on unfinished last lines and returns both streams, each without
// its final newline and as valid UTF-8: the engine's protocol refuses any other
// string, which would lose the state of a command that did run.
func (r *Recorder) Result() (stdout, stderr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.stdout.finish(), r.stderr.finish()
}

// Combined returns the output of both streams in the order of arrival, as valid
// UTF-8; of much output only the end.
func (r *Recorder) Combined() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return valid(r.combined.String())
}

type stream struct {
	recorder *Recorder
	text     bytes.Buffer
	lines    *lineWriter
}

func (s *stream) Write(p []byte) (int, error) {
	s.recorder.mu.Lock()
	defer s.recorder.mu.Unlock()
	s.text.Write(p)
	s.recorder.combined.write(p)
	if s.lines != nil {
		s.lines.write(p)
	}
	return len(p), nil
}

func (s *stream) finish() string {
	if s.lines != nil {
		s.lines.flush()
	}
	return valid(strings.TrimSuffix(s.text.String(), "\n"))
}

func valid(text string) string {
	return strings.ToValidUTF8(text, "\uFFFD")
}
