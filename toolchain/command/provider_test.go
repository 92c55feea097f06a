package main

import (
	"context"
	"testing"

	"github.com/blang/semver"
	provider "github.com/pulumi/pulumi-go-provider"
	"github.com/pulumi/pulumi-go-provider/integration"
	"github.com/pulumi/pulumi/sdk/v3/go/common/resource"
	"github.com/pulumi/pulumi/sdk/v3/go/property"
	"github.com/stretchr/testify/require"
)

func newServer(t *testing.T) integration.Server {
	t.Helper()
	server, err := integration.NewServer(
		context.Background(), "command", semver.MustParse(version), integration.WithProvider(newProvider()))
	require.NoError(t, err)
	return server
}

func inputs(extra map[string]property.Value) property.Map {
	all := map[string]property.Value{
		"connection": property.New(property.NewMap(map[string]property.Value{
			"host": property.New("h"), "password": property.New("p"),
		})),
		"create": property.New("c"),
	}
	for name, value := range extra {
		all[name] = value
	}
	return property.NewMap(all)
}

func triggers(values ...property.Value) map[string]property.Value {
	return map[string]property.Value{"triggers": property.New(property.NewArray(values))}
}

func diff(t *testing.T, olds, news property.Map) provider.DiffResponse {
	t.Helper()
	state := olds.Set("stdout", property.New("")).Set("stderr", property.New(""))
	resp, err := newServer(t).Diff(provider.DiffRequest{
		ID: "id", Urn: resource.NewURN("s", "p", "", "command:remote:Command", "n"),
		State: state, OldInputs: olds, Inputs: news,
	})
	require.NoError(t, err)
	return resp
}

func TestTriggersReplace(t *testing.T) {
	one, two := property.New("1"), property.New("2")
	for name, change := range map[string]struct {
		olds, news map[string]property.Value
		path       string
		kind       provider.DiffKind
	}{
		"changed":   {triggers(one), triggers(two), "triggers[0]", provider.UpdateReplace},
		"longer":    {triggers(one), triggers(one, two), "triggers[1]", provider.AddReplace},
		"shorter":   {triggers(one, two), triggers(one), "triggers[1]", provider.DeleteReplace},
		"first one": {nil, triggers(one), "triggers", provider.AddReplace},
		"no more":   {triggers(one), nil, "triggers", provider.DeleteReplace},
	} {
		resp := diff(t, inputs(change.olds), inputs(change.news))
		require.True(t, resp.HasChanges, name)
		require.Equal(t, change.kind, resp.DetailedDiff[change.path].Kind, name)
	}
}

func TestOtherInputsUpdate(t *testing.T) {
	resp := diff(t, inputs(nil), inputs(map[string]property.Value{"create": property.New("d")}))
	require.Equal(t, provider.Update, resp.DetailedDiff["create"].Kind)
	require.False(t, diff(t, inputs(nil), inputs(nil)).HasChanges)
}

// The flags of the published plugin's schema: a state that one of the two wrote is the same to the other.
func TestConnectionsSecretsAreSecretOneByOne(t *testing.T) {
	fields := map[string]property.Value{
		"host": property.New("h"), "password": property.New("p"), "privateKey": property.New("k"),
		"privateKeyPassword": property.New("w"), "hostKey": property.New("open"), "agentSocketPath": property.New("open"),
	}
	proxy := property.New(property.NewMap(fields))
	connection := property.New(property.NewMap(fields).Set("proxy", proxy))
	resp, err := newServer(t).Check(provider.CheckRequest{
		Urn:    resource.NewURN("s", "p", "", "command:remote:Command", "n"),
		Inputs: inputs(map[string]property.Value{"connection": connection}),
	})
	require.NoError(t, err)
	checked := resp.Inputs.Get("connection").AsMap()
	for _, endpoint := range []property.Map{checked, checked.Get("proxy").AsMap()} {
		for name := range fields {
			secret := name == "password" || name == "privateKey" || name == "privateKeyPassword"
			require.Equal(t, secret, endpoint.Get(name).Secret(), name)
		}
	}
	require.False(t, checked.Get("proxy").Secret())
}

func TestConnectionIsSecretAndHasDefaults(t *testing.T) {
	resp, err := newServer(t).Check(provider.CheckRequest{
		Urn: resource.NewURN("s", "p", "", "command:remote:Command", "n"), Inputs: inputs(nil),
	})
	require.NoError(t, err)
	require.Empty(t, resp.Failures)
	connection := resp.Inputs.Get("connection")
	require.True(t, connection.Secret())
	require.Equal(t, map[string]property.Value{
		"host": property.New("h"), "password": property.New("p").WithSecret(true), "user": property.New("root"),
		"port": property.New(22.0), "dialErrorLimit": property.New(10.0), "perDialTimeout": property.New(15.0),
	}, connection.AsMap().AsMap())
}

func TestSecretInputsAreSecretOutputs(t *testing.T) {
	connection := inputs(nil).Get("connection").WithSecret(true)
	resp, err := newServer(t).Create(provider.CreateRequest{
		Urn: resource.NewURN("s", "p", "", "command:remote:Command", "n"),
		Properties: property.NewMap(map[string]property.Value{
			"connection": connection, "stdin": property.New("hidden").WithSecret(true), "delete": property.New("open"),
		}),
	})
	require.NoError(t, err)
	for name, secret := range map[string]bool{"connection": true, "stdin": true, "delete": false, "stdout": false} {
		require.Equal(t, secret, resp.Properties.Get(name).Secret(), name)
	}
}

func TestStateOfAnOlderPluginCanBeDeleted(t *testing.T) {
	// Without the inputs that came later, and without a delete command: nothing is dialed.
	err := newServer(t).Delete(provider.DeleteRequest{
		ID: "id", Urn: resource.NewURN("s", "p", "", "command:remote:Command", "n"),
		Properties: inputs(nil).Set("stdout", property.New("")).Set("stderr", property.New("")),
	})
	require.NoError(t, err)
}
