package vosio

import (
	"context"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"drmesh/origin"
	"drmesh/vosio/record"
)

// TestRetryParked has records parked for reasons that do not hold: a retry
// shows what can be shown, and of the rest says what keeps it back now.
func TestRetryParked(t *testing.T) {
	a, b := openEngine(t, vfs.NewMem(), 1, false), openEngine(t, vfs.NewMem(), 2, false)
	defer a.close(t)
	defer b.close(t)
	ctx := context.Background()
	const path = "%s#d>main>k"
	keyedFile(t, a, path)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	s := origin.Stream{Group: 1, Module: 1, Incarnation: 1}
	ship(t, a, b, s)
	_, err := b.createIndex(ctx, "test", path, record.Index{Name: "here", Components: []record.Component{{Position: 5, Length: 1}}, Local: true})
	must(err)
	f, err := a.file(path)
	must(err)
	for i, kind := range "aab" {
		_, err := a.commit(ctx, "test", []change{{file: f, kind: insert, data: fmt.Appendf(nil, "000%d%c", i, kind)}})
		must(err)
	}
	ship(t, a, b, s)
	f, err = b.file(path)
	must(err)
	l, err := b.ParkedList()
	must(err)
	if len(l) != 1 {
		t.Fatalf("parked: %+v", l)
	}
	why := l[0].Reason
	// 0001 is there for another reason, and 0002 for one that has gone.
	must(b.submit(ctx, &request{admin: func(tx *tx) error {
		tx.c.stats[f] = struct{}{}
		must(tx.parkedFor(f, l[0].Address, parked{Dot: l[0].Dot, Share: l[0].Share}, "it was something else"))
		return eachRecord(tx.r, f.id, func(addr []byte, v *origin.Version) error {
			if string(v.Data) != "0002b" {
				return nil
			}
			return tx.park(f, addr, v, "gone by now")
		})
	}}))
	counted := func(parked int, shown int64) []ParkedRegister {
		t.Helper()
		l, err := b.ParkedList()
		must(err)
		i, err := b.Info(path)
		must(err)
		var sum int64
		for _, c := range b.Account() {
			sum += c.Of(Parked)
			if c.Missing() != 0 {
				t.Errorf("account %+v", c)
			}
		}
		if len(l) != parked || sum != int64(parked) || i.Parked != int64(parked) || i.Records != shown {
			t.Fatalf("parked %+v, account has %d, file %+v; want %d and %d shown", l, sum, i, parked, shown)
		}
		return l
	}
	counted(2, 1)
	for range 2 { // the second finds all as it is
		must(b.RetryParked(ctx, f.id))
		if l := counted(1, 2); l[0].Reason != why {
			t.Errorf("reason %q, want %q", l[0].Reason, why)
		}
	}
	must(b.RetryParked(ctx, origin.FileID{9})) // no such file
}
