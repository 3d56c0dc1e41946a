package ota

import (
	"strings"
	"testing"
	"time"
)

func TestConstrainedDevices(t *testing.T) {
	for _, c := range []Constrained{
		{Vendor: "example.com", Class: "thermostat"},
		{Vendor: "A-b.example", Class: "Thermostat é 2", Address: "[fd00::1]:5683"},
		{Vendor: "x", Class: strings.Repeat("c", 200), Address: "node.example/fw"},
	} {
		if err := c.Validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for _, c := range []Constrained{
		{Class: "c"}, {Vendor: "example.com"}, {Vendor: "a b", Class: "c"}, {Vendor: ".com", Class: "c"}, {Vendor: "a..b", Class: "c"}, {Vendor: "é.com", Class: "c"},
		{Vendor: strings.Repeat("a", 254), Class: "c"}, {Vendor: "x", Class: "a\nb"}, {Vendor: "x", Class: "\xff"}, {Vendor: "x", Class: strings.Repeat("c", 201)},
		{Vendor: "x", Class: "c", Address: "coap://x"}, {Vendor: "x", Class: "c", Address: "[ff02::1]"},
	} {
		if err := c.Validate(); KindOf(err) != KindInvalid || err == nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	d := Device{Name: "n", Type: OtherDevice, Constrained: &Constrained{}}
	if err := d.Validate(); KindOf(err) != KindInvalid || err == nil {
		t.Errorf("a device of no class: %v", err)
	}
}

func TestARegistrationEnds(t *testing.T) {
	c := Constrained{Address: "a"}
	if got := c.AddressAt(noon); got != "a" {
		t.Errorf("said by an operator: %q", got)
	}
	c.Until = noon
	if got := c.AddressAt(noon.Add(-time.Microsecond)) + c.AddressAt(noon); got != "a" {
		t.Errorf("registered: %q", got)
	}
}

func TestWhatNobodyVouchesForIsMarked(t *testing.T) {
	for _, c := range []struct {
		code ResultCode
		text string
		want string
	}{
		{OK, "", "Finished unauthenticated report unauthenticated report"},
		{OK, "fine", "Finished unauthenticated report unauthenticated report: fine"},
		{FlashFailed, "worn", "Failed unauthenticated report: FLASH_FAILED: worn unauthenticated report: worn"},
	} {
		r := Outcome("u", c.code, c.text)
		plain := r.Marked()[0].Text
		r.Unproven = true
		u := Update{Status: InFlight}
		u.Conclude(r, noon)
		if got := string(u.Status) + " " + u.Reason + " " + r.Marked()[0].Text; got != c.want || plain != c.text || r.Results[0].Text != c.text {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

func TestIdentitiesOfEnrolment(t *testing.T) {
	if IsEnrolment("0198c0de-0000-7000-8000-00000000000a") || !IsEnrolment(EnrolmentOf("0198c0de-0000-7000-8000-00000000000a")) {
		t.Error("mixed up")
	}
}
