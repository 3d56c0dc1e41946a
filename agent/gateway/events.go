package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/updraft-ota/updraft/agent"
)

// told is an event of the log as it is written.
type told struct {
	Seq   uint64          `json:"seq"`
	At    time.Time       `json:"at"`
	Event json.RawMessage `json:"event"`
}

const (
	mostEvents  = 1000
	longestWait = 60 // seconds
)

// events answers GET /events?since=N&limit=M&wait=S with a JSON array of at
// most M (1000) of the events after number N (0), oldest first, each
//
//	{"seq":1000000017,"at":"2026-01-02T03:04:05.678Z","event":…}
//
// with the event as in client.md 4.3. The next question is since the last seq.
// A first seq above N+1 means that events between are forgotten. While there
// are none, the answer is [], after S seconds (0, at most 60) in which none
// came. Numbers that are not whole, or too big, are 400.
func (s *Websocket) events(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	since, err1 := number(q, "since", 0, 1<<63)
	limit, err2 := number(q, "limit", mostEvents, mostEvents)
	wait, err3 := number(q, "wait", 0, longestWait)
	if err := errors.Join(err1, err2, err3); err != nil {
		s.refuse(w, http.StatusBadRequest, err)
		return
	}
	list := s.newer(r.Context(), since, time.Duration(wait)*time.Second)
	b, err := encodeTold(list[:min(uint64(len(list)), limit)])
	if err != nil {
		s.refuse(w, http.StatusInternalServerError, err)
		return
	}
	w.Write(b)
}

// newer returns what happened since, and waits for it if nothing has.
func (s *Websocket) newer(ctx context.Context, since uint64, wait time.Duration) []agent.Told {
	if wait == 0 {
		return s.client.Since(since)
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	news := s.client.Subscribe(1)
	defer news.Close()
	for {
		if list := s.client.Since(since); len(list) > 0 {
			return list
		}
		if _, _, err := news.Next(ctx); err != nil {
			return nil
		}
	}
}

func encodeTold(list []agent.Told) ([]byte, error) {
	out := make([]told, len(list))
	for i, t := range list {
		e, err := EncodeEvent(t.Event)
		if err != nil {
			return nil, err
		}
		out[i] = told{t.Seq, t.At.UTC(), e}
	}
	return marshal(out)
}

// number reads a whole number from 0 to most.
func number(q url.Values, name string, without, most uint64) (uint64, error) {
	if !q.Has(name) {
		return without, nil
	}
	n, err := strconv.ParseUint(q.Get(name), 10, 64)
	if err != nil || n > most {
		return 0, fmt.Errorf("%s: expected a whole number from 0 to %d, not %.40q", name, most, q.Get(name))
	}
	return n, nil
}
