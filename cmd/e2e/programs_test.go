package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// programs are the real ones, built once, when first asked for.
var programs built

type built struct {
	once sync.Once
	dir  string
	err  error
}

func (b *built) build() {
	if b.dir = os.Getenv(programsEnv); b.dir != "" {
		return
	}
	if b.dir, b.err = os.MkdirTemp("", "updraft-e2e-"); b.err != nil {
		return
	}
	cmd := exec.Command("go", "build", "-o", b.dir+"/", "../updraft", "../updraft-agent")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := cmd.CombinedOutput(); err != nil {
		b.err = fmt.Errorf("go build: %w\n%s", err, said)
		return
	}
	b.err = os.Chmod(b.dir, 0o755) // an ordinary user is to run them
}

func (b *built) remove() {
	if b.dir != os.Getenv(programsEnv) {
		os.RemoveAll(b.dir)
	}
}

// program returns the path of updraft or updraft-agent.
func program(t *testing.T, name string) string {
	t.Helper()
	programs.once.Do(programs.build)
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return filepath.Join(programs.dir, name)
}
