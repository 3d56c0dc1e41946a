package e2e_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/updraft-ota/updraft/ota"
)

// car is a device: a root of its own, a configuration, and its agent
// through all its lives.
type car struct {
	*testing.T
	site   *site
	name   string
	uuid   string
	dir    string
	root   string
	config string
	extra  []string // further options of the agent
	*process
	real    bool   // run the real program
	program string // run this one
}

// newCar registers a device. Its agent is not started.
func newCar(s *site, name string, more ...string) *car {
	s.Helper()
	dir := s.TempDir()
	c := &car{T: s.T, site: s, name: name, dir: dir, root: filepath.Join(dir, "root"), config: filepath.Join(dir, "sota.toml")}
	makeRoot(c.T, c.root)
	var added struct{ UUID string }
	if err := json.Unmarshal([]byte(s.must(append([]string{"device", "add", "--name", name, "--agent-config", c.config}, more...)...)), &added); err != nil {
		s.Fatal(err)
	}
	c.uuid = added.UUID
	return c
}

// agent is the command that runs the device's agent.
func (c *car) agent() *exec.Cmd {
	args := append([]string{"--config", c.config,
		"--auth-credentials-file", filepath.Join(c.dir, "credentials.toml"),
		"--core-polling-sec", "1",
		"--device-package-manager", "deb",
		"--device-package-root", c.root,
		"--device-packages-dir", filepath.Join(c.dir, "downloads"),
		"--device-trusted-keys", c.site.key + ".pub",
		"--device-system-info", "",
		"--gateway-http", "true", "--network-http-server", "127.0.0.1:0",
	}, c.extra...)
	if c.real {
		c.program = program(c.T, "updraft-agent")
	}
	if c.program != "" {
		cmd := exec.Command(c.program, args...)
		cmd.Env = os.Environ()
		return cmd
	}
	return self("agent", args...)
}

// start starts the agent.
func (c *car) start(env ...string) {
	c.Helper()
	cmd := c.agent()
	cmd.Env = append(cmd.Env, env...)
	c.process = launch(c.T, "agent of "+c.name, cmd)
}

// tell gives the agent a command through its HTTP gateway and returns the
// final event, both as JSON.
func (c *car) tell(command string) string {
	c.Helper()
	resp, err := c.post(command)
	if err != nil {
		c.Fatal(err)
	}
	return resp
}

func (c *car) post(command string) (string, error) {
	c.Helper()
	addr := c.says(`HTTP gateway listens address=(\S+)`)
	resp, err := http.Post("http://"+addr, "application/json", strings.NewReader(command))
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	event, err := io.ReadAll(resp.Body)
	return string(event), err
}

// send queues a package for the device and returns the update's id.
func (c *car) send(name, version string) string {
	c.Helper()
	var sent struct{ ID string }
	if err := json.Unmarshal([]byte(c.site.must("update", "send", "--device", c.uuid, "--package", name+"="+version)), &sent); err != nil {
		c.Fatal(err)
	}
	return sent.ID
}

// result is a report as the server keeps it.
type result struct {
	ResultCode ota.ResultCode `json:"resultCode"`
	ResultText string         `json:"resultText"`
}

// results are what the server knows of how an update ended.
func (c *car) results(update string) (list []result) {
	c.Helper()
	if err := c.site.get(fmt.Sprintf("/api/v1/device_updates/%s/%s/results", c.uuid, update), &list); err != nil {
		c.Fatal(err)
	}
	return list
}

// status is where the server sees an update, "" if it does not answer.
func (c *car) status(update string) (status ota.Status, reason string) {
	var list []struct {
		ID     string
		Status ota.Status
		Reason string
	}
	if err := c.site.get("/api/v1/updates?device="+c.uuid+"&id="+update, &list); err != nil || len(list) != 1 {
		return "", ""
	}
	return list[0].Status, list[0].Reason
}

// await waits until the server sees the end of an update.
func (c *car) await(update string, want ota.Status) {
	c.Helper()
	until(c.T, fmt.Sprintf("update %s to be %s", update, want), func() bool {
		got, reason := c.status(update)
		if got != "" && got != want && !got.Active() {
			c.Fatalf("update %s is %s: %s", update, got, reason)
		}
		return got == want
	})
}

// rests makes sure that nothing is left to do: the agent, restarted once more,
// finds nothing, and neither installs nor reports anything again.
func (c *car) rests() {
	c.Helper()
	for range 2 {
		if !c.alive() {
			c.start()
		}
		until(c.T, "the agent to be done", func() bool {
			c.site.revive()
			return c.tell(`"GetUpdateRequests"`) == `"NoUpdateRequests"`
		})
		c.terminate()
	}
}

// reported checks that one report arrived, with that code.
func (c *car) reported(update string, code ota.ResultCode) {
	c.Helper()
	if list := c.results(update); len(list) != 1 || list[0].ResultCode != code {
		c.Errorf("results of update %s: %v, want one with %s", update, list, code)
	}
}

// lists checks that the server knows what is installed.
func (c *car) lists(name, version string) {
	c.Helper()
	until(c.T, "the server to know what is installed", func() bool {
		var list []struct {
			PackageID struct{ Name, Version string } `json:"packageId"`
		}
		if err := c.site.get("/api/v1/devices/"+c.uuid+"/packages", &list); err != nil {
			c.Fatal(err)
		}
		return len(list) == 1 && list[0].PackageID.Name == name && list[0].PackageID.Version == version
	})
}
