package output

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTailKeepsAllOfLittle(t *testing.T) {
	var kept tail
	kept.write([]byte(strings.Repeat("x", maxCombined-1)))
	kept.write([]byte("y"))
	require.Equal(t, strings.Repeat("x", maxCombined-1)+"y", kept.String())
}

func TestTailKeepsTheEndOfMuch(t *testing.T) {
	const size = 5*maxCombined + 7
	for _, step := range []int{1, 1000, size} {
		var kept tail
		for text := strings.Repeat("x", size) + "END"; text != ""; {
			n := min(step, len(text))
			kept.write([]byte(text[:n]))
			text = text[n:]
		}
		note := fmt.Sprintf("(%d bytes before this left out)\n", size+3-maxCombined)
		require.Equal(t, note+strings.Repeat("x", maxCombined-3)+"END", kept.String())
		require.LessOrEqual(t, cap(kept.kept), 8*maxCombined)
	}
}
