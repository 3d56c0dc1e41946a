package main

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/updraft-ota/updraft/blob"
	"github.com/updraft-ota/updraft/fleet"
	"github.com/updraft-ota/updraft/httpapi/token"
	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/store"
)

// fleetDir is a server's data folder, filled before the server starts.
type fleetDir struct {
	dir, auth string
	addr      string
	devices   []ota.DeviceID
	tokens    []string // with auth on, one for each device
	server    *exec.Cmd
}

// newFleet registers devices straight in the store.
func newFleet(ctx context.Context, dir, auth string, devices int) (*fleetDir, error) {
	f := &fleetDir{dir: dir, auth: auth}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	err := f.open(ctx, func(fl *fleet.Fleet) error {
		var issuer *token.Issuer
		if auth == "on" {
			var err error
			if issuer, err = token.NewIssuer(filepath.Join(dir, "token.key"), fl); err != nil {
				return err
			}
		}
		return fl.Store.Write(ctx, func(tx ota.Tx) error { return f.register(tx, issuer, devices) })
	})
	return f, err
}

func (f *fleetDir) register(tx ota.Tx, issuer *token.Issuer, n int) error {
	for i := range n {
		id := ota.DeviceID(fmt.Sprintf("00000000-0000-4000-8000-%012x", i))
		err := tx.PutDevice(ota.Device{
			Namespace: ota.DefaultNamespace, ID: id, Name: fmt.Sprintf("bench-%06d", i), Type: ota.Vehicle, CreatedAt: tx.Now(),
		})
		if err != nil {
			return err
		}
		f.devices = append(f.devices, id)
		if issuer == nil {
			continue
		}
		c := ota.Credential{ClientID: fmt.Sprint("client-", i), Device: id, Namespace: ota.DefaultNamespace, SecretHash: sha256.Sum256([]byte{byte(i)})}
		if err := tx.PutCredential(c); err != nil {
			return err
		}
		t, err := issuer.Issue(c)
		if err != nil {
			return err
		}
		f.tokens = append(f.tokens, t)
	}
	return nil
}

// open lends the fleet in the folder while no server uses it.
func (f *fleetDir) open(ctx context.Context, use func(*fleet.Fleet) error) (err error) {
	st, err := store.Open(ctx, store.Options{Path: filepath.Join(f.dir, "updraft.db")})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	blobs, err := blob.Open(filepath.Join(f.dir, "blobs"), blob.Options{})
	if err != nil {
		return err
	}
	return use(fleet.New(fleet.Options{Store: st, Blobs: blobs}))
}

// publish sends an artifact of random bytes to the first device and returns
// the URL's path and the file where the bytes lie.
func (f *fleetDir) publish(ctx context.Context, size int64) (url, file string, err error) {
	err = f.open(ctx, func(fl *fleet.Fleet) error {
		id := ota.PackageID{Name: "bench", Version: "1"}
		noise := io.LimitReader(rand.NewChaCha8([32]byte{}), size)
		p, err := fl.PutPackage(ctx, ota.DefaultNamespace, fleet.NewPackage{ID: id}, noise)
		if err != nil {
			return err
		}
		us, _, err := fl.Send(ctx, ota.DefaultNamespace, fleet.Request{Device: f.devices[0], Packages: []ota.PackageID{id}})
		if err != nil {
			return err
		}
		url = fmt.Sprintf("/api/v1/mydevice/%s/updates/%s/download", f.devices[0], us[0].ID)
		found, err := filepath.Glob(filepath.Join(f.dir, "blobs/*/*", string(p.Main().SHA256)))
		if err == nil && len(found) != 1 {
			err = fmt.Errorf("%d files hold the artifact", len(found))
		}
		if err == nil {
			file, err = filepath.Abs(found[0])
		}
		return err
	})
	return url, file, err
}

// send has an operator send an artifact of random bytes to the first device,
// while the server runs, and returns the update's id.
func (f *fleetDir) send(ctx context.Context, program string, size int64) (string, error) {
	const update = "00000000-0000-4000-9000-000000000001"
	path := filepath.Join(f.dir, "artifact")
	file, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer os.Remove(path)
	defer file.Close()
	if _, err := io.CopyN(file, rand.NewChaCha8([32]byte{}), size); err != nil {
		return "", err
	}
	for _, args := range [][]string{
		{"package", "add", path, "--name", "bench", "--version", "2"},
		{"update", "send", "--device", string(f.devices[0]), "--package", "bench=2", "--id", update},
	} {
		if out, err := exec.CommandContext(ctx, program, append(args, "--server", "http://"+f.addr)...).CombinedOutput(); err != nil {
			return "", fmt.Errorf("updraft %v: %w: %s", args, err, out)
		}
	}
	return update, nil
}

// polls are the requests all devices ask over and over.
func (f *fleetDir) polls() [][]byte {
	var out [][]byte
	for i, id := range f.devices {
		t := ""
		if f.tokens != nil {
			t = f.tokens[i]
		}
		out = append(out, get(f.addr, "/api/v1/mydevice/"+string(id)+"/updates", t))
	}
	return out
}

// start runs a server on the folder.
func (f *fleetDir) start(program string) error {
	f.server = exec.Command(program, "server", "--data", f.dir, "--auth", f.auth, "--bind", "127.0.0.1", "--http-port", "0", "--coap-port", "0")
	f.server.Stderr = os.Stderr
	f.server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := f.server.Start(); err != nil {
		return err
	}
	for range 100 {
		var addresses struct {
			HTTP string `json:"http"`
		}
		b, err := os.ReadFile(filepath.Join(f.dir, "addresses.json"))
		if err == nil && json.Unmarshal(b, &addresses) == nil {
			f.addr = addresses.HTTP
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return errors.New("the server does not listen")
}

func (f *fleetDir) stop() {
	f.server.Process.Signal(syscall.SIGTERM)
	f.server.Wait()
}
