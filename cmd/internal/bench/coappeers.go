package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// rawPeer is a device that asks for one block after the other, each as soon
// as it has the one before, and costs as little as it can: what is measured is
// the server.
type rawPeer struct {
	fd      int
	path    string
	request []byte
	id      uint16
	block   byte
	echo    []byte // to be sent with the next request
	sent    time.Time
}

// next sends the next request.
func (p *rawPeer) next() error {
	p.id++
	b := append(p.request[:0], 0x44, 1, byte(p.id>>8), byte(p.id), 'b', 'e', 'n', 'c')
	b = append(b, 0xB0|byte(len(p.path)))
	b = append(b, p.path...)
	b = append(b, 0xC1, p.block<<4|6)
	if p.echo != nil {
		b = append(b, 0xD0|byte(len(p.echo)), 252-23-13)
		b = append(b, p.echo...)
		p.echo = nil
	}
	p.request, p.sent = b, time.Now()
	if _, err := unix.Write(p.fd, b); err != nil && !errors.Is(err, unix.ECONNREFUSED) {
		return err
	}
	return nil
}

// answered checks an answer; block says whether it was one.
func (p *rawPeer) answered(b []byte) (block bool, err error) {
	switch {
	case len(b) < 8 || binary.BigEndian.Uint16(b[2:]) != p.id:
		return false, nil // late
	case b[1] == 0x81 && len(b) > 10 && b[8]>>4 == 13:
		p.echo = append([]byte(nil), b[10:]...) // it wants our address proven
		return false, p.next()
	case b[1] == 0x45 && len(b) >= 1024:
		p.block = (p.block + 1) % (coapFile / 1024)
		return true, p.next()
	}
	return false, fmt.Errorf("a block of 1024 bytes is answered by %d.%02d and %d bytes", b[1]>>5, b[1]&31, len(b))
}

// fetchBlocks has peers fetch blocks for d and returns how many a second.
func fetchBlocks(server netip.AddrPort, path string, peers int, d time.Duration) (float64, error) {
	poll, err := unix.EpollCreate1(0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(poll)
	byFD := make(map[int32]*rawPeer)
	for range peers {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return 0, err
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(server.Port()), Addr: server.Addr().As4()}); err != nil {
			return 0, err
		}
		p := &rawPeer{fd: fd, path: path[1:]}
		byFD[int32(fd)] = p
		if err := unix.EpollCtl(poll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
			return 0, err
		}
		if err := p.next(); err != nil {
			return 0, err
		}
	}
	began, blocks := time.Now(), 0
	events, b := make([]unix.EpollEvent, peers), make([]byte, 1500)
	for time.Since(began) < d {
		n, err := unix.EpollWait(poll, events, 100)
		if err != nil && err != unix.EINTR {
			return 0, err
		}
		for _, e := range events[:max(n, 0)] {
			p := byFD[e.Fd]
			size, err := unix.Read(p.fd, b)
			if err != nil {
				continue
			}
			block, err := p.answered(b[:size])
			if err != nil {
				return 0, err
			}
			if block {
				blocks++
			}
		}
		for _, p := range byFD {
			if n <= 0 && time.Since(p.sent) > time.Second { // lost
				if err := p.next(); err != nil {
					return 0, err
				}
			}
		}
	}
	if blocks == 0 {
		return 0, errors.New("not one block came")
	}
	return float64(blocks) / time.Since(began).Seconds(), nil
}
