package node

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"drmesh/origin"
	"drmesh/vosio"
)

// Files that exist when a share comes to cover them: the module of the share's
// source_path publishes its own as ordinary txns. The others wait until it has
// and they hold all of it; then each adopts what is equal, publishes what is
// missing, and sets aside what differs, in a directory beside the share's,
// with an alarm.

// publisher is the process name of this work in the journal.
const publisher = "drmesh"

// publishedReply answers "have you published what you had of this share?".
type publishedReply struct {
	Done   bool               `json:"done"`
	Vector []origin.StreamSeq `json:"vector"`
}

func (n *Node) servePublished(_ context.Context, _ origin.Module, b []byte) ([]byte, error) {
	var share string
	if err := json.Unmarshal(b, &share); err != nil {
		return nil, err
	}
	r := publishedReply{Done: n.share(share) != nil && len(n.eng.Covered(share)) == 0}
	for _, e := range n.j.Durable().Sorted() {
		if e.Stream.Group != 0 {
			r.Vector = append(r.Vector, origin.StreamSeq{Stream: e.Stream, Seq: e.Seq})
		}
	}
	return json.Marshal(r)
}

func (n *Node) share(name string) *vosio.Share {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.rules == nil {
		return nil
	}
	return n.rules.byName[name]
}

// publishLoop looks for covered files; it ends with the node.
func (n *Node) publishLoop() {
	defer n.wg.Done()
	t := time.NewTicker(500 * time.Millisecond)
	defer t.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-t.C:
			n.publish()
		}
	}
}

// publish deals with covered files, share by share. It is called again and
// again, and does one pass.
func (n *Node) publish() {
	for _, s := range n.ctl.state().Tables().Shares {
		sh := n.share(s.Name)
		if sh == nil || sh.Stream.Incarnation == 0 {
			continue
		}
		files := n.eng.Covered(s.Name)
		if len(files) == 0 {
			continue
		}
		if s.Source != n.dir.Number && !n.sourceDone(s.Name, s.Source) {
			continue
		}
		for _, f := range files {
			if err := n.publishFile(f, sh); err != nil && n.ctx.Err() == nil {
				n.alarm("file "+f.Path+" is not published", err.Error())
			} else {
				n.clearAlarm("file " + f.Path + " is not published")
			}
		}
	}
}

// sourceDone reports whether the source has published, and all of it is here.
func (n *Node) sourceDone(share string, source origin.Module) bool {
	if source == 0 {
		return true
	}
	q, err := json.Marshal(share)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(n.ctx, 2*time.Second)
	defer cancel()
	b, err := n.mesh.Call(ctx, source, "published", q)
	var r publishedReply
	if err != nil || json.Unmarshal(b, &r) != nil || !r.Done {
		return false
	}
	have := n.j.Durable()
	for _, e := range r.Vector {
		if e.Stream.Module == source && have[e.Stream].Seq < e.Seq && n.ctl.state().Tables().AppliesHere(e.Stream, n.dir.Number) {
			return false
		}
	}
	return true
}

func (n *Node) publishFile(f vosio.FileInfo, sh *vosio.Share) error {
	how, at, err := n.eng.Bring(n.ctx, publisher, f.ID, sh.Root+".aside")
	if err != nil {
		return err
	}
	switch how {
	case vosio.Adopted:
		n.log.Info("a file was adopted: the share has the same", "file", f.Path, "share", sh.Name)
	case vosio.Aside:
		n.alarm("file "+f.Path+" was set aside", fmt.Sprintf("share %s has a file of that name that says otherwise; this module's own is %s now", sh.Name, at))
	case vosio.Published:
		n.log.Info("a file was published", "file", f.Path, "share", sh.Name, "records", f.Records)
	}
	return nil
}
