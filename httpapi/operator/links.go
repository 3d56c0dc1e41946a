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

// Link is a device on the line of a protocol by which the server speaks first.
type Link struct {
	Protocol   string     `json:"protocol" doc:"such as rvi"`
	Peer       string     `json:"peer" doc:"how it names itself there, such as genivi.org/vin/V/"`
	Address    string     `json:"address,omitempty" doc:"where it connected from"`
	Device     string     `json:"device,omitempty" format:"uuid" doc:"missing if it is nobody registered, which gets nothing"`
	DeviceName string     `json:"deviceName,omitempty"`
	Secure     bool       `json:"secure" doc:"it proved who it is"`
	Since      time.Time  `json:"since"`
	Dialect    string     `json:"dialect,omitempty" doc:"of the protocol; missing until known"`
	Transfers  []Transfer `json:"transfers" doc:"updates whose bytes are under way"`
}

// Transfer is an update whose bytes are under way to its device.
type Transfer struct {
	UpdateID       string            `json:"updateId"`
	PackageID      httpapi.PackageID `json:"packageId"`
	State          string            `json:"state" doc:"in the protocol's words"`
	Size           int64             `json:"size" doc:"in bytes"`
	Received       int64             `json:"received" doc:"bytes the device is known to have"`
	Chunks         int               `json:"chunks" doc:"pieces the protocol cuts it into"`
	ChunksReceived int               `json:"chunksReceived"`
	Resends        int               `json:"resends"`
	BytesPerSecond int64             `json:"bytesPerSecond" doc:"lately; 0 if none moved"`
}

func fromTransfer(t ota.Transfer) Transfer {
	return Transfer{
		UpdateID: string(t.Update), PackageID: httpapi.PackageID(t.Package), State: t.State, Size: t.Size, Received: t.Held,
		Chunks: t.Chunks, ChunksReceived: t.Done, Resends: t.Resends, BytesPerSecond: int64(t.Rate),
	}
}

func fromLink(l ota.Link, name string) Link {
	return Link{
		Protocol: l.Protocol, Peer: l.Peer, Address: l.Addr, Device: string(l.Device), DeviceName: name,
		Secure: l.Secure, Since: l.Since.UTC(), Dialect: l.Dialect, Transfers: each(l.Transfers, fromTransfer),
	}
}

func (a *api) online() {
	handle(a, huma.Operation{OperationID: "list-links", Method: http.MethodGet, Path: "/links", Tags: []string{"links"},
		Summary: "List who is on the line, since the longest time first"}, a.listLinks)
}

// listLinks leaves out devices of other namespaces. Who is nobody's device is
// shown in all of them.
func (a *api) listLinks(ctx context.Context, in *struct {
	Space
	Page
	Protocol string `query:"protocol" doc:"exact"`
}) (*body[[]Link], error) {
	var links []ota.Link
	if a.links != nil {
		links = slices.Clone(a.links())
	}
	names, err := a.fleet.Names(ctx, in.ns(), each(links, func(l ota.Link) ota.DeviceID { return l.Device }))
	links = slices.DeleteFunc(links, func(l ota.Link) bool {
		return in.Protocol != "" && l.Protocol != in.Protocol || l.Device != "" && names[l.Device] == ""
	})
	slices.SortFunc(links, func(l, m ota.Link) int { return cmp.Or(l.Since.Compare(m.Since), cmp.Compare(l.Peer, m.Peer)) })
	return answer(each(cut(in.Page, links), func(l ota.Link) Link { return fromLink(l, names[l.Device]) }), err)
}
