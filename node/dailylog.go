package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drmesh/vosio"
)

// The daily logs, in DRMS's names: log/Primary.(date) has a line for each port
// that a program closed, with the calls that it made, where the tables' record
// of type global_settings says log_statistics_on_close; log/PROGRAM.drms has
// those of one program, with appl_show_stats. They are for people: what does not
// fit, or comes faster than it can be written, is counted and left out.

const (
	dailyQueue = 1024     // ports closed and not written yet
	dailyMost  = 64 << 20 // bytes of one log
	dailyKept  = 30       // days
)

// dailyLine is one line to come.
type dailyLine struct {
	at    time.Time
	calls vosio.FileCalls
	note  string // instead of calls: what a check found
}

// closedPort implements vosio.Config.Closed.
func (n *Node) closedPort(f vosio.FileCalls) {
	s := n.ctl.state().Rules.Settings
	if s == nil {
		return
	}
	if s.CheckClose && f.File != "" {
		n.askCheck(f.File)
	}
	if !s.LogOnClose && !s.ShowStats {
		return
	}
	select {
	case n.daily <- dailyLine{at: time.Now(), calls: f}:
	default:
		n.dailyLost.Add(1)
	}
}

// noteDaily puts a line about no call into the daily log.
func (n *Node) noteDaily(text string) {
	select {
	case n.daily <- dailyLine{at: time.Now(), note: text}:
	default:
		n.dailyLost.Add(1)
	}
}

// dailyLog writes the lines; it ends with the node.
func (n *Node) dailyLog() {
	defer n.wg.Done()
	l := dailyLogs{dir: n.dir.file("log")}
	for {
		select {
		case x := <-n.daily:
			n.writeDaily(&l, x)
			continue
		default:
		}
		select {
		case x := <-n.daily:
			n.writeDaily(&l, x)
		case <-n.ctx.Done():
			return
		}
	}
}

func (n *Node) writeDaily(l *dailyLogs, x dailyLine) {
	s := n.ctl.state().Rules.Settings
	if s == nil {
		return
	}
	var err error
	lost := n.dailyLost.Swap(0)
	if s.LogOnClose || x.note != "" {
		err = l.add("Primary."+x.at.Format("2006-01-02"), x, lost)
	}
	if s.ShowStats && x.note == "" {
		err = errors.Join(err, l.add(programLog(x.calls.Program), x, lost))
	}
	const key = "the daily log cannot be written"
	if err != nil {
		n.alarm(key, err.Error())
	} else {
		n.clearAlarm(key)
	}
}

// programLog is the name of a program's log: its own name, with what a file's
// name must not have as _.
func programLog(program string) string {
	name := strings.Map(func(r rune) rune {
		if r <= ' ' || r == '/' || r == 0x7f || r == '�' {
			return '_'
		}
		return r
	}, program)
	if len(name) > 100 {
		name = name[:100]
	}
	return strings.TrimLeft(name, ".") + ".drms"
}

// dailyLogs are the logs in a directory.
type dailyLogs struct {
	dir string
	day string // of the last line
}

// add appends a line to the log of a name.
func (l *dailyLogs) add(name string, x dailyLine, lost int64) error {
	if err := os.MkdirAll(l.dir, 0o700); err != nil {
		return err
	}
	if day := x.at.Format("2006-01-02"); day != l.day {
		l.day = day
		if err := l.expire(x.at); err != nil {
			return err
		}
	}
	f, err := os.OpenFile(filepath.Join(l.dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || fi.Size() > dailyMost {
		return err
	}
	_, err = f.WriteString(x.text(lost))
	return err
}

// text is the line of a port: when it was closed, program, file, and its calls;
// how many of them failed stands in brackets.
func (x *dailyLine) text(lost int64) string {
	var b strings.Builder
	if lost > 0 {
		fmt.Fprintf(&b, "%s (%d ports were closed faster than this log could be written)\n", x.at.Format("15:04:05.000"), lost)
	}
	if x.note != "" {
		fmt.Fprintf(&b, "%s %s\n", x.at.Format("15:04:05.000"), x.note)
		return b.String()
	}
	fmt.Fprintf(&b, "%s %q %q", x.at.Format("15:04:05.000"), x.calls.Program, x.calls.File)
	for _, c := range x.calls.Calls {
		fmt.Fprintf(&b, " %s=%d", c.Call, c.Made)
		if c.Failed > 0 {
			fmt.Fprintf(&b, "(%d)", c.Failed)
		}
	}
	b.WriteByte('\n')
	return b.String()
}

// expire removes the daily logs of long ago.
func (l *dailyLogs) expire(now time.Time) error {
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return err
	}
	oldest := now.AddDate(0, 0, -dailyKept).Format("2006-01-02")
	var old []string
	for _, e := range entries {
		_, day, _ := strings.Cut(e.Name(), ".")
		if _, err := time.Parse("2006-01-02", day); err == nil && day < oldest {
			old = append(old, e.Name())
		}
	}
	slices.Sort(old)
	for _, name := range old {
		err = errors.Join(err, os.Remove(filepath.Join(l.dir, name)))
	}
	return err
}
