package node

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/origin"
	"drmesh/vosio"
)

// What the tables' record of type global_settings has looked at: a file, when a
// program opens or closes it (check_file_at_open, check_file_at_close), all files
// every so many minutes (check_file_interval), and how much waits for other
// modules (qmon_warn_at). Findings are alarms, and lines of the daily log; of one
// file as many as max_file_errors says. No program waits for any of it.

const (
	checkQueue = 256
	// checkAgain is how long after a look at a file the next may be.
	checkAgain = 5 * time.Second
	// checkLooks is how often it is looked for a moment at which two modules are
	// equally far.
	checkLooks = 3
	// How often it is looked at what waits: the times of DRMS's queue monitor.
	waitingLook, waitingSoon = 5 * time.Minute, 2 * time.Minute
)

// checker belongs to the goroutine checkFiles.
type checker struct {
	looked  map[string]time.Time // files, by path
	errors  map[string]int       // findings that were logged, by file
	proved  time.Time
	waiting time.Time // when it is to be looked at what waits
}

// openedFile implements vosio.Config.Opened.
func (n *Node) openedFile(path string) {
	if s := n.ctl.state().Rules.Settings; s != nil && s.CheckOpen {
		n.askCheck(path)
	}
}

// askCheck has a file looked at; what does not fit is left out.
func (n *Node) askCheck(path string) {
	select {
	case n.checks <- path:
	default:
	}
}

// checkFiles looks at files as they are asked for; it ends with the node.
func (n *Node) checkFiles() {
	defer n.wg.Done()
	c := &checker{looked: map[string]time.Time{}, errors: map[string]int{}, proved: time.Now()}
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case path := <-n.checks:
			if now := time.Now(); now.Sub(c.looked[path]) > checkAgain {
				if len(c.looked) > 4096 {
					clear(c.looked)
				}
				c.looked[path] = now
				n.checkFile(c, path)
			}
		case now := <-t.C:
			s := n.ctl.state().Rules.Settings
			if s == nil {
				continue
			}
			if s.CheckEvery > 0 && now.Sub(c.proved) >= time.Duration(s.CheckEvery)*time.Minute {
				c.proved = now
				n.checkShares(c)
			}
			if now.After(c.waiting) {
				c.waiting = now.Add(waitingLook)
				if n.checkWaiting(n.ctl.state()) {
					c.waiting = now.Add(waitingSoon)
				}
			}
		}
	}
}

// fileFigures are what two modules must have alike of a file.
type fileFigures struct {
	Known   bool  `json:"known"`
	Size    int   `json:"size"`
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
	Indexes int   `json:"indexes"`
}

func (f fileFigures) String() string {
	if !f.Known {
		return "no such file"
	}
	return fmt.Sprintf("record size %d, %d records, %d bytes, %d indexes", f.Size, f.Records, f.Bytes, f.Indexes)
}

// figuresOf are a file's figures, and the positions that they are of.
func (n *Node) figuresOf(ctx context.Context, id origin.FileID) (f fileFigures, at origin.Vector, err error) {
	var i vosio.FileInfo
	i, f.Known, at, err = n.eng.InfoAt(ctx, id)
	if f.Known {
		f.Size, f.Records, f.Bytes = i.Size, i.Records-i.Parked, i.Bytes
		for _, x := range i.Indexes {
			if !x.Local {
				f.Indexes++
			}
		}
	}
	return f, at, err
}

// checkFile holds a file's figures against those at each module that has it, once
// that is as far as this one.
func (n *Node) checkFile(c *checker, path string) {
	i, err := n.eng.Info(path)
	if err != nil || i.Share == "" || i.Parked > 0 {
		return
	}
	st := n.ctl.state()
	n.mu.Lock()
	s := n.rules.Share(i.Share)
	n.mu.Unlock()
	if s == nil {
		return
	}
	ctx, cancel := context.WithTimeout(n.ctx, 10*time.Second)
	defer cancel()
	peers := n.peers()
	for _, m := range st.Tables().Holders(s.Group) {
		if m == n.dir.Number || !slices.Contains(peers, m) {
			continue
		}
		key := fmt.Sprintf("file %s is not the same at %s", path, n.moduleName(m))
		for look := range checkLooks {
			if look > 0 && pause(ctx, 300*time.Millisecond) != nil {
				return
			}
			mine, v, err := n.figuresOf(ctx, i.ID)
			if err != nil {
				return
			}
			at := origin.Context{}
			for s2, p := range v {
				if s2.Group == s.Group {
					at[s2] = p.Seq
				}
			}
			a, err := n.askSummary(ctx, m, summaryQuestion{Share: i.Share, Files: []origin.FileID{i.ID}, Figures: true})
			if err != nil {
				break
			}
			theirs := origin.Context{}
			theirs.Advance(a.At)
			if !maps.Equal(at, theirs) || a.Figures == nil {
				continue // one is ahead: nothing is known
			}
			if mine == *a.Figures {
				n.clearAlarm(key)
				break
			}
			text := fmt.Sprintf("here %v; there %v", mine, *a.Figures)
			n.alarm(key, text)
			n.found(c, path, fmt.Sprintf("at %s: %s", n.moduleName(m), text))
			break
		}
	}
}

// found puts a finding about a file into the daily log.
func (n *Node) found(c *checker, file, text string) {
	s := n.ctl.state().Rules.Settings
	if s == nil || s.MaxErrors > 0 && c.errors[file] >= s.MaxErrors {
		return
	}
	if len(c.errors) > 4096 {
		clear(c.errors)
	}
	c.errors[file]++
	n.noteDaily(fmt.Sprintf("check %q: %s", file, text))
}

// checkShares has each share proved whose modules count this one as the first.
func (n *Node) checkShares(c *checker) {
	st := n.ctl.state()
	n.mu.Lock()
	shares := n.rules.shares
	n.mu.Unlock()
	peers := append(n.peers(), n.dir.Number)
	for _, s := range shares {
		holders := slices.DeleteFunc(slices.Clone(st.Tables().Holders(s.Group)), func(m origin.Module) bool { return !slices.Contains(peers, m) })
		if len(holders) < 2 || slices.Min(holders) != n.dir.Number {
			continue
		}
		p, err := engine{n}.Prove(n.ctx, admin.ProofRequest{Share: s.Name})
		if err != nil {
			continue
		}
		for _, x := range p.Shares {
			n.noteDaily(fmt.Sprintf("check of share %s: %s", x.Share, strings.TrimSpace(x.State+" "+x.Reason)))
			for _, d := range x.Differences {
				n.found(c, s.Root+">"+d.Path, "record "+d.Register+" differs")
			}
		}
	}
}

// checkWaiting raises an alarm for each module for which more of what was written
// here waits than the tables say, and tells whether there is one.
func (n *Node) checkWaiting(st *control.State) (any bool) {
	s := st.Rules.Settings
	waits := map[origin.Module]origin.Seq{}
	heads := n.heads.all()
	for own, p := range n.j.Durable() {
		if own.Module != n.dir.Number || own.Group == 0 {
			continue
		}
		for _, m := range st.Members {
			if !m.HoldsData() || m.Number == n.dir.Number || !st.Tables().AppliesHere(own, m.Number) {
				continue
			}
			has := origin.Seq(0)
			for _, e := range heads[ownStream(st, own.Group, m.Number)].Context {
				if e.Stream == own {
					has = e.Seq
				}
			}
			if has < p.Seq {
				waits[m.Number] += p.Seq - has
			}
		}
	}
	for _, m := range st.Members {
		key := "much waits for " + m.Name
		if s == nil || s.WarnAt == 0 || waits[m.Number] <= origin.Seq(s.WarnAt) || !m.Standing() {
			n.clearAlarm(key)
			continue
		}
		any = true
		n.alarm(key, fmt.Sprintf("%d txns that were written here are not there yet; qmon_warn_at is %d: \"drmesh link ls\" and \"drmesh lag\" say why", waits[m.Number], s.WarnAt))
	}
	return any
}
