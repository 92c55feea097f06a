package remote

import (
	"fmt"
	"net"
	"os"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// clientConfig returns how to log in and a function that frees what the login
// needed; call it when the connection stands or has failed for good.
func (e *Endpoint) clientConfig() (*ssh.ClientConfig, func(), error) {
	config := &ssh.ClientConfig{User: e.user()}
	if err := e.pinHostKey(config); err != nil {
		return nil, nil, err
	}
	if e.PrivateKey != nil {
		signer, err := e.signer()
		if err != nil {
			return nil, nil, fmt.Errorf("cannot read privateKey: %w", err)
		}
		config.Auth = append(config.Auth, ssh.PublicKeys(signer))
	}
	if e.Password != nil {
		config.Auth = append(config.Auth, ssh.Password(*e.Password), ssh.KeyboardInteractive(e.answerAll))
	}
	if e.PrivateKey != nil {
		// The library tries each method of the protocol once, so after a key of
		// its own an agent's keys would never be offered.
		return config, func() {}, nil
	}
	agentConn, err := e.dialAgent()
	if err != nil {
		return nil, nil, err
	}
	if agentConn == nil {
		return config, func() {}, nil
	}
	config.Auth = append(config.Auth, ssh.PublicKeysCallback(agent.NewClient(agentConn).Signers))
	return config, func() { _ = agentConn.Close() }, nil
}

func (e *Endpoint) signer() (ssh.Signer, error) {
	if e.PrivateKeyPassword != nil {
		return ssh.ParsePrivateKeyWithPassphrase([]byte(*e.PrivateKey), []byte(*e.PrivateKeyPassword))
	}
	return ssh.ParsePrivateKey([]byte(*e.PrivateKey))
}

// answerAll gives the password to every question, as servers do that ask for it
// through PAM.
func (e *Endpoint) answerAll(_, _ string, questions []string, _ []bool) ([]string, error) {
	answers := make([]string, len(questions))
	for i := range answers {
		answers[i] = *e.Password
	}
	return answers, nil
}

// dialAgent returns nil if there is no agent to ask. An agent that was asked for
// must answer; one that is only in the environment may be long gone.
func (e *Endpoint) dialAgent() (net.Conn, error) {
	if e.AgentSocketPath != nil {
		conn, err := net.Dial("unix", *e.AgentSocketPath)
		if err != nil {
			return nil, fmt.Errorf("cannot reach the agent at agentSocketPath: %w", err)
		}
		return conn, nil
	}
	socket := os.Getenv("SSH_AUTH_SOCK")
	if socket == "" {
		return nil, nil
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return nil, nil
	}
	return conn, nil
}

func (e *Endpoint) pinHostKey(config *ssh.ClientConfig) error {
	if e.HostKey == nil {
		config.HostKeyCallback = ssh.InsecureIgnoreHostKey() // the documented meaning of an unset hostKey
		return nil
	}
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(*e.HostKey))
	if err != nil {
		return fmt.Errorf("cannot read hostKey, expected one line as in authorized_keys: %w", err)
	}
	config.HostKeyCallback = ssh.FixedHostKey(key)
	// A server has keys of several types. Unless told, it may prove itself with
	// another than the pinned one.
	config.HostKeyAlgorithms = hostKeyAlgorithms(key.Type())
	return nil
}

func hostKeyAlgorithms(keyType string) []string {
	if keyType == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSA}
	}
	return []string{keyType}
}
