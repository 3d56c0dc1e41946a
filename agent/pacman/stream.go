package pacman

import (
	"os"
	"path/filepath"
	"syscall"
)

// longestStream is how long the file of a stream may get, in bytes, before it
// is emptied and only its end is kept.
const longestStream = 1 << 20

// stream is one of a run's two outputs. It goes to a file rather than a pipe:
// what the run leaves behind, such as a service that a maintainer script
// started, may hold it open for ever, and must not die of a broken pipe.
type stream struct {
	file *os.File
	kept []byte // the end of what was there before the file was last emptied
}

func newStream(dir, name string) (*stream, error) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_RDWR|os.O_CREATE|os.O_TRUNC|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	return &stream{file: f}, nil
}

// bound empties the file if it is too long. The writers append, so they go on
// at its new end; what they write in this very moment may be lost.
func (s *stream) bound() {
	if st, err := s.file.Stat(); err != nil || st.Size() <= longestStream {
		return
	}
	s.kept = []byte(s.tail())
	s.file.Truncate(0)
}

// tail is the end of what was written, at most maxStream bytes.
func (s *stream) tail() string {
	return clean(string(s.kept) + endOf(s.file))
}

// readEnd is the end of a stream of which only the file is left.
func readEnd(dir, name string) string {
	f, err := os.Open(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	defer f.Close()
	return clean(endOf(f))
}

func endOf(f *os.File) string {
	st, err := f.Stat()
	if err != nil {
		return ""
	}
	end := make([]byte, min(st.Size(), maxStream))
	n, _ := f.ReadAt(end, st.Size()-int64(len(end)))
	return string(end[:n])
}
