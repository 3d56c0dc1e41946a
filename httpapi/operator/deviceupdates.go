package operator

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// Send asks that a device install a package.
type Send struct {
	Name                string    `json:"name"`
	Version             string    `json:"version"`
	ID                  string    `json:"id,omitempty" format:"uuid" doc:"of the update; chosen by the server unless given"`
	Until               time.Time `json:"until,omitzero" doc:"it must have begun before; no end unless given"`
	Priority            int       `json:"priority,omitempty" minimum:"1" maximum:"100" doc:"1 first; 10 unless given"`
	RequestConfirmation bool      `json:"requestConfirmation,omitempty" doc:"the device's user must agree first"`
	Description         string    `json:"description,omitempty" doc:"the package's unless given"`
	Force               bool      `json:"force,omitempty" doc:"send to a constrained device what it could not install; that is noted"`
}

// Sent is the update that was made. Blocked says that it is held back.
type Sent struct {
	httpapi.PendingUpdate
	Blocked *Block `json:"blocked,omitempty" doc:"present if the device's pending updates are held back"`
}

// Result is one line of a device's reports as the server keeps it.
type Result struct {
	ID         string    `json:"id" format:"uuid"`
	UpdateID   string    `json:"updateId"`
	ResultCode int       `json:"resultCode" minimum:"0" maximum:"19"`
	ResultText string    `json:"resultText"`
	Device     string    `json:"device" format:"uuid"`
	ReceivedAt time.Time `json:"receivedAt"`
}

func fromResult(s ota.StoredResult) Result {
	return Result{s.ID, string(s.Update), int(s.Result.Code), s.Result.Text, string(s.Device), s.ReceivedAt.UTC()}
}

// OneUpdate names an update of a device.
type OneUpdate struct {
	OneDevice
	UpdateID string `path:"updateId" format:"uuid"`
}

func (i OneUpdate) update() ota.UpdateID {
	id, _ := ota.ParseUpdateID(i.UpdateID) // the format was checked
	return id
}

func (a *api) deviceUpdates() {
	op := func(id, method, path string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: "/device_updates/{uuid}" + path, Tags: []string{"device updates"}}
	}
	handle(a, op("send-update", http.MethodPost, ""), a.send)
	handle(a, op("list-queued", http.MethodGet, "/queued"), a.listQueued)
	handle(a, op("order-updates", http.MethodPut, "/order"), a.order)
	handle(a, op("cancel-update", http.MethodPut, "/{updateId}/cancelupdate"), func(ctx context.Context, in *OneUpdate) (*struct{}, error) {
		return nil, a.fleet.Cancel(ctx, in.ns(), in.id(), in.update())
	})
	handle(a, op("list-results", http.MethodGet, "/results"), func(ctx context.Context, in *OneDevice) (*body[[]Result], error) {
		list, err := a.fleet.Results(ctx, in.ns(), in.id(), "")
		return answer(each(list, fromResult), err)
	})
	handle(a, op("list-update-results", http.MethodGet, "/{updateId}/results"), func(ctx context.Context, in *OneUpdate) (*body[[]Result], error) {
		list, err := a.fleet.Results(ctx, in.ns(), in.id(), in.update())
		return answer(each(list, fromResult), err)
	})
	handle(a, op("want-list", http.MethodPost, "/sync"), func(ctx context.Context, in *OneDevice) (*struct{}, error) {
		return nil, a.fleet.WantList(ctx, in.ns(), in.id())
	})
}

func (a *api) send(ctx context.Context, in *struct {
	OneDevice
	Body Send
}) (*body[Sent], error) {
	var id ota.UpdateID
	if in.Body.ID != "" {
		id, _ = ota.ParseUpdateID(in.Body.ID) // the format was checked
	}
	made, block, err := a.fleet.Send(ctx, in.ns(), fleet.Request{
		Device: in.id(), Packages: []ota.PackageID{{Name: in.Body.Name, Version: in.Body.Version}}, ID: id,
		Until: in.Body.Until, Priority: in.Body.Priority, Confirm: in.Body.RequestConfirmation, Description: in.Body.Description,
		Force: in.Body.Force,
	})
	if err != nil {
		return nil, err
	}
	queue, err := a.queue(ctx, in.OneDevice)
	at := slices.IndexFunc(queue, func(p httpapi.PendingUpdate) bool { return p.RequestID == string(made[0].ID) })
	if err == nil && at < 0 { // it ended while we looked
		queue, at = []httpapi.PendingUpdate{httpapi.FromOffer(fleet.Offer(ota.QueueEntry{Update: made[0]}, 0))}, 0
	}
	if err != nil {
		return nil, err
	}
	return answer(Sent{queue[at], fromBlock(in.id(), block)}, nil)
}

func (a *api) queue(ctx context.Context, in OneDevice) ([]httpapi.PendingUpdate, error) {
	queue, _, err := a.fleet.Queue(ctx, in.ns(), in.id())
	pos := -1
	return each(queue, func(e ota.QueueEntry) httpapi.PendingUpdate {
		pos++
		return httpapi.FromOffer(fleet.Offer(e, pos))
	}), err
}

func (a *api) listQueued(ctx context.Context, in *OneDevice) (*body[[]httpapi.PendingUpdate], error) {
	return answer(a.queue(ctx, *in))
}

// order reads {"0":"<id>","1":"<id>"}: the keys count as numbers, and need
// not be without gaps.
func (a *api) order(ctx context.Context, in *struct {
	OneDevice
	Body map[string]string `doc:"place → id of every pending update"`
}) (*struct{}, error) {
	type place struct {
		at int
		id ota.UpdateID
	}
	places := make([]place, 0, len(in.Body))
	for key, value := range in.Body {
		at, err := strconv.Atoi(key)
		if err != nil || at < 0 {
			return nil, ota.Invalid("order: place %.80q is not a number from 0", key)
		}
		id, err := ota.ParseUpdateID(value)
		if err != nil {
			return nil, err
		}
		places = append(places, place{at, id})
	}
	slices.SortFunc(places, func(p, q place) int { return cmp.Compare(p.at, q.at) })
	return nil, a.fleet.Order(ctx, in.ns(), in.id(), each(places, func(p place) ota.UpdateID { return p.id }))
}
