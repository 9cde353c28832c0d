package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"drmesh/admin"
	"drmesh/origin"
	"drmesh/vosio/record"
)

// maxKept bounds the registers whose versions a sync keeps before it replaces
// them. A module that differs in more joins anew.
const maxKept = 100_000

// keptVersions is the file of what stood at a module, where it differed, before
// a sync.
type keptVersions struct {
	Format    string         `json:"format"`
	Mesh      string         `json:"mesh"`
	Module    string         `json:"module"`
	From      string         `json:"from"`
	Share     string         `json:"share"`
	At        time.Time      `json:"at"`
	Registers []keptRegister `json:"registers"`
}

type keptRegister struct {
	Path     string        `json:"path"`
	File     string        `json:"file"`
	Register string        `json:"register"`
	Address  string        `json:"address"`
	Versions []keptVersion `json:"versions"` // the shown one first
}

type keptVersion struct {
	Version string       `json:"version"`
	Stamp   origin.Stamp `json:"stamp"`
	Deleted bool         `json:"deleted,omitempty"`
	Data    []byte       `json:"data,omitempty"`
}

// Sync implements admin.Engine: where this module holds a share differently from
// the others for good, it takes the state of the share's group from one of
// them. What stood here in such registers is kept in a file first. What this
// module has applied beyond the other's state, its own unsent changes before
// all, comes into effect again out of its journal.
func (e engine) Sync(ctx context.Context, r admin.SyncRequest) (*admin.Sync, error) {
	n := e.n
	if r.Timeout <= 0 {
		r.Timeout = 10 * time.Minute
	}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	began := time.Now()
	st := n.ctl.state()
	n.mu.Lock()
	s := n.rules.Share(r.Share)
	n.mu.Unlock()
	if s == nil {
		return nil, failure(admin.NotFound, "no_share", "\"drmesh control show\" lists them", "there is no share %s here", r.Share)
	}
	progress := admin.ProgressOf(ctx)
	progress.Step("the modules are compared")
	p := &prover{n: n, st: st, share: s, scan: true, limit: maxKept}
	proof := p.prove(ctx)
	out := &admin.Sync{Share: s.Name, Group: proof.Group, Module: n.dir.Module, Differences: len(proof.Differences)}
	switch {
	case proof.State == admin.ProofUnknown:
		return nil, failure(admin.Precondition, "proof_unknown", "ask again when all modules are there", "share %s: %s", s.Name, proof.Reason)
	case proof.More:
		return nil, failure(admin.Precondition, "too_many", "have the module leave, and join anew: \"drmesh leave\"", "share %s: more than %d records differ", s.Name, maxKept)
	}
	mine := slices.DeleteFunc(slices.Clone(proof.Differences), func(d admin.Difference) bool {
		right := common(proof, &d)
		if r.From != "" {
			right = heldBy(&d, r.From)
		}
		return slices.Equal(heldBy(&d, n.dir.Module), right)
	})
	if len(mine) == 0 && !slices.ContainsFunc(proof.Modules, func(m admin.ProofModule) bool { return m.Module == n.dir.Module && len(m.Changed) > 0 }) {
		out.State = proof.State
		return out, nil
	}
	from, err := n.syncFrom(p, mine, r.From)
	if err != nil {
		return nil, err
	}
	out.From = n.moduleName(from)
	if out.Kept, err = n.keepVersions(s.Name, out.From, mine); err != nil {
		return nil, err
	}
	progress.Percent(20)
	progress.Step("the state of the group " + out.Group + " comes from " + out.From)
	if err := n.takeFrom(ctx, s.Group, from); err != nil {
		return nil, err
	}
	progress.Percent(80)
	progress.Step("the modules are compared again")
	again := (&prover{n: n, st: n.ctl.state(), share: s, limit: equalList}).prove(ctx)
	n.tellProof(again)
	out.State, out.Left, out.TookMS = again.State, len(again.Differences), float64(time.Since(began).Microseconds())/1000
	return out, nil
}

func heldBy(d *admin.Difference, module string) (l []admin.HeldVersion) {
	for _, h := range d.Held {
		if h.Module == module {
			h.Module = ""
			l = append(l, h)
		}
	}
	return l
}

// common is what more than half of the modules hold of a register. Those whose
// disk is known not to hold what was written of the file have no say, if any
// other has; nil: there is no such half.
func common(p *admin.ShareProof, d *admin.Difference) []admin.HeldVersion {
	var say, all []string
	for _, m := range p.Modules {
		all = append(all, m.Module)
		if !slices.Contains(m.Changed, d.Path) {
			say = append(say, m.Module)
		}
	}
	if len(say) == 0 {
		say = all
	}
	for _, a := range say {
		same := 0
		for _, b := range say {
			if slices.Equal(heldBy(d, a), heldBy(d, b)) {
				same++
			}
		}
		if 2*same > len(say) {
			return heldBy(d, a)
		}
	}
	return nil
}

// syncFrom is whom the state is taken from: who is named, or one of the others,
// if they hold the same of all that differs.
func (n *Node) syncFrom(p *prover, mine []admin.Difference, name string) (origin.Module, error) {
	donors := p.st.Tables().Donors(p.share.Group, n.dir.Number)
	donors = slices.DeleteFunc(slices.Clone(donors), func(m origin.Module) bool { return m == n.dir.Number || !slices.Contains(n.peers(), m) })
	if name != "" {
		m, ok := p.st.Named(name)
		if !ok {
			return 0, failure(admin.NotFound, "no_member", "\"drmesh module ls\" lists them", "no member is called %s", name)
		}
		if !slices.Contains(donors, m.Number) {
			return 0, failure(admin.Precondition, "no_donor", "name another: no link leads to it, or more of the group comes here than goes there", "%s cannot give the state of the group %s", name, p.st.GroupName(p.share.Group))
		}
		return m.Number, nil
	}
	for _, m := range donors {
		fit := true
		for i := range mine {
			fit = fit && slices.Equal(heldBy(&mine[i], n.moduleName(m)), common(&p.out, &mine[i]))
		}
		for _, x := range p.out.Modules {
			fit = fit && !(x.Module == n.moduleName(m) && len(x.Changed) > 0)
		}
		if fit {
			return m, nil
		}
	}
	return 0, failure(admin.Precondition, "no_agreement", "look at \"drmesh proof last\", and name who is right: --from MODULE", "the other modules do not agree on what differs here, or none of them can be reached")
}

// keepVersions writes what stands here in registers that differ to a file of
// the module's directory, and gives its path once it is durable.
func (n *Node) keepVersions(share, from string, l []admin.Difference) (string, error) {
	k := keptVersions{Format: "drmesh kept versions 1", Mesh: n.ctl.state().Mesh, Module: n.dir.Module, From: from, Share: share, At: time.Now().UTC()}
	for _, d := range l {
		id, err1 := hex.DecodeString(d.File)
		addr, err2 := hex.DecodeString(d.Address)
		if err := errors.Join(err1, err2); err != nil || len(id) != len(origin.FileID{}) {
			return "", fmt.Errorf("keep versions of %s: %w", d.Path, err)
		}
		x := keptRegister{Path: d.Path, File: d.File, Register: record.String(addr), Address: d.Address, Versions: []keptVersion{}}
		set, err := n.eng.Standing(n.db, origin.FileID(id), addr)
		if err != nil {
			x.Versions = append(x.Versions, keptVersion{Version: err.Error()})
		}
		for _, v := range set {
			x.Versions = append(x.Versions, keptVersion{Version: fmt.Sprintf("%s:%d.%d", n.streamName(v.Dot.Stream), v.Dot.Seq, v.Dot.Index), Stamp: v.Stamp, Deleted: v.Tombstone, Data: v.Data})
		}
		k.Registers = append(k.Registers, x)
	}
	b, err := json.MarshalIndent(k, "", " ")
	if err != nil {
		return "", err
	}
	dir := n.dir.file("sync")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("keep what stood here: %w", err)
	}
	path := filepath.Join(dir, fmt.Sprintf("%s.%s.json", share, k.At.Format("20060102T150405.000Z")))
	if err := writeFile(path, b); err != nil {
		return "", fmt.Errorf("keep what stood here: %w", err)
	}
	return path, nil
}

// takeFrom has the state of a group taken from one module, and waits until it is
// whole here. When ctx ends before, it goes on, from whoever can give it.
func (n *Node) takeFrom(ctx context.Context, g origin.Group, from origin.Module) error {
	n.mu.Lock()
	if n.prefer == nil {
		n.prefer = map[origin.Group]origin.Module{}
	}
	n.prefer[g] = from
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		delete(n.prefer, g)
		n.mu.Unlock()
	}()
	n.needSnapshot(g, "an operator asked for it: \"drmesh sync\"")
	for {
		if n.whole(g) && n.isReady(g) {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return failure(admin.TimedOut, "sync_waits", "\"drmesh status\" says what it waits for", "the state of the group %s has not come whole from %s yet; it goes on", n.ctl.state().GroupName(g), n.moduleName(from))
		}
	}
}
