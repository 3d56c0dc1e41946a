package blob

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"io"
	"sync"

	"github.com/updraft-ota/updraft/ota"
)

// summer takes the three sums of some bytes in one pass.
type summer struct {
	size              int64
	sha256, sha1, md5 hash.Hash
}

func newSummer() *summer {
	return &summer{sha256: sha256.New(), sha1: sha1.New(), md5: md5.New()}
}

// add sums p and meanwhile writes it to w. MD5 takes as long as all the rest,
// so it runs beside it, which on two cores makes a put half as fast again
// (BenchmarkPut). Both halves are goroutines because Go wakes a second core
// for one at once only when the caller goes to sleep.
func (s *summer) add(p []byte, w io.Writer) (err error) {
	var halves sync.WaitGroup
	halves.Go(func() {
		s.sha256.Write(p)
		s.sha1.Write(p)
		_, err = w.Write(p)
	})
	halves.Go(func() { s.md5.Write(p) })
	halves.Wait()
	s.size += int64(len(p))
	return err
}

func (s *summer) sums() ota.Sums {
	return ota.Sums{
		Size:   s.size,
		SHA256: ota.Digest(hexSum(s.sha256)),
		SHA1:   hexSum(s.sha1),
		MD5:    hexSum(s.md5),
	}
}

func hexSum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
