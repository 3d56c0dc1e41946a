package operator_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/httpapi/operator/client"
)

func TestTheGeneratedClient(t *testing.T) {
	w := start(t)
	c, err := client.NewClientWithResponses(w.srv.URL, client.WithRequestEditorFn(func(_ context.Context, r *http.Request) error {
		r.Header.Set("Authorization", "Bearer admin")
		return nil
	}))
	if err != nil {
		t.Fatal(err)
	}
	added, err := c.AddDeviceWithResponse(t.Context(), nil, client.DeviceT{DeviceName: "car"})
	if err != nil || added.JSON201 == nil {
		t.Fatalf("%v %+v", err, added)
	}
	list, err := c.ListDevicesWithResponse(t.Context(), nil)
	if err != nil || list.JSON200 == nil || len(*list.JSON200) != 1 || (*list.JSON200)[0].DeviceName != "car" {
		t.Fatalf("%v %+v", err, list)
	}
	body, contentType := form(t, "file", "hello")
	put, err := c.PutPackageWithBodyWithResponse(t.Context(), "movie&player", "1:2.0~rc1", nil, contentType, strings.NewReader(body))
	if err != nil || put.StatusCode() != 204 {
		t.Fatalf("%v %s", err, put.Body)
	}
	id := (*list.JSON200)[0].Uuid
	sent, err := c.SendUpdateWithResponse(t.Context(), id, nil, client.Send{Name: "movie&player", Version: "1:2.0~rc1"})
	if err != nil || sent.JSON200 == nil || sent.JSON200.Status != client.SentStatusPending {
		t.Fatalf("%v %s", err, sent.Body)
	}
	again, err := c.AddDeviceWithResponse(t.Context(), nil, client.DeviceT{DeviceName: "car"})
	if err != nil || again.ApplicationproblemJSONDefault == nil || again.ApplicationproblemJSONDefault.Code != "conflicting_device" {
		t.Fatalf("%v %s", err, again.Body)
	}
}
