package console

import (
	"fmt"
	"math"
	"slices"

	"drmesh/admin"
)

// worldMap is the mesh as a picture: modules on a circle, an arrow for each
// direction of each link.
type worldMap struct {
	Width, Height float64
	Modules       []place
	Arrows        []arrow
}

type place struct {
	Name   string
	X, Y   float64
	State  string // good, bad
	Note   string
	Anchor string
	TX, TY float64 // of the name
}

// arrow is the direction in which txns go: To pulls from From.
type arrow struct {
	From, To string
	State    string // up, connecting, paused, unknown
	Path     string
	Note     string // for who hovers or reads it
	RTTMS    *float64
	ClockMS  *float64
	HeardS   *float64
	Received *int64 // txns, since To started
}

const (
	mapWidth  = 640
	mapHeight = 360
	nodeSize  = 9
)

func draw(m *admin.MeshView) worldMap {
	w := worldMap{Width: mapWidth}
	at := map[string]place{}
	n := len(m.Views)
	for i, v := range m.Views {
		angle := 2*math.Pi*float64(i)/float64(max(n, 1)) - math.Pi/2
		p := place{Name: v.Module, X: mapWidth/2 + 200*math.Cos(angle), Y: mapHeight/2 + 120*math.Sin(angle), State: "good", Anchor: "middle"}
		p.TX, p.TY = p.X, p.Y+30
		if math.Sin(angle) < -.3 {
			p.TY = p.Y - 20
		}
		if v.Problem != nil {
			p.State, p.Note = "bad", "does not answer"
		} else if v.Status != nil && v.Status.State != "serving" {
			p.State, p.Note = "bad", v.Status.State
		}
		w.Height = max(w.Height, p.TY+24) // no room below the lowest name
		at[v.Module] = p
		w.Modules = append(w.Modules, p)
	}
	for _, v := range m.Views {
		to := at[v.Module]
		for _, l := range v.Links {
			from, ok := at[l.Peer]
			if !ok {
				continue
			}
			a := arrow{From: l.Peer, To: v.Module, State: l.State, Path: curve(from, to), RTTMS: l.RTTMS, ClockMS: l.ClockMS, HeardS: l.HeardS, Received: &l.Received}
			if v.Problem != nil {
				a.State, a.RTTMS, a.ClockMS, a.HeardS, a.Received = "unknown", nil, nil, nil, nil
			}
			a.Note = fmt.Sprintf("%s to %s: %s", a.From, a.To, a.State)
			w.Arrows = append(w.Arrows, a)
		}
		if v.Links == nil && v.Problem != nil {
			// What it pulls is not known, only who says to serve it.
			for _, o := range m.Views {
				if slices.ContainsFunc(o.Links, func(l admin.Link) bool { return l.Peer == v.Module }) {
					a := arrow{From: o.Module, To: v.Module, State: "unknown", Path: curve(at[o.Module], to)}
					a.Note = fmt.Sprintf("%s to %s: unknown", a.From, a.To)
					w.Arrows = append(w.Arrows, a)
				}
			}
		}
	}
	slices.SortFunc(w.Arrows, func(a, b arrow) int {
		if a.From != b.From {
			return slices.Compare([]string{a.From}, []string{b.From})
		}
		return slices.Compare([]string{a.To}, []string{b.To})
	})
	return w
}

// curve bends to its right, so that the two directions lie beside each other.
func curve(from, to place) string {
	dx, dy := to.X-from.X, to.Y-from.Y
	d := math.Max(math.Hypot(dx, dy), 1)
	ux, uy := dx/d, dy/d
	bend := math.Min(26, d/6)
	mx, my := (from.X+to.X)/2-uy*bend, (from.Y+to.Y)/2+ux*bend
	// It leaves and meets the circles of the modules, with room for the head.
	sx, sy := from.X+ux*(nodeSize+2)-uy*5, from.Y+uy*(nodeSize+2)+ux*5
	ex, ey := to.X-ux*(nodeSize+8)-uy*5, to.Y-uy*(nodeSize+8)+ux*5
	return fmt.Sprintf("M%.1f %.1f Q%.1f %.1f %.1f %.1f", sx, sy, mx, my, ex, ey)
}
