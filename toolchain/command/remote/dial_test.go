package remote

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/crypto/ssh"
)

// bounded fails the test when what it bounds would not end by itself.
func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func mute(t *testing.T) *Endpoint {
	t.Helper()
	return listen(t, func(net.Conn) {})
}

func open(t *testing.T) *Endpoint {
	t.Helper()
	return serve(t, &ssh.ServerConfig{NoClientAuth: true})
}

func TestPasswordAndQuestions(t *testing.T) {
	password, wrong := "right", "wrong"
	direct := serve(t, &ssh.ServerConfig{
		PasswordCallback: func(_ ssh.ConnMetadata, given []byte) (*ssh.Permissions, error) {
			return nil, unless(string(given) == password)
		},
	})
	asked := serve(t, &ssh.ServerConfig{
		KeyboardInteractiveCallback: func(
			_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge,
		) (*ssh.Permissions, error) {
			answers, err := ask("", "", []string{"Password: ", "Again: "}, []bool{false, false})
			return nil, errors.Join(err, unless(len(answers) == 2 && answers[0] == password && answers[1] == password))
		},
	})
	for _, endpoint := range []*Endpoint{direct, asked} {
		endpoint.Password = &password
		host, err := (&Connection{Endpoint: *endpoint}).dial(bounded(t))
		require.NoError(t, err)
		host.close()

		endpoint.Password = &wrong
		_, err = (&Connection{Endpoint: *endpoint}).dial(bounded(t))
		require.ErrorContains(t, err, "unable to authenticate")
	}
}

func unless(ok bool) error {
	if ok {
		return nil
	}
	return errors.New("denied")
}

func TestUserDefaultsToRoot(t *testing.T) {
	endpoint := serve(t, &ssh.ServerConfig{
		NoClientAuth: true,
		NoClientAuthCallback: func(meta ssh.ConnMetadata) (*ssh.Permissions, error) {
			return nil, unless(meta.User() == "root")
		},
	})
	host, err := (&Connection{Endpoint: *endpoint}).dial(bounded(t))
	require.NoError(t, err)
	host.close()
}

func TestPinnedKeyOfAnRSAHostAllowsItsNewerSignatures(t *testing.T) {
	require.Contains(t, hostKeyAlgorithms(ssh.KeyAlgoRSA), ssh.KeyAlgoRSASHA512)
	require.Equal(t, []string{ssh.KeyAlgoED25519}, hostKeyAlgorithms(ssh.KeyAlgoED25519))
}

func TestAttemptsAreCounted(t *testing.T) {
	for limit, want := range map[int]int{0: 1, 2: 3} {
		tries := 0
		_, err := untilLimit(bounded(t), "Dial", limit, func() (any, error) {
			tries++
			return nil, errors.New("refused")
		})
		require.ErrorContains(t, err, "refused")
		require.Equal(t, want, tries)
	}
}

func TestUnlimitedAttemptsEndWithTheContext(t *testing.T) {
	ctx, cancel := context.WithCancel(bounded(t))
	tries := 0
	_, err := untilLimit(ctx, "Dial", -1, func() (any, error) {
		if tries++; tries == 3 {
			cancel()
		}
		return nil, errors.New("refused")
	})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "refused")
	require.Equal(t, 3, tries)
}

func TestALoginThatHangsEndsWithTheContext(t *testing.T) {
	forever := 0
	for name, connection := range map[string]*Connection{
		"direct":       {Endpoint: *mute(t)},
		"proxied":      {Endpoint: *mute(t), Proxy: &ProxyConnection{*open(t)}},
		"at the proxy": {Endpoint: *open(t), Proxy: &ProxyConnection{*mute(t)}},
	} {
		connection.PerDialTimeout = &forever
		if connection.Proxy != nil {
			connection.Proxy.PerDialTimeout = &forever
		}
		ctx, cancel := context.WithTimeout(bounded(t), 100*time.Millisecond)
		_, err := connection.dial(ctx)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, name)
	}
}

func TestEachAttemptTakesANewWayThroughTheProxy(t *testing.T) {
	config := &ssh.ServerConfig{NoClientAuth: true}
	config.AddHostKey(newSigner(t))
	var attempts atomic.Int32
	booting := listen(t, func(conn net.Conn) {
		if attempts.Add(1) < 3 {
			_ = conn.Close()
			return
		}
		_, channels, requests, err := ssh.NewServerConn(conn, config)
		if err == nil {
			go ssh.DiscardRequests(requests)
			for channel := range channels {
				_ = channel.Reject(ssh.Prohibited, "")
			}
		}
	})
	limit := 5
	booting.DialErrorLimit = &limit
	host, err := (&Connection{Endpoint: *booting, Proxy: &ProxyConnection{*open(t)}}).dial(bounded(t))
	require.NoError(t, err)
	host.close()
	require.EqualValues(t, 3, attempts.Load())
}

func TestDeadAgents(t *testing.T) {
	gone := "/nonexistent/agent"
	t.Setenv("SSH_AUTH_SOCK", gone)
	host, err := (&Connection{Endpoint: *open(t)}).dial(bounded(t))
	require.NoError(t, err, "one that is only in the environment does not matter")
	host.close()

	endpoint := open(t)
	endpoint.AgentSocketPath = &gone
	_, err = (&Connection{Endpoint: *endpoint}).dial(bounded(t))
	require.ErrorContains(t, err, "agentSocketPath")
}
