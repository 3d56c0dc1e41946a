// Package updraft_test is the house looking at itself: which room knows which,
// and whether every room tells its story.
package updraft_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/updraft-ota/updraft"

// rooms says which other rooms each may import. A room is a folder with all
// below it, up to the next folder named here; inside a room anything goes. Who
// wants another arrow is probably missing a word in ota.
var rooms = map[string][]string{
	"ota":              {},
	"sign":             {"ota"},
	"blob":             {"ota"},
	"store":            {"ota"},
	"httpapi":          {"ota"},
	"httpapi/operator": {"ota", "fleet", "httpapi", "httpapi/publish"},
	"httpapi/publish":  {"ota", "fleet", "httpapi"},
	"web":              {"ota", "suit", "fleet", "httpapi"},
	"fleet":            {"ota", "sign", "suit"},
	"agent":            {"ota", "sign"},
	"agent/gateway":    {"ota", "agent"},
	"agent/pacman":     {"ota", "agent"},
	"swm":              {"ota"},
	"rvi":              {"ota", "rvi/node"},
	"rvi/node":         {"ota"},
	"coap":             {"ota"},
	"coap/resource":    {"ota", "fleet", "coap"},
	"suit":             {"ota"},
	"sim":              {"ota", "coap", "suit"},
	"packaging":        {"agent"}, // what is shipped, held to the code by tests
	"cmd":              {"ota", "sign", "blob", "store", "httpapi", "httpapi/operator", "httpapi/publish", "fleet", "agent", "agent/gateway", "agent/pacman", "swm", "rvi", "rvi/node", "coap", "coap/resource", "suit", "sim", "web"},
}

// outside are packages through which a room would reach past its words.
var outside = []string{"database/sql", "io/fs", "io/ioutil", "log", "log/slog", "net", "net/http", "os", "os/exec", "path/filepath", "syscall"}

// pure rooms have no I/O of their own: they must not import what is outside.
var pure = []string{"ota", "sign", "suit"}

// source is one Go file, as far as this test is interested.
type source struct {
	path    string // from the top of the tree
	imports []string
	doc     string
}

func (s source) dir() string  { return path.Dir(s.path) }
func (s source) test() bool   { return strings.HasSuffix(s.path, "_test.go") }
func (s source) room() string { return roomOf(s.dir()) }

// roomOf finds the room a folder lies in, "" if in none.
func roomOf(dir string) string {
	for d := dir; d != "."; d = path.Dir(d) {
		if _, ok := rooms[d]; ok {
			return d
		}
	}
	return ""
}

// sources reads every Go file of the module in dir.
func sources(t *testing.T, tree fs.FS) []source {
	t.Helper()
	var found []source
	err := fs.WalkDir(tree, ".", func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() {
			return skipFolder(tree, p)
		}
		if path.Ext(p) != ".go" {
			return nil
		}
		s, err := parse(tree, p)
		found = append(found, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// skipFolder skips what the go command does, and modules of their own.
func skipFolder(tree fs.FS, p string) error {
	if p == "." {
		return nil
	}
	base := path.Base(p)
	if base == "testdata" || strings.HasPrefix(base, ".") || strings.HasPrefix(base, "_") {
		return fs.SkipDir
	}
	if _, err := fs.Stat(tree, path.Join(p, "go.mod")); err == nil {
		return fs.SkipDir
	}
	return nil
}

func parse(tree fs.FS, p string) (source, error) {
	text, err := fs.ReadFile(tree, p)
	if err != nil {
		return source{}, err
	}
	file, err := parser.ParseFile(token.NewFileSet(), p, text, parser.ImportsOnly|parser.ParseComments)
	if err != nil {
		return source{}, err
	}
	s := source{path: p, doc: story(file)}
	for _, i := range file.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			return source{}, err
		}
		s.imports = append(s.imports, name)
	}
	return s, nil
}

func story(file *ast.File) string {
	if file.Doc == nil {
		return ""
	}
	return file.Doc.Text()
}

// wrongArrows tells every import of ours that the table does not allow. Tests
// may import any room, as they run doors against the real fleet and store, but
// nobody imports cmd.
func wrongArrows(all []source) (wrong []string) {
	for _, s := range all {
		from := s.room()
		if from == "" && s.dir() != "." {
			wrong = append(wrong, s.path+": this folder is not in the table of rooms")
			continue
		}
		for _, i := range s.imports {
			if slices.Contains(pure, from) && !s.test() && slices.Contains(outside, i) {
				wrong = append(wrong, s.path+": "+from+" must not import "+i)
			}
			dir, ours := strings.CutPrefix(i, module+"/")
			if to := roomOf(dir); ours && !allowed(from, to, s.test()) {
				wrong = append(wrong, s.path+": "+from+" must not know "+dir)
			}
		}
	}
	return wrong
}

func allowed(from, to string, test bool) bool {
	return from == to || slices.Contains(rooms[from], to) || test && to != "cmd"
}

// silent tells every package that has no package comment.
func silent(all []source) []string {
	quiet := map[string]bool{}
	for _, s := range all {
		if !s.test() {
			quiet[s.dir()] = true
		}
	}
	for _, s := range all {
		if s.doc != "" {
			delete(quiet, s.dir())
		}
	}
	return slices.Sorted(maps.Keys(quiet))
}

func TestArrowsPointInwards(t *testing.T) {
	for _, w := range wrongArrows(sources(t, os.DirFS("."))) {
		t.Error(w)
	}
}

func TestEveryPackageTellsItsStory(t *testing.T) {
	for _, dir := range silent(sources(t, os.DirFS("."))) {
		if !strings.HasPrefix(dir, "store/internal/") { // sqlc writes none
			t.Errorf("%s has no package comment", dir)
		}
	}
}

func TestEveryRoomOfTheTableExists(t *testing.T) {
	lived := map[string]bool{}
	for _, s := range sources(t, os.DirFS(".")) {
		lived[s.room()] = true
	}
	for room, knows := range rooms {
		if !lived[room] {
			t.Errorf("%s is in the table, but not in the tree", room)
		}
		for _, k := range knows {
			if _, ok := rooms[k]; !ok {
				t.Errorf("%s knows %s, which is not in the table", room, k)
			}
		}
	}
}
