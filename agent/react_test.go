package agent

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/updraft-ota/updraft/ota"
)

func TestReact(t *testing.T) {
	var (
		list   = []ota.PackageID{{Name: "a", Version: "1"}, {Name: "b", Version: "2"}}
		send   = SendInstalledPackages{list}
		r1, r2 = ota.Outcome("w1", ota.OK, ""), ota.Outcome("w2", ota.FlashFailed, "")
		pm     = facts{manager: true, listed: true, installed: list, download: true}
		off    = facts{download: true}
	)
	with := func(f facts, change func(*facts)) facts {
		change(&f)
		return f
	}
	offers := func(os ...ota.Offer) Event { return UpdatesReceived{os} }
	pending := ota.Offer{Update: "p", Status: ota.Pending, Package: list[0]}
	second := ota.Offer{Update: "q", Status: ota.Pending}
	flying := ota.Offer{Update: "f", Status: ota.InFlight, Package: ota.PackageID{Name: "c", Version: "3"}}
	there := ota.Offer{Update: "t", Status: ota.InFlight, Package: list[1]}
	asking := ota.Offer{Update: "a", Status: ota.InFlight, Confirm: true}
	confirm := ota.Offer{Update: "c", Status: ota.Pending, Confirm: true}
	at := func(f facts, id ota.UpdateID, s Step) facts {
		f.steps = map[ota.UpdateID]Step{id: s}
		return f
	}

	next := func(f facts, id ota.UpdateID) facts {
		f.turn = id
		return f
	}

	for name, c := range map[string]struct {
		event Event
		facts facts
		want  []Command
	}{
		"Authenticated":                     {Authenticated{}, off, nil},
		"Authenticated, pm":                 {Authenticated{}, pm, []Command{send}},
		"Authenticated, list failed":        {Authenticated{}, facts{manager: true, systemInfo: true}, []Command{SendSystemInfo{}}},
		"Authenticated, everything":         {Authenticated{}, with(pm, func(f *facts) { f.systemInfo = true; f.unsent = []ota.Report{r1, r2} }), []Command{send, SendSystemInfo{}, SendUpdateReport{r1}, SendUpdateReport{r2}}},
		"AlreadyAuthenticated in N":         {AlreadyAuthenticated{}, with(pm, func(f *facts) { f.unsent = []ota.Report{r1} }), []Command{send, SendUpdateReport{r1}}},
		"AlreadyAuthenticated in N, again":  {AlreadyAuthenticated{}, with(pm, func(f *facts) { f.greeted = true }), nil},
		"AlreadyAuthenticated in A":         {AlreadyAuthenticated{}, with(pm, func(f *facts) { f.auth = true }), nil},
		"NotAuthenticated":                  {NotAuthenticated{}, with(pm, func(f *facts) { f.auth = true; f.cause = SendUpdateReport{r1}; f.unsent = []ota.Report{r1} }), []Command{later{Authenticate{}}}},
		"NotAuthenticated in N, report":     {NotAuthenticated{}, with(pm, func(f *facts) { f.cause = SendUpdateReport{r2}; f.unsent = []ota.Report{r1} }), []Command{later{SendUpdateReport{r1}}, later{Authenticate{}}}},
		"pending":                           {offers(pending, second), off, []Command{StartDownload{"p"}, StartDownload{"q"}}},
		"pending, pm":                       {offers(second, pending), pm, []Command{StartDownload{"q"}, StartDownload{"p"}}},
		"pending, auto_download off":        {offers(pending), with(pm, func(f *facts) { f.download = false }), nil},
		"pending, confirmation wanted":      {offers(confirm), pm, nil},
		"pending, half fetched":             {offers(pending), at(off, "p", Downloading), []Command{StartDownload{"p"}}},
		"pending, fetched":                  {offers(pending), at(off, "p", Ready), nil},
		"pending, its turn to be installed": {offers(pending), next(at(pm, "p", Ready), "p"), []Command{StartInstall{"p"}}},
		"pending, installing":               {offers(pending), next(at(pm, "p", Installing), "p"), []Command{StartInstall{"p"}}},
		"pending, agreed and half fetched":  {offers(confirm), at(facts{}, "c", Downloading), []Command{StartDownload{"c"}}},
		"pending, report waits":             {offers(pending), at(pm, "p", Concluded), nil},
		"pending, reported":                 {offers(pending), at(pm, "p", Reported), nil},
		"pending, report refused":           {offers(pending), at(off, "p", Refused), nil},
		"in flight, pm":                     {offers(flying), pm, []Command{StartDownload{"f"}}},
		"in flight, pm, auto_download off":  {offers(flying), with(pm, func(f *facts) { f.download = false }), []Command{StartDownload{"f"}}},
		"in flight, pm, installed":          {offers(there), pm, []Command{SendUpdateReport{ota.Outcome("t", ota.OK, "")}}},
		"in flight, pm, list failed":        {offers(there), facts{manager: true, download: true}, []Command{StartDownload{"t"}}},
		"in flight, pm, nobody agreed":      {offers(asking), at(pm, "a", Known), nil},
		"in flight, pm, agreed":             {offers(asking), at(pm, "a", Downloading), []Command{StartDownload{"a"}}},
		"in flight, pm, cut short":          {offers(there), next(at(pm, "t", Installing), "t"), []Command{StartInstall{"t"}}},
		"nothing more, its turn":            {NoUpdateRequests{}, next(pm, "u"), []Command{StartInstall{"u"}}},
		"in flight, pm, report waits":       {offers(flying, there), at(pm, "f", Concluded), []Command{SendUpdateReport{ota.Outcome("t", ota.OK, "")}}},
		"in flight, pm, reported":           {offers(there), at(pm, "t", Reported), nil},
		"in flight, off":                    {offers(flying), off, nil},
		"in flight, off, only heard of":     {offers(flying), at(off, "f", Known), nil},
		"in flight, off, half fetched":      {offers(flying), at(off, "f", Downloading), []Command{StartDownload{"f"}}},
		"in flight, off, fetched":           {offers(flying), at(off, "f", Ready), nil},
		"in flight, off, reported":          {offers(flying), at(off, "f", Reported), nil},
		"canceled, failed, finished":        {offers(ota.Offer{Update: "x", Status: ota.Canceled}, ota.Offer{Update: "y", Status: ota.Failed}, ota.Offer{Update: "z", Status: ota.Finished}), pm, nil},
		"DownloadComplete, pm":              {DownloadComplete{Downloaded{Update: "u"}}, next(pm, "u"), []Command{StartInstall{"u"}}},
		"DownloadComplete, not its turn":    {DownloadComplete{Downloaded{Update: "u"}}, pm, nil},
		"DownloadComplete, failed before":   {DownloadComplete{Downloaded{Update: "u"}}, with(next(pm, "u"), func(f *facts) { f.failed = true }), []Command{later{StartInstall{"u"}}}},
		"DownloadComplete, off, a turn":     {DownloadComplete{Downloaded{Update: "u"}}, next(off, "u"), nil},
		"DownloadComplete, off":             {DownloadComplete{Downloaded{Update: "u"}}, off, nil},
		"DownloadFailed":                    {DownloadFailed{"u", "why", ota.DiskFull}, at(off, "u", Concluded), []Command{SendUpdateReport{ota.Outcome("u", ota.DiskFull, "why")}}},
		"DownloadFailed, another's turn":    {DownloadFailed{"u", "why", ota.DiskFull}, next(at(pm, "u", Concluded), "v"), []Command{SendUpdateReport{ota.Outcome("u", ota.DiskFull, "why")}, StartInstall{"v"}}},
		"DownloadFailed, never offered":     {DownloadFailed{"u", "why", ota.GeneralError}, off, nil},
		"InstallComplete":                   {InstallComplete{r1}, pm, []Command{SendUpdateReport{r1}}},
		"InstallFailed":                     {InstallFailed{r2}, pm, []Command{SendUpdateReport{r2}}},
		"InstallComplete, another's turn":   {InstallComplete{r1}, next(pm, "v"), []Command{SendUpdateReport{r1}, StartInstall{"v"}}},
		"InstallFailed, another's turn":     {InstallFailed{r2}, next(pm, "v"), []Command{SendUpdateReport{r2}, StartInstall{"v"}}},
		"Authenticated, half fetched":       {Authenticated{}, with(off, func(f *facts) { f.halfway = true }), []Command{resumeDownloads{}}},
		"UpdateReportSent, pm":              {UpdateReportSent{}, pm, []Command{send}},
		"UpdateReportSent, list failed":     {UpdateReportSent{}, facts{manager: true}, nil},
		"UpdateReportSent, off":             {UpdateReportSent{}, off, nil},
		"Error, report may get through":     {Error{"e"}, facts{retry: true, cause: SendUpdateReport{r2}, unsent: []ota.Report{r1, r2}}, []Command{later{SendUpdateReport{r1}}}},
		"Error, report refused":             {Error{"e"}, facts{cause: SendUpdateReport{r2}, unsent: []ota.Report{r1}}, nil},
		"Error, report gone":                {Error{"e"}, facts{retry: true, cause: SendUpdateReport{r2}}, nil},
		"Error, auth server away":           {Error{"e"}, facts{own: true, retry: true, cause: Authenticate{}}, []Command{later{Authenticate{}}}},
		"Error, someone's credentials":      {Error{"e"}, facts{retry: true, cause: Authenticate{&Credentials{}}}, nil},
		"Error, own list":                   {Error{"e"}, facts{own: true, retry: true, cause: send}, []Command{later{send}}},
		"Error, someone's list":             {Error{"e"}, facts{retry: true, cause: send}, nil},
		"Error, own system info":            {Error{"e"}, facts{own: true, retry: true, cause: SendSystemInfo{}}, []Command{later{SendSystemInfo{}}}},
		"Error, system info program failed": {Error{"e"}, facts{own: true, cause: SendSystemInfo{}}, nil},
		"Error, poll":                       {Error{"e"}, facts{own: true, retry: true, cause: GetUpdateRequests{}}, nil},
		"Error, unknown download":           {Error{"e"}, facts{own: true, retry: true, cause: StartDownload{"u"}}, nil},
		"Error, download":                   {Error{"e"}, at(facts{retry: true, cause: StartDownload{"u"}}, "u", Downloading), []Command{later{resumeDownloads{}}}},
		"Error, download withheld":          {Error{"e"}, at(facts{cause: StartDownload{"u"}}, "u", Downloading), nil},
		"Error, resumed downloads":          {Error{"e"}, facts{own: true, retry: true, cause: resumeDownloads{}}, []Command{later{resumeDownloads{}}}},
		"Error, install to be tried again":  {Error{"e"}, at(facts{retry: true, cause: StartInstall{"u"}}, "u", Ready), []Command{later{StartInstall{"u"}}}},
		"Error, install not written down":   {Error{"e"}, at(facts{retry: true, cause: StartInstall{"u"}}, "u", Installing), []Command{later{StartInstall{"u"}}}},
		"Error, image lost":                 {Error{"e"}, at(facts{retry: true, cause: StartInstall{"u"}}, "u", Downloading), []Command{later{resumeDownloads{}}}},
		"Error, install of nothing":         {Error{"e"}, facts{cause: StartInstall{"u"}}, nil},
		"NotAuthenticated in N, download":   {NotAuthenticated{}, facts{cause: StartDownload{"u"}}, []Command{later{resumeDownloads{}}, later{Authenticate{}}}},
		"UpdateAvailable":                   {UpdateAvailable{}, pm, nil},
		"NoUpdateRequests":                  {NoUpdateRequests{}, pm, nil},
		"FoundInstalledPackages":            {FoundInstalledPackages{}, pm, nil},
		"FoundSystemInfo":                   {FoundSystemInfo{}, pm, nil},
		"DownloadingUpdate":                 {DownloadingUpdate{"u"}, pm, nil},
		"InstallingUpdate":                  {InstallingUpdate{"u"}, pm, nil},
		"InstalledPackagesSent":             {InstalledPackagesSent{}, pm, nil},
		"InstalledSoftwareSent":             {InstalledSoftwareSent{}, pm, nil},
		"SystemInfoSent":                    {SystemInfoSent{}, pm, nil},
		"InstalledSoftwareNeeded":           {InstalledSoftwareNeeded{}, pm, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, react(c.event, c.facts), cmp.AllowUnexported(later{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestResume(t *testing.T) {
	u := unfinished{downloading: []ota.UpdateID{"d"}, ready: []ota.UpdateID{"r1", "r2"}, installing: []ota.UpdateID{"i"}}
	off := []Command{StartDownload{"r1"}, StartDownload{"r2"}, resumeDownloads{}}
	if diff := cmp.Diff(off, resume(u)); diff != "" {
		t.Error(diff)
	}
	u.manager = true
	if diff := cmp.Diff(append([]Command{StartInstall{"i"}}, off...), resume(u)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]Command{resumeDownloads{}}, resume(unfinished{undecided: []ota.UpdateID{"c"}})); diff != "" {
		t.Error(diff)
	}
	if cs := resume(unfinished{manager: true}); cs != nil {
		t.Errorf("%v", cs)
	}
}
