package httpapi

import (
	"strings"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// PackageID is a package's name and version.
type PackageID struct {
	Name    string `json:"name" doc:"what the package is called"`
	Version string `json:"version" doc:"its version, any text"`
}

// PendingUpdate is an update as its device learns of it (server.md 1.3). The
// first six members are the original's; old clients pass over the rest.
type PendingUpdate struct {
	RequestID  string    `json:"requestId" doc:"the update's id on its device, for download and report"`
	PackageID  PackageID `json:"packageId"`
	InstallPos int       `json:"installPos" doc:"place in the install order, from 0 without gaps"`
	Status     string    `json:"status" enum:"Pending,InFlight,Finished,Failed,Canceled,Expired"`
	CreatedAt  time.Time `json:"createdAt"`
	UpdatedAt  time.Time `json:"updatedAt"`

	// Request is the operator's wish, left out where it is requestId itself.
	Request             string `json:"request,omitempty" doc:"shared by updates that belong together, if it is not requestId"`
	Description         string `json:"description,omitempty"`
	RequestConfirmation bool   `json:"requestConfirmation,omitempty" doc:"the user must agree first"`

	// Size, SHA256 and Signature tell of the main artifact.
	Size      int64  `json:"size,omitempty" doc:"bytes of the main artifact"`
	SHA256    string `json:"sha256,omitempty" doc:"its digest, lower-case hex"`
	Signature string `json:"signature,omitempty"`
	// Artifacts lists every file, the main one first, if there are several.
	Artifacts []Artifact `json:"artifacts,omitempty" doc:"every file, the main one first, if there are several"`
}

// Artifact is one file of a package with several.
type Artifact struct {
	Name      string `json:"name"`
	Size      int64  `json:"size"`
	SHA256    string `json:"sha256"`
	Signature string `json:"signature,omitempty"`
}

// OperationResult is one result of a report (server.md 1.3).
type OperationResult struct {
	ID         string `json:"id" format:"uuid" doc:"names the operation; a device's own report uses the update id"`
	ResultCode int    `json:"result_code" minimum:"0" maximum:"19" doc:"0 and 1 are success"`
	ResultText string `json:"result_text"`
}

// InstalledSoftware is the longer form of an inventory (server.md 1.11).
type InstalledSoftware struct {
	Packages []PackageID `json:"packages"`
	Firmware []Firmware  `json:"firmware,omitempty"`
}

// Firmware is what one module of a device runs.
type Firmware struct {
	Module       string `json:"module"`
	FirmwareID   string `json:"firmwareId"`
	LastModified int64  `json:"lastModified" doc:"as the device told it, Unix seconds in practice"`
}

// FromOffer writes an offer.
func FromOffer(o ota.Offer) PendingUpdate {
	p := PendingUpdate{
		RequestID:           string(o.Update),
		PackageID:           PackageID(o.Package),
		InstallPos:          o.Pos,
		Status:              string(o.Status),
		CreatedAt:           o.CreatedAt.UTC(),
		UpdatedAt:           o.UpdatedAt.UTC(),
		Description:         o.Description,
		RequestConfirmation: o.Confirm,
	}
	if string(o.Request) != p.RequestID {
		p.Request = string(o.Request)
	}
	if len(o.Artifacts) > 0 {
		main := o.Artifacts[0]
		p.Size, p.SHA256, p.Signature = main.Size, string(main.SHA256), main.Signature
	}
	if len(o.Artifacts) > 1 {
		for _, a := range o.Artifacts {
			p.Artifacts = append(p.Artifacts, Artifact{a.Name, a.Size, string(a.SHA256), a.Signature})
		}
	}
	return p
}

// maxID bounds an update's id, in bytes: a report's results may name no longer
// one.
const maxID = 200

// Offer reads a pending update. It fails with KindInvalid if the id, the
// package or the status is missing or unusable, or a digest is not one.
func (p PendingUpdate) Offer() (ota.Offer, error) {
	o := ota.Offer{
		Update:      ota.UpdateID(p.RequestID),
		Request:     ota.RequestID(p.Request),
		Package:     ota.PackageID(p.PackageID),
		Status:      ota.Status(p.Status),
		Pos:         p.InstallPos,
		Description: p.Description,
		Confirm:     p.RequestConfirmation,
		CreatedAt:   p.CreatedAt,
		UpdatedAt:   p.UpdatedAt,
	}
	if o.Request == "" {
		o.Request = ota.RequestID(p.RequestID)
	}
	if p.RequestID == "" || len(p.RequestID) > maxID || !o.Status.Valid() {
		return ota.Offer{}, ota.Invalid("pending update %.200q with status %.40q: id or status is not usable", p.RequestID, p.Status)
	}
	if err := o.Package.Validate(); err != nil {
		return ota.Offer{}, err
	}
	files := p.Artifacts
	if len(files) == 0 && p.SHA256 != "" {
		files = []Artifact{{ota.DefaultArtifact, p.Size, p.SHA256, p.Signature}}
	}
	for _, f := range files {
		digest, err := ota.ParseDigest(strings.ToLower(f.SHA256))
		if err != nil {
			return ota.Offer{}, err
		}
		o.Artifacts = append(o.Artifacts, ota.Artifact{Name: f.Name, Sums: ota.Sums{Size: f.Size, SHA256: digest}, Signature: f.Signature})
	}
	return o, nil
}

// FromReport writes a report's results.
func FromReport(r ota.Report) []OperationResult {
	out := make([]OperationResult, 0, len(r.Results))
	for _, res := range r.Results {
		out = append(out, OperationResult{res.ID, int(res.Code), res.Text})
	}
	return out
}

// FromInventory writes an inventory in its shortest form: an array of
// packages, as the original knows it, unless there is firmware to tell.
func FromInventory(inv ota.Inventory) any {
	packages := make([]PackageID, 0, len(inv.Packages))
	for _, p := range inv.Packages {
		packages = append(packages, PackageID(p.PackageID))
	}
	if len(inv.Firmware) == 0 {
		return packages
	}
	soft := InstalledSoftware{Packages: packages}
	for _, f := range inv.Firmware {
		soft.Firmware = append(soft.Firmware, Firmware{f.Module, f.ID, f.LastModified})
	}
	return soft
}
