package agent

import (
	"bytes"
	"crypto/ed25519"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/updraft-ota/updraft/ota"
	"github.com/updraft-ota/updraft/sign"
)

func TestDownloadThroughABreakingConnection(t *testing.T) {
	story(t, func(w *world) {
		content := someBytes(3_000_000)
		w.server.add("u1", content)
		w.server.set(func(s *server) { s.cut = 100_000 })
		w.start()
		w.pass(time.Minute)
		w.expect("AlreadyAuthenticated", "UpdatesReceived u1", "DownloadingUpdate u1", "DownloadComplete u1",
			"UpdatesReceived u1", "UpdatesReceived u1", "UpdatesReceived u1", "UpdatesReceived u1", "UpdatesReceived u1")
		if !bytes.Equal(w.image("u1"), content) {
			t.Error("another content")
		}
		w.server.once(t, "u1")
	})
}

func TestDownloadGoesOnAfterARestart(t *testing.T) {
	story(t, func(w *world) {
		content := someBytes(1_000_000)
		w.server.add("u1", content)
		w.server.set(func(s *server) { s.poll = 0 })
		w.server.set(func(s *server) { s.cut = 300_000 })
		w.start()
		w.server.onCall(func(m string) {
			if m == "fetch" && w.server.count("fetch") == 3 {
				runtime.Goexit()
			}
		})
		go w.agent.Do(w.Context(), GetUpdateRequests{})
		w.pass(time.Minute)
		w.stop()
		w.server.onCall(func(string) {})
		w.start()
		w.pass(time.Minute)
		if !bytes.Equal(w.image("u1"), content) {
			t.Error("another content, or none")
		}
		w.server.once(t, "u1")
	})
}

func TestDamagedPartFileIsFetchedAgainOnce(t *testing.T) {
	story(t, func(w *world) {
		content := someBytes(500_000)
		w.server.add("u1", content)
		w.server.failNext("fetch", nil)
		w.server.failAlways("fetch", errAway)
		w.server.set(func(s *server) { s.cut = 200_000 })
		w.server.set(func(s *server) { s.poll = 0 })
		w.start()
		w.do(GetUpdateRequests{})
		w.pass(3 * time.Minute)
		w.stop()
		part := filepath.Join(w.cfg.Device.PackagesDir, ".u1.part")
		data, err := os.ReadFile(part)
		if err != nil || len(data) < 200_000 {
			w.Fatalf("%d bytes, %v", len(data), err)
		}
		w.server.failAlways("fetch", nil)
		data[7] ^= 1
		if err := os.WriteFile(part, data, 0o600); err != nil {
			w.Fatal(err)
		}
		w.start()
		w.pass(time.Minute)
		if !bytes.Equal(w.image("u1"), content) || len(w.server.codes()) != 0 {
			t.Errorf("no image, or a failure: %q", w.server.codes())
		}
	})
}

func TestServerThatIsAwayFailsNoUpdate(t *testing.T) {
	story(t, func(w *world) {
		w.server.add("u1", someBytes(1000))
		w.server.failAlways("fetch", errAway)
		w.start()
		w.pass(5 * time.Minute)
		for _, e := range w.events() {
			if strings.HasPrefix(e, "DownloadFailed") {
				t.Error(e)
			}
		}
		w.server.failAlways("fetch", nil)
		w.pass(2 * time.Minute)
		if w.step("u1") != Ready {
			t.Errorf("step %s: %q", w.step("u1"), w.events())
		}
	})
}

// failed expects that the only update ended with a code, and its file gone.
func (w *world) failed(code ota.ResultCode) {
	w.Helper()
	if diff := cmp.Diff([]string{"u1 " + code.String()}, w.server.codes()); diff != "" {
		w.Errorf("%s\n%q", diff, w.events())
	}
	if files := w.files(); len(files) != 0 {
		w.Errorf("left behind: %q", files)
	}
	if shop, ok := w.installer.(*workshop); ok && shop.runs > 0 {
		w.Error("the installer saw the image")
	}
}

func TestServerThatNeverGivesAByteFailsTheUpdate(t *testing.T) {
	story(t, func(w *world) {
		w.server.add("u1", someBytes(1000))
		w.server.failAlways("read", errCut)
		w.start()
		w.pass(5 * time.Minute)
		w.failed(ota.GeneralError)
	})
}

func TestWrongBytesAreRefused(t *testing.T) {
	story(t, func(w *world) {
		w.installer = &workshop{}
		o := w.server.add("u1", someBytes(1000))
		digest := o.Main().SHA256
		w.server.find("u1").content[500] ^= 1
		w.start()
		w.pass(time.Minute)
		w.failed(ota.ValidationFailed)
		if o.Main().SHA256 != digest {
			w.Fatal("the offer changed")
		}
	})
}

func TestWrongBytesWithoutADigestOfTheTransport(t *testing.T) {
	story(t, func(w *world) {
		w.installer = &workshop{}
		o := w.server.add("u1", someBytes(1000))
		o.Artifacts[0].SHA256 = ota.Digest(strings.Repeat("ab", 32))
		w.server.set(func(s *server) { s.quiet = true })
		w.start()
		w.pass(time.Minute)
		w.failed(ota.ValidationFailed)
	})
}

func TestServerThatTellsNothingIsBelieved(t *testing.T) {
	story(t, func(w *world) {
		content := someBytes(1000)
		w.server.add("u1", content).Artifacts = nil
		w.server.set(func(s *server) { s.quiet = true })
		w.start()
		w.pass(10 * time.Second)
		if !bytes.Equal(w.image("u1"), content) {
			t.Error("no image")
		}
	})
}

func TestContentThatChangedAfterTheOffer(t *testing.T) {
	story(t, func(w *world) {
		w.server.set(func(s *server) { s.poll = 0 })
		w.server.add("u1", someBytes(1000))
		w.cfg.Device.AutoDownload = false
		w.start()
		w.do(GetUpdateRequests{})
		w.server.remove("u1")
		content := someBytes(2000)
		w.server.add("u1", content)
		w.do(StartDownload{"u1"})
		if !bytes.Equal(w.image("u1"), content) {
			t.Errorf("%q", w.events())
		}
	})
}

// A disk is full for us where a file may not grow any more.
func TestFullDisk(t *testing.T) {
	signal.Ignore(unix.SIGXFSZ)
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	story(t, func(w *world) {
		w.server.add("u1", someBytes(1_000_000))
		w.start()
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 300_000, Max: old.Max}); err != nil {
			w.Fatal(err)
		}
		defer unix.Setrlimit(unix.RLIMIT_FSIZE, &old)
		w.pass(10 * time.Second)
		w.failed(ota.DiskFull)
	})
	for _, err := range []error{unix.ENOSPC, unix.EDQUOT} {
		if f := localFailure(&os.PathError{Op: "write", Err: err}); f.code != ota.DiskFull {
			t.Errorf("%v: %s", err, f.code)
		}
	}
}

func TestBlockedQueueIsLeftAlone(t *testing.T) {
	story(t, func(w *world) {
		w.server.add("u1", someBytes(1000))
		w.server.failNext("fetch", ota.Fail(ota.KindLocked, "device_blocked", "blocked since yesterday"))
		w.start()
		w.pass(10 * time.Second)
		w.expect("AlreadyAuthenticated", "UpdatesReceived u1", "DownloadingUpdate u1", "Error HTTP client error: blocked since yesterday")
		if len(w.server.codes()) != 0 {
			t.Errorf("%q", w.server.codes())
		}
		w.pass(10 * time.Second)
		w.expect("UpdatesReceived u1", "DownloadingUpdate u1", "DownloadComplete u1")
	})
}

func TestUpdateTheServerDoesNotOffer(t *testing.T) {
	story(t, func(w *world) {
		w.start()
		w.do(StartDownload{"u7"})
		w.expect("AlreadyAuthenticated", "DownloadingUpdate u7", "DownloadFailed u7 GENERAL_ERROR")
		if w.server.count("report") != 0 {
			t.Error("a report was sent")
		}
	})
}

func TestIDsThatAreNoFileName(t *testing.T) {
	for _, id := range []string{"../x", "a/b", ".", "..", ".updraft-agent", "a\x00b", "a\nb", strings.Repeat("x", 201)} {
		story(t, func(w *world) {
			w.server.add(id, someBytes(10))
			w.start()
			w.pass(10 * time.Second)
			if w.server.count("fetch") != 0 || len(w.files()) != 0 {
				t.Errorf("%q: files %q", id, w.files())
			}
		})
	}
}

// In /tmp anyone can have made a directory of that name.
func TestPartFileThatCannotBeMadeOrRemoved(t *testing.T) {
	story(t, func(w *world) {
		w.server.add("u1", someBytes(10))
		if err := os.MkdirAll(filepath.Join(w.cfg.Device.PackagesDir, partName("u1")), 0o700); err != nil {
			t.Fatal(err)
		}
		w.start()
		w.pass(15 * time.Second)
		w.expect("AlreadyAuthenticated", "UpdatesReceived u1", "DownloadingUpdate u1", "DownloadFailed u1 GENERAL_ERROR", "UpdateReportSent")
		if diff := cmp.Diff([]string{"u1 GENERAL_ERROR"}, w.server.codes()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestWithdrawnWhileItIsFetched(t *testing.T) {
	story(t, func(w *world) {
		w.server.add("u1", someBytes(1_000_000))
		w.server.set(func(s *server) { s.cut = 100_000 })
		w.start()
		w.pass(10 * time.Second) // the first connection broke, the second waits
		w.server.remove("u1")
		w.server.notices <- ota.Withdrawn{Update: "u1"}
		w.expect("AlreadyAuthenticated", "UpdatesReceived u1", "DownloadingUpdate u1",
			"Error HTTP client error: download ended: the server took update u1 back")
		if w.step("u1") != Dropped || len(w.files()) != 0 {
			t.Errorf("step %s, files %q", w.step("u1"), w.files())
		}
		w.server.add("u1", someBytes(1000)) // and offered anew
		w.pass(10 * time.Second)
		w.expect("UpdatesReceived u1", "DownloadingUpdate u1", "DownloadComplete u1")
	})
}

func TestWithdrawnBeforeItIsInstalled(t *testing.T) {
	story(t, func(w *world) {
		shop := &workshop{}
		w.installer = shop
		w.server.add("a", someBytes(10))
		w.server.add("b", someBytes(10))
		shop.before = func(img Image) {
			if img.Update == "a" {
				w.server.notices <- ota.Withdrawn{Update: "a"} // too late
				w.server.notices <- ota.Withdrawn{Update: "b"} // in time
				w.server.notices <- ota.Withdrawn{Update: "never heard of"}
			}
		}
		w.start()
		w.pass(10 * time.Second)
		if diff := cmp.Diff([]string{"a OK"}, w.server.codes()); diff != "" || shop.runs != 1 {
			t.Errorf("%d installations; %s", shop.runs, diff)
		}
		if w.step("b") != Dropped {
			t.Errorf("step %s", w.step("b"))
		}
	})
}

func TestOnlySignedImagesReachTheInstaller(t *testing.T) {
	private, public, err := sign.Generate()
	if err != nil {
		t.Fatal(err)
	}
	key, err := sign.ParsePrivate(private)
	if err != nil {
		t.Fatal(err)
	}
	pem := filepath.Join(t.TempDir(), "trusted.pem")
	if err := os.WriteFile(pem, public, 0o600); err != nil {
		t.Fatal(err)
	}
	signed := func(k ed25519.PrivateKey, o *ota.Offer, as ota.PackageID) string {
		return sign.Sign(k, as, o.Main().Sums)
	}
	_, stranger, _ := ed25519.GenerateKey(nil)
	for name, c := range map[string]struct {
		signature func(*ota.Offer) string
		code      ota.ResultCode
	}{
		"signed":          {func(o *ota.Offer) string { return signed(key, o, o.Package) }, ota.OK},
		"unsigned":        {func(*ota.Offer) string { return "" }, ota.ValidationFailed},
		"another form":    {func(*ota.Offer) string { return "sig" }, ota.ValidationFailed},
		"another key":     {func(o *ota.Offer) string { return signed(stranger, o, o.Package) }, ota.ValidationFailed},
		"another package": {func(o *ota.Offer) string { return signed(key, o, ota.PackageID{Name: "x", Version: "1"}) }, ota.ValidationFailed},
	} {
		t.Run(name, func(t *testing.T) {
			story(t, func(w *world) {
				shop := &workshop{}
				w.installer = shop
				w.cfg.Device.TrustedKeys = Paths{pem}
				o := w.server.add("u1", someBytes(1000))
				o.Artifacts[0].Signature = c.signature(o)
				w.start()
				w.pass(10 * time.Second)
				if c.code != ota.OK {
					w.failed(c.code)
				} else if shop.runs != 1 {
					t.Errorf("not installed: %q", w.events())
				}
			})
		})
	}
}

func TestTrustedKeysThatCannotBeRead(t *testing.T) {
	if _, err := newVerifier(Paths{"/nowhere.pem"}); err == nil || !strings.Contains(err.Error(), "/nowhere.pem") {
		t.Errorf("%v", err)
	}
}

func TestLostImageIsFetchedAgain(t *testing.T) {
	story(t, func(w *world) {
		content := someBytes(1000)
		w.server.add("u1", content)
		w.start()
		w.pass(10 * time.Second)
		w.stop()
		path := filepath.Join(w.cfg.Device.PackagesDir, "u1")
		if err := os.WriteFile(path, []byte("something else"), 0o600); err != nil {
			w.Fatal(err)
		}
		shop := &workshop{}
		w.installer = shop
		w.start()
		w.pass(10 * time.Second)
		if shop.runs != 1 {
			t.Errorf("%d installations: %q", shop.runs, w.events())
		}
	})
}

func TestAliveWhileDownloading(t *testing.T) {
	story(t, func(w *world) {
		w.server.add("u1", someBytes(1_000_000))
		w.server.failAlways("read", errCut)
		w.start()
		for range 600 {
			w.pass(time.Second)
			if idle := time.Since(w.agent.Alive()); idle > 6*time.Second {
				w.Fatalf("no sign of life for %s", idle)
			}
		}
	})
}

func TestUpdateThatEndedOnTheServer(t *testing.T) {
	story(t, func(w *world) {
		w.server.add("u1", someBytes(1000))
		w.server.failAlways("fetch", ota.Fail(ota.KindConflict, "update_ended", "canceled"))
		w.server.set(func(s *server) { s.refuse = ota.Fail(ota.KindConflict, "update_ended", "canceled") })
		w.start()
		w.pass(time.Minute)
		if w.step("u1") != Refused || w.server.count("fetch") != 1 || w.server.count("report") != 1 {
			t.Errorf("step %s: %q", w.step("u1"), w.events())
		}
	})
}
