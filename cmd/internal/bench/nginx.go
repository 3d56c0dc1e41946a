package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// nginx is Debian's web server serving one file, on two workers as there are
// two cores, without a log and with sendfile.
type nginx struct {
	cmd        *exec.Cmd
	addr, path string
}

const nginxConfig = `daemon off;
%[4]s
worker_processes 2;
pid %[1]s/pid;
error_log stderr error;
events {}
http {
  access_log off;
  sendfile on;
  tcp_nopush on;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  server { listen %[2]s; location / { root %[3]s; } }
}
`

func startNginx(dir, file string) (*nginx, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	n := &nginx{addr: l.Addr().String(), path: "/" + filepath.Base(file)}
	l.Close()
	config := filepath.Join(dir, "nginx.conf")
	user := "" // workers stay who we are, as the file is readable for us only
	if os.Geteuid() == 0 {
		user = "user root;"
	}
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, n.addr, filepath.Dir(file), user), 0o644); err != nil {
		return nil, err
	}
	program, err := exec.LookPath("nginx")
	if err != nil {
		program = "/usr/sbin/nginx" // not in an ordinary user's path
	}
	n.cmd = exec.Command(program, "-p", dir, "-c", config)
	n.cmd.Stderr = os.Stderr
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := n.cmd.Start(); err != nil {
		return nil, fmt.Errorf("%w: scripts/bootstrap test installs it", err)
	}
	for range 100 {
		if c, err := net.Dial("tcp", n.addr); err == nil {
			c.Close()
			return n, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	n.stop()
	return nil, errors.New("nginx does not listen")
}

func (n *nginx) stop() {
	n.cmd.Process.Signal(syscall.SIGTERM)
	n.cmd.Wait()
}
