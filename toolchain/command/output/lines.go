package output

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// maxLine bounds one logged line, in bytes. A longer one (base64, a progress bar
// that only returns the carriage) is passed on in parts, never held back.
const maxLine = 64 << 10

// lineWriter cuts a stream into lines. Blank lines say nothing in a log and are dropped.
type lineWriter struct {
	emit    func(line string)
	pending bytes.Buffer
}

func (w *lineWriter) write(p []byte) {
	for {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			break
		}
		w.pending.Write(p[:end])
		w.drain()
		w.flush()
		p = p[end+1:]
	}
	w.pending.Write(p)
	w.drain()
}

// drain passes on full parts of an overlong line.
func (w *lineWriter) drain() {
	for w.pending.Len() > maxLine {
		w.log(w.pending.Next(cut(w.pending.Bytes())))
	}
}

func (w *lineWriter) flush() {
	w.log(w.pending.Bytes())
	w.pending.Reset()
}

func (w *lineWriter) log(line []byte) {
	if text := strings.TrimSuffix(string(line), "\r"); strings.TrimSpace(text) != "" {
		w.emit(valid(text))
	}
}

// cut returns the length of the longest part that does not split a character.
func cut(line []byte) int {
	for end := maxLine; end > maxLine-utf8.UTFMax; end-- {
		if utf8.RuneStart(line[end]) {
			return end
		}
	}
	return maxLine
}
