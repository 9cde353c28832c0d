package node

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"drmesh/admin"
	"drmesh/conflict"
	"drmesh/conflict/ledger"
	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/vosio"
	"drmesh/vosio/call"
	"drmesh/vosio/path"
	"drmesh/vosio/record"
	"drmesh/vosio/tin"
)

// engine answers the operators' door.
type engine struct{ n *Node }

// explain gives an error of the file system its exit class.
func explain(err error) error {
	if err == nil {
		return nil
	}
	var a *admin.Error
	if errors.As(err, &a) {
		return err
	}
	var c call.Code
	if errors.As(err, &c) {
		class := admin.Failed
		switch c {
		case call.ObjectNotFound:
			class = admin.NotFound
		case call.NoAccess:
			class = admin.NotPermitted
		}
		return &admin.Error{Class: class, Code: c.Name(), Message: err.Error(), Number: int(c)}
	}
	return err
}

// Status implements admin.Engine.
func (e engine) Status(ctx context.Context) (*admin.Status, error) {
	n := e.n
	st := n.ctl.state()
	s := &admin.Status{Module: n.dir.Module, Number: uint32(n.dir.Number), Mesh: n.dir.Mesh, MeshID: n.dir.MeshID, Version: Version,
		State: "serving", UptimeS: time.Since(n.started).Seconds(), Control: st.Index, Epoch: st.Epoch, Alarms: n.alarmList(),
		Duplicates: n.loops(), ResidentMB: residentMB(), GossipAlive: n.gossipAlive(), AsOf: time.Now()}
	if l, ok := n.raft.Leader(); ok {
		s.Leader, s.Quorum = n.moduleName(l), true
	}
	n.mu.Lock()
	if _, full := n.alarms[diskFull]; full {
		s.State = "full"
	}
	if len(n.need) > 0 {
		s.State = "joining"
	}
	if len(n.notCurrent) > 0 {
		s.State = "not_current"
	}
	n.mu.Unlock()
	for _, m := range st.Members {
		s.Members = append(s.Members, admin.MemberStatus{Module: m.Name, Number: uint32(m.Number), Role: string(m.Role), Status: string(m.Status), Voter: m.Voter, Addresses: m.Addresses})
	}
	s.Streams = n.streamStatus(st)
	open := 0
	if err := ledger.Ls(n.db, ledger.Filter{States: []conflict.State{conflict.Open}}, func(*ledger.Entry) bool { open++; return true }); err != nil {
		return nil, err
	}
	s.Conflicts = open
	w, err := n.eng.WithheldList()
	if err != nil {
		return nil, err
	}
	s.Withheld = len(w)
	p, err := n.eng.ParkedList()
	if err != nil {
		return nil, err
	}
	s.Parked = len(p)
	return s, nil
}

// loops counts txns received though they were applied: suppressed loops.
func (n *Node) loops() int64 {
	d := n.eng.Duplicates.Load() + n.applier.Duplicates.Load()
	for _, l := range n.mesh.Links() {
		d += l.Dropped
	}
	return d
}

func residentMB() float64 {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	f := strings.Fields(string(b))
	if len(f) < 2 {
		return 0
	}
	pages, _ := strconv.ParseFloat(f[1], 64)
	return pages * float64(os.Getpagesize()) / (1 << 20)
}

func ptr[T any](v T) *T { return &v }

func (n *Node) streamStatus(st *control.State) []admin.StreamStatus {
	durable := n.j.Durable()
	heads := n.heads.all()
	links := n.mesh.Links()
	streams := map[origin.Stream]bool{}
	for s := range durable {
		streams[s] = true
	}
	for s := range heads {
		streams[s] = true
	}
	for _, l := range links {
		for s := range l.Has {
			streams[s] = true
		}
	}
	var all []origin.Stream
	for s := range streams {
		if s.Group != 0 {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, origin.Stream.Compare)
	var out []admin.StreamStatus
	for _, s := range all {
		x := admin.StreamStatus{Stream: n.streamName(s), Module: n.moduleName(s.Module), Own: s.Module == n.dir.Number, Durable: uint64(durable[s].Seq)}
		_, x.Ended = st.End(s)
		written := uint64(durable[s].Seq)
		known := x.Own
		if h, ok := heads[s]; ok {
			known = true
			written = max(written, uint64(h.Position.Seq))
			if h.Floor > 0 {
				x.HeadAge = ptr(max(0, time.Since(h.Floor.Time()).Seconds()))
			}
		}
		for _, l := range links {
			p := admin.PeerSeq{Module: n.moduleName(l.Peer)}
			if q, ok := l.Has[s]; ok {
				p.Durable = ptr(uint64(q))
				written = max(written, uint64(q))
				known = true
			} else if l.Up {
				p.Durable = ptr(uint64(0))
			}
			if !l.LastHeard.IsZero() {
				p.AgeS = ptr(time.Since(l.LastHeard).Seconds())
			}
			x.Peers = append(x.Peers, p)
		}
		if known {
			x.Written = ptr(written)
			lag := written - uint64(durable[s].Seq)
			x.Lag = ptr(lag)
			if lag == 0 {
				x.LagS = ptr(0.0)
			} else if stamp := n.j.Stamp(s); stamp > 0 {
				x.LagS = ptr(time.Since(stamp.Time()).Seconds())
			}
		}
		if stamp := n.j.Stamp(s); stamp > 0 {
			x.Last = ptr(stamp.Time())
		}
		out = append(out, x)
	}
	return out
}

// Links implements admin.Engine.
func (e engine) Links(context.Context) ([]admin.Link, error) {
	n := e.n
	have := map[origin.Module]bool{}
	out := []admin.Link{}
	add := func(m origin.Module) *admin.Link {
		have[m] = true
		l := admin.Link{Peer: n.moduleName(m), State: "connecting"}
		ps := n.net.PeerStats(m)
		l.WireSent, l.WireReceived = ps.BytesSent, ps.BytesReceived
		if ps.RTT > 0 {
			l.RTTMS = ptr(float64(ps.RTT.Microseconds()) / 1000)
		}
		if ps.LastError != nil {
			l.LastError = ps.LastError.Error()
		}
		n.mu.Lock()
		if off, ok := n.offsets[m]; ok {
			l.ClockMS = ptr(float64(off.Microseconds()) / 1000)
		}
		n.mu.Unlock()
		out = append(out, l)
		return &out[len(out)-1]
	}
	peers := n.peers()
	for _, s := range n.mesh.Links() {
		if !slices.Contains(peers, s.Peer) {
			continue
		}
		l := add(s.Peer)
		switch {
		case s.Paused:
			l.State = "paused"
		case s.Up:
			l.State = "up"
			l.LastError = ""
		default:
			if s.LastError != "" {
				l.LastError = s.LastError
			}
		}
		l.Serving = s.Serving
		if !s.Since.IsZero() {
			l.SinceS = ptr(time.Since(s.Since).Seconds())
		}
		if !s.LastHeard.IsZero() {
			l.HeardS = ptr(time.Since(s.LastHeard).Seconds())
		}
		l.Received, l.ReceivedBytes, l.Sent, l.SentBytes = s.Received, s.ReceivedBytes, s.Sent, s.SentBytes
	}
	for _, p := range peers {
		if !have[p] {
			add(p)
		}
	}
	return out, nil
}

// SetLink implements admin.Engine. The two ends of the link are told, whoever
// is asked; one of them at least must be in reach.
func (e engine) SetLink(ctx context.Context, c admin.LinkChange) error {
	n := e.n
	st := n.ctl.state()
	a, okA := st.Named(c.A)
	b, okB := st.Named(c.B)
	for _, x := range []struct {
		name string
		ok   bool
	}{{c.A, okA}, {c.B, okB}} {
		if !x.ok {
			return failure(admin.NotFound, "no_module", "\"drmesh module ls\" lists the modules", "no module %s", x.name)
		}
	}
	if !st.Tables().Linked(a.Number, b.Number) {
		return failure(admin.NotFound, "no_link", "\"drmesh link ls\" lists the links", "no link stands between %s and %s", c.A, c.B)
	}
	told := 0
	var last error
	for _, end := range [][2]origin.Module{{a.Number, b.Number}, {b.Number, a.Number}} {
		if end[0] == n.dir.Number {
			n.pause(end[1], c.Paused)
			told++
			continue
		}
		req, err := json.Marshal(pauseRequest{end[1], c.Paused})
		if err != nil {
			return err
		}
		pctx, cancel := context.WithTimeout(ctx, 3*time.Second)
		_, err = n.mesh.Call(pctx, end[0], "pause", req)
		cancel()
		if err != nil {
			last = err
			continue
		}
		told++
	}
	if told == 0 {
		return failure(admin.Unreachable, "ends_unreachable", "", "neither end of the link is in reach: %v", last)
	}
	return nil
}

type pauseRequest struct {
	Peer   origin.Module `json:"peer"`
	Paused bool          `json:"paused"`
}

func (n *Node) servePause(_ context.Context, _ origin.Module, b []byte) ([]byte, error) {
	var q pauseRequest
	if err := json.Unmarshal(b, &q); err != nil {
		return nil, err
	}
	n.pause(q.Peer, q.Paused)
	return nil, nil
}

// pause stops or starts data with a neighbour. It lasts until it is taken
// back, or this node starts again.
func (n *Node) pause(m origin.Module, paused bool) {
	n.mu.Lock()
	n.paused[m] = paused
	n.mu.Unlock()
	n.mesh.SetPaused(m, paused)
}

// CreateToken implements admin.Engine.
func (e engine) CreateToken(ctx context.Context, r admin.TokenRequest) (*admin.Token, error) {
	n := e.n
	role := control.Role(r.Role)
	if role == "" {
		role = control.RoleMember
	}
	if role != control.RoleMember && role != control.RoleWitness && role != control.RoleLeaf {
		return nil, failure(admin.Usage, "bad_role", "member, witness or leaf", "role %q", r.Role)
	}
	if role != control.RoleMember {
		return nil, failure(admin.Usage, "not_built", "use a member", "modules of role %s are not built yet", role)
	}
	if r.TTL <= 0 {
		r.TTL = time.Hour
	}
	t := newToken(n.dir.authority.Fingerprint(), n.joinAddresses())
	h := t.hash()
	exp := time.Now().Add(r.TTL)
	res, err := n.propose(ctx, &control.Command{Kind: control.KindCreateToken, CreateToken: &control.CreateToken{ID: t.ID, Secret: h[:], Role: role, Expires: exp.UnixMilli()}})
	if err != nil {
		return nil, err
	}
	if err := n.ctl.wait(ctx, res.Index); err != nil {
		return nil, err
	}
	return &admin.Token{Token: t.String(), Role: string(role), Expires: exp}, nil
}

// joinAddresses lists where a joiner may ask: here first.
func (n *Node) joinAddresses() []string {
	l := slices.Clone(n.dir.Listen)
	for _, m := range n.ctl.state().Members {
		if m.Standing() && m.Number != n.dir.Number && len(l) < 6 {
			l = append(l, m.Addresses...)
		}
	}
	return l
}

// Leave implements admin.Engine.
func (e engine) Leave(ctx context.Context, acceptLoss bool) error {
	n := e.n
	st := n.ctl.state()
	if !acceptLoss {
		durable := n.j.Durable()
		for _, g := range st.Groups {
			s := ownStream(st, g.Number, n.dir.Number)
			if s.Incarnation == 0 || durable[s].Seq == 0 {
				continue
			}
			held := false
			for _, p := range n.peers() {
				if a, ok := n.acks.of(p, s); ok && a.seq >= durable[s].Seq {
					held = true
				}
			}
			if !held {
				return failure(admin.Precondition, "undelivered", "wait with \"drmesh status --dir D --matrix\" until a neighbour has them, or give them up with --accept-loss",
					"no neighbour has all of %s, which stands at %d", n.streamName(s), durable[s].Seq)
			}
		}
	}
	if n.raft.IsLeader() {
		// Another leads on, without an election when this one is gone. If
		// nobody can, the election comes.
		if err := n.raft.StepDown(ctx); err != nil {
			n.log.Info("leadership was not handed over", "err", err)
		}
	}
	_, err := n.propose(ctx, &control.Command{Kind: control.KindLeave, Leave: &control.Leave{Module: n.dir.Number}})
	if err != nil {
		return err
	}
	for {
		changed := n.ctl.changed() // before the state, lest a change is missed
		m, _ := n.ctl.state().Member(n.dir.Number)
		if !m.Standing() {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return failure(admin.TimedOut, "leave_waits", "", "not all members have reported what they hold of this module's streams")
		}
	}
}

// ControlText implements admin.Engine.
func (e engine) ControlText(context.Context) (*admin.ControlText, error) {
	st := e.n.ctl.state()
	if len(st.History) == 0 {
		return &admin.ControlText{}, nil
	}
	h := st.History[len(st.History)-1]
	return &admin.ControlText{Epoch: h.Epoch, At: time.UnixMilli(h.At).UTC(), By: h.By, Format: h.Format, Text: string(h.Source)}, nil
}

func (n *Node) compile(c admin.ControlChange) (*control.State, *control.Compiled, tin.Format, error) {
	st := n.ctl.state()
	if c.Base != 0 && c.Base != st.Epoch {
		return nil, nil, "", failure(admin.Precondition, "epoch_moved", "plan again", "the tables have policy epoch %d by now, the plan was made for %d", st.Epoch, c.Base)
	}
	compiled, format, err := control.CompileText([]byte(c.Text), st, path.Context{Module: n.dir.Module, Date: time.Now().Format("06-01-02")})
	if err != nil {
		a := failure(admin.Config, "bad_tables", "the tables in force stay as they are", "control tables: %v", err)
		var ps tin.Problems
		if errors.As(err, &ps) {
			a.Message = fmt.Sprintf("control tables: %d problems", len(ps))
			if len(ps) == 1 {
				a.Message = "control tables: 1 problem"
			}
			for _, p := range ps {
				a.Problems = append(a.Problems, admin.Problem{Line: p.Line, Field: p.Field, Text: p.Text})
			}
		}
		return nil, nil, "", a
	}
	return st, compiled, format, nil
}

// ControlPlan implements admin.Engine.
func (e engine) ControlPlan(_ context.Context, c admin.ControlChange) (*admin.ControlPlan, error) {
	st, compiled, _, err := e.n.compile(c)
	if err != nil {
		return nil, err
	}
	p := &admin.ControlPlan{Epoch: st.Epoch, Lines: control.Plan(st.Tables(), compiled.Tables)}
	for _, w := range compiled.Warnings {
		p.Warnings = append(p.Warnings, admin.Problem{Line: w.Line, Field: w.Field, Text: w.Text})
	}
	return p, nil
}

// ControlApply implements admin.Engine.
func (e engine) ControlApply(ctx context.Context, c admin.ControlChange) (*admin.ControlPlan, error) {
	n := e.n
	var res control.Result
	var plan *admin.ControlPlan
	for try := 0; ; try++ {
		st, compiled, format, err := n.compile(c)
		if err != nil {
			return nil, err
		}
		plan = &admin.ControlPlan{Lines: control.Plan(st.Tables(), compiled.Tables)}
		for _, w := range compiled.Warnings {
			plan.Warnings = append(plan.Warnings, admin.Problem{Line: w.Line, Field: w.Field, Text: w.Text})
		}
		res, err = n.propose(ctx, &control.Command{Kind: control.KindApply, Apply: compiled.Apply(format, []byte(c.Text), "drmesh at "+n.dir.Module)})
		if errors.Is(err, control.ErrEpochMoved) && c.Base == 0 && try < 5 {
			if err := n.ctl.wait(ctx, res.Index); err != nil {
				return nil, err
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		break
	}
	plan.Epoch = res.Epoch
	if c.Timeout <= 0 {
		c.Timeout = 10 * time.Second
	}
	wctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	if err := n.ctl.wait(wctx, res.Index); err != nil {
		return nil, failure(admin.Partly, "epoch_waits", "", "policy epoch %d is agreed and has not come here yet", res.Epoch)
	}
	plan.Lacking = n.awaitEpoch(wctx, res.Epoch)
	return plan, nil
}

// awaitEpoch waits until all members have a policy epoch in force, and names
// those that have not when ctx ends.
func (n *Node) awaitEpoch(ctx context.Context, epoch uint64) (lacking []string) {
	st := n.ctl.state()
	for {
		lacking = nil
		if n.appliedEpoch() < epoch {
			lacking = append(lacking, n.dir.Module)
		}
		for _, m := range st.Members {
			if m.Number == n.dir.Number || !m.HoldsData() {
				continue
			}
			v, err := n.askVector(ctx, m.Number)
			if err != nil || v.Epoch < epoch {
				lacking = append(lacking, m.Name)
			}
		}
		if len(lacking) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return lacking
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// vectorReply is what a module answers when it is asked for its vector.
type vectorReply struct {
	Vector []origin.StreamSeq `msgpack:"v"`
	Epoch  uint64             `msgpack:"e"`
}

func (n *Node) serveVector(context.Context, origin.Module, []byte) ([]byte, error) {
	r := vectorReply{Epoch: n.appliedEpoch()}
	for _, e := range n.j.Durable().Sorted() {
		if e.Stream.Group != 0 {
			r.Vector = append(r.Vector, origin.StreamSeq{Stream: e.Stream, Seq: e.Seq})
		}
	}
	return msgpack.Marshal(&r)
}

func (n *Node) askVector(ctx context.Context, m origin.Module) (*vectorReply, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	b, err := n.mesh.Call(ctx, m, "vector", nil)
	if err != nil {
		return nil, err
	}
	var r vectorReply
	if err := msgpack.Unmarshal(b, &r); err != nil {
		return nil, err
	}
	return &r, nil
}

// CaughtUp implements admin.Engine: every vector that members have now, asked
// from them directly, is waited for here.
func (e engine) CaughtUp(ctx context.Context, r admin.CaughtUpRequest) (*admin.CaughtUp, error) {
	n := e.n
	if r.Timeout <= 0 {
		r.Timeout = time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	out := &admin.CaughtUp{}
	want := origin.Context{}
	t := n.ctl.state().Tables()
	todo := []control.Member{}
	for _, m := range n.ctl.state().Members {
		if m.HoldsData() && m.Number != n.dir.Number {
			todo = append(todo, m)
		}
	}
	for len(todo) > 0 {
		var again []control.Member
		for _, m := range todo {
			v, err := n.askVector(ctx, m.Number)
			if err != nil {
				again = append(again, m)
				continue
			}
			out.Asked = append(out.Asked, m.Name)
			want.Advance(v.Vector)
		}
		todo = again
		if len(todo) == 0 {
			break
		}
		if r.Reachable {
			for _, m := range todo {
				out.Left = append(out.Left, m.Name)
			}
			break
		}
		select {
		case <-ctx.Done():
			return nil, failure(admin.TimedOut, "member_unreachable", "start it, or leave it out with --reachable", "module %s could not be asked", todo[0].Name)
		case <-time.After(100 * time.Millisecond):
		}
	}
	behind := func() (d uint64) {
		have := n.j.Durable()
		for s, q := range want {
			if h := have[s].Seq; q > h && t.AppliesHere(s, n.dir.Number) {
				d += uint64(q - h)
			}
		}
		return d
	}
	ready := func() bool {
		n.mu.Lock()
		waiting := len(n.need)
		n.mu.Unlock()
		return waiting == 0 && behind() == 0
	}
	for {
		wctx, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		err := n.acks.wait(wctx, ready)
		stop()
		if err == nil {
			out.CaughtUp = true
			return out, nil
		}
		if ctx.Err() != nil {
			return nil, failure(admin.TimedOut, "not_caught_up", "see \"drmesh status --matrix\"", "%d txns are still to come", behind())
		}
	}
}

// Files implements admin.Engine.
func (e engine) Files(_ context.Context, under string) ([]admin.File, error) {
	if under != "" {
		full, err := e.n.eng.FullPath(under)
		if err != nil {
			return nil, explain(err)
		}
		under = full
	}
	out := []admin.File{}
	for _, f := range e.n.eng.Files(under) {
		out = append(out, fileOf(f))
	}
	return out, nil
}

func fileOf(f vosio.FileInfo) admin.File {
	x := admin.File{Path: f.Path, Share: f.Share, ID: f.ID.String(), Org: call.OrgName(f.Org), Size: f.Size, Records: f.Records, Bytes: f.Bytes,
		Parked: f.Parked, Withheld: f.Withheld, Computed: f.Computed, Layout: f.Layout != ""}
	for _, i := range f.Indexes {
		s := i.Name
		for _, c := range i.Components {
			s += fmt.Sprintf(" %d,%d", c.Position, c.Length)
		}
		if i.Duplicates {
			s += " duplicates"
		}
		if i.Name == f.Identity {
			s += " identity"
		}
		if i.Local {
			s += " this-module"
		}
		x.Indexes = append(x.Indexes, s)
	}
	return x
}

// File implements admin.Engine.
func (e engine) File(_ context.Context, p string) (*admin.File, error) {
	full, err := e.n.eng.FullPath(p)
	if err != nil {
		return nil, explain(err)
	}
	i, err := e.n.eng.Info(full)
	if err != nil {
		return nil, explain(err)
	}
	return ptr(fileOf(i)), nil
}

// Digest implements admin.Engine.
func (e engine) Digest(_ context.Context, p string) (*admin.Digest, error) {
	full, err := e.n.eng.FullPath(p)
	if err != nil {
		return nil, explain(err)
	}
	i, err := e.n.eng.Info(full)
	if err != nil {
		return nil, explain(err)
	}
	d, records, parked, err := e.n.eng.Digest(full)
	if err != nil {
		return nil, explain(err)
	}
	return &admin.Digest{Digest: d, Records: records, Parked: parked, Path: i.Rel}, nil
}

// CompareAt implements admin.Engine.
func (e engine) CompareAt(ctx context.Context, module, p string) (*admin.Digest, error) {
	n := e.n
	m, ok := n.ctl.state().Named(module)
	if !ok {
		return nil, failure(admin.NotFound, "no_module", "\"drmesh module ls\" lists the modules", "no module %s", module)
	}
	if m.Number == n.dir.Number {
		return e.Digest(ctx, p)
	}
	b, err := n.mesh.Call(ctx, m.Number, "digest", []byte(p))
	if err != nil {
		return nil, failure(admin.Unreachable, "module_unreachable", "", "%v", err)
	}
	var d struct {
		Digest *admin.Digest `json:"digest"`
		Error  *admin.Error  `json:"error"`
	}
	if err := json.Unmarshal(b, &d); err != nil {
		return nil, err
	}
	if d.Error != nil {
		return nil, d.Error
	}
	return d.Digest, nil
}

func (n *Node) serveDigest(ctx context.Context, _ origin.Module, b []byte) ([]byte, error) {
	d, err := engine{n}.Digest(ctx, string(b))
	if err != nil {
		return json.Marshal(map[string]any{"error": admin.AsError(err)})
	}
	return json.Marshal(map[string]any{"digest": d})
}

// change describes operation i of a txn.
func (n *Node) change(t *origin.Txn, i int) admin.Change {
	op := &t.Ops[i]
	c := admin.Change{Dot: n.dotName(origin.OpDot{Dot: t.Dot, Index: uint32(i)}), At: t.Stamp.Time(), Stamp: uint64(t.Stamp), Module: n.moduleName(t.Dot.Module),
		Process: t.Process, Address: record.String(op.Address), Life: op.Life, Data: op.Data}
	switch op.Kind {
	case origin.Write:
		c.Kind = "write"
	case origin.Delete:
		c.Kind = "delete"
	case origin.Truncate:
		c.Kind = "truncate"
	}
	if f, ok := n.eng.InfoByID(op.File); ok {
		c.Share, c.File = f.Share, f.Rel
	} else {
		c.File = op.File.String()
	}
	return c
}

// eachTxn visits the journal in local order from a local number on.
func (n *Node) eachTxn(ctx context.Context, from uint64, fn func(local uint64, t *origin.Txn) error) (uint64, error) {
	var t origin.Txn
	last := from
	var ferr error
	err := n.j.Local(from, func(local uint64, s origin.Stream, first origin.Seq, count int) bool {
		last = local + 1
		for i := range count {
			if ferr = ctx.Err(); ferr != nil {
				return false
			}
			d := origin.Dot{Stream: s, Seq: first + origin.Seq(i)}
			e, ok, err := n.j.Get(d)
			if err != nil {
				ferr = err
				return false
			}
			if !ok {
				continue // pruned
			}
			if ferr = entry.Decode(e.Bytes, d, &t); ferr != nil {
				return false
			}
			if ferr = fn(local, &t); ferr != nil {
				return false
			}
		}
		return true
	})
	return last, errors.Join(err, ferr)
}

// History implements admin.Engine.
func (e engine) History(ctx context.Context, p, key string) ([]admin.Change, error) {
	n := e.n
	full, err := n.eng.FullPath(p)
	if err != nil {
		return nil, explain(err)
	}
	file, addr, err := n.eng.AddressOf(full, key)
	if err != nil {
		return nil, explain(err)
	}
	out := []admin.Change{}
	_, err = n.eachTxn(ctx, 0, func(_ uint64, t *origin.Txn) error {
		for i := range t.Ops {
			op := &t.Ops[i]
			if op.File == file && (op.Kind == origin.Truncate || bytes.Equal(op.Address, addr)) {
				c := n.change(t, i)
				c.Data = slices.Clone(c.Data)
				out = append(out, c)
			}
		}
		return nil
	})
	return out, err
}

// Journal implements admin.Engine.
func (e engine) Journal(ctx context.Context, r admin.JournalRequest, emit func(*admin.Change) error) error {
	n := e.n
	var after time.Time
	dot := ""
	if r.From != "" {
		if t, err := time.Parse(time.RFC3339, r.From); err == nil {
			after = t
		} else if strings.HasPrefix(r.From, "%") {
			dot = r.From
		} else {
			return failure(admin.Usage, "bad_from", "a dot like %east#m1.1/main:907, or a time like 2026-01-02T15:04:05Z", "from %q", r.From)
		}
	}
	errDone := errors.New("enough")
	sent := 0
	from := uint64(0)
	started := dot == ""
	for {
		ch := n.j.Changed()
		last, err := n.eachTxn(ctx, from, func(_ uint64, t *origin.Txn) error {
			if t.Stamp.Time().Before(after) {
				return nil
			}
			for i := range t.Ops {
				c := n.change(t, i)
				if !started {
					if c.Dot != dot {
						continue
					}
					started = true
				}
				if r.Share != "" && c.Share != r.Share {
					continue
				}
				if err := emit(&c); err != nil {
					return err
				}
				if sent++; r.Limit > 0 && sent >= r.Limit {
					return errDone
				}
			}
			return nil
		})
		if errors.Is(err, errDone) {
			return nil
		}
		if err != nil {
			return err
		}
		from = last
		if !r.Follow {
			if !started {
				return failure(admin.NotFound, "no_dot", "\"drmesh journal dump\" lists what the journal still has", "the journal holds no operation %s", dot)
			}
			return nil
		}
		select {
		case <-ch:
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *Node) conflictOf(x *ledger.Entry) admin.Conflict {
	c := admin.Conflict{ID: x.ID.String(), Kind: "version", State: x.State.String(), Share: x.Facts.Share, Address: record.String(x.Address),
		Loser: n.dotName(x.Loser.Dot), LoserAt: ptr(x.Loser.Stamp.Time()), LoserBy: n.moduleName(x.Loser.Dot.Module), LoserData: slices.Clone(x.Loser.Data),
		Deleted: x.Loser.Tombstone, Policy: x.Rule, Uncertain: x.Apart() < 500}
	if !x.Winner.Dot.Stream.IsZero() {
		c.Winner, c.WinnerAt, c.WinnerBy, c.Data = n.dotName(x.Winner.Dot), ptr(x.Winner.Stamp.Time()), n.moduleName(x.Winner.Dot.Module), slices.Clone(x.Winner.Data)
	}
	if f, ok := n.eng.InfoByID(x.File); ok {
		c.File = f.Rel
	} else {
		c.File = x.File.String()
	}
	return c
}

// Conflicts implements admin.Engine.
func (e engine) Conflicts(_ context.Context, share string) ([]admin.Conflict, error) {
	n := e.n
	out := []admin.Conflict{}
	err := ledger.Ls(n.db, ledger.Filter{Share: share, States: []conflict.State{conflict.Open, conflict.Superseded}}, func(x *ledger.Entry) bool {
		out = append(out, n.conflictOf(x))
		return len(out) < 100000
	})
	if err != nil {
		return nil, err
	}
	w, err := n.eng.WithheldList()
	if err != nil {
		return nil, err
	}
	for _, x := range w {
		if share != "" && x.Share != share {
			continue
		}
		out = append(out, admin.Conflict{Kind: "claim", State: "withheld", Share: x.Share, File: x.Path, Address: record.String(x.Address), Index: x.Index, Key: string(x.Key)})
	}
	return out, nil
}

// Conflict implements admin.Engine.
func (e engine) Conflict(_ context.Context, id string) (*admin.Conflict, error) {
	full, err := ledger.Find(e.n.db, id)
	if err != nil {
		return nil, failure(admin.NotFound, "no_conflict", "\"drmesh conflict ls\" lists them", "%v", err)
	}
	x, err := ledger.Get(e.n.db, full)
	if err != nil {
		return nil, err
	}
	return ptr(e.n.conflictOf(x)), nil
}

// Parked implements admin.Engine.
func (e engine) Parked(context.Context) ([]admin.Parked, error) {
	l, err := e.n.eng.ParkedList()
	if err != nil {
		return nil, err
	}
	out := []admin.Parked{}
	for _, p := range l {
		out = append(out, admin.Parked{Share: p.Share, File: p.Path, Address: record.String(p.Address), Dot: e.n.dotName(p.Dot), Reason: p.Reason})
	}
	return out, nil
}

var _ = ed25519.PublicKeySize
