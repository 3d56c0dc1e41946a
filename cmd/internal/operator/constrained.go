package operator

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/httpapi/operator/client"
	"github.com/updraft-ota/updraft/ota"
)

// constrained is what a microcontroller is added with.
type constrained struct {
	is                     bool
	vendor, class, address string
	psk, enrol, plain      bool
}

// constrainedFlags are those that mean nothing without --constrained.
var constrainedFlags = []string{"vendor", "class", "psk", "enrol", "plain-coap", "address"}

func (s *constrained) flags(c *cobra.Command) {
	c.Flags().BoolVar(&s.is, "constrained", false, "it is a microcontroller that speaks CoAP")
	c.Flags().StringVar(&s.vendor, "vendor", "", "its vendor's `domain`, such as example.com")
	c.Flags().StringVar(&s.class, "class", "", "the vendor's `text` for what class of device it is")
	c.Flags().BoolVar(&s.psk, "psk", false, "make a key for it to speak coaps")
	c.Flags().BoolVar(&s.enrol, "enrol", false, "make a token by which it gets its key by itself, once")
	c.Flags().BoolVar(&s.plain, "plain-coap", false, "believe it without any proof over plain coap")
	c.Flags().StringVar(&s.address, "address", "", "`host:port` where it is a CoAP server itself and can be told something")
}

// said reports whether a flag of a microcontroller was given.
func (s *constrained) said(c *cobra.Command) bool {
	return slices.ContainsFunc(constrainedFlags, c.Flags().Changed)
}

func (s *constrained) check(config string) error {
	switch {
	case !s.is:
		return usageError("--vendor, --class, --psk, --enrol, --plain-coap and --address", errors.New("they belong to --constrained"))
	case s.vendor == "" || s.class == "":
		return usageError("--constrained", errors.New("give --vendor and --class too"))
	case s.psk && s.enrol:
		return usageError("--psk and --enrol", errors.New("give one of them: a device that enrols gets its key then"))
	case config != "":
		return usageError("--agent-config", errors.New("a microcontroller runs no updraft-agent"))
	case s.address == "":
		return nil
	}
	if err := ota.Target(s.address); err != nil {
		return usageError("--address", err)
	}
	return nil
}

// keys are told of a microcontroller, this once.
type keys struct {
	UUID        string `json:"uuid"`
	PSKIdentity string `json:"psk_identity,omitempty"`
	PSKKey      string `json:"psk_key,omitempty"`
	EnrolToken  string `json:"enrol_token,omitempty"`
}

func (o *options) addConstrained(c *cobra.Command, device client.DeviceT, s constrained, config string) error {
	if err := s.check(config); err != nil {
		return err
	}
	api, err := o.connect()
	if err != nil {
		return err
	}
	told, err := read[client.ConstrainedKeys](api.AddConstrainedDevice(c.Context(), nil, client.ConstrainedT{
		Uuid: device.Uuid, DeviceName: device.DeviceName, DeviceId: device.DeviceId, Vendor: s.vendor, Class: s.class,
		Psk: &s.psk, Enrol: &s.enrol, PlainCoap: &s.plain, Address: optional(s.address),
	}))
	if err != nil {
		return err
	}
	return o.showKeys(c, told)
}

func (o *options) showKeys(c *cobra.Command, told client.ConstrainedKeys) error {
	k := keys{told.Uuid.String(), said(told.PskIdentity), said(told.PskKey), said(told.EnrolToken)}
	return o.show(c, k, k.print)
}

func devicePSK(o *options) *cobra.Command {
	var enrol bool
	c := one(o, cobra.Command{
		Use: "psk", Short: "Give a microcontroller another key for coaps",
		Example: "  updraft device psk node-1\n  updraft device psk node-1 --enrol",
	}, func(c *cobra.Command, api *client.Client, d client.Device) error {
		told, err := read[client.ConstrainedKeys](api.RenewKey(c.Context(), d.Uuid, &client.RenewKeyParams{Enrol: &enrol}))
		if err != nil {
			return err
		}
		return o.showKeys(c, told)
	})
	c.Long += `

The key is printed now and never again. The one it had is good no more, nor is a
token by which it was to enrol, and sessions that were begun with them end.`
	c.Flags().BoolVar(&enrol, "enrol", false, "make a token by which it gets its key by itself, once, instead")
	return c
}

// optional is nil for "".
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func (k keys) print(w io.Writer) {
	facts(w, [][2]string{{"uuid", k.UUID}, {"identity", k.PSKIdentity}, {"key", k.PSKKey}, {"enrolment token", k.EnrolToken}})
	switch {
	case k.EnrolToken != "":
		fmt.Fprintln(w, "\nThe token is shown this once. With it as the key, and that identity, the device\nposts to /e over coaps and gets its own.")
	case k.PSKKey != "":
		fmt.Fprintln(w, "\nThe key is shown this once.")
	}
}

// transfersTo lists what a microcontroller fetches.
func transfersTo(c *cobra.Command, api *client.Client, d client.Device) ([]client.Transfer, error) {
	protocol := "coap"
	links, err := read[[]client.Link](api.ListLinks(c.Context(), &client.ListLinksParams{Protocol: &protocol}))
	for _, l := range links {
		if l.Device != nil && *l.Device == d.Uuid {
			return l.Transfers, nil
		}
	}
	return nil, err
}

// constrainedFacts tell of a microcontroller.
func constrainedFacts(d *client.Constrained, transfers []client.Transfer, now time.Time) [][2]string {
	if d == nil {
		return nil
	}
	sequence := strconv.FormatUint(d.Sequence, 10)
	if d.PlainCoap || d.Proof != nil && *d.Proof == client.None {
		sequence += " (unauthenticated)"
	}
	if d.Sequence == 0 {
		sequence = "not told"
	}
	facts := [][2]string{
		{"vendor", d.Vendor + " (" + d.VendorId.String() + ")"}, {"class", d.Class + " (" + d.ClassId.String() + ")"},
		{"proof", proof(d)}, {"address", said(d.Address)}, {"registered until", at(instant(d.RegisteredUntil), now)}, {"sequence", sequence},
	}
	for _, t := range transfers {
		facts = append(facts, [2]string{t.State, fmt.Sprintf("%s of %s, for %s=%s", size(t.Received), size(t.Size), t.PackageId.Name, t.PackageId.Version)})
	}
	return facts
}

// proof tells by what a microcontroller shows who it is.
func proof(d *client.Constrained) string {
	over := ""
	if d.PlainCoap {
		over = "; what it tells over plain coap is unauthenticated"
	}
	switch {
	case d.Proof == nil:
	case *d.Proof == client.Key:
		return "a key" + over
	case *d.Proof == client.Enrolment:
		return "none yet: its enrolment token was not used" + over
	case *d.Proof == client.Certificate:
		return "a certificate, if it has one" + over
	}
	if d.PlainCoap {
		return "none: what it tells is unauthenticated"
	}
	return "none: updraft device psk gives it a key"
}
