package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// EncodeCommand writes a command as JSON (client.md 4.2). It fails only for
// values that have no JSON form, such as an invalid result code.
func EncodeCommand(c agent.Command) ([]byte, error) {
	switch c := c.(type) {
	case agent.Authenticate:
		return encode(c.Name(), toCredentials(c.Credentials))
	case agent.StartDownload:
		return encode(c.Name(), c.Update)
	case agent.StartInstall:
		return encode(c.Name(), c.Update)
	case agent.SendInstalledPackages:
		return encode(c.Name(), each(c.Packages, toPackage))
	case agent.SendInstalledSoftware:
		return encode(c.Name(), toSoftware(c.Software))
	case agent.SendUpdateReport:
		return encode(c.Name(), toReport(c.Report))
	}
	return encode(c.Name())
}

// DecodeCommand reads a command from JSON (client.md 4). Result codes may be
// numbers or names, and "Authenticate" may lack its argument. It fails with
// KindInvalid: "Failed to parse JSON: …" for what is not JSON, longer than
// 1 MiB or nested too deep, and "Failed to decode JSON: …" for what is not a
// command.
func DecodeCommand(data []byte) (agent.Command, error) {
	return decode(data, commandOf)
}

var plainCommands = byName[agent.Command](agent.Shutdown{}, agent.GetUpdateRequests{}, agent.ListInstalledPackages{},
	agent.ListSystemInfo{}, agent.SendSystemInfo{})

func commandOf(name string, f fields) (agent.Command, error) {
	if c, ok := plainCommands[name]; ok {
		return c, f.none()
	}
	switch name {
	case "Authenticate":
		if len(f) == 0 {
			return agent.Authenticate{}, nil
		}
		return one(f, func(c *credentials) agent.Command { return agent.Authenticate{Credentials: c.credentials()} })
	case "StartDownload":
		return one(f, func(id string) agent.Command { return agent.StartDownload{Update: ota.UpdateID(id)} })
	case "StartInstall":
		return one(f, func(id string) agent.Command { return agent.StartInstall{Update: ota.UpdateID(id)} })
	case "SendInstalledPackages":
		return one(f, func(p []pkg) agent.Command { return agent.SendInstalledPackages{Packages: each(p, pkg.id)} })
	case "SendInstalledSoftware":
		return one(f, func(s software) agent.Command { return agent.SendInstalledSoftware{Software: s.software()} })
	case "SendUpdateReport":
		return one(f, func(r report) agent.Command { return agent.SendUpdateReport{Report: r.report()} })
	}
	return nil, fmt.Errorf("there is no command %.100q", name)
}

// EncodeEvent writes an event as JSON (client.md 4.3). It fails only for
// values that have no JSON form.
func EncodeEvent(e agent.Event) ([]byte, error) {
	switch e := e.(type) {
	case agent.Error:
		return encode(e.Name(), e.Text)
	case agent.UpdatesReceived:
		return encode(e.Name(), each(e.Updates, toRequest))
	case agent.UpdateAvailable:
		return encode(e.Name(), available(e.Update))
	case agent.FoundInstalledPackages:
		return encode(e.Name(), each(e.Packages, toPackage))
	case agent.FoundSystemInfo:
		return encode(e.Name(), e.Info)
	case agent.DownloadingUpdate:
		return encode(e.Name(), e.Update)
	case agent.DownloadComplete:
		return encode(e.Name(), downloaded(e.Image))
	case agent.DownloadFailed:
		return encode(e.Name(), e.Update, e.Reason)
	case agent.InstallingUpdate:
		return encode(e.Name(), e.Update)
	case agent.InstallComplete:
		return encode(e.Name(), toReport(e.Report))
	case agent.InstallFailed:
		return encode(e.Name(), toReport(e.Report))
	}
	return encode(e.Name())
}

// DecodeEvent reads an event from JSON. It fails as DecodeCommand does.
func DecodeEvent(data []byte) (agent.Event, error) {
	return decode(data, eventOf)
}

var plainEvents = byName[agent.Event](agent.Authenticated{}, agent.NotAuthenticated{}, agent.AlreadyAuthenticated{},
	agent.NoUpdateRequests{}, agent.UpdateReportSent{}, agent.InstalledPackagesSent{}, agent.InstalledSoftwareSent{},
	agent.SystemInfoSent{}, agent.InstalledSoftwareNeeded{})

func eventOf(name string, f fields) (agent.Event, error) {
	if e, ok := plainEvents[name]; ok {
		return e, f.none()
	}
	switch name {
	case "Error":
		return one(f, func(text string) agent.Event { return agent.Error{Text: text} })
	case "UpdatesReceived":
		return one(f, func(r []request) agent.Event { return agent.UpdatesReceived{Updates: each(r, request.offer)} })
	case "UpdateAvailable":
		return one(f, func(a available) agent.Event { return agent.UpdateAvailable{Update: agent.Available(a)} })
	case "FoundInstalledPackages":
		return one(f, func(p []pkg) agent.Event { return agent.FoundInstalledPackages{Packages: each(p, pkg.id)} })
	case "FoundSystemInfo":
		return one(f, func(info string) agent.Event { return agent.FoundSystemInfo{Info: info} })
	case "DownloadingUpdate":
		return one(f, func(id string) agent.Event { return agent.DownloadingUpdate{Update: ota.UpdateID(id)} })
	case "DownloadComplete":
		return one(f, func(d downloaded) agent.Event { return agent.DownloadComplete{Image: agent.Downloaded(d)} })
	case "DownloadFailed":
		return two(f, func(id, reason string) agent.Event {
			return agent.DownloadFailed{Update: ota.UpdateID(id), Reason: reason}
		})
	case "InstallingUpdate":
		return one(f, func(id string) agent.Event { return agent.InstallingUpdate{Update: ota.UpdateID(id)} })
	case "InstallComplete":
		return one(f, func(r report) agent.Event { return agent.InstallComplete{Report: r.report()} })
	case "InstallFailed":
		return one(f, func(r report) agent.Event { return agent.InstallFailed{Report: r.report()} })
	}
	return nil, fmt.Errorf("there is no event %.100q", name)
}

func byName[T interface{ Name() string }](all ...T) map[string]T {
	m := make(map[string]T, len(all))
	for _, v := range all {
		m[v.Name()] = v
	}
	return m
}

// encode writes a variant: a string if it has no arguments, an object else.
func encode(name string, args ...any) ([]byte, error) {
	var v any = name
	if len(args) > 0 {
		v = struct {
			Variant string `json:"variant"`
			Fields  []any  `json:"fields"`
		}{name, args}
	}
	b, err := marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", name, err)
	}
	return b, nil
}

// marshal writes JSON as json.Marshal does, but leaves <, > and & alone.
func marshal(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return bytes.TrimSuffix(buf.Bytes(), []byte("\n")), err
}
