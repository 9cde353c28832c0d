package admin

import (
	"slices"
	"strings"
)

// MatrixRow is one stream at every module that it goes to.
type MatrixRow struct {
	Stream  string       `json:"stream"`
	Origin  string       `json:"origin"` // module that writes it
	Ended   bool         `json:"ended,omitempty"`
	Written *uint64      `json:"written"`
	AgeS    *float64     `json:"age_s"` // of written
	Cells   []MatrixCell `json:"cells"`
}

// MatrixCell is how far a stream is at one module: by the module's own word,
// or by that of a neighbour where it does not answer.
type MatrixCell struct {
	Module       string   `json:"module"`
	Sent         *uint64  `json:"sent"` // by the neighbour that it pulls from
	Received     *uint64  `json:"received"`
	Applied      *uint64  `json:"applied"`
	Acknowledged *uint64  `json:"acknowledged"` // heard of at the origin
	LagRecords   *uint64  `json:"lag_records"`
	LagBytes     *uint64  `json:"lag_bytes"`
	LagS         *float64 `json:"lag_s"`
	AgeS         *float64 `json:"age_s"`  // of what is applied
	Absent       bool     `json:"absent"` // the module does not answer: nothing is applied there now
}

// Matrix puts the views of all modules together: each figure from who knows it
// best. What nobody knows is nil.
func (v *MeshView) Matrix() []MatrixRow {
	type key struct{ stream, module string }
	byModule := map[string]*View{}
	own := map[key]*StreamStatus{}
	var names []key
	var modules []string
	seen := map[string]bool{}
	for i := range v.Views {
		x := &v.Views[i]
		byModule[x.Module] = x
		modules = append(modules, x.Module)
		if x.Status == nil {
			continue
		}
		for j := range x.Status.Streams {
			s := &x.Status.Streams[j]
			own[key{s.Stream, x.Module}] = s
			if !seen[s.Stream] {
				seen[s.Stream] = true
				names = append(names, key{s.Stream, s.Module})
			}
		}
	}
	slices.Sort(modules)
	slices.SortFunc(names, func(a, b key) int { return strings.Compare(a.stream, b.stream) })
	rows := []MatrixRow{}
	for _, name := range names {
		r := MatrixRow{Stream: name.stream, Origin: name.module, Cells: []MatrixCell{}}
		for _, x := range v.Views {
			s := own[key{name.stream, x.Module}]
			if s == nil {
				continue
			}
			r.Ended = r.Ended || s.Ended
			age := x.AgeS
			if x.Module != name.module {
				if s.HeadAge == nil {
					continue
				}
				age += *s.HeadAge
			}
			switch {
			case s.Written == nil:
			case r.Written == nil || *s.Written > *r.Written:
				r.Written, r.AgeS = s.Written, &age
			case *s.Written == *r.Written && age < *r.AgeS:
				r.AgeS = &age
			}
		}
		for _, m := range modules {
			c := MatrixCell{Module: m, Absent: byModule[m].Problem != nil}
			s := own[key{name.stream, m}]
			peers := map[string]*PeerSeq{}
			for _, x := range v.Views {
				if o := own[key{name.stream, x.Module}]; o != nil && x.Module != m {
					for i := range o.Peers {
						if o.Peers[i].Module == m {
							peers[x.Module] = &o.Peers[i]
						}
					}
				}
			}
			if s == nil && len(peers) == 0 && byModule[m].Status != nil && m != name.module {
				continue // it does not go there
			}
			if s != nil {
				age := byModule[m].AgeS
				c.Received, c.Applied, c.AgeS = s.Received, &s.Durable, &age
				c.LagBytes, c.LagS = s.LagBytes, s.LagS
			}
			for _, from := range modules {
				p := peers[from]
				if p == nil {
					continue
				}
				if p.Sent != nil && (c.Sent == nil || *p.Sent > *c.Sent) {
					c.Sent = p.Sent
				}
				if p.Durable != nil && (c.Applied == nil || c.Absent && *p.Durable > *c.Applied) {
					c.Applied, c.AgeS = p.Durable, nil
					if p.AgeS != nil {
						age := *p.AgeS + byModule[from].AgeS
						c.AgeS = &age
					}
				}
				if p.LagS != nil && (s == nil || from == name.module) {
					c.LagBytes, c.LagS = p.LagBytes, p.LagS
				}
			}
			if p := peers[name.module]; p != nil {
				c.Acknowledged = p.Acknowledged
			}
			if r.Written != nil && c.Applied != nil {
				lag := *r.Written - min(*r.Written, *c.Applied)
				c.LagRecords = &lag
				if lag == 0 {
					zero, none := 0.0, uint64(0)
					c.LagS, c.LagBytes = &zero, &none
				}
			} else {
				c.LagBytes, c.LagS = nil, nil
			}
			r.Cells = append(r.Cells, c)
		}
		rows = append(rows, r)
	}
	return rows
}
