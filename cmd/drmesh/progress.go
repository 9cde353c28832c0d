package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"drmesh/admin"
)

// progress tells on standard error how far long work is: on a terminal one
// line that changes, else a JSON line now and then. One goroutine uses it.
type progress struct {
	w     io.Writer
	tty   bool
	what  string
	total int64 // 0: not known
	free  int64 // done units that took no time: they are not in the rate
	begun time.Time
	next  time.Time
	every time.Duration
	shown bool
}

func (a *app) progress(what string, total int64) *progress {
	p := &progress{w: a.err, tty: terminal(a.err), what: what, total: total, begun: time.Now()}
	p.every = time.Second
	if p.tty {
		p.every = 100 * time.Millisecond
	}
	p.next = p.begun.Add(p.every)
	return p
}

// terminal reports whether w is one.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	i, err := f.Stat()
	return err == nil && i.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// at tells that done units are done, if it is time to say so.
func (p *progress) at(done int64) {
	if now := time.Now(); !now.Before(p.next) {
		p.next = now.Add(p.every)
		p.tell(done, now, "")
	}
}

// end tells the final figure.
func (p *progress) end(done int64) {
	p.tell(done, time.Now(), "\n")
}

func (p *progress) tell(done int64, now time.Time, end string) {
	spent := now.Sub(p.begun).Seconds()
	rate := 0.0
	if spent > 0 {
		rate = float64(done-p.free) / spent
	}
	percent, left := -1.0, -1.0
	if p.total > 0 {
		percent = 100 * float64(done) / float64(p.total)
		if rate > 0 {
			left = float64(p.total-done) / rate
		}
	}
	if !p.tty {
		v := map[string]any{"progress": p.what, "done": done, "rate_per_s": round(rate), "seconds": round(spent)}
		if p.total > 0 {
			v["total"], v["percent"] = p.total, round(percent)
			if left >= 0 {
				v["seconds_left"] = round(left)
			}
		}
		if b, err := jsonOf(v); err == nil {
			fmt.Fprintf(p.w, "%s\n", b)
		}
		return
	}
	s := fmt.Sprintf("%s: %d", p.what, done)
	if percent >= 0 {
		s += fmt.Sprintf(" of %d (%.0f %%)", p.total, percent)
	}
	s += fmt.Sprintf(", %.0f/s", rate)
	if left >= 0 && end == "" {
		s += ", " + time.Duration(left*float64(time.Second)).Round(time.Second).String() + " left"
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s%s", s, end)
	p.shown = true
}

// operations tells on standard error how far an operation of the node is, as
// long as it is under way: on a terminal its last step and percent, else a JSON
// line for each step once it has lasted a second, and one a second.
func (a *app) operations() func(admin.Operation) {
	tty, steps, shown := terminal(a.err), 0, time.Time{}
	return func(x admin.Operation) {
		now := time.Now()
		spent := now.Sub(x.Begun)
		if x.State != "running" {
			if tty && !shown.IsZero() {
				fmt.Fprint(a.err, "\r\x1b[K")
			}
			return
		}
		every := time.Second
		if tty {
			every = 100 * time.Millisecond
		}
		if spent < every || len(x.Steps) == steps && now.Sub(shown) < every {
			return
		}
		steps, shown = len(x.Steps), now
		what := strings.TrimSpace(x.Kind + " " + x.Object)
		step := ""
		if len(x.Steps) > 0 {
			step = x.Steps[len(x.Steps)-1].Text
		}
		if tty {
			s := what
			if x.Percent != nil {
				s += fmt.Sprintf(" (%.0f %%)", *x.Percent)
			}
			if step != "" {
				s += ": " + step
			}
			fmt.Fprintf(a.err, "\r\x1b[K%s", s)
			return
		}
		v := map[string]any{"progress": what, "seconds": round(spent.Seconds())}
		if x.Percent != nil {
			v["percent"] = round(*x.Percent)
		}
		if step != "" {
			v["step"] = step
		}
		if b, err := jsonOf(v); err == nil {
			fmt.Fprintf(a.err, "%s\n", b)
		}
	}
}

func round(f float64) float64 { return float64(int64(f*10+0.5)) / 10 }
