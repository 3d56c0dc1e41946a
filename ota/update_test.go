package ota

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func TestAnUpdatesLife(t *testing.T) {
	success, failure := Outcome("u", AlreadyProcessed, ""), Outcome("u", DiskFull, "\n no room\nmore")
	digests := "condition-image-match: found " + strings.Repeat("0123456789abcdef", 12) // all of it is of use
	block := Block{Since: noon, Reason: "vim=1 failed"}
	for _, c := range []struct {
		name   string
		from   Status
		until  time.Time
		do     func(*Update) error
		want   Status
		reason string
		kind   Kind
		fails  bool
	}{
		{name: "a fetch begins it", from: Pending, do: func(u *Update) error { return u.Begin(Block{}, noon) }, want: InFlight},
		{name: "a second fetch changes nothing", from: InFlight, do: func(u *Update) error { return u.Begin(Block{}, noon) }, want: InFlight},
		{name: "a blocked device may go on", from: InFlight, do: func(u *Update) error { return u.Begin(block, noon) }, want: InFlight},
		{name: "a blocked device may not begin", from: Pending, do: func(u *Update) error { return u.Begin(block, noon) }, want: Pending, fails: true, kind: KindLocked},
		{name: "what ended does not rise", from: Finished, do: func(u *Update) error { return u.Begin(Block{}, noon) }, want: Finished, fails: true, kind: KindConflict},
		{name: "what expired does not begin", from: Pending, until: noon, do: func(u *Update) error { return u.Begin(Block{}, noon) }, want: Pending, fails: true, kind: KindConflict},
		{name: "what runs does not expire", from: InFlight, until: noon, do: func(u *Update) error { u.Expire(noon); return nil }, want: InFlight},
		{name: "what waits expires", from: Pending, until: noon, do: func(u *Update) error { u.Expire(noon); return nil }, want: Expired, reason: "expired: not begun before 2026-11-21T12:00:00Z"},
		{name: "a moment before it does not", from: Pending, until: noon.Add(1), do: func(u *Update) error { u.Expire(noon); return nil }, want: Pending},
		{name: "without an end it never does", from: Pending, do: func(u *Update) error { u.Expire(noon.AddDate(100, 0, 0)); return nil }, want: Pending},
		{name: "cancel what waits", from: Pending, do: func(u *Update) error { return u.Cancel("no more", noon) }, want: Canceled, reason: "no more"},
		{name: "what runs is left to complete", from: InFlight, do: func(u *Update) error { return u.Cancel("", noon) }, want: InFlight, fails: true, kind: KindConflict},
		{name: "what ended is not canceled", from: Failed, do: func(u *Update) error { return u.Cancel("", noon) }, want: Failed, fails: true, kind: KindNotFound},
		{name: "success finishes", from: InFlight, do: func(u *Update) error { u.Conclude(success, noon); return nil }, want: Finished},
		{name: "a device may have had the file", from: Pending, do: func(u *Update) error { u.Conclude(success, noon); return nil }, want: Finished},
		{name: "failure fails", from: InFlight, do: func(u *Update) error { u.Conclude(failure, noon); return nil }, want: Failed, reason: "DISK_FULL: no room"},
		{name: "its reason is told in full", from: InFlight, do: func(u *Update) error { u.Conclude(Outcome("u", ValidationFailed, digests), noon); return nil }, want: Failed, reason: "VALIDATION_FAILED: " + digests},
		{name: "what waits may become undeliverable", from: Pending, do: func(u *Update) error { u.Undeliverable("a is gone", noon); return nil }, want: Failed, reason: "not deliverable any more: a is gone"},
		{name: "what runs does not", from: InFlight, do: func(u *Update) error { u.Undeliverable("a is gone", noon); return nil }, want: InFlight},
		{name: "an empty report is no success", from: InFlight, do: func(u *Update) error { u.Conclude(Report{}, noon); return nil }, want: Failed},
		{name: "after the end reports change nothing", from: Finished, do: func(u *Update) error { u.Conclude(failure, noon); return nil }, want: Finished},
		{name: "nor do they raise the canceled", from: Canceled, do: func(u *Update) error { u.Conclude(success, noon); return nil }, want: Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			u := Update{ID: "u", Status: c.from, Until: c.until}
			err := c.do(&u)
			if (err != nil) != c.fails || (c.fails && KindOf(err) != c.kind) {
				t.Fatalf("error %v (%v)", err, KindOf(err))
			}
			if u.Status != c.want || u.Reason != c.reason {
				t.Fatalf("got %s %q, want %s %q", u.Status, u.Reason, c.want, c.reason)
			}
			if ended := !u.EndedAt.IsZero(); ended != (c.from.Active() && !c.want.Active()) {
				t.Fatalf("ended at %v", u.EndedAt)
			}
		})
	}
}

func TestQueueOrder(t *testing.T) {
	queue := []Update{
		{ID: "young", Priority: 10, CreatedAt: noon.Add(1)},
		{ID: "old", Priority: 10, CreatedAt: noon},
		{ID: "urgent", Priority: 1, CreatedAt: noon.Add(9)},
		{ID: "second", Pos: 2, Priority: 1},
		{ID: "first", Pos: 1, Priority: 99},
		{ID: "running", Status: InFlight, Priority: 100, CreatedAt: noon.Add(99)},
	}
	slices.SortFunc(queue, Update.Precedes)
	var got []UpdateID
	for _, u := range queue {
		got = append(got, u.ID)
	}
	if diff := cmp.Diff([]UpdateID{"running", "first", "second", "urgent", "old", "young"}, got); diff != "" {
		t.Fatal(diff)
	}
}

func TestQueueOrderIsTotal(t *testing.T) {
	update := rapid.Custom(func(t *rapid.T) Update {
		return Update{
			ID:        UpdateID(rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "id")),
			Status:    rapid.SampledFrom([]Status{Pending, InFlight}).Draw(t, "status"),
			Pos:       rapid.IntRange(0, 2).Draw(t, "pos"),
			Priority:  rapid.IntRange(1, 3).Draw(t, "priority"),
			CreatedAt: noon.Add(time.Duration(rapid.IntRange(0, 2).Draw(t, "age"))),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := update.Draw(t, "a"), update.Draw(t, "b"), update.Draw(t, "c")
		if a.Precedes(b) != -b.Precedes(a) {
			t.Fatal("not antisymmetric")
		}
		if a.Precedes(b) <= 0 && b.Precedes(c) <= 0 && a.Precedes(c) > 0 {
			t.Fatal("not transitive")
		}
		if a.Precedes(b) == 0 && a != b {
			t.Fatalf("%v and %v tie", a, b)
		}
	})
}

func TestBlockedDevicesSeeOnlyWhatRuns(t *testing.T) {
	block := Block{Since: noon}
	for status, want := range map[Status]bool{Pending: false, InFlight: true, Finished: false, Canceled: false} {
		if got := (Update{Status: status}).Offerable(block, noon); got != want {
			t.Errorf("%s: %v", status, got)
		}
	}
	if !(Update{Status: Pending}).Offerable(Block{}, noon) {
		t.Error("an open queue offers nothing")
	}
	if (Update{Status: Pending, Until: noon}).Offerable(Block{}, noon) {
		t.Error("an expired update is offered")
	}
}

func TestDeviceStatus(t *testing.T) {
	seen := Device{LastSeen: noon}
	for _, c := range []struct {
		d      Device
		active int
		last   Status
		want   DeviceStatus
	}{
		{Device{}, 1, Failed, NotSeen},
		{seen, 0, "", UpToDate},
		{seen, 0, Finished, UpToDate},
		{seen, 0, Expired, UpToDate},
		{seen, 2, Finished, Outdated},
		{seen, 2, Failed, Failing},
	} {
		if got := StatusOf(c.d, c.active, c.last); got != c.want {
			t.Errorf("%+v: %s", c, got)
		}
	}
}
