package vosio

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/vosio/call"
)

// What was added is never called absent, and what was not, seldom present.
func TestPresenceForgetsNothing(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	p := &presence{ready: true}
	added := map[uint64]bool{}
	for range 200_000 {
		h := r.Uint64()
		if !p.add(h, presenceLines-p.lines()) {
			t.Fatal("no room")
		}
		added[h] = true
	}
	for h := range added {
		if p.absent(h) {
			t.Fatalf("%x was added and is called absent", h)
		}
	}
	wrong := 0
	for range 100_000 {
		if h := r.Uint64(); !added[h] && !p.absent(h) {
			wrong++
		}
	}
	if wrong > 1000 {
		t.Errorf("%d of 100,000 absent keys are called present", wrong)
	}
	if n := p.lines() * 64; n > 200_000*6 {
		t.Errorf("%d bytes for 200,000 keys", n)
	}
}

// Rows keep within one bound, the oldest unused one goes first, and what a scan
// found of a row that was dropped meanwhile is not taken for the whole.
func TestPresencesKeepTheirBound(t *testing.T) {
	row := func(lines int) *presence { return &presence{layers: []layer{newLayer(lines * lineKeys)}} }
	files := make([]*file, 4)
	s := &presences{}
	for i := range files {
		files[i] = &file{stat: &fileStat{}}
		for range presenceMisses {
			s.missed(files[i])
		}
		if i < 3 {
			s.batch += presenceIdle // but the last comes while the two before it are in use
		}
		s.scanned(files[i].stat.present, 0, row(presenceLines/2-1000))
		s.came(files[i], 1)
		if i == 2 {
			s.came(files[1], 2)
		}
		s.batch++
	}
	for i, want := range []presence{{}, {ready: true}, {ready: true}, {off: true}} {
		if p := files[i].stat.present; p.ready != want.ready || p.off != want.off {
			t.Errorf("row %d: ready %v, turned off %v", i, p.ready, p.off)
		}
	}
	n := 0
	for _, f := range files {
		n += f.stat.present.lines()
	}
	if n != s.lines || n > presenceLines {
		t.Errorf("%d lines are held, %d counted, %d allowed", n, s.lines, presenceLines)
	}
	late := files[0].stat.present
	for range presenceMisses {
		s.missed(files[0])
	}
	s.scanned(late, 0, row(1)) // of the scan before it was dropped
	if late.ready {
		t.Error("what a scan found before the row was dropped counts as the whole")
	}
}

// A file that was there at the start takes no key twice, before its scan,
// during it and after, and knows what came in each.
func TestPresenceAfterAStart(t *testing.T) {
	fs := vfs.NewMem()
	ctx := context.Background()
	e := openEngine(t, fs, 1, true)
	f := keyedFile(t, e, "%s#d>main>a")
	insertAll := func(e *testEngine, f *file, from, to int) {
		t.Helper()
		for i := from; i < to; i++ {
			if _, err := e.commit(ctx, "test", []change{{file: f, kind: insert, data: fmt.Appendf(nil, "%04db", i)}}); err != nil {
				t.Fatal(i, err)
			}
		}
	}
	insertAll(e, f, 0, 300)
	e.close(t)
	for _, inline := range []bool{true, false} {
		e = openEngine(t, fs, 1, inline)
		f = e.fileByID(f.id)
		begin := 1000
		if inline {
			begin = 2000
		}
		for i := 0; i < 300; i++ {
			insertAll(e, f, begin+i, begin+i+1)
			for _, had := range []int{i, begin + i, begin} {
				_, err := e.commit(ctx, "test", []change{{file: f, kind: insert, data: fmt.Appendf(nil, "%04dx", had)}})
				if !errors.Is(err, call.InvalidDuplicateKey) {
					t.Fatalf("inline %v: record %d is written a second time, after %d new ones: %v", inline, had, i+1, err)
				}
			}
		}
		e.close(t)
		if p := f.stat.present; p == nil || !p.ready {
			t.Errorf("inline %v: after 300 new records the file was not scanned", inline)
		}
	}
}
