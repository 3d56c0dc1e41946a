package operator

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/updraft-ota/updraft/httpapi"
	"github.com/updraft-ota/updraft/ota"
)

// DeviceCount tells how many devices have a package.
type DeviceCount struct {
	DeviceCount int      `json:"deviceCount"`
	GroupIDs    []string `json:"groupIds" format:"uuid" doc:"of the groups they are in"`
}

// ActiveDeviceCount tells how many devices were activated.
type ActiveDeviceCount struct {
	DeviceCount int `json:"deviceCount"`
}

// PackageStat tells how many devices have a version of a package.
type PackageStat struct {
	PackageVersion string `json:"packageVersion"`
	InstalledCount int    `json:"installedCount"`
}

// survey serves what is asked about the software of all devices. It is about
// what devices reported, whether or not it was published here.
func (a *api) survey() {
	op := func(id, method, path, summary string) huma.Operation {
		return huma.Operation{OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"survey"}}
	}
	handle(a, op("count-devices-with", http.MethodGet, "/device_count/{name}/{version}", "Count devices that have a package"), a.countDevicesWith)
	handle(a, op("count-active-devices", http.MethodGet, "/active_device_count", "Count devices first seen in a time"), a.countActive)
	handle(a, op("list-installed-packages", http.MethodGet, "/device_packages", "List what is installed on any device"), a.listInstalledPackages)
	handle(a, op("list-affected", http.MethodPost, "/packages/affected", "Tell which devices have which of some packages"), a.listAffected)
	handle(a, op("list-package-stats", http.MethodGet, "/package_stats/{name}", "Count devices by the version they have"), a.listPackageStats)
}

func (a *api) countDevicesWith(ctx context.Context, in *OnePackage) (*body[DeviceCount], error) {
	devices, err := a.fleet.Affected(ctx, in.ns(), []ota.PackageID{in.id()})
	return answer(DeviceCount{len(devices), []string{}}, err)
}

func (a *api) countActive(ctx context.Context, in *struct {
	Space
	Start time.Time `query:"start" required:"true" doc:"inclusive"`
	End   time.Time `query:"end" required:"true" doc:"exclusive"`
}) (*body[ActiveDeviceCount], error) {
	n, err := a.fleet.CountActivated(ctx, in.ns(), in.Start, in.End)
	return answer(ActiveDeviceCount{n}, err)
}

func (a *api) listInstalledPackages(ctx context.Context, in *struct {
	Space
	Page
}) (*body[Paged[httpapi.PackageID]], error) {
	list, total, err := a.fleet.InstalledPackages(ctx, in.ns(), ota.Page(in.Page))
	return answer(paged(in.Page, total, each(list, func(id ota.PackageID) httpapi.PackageID { return httpapi.PackageID(id) })), err)
}

func (a *api) listAffected(ctx context.Context, in *struct {
	Space
	Body []httpapi.PackageID `maxItems:"1000"`
}) (*body[map[string][]httpapi.PackageID], error) {
	devices, err := a.fleet.Affected(ctx, in.ns(), each(in.Body, func(id httpapi.PackageID) ota.PackageID { return ota.PackageID(id) }))
	out := make(map[string][]httpapi.PackageID, len(devices))
	for device, ids := range devices {
		out[string(device)] = each(ids, func(id ota.PackageID) httpapi.PackageID { return httpapi.PackageID(id) })
	}
	return answer(out, err)
}

func (a *api) listPackageStats(ctx context.Context, in *struct {
	Space
	Page
	Name string `path:"name"`
}) (*body[Paged[PackageStat]], error) {
	list, total, err := a.fleet.InstalledVersions(ctx, in.ns(), in.Name, ota.Page(in.Page))
	return answer(paged(in.Page, total, each(list, func(v ota.VersionCount) PackageStat { return PackageStat{v.Version, v.Devices} })), err)
}
