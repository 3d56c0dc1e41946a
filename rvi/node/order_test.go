package node

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
)

// However often the link breaks, nothing that waited is lost, and the order
// stays. What was being written may come twice.
func TestOrderAcrossBrokenLinks(t *testing.T) {
	for seed := range uint64(20) {
		bubble(t, func(t *testing.T) {
			luck := rand.New(rand.NewPCG(seed, 1))
			p := newPair(t)
			chunk, ack := handle(t, p.vehicle, "/sota/chunk"), handle(t, p.server, "/sota/ack")
			p.link(t)
			down, up := 0, 0
			for range 60 {
				for range luck.IntN(4) {
					send(t, p.server, vin+"sota/chunk", fmt.Sprint(down))
					down++
				}
				for range luck.IntN(3) {
					send(t, p.vehicle, backend+"sota/ack", fmt.Sprint(up))
					up++
				}
				switch luck.IntN(4) {
				case 0:
					p.cutUnseen()
				case 1:
					time.Sleep(time.Duration(luck.IntN(8)) * time.Second)
				case 2:
					synctest.Wait()
				}
			}
			time.Sleep(10 * time.Second)
			synctest.Wait()
			if got := chunk.take(); !counts(got, down) {
				t.Errorf("seed %d: down to %d came %v", seed, down, got)
			}
			if got := ack.take(); !counts(got, up) {
				t.Errorf("seed %d: up to %d came %v", seed, up, got)
			}
		})
	}
}

// cutUnseen ends the links without waiting for anybody to see it.
func (p *pair) cutUnseen() {
	p.server.mu.Lock()
	defer p.server.unlock()
	for l := range p.server.links {
		_ = l.raw.Close()
	}
}

// counts reports whether the texts are the numbers up to n, some of them twice
// in a row.
func counts(texts []string, n int) bool {
	texts = slices.Compact(slices.Clone(texts))
	for i, s := range texts {
		if s != strconv.Itoa(i) {
			return false
		}
	}
	return len(texts) == n
}
