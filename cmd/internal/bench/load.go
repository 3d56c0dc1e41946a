package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load is what one round of requests showed.
type load struct {
	perSecond float64
	p99       time.Duration
}

// hammer sends requests over conns keep-alive connections for d, each
// connection walking through its share of the requests, and fails on any
// answer that is not 200. It writes ready-made bytes and reads no more of an
// answer than it must: what is measured is the server.
func hammer(addr string, requests [][]byte, conns int, d time.Duration) (load, error) {
	var (
		group  sync.WaitGroup
		mu     sync.Mutex
		all    []time.Duration
		failed atomic.Pointer[error]
	)
	end := time.Now().Add(d)
	began := time.Now()
	for i := range conns {
		group.Go(func() {
			took, err := hammerOne(addr, requests, i, conns, end)
			if err != nil {
				failed.Store(&err)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, took...)
		})
	}
	group.Wait()
	elapsed := time.Since(began)
	if err := failed.Load(); err != nil {
		return load{}, *err
	}
	slices.Sort(all)
	return load{perSecond: float64(len(all)) / elapsed.Seconds(), p99: all[len(all)*99/100]}, nil
}

func hammerOne(addr string, requests [][]byte, first, step int, end time.Time) ([]time.Duration, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	r := bufio.NewReaderSize(c, 16<<10)
	var took []time.Duration
	for i := first % len(requests); ; i = (i + step) % len(requests) {
		began := time.Now()
		if began.After(end) {
			return took, nil
		}
		if _, err := c.Write(requests[i]); err != nil {
			return nil, err
		}
		if err := skipAnswer(r); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
}

// skipAnswer reads one answer with a Content-Length and drops it.
func skipAnswer(r *bufio.Reader) error {
	status, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if !bytes.HasPrefix(status, []byte("HTTP/1.1 200")) {
		return fmt.Errorf("answer %q", bytes.TrimSpace(status))
	}
	length := -1
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return fmt.Errorf("an answer without Content-Length")
	}
	_, err = r.Discard(length)
	return err
}

// get is a ready-made request.
func get(host, path, token string) []byte {
	auth := ""
	if token != "" {
		auth = "Authorization: Bearer " + token + "\r\n"
	}
	return fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", path, host, auth)
}

// place is where an artifact can be had.
type place struct {
	addr, path string
	size       int64
}

func (p place) String() string { return p.addr + p.path }

// drain downloads once over each of conns connections, all at the same time,
// and returns bytes per second.
func (p place) drain(conns int) (float64, error) {
	var (
		group  sync.WaitGroup
		sum    atomic.Int64
		failed atomic.Pointer[error]
	)
	began := time.Now()
	for range conns {
		group.Go(func() {
			n, err := p.drainOne()
			if err == nil && n < p.size {
				err = fmt.Errorf("%d bytes came of %d", n, p.size)
			}
			if err != nil {
				failed.Store(&err)
			}
			sum.Add(n)
		})
	}
	group.Wait()
	if err := failed.Load(); err != nil {
		return 0, *err
	}
	return float64(sum.Load()) / time.Since(began).Seconds(), nil
}

// drainOne downloads once and returns how many bytes came, head included.
func (p place) drainOne() (int64, error) {
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", p.path, p.addr); err != nil {
		return 0, err
	}
	status := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(c, status); err != nil || string(status) != "HTTP/1.1 200" {
		return 0, fmt.Errorf("answer %q, %v", status, err)
	}
	var n int64
	buf := make([]byte, 256<<10)
	for {
		k, err := c.Read(buf)
		n += int64(k)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return 0, err
		}
	}
}
