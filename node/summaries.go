package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"drmesh/origin"
	"drmesh/vosio"
)

// Summaries of shares, as one module asks them of another: whether both hold the
// same is found out by sums of ever smaller parts, and what stands in single
// registers travels only where sums differ.

const (
	summaryPage  = 4096 // files of one answer
	summaryFiles = 64   // files whose buckets are asked for at once
	summaryParts = 1 << 14
	// summaryRegisters are the registers of one answer.
	summaryRegisters = 1 << 14
	// summaryWait is how long one question waits for a share to be read whole.
	summaryWait = 10 * time.Second
	// summaryKept is how long what a scan found waits for who asked for it.
	summaryKept = time.Minute
)

// summaryQuestion asks for one of: the totals of a share's files, page by page;
// the buckets of some files; the parts of some buckets of one file; the
// registers of some parts of it; or for the positions alone.
type summaryQuestion struct {
	Share     string          `json:"share"`
	Scan      bool            `json:"scan,omitempty"`
	Positions bool            `json:"positions,omitempty"`
	Figures   bool            `json:"figures,omitempty"` // of the one file
	After     origin.FileID   `json:"after,omitzero"`
	Files     []origin.FileID `json:"files,omitempty"`
	Buckets   []byte          `json:"buckets,omitempty"` // of the one file
	Parts     []uint16        `json:"parts,omitempty"`   // of the one file
	Most      int             `json:"most,omitempty"`    // registers in the answer; 0: summaryRegisters
}

type summaryAnswer struct {
	Running   bool                     `json:"running,omitempty"` // the share is being read: ask again
	At        []origin.StreamSeq       `json:"at,omitempty"`
	Files     []fileTotal              `json:"files,omitempty"`
	More      bool                     `json:"more,omitempty"` // files after the last, or registers
	Buckets   map[string][]uint64      `json:"buckets,omitempty"`
	Parts     map[string][]uint64      `json:"parts,omitempty"` // by bucket
	Registers []vosio.RegisterSummary  `json:"registers,omitempty"`
	Figures   *fileFigures             `json:"figures,omitempty"`
	Changed   map[string]origin.FileID `json:"changed,omitempty"` // with Scan: by path
}

type fileTotal struct {
	ID        origin.FileID `json:"id"`
	Path      string        `json:"path"`
	Total     uint64        `json:"total"`
	Registers int64         `json:"registers"`
}

// summing are the shares that are being read whole for their first summaries.
type summing struct {
	sync.Mutex
	jobs map[string]*summingJob
}

// summingJob is one of them; its goroutine ends with it or with the node.
type summingJob struct {
	scan  bool
	done  chan struct{} // closed when the rest is set
	files []vosio.FileSummary
	of    origin.Vector // the positions that they are of
	err   error
	at    time.Time // its end
}

// summarize gives the summaries of a share. While it is read whole, which
// goes on when ctx ends, it says that it is running; who asks again then gets
// what that read found.
func (n *Node) summarize(ctx context.Context, share string, scan bool) (job *summingJob, running bool) {
	var j *summingJob
	for {
		n.summing.Lock()
		if j = n.summing.jobs[share]; j == nil {
			break
		}
		if j.ended() && (!scan || !j.scan || time.Since(j.at) > summaryKept) {
			delete(n.summing.jobs, share)
			j = nil
			break
		}
		if !scan || j.scan {
			break
		}
		// One that trusts the sums comes first.
		n.summing.Unlock()
		select {
		case <-j.done:
		case <-ctx.Done():
			return nil, true
		}
	}
	if j == nil {
		j = &summingJob{done: make(chan struct{}), scan: scan}
		if n.summing.jobs == nil {
			n.summing.jobs = map[string]*summingJob{}
		}
		n.summing.jobs[share] = j
		n.wg.Go(func() {
			j.files, j.of, j.err = n.eng.Summaries(n.ctx, share, j.scan)
			j.at = time.Now()
			close(j.done)
		})
	}
	n.summing.Unlock()
	select {
	case <-j.done:
		n.summing.Lock()
		if n.summing.jobs[share] == j {
			delete(n.summing.jobs, share)
		}
		n.summing.Unlock()
		return j, false
	case <-ctx.Done():
	case <-time.After(summaryWait):
	}
	return nil, true
}

func (j *summingJob) ended() bool {
	select {
	case <-j.done:
		return true
	default:
		return false
	}
}

func (n *Node) serveSummary(ctx context.Context, _ origin.Module, b []byte) ([]byte, error) {
	var q summaryQuestion
	if err := json.Unmarshal(b, &q); err != nil {
		return nil, err
	}
	a, err := n.summary(ctx, q)
	if err != nil {
		return nil, err
	}
	return json.Marshal(a)
}

// summary answers one question, of this module itself or of another.
func (n *Node) summary(ctx context.Context, q summaryQuestion) (*summaryAnswer, error) {
	n.mu.Lock()
	s := n.rules.Share(q.Share)
	n.mu.Unlock()
	if s == nil {
		return nil, fmt.Errorf("share %s is not at %s", q.Share, n.dir.Module)
	}
	if s.Partial {
		return nil, fmt.Errorf("share %s is still on its way to %s", q.Share, n.dir.Module)
	}
	if len(q.Files) > summaryFiles || len(q.Buckets) > vosio.SummaryBuckets || len(q.Parts) > summaryParts || len(q.Files) != 1 && (q.Figures || len(q.Buckets)+len(q.Parts) > 0) {
		return nil, fmt.Errorf("a question for %d files, %d buckets, %d parts", len(q.Files), len(q.Buckets), len(q.Parts))
	}
	a := &summaryAnswer{}
	at := func(v origin.Vector) {
		for _, e := range v.Sorted() {
			if e.Stream.Group == s.Group {
				a.At = append(a.At, origin.StreamSeq{Stream: e.Stream, Seq: e.Seq})
			}
		}
	}
	switch {
	case q.Positions:
		at(n.j.Tails())
	case q.Figures:
		f, v, err := n.figuresOf(ctx, q.Files[0])
		if err != nil {
			return nil, err
		}
		a.Figures = &f
		at(v)
	case len(q.Parts) > 0:
		most := summaryRegisters
		if q.Most > 0 {
			most = min(most, q.Most)
		}
		l, more, v, err := n.eng.SummaryOfRegisters(ctx, q.Files[0], q.Parts, most)
		if err != nil {
			return nil, err
		}
		a.Registers, a.More = l, more
		at(v)
	case len(q.Buckets) > 0:
		parts, v, err := n.eng.SummaryOfParts(ctx, q.Files[0], q.Buckets)
		if err != nil {
			return nil, err
		}
		a.Parts = map[string][]uint64{}
		for b, l := range parts {
			a.Parts[fmt.Sprint(b)] = l[:]
		}
		at(v)
	default:
		j, running := n.summarize(ctx, q.Share, q.Scan)
		if running {
			return &summaryAnswer{Running: true}, nil
		}
		if j.err != nil {
			return nil, j.err
		}
		at(j.of)
		n.answerFiles(a, j.files, q)
	}
	return a, nil
}

func (n *Node) answerFiles(a *summaryAnswer, l []vosio.FileSummary, q summaryQuestion) {
	if len(q.Files) > 0 {
		a.Buckets = map[string][]uint64{}
	}
	for i := range l {
		f := &l[i]
		if f.Changed {
			if a.Changed == nil {
				a.Changed = map[string]origin.FileID{}
			}
			a.Changed[f.Path] = f.ID
		}
		if len(q.Files) > 0 {
			for _, id := range q.Files {
				if id == f.ID {
					a.Buckets[id.String()] = f.Buckets[:]
				}
			}
			continue
		}
		if bytes.Compare(f.ID[:], q.After[:]) <= 0 {
			continue
		}
		if a.More = len(a.Files) == summaryPage; a.More {
			return
		}
		a.Files = append(a.Files, fileTotal{f.ID, f.Path, f.Total(), f.Registers})
	}
}

// askSummary has another module, or this one, answer.
func (n *Node) askSummary(ctx context.Context, m origin.Module, q summaryQuestion) (*summaryAnswer, error) {
	for {
		a := new(summaryAnswer)
		if m == n.dir.Number {
			var err error
			if a, err = n.summary(ctx, q); err != nil {
				return nil, err
			}
		} else {
			b, err := json.Marshal(q)
			if err != nil {
				return nil, err
			}
			if b, err = n.mesh.Call(ctx, m, "summary", b); err != nil {
				return nil, err
			}
			if err := json.Unmarshal(b, a); err != nil {
				return nil, fmt.Errorf("summary of %s: %w", n.moduleName(m), err)
			}
		}
		if !a.Running {
			return a, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
}
