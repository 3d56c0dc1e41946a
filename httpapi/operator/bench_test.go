package operator_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"log/slog"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/httpapi/operator"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store"
)

// BenchmarkSearch looks for devices by pattern among ten thousand. Aim: 200 ms.
func BenchmarkSearch(b *testing.B) {
	st, err := store.Open(b.Context(), store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { st.Close() })
	err = st.Write(b.Context(), func(tx ota.Tx) error {
		for i := range 10_000 {
			d := ota.Device{Namespace: "default", ID: ota.DeviceID(fmt.Sprintf("%08d-0000-4000-8000-000000000000", i)), Name: fmt.Sprint("device ", i), Type: ota.Vehicle, CreatedAt: tx.Now()}
			if err := tx.PutDevice(d); err != nil {
				return err
			}
			for j := range 5 {
				u := ota.Update{Namespace: "default", Device: d.ID, ID: ota.UpdateID(fmt.Sprint(j)), Status: ota.Finished, CreatedAt: tx.Now(), EndedAt: tx.Now()}
				if err := tx.PutUpdate(u); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	api := operator.New(operator.Options{Fleet: fleet.New(fleet.Options{Store: st}), Who: httpapi.NoAuth, Version: "1", Log: slog.New(slog.DiscardHandler)})
	for name, query := range map[string]string{"few": "?regex=99.*9$", "page": "?regex=1&limit=50", "all": "?regex=.", "slow": "?regex=" + strings.Repeat("(x*)*", 20) + "9$&limit=50"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				w := httptest.NewRecorder()
				api.ServeHTTP(w, httptest.NewRequest("GET", "/api/v1/devices"+query, nil))
				if w.Code != 200 || w.Body.Len() < 100 {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}
