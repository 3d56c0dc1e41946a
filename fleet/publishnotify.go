package fleet

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/updraft-ota/updraft/ota"
)

// Notification asks that devices be told of a manifest (ota-server.md 4).
type Notification struct {
	ID      string     // publish id, as it was given
	Version string     // "" or ota.Latest: the newest that has a manifest
	Scheme  ota.Scheme // SchemeAuto: chosen by what is stored
	Targets []string   // see ota.Target
	// Force tells of a manifest that is refused. It is noted (see ota.Forced).
	Force bool
}

// Notified is what became of a notification.
type Notified struct {
	Package ota.PackageID // whose manifest it is
	Scheme  ota.Scheme
	Devices []Told // in the order asked for, each once
	Forced  []string
}

// Told is what became of telling one device.
type Told struct {
	Target string
	URL    string // of the manifest; "" if it was not known in the end
	Slot   int    // that the device said is free; -1 if it was not asked
	Err    error  // nil if the device took it
}

// Limits of notifications. All devices together must be done before whoever
// asked gives up, which an HTTP door does after two minutes.
const (
	maxTargets   = 256
	atOnce       = 64               // devices being told
	tellPatience = 20 * time.Second // for one device; long enough to say it four times (RFC 7252 4.2)
	allPatience  = 100 * time.Second
	defaultPort  = ":5683"
	triggerPath  = "/suit/trigger" // ota-server.md 4.2
)

// Notify tells devices where a manifest is, and waits for what each says. It
// fails, and then told nobody, with
//   - KindInvalid: the id or a target break a rule (invalid_target tells of all
//     of them), or the manifest is refused (a Refusal);
//   - KindNotFound (missing_manifest): nothing is published there, or no manifest;
//   - KindUnavailable (no_coap): this server does not speak CoAP.
func (f *Fleet) Notify(ctx context.Context, ns ota.Namespace, n Notification) (out Notified, err error) {
	if f.Trigger == nil || f.CoAPRoot() == "" {
		return out, ota.Fail(ota.KindUnavailable, "no_coap", "this server does not speak CoAP")
	}
	if n.Targets, err = targets(n.Targets); err != nil {
		return out, err
	}
	id, newest, err := f.Versions(ctx, ns, n.ID)
	if err != nil {
		return out, err
	}
	c, err := choose(newest, n)
	if err != nil {
		return out, err
	}
	out.Package, out.Scheme = c.id, c.scheme
	against, err := f.deliverable(ctx, ns, id, newest, c.manifests, nil)
	if err != nil {
		return out, err
	}
	if out.Forced = against.reasons; len(out.Forced) > 0 && !n.Force || against.firm {
		return out, &Refusal{out.Forced}
	}
	if len(out.Forced) > 0 { // before anything of it is told
		if err := f.noteForced(ctx, ns, c.id, "notify", out.Forced); err != nil {
			return out, err
		}
	}
	out.Devices = f.tell(ctx, c, n.Targets)
	// Devices know by now, even if whoever asked has gone.
	return out, f.write(context.WithoutCancel(ctx), func(tx ota.Tx) error { return tellNotified(tx, ns, out) })
}

// targets drops those named twice, and refuses all if one is none.
func targets(list []string) (distinct []string, err error) {
	var bad []string
	for _, s := range list {
		if s = strings.TrimSpace(s); s == "" || slices.Contains(distinct, s) {
			continue
		}
		if err := ota.Target(s); err != nil {
			bad = append(bad, err.Error())
		}
		distinct = append(distinct, s)
	}
	switch {
	case len(distinct) == 0 || len(distinct) > maxTargets:
		return nil, ota.Fail(ota.KindInvalid, "invalid_target", "name 1 to %d devices, not %d", maxTargets, len(distinct))
	case len(bad) > 0:
		return nil, ota.Fail(ota.KindInvalid, "invalid_target", "%s", strings.Join(bad, "; "))
	}
	return distinct, nil
}

// choice is the manifest, or one for each slot, that devices are told of.
type choice struct {
	id        ota.PackageID
	scheme    ota.Scheme
	manifests []ota.Artifact
	latest    bool          // by the alias
	newest    []ota.Package // versions, to see what devices would find
}

func choose(newest []ota.Package, n Notification) (c choice, err error) {
	among := newest
	c.newest, c.latest = newest, n.Version == "" || n.Version == ota.Latest
	if !c.latest {
		i := indexVersion(newest, n.Version)
		if i < 0 {
			return c, ota.MissingPackage(ota.PackageID{Name: newest[0].ID.Name, Version: n.Version})
		}
		among = newest[i : i+1]
	}
	p, list, scheme := ota.Notifiable(among, n.Scheme)
	if len(list) == 0 {
		return c, ota.Fail(ota.KindNotFound, "missing_manifest", "Manifest is not available for publish id %s.", newest[0].ID.Name)
	}
	c.id, c.manifests, c.scheme = p.ID, list, scheme
	return c, nil
}

// tell tells devices side by side, but those at one address one by one
// (NSTART), and where one does not answer, no other.
func (f *Fleet) tell(ctx context.Context, c choice, targets []string) []Told {
	ctx, cancel := context.WithTimeout(ctx, allPatience)
	defer cancel()
	told := make([]Told, len(targets))
	byAddress := map[string][]int{}
	for i, s := range targets {
		authority, _, _ := strings.Cut(s, "/")
		authority = strings.TrimSuffix(authority, defaultPort)
		byAddress[authority] = append(byAddress[authority], i)
	}
	free := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	for _, list := range byAddress {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			var gone error
			for _, i := range list {
				if gone != nil {
					told[i] = Told{Target: targets[i], Slot: -1, Err: gone}
					continue
				}
				told[i] = f.tellOne(ctx, c, targets[i])
				if ota.KindOf(told[i].Err) == ota.KindUnreachable {
					gone = told[i].Err
				}
			}
		})
	}
	all.Wait()
	return told
}

func (f *Fleet) tellOne(ctx context.Context, c choice, target string) Told {
	ctx, cancel := context.WithTimeout(ctx, tellPatience)
	defer cancel()
	t := Told{Target: target, Slot: -1}
	below := strings.TrimSuffix(target, "/")
	a := c.manifests[0]
	switch c.scheme {
	case ota.SchemeDirect:
		below = target
	case ota.SchemeSlot:
		if t.Slot, t.Err = f.Trigger.Slot(ctx, below); t.Err != nil {
			t.Slot = -1
			return t
		}
		if a, t.Err = c.forSlot(t.Slot); t.Err != nil {
			return t
		}
		below += triggerPath
	case ota.SchemeV4:
		below += triggerPath
	}
	t.URL = f.urlOf(c, a)
	t.Err = f.Trigger.Post(ctx, below, t.URL)
	return t
}

// urlOf is what a device is told: the file by its name, unless a newer version
// has another file of that name.
func (f *Fleet) urlOf(c choice, a ota.Artifact) string {
	name := a.Name
	if n, ok := ota.ParseRIOTName(name); ok && c.latest {
		name = n.Alias().String()
	}
	if _, found, _ := ota.LocateFile(c.newest, name); found.SHA256 != a.SHA256 {
		return ota.ManifestURL(f.CoAPRoot(), a.SHA256)
	}
	return f.FileURL(c.id.Name, name)
}

// forSlot finds the manifest for the slot that a device has free. Whatever is
// not 1 is 0 (ota-server.md 4.2).
func (c choice) forSlot(slot int) (ota.Artifact, error) {
	want := "0"
	if slot == 1 {
		want = "1"
	}
	for _, a := range c.manifests {
		if n, _ := ota.ParseRIOTName(a.Name); n.Slot == want {
			return a, nil
		}
	}
	return ota.Artifact{}, ota.Fail(ota.KindNotFound, "missing_manifest", "%s has no manifest for slot %s, which the device has free", c.id, want)
}

func tellNotified(tx ota.Tx, ns ota.Namespace, out Notified) error {
	told, failed := []string{}, []string{}
	for _, t := range out.Devices {
		if t.Err == nil {
			told = append(told, t.Target)
		} else {
			failed = append(failed, t.Target)
		}
	}
	return tellPackage(tx, ota.Event{Namespace: ns, Type: ota.PackageNotified}, out.Package, map[string]any{"scheme": out.Scheme, "told": told, "failed": failed})
}
