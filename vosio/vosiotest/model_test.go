package vosiotest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// model says what the calls of one port give, from the rules of positions and
// nothing else: a list of records, a current one, and what is read next.
type model struct {
	recs  []mrec // in order of birth
	born  int
	order string // index in force
	open  string // index of the open
	cur   *mrec
	next  mplace
}

type mrec struct {
	birth int
	data  string
}

// mplace is a place in an order: before everything, at a record's place, or
// behind it. The record may be gone, or elsewhere. Two records of one birth,
// which only two modules can make, are told apart by their identity keys.
type mplace struct {
	kind  int
	key   string
	birth int
	id    string
}

// compare tells whether a record stands before, at or behind a place.
func (p mplace) compare(order string, r *mrec) int {
	return cmp.Or(strings.Compare(keyIn(order, r.data), p.key), r.birth-p.birth, strings.Compare(keyIn("id", r.data), p.id))
}

// follow is the place for a port that stood at a record before a rewrite.
func (p mplace) follow(order string, was, is *mrec) mplace {
	if p.kind != first && p.compare(order, was) == 0 && keyIn(order, was.data) == keyIn(order, is.data) {
		p.id = keyIn("id", is.data)
	}
	return p
}

const (
	first = iota
	at
	behind
)

// keys are the indexes of the model's file: id has no duplicates.
var keys = map[string][2]int{"id": {0, 2}, "kind": {2, 1}}

func keyIn(index, data string) string {
	k, ok := keys[index]
	if !ok {
		return ""
	}
	for len(data) < k[0]+k[1] {
		data += " "
	}
	return data[k[0] : k[0]+k[1]]
}

func (m *model) placeOf(kind int, order string, r *mrec) mplace {
	return mplace{kind, keyIn(order, r.data), r.birth, keyIn("id", r.data)}
}

// sorted lists the records in an order.
func (m *model) sorted(order string) []mrec {
	l := slices.Clone(m.recs)
	slices.SortFunc(l, func(a, b mrec) int {
		return cmp.Or(strings.Compare(keyIn(order, a.data), keyIn(order, b.data)), a.birth-b.birth)
	})
	return l
}

// from gives the index of the first record at or behind a place.
func (m *model) from(l []mrec, order string, p mplace) int {
	for i := range l {
		c := p.compare(order, &l[i])
		if p.kind == first || c > 0 || c == 0 && p.kind == at {
			return i
		}
	}
	return len(l)
}

func (m *model) point(r mrec, order string) {
	m.order, m.cur, m.next = order, &r, m.placeOf(at, order, &r)
}

func (m *model) take(r mrec, order string) {
	m.order, m.cur, m.next = order, &r, m.placeOf(behind, order, &r)
}

func (m *model) read() string {
	l := m.sorted(m.order)
	i := m.from(l, m.order, m.next)
	if i == len(l) {
		return "e$end_of_file"
	}
	m.take(l[i], m.order)
	return l[i].data
}

func (m *model) position(typ, n int) string {
	if typ == call.PosBeginning || typ == call.PosEnd {
		l := m.sorted(m.open)
		m.order, m.cur, m.next = m.open, nil, mplace{}
		if len(l) > 0 && typ == call.PosBeginning {
			m.point(l[0], m.open)
		} else if len(l) > 0 {
			m.next = m.placeOf(behind, m.open, &l[len(l)-1])
		}
		return "ok"
	}
	if typ == call.PosBackward && n == 0 {
		m.point(*m.cur, m.order)
		return "ok"
	}
	l := m.sorted(m.order)
	// The place that is counted from: the current record's, or the gap before
	// what is next.
	i := m.from(l, m.order, m.next)
	if m.cur != nil {
		p := m.next
		p.kind = at
		i = m.from(l, m.order, p)
		if here := i < len(l) && p.compare(m.order, &l[i]) == 0; !here && typ == call.PosForward && n > 0 {
			i-- // it moved away: its follower is the first behind it
		}
	}
	if typ == call.PosForward {
		if i += n; i >= len(l) {
			return "e$end_of_file"
		}
	} else {
		if i -= n; i < 0 {
			return "e$beginning_of_file"
		}
	}
	m.point(l[i], m.order)
	return "ok"
}

func (m *model) find(index, key string, relation int) (mrec, bool) {
	l := m.sorted(index)
	pick := -1
	for i := range l {
		k := keyIn(index, l[i].data)
		hit := false
		switch relation {
		case call.RelPrefix:
			hit = strings.HasPrefix(k, key)
		case call.RelEqual:
			hit = k == key
		case call.RelGreater:
			hit = k > key
		case call.RelGreaterEqual, call.RelPrefixGreater:
			hit = k >= key
		case call.RelFirst, call.RelLast:
			hit = true
		case call.RelLess:
			hit = k < key
		case call.RelLessOrEqual:
			hit = k <= key
		}
		if !hit {
			continue
		}
		pick = i
		if relation != call.RelLess && relation != call.RelLessOrEqual && relation != call.RelLast {
			break
		}
	}
	if pick < 0 {
		return mrec{}, false
	}
	return l[pick], true
}

func (m *model) taken(data string, but int) bool {
	for _, r := range m.recs {
		if r.birth != but && keyIn("id", r.data) == keyIn("id", data) {
			return true
		}
	}
	return false
}

func (m *model) write(data string) string {
	if m.taken(data, -1) {
		return "e$invalid_duplicate_key"
	}
	m.born++
	r := mrec{m.born, data}
	m.recs = append(m.recs, r)
	m.take(r, m.order)
	return "ok"
}

func (m *model) rewrite(r *mrec, data string) string {
	for i := range m.recs {
		if m.recs[i].birth != r.birth {
			continue
		}
		if m.taken(data, r.birth) {
			return "e$invalid_duplicate_key"
		}
		was := m.recs[i]
		m.recs[i].data = data
		m.cur = &mrec{r.birth, data}
		m.next = m.next.follow(m.order, &was, m.cur)
		return "ok"
	}
	return "e$record_not_found"
}

func (m *model) delete(r *mrec) string {
	m.recs = slices.DeleteFunc(m.recs, func(x mrec) bool { return x.birth == r.birth })
	m.cur = nil
	return "ok"
}

// TestPositionsAgainstModel makes random calls at one port and holds every
// answer against the model.
func TestPositionsAgainstModel(t *testing.T) {
	seeds := 150
	if testing.Short() {
		seeds = 20
	}
	m := openModule(t, 1, false, nil, nil)
	defer m.close(t)
	ctx := context.Background()
	if err := m.eng.MakeDirs(ctx, root); err != nil {
		t.Fatal(err)
	}
	for seed := range seeds {
		for _, open := range []string{"id", "kind"} {
			modelRun(t, m, uint64(seed), open)
			if t.Failed() {
				return
			}
		}
	}
}

func modelRun(t *testing.T, mod *module, seed uint64, open string) {
	ctx := context.Background()
	r := rand.New(rand.NewPCG(seed, uint64(len(open))))
	p := mod.eng.NewProcess("model")
	defer p.Close()
	c := call.Client{Caller: p}
	path := fmt.Sprintf("%s>m%d%s", root, seed, open)
	check := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	check(c.CreateFile(ctx, path, call.OrgSequential, 0))
	check(c.CreateIndex(ctx, path, "id", []record.Component{{Position: 1, Length: 2}}, 0))
	check(c.CreateIndex(ctx, path, "kind", []record.Component{{Position: 3, Length: 1}}, call.IndexDuplicates))
	port, err := c.OpenPath(ctx, path, call.OpenOptions{IO: call.Update, Lock: call.ImplicitLocking, Access: call.Indexed, Index: open})
	check(err)
	m := &model{order: open, open: open}
	var story []string
	data := func() string { return fmt.Sprintf("%02d%c%d", r.IntN(12), 'a'+r.IntN(3), r.IntN(1000)) }
	for range 120 {
		q := &call.Request{Port: port}
		want := ""
		index := []string{"id", "kind"}[r.IntN(2)]
		key := fmt.Sprintf("%02d", r.IntN(13))
		if index == "kind" {
			key = string(rune('a' + r.IntN(4)))
		}
		switch r.IntN(12) {
		case 0, 1:
			q.Call, want = "s$seq_read", m.read()
		case 2, 3:
			q.Call, q.Position, q.Count = "s$seq_position", 1+r.IntN(4), int64(r.IntN(4))
			if q.Position == call.PosBackward && q.Count == 0 && m.cur == nil {
				continue // backward 0 is about the record just read
			}
			want = m.position(q.Position, int(q.Count))
		case 4, 5:
			q.Call, q.Data = []string{"s$seq_write", "s$keyed_write"}[r.IntN(2)], []byte(data())
			want = m.write(string(q.Data))
		case 6:
			q.Call, q.Data = "s$seq_rewrite", []byte(data())
			if want = "e$no_current_record"; m.cur != nil {
				want = m.rewrite(m.cur, string(q.Data))
			}
		case 7:
			q.Call = "s$seq_delete"
			if want = "e$no_current_record"; m.cur != nil {
				want = m.delete(m.cur)
			}
		case 8:
			q.Call, q.Index, q.Key = "s$keyed_read", index, []byte(key)
			if want = "e$record_not_found"; true {
				if x, ok := m.find(index, key, call.RelEqual); ok {
					m.take(x, index)
					want = x.data
				}
			}
		case 9:
			q.Call, q.Index, q.Key, q.Relation = []string{"s$keyed_position", "s$keyed_position_read"}[r.IntN(2)], index, []byte(key), 1+r.IntN(9)
			if q.Relation == call.RelPrefix && index == "id" && r.IntN(2) == 0 {
				q.Key = q.Key[:1]
			}
			x, ok := m.find(index, string(q.Key), q.Relation)
			switch {
			case !ok:
				want = "e$record_not_found"
			case q.Call == "s$keyed_position":
				m.point(x, index)
				want = "ok"
			default:
				m.take(x, index)
				want = x.data
			}
		case 10:
			q.Call, q.Data = "s$keyed_rewrite", []byte(data())
			if open == "id" && r.IntN(2) == 0 {
				q.Key = []byte(fmt.Sprintf("%02d", r.IntN(13)))
			}
			k := string(q.Key)
			if k == "" {
				k = keyIn(open, string(q.Data))
			}
			x, ok := m.find(open, k, call.RelEqual)
			if m.cur != nil && keyIn(open, m.cur.data) == k {
				x, ok = *m.cur, true
			}
			want = "e$record_not_found"
			if ok {
				if want = m.rewrite(&x, string(q.Data)); want == "ok" {
					m.order, m.next = open, m.placeOf(behind, open, &x).follow(open, &x, m.cur)
				}
			}
		case 11:
			k := fmt.Sprintf("%02d", r.IntN(13))
			if open == "kind" {
				k = string(rune('a' + r.IntN(4)))
			}
			q.Call, q.Key = "s$keyed_delete", []byte(k)
			x, ok := m.find(open, k, call.RelEqual)
			if m.cur != nil && keyIn(open, m.cur.data) == k {
				x, ok = *m.cur, true
			}
			want = "e$record_not_found"
			if ok {
				m.order, m.next = open, m.placeOf(behind, open, &x)
				want = m.delete(&x)
			}
		}
		if q.Call == "s$seq_delete" && want == "ok" {
			m.next.kind = behind
		}
		var rep call.Reply
		if err := c.Do(ctx, q, &rep); err != nil {
			t.Fatal(err)
		}
		got := "ok"
		switch {
		case rep.Code != 0:
			got = rep.Code.Name()
		case rep.Data != nil:
			got = string(rep.Data)
		}
		story = append(story, fmt.Sprintf("%s %s type %d count %d relation %d key %q data %q: %s", q.Call, q.Index, q.Position, q.Count, q.Relation, q.Key, q.Data, got))
		if got != want {
			t.Errorf("seed %d, open on %s: want %s\n%s\nrecords %v", seed, open, want, strings.Join(story, "\n"), m.sorted("id"))
			return
		}
	}
}
