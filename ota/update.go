package ota

import (
	"cmp"
	"time"
)

// Status is where an update stands (server.md 2.1). The first five are the
// original's; Expired is ours.
type Status string

const (
	Pending  Status = "Pending"  // waits for its device
	InFlight Status = "InFlight" // the device has begun to fetch it
	Canceled Status = "Canceled" // withdrawn before it began
	Failed   Status = "Failed"   // the device reported a failure
	Finished Status = "Finished" // the device reported success
	Expired  Status = "Expired"  // its time ran out before it began
)

// Statuses lists every status in the order of an update's life.
var Statuses = []Status{Pending, InFlight, Finished, Failed, Canceled, Expired}

// Active reports whether the update has not ended.
func (s Status) Active() bool { return s == Pending || s == InFlight }

// Valid reports whether s is one of Statuses.
func (s Status) Valid() bool {
	switch s {
	case Pending, InFlight, Canceled, Failed, Finished, Expired:
		return true
	}
	return false
}

// Update is one package version for one device.
type Update struct {
	Namespace Namespace
	ID        UpdateID // unique on its device
	Request   RequestID
	Device    DeviceID
	Package   PackageID
	Status    Status
	// Pos is the explicit place in the device's queue, from 1; 0 if nobody
	// set one. See Precedes.
	Pos         int
	Priority    int // 1 (first) to 100 (server.md SRV-PACKAGE-QUEUE-5)
	Confirm     bool
	Description string
	Until       time.Time // zero: no end
	CreatedAt   time.Time
	UpdatedAt   time.Time
	EndedAt     time.Time // zero while Active
	Reason      string    // why it ended as it did; empty on plain success
	Forced      string    // what there was against it when an operator insisted; "" if nobody had to

	// Of updates whose bytes the server sends by itself (see Push).
	Tries   int       // ended without an answer; see Return
	RetryAt time.Time // the device is told again then, at the latest; zero: at once
	SentAt  time.Time // the device has all bytes; zero until then, and once it begins anew
}

// DefaultPriority is what the original gives (server.md 1.7).
const DefaultPriority = 10

// ExpiredAt reports whether a waiting update's time has run out at t. An
// update in flight never expires.
func (u Update) ExpiredAt(t time.Time) bool {
	return u.Status == Pending && !u.Until.IsZero() && !t.Before(u.Until)
}

// Offerable reports whether the device may be told of the update at t, given
// its block: a blocked device still sees what is in flight, so that a running
// install can finish (server.md 2.1, Blocking).
func (u Update) Offerable(b Block, t time.Time) bool {
	switch u.Status {
	case InFlight:
		return true
	case Pending:
		return !b.Blocked() && !u.ExpiredAt(t)
	}
	return false
}

// Precedes orders a queue: in flight first, then explicit positions, then
// priority, then age, then id, so that the order is total.
func (u Update) Precedes(v Update) int {
	first := func(a, b bool) int {
		switch {
		case a == b:
			return 0
		case a:
			return -1
		}
		return 1
	}
	return cmp.Or(
		first(u.Status == InFlight, v.Status == InFlight),
		first(u.Pos > 0, v.Pos > 0),
		cmp.Compare(u.Pos, v.Pos),
		cmp.Compare(u.Priority, v.Priority),
		u.CreatedAt.Compare(v.CreatedAt),
		cmp.Compare(u.ID, v.ID),
	)
}

// Begin moves a pending update to InFlight: its device has asked for the
// bytes. Asking again changes nothing but SentAt. It fails with KindConflict
// (update_ended) once the update has ended, and with KindLocked
// (device_blocked) while the block holds a pending one.
func (u *Update) Begin(b Block, now time.Time) error {
	switch {
	case u.Status == InFlight:
		u.SentAt = time.Time{}
		return nil
	case u.ExpiredAt(now):
		return Fail(KindConflict, "update_ended", "update %s has expired", u.ID)
	case u.Status != Pending:
		return Fail(KindConflict, "update_ended", "update %s is %s", u.ID, u.Status)
	case b.Blocked():
		return Fail(KindLocked, "device_blocked", "the device's queue is blocked since %s: %s", b.Since.UTC().Format(time.RFC3339), b.Reason)
	}
	u.Status, u.UpdatedAt, u.SentAt = InFlight, now, time.Time{}
	return nil
}

// MaxTries is how many times a device that does not answer is told of an
// update before the update has failed.
const MaxTries = 10

// How long a device that did not answer is left alone: from firstRetry, twice
// as long each time.
const (
	firstRetry = 5 * time.Minute
	lastRetry  = time.Hour
)

// Return takes an update in flight back to Pending, as its device no longer
// answers; at the last of MaxTries it ends as Failed, unreachable. It reports
// whether the update changed: one that is not in flight, or has been sent as
// a whole, does not.
func (u *Update) Return(reason string, now time.Time) bool {
	if u.Status != InFlight || !u.SentAt.IsZero() {
		return false
	}
	u.Tries++
	if u.Tries >= MaxTries {
		u.end(Failed, "unreachable: "+reason, now)
		return true
	}
	u.RetryAt = now.Add(min(firstRetry<<(u.Tries-1), lastRetry))
	u.Status, u.Reason, u.UpdatedAt = Pending, reason, now
	return true
}

// Sent notes that the device has all bytes of an update in flight, and reports
// whether that is news. The device has answered, so tries are counted anew.
func (u *Update) Sent(now time.Time) bool {
	if u.Status != InFlight || !u.SentAt.IsZero() {
		return false
	}
	u.Tries, u.RetryAt, u.Reason = 0, time.Time{}, ""
	u.SentAt, u.UpdatedAt = now, now
	return true
}

// Unreported ends an update that was sent and never reported; it reports
// whether it did.
func (u *Update) Unreported(now time.Time) bool {
	if u.Status != InFlight || u.SentAt.IsZero() {
		return false
	}
	u.end(Failed, "no report: sent "+u.SentAt.UTC().Format(time.RFC3339)+", and the device never told how it ended", now)
	return true
}

// Undeliverable ends a pending update whose files are no longer what its
// device needs; it reports whether it did.
func (u *Update) Undeliverable(reason string, now time.Time) bool {
	if u.Status != Pending {
		return false
	}
	u.end(Failed, "not deliverable any more: "+reason, now)
	return true
}

// Cancel withdraws a pending update. It fails with KindConflict
// (update_in_flight) when the device has begun, as what runs is left to
// complete, and with KindNotFound (missing_entity) when the update has ended.
func (u *Update) Cancel(reason string, now time.Time) error {
	switch u.Status {
	case Pending:
		u.end(Canceled, reason, now)
		return nil
	case InFlight:
		return Fail(KindConflict, "update_in_flight", "update %s is in flight: the device has begun to fetch it and will report", u.ID)
	}
	return Fail(KindNotFound, "missing_entity", "update %s is not pending, it is %s", u.ID, u.Status)
}

// Stop withdraws an update that is on its way, over a transport that can stop
// it, or is pending. It fails as Cancel does for one that has ended, or that
// the device has as a whole.
func (u *Update) Stop(reason string, now time.Time) error {
	if u.Status == InFlight && u.SentAt.IsZero() {
		u.end(Canceled, reason, now)
		return nil
	}
	return u.Cancel(reason, now)
}

// Interrupt takes an update in flight back to Pending, through no fault of its
// own or its device's: it is told again at once. It reports whether the update
// changed, as Return does.
func (u *Update) Interrupt(now time.Time) bool {
	if u.Status != InFlight || !u.SentAt.IsZero() {
		return false
	}
	u.Status, u.Reason, u.RetryAt, u.UpdatedAt = Pending, "", time.Time{}, now
	return true
}

// Expire ends a pending update whose time has run out; it reports whether it did.
func (u *Update) Expire(now time.Time) bool {
	if !u.ExpiredAt(now) {
		return false
	}
	u.end(Expired, "expired: not begun before "+u.Until.UTC().Format(time.RFC3339), now)
	return true
}

// Conclude ends an active update by its device's report and reports whether
// it changed: a report after the end changes nothing. A report may come while
// the update is Pending, when the device had the file already.
func (u *Update) Conclude(r Report, now time.Time) bool {
	if !u.Status.Active() {
		return false
	}
	if r.Success() {
		u.end(Finished, r.mark(""), now)
		return true
	}
	reason := ""
	for _, res := range r.Results {
		if !res.Code.Success() {
			reason = res.Code.String()
			if res.Text != "" {
				reason += ": " + firstLine(res.Text)
			}
			break
		}
	}
	u.end(Failed, r.mark(reason), now)
	return true
}

func (u *Update) end(s Status, reason string, now time.Time) {
	u.Status, u.Reason, u.UpdatedAt, u.EndedAt = s, reason, now, now
}

// StoredResult is one line of a device's reports as the server keeps it.
type StoredResult struct {
	ID         string // a UUID
	Device     DeviceID
	Update     UpdateID
	Result     OperationResult
	ReceivedAt time.Time
}
