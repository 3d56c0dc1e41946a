package dbus

import (
	"slices"
	"sync"

	"github.com/updraft-ota/updraft/agent"
	"github.com/updraft-ota/updraft/ota"
)

// errand is a call that the software loading manager has not acted on yet. It
// is repeated to a manager that starts anew: the one before may have died over
// it, or never have been there.
type errand struct {
	update  ota.UpdateID // "" if it is about none
	method  string
	args    []any
	calling bool // an answer is awaited
}

// errands are at most one for each update, in the order they came up.
type errands struct {
	mu   sync.Mutex
	list []*errand
}

// maxErrands bounds them; the oldest go first.
const maxErrands = 1000

// put adds an errand in place of the one its update has.
func (es *errands) put(e *errand) {
	es.done(e.update)
	es.mu.Lock()
	defer es.mu.Unlock()
	es.list = append(es.list, e)
	es.list = es.list[max(0, len(es.list)-maxErrands):]
}

// done forgets an update's errand: the manager has acted, or nobody wants it to.
func (es *errands) done(id ota.UpdateID) {
	es.forget(func(e *errand) bool { return e.update == id })
}

// keep forgets updates that are not among the offered ones: the server's list
// is the whole truth, also about what other gateways have brought to an end.
func (es *errands) keep(offered []ota.Offer) {
	es.forget(func(e *errand) bool {
		return e.update != "" && !slices.ContainsFunc(offered, func(o ota.Offer) bool { return o.Update == e.update })
	})
}

func (es *errands) forget(which func(*errand) bool) {
	es.mu.Lock()
	defer es.mu.Unlock()
	es.list = slices.DeleteFunc(es.list, which)
}

// begin reports whether the call is to be made now, and notes that it is.
func (es *errands) begin(e *errand) bool {
	es.mu.Lock()
	defer es.mu.Unlock()
	if e.calling || !slices.Contains(es.list, e) {
		return false
	}
	e.calling = true
	return true
}

// end notes that the call has ended.
func (es *errands) end(e *errand) {
	es.mu.Lock()
	defer es.mu.Unlock()
	e.calling = false
}

// orphan says that the manager is gone, so that no call will be answered. Ends
// of calls to it that are noticed later mean errands that are no longer there.
func (es *errands) orphan() {
	es.mu.Lock()
	defer es.mu.Unlock()
	for i, e := range es.list {
		es.list[i] = &errand{update: e.update, method: e.method, args: e.args}
	}
}

func (es *errands) all() []*errand {
	es.mu.Lock()
	defer es.mu.Unlock()
	return slices.Clone(es.list)
}

// follow learns from an event, and returns the errand it gives rise to, if any.
func (es *errands) follow(e agent.Event, compat bool) *errand {
	switch e := e.(type) {
	case agent.UpdateAvailable:
		return es.add(updateAvailable(e.Update, compat))
	case agent.DownloadComplete:
		return es.add(downloadComplete(e.Image))
	case agent.InstalledSoftwareNeeded:
		return es.add(getInstalledPackages())
	case agent.DownloadingUpdate:
		es.done(e.Update)
	case agent.DownloadFailed:
		es.done(e.Update)
	case agent.InstallingUpdate:
		es.done(e.Update)
	case agent.InstallComplete:
		es.done(e.Report.Update)
	case agent.InstallFailed:
		es.done(e.Report.Update)
	case agent.UpdatesReceived:
		es.keep(e.Updates)
	case agent.NoUpdateRequests:
		es.keep(nil)
	}
	return nil
}

func (es *errands) add(e *errand) *errand {
	es.put(e)
	return e
}
