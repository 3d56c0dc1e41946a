package gateway

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/agent"
)

// door is a gateway that listens, and a way to end it.
func door(t *testing.T, c Client) (addr string, end func()) {
	t.Helper()
	h, err := NewHTTP(c, local)
	if err != nil {
		t.Fatal(err)
	}
	return h.Addr(), serve(t, h)
}

func TestHTTPConversation(t *testing.T) {
	c := &client{}
	addr, _ := door(t, c)
	for _, turn := range []struct {
		path, body string
		status     int
		answer     string
	}{
		{"/", `"ListInstalledPackages"`, 200, `{"variant":"FoundInstalledPackages","fields":[[{"name":"Movie&MusicPlayer","version":"rc2-beta3"}]]}`},
		{"/any/path?x=1", `{"variant":"StartDownload","fields":["u1"]}`, 200, `{"variant":"DownloadComplete","fields":[{"update_id":"u1","update_image":"/tmp/u1","signature":""}]}`},
		{"/", `{"variant":"SendUpdateReport","fields":[{"update_id":"u1","operation_results":[{"id":"u1","result_code":"OK","result_text":""}]}]}`, 200, `"UpdateReportSent"`},
		{"/", ``, 400, `{"error":"Failed to parse JSON: unexpected end of JSON input"}` + "\n"},
		{"/", `ls`, 400, `{"error":"Failed to parse JSON: invalid character 'l' looking for beginning of value"}` + "\n"},
		{"/", "\"\xff\"", 400, `{"error":"Failed to parse JSON: it is not UTF-8"}` + "\n"},
		{"/", `"MakeCoffee"`, 400, `{"error":"Failed to decode JSON: there is no command \"MakeCoffee\""}` + "\n"},
		{"/", `"SendSystemInfo"`, 500, `{"error":"the client has ended"}` + "\n"},
		{"/", strings.Repeat(" ", maxInput+1), 413, `{"error":"the command is longer than 1048576 bytes"}` + "\n"},
	} {
		resp, err := http.Post("http://"+addr+turn.path, "application/x-www-form-urlencoded", strings.NewReader(turn.body))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != turn.status || string(b) != turn.answer || resp.Header.Get("Content-Type") != "application/json; charset=utf-8" {
			t.Errorf("%.80s: %d %s %q, want %d %q", turn.body, resp.StatusCode, resp.Header.Get("Content-Type"), b, turn.status, turn.answer)
		}
	}
	if n := len(c.heard()); n != 4 {
		t.Errorf("the client heard %d commands", n)
	}
}

func TestShutdownGetsNoResponse(t *testing.T) {
	c := &client{}
	addr, _ := door(t, c)
	_, err := http.Post("http://"+addr, "application/json", strings.NewReader(`"Shutdown"`))
	if !errors.Is(err, io.EOF) {
		t.Errorf("error is %v, want the end of the connection", err)
	}
	if diff := cmp.Diff([]agent.Command{agent.Shutdown{}}, c.heard()); diff != "" {
		t.Error(diff)
	}
}

func TestALongCommandHoldsNobodyUp(t *testing.T) {
	c := &client{stuck: make(chan struct{})}
	addr, _ := door(t, c)
	answer := make(chan string)
	go func() {
		resp, err := http.Post("http://"+addr, "application/json", strings.NewReader(`{"variant":"StartInstall","fields":["u1"]}`))
		if err != nil {
			answer <- err.Error()
			return
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		answer <- string(b)
	}()
	resp, err := http.Post("http://"+addr, "application/json", strings.NewReader(`"GetUpdateRequests"`))
	if err != nil || resp.StatusCode != 200 {
		t.Fatal(resp, err)
	}
	resp.Body.Close()
	close(c.stuck)
	if got := <-answer; !strings.Contains(got, "InstallComplete") {
		t.Error(got)
	}
}

func TestTheEndClosesWaitingConnections(t *testing.T) {
	c := &client{stuck: make(chan struct{})}
	addr, end := door(t, c)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	body := `{"variant":"StartInstall","fields":["u1"]}`
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: %d\r\n\r\n", len(body))
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil { // it is being served
		t.Fatal(err)
	}
	io.WriteString(conn, body)
	end()
	if b, _ := io.ReadAll(conn); strings.Contains(string(b), "200 OK") {
		t.Errorf("answered %q", b)
	}
}
