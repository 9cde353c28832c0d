package control

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"drmesh/origin"
	"drmesh/vosio/path"
	"drmesh/vosio/tin"
)

// world is a state that commands are put through as raft would.
type world struct {
	t     testing.TB
	s     *State
	index uint64
	keys  int
}

func (w *world) try(c *Command) (Result, error) {
	w.t.Helper()
	b, err := c.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	w.index++
	before, _ := w.s.Snapshot()
	next, res, err := Step(w.s, w.index, b)
	if after, _ := w.s.Snapshot(); !bytes.Equal(before, after) {
		w.t.Fatal("Step changed the state that it was given")
	}
	// The same state restored from a snapshot takes the same step.
	copied, rerr := Restore(before)
	if rerr != nil {
		w.t.Fatal(rerr)
	}
	again, res2, err2 := Step(copied, w.index, b)
	s1, _ := next.Snapshot()
	s2, _ := again.Snapshot()
	if !bytes.Equal(s1, s2) || res != res2 || fmt.Sprint(err) != fmt.Sprint(err2) {
		w.t.Fatalf("two modules disagree: %v %v, %v %v", res, err, res2, err2)
	}
	w.s = next
	return res, err
}

func (w *world) must(c *Command) Result {
	w.t.Helper()
	res, err := w.try(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

func (w *world) key() []byte {
	w.keys++
	k := sha256.Sum256([]byte(fmt.Sprint("key", w.keys)))
	return k[:]
}

func secret(id string) []byte { h := sha256.Sum256([]byte("secret of " + id)); return h[:] }

func (w *world) init(module string) {
	w.must(&Command{Kind: KindInit, At: 1000, Init: &Init{
		Mesh: "0123456789abcdef", Name: "test", Authority: []byte("CERT"), AuthorityKey: []byte("KEY"),
		Module: module, Addresses: []string{"127.0.0.1:7101"}, Key: w.key(), Serial: "1",
	}})
}

// join admits a module with a token of its own and lets it serve.
func (w *world) join(module string, role Role) origin.Module {
	id := fmt.Sprint("t", w.index)
	w.must(&Command{Kind: KindCreateToken, At: 1000, CreateToken: &CreateToken{ID: id, Secret: secret(id), Role: role, Expires: 5000}})
	n := w.must(&Command{Kind: KindAdmit, At: 2000, Admit: &Admit{
		Token: id, Secret: secret(id), Module: module, Addresses: []string{"h:1"}, Key: w.key(), Serial: "2",
	}}).Module
	w.must(&Command{Kind: KindUpdate, Update: &Update{Module: n, Serving: true}})
	return n
}

func (w *world) number(name string) origin.Module {
	for i := len(w.s.Members) - 1; i >= 0; i-- {
		if w.s.Members[i].Name == name {
			return w.s.Members[i].Number
		}
	}
	w.t.Fatalf("no module %s", name)
	return 0
}

func (w *world) names(l []origin.Module) string {
	var out []string
	for _, n := range l {
		out = append(out, w.s.Tables().ModuleName(n))
	}
	return strings.Join(out, " ")
}

func newWorld(t testing.TB) *world { return &world{t: t, s: New()} }

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.td")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			w := newWorld(t)
			datadriven.RunTest(t, f, func(t *testing.T, d *datadriven.TestData) string {
				w.t = t
				return w.run(d)
			})
		})
	}
}

func (w *world) run(d *datadriven.TestData) string {
	var out strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	tables := w.s.Tables()
	switch d.Cmd {
	case "mesh": // name of each member, with =role
		w.s, w.index = New(), 0
		for i, line := range strings.Fields(d.Input) {
			name, role, _ := strings.Cut(line, "=")
			if i == 0 {
				w.init(name)
				continue
			}
			w.join(name, Role(role+map[bool]string{true: "member"}[role == ""]))
		}
		p("%d members", len(w.s.Members))
	case "join":
		for _, name := range strings.Fields(d.Input) {
			p("%s is %d", name, w.join(name, RoleMember))
		}
	case "leave":
		for _, name := range strings.Fields(d.Input) {
			w.must(&Command{Kind: KindLeave, Leave: &Leave{Module: w.number(name)}})
			dep, _ := w.s.Departure(w.number(name))
			p("waits for %s", w.names(w.s.Missing(dep)))
			for _, n := range w.s.Missing(dep) {
				w.must(&Command{Kind: KindReport, Report: &ReportHeads{By: n, Of: w.number(name)}})
			}
			m, _ := w.s.Member(w.number(name))
			p("%s: %s", name, m.Status)
		}
	case "check", "apply":
		c, format, err := CompileText([]byte(d.Input), w.s, path.Context{})
		if err != nil {
			p("%s refused", format)
			p("%v", err)
			break
		}
		for _, x := range c.Warnings {
			p("warning: %v", x)
		}
		for _, x := range Plan(tables, c.Tables) {
			p("%s", x)
		}
		if d.Cmd == "apply" {
			res, err := w.try(&Command{Kind: KindApply, At: 3000, Apply: c.Apply(format, []byte(d.Input), "kim")})
			if err != nil {
				p("refused: %v", err)
				break
			}
			if got := Plan(c.Tables, w.s.Tables()); len(got) > 0 {
				w.t.Errorf("what was compiled is not what was applied: %v", got)
			}
			p("epoch %d", res.Epoch)
		}
		if out.Len() == 0 {
			p("nothing changes")
		}
	case "do":
		for _, line := range strings.Split(d.Input, "\n") {
			p("%s: %s", line, w.do(strings.Fields(line)))
		}
	case "ask":
		for _, line := range strings.Split(d.Input, "\n") {
			f := strings.Fields(line)
			if len(f) == 0 {
				continue
			}
			answer := ""
			switch f[0] {
			case "dir":
				dir, ok := tables.Dir(f[1], f[2])
				answer = fmt.Sprint(string(dir), " ", ok)
			case "locate":
				if s, rel, ok := tables.Locate(f[1], path.Full(f[2])); ok {
					answer = s.Name + ":" + rel
				} else {
					answer = "not shared"
				}
			case "write":
				answer = fmt.Sprint(tables.MayWrite(f[1], f[2], f[3]))
			case "originate":
				g, _ := w.s.Group(f[1])
				answer = fmt.Sprint(tables.MayOriginate(g.Number, w.number(f[2])), " incarnation ", w.s.Incarnation(g.Number, w.number(f[2])))
			case "destinations":
				g, _ := w.s.Group(f[1])
				answer = "[" + w.names(tables.Destinations(g.Number, w.number(f[2]))) + "]"
				for _, n := range tables.Destinations(g.Number, w.number(f[2])) {
					if !tables.AppliesHere(origin.Stream{Group: g.Number, Module: w.number(f[2]), Incarnation: 1}, n) {
						w.t.Error("AppliesHere does not agree with Destinations")
					}
				}
			case "donors":
				g, _ := w.s.Group(f[1])
				answer = "[" + w.names(tables.Donors(g.Number, w.number(f[2]))) + "]"
			case "base": // MODULE GROUP INCARNATION; 0: the present one
				g, _ := w.s.Group(f[2])
				st := origin.Stream{Group: g.Number, Module: w.number(f[1]), Incarnation: w.s.Incarnation(g.Number, w.number(f[1]))}
				if i, _ := strconv.Atoi(f[3]); i > 0 {
					st.Incarnation = origin.Incarnation(i)
				}
				answer = fmt.Sprint(w.s.BesideBase(st))
			case "holders":
				g, _ := w.s.Group(f[1])
				answer = "[" + w.names(tables.Holders(g.Number)) + "]"
			case "linked":
				answer = fmt.Sprint(tables.Linked(w.number(f[1]), w.number(f[2])))
				if tables.Linked(w.number(f[1]), w.number(f[2])) != tables.Linked(w.number(f[2]), w.number(f[1])) {
					w.t.Error("Linked has a direction")
				}
			case "source":
				s, _ := tables.Share(f[1])
				answer = s.SourceModule
			case "directories":
				for _, x := range tables.Directories(f[1]) {
					answer += fmt.Sprintf("%s=%s ", x.Share.Name, x.Path)
				}
			case "groups":
				for _, g := range w.s.Groups {
					answer += fmt.Sprintf("%s=%d ", g.Name, g.Number)
				}
			case "terms":
				for _, t := range w.s.Terms {
					answer += fmt.Sprintf("[%s %d %s.%d from %d] ", w.s.GroupName(t.Group), t.Epoch, w.s.memberName(t.Owner), t.Incarnation, t.Base)
				}
			case "policy": // SHARE EPOCH
				epoch, err := strconv.ParseUint(f[2], 10, 64)
				if err != nil {
					return err.Error()
				}
				x := w.s.Policy(f[1], epoch)
				answer = fmt.Sprintf("%s since %d %v", x.Policy, x.From, x.Rank)
			case "ends":
				for _, e := range w.s.Ends {
					answer += fmt.Sprintf("%s.%d/%s:%d ", w.s.memberName(e.Module), e.Incarnation, w.s.GroupName(e.Group), e.Seq)
				}
			case "receipts":
				for _, r := range w.s.Receipts {
					answer += fmt.Sprintf("[%s %s: %s -> %s, after %d, %q] ", r.ID, w.s.GroupName(r.Group), w.s.memberName(r.From), w.s.memberName(r.To), r.Number, r.Failed)
				}
			case "lost":
				for _, x := range w.s.Lost {
					answer += fmt.Sprintf("[%s: %d txns, %d replayed, %d discarded, made %d, closed %d] ", x.Name, x.Txns, x.Replayed, x.Discarded, x.Made, x.Closed)
				}
			case "open": // GROUP
				g, _ := w.s.Group(f[1])
				for _, x := range w.s.OpenLost(g.Number) {
					answer += x.Name + " "
				}
			case "switches":
				for _, x := range w.s.Switches {
					answer += fmt.Sprintf("[%s holding %v, froze %d, until %d%s] ", x.ID, x.Holding(), x.Froze, x.Until, hooksText(w, x.Hooks))
				}
			case "hooks": // of a receipt
				for _, r := range w.s.Receipts {
					if r.ID == f[1] {
						answer = fmt.Sprintf("%q%s", r.Failed, hooksText(w, r.Hooks))
					}
				}
			case "lineages":
				for _, x := range w.s.Lineages {
					answer += fmt.Sprintf("[%x at %s, with %s, after %d] ", x.Number, w.s.memberName(x.Module), w.names(x.With), x.Index)
				}
			case "members":
				for _, m := range w.s.Members {
					answer += fmt.Sprintf("%s=%d", m.Name, m.Number)
					if m.Behind {
						answer += " behind"
					}
					answer += "; "
				}
			case "extents": // of all files
				for _, x := range w.s.Extents {
					answer += fmt.Sprintf("\n%x.. %d to %d: %s.%d", x.File[:2], x.First, x.end()-1, w.s.memberName(x.Module), x.Incarnation)
				}
			case "writes": // MODULE: its streams, and those that have ended
				m := w.number(f[1])
				for _, x := range w.s.Writings {
					if x.Module == m {
						answer += fmt.Sprintf("%s.%d ", w.s.GroupName(x.Group), x.Incarnation)
					}
				}
				for _, e := range w.s.Ends {
					if e.Module == m {
						answer += fmt.Sprintf("%s.%d ended at %d ", w.s.GroupName(e.Group), e.Incarnation, e.Seq)
					}
				}
				x, _ := w.s.Member(m)
				answer += string(x.Status)
			case "leaves":
				for _, m := range w.s.Members {
					if m.Role == RoleLeaf {
						answer += fmt.Sprintf("%s=%d %s limit %d heard %d; ", m.Name, m.Number, m.Status, m.Limit, m.HeardAt())
					}
				}
			case "carries": // MODULE, and whose stream of the first group
				s := origin.Stream{Group: 1, Module: w.number(f[2]), Incarnation: w.s.Incarnation(1, w.number(f[2]))}
				answer = fmt.Sprint(w.s.Carries(w.number(f[1]), s))
			case "epoch":
				answer = fmt.Sprintf("%d, text %d", w.s.Tables().Epoch, w.s.History[len(w.s.History)-1].Epoch)
			case "voters":
				answer = w.names(w.s.IdealVoters())
			default:
				w.t.Fatalf("ask %q", line)
			}
			p("%s: %s", line, strings.TrimSpace(answer))
		}
	default:
		w.t.Fatalf("no such command %q", d.Cmd)
	}
	return out.String()
}

// do carries out a change of owner, word by word.
func (w *world) do(f []string) string {
	c := &Command{At: 5000}
	switch f[0] {
	case "begin": // ID GROUP EPOCH TO
		epoch, _ := strconv.ParseUint(f[3], 10, 64)
		c.Kind, c.BeginSwitch = KindBeginSwitch, &BeginSwitch{ID: f[1], Group: f[2], Epoch: epoch, To: w.number(f[4]), By: "kim", Until: 9000}
	case "failover": // ID GROUP EPOCH TO
		epoch, _ := strconv.ParseUint(f[3], 10, 64)
		c.Kind, c.BeginSwitch = KindBeginSwitch, &BeginSwitch{ID: f[1], Group: f[2], Epoch: epoch, To: w.number(f[4]), By: "kim", Until: 9000, Failover: true}
	case "seal": // ID OWNER INCARNATION SEQ
		inc, _ := strconv.Atoi(f[3])
		seq, _ := strconv.Atoi(f[4])
		g := origin.Group(1)
		if i := slices.IndexFunc(w.s.Switches, func(s Switch) bool { return s.ID == f[1] }); i >= 0 {
			g = w.s.Switches[i].Group
		}
		st := origin.Stream{Group: g, Module: w.number(f[2]), Incarnation: origin.Incarnation(inc)}
		c.Kind, c.Seal = KindSeal, &Seal{ID: f[1], End: PlaceOf(st, origin.Position{Seq: origin.Seq(seq), Hash: origin.Hash{1}})}
	case "beside": // MODULE GROUP INCARNATION SEQ
		g, _ := w.s.Group(f[2])
		inc, _ := strconv.Atoi(f[3])
		seq, _ := strconv.Atoi(f[4])
		st := origin.Stream{Group: g.Number, Module: w.number(f[1]), Incarnation: origin.Incarnation(inc)}
		c.Kind, c.EndBeside = KindEndBeside, &EndBeside{PlaceOf(st, origin.Position{Seq: origin.Seq(seq), Hash: origin.Hash{1}})}
	case "end":
		c.Kind, c.EndSwitch = KindEndSwitch, &EndSwitch{ID: f[1]}
		if len(f) > 2 { // of a failover: OWNER INCARNATION SEQ
			inc, _ := strconv.Atoi(f[3])
			seq, _ := strconv.Atoi(f[4])
			p := PlaceOf(origin.Stream{Group: 1, Module: w.number(f[2]), Incarnation: origin.Incarnation(inc)}, origin.Position{Seq: origin.Seq(seq), Hash: origin.Hash{1}})
			c.EndSwitch.End = &p
		}
	case "drop":
		c.Kind, c.DropSwitch = KindDropSwitch, &DropSwitch{ID: f[1], Why: strings.Join(f[2:], " ")}
	case "recover": // PARENT LINEAGE MODULE WITH...
		parent, _ := strconv.ParseUint(f[1], 16, 32)
		lineage, _ := strconv.ParseUint(f[2], 16, 32)
		c.Kind, c.Recover = KindRecover, &Recover{Parent: uint32(parent), Lineage: uint32(lineage), Module: w.number(f[3]), Known: w.s.Index, By: "kim"}
		for _, m := range f[4:] {
			c.Recover.With = append(c.Recover.With, w.number(m))
		}
	case "follow": // MODULE
		c.Kind, c.Update = KindUpdate, &Update{Module: w.number(f[1]), Following: true}
	case "vote": // MODULE
		yes := true
		c.Kind, c.Update = KindUpdate, &Update{Module: w.number(f[1]), Voter: &yes}
	case "hook": // ID HOOK MODULE STATE AT TEXT
		at, _ := strconv.ParseInt(f[5], 10, 64)
		c.At = at
		c.Kind, c.HookDone = KindHookDone, &HookDone{ID: f[1], Hook: f[2], Module: w.number(f[3]), State: f[4], Took: 20, Text: strings.Join(f[6:], " ")}
	case "lost": // NAME GROUP EPOCH MODULE TXNS REPLAYED DISCARDED DIGEST AT
		epoch, _ := strconv.ParseUint(f[3], 10, 64)
		txns, _ := strconv.Atoi(f[5])
		replayed, _ := strconv.Atoi(f[6])
		discarded, _ := strconv.Atoi(f[7])
		c.At, _ = strconv.ParseInt(f[9], 10, 64)
		g, _ := w.s.Group(f[2])
		c.Kind, c.RecordLost = KindRecordLost, &LostFile{Name: f[1], Group: g.Number, Epoch: epoch, Owner: 1, End: 7, Module: w.number(f[4]), Txns: txns, Replayed: replayed, Discarded: discarded, Digest: secret(f[8]), Made: c.At}
	case "leave":
		c.Kind, c.Leave = KindLeave, &Leave{Module: w.number(f[1])}
	case "token": // ID ROLE LIMIT
		limit, _ := strconv.ParseInt(f[3], 10, 64)
		c.Kind, c.CreateToken = KindCreateToken, &CreateToken{ID: f[1], Secret: secret(f[1]), Role: Role(f[2]), Expires: 99999, Limit: limit}
	case "admit": // ID MODULE AT
		c.At, _ = strconv.ParseInt(f[3], 10, 64)
		c.Kind, c.Admit = KindAdmit, &Admit{Token: f[1], Secret: secret(f[1]), Module: f[2], Addresses: []string{"h:1"}, Key: w.key(), Serial: "2"}
	case "serve": // MODULE
		c.Kind, c.Update = KindUpdate, &Update{Module: w.number(f[1]), Serving: true}
	case "heard": // MODULE TIME AT
		h, _ := strconv.ParseInt(f[2], 10, 64)
		c.At, _ = strconv.ParseInt(f[3], 10, 64)
		c.Kind, c.Update = KindUpdate, &Update{Module: w.number(f[1]), Heard: h}
	case "silent": // MODULE SINCE
		since, _ := strconv.ParseInt(f[2], 10, 64)
		c.Kind, c.Leave = KindLeave, &Leave{Module: w.number(f[1]), Removed: true, Since: since}
	case "report": // BY OF [SEQ, of what OF writes in the first group]
		c.Kind, c.Report = KindReport, &ReportHeads{By: w.number(f[1]), Of: w.number(f[2])}
		if len(f) > 3 {
			seq, _ := strconv.Atoi(f[3])
			st := origin.Stream{Group: 1, Module: w.number(f[2]), Incarnation: w.s.Incarnation(1, w.number(f[2]))}
			c.Report.Places = []Place{PlaceOf(st, origin.Position{Seq: origin.Seq(seq), Hash: origin.Hash{byte(seq)}})}
		}
	case "lease", "release": // MODULE GROUP FILE INCARNATION ABOVE
		g, _ := w.s.Group(f[2])
		inc, _ := strconv.Atoi(f[4])
		above, _ := strconv.ParseInt(f[5], 10, 64)
		c.Kind, c.Lease = KindLease, &LeaseNumbers{Module: w.number(f[1]), Group: g.Number, File: secret(f[3])[:16], Incarnation: origin.Incarnation(inc), Above: above, Release: f[0] == "release"}
	case "renew", "keep": // MODULE WAS INSTANCE
		c.Kind, c.Renew = KindRenew, &Renew{Module: w.number(f[1]), Was: instance(f[2]), Instance: instance(f[3]), Keep: f[0] == "keep"}
	}
	if _, err := w.try(c); err != nil {
		return err.Error()
	}
	b, err := w.s.Snapshot()
	if err != nil {
		w.t.Fatal(err)
	}
	if again, err := Restore(b); err != nil || len(again.Terms) != len(w.s.Terms) || len(again.Switches) != len(w.s.Switches) {
		w.t.Errorf("the state is not read back as it was: %v", err)
	}
	return "ok"
}

// instance is the one of a name; - has none.
func instance(name string) []byte {
	if name == "-" {
		return nil
	}
	return secret(name)[:InstanceSize]
}

func hooksText(w *world, l []HookRun) string {
	s := ""
	for _, h := range l {
		state := h.State
		if state == HookDue {
			state = "due"
		}
		s += fmt.Sprintf("; %s at %s %s (%s, %d ms)", h.Hook, w.s.memberName(h.Module), state, h.Command, h.Limit)
		if h.Text != "" {
			s += " " + h.Text
		}
	}
	return s
}

func TestTokens(t *testing.T) {
	w := newWorld(t)
	if _, err := w.try(&Command{Kind: KindCreateToken, CreateToken: &CreateToken{}}); !errors.Is(err, ErrNoMesh) {
		t.Fatal(err)
	}
	w.init("%east#m1")
	if _, err := w.try(&Command{Kind: KindInit, Init: &Init{}}); !errors.Is(err, ErrMeshExists) {
		t.Fatal(err)
	}
	token := func(id string) *Command {
		return &Command{Kind: KindCreateToken, At: 1000, CreateToken: &CreateToken{ID: id, Secret: secret(id), Role: RoleMember, Expires: 2000}}
	}
	admit := func(id string, at int64, module string, key []byte) *Command {
		return &Command{Kind: KindAdmit, At: at, Admit: &Admit{Token: id, Secret: secret(id), Module: module, Key: key}}
	}
	w.must(token("a"))
	w.must(token("b"))
	w.must(token("c"))
	k1, k2 := w.key(), w.key()
	wrong := admit("a", 1500, "%west#m1", k1)
	wrong.Admit.Secret = secret("other")
	for _, tt := range []struct {
		what string
		c    *Command
		want Code // 0: carried out
	}{
		{"same id again", token("a"), ErrTokenExists},
		{"unknown", admit("x", 1500, "%west#m1", k1), ErrTokenUnknown},
		{"wrong secret", wrong, ErrTokenUnknown},
		{"too late", admit("a", 2000, "%west#m1", k1), ErrTokenExpired},
		{"name taken", admit("a", 1500, "%east#m1", k1), ErrNameTaken},
		{"bad name", admit("a", 1500, "west", k1), ErrMalformed},
		{"bad key", admit("a", 1500, "%west#m1", k1[1:]), ErrMalformed},
		{"good", admit("a", 1999, "%west#m1", k1), 0},
		{"retried, even late", admit("a", 9999, "%west#m1", k1), 0},
		{"used", admit("a", 1500, "%north#m1", k2), ErrTokenUsed},
		{"key taken", admit("b", 1500, "%north#m1", k1), ErrKeyTaken},
		{"name of a joining module, other key", admit("b", 1500, "%west#m1", k2), ErrNameTaken},
		{"same module, another token", admit("b", 1500, "%west#m1", k1), 0},
		{"revoke a used one", &Command{Kind: KindRevokeToken, RevokeToken: &RevokeToken{ID: "a"}}, ErrTokenUsed},
		{"revoke", &Command{Kind: KindRevokeToken, RevokeToken: &RevokeToken{ID: "c"}}, 0},
		{"revoked", admit("c", 1500, "%north#m1", k2), ErrTokenUnknown},
		{"no body", &Command{Kind: KindAdmit}, ErrMalformed},
		{"from the future", &Command{Kind: 99}, ErrUnknownKind},
		{"update nobody", &Command{Kind: KindUpdate, Update: &Update{Module: 7}}, ErrNoMember},
	} {
		res, err := w.try(tt.c)
		if tt.want == 0 {
			if err != nil || tt.c.Kind == KindAdmit && res.Module != 2 {
				t.Errorf("%s: %+v, %v", tt.what, res, err)
			}
			continue
		}
		var r *Refused
		if !errors.Is(err, tt.want) || !errors.As(err, &r) {
			t.Errorf("%s: %v, want %v", tt.what, err, tt.want)
		}
	}
	if len(w.s.Members) != 2 || w.s.Members[1].Status != Joining {
		t.Errorf("members: %+v", w.s.Members)
	}
	// An index that was applied is not applied again.
	b, _ := token("z").Encode()
	if next, _, err := Step(w.s, w.s.Index, b); !errors.Is(err, ErrOldIndex) || next != w.s {
		t.Error(err)
	}
	// Rubbish is refused and counted as an index.
	if next, _, err := Step(w.s, w.s.Index+1, []byte("\xdd\xff\xff\xff\xff")); !errors.Is(err, ErrMalformed) || next.Index != w.s.Index+1 {
		t.Error(err)
	}
}

const mainTable = "/=record_type include\n =share_name main\n =process_name *\n =source_path %east#d01>data>*\n"

func (w *world) apply(table string) error {
	w.t.Helper()
	c, format, err := CompileText([]byte(table), w.s, path.Context{})
	if err != nil {
		return err
	}
	_, err = w.try(&Command{Kind: KindApply, At: 1, Apply: c.Apply(format, []byte(table), "kim")})
	return err
}

func TestLeaveEndsStreams(t *testing.T) {
	w := newWorld(t)
	w.init("%east#m1")
	if _, err := w.try(&Command{Kind: KindLeave, Leave: &Leave{Module: 1}}); !errors.Is(err, ErrLastMember) {
		t.Fatal(err)
	}
	west, north := w.join("%west#m1", RoleMember), w.join("%north#m1", RoleMember)
	if err := w.apply(mainTable); err != nil {
		t.Fatal(err)
	}
	g, _ := w.s.Group("main")
	st := origin.Stream{Group: g.Number, Module: west, Incarnation: w.s.Incarnation(g.Number, west)}
	if st.Incarnation != 1 {
		t.Fatal("no incarnation")
	}
	at := func(seq origin.Seq, h byte) Place {
		return PlaceOf(st, origin.Position{Seq: seq, Hash: origin.Hash{h}})
	}
	report := func(by, of origin.Module, p ...Place) error {
		_, err := w.try(&Command{Kind: KindReport, Report: &ReportHeads{By: by, Of: of, Places: p}})
		return err
	}
	if err := report(1, west); !errors.Is(err, ErrNotLeaving) {
		t.Fatal(err)
	}
	w.must(&Command{Kind: KindLeave, Leave: &Leave{Module: west}})
	if m, _ := w.s.Member(west); m.Status != Leaving {
		t.Fatal(m.Status)
	}
	if err := report(1, west, at(7, 1)); err != nil {
		t.Fatal(err)
	}
	if err := report(1, west, at(99, 9)); err != nil { // the first report stands
		t.Fatal(err)
	}
	if err := report(north, west, PlaceOf(origin.Stream{Group: 1, Module: north, Incarnation: 1}, origin.Position{Seq: 1})); !errors.Is(err, ErrMalformed) {
		t.Fatal(err)
	}
	if err := report(north, west, at(9, 2)); err != nil {
		t.Fatal(err)
	}
	if _, ended := w.s.End(st); ended {
		t.Fatal("ended before the leaving module had reported")
	}
	// It dies: what it still had is lost to the stream.
	w.must(&Command{Kind: KindLeave, Leave: &Leave{Module: west, Removed: true}})
	end, ended := w.s.End(st)
	if !ended || end.Seq != 9 || end.Hash != (origin.Hash{2}) {
		t.Fatal(end, ended)
	}
	if m, _ := w.s.Member(west); m.Status != Removed || m.Voter {
		t.Fatalf("%+v", m)
	}
	if _, ok := w.s.Named("%west#m1"); ok {
		t.Fatal("the name is still held")
	}
	// The name comes back as another module.
	if n := w.join("%west#m1", RoleMember); n != 4 || w.s.Incarnation(g.Number, n) != 1 {
		t.Fatal(n)
	}
	// A stream without a txn ends at its genesis. Two leave at once; one dies.
	w.must(&Command{Kind: KindLeave, Leave: &Leave{Module: north}})
	w.must(&Command{Kind: KindLeave, Leave: &Leave{Module: 4}})
	for _, of := range []origin.Module{north, 4} {
		if err := report(1, of); err != nil {
			t.Fatal(err)
		}
	}
	if err := report(4, 4); err != nil {
		t.Fatal(err)
	}
	if err := report(4, north); err != nil {
		t.Fatal(err)
	}
	w.must(&Command{Kind: KindLeave, Leave: &Leave{Module: north, Removed: true}})
	if len(w.s.Departures) != 0 {
		t.Fatalf("%+v", w.s.Departures)
	}
	st.Module = 4
	if end, ended := w.s.End(st); !ended || end.Seq != 0 || end.Hash != st.Genesis() {
		t.Fatal(end, ended)
	}
	if got := w.s.IdealVoters(); !reflect.DeepEqual(got, []origin.Module{1}) {
		t.Fatal(got)
	}
}

func TestApplyAgainstAnotherEpoch(t *testing.T) {
	w := newWorld(t)
	w.init("%east#m1")
	c, format, err := CompileText([]byte(mainTable), w.s, path.Context{})
	if err != nil {
		t.Fatal(err)
	}
	cmd := &Command{Kind: KindApply, Apply: c.Apply(format, []byte(mainTable), "")}
	if res := w.must(cmd); res.Epoch != 1 {
		t.Fatal(res)
	}
	if _, err := w.try(cmd); !errors.Is(err, ErrEpochMoved) {
		t.Fatal(err)
	}
	for range MaxHistory + 5 {
		if err := w.apply(mainTable); err != nil {
			t.Fatal(err)
		}
	}
	if h := w.s.History; len(h) != MaxHistory || h[len(h)-1].Epoch != w.s.Epoch || string(h[0].Source) != mainTable {
		t.Fatal(len(h), w.s.Epoch)
	}
	bad := c.Apply(format, nil, "")
	bad.Base = w.s.Epoch
	rules := *c.Rules
	rules.Shares = append([]ShareRule{}, rules.Shares...)
	rules.Shares[0].Group = "nowhere"
	bad.Rules = &rules
	if _, err := w.try(&Command{Kind: KindApply, Apply: bad}); !errors.Is(err, ErrTables) {
		t.Fatal(err)
	}
}

func TestVoters(t *testing.T) {
	w := newWorld(t)
	w.init("%s1#m")
	for i, want := range []string{"[1]", "[1 2 3]", "[1 2 3]", "[1 2 3 4 5]", "[1 2 3 4 5]", "[1 2 3 4 5 6 7]", "[1 2 3 4 5 6 7]", "[1 2 3 4 5 6 7]"} {
		w.join(fmt.Sprintf("%%s%d#m", i+2), RoleMember)
		if got := fmt.Sprint(w.s.IdealVoters()); got != want {
			t.Errorf("%d members: %s, want %s", i+2, got, want)
		}
	}
	yes := true
	w.must(&Command{Kind: KindUpdate, Update: &Update{Module: 9, Voter: &yes}})
	if got := fmt.Sprint(w.s.IdealVoters()); got != "[1 2 3 4 5 6 9]" {
		t.Error(got)
	}
	leaf := w.join("%leaf#m", RoleLeaf)
	if _, err := w.try(&Command{Kind: KindUpdate, Update: &Update{Module: leaf, Voter: &yes}}); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

func TestRefusedTravels(t *testing.T) {
	in := &Refused{ErrTokenUsed, "token a", "detail"}
	b, err := encode(in)
	if err != nil {
		t.Fatal(err)
	}
	out := new(Refused)
	if err := decode(b, out, 1000, 100); err != nil || *out != *in || !errors.Is(out, ErrTokenUsed) {
		t.Fatal(out, err)
	}
	for c := ErrMalformed; c <= ErrHeard; c++ {
		if strings.HasPrefix(c.Error(), "control refusal") {
			t.Errorf("code %d has no text", c)
		}
	}
}

func TestStarsMeet(t *testing.T) {
	for _, tt := range []struct {
		p, q string
		want bool
	}{
		{"*", "x", true}, {"a*", "*b", true}, {"a*", "b*", false}, {"*.kp", "*.dd", false}, {"a*b*c", "ab*c", true}, {"abc", "abc", true},
		{"abc", "abd", false}, {"", "*", true}, {"a*b", "a*c", false}, {"*a*", "b*", true},
	} {
		if got := starsMeet(tt.p, tt.q); got != tt.want || starsMeet(tt.q, tt.p) != tt.want {
			t.Errorf("starsMeet(%q, %q) = %v", tt.p, tt.q, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	w := newWorld(f)
	w.init("%east#m1")
	w.join("%west#m1", RoleMember)
	if err := w.apply(mainTable); err != nil {
		f.Fatal(err)
	}
	snap, _ := w.s.Snapshot()
	f.Add(snap)
	c, _, _ := CompileText([]byte(mainTable), w.s, path.Context{})
	b, _ := (&Command{Kind: KindApply, Apply: c.Apply(tin.TIN, []byte(mainTable), "x")}).Encode()
	f.Add(b)
	b, _ = (&Command{Kind: KindLeave, Leave: &Leave{Module: 2}}).Encode()
	f.Add(b)
	f.Add([]byte("\xdd\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		next, _, err := Step(w.s, w.s.Index+1, b)
		if next == nil || next.Index != w.s.Index+1 || next.Tables() == nil {
			t.Fatal("no state follows")
		}
		if err == nil {
			if _, err := next.Snapshot(); err != nil {
				t.Fatal(err)
			}
		}
		if s, err := Restore(b); err == nil {
			Step(s, s.Index+1, b)
		}
	})
}

func FuzzCompile(f *testing.F) {
	w := newWorld(f)
	w.init("%east#m1")
	w.join("%west#m1", RoleMember)
	f.Add([]byte(mainTable))
	for _, file := range []string{"basic", "refused", "drms"} {
		b, err := os.ReadFile("testdata/" + file + ".td")
		if err != nil {
			f.Fatal(err)
		}
		for _, part := range bytes.Split(b, []byte("\n\n")) {
			_, table, _ := bytes.Cut(part, []byte("\n"))
			f.Add(table)
		}
	}
	ctx := path.Context{Module: "%east#m1", Dir: "%east#d01>x"}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, format, err := CompileText(b, w.s, ctx)
		if err != nil {
			for _, p := range err.(tin.Problems) {
				if p.Line < 1 || p.Text == "" {
					t.Fatalf("problem without place: %+v", p)
				}
			}
			return
		}
		// What compiles is taken, and means what the plan said.
		cmd, err := (&Command{Kind: KindApply, Apply: c.Apply(format, b, "")}).Encode()
		if err != nil {
			t.Fatal(err)
		}
		next, _, err := Step(w.s, w.s.Index+1, cmd)
		if err != nil {
			t.Fatal(err)
		}
		if diff := Plan(c.Tables, next.Tables()); len(diff) > 0 {
			t.Fatal(diff)
		}
		for _, d := range next.Tables().Directories("%east#m1") {
			if full, err := d.Path.Join("x"); err == nil {
				next.Tables().Locate("%east#m1", full)
			}
		}
	})
}

// A table of the greatest size compiles in a time that a person waits.
func TestLargeTable(t *testing.T) {
	w := newWorld(t)
	w.init("%s0#m")
	for i := range 15 {
		w.join(fmt.Sprintf("%%s%d#m", i+1), RoleMember)
	}
	var b strings.Builder
	for i := range maxShares {
		fmt.Fprintf(&b, "/=process_name *\n =source_path %%s0#d>dir%d>*\n =durability interval\n", i)
	}
	if err := w.apply(b.String()); err != nil {
		t.Fatal(err)
	}
	if n := len(w.s.Tables().Directories("%s7#m")); n != maxShares {
		t.Fatal(n)
	}
	fmt.Fprintf(&b, "/=process_name *\n =source_path %%s0#d>more>*\n")
	if err := w.apply(b.String()); err == nil || !strings.Contains(err.Error(), "at most 4096 shares") {
		t.Fatal(err)
	}
}
