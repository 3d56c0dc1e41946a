package operator

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// Update is one package version for one device, with its whole story.
type Update struct {
	ID                  string            `json:"id"`
	Request             string            `json:"request" doc:"shared by updates that belong together"`
	Device              string            `json:"device" format:"uuid"`
	PackageID           httpapi.PackageID `json:"packageId"`
	Status              string            `json:"status" enum:"Pending,InFlight,Finished,Failed,Canceled,Expired"`
	Reason              string            `json:"reason,omitempty" doc:"why it ended as it did, or waits again"`
	Forced              string            `json:"forced,omitempty" doc:"what there was against it when an operator insisted"`
	Priority            int               `json:"priority" doc:"1 (first) to 100"`
	Position            int               `json:"position,omitempty" doc:"explicit place in the device's queue, from 1"`
	RequestConfirmation bool              `json:"requestConfirmation,omitempty"`
	Description         string            `json:"description,omitempty"`
	CreatedAt           time.Time         `json:"createdAt"`
	UpdatedAt           time.Time         `json:"updatedAt"`
	EndedAt             *time.Time        `json:"endedAt,omitempty"`
	Until               *time.Time        `json:"until,omitempty" doc:"it must have begun before; no end if missing"`
	Tries               int               `json:"tries,omitempty" doc:"that ended as the device did not answer"`
	RetryAt             *time.Time        `json:"retryAt,omitempty" doc:"it waits, and its device is told again then at the latest"`
	SentAt              *time.Time        `json:"sentAt,omitempty" doc:"the device had all bytes then"`
}

func fromUpdate(u ota.Update) Update {
	out := Update{
		ID: string(u.ID), Request: string(u.Request), Device: string(u.Device), PackageID: httpapi.PackageID(u.Package),
		Status: string(u.Status), Reason: u.Reason, Priority: u.Priority, Position: u.Pos,
		RequestConfirmation: u.Confirm, Description: u.Description,
		CreatedAt: u.CreatedAt.UTC(), UpdatedAt: u.UpdatedAt.UTC(), EndedAt: moment(u.EndedAt), Until: moment(u.Until),
		Tries: u.Tries, SentAt: moment(u.SentAt), Forced: u.Forced,
	}
	if u.Status == ota.Pending {
		out.RetryAt = moment(u.RetryAt)
	}
	return out
}

// Past is an update that ended (server.md 1.7, history).
type Past struct {
	ID             int               `json:"id" doc:"from 1, in the order of completion on this device"`
	Device         string            `json:"device" format:"uuid"`
	UpdateID       string            `json:"updateId"`
	PackageID      httpapi.PackageID `json:"packageId"`
	Success        bool              `json:"success"`
	Cancelled      bool              `json:"cancelled"`
	CompletionTime time.Time         `json:"completionTime"`
	Status         string            `json:"status" enum:"Finished,Failed,Canceled,Expired"`
	Reason         string            `json:"reason,omitempty"`
}

func (a *api) updates() {
	tags := []string{"updates"}
	handle(a, huma.Operation{OperationID: "list-updates", Method: http.MethodGet, Path: "/updates", Tags: tags}, a.listUpdates)
	handle(a, huma.Operation{OperationID: "list-history", Method: http.MethodGet, Path: "/history", Tags: tags}, a.listHistory)
}

func (a *api) listUpdates(ctx context.Context, in *struct {
	Space
	Page
	Device string   `query:"device" format:"uuid"`
	ID     string   `query:"id" doc:"of an update or of its request"`
	Status []string `query:"status" enum:"Pending,InFlight,Finished,Failed,Canceled,Expired" doc:"one or more, by comma"`
}) (*body[[]Update], error) {
	device := OneDevice{UUID: in.Device}.id()
	list, err := a.fleet.Updates(ctx, ota.UpdateFilter{
		Namespace: in.ns(), Device: device, ID: ota.UpdateID(in.ID), Offset: in.Offset, Limit: in.Limit,
		Statuses: each(in.Status, func(s string) ota.Status { return ota.Status(s) }),
	})
	return answer(each(list, fromUpdate), err)
}

func (a *api) listHistory(ctx context.Context, in *struct {
	Space
	UUID string `query:"uuid" required:"true" format:"uuid"`
}) (*body[[]Past], error) {
	list, err := a.fleet.Updates(ctx, ota.UpdateFilter{Namespace: in.ns(), Device: OneDevice{UUID: in.UUID}.id(),
		Statuses: []ota.Status{ota.Finished, ota.Failed, ota.Canceled, ota.Expired}})
	slices.SortStableFunc(list, func(u, v ota.Update) int { return cmp.Or(u.EndedAt.Compare(v.EndedAt), cmp.Compare(u.ID, v.ID)) })
	n := 0
	return answer(each(list, func(u ota.Update) Past {
		n++
		return Past{
			ID: n, Device: string(u.Device), UpdateID: string(u.ID), PackageID: httpapi.PackageID(u.Package),
			Success: u.Status == ota.Finished, Cancelled: u.Status == ota.Canceled,
			CompletionTime: u.EndedAt.UTC(), Status: string(u.Status), Reason: u.Reason,
		}
	}), err)
}
