package remote

import (
	"net"
	"strconv"
	"time"

	"github.com/pulumi/pulumi-go-provider/infer"
)

const (
	defaultUser           = "root"
	defaultPort           = 22
	defaultDialErrorLimit = 10
	defaultPerDialTimeout = 15
)

// Connection says how to reach the host of a resource.
type Connection struct {
	Endpoint
	Proxy *ProxyConnection `pulumi:"proxy,optional"`
}

// Annotate describes the type in the schema.
func (c *Connection) Annotate(a infer.Annotator) {
	a.Describe(&c, "How to connect to a host over SSH.")
	a.Describe(&c.Proxy, "A host to connect through (bastion, jump host).")
}

// ProxyConnection says how to reach the host that connections go through.
type ProxyConnection struct {
	Endpoint
}

// Annotate describes the type in the schema.
func (c *ProxyConnection) Annotate(a infer.Annotator) {
	a.Describe(&c, "How to connect to the host that connections go through.")
}

// Endpoint is one SSH server and how to log in there.
type Endpoint struct {
	Host               *string  `pulumi:"host"`
	User               *string  `pulumi:"user,optional"`
	Port               *float64 `pulumi:"port,optional"`
	Password           *string  `pulumi:"password,optional" provider:"secret"`
	PrivateKey         *string  `pulumi:"privateKey,optional" provider:"secret"`
	PrivateKeyPassword *string  `pulumi:"privateKeyPassword,optional" provider:"secret"`
	AgentSocketPath    *string  `pulumi:"agentSocketPath,optional"`
	HostKey            *string  `pulumi:"hostKey,optional"`
	DialErrorLimit     *int     `pulumi:"dialErrorLimit,optional"`
	PerDialTimeout     *int     `pulumi:"perDialTimeout,optional"`
}

// Annotate describes the fields in the schema and sets their defaults.
func (e *Endpoint) Annotate(a infer.Annotator) {
	a.Describe(&e.Host, "The name or address of the host.")
	a.Describe(&e.User, "The user to log in as.")
	a.SetDefault(&e.User, defaultUser)
	a.Describe(&e.Port, "The port of the SSH server. Defaults to 22.")
	a.SetDefault(&e.Port, defaultPort)
	a.Describe(&e.Password, "The password to log in with.")
	a.Describe(&e.PrivateKey, "The text of the SSH key to log in with. It is preferred to the password.")
	a.Describe(&e.PrivateKeyPassword, "The passphrase of an encrypted private key.")
	a.Describe(&e.AgentSocketPath, "The socket of an SSH agent. Defaults to the value of SSH_AUTH_SOCK, if set.")
	a.Describe(&e.HostKey, "The public key that the host must prove to have, as in an authorized_keys file. "+
		"If unset, the host's identity is not checked.")
	a.Describe(&e.DialErrorLimit, "How many failed attempts to connect are retried. -1 means all of them. Defaults to 10.")
	a.SetDefault(&e.DialErrorLimit, defaultDialErrorLimit)
	a.Describe(&e.PerDialTimeout, "The limit of one attempt to connect, in seconds. 0 means none. Defaults to 15.")
	a.SetDefault(&e.PerDialTimeout, defaultPerDialTimeout)
}

// The getters repeat the schema's defaults: state written by older versions of
// the published plugin lacks the inputs that came later.

func (e *Endpoint) user() string {
	return valueOr(e.User, defaultUser)
}

func (e *Endpoint) address() string {
	return net.JoinHostPort(valueOr(e.Host, ""), strconv.Itoa(int(valueOr(e.Port, defaultPort))))
}

func (e *Endpoint) dialErrorLimit() int {
	return valueOr(e.DialErrorLimit, defaultDialErrorLimit)
}

// perDialTimeout is zero if an attempt may take any time.
func (e *Endpoint) perDialTimeout() time.Duration {
	return time.Duration(valueOr(e.PerDialTimeout, defaultPerDialTimeout)) * time.Second
}

func valueOr[T any](value *T, fallback T) T {
	if value == nil {
		return fallback
	}
	return *value
}
