package httpapi_test

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/httpapi"
)

// A server's 8 MiB of nothing must not become a gigabyte in a device.
func TestAListOfNothingTakesNoMemory(t *testing.T) {
	const artifacts = `[{"requestId":"u","packageId":{"name":"n","version":"v"},"status":"Pending","artifacts":[{}`
	for name, body := range map[string]string{
		"updates":   "[{}" + strings.Repeat(",{}", 8<<20/3-2) + "]",
		"artifacts": artifacts + strings.Repeat(",{}", 8<<20/3-100) + "]}]",
	} {
		srv := answer(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) })
		c := client(t, httpapi.Config{Server: srv.URL})
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if offers, err := c.Pending(t.Context()); err == nil {
			t.Errorf("%s: taken as %d offers", name, len(offers))
		}
		runtime.ReadMemStats(&after)
		if taken := after.TotalAlloc - before.TotalAlloc; taken > 150<<20 { // many copies of 8 MiB
			t.Errorf("%s: %d MiB were allocated", name, taken>>20)
		}
	}
}

func TestOnlyTheFirstThousandUpdatesAreLookedAt(t *testing.T) {
	var list []string
	for i := range 3000 {
		status := "Finished"
		if i%2 == 1 {
			status = "Pending"
		}
		list = append(list, fmt.Sprintf(`{"requestId":"u%d","packageId":{"name":"n","version":"v"},"installPos":%d,"status":"%s"}`, i, i, status))
	}
	srv := answer(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "["+strings.Join(list, ",")+"]") })
	offers, err := client(t, httpapi.Config{Server: srv.URL}).Pending(t.Context())
	if err != nil || len(offers) != 1000 || offers[0].Update != "u1" || offers[999].Update != "u1999" {
		t.Errorf("%d offers, %v", len(offers), err)
	}
}
