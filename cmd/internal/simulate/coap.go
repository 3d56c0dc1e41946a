package simulate

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	"github.com/updraft-ota/updraft/cmd/internal/settings"
	"github.com/updraft-ota/updraft/cmd/internal/usage"
	"github.com/updraft-ota/updraft/sim"
	"github.com/updraft-ota/updraft/suit"
)

// maxDevices is how many one program plays.
const maxDevices = 1000

// play is what flags say.
type play struct {
	data, name, listen string
	count              int
	vendor, class      string
	dialect            string
	keys               []string
	offsets            []string
	slotSize           int64
	sequence           uint64
	triggerPath        string

	server, path  string
	credentials   []string
	identity, key string
	register      bool
	suitReports   bool
	signKey       string
	poll          time.Duration
	block         int
	loss          int
	once          bool
	timeout       time.Duration
	output        string
	manifests     []string
	sequenceGiven bool
}

func coapCommand() *cobra.Command {
	p := &play{dialect: suit.Standard.String(), output: "table"}
	c := &cobra.Command{
		Use:   "coap --vendor DOMAIN --class TEXT --trust FILE [--server URL] [MANIFEST-URL...]",
		Short: "Play constrained devices that are updated by SUIT manifests",
		Long: `Play constrained devices over CoAP. Each has two slots of flash in a folder,
installs what a manifest signed by a trusted key says, and nothing else: older
sequence numbers, other classes and images that differ from their digest are
refused. What was installed is run after a reboot, or gone back on.

A device is told of a manifest at its own POST /suit/trigger (and answers GET
/suit/slot/inactive), by --server, whose /u/DEVICE it observes and which gets
its reports, or by MANIFEST-URL. With --dialect riot it is as particular as RIOT
with riotboot: an image's header has the manifest's sequence number.

Exit code 0 means that it was ended, or with --once that every device installed
what it was told; 1 that something failed or was refused; 2 wrong usage.`,
		Example: `  updraft sim coap --vendor example.com --class lamp-1 --trust author.key.pub \
      --once coap://127.0.0.1/lamp/manifest
  updraft sim coap --vendor example.com --class lamp-1 --trust author.key.pub \
      --data lamp --listen 127.0.0.1:5700 --server coap://127.0.0.1 --device lamp-1 --register
  updraft device add --name lamp-2 --constrained --vendor example.com --class lamp-1 --psk -o json >lamp-2.json
  updraft sim coap --vendor example.com --class lamp-1 --trust author.key.pub \
      --server coaps://127.0.0.1 --credentials lamp-2.json
  updraft sim coap --vendor riot-os.org --class samr21-xpro --dialect riot --trust author.key.pub \
      --slots 0x1000,0x20800 --block-size 64 --loss 10 --count 5 -o json`,
		RunE: func(c *cobra.Command, args []string) error {
			p.manifests = args
			p.sequenceGiven = c.Flag("sequence").Changed
			return p.run(c)
		},
	}
	fs := c.Flags()
	fs.SortFlags = false
	fs.StringVar(&p.vendor, "vendor", "", "who makes the devices: a `domain`, or a UUID")
	fs.StringVar(&p.class, "class", "", "which of them they are: a `text`, such as the board's name, or a UUID")
	fs.StringArrayVar(&p.keys, "trust", nil, "`file` of public keys whose manifests are installed; may be given again")
	fs.Var(settings.Choice{Word: &p.dialect, Words: []string{suit.Standard.String(), suit.RIOT.String()}}, "dialect", "`dialect` of manifests they read: standard or riot")
	fs.StringVar(&p.data, "data", "", "`folder` that stands for the flash, kept for the next time (default: one that is removed at the end)")
	fs.Uint64Var(&p.sequence, "sequence", 0, "sequence `number` that was installed in the factory")
	fs.StringSliceVar(&p.offsets, "slots", []string{"0x1000", "0x20800"}, "`offsets` of the two slots in flash (riot)")
	fs.Int64Var(&p.slotSize, "slot-size", 1<<20, "longest image, in `bytes`")
	fs.StringVar(&p.listen, "listen", "127.0.0.1:0", "`address` the devices listen on; the second gets the next port, and so on")
	fs.StringVar(&p.triggerPath, "trigger-path", "", "one more `path` where they are told of manifests, besides /suit/trigger")
	fs.IntVar(&p.count, "count", 1, "`number` of devices")
	fs.StringVar(&p.name, "name", "sim", "what they are called here; several are NAME-1, NAME-2 and so on")

	fs.StringVar(&p.server, "server", "", "`URL` of the server that is asked what to install, and gets reports: coap://HOST, coaps://HOST or coap+tcp://HOST")
	fs.StringVar(&p.path, "device", "", "`uuid` or name of the device at the server (default: what --credentials says, else the name here)")
	fs.StringArrayVar(&p.credentials, "credentials", nil, "`file` written by updraft device add -o json; each is one device")
	fs.StringVar(&p.identity, "psk-identity", "", "`identity` for coaps")
	fs.StringVar(&p.key, "psk-key", "", "`key` for coaps, its bytes as they stand (better: --credentials)")
	fs.BoolVar(&p.register, "register", false, "tell the server where they listen")
	fs.BoolVar(&p.suitReports, "suit-report", false, "report outcomes as SUIT_Report")
	fs.StringVar(&p.signKey, "report-key", "", "`file` of the private key that signs SUIT_Reports")
	fs.DurationVar(&p.poll, "poll", 30*time.Second, "how long to wait before asking a server again that had nothing to say")

	fs.IntVar(&p.block, "block-size", 64, "`bytes` per block they ask for: 16 to 1024, 0 leaves it to the server")
	fs.IntVar(&p.loss, "loss", 0, "`percent` of all datagrams that get lost")
	fs.BoolVar(&p.once, "once", false, "end when every device has dealt with one manifest")
	fs.DurationVar(&p.timeout, "timeout", 0, "with --once, fail if that takes longer (default: no limit)")
	fs.VarP(settings.Choice{Word: &p.output, Words: []string{"table", "json"}}, "output", "o", "`format` of what happens: lines for people, or a json document per line")
	return c
}

func (p *play) run(c *cobra.Command) error {
	if p.data == "" {
		dir, err := os.MkdirTemp("", "updraft-sim-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		p.data = dir
	}
	configs, err := p.configs()
	if err != nil {
		return err
	}
	show := printer(c.OutOrStdout(), p.output == "json")
	cast := make([]actor, 0, len(configs))
	defer func() {
		for _, a := range cast {
			_ = a.socket.Close() // those that ran have closed it themselves
		}
	}()
	for i, config := range configs {
		config.Tell = show
		a, err := p.prepare(c.Context(), config, i)
		if err != nil {
			return err
		}
		cast = append(cast, a)
	}
	ctx, cancel := c.Context(), context.CancelFunc(func() {})
	if p.timeout > 0 {
		ctx, cancel = context.WithTimeoutCause(ctx, p.timeout, errors.New("not every device was done by --timeout"))
	}
	defer cancel()
	return perform(ctx, cast)
}

// prepare makes a device and binds its port.
func (p *play) prepare(ctx context.Context, config sim.Config, i int) (actor, error) {
	host, port, err := net.SplitHostPort(p.listen)
	if err != nil {
		return actor{}, usage.Errorf("--listen: %w", err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n != 0 && n+uint64(i) > 65535 {
		return actor{}, usage.Errorf("--listen %q: the port must be 0 (any) to 65535, for every device", p.listen)
	}
	if n != 0 {
		n += uint64(i)
	}
	d, err := sim.New(config)
	if err != nil {
		return actor{}, err
	}
	socket, err := new(net.ListenConfig).ListenPacket(ctx, "udp", net.JoinHostPort(host, strconv.FormatUint(n, 10)))
	if err != nil {
		return actor{}, err
	}
	return actor{d, socket}, nil
}

// configs makes a configuration for each device.
func (p *play) configs() ([]sim.Config, error) {
	base, err := p.config()
	if err != nil {
		return nil, err
	}
	papers, err := readCredentials(p.credentials)
	if err != nil {
		return nil, err
	}
	count := p.count
	if len(papers) > 0 {
		if count != 1 && count != len(papers) {
			return nil, usage.Errorf("--count %d, but there are %d --credentials: each is one device", count, len(papers))
		}
		count = len(papers)
	}
	switch {
	case count < 1 || count > maxDevices:
		return nil, usage.Errorf("--count must be 1 to %d", maxDevices)
	case count > 1 && (p.path != "" || p.identity != ""):
		return nil, usage.Errorf("--device and --psk-identity are for one device, not for %d: give --credentials for each", count)
	}
	all := make([]sim.Config, count)
	for i := range all {
		c := base
		c.Name, c.Dir = p.name, p.data
		if count > 1 {
			c.Name = fmt.Sprintf("%s-%d", p.name, i+1)
			c.Dir = filepath.Join(p.data, c.Name)
		}
		if len(papers) > 0 {
			papers[i].fill(&c)
		}
		c.Path = cmp.Or(p.path, c.Path, c.Name)
		all[i] = c
	}
	return all, nil
}

// config is what all devices have in common.
func (p *play) config() (c sim.Config, err error) {
	if p.vendor == "" || p.class == "" || len(p.keys) == 0 {
		return c, usage.Errorf("--vendor, --class and --trust are needed: see --help")
	}
	c = sim.Config{
		Board: p.class, SlotSize: p.slotSize, Server: p.server, Register: p.register && p.server != "",
		SUITReports: p.suitReports, TriggerPath: p.triggerPath, Manifests: p.manifests, Once: p.once, Poll: p.poll,
		Network: sim.Network{Block: p.block, Loss: float64(p.loss) / 100, Identity: p.identity, Key: []byte(p.key)},
	}
	c.Vendor, c.VendorName = identifier(p.vendor, suit.VendorID)
	c.Class, c.ClassName = identifier(p.class, func(text string) uuid.UUID { return suit.ClassID(c.Vendor, text) })
	if p.dialect == suit.RIOT.String() {
		c.Dialect = suit.RIOT
	}
	if p.sequenceGiven {
		c.Sequence = &p.sequence
	}
	if err := p.check(&c); err != nil {
		return c, err
	}
	return c, p.readKeys(&c)
}

// identifier reads a UUID, or makes one of a name. It returns the name, "" if
// there is none.
func identifier(text string, derive func(string) uuid.UUID) (uuid.UUID, string) {
	if id, err := uuid.Parse(text); err == nil {
		return id, ""
	}
	return derive(text), text
}

func (p *play) check(c *sim.Config) error {
	switch {
	case p.block != 0 && (p.block < 16 || p.block > 1024 || p.block&(p.block-1) != 0):
		return usage.Errorf("--block-size must be 16, 32, 64, 128, 256, 512 or 1024, or 0")
	case p.loss < 0 || p.loss > 90:
		return usage.Errorf("--loss must be 0 to 90 percent")
	case p.slotSize < 1:
		return usage.Errorf("--slot-size must be positive")
	case p.poll <= 0:
		return usage.Errorf("--poll must be positive")
	case len(p.offsets) != len(c.Offsets):
		return usage.Errorf("--slots: a device has two, such as 0x1000,0x20800")
	case (p.identity == "") != (p.key == ""):
		return usage.Errorf("--psk-identity and --psk-key belong together")
	case p.signKey != "" && !p.suitReports:
		return usage.Errorf("--report-key is for --suit-report")
	case p.timeout != 0 && !p.once:
		return usage.Errorf("--timeout is for --once")
	}
	for i, text := range p.offsets {
		n, err := strconv.ParseUint(text, 0, 32)
		if err != nil {
			return usage.Errorf("--slots %q: expected an offset such as 0x1000", text)
		}
		c.Offsets[i] = n
	}
	return checkURLs(p.server, p.manifests)
}
