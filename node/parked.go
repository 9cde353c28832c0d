package node

import (
	"context"
	"strings"

	"drmesh/admin"
	"drmesh/conflict"
	"drmesh/origin"
	"drmesh/vosio"
	"drmesh/vosio/dd"
	"drmesh/vosio/record"
)

// parkedID names what is parked like a conflict: the same version of the same
// register has one name wherever it is parked.
func parkedID(p *vosio.ParkedRegister) string {
	return conflict.EntryID(p.File, p.Address, p.Dot).String()
}

func (n *Node) parkedOf(p *vosio.ParkedRegister) admin.Parked {
	return admin.Parked{ID: parkedID(p), Share: p.Share, File: p.Path, Address: record.String(p.Address), Dot: n.dotName(p.Dot), Reason: p.Reason}
}

// Parked implements admin.Engine.
func (e engine) Parked(context.Context) ([]admin.Parked, error) {
	l, err := e.n.eng.ParkedList()
	if err != nil {
		return nil, err
	}
	out := []admin.Parked{}
	for i := range l {
		out = append(out, e.n.parkedOf(&l[i]))
	}
	return out, nil
}

// onlyParked finds what is parked by its id, or the beginning of it.
func onlyParked(l []vosio.ParkedRegister, id string) (*vosio.ParkedRegister, error) {
	var found *vosio.ParkedRegister
	for i := range l {
		if !strings.HasPrefix(parkedID(&l[i]), strings.ToLower(id)) {
			continue
		}
		if found != nil {
			return nil, failure(admin.Usage, "id_ambiguous", "give more of it", "parked %s: several begin so", id)
		}
		found = &l[i]
	}
	if found == nil || id == "" {
		return nil, failure(admin.NotFound, "no_parked", "\"drmesh parked ls\" lists what is", "parked %s: nothing with this id is parked here", id)
	}
	return found, nil
}

// ParkedVersion implements admin.Engine.
func (e engine) ParkedVersion(_ context.Context, id string) (*admin.Parked, error) {
	n := e.n
	l, err := n.eng.ParkedList()
	if err != nil {
		return nil, err
	}
	p, err := onlyParked(l, id)
	if err != nil {
		return nil, err
	}
	x := n.parkedOf(p)
	x.By = n.moduleName(p.Dot.Module)
	set, err := n.eng.Standing(n.db, p.File, p.Address)
	if err != nil {
		return nil, err
	}
	for i := range set {
		if v := &set[i]; v.Dot == p.Dot {
			x.At, x.Data = ptr(v.Stamp.Time()), v.Data
		}
	}
	if f, ok := n.eng.InfoByID(p.File); ok {
		x.Fields = fieldsOf(f.Layout, x.Data)
	}
	return &x, nil
}

// fieldsOf takes a record apart; nil if there is no layout that fits it.
func fieldsOf(layout string, data []byte) []admin.RecordField {
	if layout == "" || data == nil {
		return nil
	}
	l, err := dd.Parse([]byte(layout))
	if err != nil {
		return nil
	}
	texts, err := l.Decode(data)
	if err != nil || len(texts) != len(l.Fields) {
		return nil
	}
	out := make([]admin.RecordField, len(texts))
	for i := range texts {
		out[i] = admin.RecordField{Field: l.Fields[i].Name, Text: texts[i]}
	}
	return out
}

// RetryParked implements admin.Engine.
func (e engine) RetryParked(ctx context.Context, id string) ([]admin.Parked, error) {
	n := e.n
	before, err := n.eng.ParkedList()
	if err != nil {
		return nil, err
	}
	if id != "" {
		p, err := onlyParked(before, id)
		if err != nil {
			return nil, err
		}
		before = ofFile(before, p.File)
	}
	tried := map[origin.FileID]bool{}
	for i := range before {
		f := before[i].File
		if tried[f] {
			continue
		}
		tried[f] = true
		if err := n.eng.RetryParked(ctx, f); err != nil {
			return nil, explain(err)
		}
	}
	after, err := n.eng.ParkedList()
	if err != nil {
		return nil, err
	}
	still := map[string]string{}
	for i := range after {
		still[parkedID(&after[i])] = after[i].Reason
	}
	out := []admin.Parked{}
	for i := range before {
		x := n.parkedOf(&before[i])
		if reason, ok := still[x.ID]; ok {
			x.Reason = reason
		} else {
			x.Shown = true
		}
		out = append(out, x)
	}
	return out, nil
}

// ofFile keeps what is parked of one file.
func ofFile(l []vosio.ParkedRegister, f origin.FileID) (out []vosio.ParkedRegister) {
	for i := range l {
		if l[i].File == f {
			out = append(out, l[i])
		}
	}
	return out
}
