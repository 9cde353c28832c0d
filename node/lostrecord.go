package node

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/origin"
)

// Control knows of each lost-transaction file that it is there, and how far it
// is reviewed: what nobody has looked at yet is not forgotten because it stands
// at another module. The file itself says what its transactions are; it is
// written first, and control follows as soon as it decides.

// lostAgain is after how long a module tries to tell control again.
const lostAgain = 2 * time.Second

// lostDigest is the SHA-256 of what does not change in a file: all but what
// became of its transactions, and what stands now.
func lostDigest(f *admin.LostFile) string {
	c := *f
	c.Open, c.Offer, c.Txns, c.Replays, c.Given, c.Digest = false, false, 0, 0, 0, ""
	c.Transactions = slices.Clone(f.Transactions)
	for i := range c.Transactions {
		t := &c.Transactions[i]
		t.State, t.Verdict = "", ""
		t.Ops = slices.Clone(t.Ops)
		for j := range t.Ops {
			t.Ops[j].Now, t.Ops[j].Verdict, t.Ops[j].Why = nil, "", ""
		}
	}
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(&c); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}

// checkLost refuses a file that is not as this module wrote it, or that is older
// than what was done with it.
func (n *Node) checkLost(f *admin.LostFile) error {
	bad := func(format string, args ...any) error {
		return failure(admin.Precondition, "bad_lost_file", "restore the file as the module wrote it last; \"drmesh lost discard\" closes one that is gone",
			"lost-transaction file %s: %s", f.Name, fmt.Sprintf(format, args...))
	}
	replayed, discarded := 0, 0
	for _, t := range f.Transactions {
		switch t.State {
		case "open":
		case "replayed":
			replayed++
		case "discarded":
			discarded++
		default:
			return bad("transaction %d has the state %q", t.Number, t.State)
		}
	}
	digest := lostDigest(f)
	if f.Digest != digest || f.Txns != len(f.Transactions) || f.Replays != replayed || f.Given != discarded || f.Open != (replayed+discarded < f.Txns) {
		return bad("somebody has changed it")
	}
	c, ok := n.ctl.state().LostFile(f.Name)
	switch {
	case !ok:
	case hex.EncodeToString(c.Digest) != digest:
		return bad("control has recorded another one of that name")
	case replayed < c.Replayed || discarded < c.Discarded:
		return bad("it is an old copy: %d of its transactions were replayed and %d discarded since", c.Replayed, c.Discarded)
	}
	return nil
}

// noLostFile says where a file is that is not here.
func (n *Node) noLostFile(name string) error {
	hint := "\"drmesh lost ls\" lists them"
	if c, ok := n.ctl.state().LostFile(name); ok {
		hint = "ask " + n.moduleName(c.Module) + ", which has it"
	}
	return failure(admin.NotFound, "no_lost_file", hint, "there is no lost-transaction file %s at %s", name, n.dir.Module)
}

func (n *Node) nudgeLost() {
	select {
	case n.lost <- struct{}{}:
	default:
	}
}

// lostLoop has control know of the lost-transaction files here, and offers to
// the owner what is to be offered. It ends with the node.
func (n *Node) lostLoop() {
	defer n.wg.Done()
	n.nudgeLost() // what a crash kept from being told
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-n.lost:
		}
		told := n.tellAllLost()
		if n.offerLost() && told {
			continue
		}
		select {
		case <-n.ctx.Done():
			return
		case <-time.After(lostAgain):
			n.nudgeLost()
		}
	}
}

// tellAllLost is done when control knows of all files here.
func (n *Node) tellAllLost() (done bool) {
	const key = "lost-transaction files"
	names, err := n.lostNames()
	if err != nil {
		n.alarm(key, err.Error())
		return false
	}
	done = true
	var bad error
	for _, name := range names {
		f, err := n.readLost(name)
		if err != nil {
			bad = errors.Join(bad, err)
			continue
		}
		if err := n.recordLost(n.ctx, f); err != nil {
			done = false
			if n.ctx.Err() == nil {
				n.log.Debug("control does not know of a lost-transaction file yet", "file", name, "err", err)
			}
		}
	}
	if bad != nil {
		n.alarm(key, bad.Error())
	} else {
		n.clearAlarm(key)
	}
	return done
}

// tellLost has control know of a file at once, if it can.
func (n *Node) tellLost(ctx context.Context, f *admin.LostFile) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if err := n.recordLost(ctx, f); err != nil && n.ctx.Err() == nil {
		n.log.Info("control is told of a lost-transaction file later", "file", f.Name, "err", err)
	}
}

// recordLost has control keep what a file says of itself, if that is news.
func (n *Node) recordLost(ctx context.Context, f *admin.LostFile) error {
	st := n.ctl.state()
	g, ok := st.Group(f.Group)
	if !ok {
		return fmt.Errorf("record %s: no group %s is known", f.Name, f.Group)
	}
	c, known := st.LostFile(f.Name)
	if known && (c.Closed > 0 || c.Replayed == f.Replays && c.Discarded == f.Given) || !known && !f.Open {
		return nil
	}
	digest, err := hex.DecodeString(f.Digest)
	if err != nil {
		return err
	}
	owner, wrote := n.dir.Number, origin.Module(0)
	for _, m := range st.Members {
		if m.Name == f.Owner {
			owner = m.Number
		}
		if m.Name == f.Origin {
			wrote = m.Number
		}
	}
	return n.proposeLost(ctx, &control.LostFile{Name: f.Name, Group: g.Number, Epoch: f.Epoch, Owner: owner, Origin: wrote, End: f.End, Module: n.dir.Number,
		Txns: f.Txns, Replayed: f.Replays, Discarded: f.Given, Digest: digest, Made: f.Made.UnixMilli()})
}

func (n *Node) proposeLost(ctx context.Context, c *control.LostFile) error {
	res, err := n.propose(ctx, &control.Command{Kind: control.KindRecordLost, RecordLost: c})
	var refused *control.Refused
	if errors.As(err, &refused) && refused.Code == control.ErrLostFile {
		// It was recorded further than this; who reads the file next is told.
		n.log.Warn("a lost-transaction file is not as control knows it", "file", c.Name, "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	return n.ctl.wait(ctx, res.Index)
}

// LostRecords implements admin.Engine: those that control knows of, and those of
// this module that it does not know of yet.
func (e engine) LostRecords(context.Context) ([]admin.LostFile, error) {
	n := e.n
	st := n.ctl.state()
	out := []admin.LostFile{}
	for _, c := range st.Lost {
		wrote := ""
		if c.Origin != 0 {
			wrote = n.moduleName(c.Origin)
		}
		out = append(out, admin.LostFile{Origin: wrote, Format: lostFormat, Name: c.Name, Mesh: st.Mesh, Group: st.GroupName(c.Group), Epoch: c.Epoch, Owner: n.moduleName(c.Owner), End: c.End,
			Module: n.moduleName(c.Module), Made: time.UnixMilli(c.Made).UTC(), Open: c.Closed == 0, Txns: c.Txns, Replays: c.Replayed, Given: c.Discarded, Digest: hex.EncodeToString(c.Digest)})
	}
	names, err := n.lostNames()
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if _, known := st.LostFile(name); known {
			continue
		}
		f, err := n.readLost(name)
		if err != nil {
			return nil, err
		}
		f.Transactions = nil
		out = append(out, *f)
	}
	return out, nil
}

// lostWithFile finds what control knows of a file that nobody can read any more:
// it is gone from this module, or its module from the mesh.
func (n *Node) lostWithFile(name string, err error) (control.LostFile, bool) {
	if err == nil || admin.AsError(err).Class != admin.NotFound {
		return control.LostFile{}, false
	}
	st := n.ctl.state()
	c, ok := st.LostFile(name)
	m, _ := st.Member(c.Module)
	return c, ok && c.Closed == 0 && (c.Module == n.dir.Number || !m.Standing())
}

// discardGone closes such a file in control.
func (n *Node) discardGone(ctx context.Context, c control.LostFile) (*admin.LostFile, error) {
	c.Discarded = c.Txns - c.Replayed
	if err := n.proposeLost(ctx, &c); err != nil {
		return nil, precondition(err)
	}
	l, err := engine{n}.LostRecords(ctx)
	if err != nil {
		return nil, err
	}
	for i := range l {
		if l[i].Name == c.Name {
			return &l[i], nil
		}
	}
	return nil, n.noLostFile(c.Name)
}
