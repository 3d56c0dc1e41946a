package operator_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

const (
	upPath = "/api/v1/packages/a/1"
	upType = "multipart/form-data; boundary=b"
	// What a form is made of.
	fileHead = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"x\"\r\n\r\n"
	textHead = "--b\r\nContent-Disposition: form-data; name=\"vendor\"\r\n\r\n"
	formEnd  = "\r\n--b--\r\n"
)

// left lists the files in the blobs' folder.
func (w *world) left() (files []string) {
	w.t.Helper()
	err := filepath.WalkDir(w.blobs, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			files = append(files, path)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return files
}

// nothingStays fails if a refused upload left a package or bytes.
func (w *world) nothingStays() {
	w.t.Helper()
	if got := w.ask("GET", "/api/v1/packages", "", 200); got.text != "[]\n" {
		w.t.Errorf("something got through: %s", got.text)
	}
	if files := w.left(); len(files) > 0 {
		w.t.Errorf("left behind: %v", files)
	}
}

func TestUploadsThatAreRefused(t *testing.T) {
	w := start(t)
	big := strings.Repeat("x", 70<<10)
	for _, tt := range []struct {
		name, path, body, contentType string
		status                        int
		code                          string
	}{
		{"no form", upPath, "hello", "application/octet-stream", 400, "invalid_entity"},
		{"no type", upPath, "hello", "", 400, "invalid_entity"},
		{"another form", upPath, "file=hello", "application/x-www-form-urlencoded", 400, "invalid_entity"},
		{"no boundary", upPath, fileHead + "x" + formEnd, "multipart/form-data", 400, "invalid_entity"},
		{"another boundary", upPath, fileHead + "x" + formEnd, "multipart/form-data; boundary=c", 400, "invalid_entity"},
		{"empty boundary", upPath, "--\r\n\r\n----", "multipart/form-data; boundary=\"\"", 400, "invalid_entity"},
		{"no part", upPath, "--b--\r\n", upType, 400, "invalid_entity"},
		{"no file", upPath, textHead + "x" + formEnd, upType, 400, "invalid_entity"},
		{"no name", upPath, "--b\r\n\r\nx" + formEnd, upType, 400, "invalid_entity"},
		{"empty", upPath, "", upType, 400, "invalid_entity"},
		{"two files", upPath, fileHead + "one\r\n" + fileHead + "two" + formEnd, upType, 400, "invalid_entity"},
		{"two files with a part between", upPath, fileHead + "one\r\n" + textHead + "x\r\n" + fileHead + "two" + formEnd, upType, 400, "invalid_entity"},
		{"cut in the file", upPath, fileHead + "hel", upType, 400, "invalid_entity"},
		{"cut in the head", upPath, fileHead[:20], upType, 400, "invalid_entity"},
		{"cut behind the file", upPath, fileHead + "hello\r\n--b\r\n", upType, 400, "invalid_entity"},
		{"cut in the last boundary", upPath, fileHead + "hello\r\n--", upType, 400, "invalid_entity"},
		{"a byte too much", upPath, fileHead + strings.Repeat("x", 1<<20+1) + formEnd, upType, 413, "too_large"},
		{"too much to look at", upPath, fileHead + strings.Repeat("x", 2<<20) + formEnd, upType, 413, "too_large"},
		{"long preamble", upPath, big + "\r\n" + fileHead + "x" + formEnd, upType, 400, "invalid_entity"},
		{"long preamble of lines", upPath, strings.Repeat("x\r\n", 30<<10) + fileHead + "x" + formEnd, upType, 400, "invalid_entity"},
		{"long part before the file", upPath, textHead + big + "\r\n" + fileHead + "x" + formEnd, upType, 400, "invalid_entity"},
		{"long part behind the file", upPath, fileHead + "x\r\n" + textHead + big + formEnd, upType, 400, "invalid_entity"},
		{"long epilogue", upPath, fileHead + "x" + formEnd + big, upType, 400, "invalid_entity"},
		{"a long header", upPath, "--b\r\nX: " + big + "\r\n" + fileHead[5:] + "x" + formEnd, upType, 400, "invalid_entity"},
		{"many headers", upPath, "--b\r\n" + strings.Repeat("X: y\r\n", 12_000) + fileHead[5:] + "x" + formEnd, upType, 400, "invalid_entity"},
		{"many parts", upPath, strings.Repeat("--b\r\n\r\n\r\n", 10_000) + fileHead + "x" + formEnd, upType, 400, "invalid_entity"},
		{"space in the name", "/api/v1/packages/a%20b/1", fileHead + "x" + formEnd, upType, 400, "invalid_entity"},
		{"slash in the version", "/api/v1/packages/a/1%2f2", fileHead + "x" + formEnd, upType, 400, "invalid_entity"},
		{"dots", "/api/v1/packages/%2e%2e/1", fileHead + "x" + formEnd, upType, 400, "invalid_entity"},
		{"a long name", "/api/v1/packages/" + strings.Repeat("n", 201) + "/1", fileHead + "x" + formEnd, upType, 400, "invalid_entity"},
		{"a long vendor", upPath + "?vendor=" + strings.Repeat("v", 10_001), fileHead + "x" + formEnd, upType, 400, "invalid_entity"},
		{"no such force", upPath + "?force=perhaps", fileHead + "x" + formEnd, upType, 400, "invalid_entity"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w.t = t
			w.refused("PUT", tt.path, tt.body, tt.status, tt.code, "Content-Type", tt.contentType)
			w.nothingStays()
		})
	}
}

func TestFormsThatAreTaken(t *testing.T) {
	w := start(t)
	for name, tt := range map[string]struct{ body, contentType, want string }{
		"plain":                    {fileHead + "hello" + formEnd, upType, "hello"},
		"parts around":             {textHead + "x\r\n" + fileHead + "hello\r\n" + textHead + "y" + formEnd, upType, "hello"},
		"no line end at the end":   {fileHead + "hello" + strings.TrimRight(formEnd, "\r\n"), upType, "hello"},
		"preamble and epilogue":    {"this is\r\n" + fileHead + "hello" + formEnd + "a form", upType, "hello"},
		"a file that looks like b": {fileHead + "\r\n--bb\r\n--" + formEnd, upType, "\r\n--bb\r\n--"},
		"an empty file":            {fileHead + formEnd, upType, ""},
		"without a file name":      {strings.Replace(fileHead, "; filename=\"x\"", "", 1) + "hello" + formEnd, upType, "hello"},
		"exactly the allowed size": {fileHead + strings.Repeat("x", 1<<20) + formEnd, upType, strings.Repeat("x", 1<<20)},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.ask("PUT", upPath, tt.body, 204, "Content-Type", tt.contentType)
			if got := w.ask("GET", upPath+"/file", "", 200); got.text != tt.want {
				t.Errorf("stored %.100q", got.text)
			}
		})
	}
}

// dial sends the beginning of a request by hand.
func (w *world) dial(text string) *net.TCPConn {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.srv.Listener.Addr().String())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // so that a test that fails ends
	if _, err := io.WriteString(conn, text); err != nil {
		w.t.Fatal(err)
	}
	return conn.(*net.TCPConn)
}

// hangsUp reads the answer and checks that the server ends the connection.
func (w *world) hangsUp(conn net.Conn, status int, code string) {
	w.t.Helper()
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	if got := into[httpapi.Problem](w.t, answer{resp, string(text)}); resp.StatusCode != status || got.Code != code || !resp.Close {
		w.t.Errorf("%s (closing: %v) %s, want %d %s", resp.Status, resp.Close, text, status, code)
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || err == nil {
		w.t.Errorf("after the answer: %d bytes, %v", n, err)
	}
}

// Who is refused gets the answer at once, whatever they meant to send, and
// the server does not go on reading.
func TestARefusedUploadIsNotReadToItsEnd(t *testing.T) {
	const size = "Content-Length: 5000000000\r\n"
	for name, tt := range map[string]struct {
		auth, head, body string
		status           int
		code             string
	}{
		"too large by its own word": {"admin", size, "", 413, "too_large"},
		"waiting for a go-ahead":    {"admin", size + "Expect: 100-continue\r\n", "", 413, "too_large"},
		"too large as it comes":     {"admin", "Transfer-Encoding: chunked\r\n", chunk(fileHead) + strings.Repeat(chunk(strings.Repeat("x", 100_000)), 3), 413, "too_large"},
		"two files":                 {"admin", "Transfer-Encoding: chunked\r\n", chunk(fileHead + "x\r\n" + fileHead), 400, "invalid_entity"},
		"nobody":                    {"nobody", size, "", 401, "invalid_token"},
		"nobody, with a little":     {"nobody", "Content-Length: 2000\r\n", "", 401, "invalid_token"},
		"no namespace":              {"admin", size + "x-ats-namespace: \xff\r\n", "", 400, "invalid_entity"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, func(o *fleet.Options) { o.MaxUpload = 1000 })
			conn := w.dial("PUT " + upPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + tt.auth + "\r\nContent-Type: " + upType + "\r\n" + tt.head + "\r\n" + tt.body)
			w.hangsUp(conn, tt.status, tt.code)
			w.nothingStays()
			sent, piece := 0, make([]byte, 1<<20)
			for err := error(nil); err == nil; sent++ {
				if sent > 256 {
					t.Fatal("the server goes on reading")
				}
				_, err = conn.Write(piece)
			}
		})
	}
}

func chunk(s string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(s), s) }

// A connection that ends early leaves nothing, wherever that was.
func TestAnUploadThatBreaksOff(t *testing.T) {
	w := start(t)
	whole := fileHead + "hello" + formEnd
	for _, at := range []int{0, 1, len(fileHead) - 1, len(fileHead), len(fileHead) + 2, len(fileHead) + 5, len(whole) - 5, len(whole)} {
		t.Run(fmt.Sprintf("after %d bytes", at), func(t *testing.T) {
			w.t = t
			conn := w.dial("PUT " + upPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Type: " + upType +
				fmt.Sprintf("\r\nContent-Length: %d\r\n\r\n", len(whole)+1) + whole[:at])
			if err := conn.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			w.hangsUp(conn, 400, "invalid_entity")
			w.nothingStays()
		})
	}
}

// fullDisk is a disk that is full after some bytes.
type fullDisk struct{ ota.Blobs }

func (d fullDisk) Put(ctx context.Context, r io.Reader, max int64) (ota.Sums, error) {
	if _, err := io.CopyN(io.Discard, r, 3); err != nil {
		return ota.Sums{}, err
	}
	return ota.Sums{}, ota.Fail(ota.KindNoSpace, "no_space", "the disk is full")
}

func TestAFullDiskIs507(t *testing.T) {
	w := start(t, func(o *fleet.Options) { o.Blobs = fullDisk{o.Blobs} })
	conn := w.dial("PUT " + upPath + " HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin\r\nContent-Type: " + upType +
		"\r\nContent-Length: 1000000\r\n\r\n" + fileHead + "hello")
	w.hangsUp(conn, 507, "no_space")
	w.nothingStays()
}
