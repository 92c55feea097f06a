package remote

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi/sdk/v3/go/common/util/retry"
	"golang.org/x/crypto/ssh"
)

// link is an SSH connection, if need be through another one.
type link struct {
	*ssh.Client
	proxy *ssh.Client
}

// close ends the connection. It does not wait for the other side.
func (l *link) close() {
	if l.proxy != nil {
		// Outermost first: a write into the inner connection could wait for a
		// proxy that no longer answers.
		_ = l.proxy.Close()
	}
	_ = l.Close()
}

// dial connects, retrying as dialErrorLimit says. When ctx ends, so does dial,
// also in the middle of an attempt.
func (c *Connection) dial(ctx context.Context) (*link, error) {
	if c.Proxy == nil {
		client, err := c.Endpoint.dial(ctx, "Dial", dialTCP)
		return &link{Client: client}, err
	}
	proxy, err := c.Proxy.dial(ctx, "Dial proxy", dialTCP)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	// Each attempt takes a new channel through the proxy: one on which a login
	// failed is of no more use.
	client, err := c.Endpoint.dial(ctx, "Dial from proxy", proxy.DialContext)
	if err != nil {
		_ = proxy.Close()
		return nil, fmt.Errorf("through proxy: %w", err)
	}
	return &link{Client: client, proxy: proxy}, nil
}

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

var dialTCP dialFunc = (&net.Dialer{}).DialContext

func (e *Endpoint) dial(ctx context.Context, what string, open dialFunc) (*ssh.Client, error) {
	config, done, err := e.clientConfig()
	if err != nil {
		return nil, err
	}
	defer done()
	return untilLimit(ctx, what, e.dialErrorLimit(), func() (*ssh.Client, error) {
		return attempt(ctx, e.perDialTimeout(), e.address(), config, open)
	})
}

// untilLimit repeats try until it succeeds, has failed limit times and once
// more, or ctx ends. A negative limit means any number of times. Every failure
// counts: a machine that is being installed may refuse the connection, then the
// login, then show a foreign host key, before it is the one that is waited for.
func untilLimit[T any](ctx context.Context, what string, limit int, try func() (T, error)) (T, error) {
	var (
		result  T
		lastErr error
	)
	ok, _, err := retry.Until(ctx, retry.Acceptor{
		Accept: func(failures int, _ time.Duration) (bool, any, error) {
			result, lastErr = try()
			if lastErr == nil {
				return true, nil, nil
			}
			if limit >= 0 && failures >= limit {
				return false, nil, fmt.Errorf("after %d failed attempts: %w", failures, lastErr)
			}
			provider.GetLogger(ctx).InfoStatusf("%s %d/%s failed: retrying: %v", what, failures+1, limitText(limit), lastErr)
			return false, nil, nil
		},
	})
	if err == nil && !ok {
		err = fmt.Errorf("gave up connecting: %w; last attempt: %w", context.Cause(ctx), lastErr)
	}
	return result, err
}

func limitText(limit int) string {
	if limit < 0 {
		return "inf"
	}
	return strconv.Itoa(limit)
}

// attempt connects and logs in once. Unlike the published plugin, whose
// perDialTimeout ends with the TCP handshake, it bounds the whole attempt: a
// booting machine may accept connections long before its SSH server speaks.
func attempt(
	ctx context.Context, timeout time.Duration, address string, config *ssh.ClientConfig, open dialFunc,
) (*ssh.Client, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no SSH login at %s within %s", address, timeout))
		defer cancel()
	}
	conn, err := open(ctx, "tcp", address)
	if err != nil {
		return nil, errors.Join(err, context.Cause(ctx))
	}
	return login(ctx, conn, address, config)
}

func login(ctx context.Context, conn net.Conn, address string, config *ssh.ClientConfig) (*ssh.Client, error) {
	type outcome struct {
		client *ssh.Client
		err    error
	}
	finished := make(chan outcome, 1)
	// Not every conn knows deadlines (those through a proxy do not), hence the
	// goroutine. It ends with conn, at the latest with the proxy's connection.
	go func() {
		sshConn, channels, requests, err := ssh.NewClientConn(conn, address, config)
		if err != nil {
			finished <- outcome{err: err}
			return
		}
		finished <- outcome{client: ssh.NewClient(sshConn, channels, requests)}
	}()
	select {
	case end := <-finished:
		return end.client, end.err
	case <-ctx.Done():
		go conn.Close() // a dead proxy may block even this
		return nil, context.Cause(ctx)
	}
}
