package socket

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/swm"
)

// client is the client behind its socket of commands.
type client struct {
	path string
	log  *slog.Logger
}

var _ swm.Client = client{}

// answerTime is how long the client may take for a command: it tells its server
// of it before it answers.
const answerTime = 5 * time.Minute

type result struct {
	ID   string `json:"id"`
	Code uint8  `json:"result_code"`
	Text string `json:"result_text"`
}

type report struct {
	Update  ota.UpdateID `json:"update_id"`
	Results []result     `json:"operation_results"`
}

type pkg struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

func (c client) StartDownload(ctx context.Context, id ota.UpdateID) error {
	return c.send(ctx, "StartDownload", id)
}

func (c client) SendUpdateReport(ctx context.Context, r ota.Report) error {
	w := report{Update: r.Update, Results: make([]result, len(r.Results))}
	for i, o := range r.Results {
		w.Results[i] = result{o.ID, uint8(o.Code), o.Text}
	}
	return c.send(ctx, "SendUpdateReport", w)
}

func (c client) SendInstalledPackages(ctx context.Context, packages []ota.PackageID) error {
	list := make([]pkg, len(packages))
	for i, p := range packages {
		list[i] = pkg(p)
	}
	return c.send(ctx, "SendInstalledPackages", list)
}

// send gives the client a command and waits for its final event. It fails if
// there is none, or if the client could not write the command down: what its
// server does not hear at once the client tells it later.
func (c client) send(ctx context.Context, command string, argument any) error {
	text, err := encode(command, argument)
	if err != nil {
		return err
	}
	if len(text) > maxInput {
		c.log.Warn("a command is too long for the client", "command", command, "bytes", len(text))
		return nil
	}
	answer, err := c.exchange(ctx, text)
	if err != nil {
		return err
	}
	var e struct {
		Variant string   `json:"variant"`
		Fields  []string `json:"fields"`
	}
	if json.Unmarshal(answer, &e) != nil || e.Variant != "Error" {
		return nil // any other event is good news
	}
	said := strings.Join(e.Fields, " ")
	if strings.HasPrefix(said, "IO error") {
		return fmt.Errorf("%s: %s", command, said)
	}
	c.log.Warn("the client is not happy", "command", command, "error", said)
	return nil
}

// encode writes a command (client.md 4.2).
func encode(command string, argument any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(struct {
		Variant string `json:"variant"`
		Fields  []any  `json:"fields"`
	}{command, []any{argument}})
	return b.Bytes(), err
}

func (c client) exchange(ctx context.Context, text []byte) ([]byte, error) {
	d := net.Dialer{Timeout: patience}
	conn, err := d.DialContext(ctx, "unix", c.path)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	conn.SetDeadline(time.Now().Add(answerTime))
	if _, err := conn.Write(text); err != nil {
		return nil, err
	}
	if err := conn.(*net.UnixConn).CloseWrite(); err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(io.LimitReader(conn, maxInput))
	if err == nil && len(answer) == 0 {
		err = errors.New("the client closed the connection without an answer")
	}
	return answer, err
}
