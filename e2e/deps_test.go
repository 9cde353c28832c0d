package e2e

import (
	"bufio"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// levels is the import lattice: a package imports packages of its own line or
// of lines above it, and a folder stands for itself and what is below it
// unless that has a place of its own. Where a line is not enough, walls says
// more.
const levels = `
	origin  origin/pack  origin/entry  origin/causal
	vosio/record  vosio/lock  vosio/tin  vosio/dd  vosio/path
	< conflict  mesh/wire  mesh/link  mesh/control
	< origin/clock  origin/journal  conflict/ledger  mesh/raftgroup  mesh/member  mesh/quicnet
	< vosio  vosio/call  vosio/socket  vosio/vosiotest  mesh  mesh/meshtest
	< node/apply  node/sim  node
	< admin  admin/client  admin/console  cmd/drmesh  e2e
`

// upward are imports against the lattice that are meant: the node implements
// the interface that the operators' door declares.
var upward = map[string][]string{
	"node": {"admin", "admin/console"},
}

// walls name what a package must never reach, not even through others, and
// why. "vosio" means the engine and its doors; the pure packages below it are
// free to all but origin.
var walls = []struct {
	from, never []string
	why         string
}{
	{[]string{"origin", "origin/pack", "origin/entry", "origin/causal", "origin/clock", "origin/journal"},
		[]string{"vosio", "vosio/record", "vosio/lock", "vosio/tin", "vosio/dd", "vosio/path", "conflict", "mesh", "node", "admin"},
		"the vocabulary does not know its users"},
	{[]string{"conflict"},
		[]string{"vosio", "vosio/call", "vosio/socket", "mesh", "node", "admin", "github.com/cockroachdb/pebble/v2"},
		"a policy is a function of versions: that is how modules agree"},
	{[]string{"vosio", "vosio/call", "vosio/socket"},
		[]string{"mesh", "mesh/wire", "mesh/link", "mesh/control", "mesh/quicnet", "mesh/member", "mesh/raftgroup", "conflict", "conflict/ledger",
			"node", "admin", "github.com/quic-go/quic-go", "github.com/hashicorp/raft", "github.com/hashicorp/memberlist"},
		"a call must work with every link down"},
	{[]string{"mesh", "mesh/wire", "mesh/link", "mesh/control", "mesh/quicnet", "mesh/member", "mesh/raftgroup"},
		[]string{"vosio", "vosio/call", "vosio/socket", "conflict", "conflict/ledger", "origin/journal", "node", "admin", "github.com/cockroachdb/pebble/v2"},
		"it moves txns; it reads from a Source and delivers to a Sink"},
	{[]string{"admin", "admin/client", "admin/console"},
		[]string{"node", "node/apply", "mesh", "mesh/quicnet", "vosio", "vosio/call", "vosio/socket", "conflict/ledger", "origin/journal"},
		"the operator API declares the small Engine interface that it needs"},
}

// few are third parties with few importers, of their own packages only.
var few = map[string][]string{
	"github.com/cockroachdb/pebble/v2":  {"vosio", "origin/journal", "conflict/ledger", "node", "node/sim"},
	"github.com/quic-go/quic-go":        {"mesh/quicnet"},
	"github.com/hashicorp/raft":         {"mesh/raftgroup"},
	"github.com/hashicorp/memberlist":   {"mesh/member"},
	"github.com/vmihailenco/msgpack/v5": {"vosio/call", "vosio/socket", "mesh/control", "mesh/member", "mesh/raftgroup", "mesh/quicnet", "mesh", "node"},
	"github.com/spf13/pflag":            {"cmd/drmesh"},
	"github.com/spf13/cobra":            {"cmd/drmesh"},
	"github.com/coreos/go-systemd/v22":  {"cmd/drmesh"},
	"github.com/danielgtaylor/huma/v2":  {"admin"},
	"github.com/prometheus":             {"admin"},
}

// pure are packages in which nothing runs by itself: no goroutine, clock,
// lock, disk or network.
var pure = []string{"origin", "origin/pack", "origin/entry", "origin/causal", "vosio/record", "vosio/lock", "vosio/tin", "vosio/dd", "vosio/path",
	"conflict", "mesh/wire", "mesh/link", "mesh/control"}

// impure is what pure packages do not import. The time package has values
// that they may use; what reads the clock is found by source (see TestPurePackagesStartNothing).
var impure = []string{"os", "net", "sync", "sync/atomic", "math/rand", "math/rand/v2", "crypto/rand", "io/ioutil", "log", "log/slog", "net/http", "os/exec", "syscall"}

const module = "drmesh/"

type pkg struct {
	ImportPath string
	Name       string
	Dir        string
	GoFiles    []string
	Imports    []string
	Deps       []string
	Standard   bool
	Doc        string
}

// packages lists ours, as go list knows them.
func packages(t *testing.T) map[string]*pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Dir,GoFiles,Imports,Deps,Standard,Doc", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		var x *exec.ExitError
		if errors.As(err, &x) {
			t.Fatalf("go list: %s", x.Stderr)
		}
		t.Fatal(err)
	}
	all := map[string]*pkg{}
	d := json.NewDecoder(strings.NewReader(string(out)))
	for {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if len(p.GoFiles) > 0 { // a folder of tests alone has no place
			all[strings.TrimPrefix(p.ImportPath, module)] = &p
		}
	}
	return all
}

// ranks reads the lattice.
func ranks(t *testing.T) map[string]int {
	t.Helper()
	ranks, level := map[string]int{}, 0
	for s := bufio.NewScanner(strings.NewReader(levels)); s.Scan(); {
		for _, w := range strings.Fields(s.Text()) {
			if w == "<" {
				level++
				continue
			}
			if _, twice := ranks[w]; twice {
				t.Fatalf("%s stands twice in the lattice", w)
			}
			ranks[w] = level
		}
	}
	return ranks
}

// place finds the rank of a package: its own, or that of the nearest folder
// above it.
func place(ranks map[string]int, name string) (int, bool) {
	for {
		if r, ok := ranks[name]; ok {
			return r, true
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return 0, false
		}
		name = name[:i]
	}
}

func TestImportsGoDownTheLattice(t *testing.T) {
	all, rank := packages(t), ranks(t)
	for name, p := range all {
		mine, ok := place(rank, name)
		if !ok {
			t.Errorf("%s has no level: give it one", name)
			continue
		}
		if p.Doc == "" {
			t.Errorf("%s has no package comment", name)
		}
		for _, i := range p.Imports {
			of, ours := strings.CutPrefix(i, module)
			if !ours {
				continue
			}
			if theirs, _ := place(rank, of); theirs > mine && !slices.Contains(upward[name], of) {
				t.Errorf("%s imports %s, which stands above it", name, of)
			}
		}
	}
}

func TestWallsHold(t *testing.T) {
	all := packages(t)
	for _, w := range walls {
		for _, from := range w.from {
			p := all[from]
			if p == nil {
				t.Errorf("a wall begins at %s, which is no package", from)
				continue
			}
			for _, d := range p.Deps {
				if d = strings.TrimPrefix(d, module); slices.Contains(w.never, d) {
					t.Errorf("%s reaches %s: %s", from, d, w.why)
				}
			}
		}
	}
}

func TestThirdPartiesHaveFewImporters(t *testing.T) {
	for name, p := range packages(t) {
		for _, i := range p.Imports {
			for lib, who := range few {
				if (i == lib || strings.HasPrefix(i, lib+"/")) && !slices.Contains(who, name) {
					t.Errorf("%s imports %s; only %s may", name, i, strings.Join(who, ", "))
				}
			}
		}
	}
}

func TestPurePackagesImportNothingThatRuns(t *testing.T) {
	all := packages(t)
	for _, name := range pure {
		p := all[name]
		if p == nil {
			t.Errorf("%s is no package", name)
			continue
		}
		for _, i := range p.Imports {
			if slices.Contains(impure, i) {
				t.Errorf("%s imports %s, and is to be pure", name, i)
			}
		}
	}
}

// TestPurePackagesStartNothing reads their source: no go statement, and no
// call that reads a clock.
func TestPurePackagesStartNothing(t *testing.T) {
	all := packages(t)
	for _, name := range pure {
		p := all[name]
		if p == nil {
			continue // reported above
		}
		for _, f := range p.GoFiles {
			fset := token.NewFileSet()
			tree, err := parser.ParseFile(fset, filepath.Join(p.Dir, f), nil, 0)
			if err != nil {
				t.Error(err)
				continue
			}
			ast.Inspect(tree, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.GoStmt:
					t.Errorf("%v: a goroutine in a pure package", fset.Position(n.Pos()))
				case *ast.SelectorExpr:
					x, ok := n.X.(*ast.Ident)
					if ok && x.Name == "time" && slices.Contains([]string{"Now", "Since", "Until", "After", "AfterFunc", "Sleep", "Tick", "NewTimer", "NewTicker"}, n.Sel.Name) {
						t.Errorf("%v: time.%s in a pure package", fset.Position(n.Pos()), n.Sel.Name)
					}
				}
				return true
			})
		}
	}
}
