package vosiotest

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"drmesh/origin"
	"drmesh/origin/clock"
	"drmesh/origin/entry"
	"drmesh/origin/journal"
	"drmesh/vosio"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
	"drmesh/vosio/socket"
)

func TestMain(m *testing.M) {
	flag.Parse()
	goleak.VerifyTestMain(m)
}

// mainShare is Rules with one share, main, at %s#d>main of every module.
type mainShare struct{ s *vosio.Share }

const root = "%s#d>main"

func newMainShare(self origin.Module) mainShare {
	s := &vosio.Share{Name: "main", Group: 1, Stream: streamOf(self), Root: root, Policy: 1}
	if self == 1 { // it takes messages off queues
		s.Takes = func() bool { return true }
	}
	return mainShare{s}
}

func streamOf(m origin.Module) origin.Stream {
	return origin.Stream{Group: 1, Module: m, Incarnation: 1}
}

func (r mainShare) Locate(full string) (*vosio.Share, string) {
	if full == root {
		return r.s, ""
	}
	if rel, ok := strings.CutPrefix(full, root+">"); ok {
		return r.s, rel
	}
	return nil, full
}

func (r mainShare) Share(name string) *vosio.Share {
	if name == "main" {
		return r.s
	}
	return nil
}

func (r mainShare) Shares() []*vosio.Share { return []*vosio.Share{r.s} }

// MayWrite refuses programs whose name begins with "stranger".
func (r mainShare) MayWrite(_ *vosio.Share, _, process string) bool {
	return !strings.HasPrefix(process, "stranger")
}

// latest is the policy of these tests: covered versions leave, the others stay
// behind the one of greatest life and stamp.
func latest(d vosio.Decision) vosio.Decided {
	var next []origin.Version
	for _, v := range d.Standing {
		if !d.Covers(v.Dot) {
			next = append(next, v)
		}
	}
	if d.Incoming != nil {
		next = append(next, *d.Incoming)
	}
	slices.SortFunc(next, func(a, b origin.Version) int {
		if a.Life != b.Life {
			return int(b.Life) - int(a.Life)
		}
		if a.Stamp != b.Stamp {
			if a.Stamp > b.Stamp {
				return -1
			}
			return 1
		}
		return b.Dot.Compare(a.Dot)
	})
	return vosio.Decided{Next: next}
}

type silent struct{}

func (silent) Infof(string, ...any)      {}
func (silent) Errorf(string, ...any)     {}
func (silent) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

// module is one module's file system, in memory.
type module struct {
	eng *vosio.Engine
	db  *pebble.DB
	j   *journal.Journal
	srv *socket.Server
	dir string
}

// openModule starts a module in memory; wall nil is the machine's clock.
// rules nil is one share that nobody else writes.
func openModule(t testing.TB, n int, overSocket bool, wall func() time.Time, rules vosio.Rules) *module {
	t.Helper()
	db, err := pebble.Open("db", &pebble.Options{FS: vfs.NewMem(), FormatMajorVersion: pebble.FormatNewest, Logger: silent{}})
	if err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(db)
	if err != nil {
		t.Fatal(err)
	}
	m := origin.Module(n)
	if rules == nil {
		rules = newMainShare(m)
	}
	eng, err := vosio.Open(vosio.Config{DB: db, Journal: j, Clock: clock.New(wall, 0), Rules: rules, Self: m,
		Name: fmt.Sprintf("%%s#m%d", n), Decide: latest})
	if err != nil {
		t.Fatal(err)
	}
	x := &module{eng: eng, db: db, j: j}
	if overSocket {
		if x.dir, err = os.MkdirTemp("", "vt"); err != nil {
			t.Fatal(err)
		}
		x.srv, err = socket.Serve(filepath.Join(x.dir, "app.sock"), func(name string, _ socket.Cred) socket.Process { return eng.NewProcess(name) }, nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	return x
}

func (m *module) close(t testing.TB) {
	t.Helper()
	if m.srv != nil {
		if err := m.srv.Close(); err != nil {
			t.Error(err)
		}
		os.RemoveAll(m.dir)
	}
	if err := m.eng.Close(); err != nil {
		t.Error(err)
	}
	if err := m.db.Close(); err != nil {
		t.Error(err)
	}
}

func (m *module) connect(name string) (call.Caller, func() error, error) {
	if m.srv == nil {
		p := m.eng.NewProcess(name)
		return p, p.Close, nil
	}
	c, err := socket.Dial(context.Background(), filepath.Join(m.dir, "app.sock"), name)
	if err != nil {
		return nil, nil, err
	}
	return c, func() error {
		err := c.Close()
		// The node sees the end a little later.
		for end := time.Now().Add(patience); slices.Contains(m.eng.Processes(), name); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				return fmt.Errorf("program %s is gone, its process is not", name)
			}
		}
		return err
	}, nil
}

// ship applies at to what from wrote and to has not.
func ship(from, to *module, s origin.Stream) (int, error) {
	l, err := from.j.Read(s, to.j.Tail(s).Seq, 1<<30)
	if err != nil {
		return 0, err
	}
	for _, x := range l {
		txn := new(origin.Txn)
		if err := entry.Decode(x.Bytes, origin.Dot{Stream: s, Seq: x.Seq}, txn); err != nil {
			return 0, err
		}
		if err := to.eng.Apply(context.Background(), txn, x.Bytes, false); err != nil {
			return 0, err
		}
	}
	return len(l), nil
}

// how says where a transcript runs.
type how struct {
	overSocket bool
	unshared   bool // on files of the module alone
}

// own is where unshared files are.
const own = "%s#d>alone"

// runTranscript runs one file; each begins with empty modules.
func runTranscript(t *testing.T, file string, h how, worked map[string]bool) {
	modules := map[int]*module{}
	leased := map[int]*vosio.Share{}
	// One clock for all, which goes on with every look at it: what is written
	// first has the lower stamp.
	var now atomic.Int64
	now.Store(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	wall := func() time.Time { return time.UnixMilli(now.Add(1)) }
	at := func(n int) *module {
		if modules[n] == nil {
			rules := newMainShare(origin.Module(n))
			// As several modules may write it, in one transcript.
			rules.s.Several = filepath.Base(file) == "numbers_mirrored.td"
			leased[n] = rules.s
			modules[n] = openModule(t, n, h.overSocket, wall, rules)
			for _, d := range []string{root, own} {
				if err := modules[n].eng.MakeDirs(context.Background(), d); err != nil {
					t.Fatal(err)
				}
			}
		}
		return modules[n]
	}
	w := &World{Worked: worked,
		Connect: func(n int, name string) (call.Caller, func() error, error) { return at(n).connect(name) },
		Waits: func() int {
			n := 0
			for _, m := range modules {
				n += m.eng.LockWaits()
			}
			return n
		}}
	defer func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		for n, m := range modules {
			if l := m.eng.LockCount(); l != 0 {
				t.Errorf("module %d: %d locks are left when all programs are gone", n, l)
			}
			m.close(t)
		}
	}()
	datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
		arg := func(i int) string {
			if i < len(d.CmdArgs) {
				return d.CmdArgs[i].Key
			}
			return ""
		}
		num := func(i, or int) int {
			if n, err := strconv.Atoi(arg(i)); err == nil {
				return n
			}
			return or
		}
		var out string
		var err error
		switch d.Cmd {
		case "program":
			err = w.Program(arg(0), num(1, 1))
		case "end":
			err = w.End(arg(0))
		case "calls":
			in := d.Input
			if h.unshared {
				in = strings.ReplaceAll(in, root, own)
			}
			out, err = w.Calls(in)
		case "ship":
			var n int
			n, err = ship(at(num(0, 0)), at(num(1, 0)), streamOf(origin.Module(num(0, 0))))
			out = fmt.Sprintf("%d txns\n", n)
		case "lease": // MODULE FILE FIRST LAST: record numbers, beside what it has
			m := at(num(0, 1))
			s := *leased[num(0, 1)]
			s.Numbers = maps.Clone(s.Numbers)
			if s.Numbers == nil {
				s.Numbers = map[origin.FileID][]vosio.NumberRange{}
			}
			for _, f := range m.eng.Files(root) {
				if f.Rel == arg(1) {
					s.Numbers[f.ID] = append(slices.Clone(s.Numbers[f.ID]), vosio.NumberRange{First: int64(num(2, 0)), Last: int64(num(3, 0))})
				}
			}
			leased[num(0, 1)] = &s
			err = m.eng.SetRules(mainShare{&s})
		case "txns":
			if h.unshared {
				return d.Expected // they have no journal
			}
			out, err = showTxns(at(num(0, 1)), streamOf(origin.Module(num(0, 1))), num(1, 0))
		case "counts":
			m := at(num(0, 1))
			for _, f := range m.eng.Files(root) {
				out += fmt.Sprintf("%s %d records %d bytes\n", f.Rel, f.Records, f.Bytes)
			}
		case "parked":
			var l []vosio.ParkedRegister
			l, err = at(num(0, 1)).eng.ParkedList()
			for _, x := range l {
				out += fmt.Sprintf("%s %s: %s\n", x.Path, record.String(x.Address), x.Reason)
			}
		case "withheld":
			var l []vosio.WithheldEntry
			l, err = at(num(0, 1)).eng.WithheldList()
			for _, x := range l {
				out += fmt.Sprintf("%s %s %q of %s\n", x.Path, x.Index, x.Key, record.String(x.Address))
			}
		default:
			t.Fatalf("%s: no command %s", d.Pos, d.Cmd)
		}
		if err != nil {
			t.Fatalf("%s: %v", d.Pos, err)
		}
		return out
	})
}

// showTxns shows what a module's journal says of its last txns.
func showTxns(m *module, s origin.Stream, last int) (string, error) {
	tail := int(m.j.Tail(s).Seq)
	l, err := m.j.Read(s, origin.Seq(max(0, tail-last)), 1<<30)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, x := range l {
		var txn origin.Txn
		if err := entry.Decode(x.Bytes, origin.Dot{Stream: s, Seq: x.Seq}, &txn); err != nil {
			return "", err
		}
		for i := range txn.Ops {
			op := &txn.Ops[i]
			kind := map[origin.Kind]string{origin.Write: "write", origin.Delete: "delete", origin.Truncate: "truncate"}[op.Kind]
			fmt.Fprintf(&b, "%s %q life %d", kind, op.Data, op.Life)
			if len(op.Unseen) > 0 {
				fmt.Fprintf(&b, " unseen %v", op.Unseen)
			}
			if i+1 < len(txn.Ops) {
				b.WriteString(" +")
			}
			b.WriteByte('\n')
		}
	}
	return b.String(), nil
}

// TestTranscripts runs every transcript in process, over the socket, and on
// files that are not shared, and holds docs/calls.md against what worked in them.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.td")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	worked := map[string]bool{}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".td")
		t.Run(name+"/process", func(t *testing.T) { runTranscript(t, f, how{}, worked) })
		if rewriting() {
			continue
		}
		t.Run(name+"/socket", func(t *testing.T) { runTranscript(t, f, how{overSocket: true}, worked) })
		if name != "files" && name != "overtaken" && name != "parked" && name != "claims" && name != "links" && !strings.HasSuffix(name, "_mirrored") && name != "queues_memory" && name != "pipes" && name != "events" { // they are about shares
			t.Run(name+"/unshared", func(t *testing.T) { runTranscript(t, f, how{unshared: true}, worked) })
		}
	}
	if !t.Failed() {
		checkPage(t, worked)
	}
}

// rewriting tells whether datadriven writes transcripts anew.
func rewriting() bool {
	f := flag.Lookup("rewrite")
	return f != nil && f.Value.String() == "true"
}
