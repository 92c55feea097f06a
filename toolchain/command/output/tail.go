package output

import "fmt"

// maxCombined bounds the output in an error message, in bytes. An error travels
// in a header of the engine's protocol: one of some megabytes breaks the
// connection, and with it all that the plugin has under way.
const maxCombined = 256 << 10

// tail keeps the end of what is written to it.
type tail struct {
	kept    []byte
	dropped int
}

func (t *tail) write(p []byte) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*maxCombined {
		t.trim()
	}
}

func (t *tail) trim() {
	if excess := len(t.kept) - maxCombined; excess > 0 {
		t.kept = append(t.kept[:0], t.kept[excess:]...)
		t.dropped += excess
	}
}

func (t *tail) String() string {
	t.trim()
	if t.dropped == 0 {
		return string(t.kept)
	}
	return fmt.Sprintf("(%d bytes before this left out)\n%s", t.dropped, t.kept)
}
