package local

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	provider "github.com/pulumi/pulumi-go-provider"

	"pulumi-resource-command/output"
)

// killGrace is how long an interrupted run may take to end after its processes
// were killed. One that left their process group can hold the output open.
const killGrace = 5 * time.Second

// execute runs command, after a run with the results previous.
func (s *Settings) execute(ctx context.Context, command string, previous Results) (Results, error) {
	process, err := s.process(ctx, command, previous)
	if err != nil {
		return Results{}, err
	}
	recorder := output.NewRecorder(output.ModeOf(s.Logging), provider.GetLogger(context.WithoutCancel(ctx)).InfoStatus)
	process.Stdout, process.Stderr = recorder.Stdout(), recorder.Stderr()
	err = runBounded(ctx, process)
	stdout, stderr := recorder.Result()
	if err != nil {
		return Results{}, fmt.Errorf("%w: running %q:\n%s", err, command, recorder.Combined())
	}
	return s.collect(process.Dir, Results{Stdout: stdout, Stderr: stderr})
}

func (s *Settings) process(ctx context.Context, command string, previous Results) (*exec.Cmd, error) {
	interpreter := []string{"/bin/sh", "-c"}
	if s.Interpreter != nil && len(*s.Interpreter) > 0 {
		interpreter = *s.Interpreter
	}
	arguments := slices.Concat(interpreter, []string{command})
	process := exec.CommandContext(ctx, arguments[0], arguments[1:]...)
	if s.Stdin != nil {
		process.Stdin = strings.NewReader(*s.Stdin)
	}
	process.Env = os.Environ()
	if s.Environment != nil {
		process.Env = appendVariables(process.Env, *s.Environment)
	}
	variables, tooLong := s.Variables(previous.Stdout, previous.Stderr)
	process.Env = appendVariables(process.Env, variables)
	for _, warning := range tooLong {
		provider.GetLogger(ctx).Warning(warning)
	}

	// What the shell started must die with it, or it would keep the output open.
	process.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	process.Cancel = func() error { return syscall.Kill(-process.Process.Pid, syscall.SIGKILL) }

	var err error
	if s.Dir != nil {
		process.Dir = *s.Dir
	} else {
		process.Dir, err = os.Getwd()
	}
	return process, err
}

func appendVariables(environment []string, variables map[string]string) []string {
	for name, value := range variables {
		environment = append(environment, name+"="+value)
	}
	return environment
}

// runBounded runs process to its end or, when ctx ends, for killGrace more.
func runBounded(ctx context.Context, process *exec.Cmd) error {
	if err := process.Start(); err != nil {
		return err
	}
	finished := make(chan error, 1)
	go func() { finished <- process.Wait() }()
	giveUp := make(chan struct{})
	defer context.AfterFunc(ctx, func() { time.AfterFunc(killGrace, func() { close(giveUp) }) })()
	select {
	case err := <-finished:
		if err != nil && ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	case <-giveUp:
		return context.Cause(ctx)
	}
}
