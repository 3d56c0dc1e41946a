package gateway

import (
	"encoding/json"
	"time"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// The structs of client.md 2.1, in the order in which they are written.

type pkg struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

type request struct {
	RequestID  ota.UpdateID `json:"requestId"`
	Status     status       `json:"status"`
	PackageID  pkg          `json:"packageId"`
	InstallPos int32        `json:"installPos"`
	CreatedAt  time.Time    `json:"createdAt"`
}

type available struct {
	Update              ota.UpdateID `json:"update_id"`
	Signature           string       `json:"signature"`
	Description         string       `json:"description"`
	RequestConfirmation bool         `json:"request_confirmation"`
	Size                uint64       `json:"size"`
}

type downloaded struct {
	Update    ota.UpdateID `json:"update_id"`
	Path      string       `json:"update_image"`
	Signature string       `json:"signature"`
}

type report struct {
	Update  ota.UpdateID `json:"update_id"`
	Results []result     `json:"operation_results"`
}

type result struct {
	ID   string `json:"id"`
	Code code   `json:"result_code"`
	Text string `json:"result_text"`
}

type software struct {
	Packages  []installedPackage  `json:"packages"`
	Firmwares []installedFirmware `json:"firmwares"`
}

type installedPackage struct {
	PackageID    string `json:"package_id"`
	Name         string `json:"name"`
	Description  string `json:"description"`
	LastModified uint64 `json:"last_modified"`
}

type installedFirmware struct {
	Module       string `json:"module"`
	FirmwareID   string `json:"firmware_id"`
	LastModified uint64 `json:"last_modified"`
}

type credentials struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
}

// code is written as a number, and read as a number or a name.
type code ota.ResultCode

func (c code) MarshalJSON() ([]byte, error) {
	if r := ota.ResultCode(c); !r.Valid() {
		return nil, ota.Invalid("result code %d is not known", r)
	}
	return json.Marshal(uint8(c))
}

func (c *code) UnmarshalJSON(raw []byte) error {
	text := string(raw)
	if len(raw) > 0 && raw[0] == '"' {
		if err := json.Unmarshal(raw, &text); err != nil {
			return err
		}
	}
	r, err := ota.ParseResultCode(text)
	*c = code(r)
	return err
}

// status is one of the known ones.
type status ota.Status

func (s *status) UnmarshalJSON(raw []byte) error {
	if err := json.Unmarshal(raw, (*string)(s)); err != nil {
		return err
	}
	if !ota.Status(*s).Valid() {
		return ota.Invalid("status %.40q is not known", string(*s))
	}
	return nil
}

// each converts a list. The result is never nil, so that it is written as [].
func each[A, B any](list []A, convert func(A) B) []B {
	out := make([]B, len(list))
	for i, v := range list {
		out[i] = convert(v)
	}
	return out
}

func toPackage(id ota.PackageID) pkg { return pkg(id) }
func (p pkg) id() ota.PackageID      { return ota.PackageID(p) }

func toRequest(o ota.Offer) request {
	return request{o.Update, status(o.Status), pkg(o.Package), int32(o.Pos), o.CreatedAt.UTC()}
}

func (r request) offer() ota.Offer {
	return ota.Offer{Update: r.RequestID, Status: ota.Status(r.Status), Package: r.PackageID.id(), Pos: int(r.InstallPos), CreatedAt: r.CreatedAt}
}

func toReport(r ota.Report) report {
	return report{r.Update, each(r.Results, func(o ota.OperationResult) result { return result{o.ID, code(o.Code), o.Text} })}
}

func (r report) report() ota.Report {
	return ota.Report{Update: r.Update, Results: each(r.Results, func(o result) ota.OperationResult {
		return ota.OperationResult{ID: o.ID, Code: ota.ResultCode(o.Code), Text: o.Text}
	})}
}

func toSoftware(s agent.InstalledSoftware) software {
	return software{
		each(s.Packages, func(p agent.InstalledPackage) installedPackage { return installedPackage(p) }),
		each(s.Firmwares, func(f agent.InstalledFirmware) installedFirmware { return installedFirmware(f) }),
	}
}

func (s software) software() agent.InstalledSoftware {
	return agent.InstalledSoftware{
		Packages:  each(s.Packages, func(p installedPackage) agent.InstalledPackage { return agent.InstalledPackage(p) }),
		Firmwares: each(s.Firmwares, func(f installedFirmware) agent.InstalledFirmware { return agent.InstalledFirmware(f) }),
	}
}

func toCredentials(c *agent.Credentials) *credentials { return (*credentials)(c) }

func (c *credentials) credentials() *agent.Credentials { return (*agent.Credentials)(c) }
