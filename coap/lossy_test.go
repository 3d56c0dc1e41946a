package coap

import (
	"bytes"
	"net"
	"strconv"
	"sync"
	"testing"
)

// lossy forwards datagrams to a server and back, all but each tenth, and
// returns where it listens.
func lossy(t testing.TB, server *net.UDPAddr) string {
	t.Helper()
	front, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.DialUDP("udp", nil, server)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	count := 0
	var client *net.UDPAddr
	keep := func(from *net.UDPAddr) (*net.UDPAddr, bool) {
		mu.Lock()
		defer mu.Unlock()
		if from != nil {
			client = from
		}
		count++
		return client, count%10 != 5
	}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		front.Close()
		back.Close()
		wg.Wait()
	})
	wg.Go(func() {
		b := make([]byte, 2000)
		for {
			n, from, err := front.ReadFromUDP(b)
			if err != nil {
				return
			}
			if _, ok := keep(from); ok {
				_, _ = back.Write(b[:n])
			}
		}
	})
	wg.Go(func() {
		b := make([]byte, 2000)
		for {
			n, err := back.Read(b)
			if err != nil {
				return
			}
			if to, ok := keep(nil); ok {
				_, _ = front.WriteToUDP(b[:n], to)
			}
		}
	})
	return front.LocalAddr().String()
}

// Every tenth datagram is lost, and libcoap waits for two or three seconds
// each time: these take as long as they do.
func TestLibcoapFetchesFilesInSpiteOfLosses(t *testing.T) {
	t.Parallel()
	w := newWorld()
	files := map[string][]byte{"/manifest": w.file("/manifest", 347), "/file1": w.file("/file1", 8192)}
	server := w.serve(t)
	for path, want := range files {
		for _, size := range []int{1024, 256} {
			t.Run(path[1:]+" in blocks of "+strconv.Itoa(size), func(t *testing.T) {
				t.Parallel()
				got := coapClient(t, "coap-client-notls", "-b", strconv.Itoa(size), "coap://"+lossy(t, server)+path)
				if !bytes.Equal(got, want) {
					t.Errorf("got %d bytes that differ from the %d served", len(got), len(want))
				}
			})
		}
	}
}
