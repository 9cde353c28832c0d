package node

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/origin"
)

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

// asked is who told its vector, and who could not be asked.
type asked struct {
	asked []control.Member
	left  []string
}

// askVectors raises at to the vectors that all other members have now, asked
// from them directly. One that cannot be asked is asked again until ctx ends,
// or with reachable left out.
func (n *Node) askVectors(ctx context.Context, at origin.Context, reachable bool) (*asked, error) {
	out := &asked{}
	todo := []control.Member{}
	for _, m := range n.ctl.state().Members {
		if m.HoldsData() && m.Number != n.dir.Number {
			todo = append(todo, m)
		}
	}
	for {
		replies := make([]*vectorReply, len(todo))
		var wg sync.WaitGroup
		for i, m := range todo {
			wg.Go(func() { replies[i], _ = n.askVector(ctx, m.Number) })
		}
		wg.Wait()
		var again []control.Member
		for i, m := range todo {
			if replies[i] == nil {
				again = append(again, m)
				continue
			}
			out.asked = append(out.asked, m)
			at.Advance(atEnds(n.ctl.state(), replies[i].Vector))
		}
		todo = again
		if len(todo) > 0 && reachable {
			for _, m := range todo {
				out.left = append(out.left, m.Name)
			}
			todo = nil
		}
		if len(todo) == 0 {
			return out, nil
		}
		select {
		case <-ctx.Done():
			var names []string
			for _, m := range todo {
				names = append(names, m.Name)
			}
			return nil, failure(admin.TimedOut, "member_unreachable", "start it, or leave it out with --reachable", "module %s could not be asked", strings.Join(names, ", "))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// atEnds reads a vector: what lies beyond a stream's end does not count.
func atEnds(st *control.State, v []origin.StreamSeq) []origin.StreamSeq {
	for i, e := range v {
		if end, ok := st.End(e.Stream); ok {
			v[i].Seq = min(e.Seq, end.Seq)
		}
	}
	return v
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
	want := origin.Context{}
	others, err := n.askVectors(ctx, want, r.Reachable)
	if err != nil {
		return nil, err
	}
	out := &admin.CaughtUp{Left: others.left}
	for _, m := range others.asked {
		out.Asked = append(out.Asked, m.Name)
	}
	if err := n.awaitVector(ctx, want); err != nil {
		return nil, err
	}
	out.CaughtUp = true
	return out, nil
}

// awaitVector waits until all of a vector that this module applies is durable
// here.
func (n *Node) awaitVector(ctx context.Context, at origin.Context) error {
	ready := func() bool {
		n.mu.Lock()
		waiting := len(n.need)
		n.mu.Unlock()
		return waiting == 0 && n.behind(at) == 0
	}
	for {
		// What a group needs is not announced, so it is looked at now and then.
		wctx, stop := context.WithTimeout(ctx, 300*time.Millisecond)
		err := n.acks.wait(wctx, ready)
		stop()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return failure(admin.TimedOut, "not_caught_up", "see \"drmesh status --matrix\"", "%d txns are still to come to %s", n.behind(at), n.dir.Module)
		}
	}
}

// behind is how many txns of a vector are still to come here.
func (n *Node) behind(at origin.Context) (d uint64) {
	have := n.j.Durable()
	t := n.ctl.state().Tables()
	for s, q := range at {
		if h := have[s].Seq; q > h && t.AppliesHere(s, n.dir.Number) {
			d += uint64(q - h)
		}
	}
	return d
}
