package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	provider "github.com/pulumi/pulumi-go-provider"
	"golang.org/x/crypto/ssh"

	"pulumi-resource-command/output"
)

// invocation is one run of a command on a host.
type invocation struct {
	command     string
	stdin       string
	environment map[string]string
	// optional variables are dropped, with a warning, if the server refuses them.
	optional map[string]string
	logging  output.Mode
}

// run returns what the command printed. When ctx ends (a custom timeout, an
// interrupt) the connection is closed and run returns; the published plugin
// waits for the command for ever. The command itself is not killed: the server
// only takes its streams away, so that half-done work can come to its end.
func (i *invocation) run(ctx context.Context, connection *Connection) (stdout, stderr string, err error) {
	host, err := connection.dial(ctx)
	if err != nil {
		return "", "", err
	}
	defer host.close()
	defer context.AfterFunc(ctx, host.close)()

	recorder := output.NewRecorder(i.logging, provider.GetLogger(context.WithoutCancel(ctx)).InfoStatus)
	err = i.runSession(ctx, host.Client, recorder)
	stdout, stderr = recorder.Result()
	if err != nil && ctx.Err() != nil {
		err = fmt.Errorf("gave up waiting, the command may still run: %w", context.Cause(ctx))
	}
	if err != nil {
		return "", "", fmt.Errorf("%w: running %q:\n%s", err, i.command, recorder.Combined())
	}
	return stdout, stderr, nil
}

func (i *invocation) runSession(ctx context.Context, client *ssh.Client, recorder *output.Recorder) error {
	session, err := client.NewSession()
	if err != nil {
		return fmt.Errorf("cannot open a session: %w", err)
	}
	defer session.Close() // already closed if the command ended
	if err := i.setEnvironment(ctx, session); err != nil {
		return err
	}
	session.Stdout, session.Stderr = recorder.Stdout(), recorder.Stderr()
	if i.stdin != "" {
		if err := feed(session, i.stdin); err != nil {
			return err
		}
	}
	return session.Run(i.command)
}

// feed sends stdin beside the run. A command may end without having read all of
// it; session.Stdin would make that an error, though the exit status is what counts.
func feed(session *ssh.Session, stdin string) error {
	pipe, err := session.StdinPipe()
	if err != nil {
		return fmt.Errorf("cannot open stdin: %w", err)
	}
	go func() {
		_, _ = io.WriteString(pipe, stdin)
		_ = pipe.Close()
	}()
	return nil
}

func (i *invocation) setEnvironment(ctx context.Context, session *ssh.Session) error {
	for _, name := range slices.Sorted(maps.Keys(i.environment)) {
		if err := session.Setenv(name, i.environment[name]); err != nil {
			return errors.New(refused(name, err))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(i.optional)) {
		if err := session.Setenv(name, i.optional[name]); err != nil {
			provider.GetLogger(ctx).Warning(refused(name, err))
		}
	}
	return nil
}

func refused(name string, err error) string {
	return strings.Join([]string{
		fmt.Sprintf("Unable to set '%s': %v.", name, err),
		"This only works if the SSH server is configured to accept it (AcceptEnv in sshd_config).",
		"Otherwise put it in front of the command, as in 'VAR=value command', or send it on stdin.",
	}, " ")
}
