package output

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func linesOf(parts ...string) []string {
	var lines []string
	w := &lineWriter{emit: func(line string) { lines = append(lines, line) }}
	for _, part := range parts {
		w.write([]byte(part))
	}
	w.flush()
	return lines
}

func TestLinesAreCutAtNewlinesOnly(t *testing.T) {
	require.Equal(t, []string{"one", "two", "three"}, linesOf("o", "ne\ntwo", "\nthree"))
}

func TestBlankLinesAndCarriageReturnsAreDropped(t *testing.T) {
	require.Equal(t, []string{"one", "two"}, linesOf("one\r\n\n  \r\ntwo\n"))
	require.Empty(t, linesOf(""))
}

func TestALineIsEmittedBeforeTheNextOneArrives(t *testing.T) {
	var lines []string
	w := &lineWriter{emit: func(line string) { lines = append(lines, line) }}
	w.write([]byte("one\ntw"))
	require.Equal(t, []string{"one"}, lines)
}

func TestAnOverlongLineComesInParts(t *testing.T) {
	line := strings.Repeat("x", 3*maxLine+5)
	parts := linesOf(line[:10], line[10:])
	require.Len(t, parts, 4)
	require.Equal(t, line, strings.Join(parts, ""))
}

func TestALineOfTheMaximumIsWhole(t *testing.T) {
	require.Len(t, linesOf(strings.Repeat("x", maxLine)+"\n"), 1)
}

func TestAnOverlongLineIsNotCutWithinACharacter(t *testing.T) {
	line := "x" + strings.Repeat("ü", maxLine)
	require.Equal(t, line, strings.Join(linesOf(line), ""))
}

func TestLinesAreValidUTF8(t *testing.T) {
	require.Equal(t, []string{"a\uFFFDb"}, linesOf("a\xff\xfeb\n"))
	// No character begins anywhere near the place to cut.
	for _, part := range linesOf(strings.Repeat("\x80", 2*maxLine)) {
		require.Equal(t, "\uFFFD", part)
	}
}
