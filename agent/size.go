package agent

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// sizeUnits are the factors of a size, longest name first.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// parseSize reads a number of bytes, such as "2GiB", "500 MB" or "4096". It
// fails for anything else, and for more than an int64 holds.
func parseSize(s string) (int64, error) {
	for _, u := range sizeUnits {
		digits, ok := strings.CutSuffix(s, u.name)
		if !ok {
			continue
		}
		if u.name != "" {
			digits = strings.TrimSuffix(digits, " ")
		}
		n, err := strconv.ParseUint(digits, 10, 63)
		if err != nil || int64(n) > math.MaxInt64/u.bytes {
			break
		}
		return int64(n) * u.bytes, nil
	}
	return 0, fmt.Errorf("expected a size such as 500MB or 2GiB, not %.80q", s)
}
