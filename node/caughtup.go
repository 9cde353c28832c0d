package node

import (
	"context"
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
