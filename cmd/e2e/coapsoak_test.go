//go:build soak

package e2e_test

import (
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// A device that knows no server, as RIOT's example does not, is triggered where
// an operator said it is, and its free slot tells how that ended: it is asked
// every minute.
func TestSoakADeviceThatIsOnlyTriggered(t *testing.T) {
	t.Parallel()
	l := newLab(t)
	d := l.small(l.riotArgs()...)
	d.play()
	at := strings.TrimPrefix(d.says(`"event":"listening","url":"(coap://[^"]+)"`), "coap://")
	d.register("node", "riot-os.org", "samr21-xpro", "--address", at)
	update := d.send(l.riot(1700000001))
	d.tells(`"outcome"`, `"sequence":1700000001,"code":0`)
	within(t, 3*patience, "the server to ask", func() bool {
		status, _ := d.server().status(update)
		return status == ota.Finished
	})
}
