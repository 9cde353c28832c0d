package console

import (
	"fmt"
	"strings"
)

// verdict is how the mesh is, in one sentence.
type verdict struct {
	Level string // good, watch, bad
	Text  string
}

// behindS is the lag in seconds from which on it is told.
const behindS = 5

// judge puts what it knows in one sentence, the worst first.
func judge(v *look) verdict {
	var bad, watch []string
	absent, down, paused := []string{}, map[string]bool{}, map[string]bool{}
	for _, x := range v.Mesh.Views {
		if x.Problem != nil {
			absent = append(absent, x.Module)
		}
	}
	for _, x := range v.Mesh.Views {
		if x.Status == nil || x.Problem != nil {
			continue
		}
		if !x.Status.Quorum {
			bad = append(bad, x.Module+" knows no leader of control")
		}
		switch x.Status.State {
		case "full":
			bad = append(bad, "the disk of "+x.Module+" is full")
		case "not_current":
			bad = append(bad, x.Module+" is not current")
		case "joining":
			watch = append(watch, x.Module+" waits for the state of a neighbour")
		}
		if n := x.Status.ClockHeld; n > 0 {
			watch = append(watch, fmt.Sprintf("%d %s at %s for the time of %s stamps", n, plural(n, "stream waits", "streams wait"), x.Module, plural(n, "its", "their")))
		}
		for _, l := range x.Links {
			pair := []string{min(x.Module, l.Peer), max(x.Module, l.Peer)}
			name := strings.Join(pair, " - ")
			switch {
			case l.State == "paused":
				paused[name] = true
			case l.State != "up" && !contains(absent, l.Peer):
				down[name] = true
			}
		}
	}
	if len(absent) > 0 {
		bad = append([]string{list(absent) + " " + plural(len(absent), "does", "do") + " not answer"}, bad...)
	}
	for name := range down {
		bad = append(bad, "the link "+name+" is down")
	}
	for name := range paused {
		watch = append(watch, "the link "+name+" is paused")
	}
	late, worst := 0, 0.0
	for _, r := range v.Matrix {
		for _, c := range r.Cells {
			if !c.Absent && c.LagRecords != nil && *c.LagRecords > 0 && c.LagS != nil && *c.LagS > behindS {
				late++
				worst = max(worst, *c.LagS)
			}
		}
	}
	if late > 0 {
		watch = append(watch, fmt.Sprintf("%d %s behind, %.0f s at most", late, plural(late, "stream is", "streams are"), worst))
	}
	if s := v.Self; s != nil {
		if s.Conflicts > 0 {
			watch = append(watch, fmt.Sprintf("%d %s open", s.Conflicts, plural(s.Conflicts, "conflict is", "conflicts are")))
		}
	}
	if n := v.ParkedSum; n != nil && *n > 0 {
		watch = append(watch, fmt.Sprintf("%d %s parked", *n, plural(*n, "version is", "versions are")))
	}
	if n := v.LostSum; n != nil && *n > 0 {
		watch = append(watch, fmt.Sprintf("%d lost %s open", *n, plural(*n, "transaction is", "transactions are")))
	}
	for _, g := range v.Groups {
		switch {
		case g.Switching != nil:
			watch = append(watch, fmt.Sprintf("group %s is on its way from %s to %s", g.Group, g.Switching.From, g.Switching.To))
		case contains(absent, g.Owner):
			bad = append(bad, fmt.Sprintf("the owner of group %s, %s, does not answer", g.Group, g.Owner))
		}
	}
	rest := 0
	for _, a := range v.Alarms {
		if !strings.HasPrefix(a.Text, "module ") {
			rest++
		}
	}
	if rest > 0 {
		watch = append(watch, fmt.Sprintf("%d %s", rest, plural(rest, "alarm stands", "alarms stand")))
	}
	switch {
	case len(bad) > 0:
		return verdict{"bad", sentence(append(bad, watch...))}
	case len(watch) > 0:
		return verdict{"watch", sentence(watch)}
	}
	n := len(v.Mesh.Views)
	if n == 1 {
		return verdict{"good", "All is well: this module is alone in its mesh."}
	}
	return verdict{"good", fmt.Sprintf("All is well: %d modules answer, and everything that is known of is applied at all of them or on its way.", n)}
}

func sentence(parts []string) string {
	const most = 4
	if len(parts) > most {
		parts = append(parts[:most:most], fmt.Sprintf("and %d things more", len(parts)-most))
	}
	s := strings.Join(parts, "; ") + "."
	return strings.ToUpper(s[:1]) + s[1:]
}

func plural(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

func list(l []string) string {
	if len(l) < 2 {
		return strings.Join(l, "")
	}
	return strings.Join(l[:len(l)-1], ", ") + " and " + l[len(l)-1]
}

func contains(l []string, s string) bool {
	for _, x := range l {
		if x == s {
			return true
		}
	}
	return false
}
