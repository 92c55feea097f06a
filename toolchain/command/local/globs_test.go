package local

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheLastMatchingRuleDecides(t *testing.T) {
	rules, err := parseRules([]string{"assets/**", "src/*.js", "!**secret.*", "src/no-secret.js"})
	require.NoError(t, err)
	for name, want := range map[string]bool{
		"assets/logos/logo.svg": true,
		"src/index.js":          true,
		"src/deep/index.js":     false,
		"src/secret.js":         false,
		"assets/a/secret.txt":   false,
		"src/no-secret.js":      true,
		"other":                 false,
	} {
		require.Equal(t, want, selected(rules, name), name)
	}
}

func TestABadPatternIsNamed(t *testing.T) {
	_, err := parseRules([]string{"ok", "[bad"})
	require.ErrorContains(t, err, `"[bad"`)
}
