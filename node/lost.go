package node

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/origin/entry"
	"drmesh/vosio"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// lostFormat is the first field of a lost-transaction file.
const lostFormat = "drmesh lost transactions 1"

// rollBack sees to it that nothing stays here that lies beyond a stream's end:
// the group takes a neighbour's state, and what was beyond is put into a
// lost-transaction file.
func (n *Node) rollBack(st *control.State) {
	for _, end := range st.Ends {
		s := end.Stream()
		if n.j.Tail(s).Seq <= end.Seq || !st.Owned(s.Group) || !n.isReady(s.Group) {
			continue
		}
		n.log.Warn("txns beyond the end of an owner's term are undone", "stream", n.streamName(s), "end", end.Seq, "have", n.j.Tail(s).Seq)
		n.needSnapshot(s.Group, fmt.Sprintf("%s ended at %d, this module has %d", n.streamName(s), end.Seq, n.j.Tail(s).Seq))
	}
}

// overrun is a stream of which this module has more than its end.
type overrun struct {
	stream origin.Stream
	end    origin.Position
	have   origin.Seq
}

// overruns lists those of a group.
func overruns(st *control.State, g origin.Group, have origin.Vector) (l []overrun) {
	if !st.Owned(g) {
		return nil
	}
	for _, end := range st.Ends {
		if s := end.Stream(); s.Group == g && have[s].Seq > end.Seq {
			l = append(l, overrun{s, end.Position(), have[s].Seq})
		}
	}
	return l
}

func (n *Node) lostPath(name string) string { return filepath.Join(n.dir.file("lost"), name+".json") }

// lostHeader begins the lost-transaction file of a stream, and says how many
// txns its writer's number is ahead of the stream's seq.
func (n *Node) lostHeader(st *control.State, o overrun) (f *admin.LostFile, base uint64, err error) {
	f = &admin.LostFile{Format: lostFormat, Mesh: n.dir.MeshID, Group: st.GroupName(o.stream.Group), Module: n.dir.Module, Made: time.Now().UTC()}
	t, owners := st.TermOf(o.stream)
	switch {
	case owners:
		base = t.Base
		f.Name = fmt.Sprintf("%s.%d.%d", f.Group, t.Epoch, n.dir.Number)
		rule := st.Tables().GroupRule(o.stream.Group)
		f.Offer = rule != nil && !rule.Divert && t.Owner == n.dir.Number
	case st.Beside(o.stream):
		// The epoch is that of the owner whose lost txns these follow.
		if t, err = n.causeOf(st, o); err != nil {
			return nil, 0, err
		}
		base = st.BesideBase(o.stream)
		f.Origin = n.moduleName(o.stream.Module)
		f.Name = fmt.Sprintf("%s.%d.of%d-%d.%d", f.Group, t.Epoch, o.stream.Module, o.stream.Incarnation, n.dir.Number)
	default:
		return nil, 0, fmt.Errorf("keep lost transactions of %s: no term is known of it", n.streamName(o.stream))
	}
	f.Epoch, f.Owner, f.End = t.Epoch, n.moduleName(t.Owner), base+uint64(o.end.Seq)
	return f, base, nil
}

// keepLost writes the lost-transaction file of a stream. It is durable on
// return, and written before anything is undone; a second time it says the
// same.
func (n *Node) keepLost(st *control.State, o overrun) error {
	f, base, err := n.lostHeader(st, o)
	if err != nil {
		return err
	}
	// Of what a snapshot brought from beyond the end the entries are not here;
	// who gave it has them, and keeps them.
	first := max(o.end.Seq, n.j.Pruned(o.stream)) + 1
	if first > o.end.Seq+1 {
		n.log.Warn("lost transactions came with a snapshot, and are in the file of the module that gave it", "stream", n.streamName(o.stream), "from", o.end.Seq+1, "to", first-1)
	}
	for q := first; q <= o.have; q++ {
		d := origin.Dot{Stream: o.stream, Seq: q}
		e, ok, err := n.j.Get(d)
		if err != nil || !ok {
			return fmt.Errorf("keep lost transaction %v: it is not in the journal (%v)", d, err)
		}
		var txn origin.Txn
		if err := entry.Decode(e.Bytes, d, &txn); err != nil {
			return fmt.Errorf("keep lost transaction %v: %w", d, err)
		}
		x, err := n.lostTxn(&txn)
		if err != nil {
			return err
		}
		x.Number = base + uint64(q)
		f.Transactions = append(f.Transactions, *x)
	}
	if len(f.Transactions) == 0 {
		return nil
	}
	if err := os.MkdirAll(n.dir.file("lost"), 0o700); err != nil {
		return err
	}
	if err := n.moreLost(f); err != nil || len(f.Transactions) == 0 {
		return err
	}
	return n.writeLost(f)
}

// moreLost leaves in a file what no file of an attempt before has, which a crash
// ended, and gives it a name of its own if there is one: the module may have
// gone on writing before it learned of the end again.
func (n *Node) moreLost(f *admin.LostFile) error {
	at := fmt.Sprintf(".%d", n.dir.Number)
	base := strings.TrimSuffix(f.Name, at)
	for k := 1; ; k++ {
		if _, err := os.Stat(n.lostPath(f.Name)); errors.Is(err, os.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		have := map[string]bool{}
		if old, err := n.readLost(f.Name); err != nil {
			n.log.Warn("a lost-transaction file cannot be read, and is written again under another name", "file", f.Name, "err", err)
		} else {
			for _, x := range old.Transactions {
				have[x.Dot] = true
			}
		}
		f.Transactions = slices.DeleteFunc(f.Transactions, func(x admin.LostTxn) bool { return have[x.Dot] })
		if len(f.Transactions) == 0 {
			return nil
		}
		f.Name = fmt.Sprintf("%s.more%d%s", base, k, at)
	}
}

func (n *Node) lostTxn(txn *origin.Txn) (*admin.LostTxn, error) {
	x := &admin.LostTxn{Dot: strings.TrimSuffix(n.dotName(origin.OpDot{Dot: txn.Dot}), ".0"), At: txn.Stamp.Time().UTC(), Process: txn.Process, State: "open", Ops: []admin.LostOp{}}
	images, err := n.eng.Images(txn.Dot)
	if err != nil {
		return nil, err
	}
	for _, im := range images {
		if int(im.Index) >= len(txn.Ops) {
			return nil, fmt.Errorf("before-image of %v: it has no operation %d", txn.Dot, im.Index)
		}
		op := &txn.Ops[im.Index]
		c := n.change(txn, int(im.Index))
		y := admin.LostOp{Kind: c.Kind, File: c.Share + ":" + c.File, FileID: hex.EncodeToString(im.File[:]), Address: record.String(im.Address), Key: im.Address}
		if im.Before != nil {
			y.Before = slices.Clone(im.Before.Data)
		}
		if op.Kind == origin.Write {
			y.After = append([]byte{}, op.Data...)
		}
		x.Ops = append(x.Ops, y)
	}
	return x, nil
}

func (n *Node) writeLost(f *admin.LostFile) error {
	for i := range f.Transactions { // texts as JSON will give them back
		t := &f.Transactions[i]
		t.Process = strings.ToValidUTF8(t.Process, "?")
		for j := range t.Ops {
			t.Ops[j].File, t.Ops[j].Address = strings.ToValidUTF8(t.Ops[j].File, "?"), strings.ToValidUTF8(t.Ops[j].Address, "?")
		}
	}
	f.Txns, f.Replays, f.Given, f.Open, f.Digest = len(f.Transactions), 0, 0, false, lostDigest(f)
	for _, t := range f.Transactions {
		switch t.State {
		case "open":
			f.Open = true
		case "replayed":
			f.Replays++
		case "discarded":
			f.Given++
		}
	}
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	defer n.nudgeLost()
	return writeFile(n.lostPath(f.Name), append(b, '\n'))
}

// maxLost bounds a lost-transaction file that is read.
const maxLost = 1 << 30

// readLost reads a file and refuses one that is not this module's, or that
// somebody has made something else of.
func (n *Node) readLost(name string) (*admin.LostFile, error) {
	if name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return nil, failure(admin.Usage, "bad_name", "\"drmesh lost ls\" lists the names", "lost-transaction file %q", name)
	}
	fi, err := os.Stat(n.lostPath(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, n.noLostFile(name)
	}
	if err == nil && fi.Size() > maxLost {
		err = fmt.Errorf("it has %d bytes", fi.Size())
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(n.lostPath(name))
	}
	if err != nil {
		return nil, fmt.Errorf("read lost-transaction file %s: %w", name, err)
	}
	f := new(admin.LostFile)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(f); err != nil {
		return nil, failure(admin.Precondition, "bad_lost_file", "restore the file as the module wrote it", "lost-transaction file %s: %v", name, err)
	}
	if f.Format != lostFormat || f.Name != name || f.Mesh != n.dir.MeshID || f.Module != n.dir.Module {
		return nil, failure(admin.Precondition, "foreign_lost_file", "use it at the module that wrote it", "lost-transaction file %s is of module %s, mesh %s, format %q", name, f.Module, f.Mesh, f.Format)
	}
	return f, n.checkLost(f)
}

// judge sets the verdicts by what stands here now.
func (n *Node) judge(f *admin.LostFile) error {
	for i := range f.Transactions {
		t := &f.Transactions[i]
		t.Verdict = admin.LostSuperseded
		for j := range t.Ops {
			op := &t.Ops[j]
			if err := n.judgeOp(op); err != nil {
				return err
			}
			switch {
			case op.Verdict == admin.LostConflicts:
				t.Verdict = op.Verdict
			case op.Verdict == admin.LostSafe && t.Verdict == admin.LostSuperseded:
				t.Verdict = op.Verdict
			}
		}
	}
	return nil
}

func (n *Node) judgeOp(op *admin.LostOp) error {
	id, err := fileID(op.FileID)
	if err != nil {
		return err
	}
	now, err := n.eng.Shown(id, op.Key)
	if err != nil {
		return err
	}
	op.Now, op.Why = nil, ""
	if now != nil {
		op.Now = slices.Clone(now.Data)
	}
	same := func(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }
	_, known := n.eng.InfoByID(id)
	switch {
	case !known:
		op.Verdict, op.Why = admin.LostConflicts, "the file is not there, or is the catalog: make the file by hand"
	case same(op.Now, op.After):
		op.Verdict = admin.LostSuperseded
	case op.Unknown:
		op.Verdict, op.Why = admin.LostConflicts, "others have changed it since it was seen there"
	case same(op.Now, op.Before):
		op.Verdict = admin.LostSafe
	default:
		op.Verdict, op.Why = admin.LostConflicts, "something else stands there now"
	}
	return nil
}

func fileID(s string) (id origin.FileID, err error) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, failure(admin.Precondition, "bad_lost_file", "restore the file as the module wrote it", "file id %q", s)
	}
	return origin.FileID(b), nil
}

// lostNames are those of the files here.
func (n *Node) lostNames() ([]string, error) {
	l, err := os.ReadDir(n.dir.file("lost"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, x := range l {
		if name, ok := strings.CutSuffix(x.Name(), ".json"); ok {
			names = append(names, name)
		}
	}
	return names, nil
}

// LostFiles lists the lost-transaction files of this module.
func (e engine) LostFiles(context.Context) ([]admin.LostFile, error) {
	out := []admin.LostFile{}
	names, err := e.n.lostNames()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		f, err := e.n.readLost(name)
		if err != nil {
			return nil, err
		}
		f.Transactions = nil
		out = append(out, *f)
	}
	return out, nil
}

// LostFile implements admin.Engine.
func (e engine) LostFile(_ context.Context, name string) (*admin.LostFile, error) {
	f, err := e.n.readLost(name)
	if err != nil {
		return nil, err
	}
	if g, ok := e.n.ctl.state().Group(f.Group); ok && !e.n.whole(g.Number) {
		// What stands now is half undone, half taken over: no verdict holds.
		return nil, failure(admin.Precondition, "rolling_back", "wait until \"drmesh status\" says serving", "%s takes the group %s from a neighbour", e.n.dir.Module, f.Group)
	}
	return f, e.n.judge(f)
}

// LostDiscard implements admin.Engine.
func (e engine) LostDiscard(ctx context.Context, name string) (*admin.LostFile, error) {
	e.n.losing.Lock()
	defer e.n.losing.Unlock()
	f, err := e.n.readLost(name)
	if gone, ok := e.n.lostWithFile(name, err); ok {
		return e.n.discardGone(ctx, gone)
	}
	if err != nil {
		return nil, err
	}
	if !f.Open {
		return nil, failure(admin.Precondition, "lost_file_closed", "", "nothing is open in the lost-transaction file %s", name)
	}
	for i := range f.Transactions {
		if f.Transactions[i].State == "open" {
			f.Transactions[i].State = "discarded"
		}
	}
	if err := e.n.writeLost(f); err != nil {
		return nil, err
	}
	e.n.tellLost(ctx, f)
	return f, nil
}

// redoes is who commits the transactions of a file again: the group's owner; of
// those that a supplementary module wrote that module, or this one if it is
// supplementary too and the other has left.
func (n *Node) redoes(st *control.State, g origin.Group, f *admin.LostFile) (origin.Module, error) {
	if f.Salvaged && !st.Owned(g) {
		return n.dir.Number, nil // all write
	}
	if f.Origin == "" || f.Salvaged {
		if t, ok := st.Term(g); ok {
			return t.Owner, nil
		}
		return 0, failure(admin.Precondition, "not_owned", "", "the group %s has no owner", f.Group)
	}
	t := st.Tables()
	if m, ok := st.Named(f.Origin); ok && t.Supplements(g, m.Number) {
		return m.Number, nil
	}
	if t.Supplements(g, n.dir.Number) {
		return n.dir.Number, nil
	}
	return 0, failure(admin.Precondition, "origin_gone", "replay it at a supplementary module of the group, or discard it", "%s, which wrote these transactions, does not write the group %s any more", f.Origin, f.Group)
}

// LostReplay implements admin.Engine: the owner commits what is safe again as
// its own, txn by txn; each is safe by what stands at the owner at that moment.
// What a supplementary module had written is that module's to commit again.
func (e engine) LostReplay(ctx context.Context, r admin.LostChange) (*admin.LostResult, error) {
	n := e.n
	n.losing.Lock()
	defer n.losing.Unlock()
	f, err := n.readLost(r.Name)
	if err != nil {
		return nil, err
	}
	if !f.Open {
		return nil, failure(admin.Precondition, "lost_file_closed", "", "nothing is open in the lost-transaction file %s", r.Name)
	}
	st := n.ctl.state()
	g, _ := st.Group(f.Group)
	by, err := n.redoes(st, g.Number, f)
	if err != nil {
		return nil, err
	}
	out := &admin.LostResult{Name: r.Name}
	for i := range f.Transactions {
		x := &f.Transactions[i]
		if x.State != "open" {
			continue
		}
		verdict, err := n.askRedo(ctx, by, g.Number, x)
		if err != nil {
			return nil, errors.Join(err, n.writeLost(f))
		}
		x.Verdict = verdict
		switch verdict {
		case admin.LostSafe:
			x.State = "replayed"
			out.Replayed++
		case admin.LostSuperseded:
			x.State = "replayed"
			out.Superseded++
		default:
			if !r.Safe {
				err := n.writeLost(f)
				return nil, errors.Join(failure(admin.Precondition, "lost_conflicts", "see \"drmesh lost show "+r.Name+"\"; --safe leaves it and goes on", "lost transaction %d: something else stands where it wrote", x.Number), err)
			}
			out.Left++
		}
	}
	f.Offer = false
	if err := n.writeLost(f); err != nil {
		return nil, err
	}
	n.tellLost(ctx, f)
	return out, nil
}

// redoQuestion asks a group's owner to commit a lost txn again.
type redoQuestion struct {
	Group   origin.Group `msgpack:"g"`
	Process string       `msgpack:"p"`
	Ops     []redoOp     `msgpack:"o"`
}

type redoOp struct {
	File   []byte `msgpack:"f"`
	Key    []byte `msgpack:"k"`
	Before []byte `msgpack:"b"` // nil: no record
	After  []byte `msgpack:"a"`
	// Unknown says that Before is not known: nothing may be put in its place.
	Unknown bool `msgpack:"u,omitempty"`
}

func (n *Node) askRedo(ctx context.Context, owner origin.Module, g origin.Group, x *admin.LostTxn) (verdict string, err error) {
	q := redoQuestion{Group: g, Process: x.Process}
	for _, op := range x.Ops {
		id, err := fileID(op.FileID)
		if err != nil {
			return "", err
		}
		q.Ops = append(q.Ops, redoOp{id[:], op.Key, op.Before, op.After, op.Unknown})
	}
	if owner == n.dir.Number {
		return n.redo(ctx, q)
	}
	b, err := msgpack.Marshal(&q)
	if err != nil {
		return "", err
	}
	r, err := n.mesh.Call(ctx, owner, "redo", b)
	if err != nil {
		return "", failure(admin.Failed, "replay_failed", "try again: what was replayed is known", "%s could not replay it: %v", n.moduleName(owner), err)
	}
	return string(r), nil
}

func (n *Node) serveRedo(ctx context.Context, _ origin.Module, b []byte) ([]byte, error) {
	var q redoQuestion
	if err := msgpack.Unmarshal(b, &q); err != nil {
		return nil, fmt.Errorf("redo: %w", err)
	}
	if !n.ctl.state().Owned(q.Group) {
		return nil, fmt.Errorf("redo: the group has no owner")
	}
	v, err := n.redo(ctx, q)
	return []byte(v), err
}

// redo commits a lost txn here, if what it replaced stands.
func (n *Node) redo(ctx context.Context, q redoQuestion) (verdict string, err error) {
	st := n.ctl.state()
	if t, ok := st.Term(q.Group); st.Owned(q.Group) && (!ok || t.Owner != n.dir.Number && !st.Tables().Supplements(q.Group, n.dir.Number)) {
		return "", fmt.Errorf("redo: %s does not write the group", n.dir.Module)
	}
	if !n.isReady(q.Group) || len(overruns(st, q.Group, n.j.Tails())) > 0 {
		return "", fmt.Errorf("redo: %s is still rolling the group back", n.dir.Module)
	}
	var l []vosio.Redo
	done, known := true, true
	for _, op := range q.Ops {
		if len(op.File) != len(origin.FileID{}) || len(op.Key) == 0 {
			return "", errors.New("redo: malformed")
		}
		x := vosio.Redo{File: origin.FileID(op.File), Address: op.Key}
		f, ok := n.eng.InfoByID(x.File)
		if !ok {
			return admin.LostConflicts, nil
		}
		if s, ok := st.Tables().Share(f.Share); !ok || s.GroupNumber != q.Group {
			return "", fmt.Errorf("redo: %s is not of the group", f.Share)
		}
		if op.Before != nil {
			x.Before = &origin.Version{Data: op.Before}
		}
		if op.After != nil {
			x.After = &origin.Version{Data: op.After}
		}
		now, err := n.eng.Shown(x.File, x.Address)
		if err != nil {
			return "", err
		}
		if (now == nil) != (x.After == nil) || now != nil && !bytes.Equal(now.Data, op.After) {
			done = false
		}
		known = known && !op.Unknown
		l = append(l, x)
	}
	if done {
		return admin.LostSuperseded, nil
	}
	if !known {
		return admin.LostConflicts, nil
	}
	switch err := n.eng.Redo(ctx, q.Process, l); {
	case errors.Is(err, vosio.ErrMoved), call.CodeOf(err) == call.InvalidDuplicateKey, call.CodeOf(err) == call.RecordAlreadyExists, call.CodeOf(err) == call.RecordNotFound:
		return admin.LostConflicts, nil
	case err != nil:
		return "", err
	}
	return admin.LostSafe, nil
}

// offerLost has the owner take again, by itself, what is safe of this module's
// own lost txns, where the group said so when they were undone: each file once.
// What followed lost txns at a supplementary module is left to people: it was
// undone since it may rest on what is not there any more. done: nothing is left
// to be offered.
func (n *Node) offerLost() (done bool) {
	names, err := n.lostNames()
	if err != nil {
		return false
	}
	done = true
	for _, name := range names {
		f, err := n.readLost(name)
		if err != nil || !f.Offer || !f.Open {
			continue // what cannot be read is an alarm elsewhere
		}
		st := n.ctl.state()
		g, ok := st.Group(f.Group)
		if !ok || !n.isReady(g.Number) || len(overruns(st, g.Number, n.j.Tails())) > 0 {
			done = false // they are not undone yet
			continue
		}
		done = n.mergeLost(name) && done
	}
	return done
}

func (n *Node) mergeLost(name string) (done bool) {
	ctx, cancel := context.WithTimeout(n.ctx, time.Minute)
	defer cancel()
	key := "lost transactions in " + name
	r, err := engine{n}.LostReplay(ctx, admin.LostChange{Name: name, Safe: true})
	if err != nil {
		if n.ctx.Err() == nil {
			n.alarm(key, "they were not offered to the owner yet: "+err.Error())
		}
		return false
	}
	n.clearAlarm(key)
	n.log.Warn("lost transactions were offered to the owner", "file", name, "replayed", r.Replayed, "superseded", r.Superseded, "left", r.Left)
	if r.Left > 0 {
		n.alarm(key, fmt.Sprintf("%d conflict with what stands now: see \"drmesh lost show %s\"", r.Left, name))
	}
	return true
}
