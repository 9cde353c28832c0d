package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"drmesh/admin"
)

func writeRecords(t *testing.T, n *Node, prefix string, count int) {
	t.Helper()
	c := program(t, n)
	port := opened(t, c, "main:f")
	for i := range count {
		if err := c.KeyedWrite(context.Background(), port, fmt.Appendf(nil, "%s%03d x", prefix, i)); err != nil {
			t.Fatal(err)
		}
	}
}

// The account of one module is that of all, at one vector, also while they go
// on writing.
func TestAccountOverAllModules(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1", "%north#m1")
	keyedAt(t, nodes[0], "main:f")
	hasIndexes(t, "main:f", 2, nodes...)
	writeRecords(t, nodes[0], "a", 20)
	writeRecords(t, nodes[1], "b", 10)

	ctx, cancel := context.WithCancel(context.Background())
	wrote := make(chan int)
	go func() {
		c := program(t, nodes[2])
		port, err := open(c, "main:f")
		i := 0
		for ; err == nil && ctx.Err() == nil && i < 999; i++ {
			err = c.KeyedWrite(context.Background(), port, fmt.Appendf(nil, "c%03d y", i))
		}
		if err != nil {
			i = -1
		}
		wrote <- i
	}()
	for _, scan := range []bool{false, true} {
		a, err := engine{nodes[1]}.Account(context.Background(), admin.AccountRequest{Scan: scan})
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Findings) > 0 || a.Duplicates > 0 || len(a.Modules) != 3 || a.Scanned != scan {
			t.Errorf("scan %v: modules %v, findings %v", scan, a.Modules, a.Findings)
		}
	}
	cancel()
	if n := <-wrote; n < 0 {
		t.Fatal("the writer failed")
	}
	a, err := engine{nodes[0]}.Account(context.Background(), admin.AccountRequest{Scan: true})
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]int64{}
	for _, l := range a.Lines {
		sums[l.Module] += l.Written
		if l.Beyond == nil || *l.Beyond != 0 {
			t.Errorf("%s at rest has %v operations beyond the vector", l.Module, l.Beyond)
		}
	}
	if len(sums) != 3 || sums["%east#m1"] != sums["%west#m1"] || sums["%east#m1"] != sums["%north#m1"] || sums["%east#m1"] < 30 {
		t.Errorf("operations by module: %v", sums)
	}

	// A record that is gone without a trace is named.
	file, addr, err := nodes[1].eng.AddressOf("%west#d01>data>f", "a007")
	if err != nil {
		t.Fatal(err)
	}
	dot := ""
	h, err := engine{nodes[1]}.History(context.Background(), "main:f", "a007")
	if err != nil || len(h) != 1 {
		t.Fatal(err, h)
	}
	dot = h[0].Dot
	it, err := nodes[1].db.NewIter(&pebble.IterOptions{LowerBound: []byte("v"), UpperBound: []byte("w")})
	if err != nil {
		t.Fatal(err)
	}
	key := string(file[:]) + string(addr)
	gone := 0
	for it.First(); it.Valid(); it.Next() {
		if k := it.Key(); len(k) == 2+len(key) && k[1] == 'r' && string(k[2:]) == key {
			gone++
			if err := nodes[1].db.Delete(k, pebble.Sync); err != nil {
				t.Fatal(err)
			}
		}
	}
	it.Close()
	if gone != 1 {
		t.Fatalf("%d registers deleted", gone)
	}
	a, err = engine{nodes[2]}.Account(context.Background(), admin.AccountRequest{Scan: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(a.Findings, "\n"); !strings.Contains(got, dot+" at %west#m1: its effect is nowhere") || strings.Contains(got, "at %east#m1") {
		t.Errorf("findings:\n%s", got)
	}

	// A module that cannot be asked is named, or left out.
	if err := nodes[1].Close(); err != nil {
		t.Fatal(err)
	}
	_, err = engine{nodes[0]}.Account(context.Background(), admin.AccountRequest{Timeout: 500 * time.Millisecond})
	var e *admin.Error
	if !errors.As(err, &e) || e.Class != admin.TimedOut || !strings.Contains(e.Message, "%west#m1") {
		t.Errorf("with a member down: %v", err)
	}
	a, err = engine{nodes[0]}.Account(context.Background(), admin.AccountRequest{Reachable: true})
	if err != nil || len(a.Modules) != 2 || fmt.Sprint(a.Left) != "[%west#m1]" || len(a.Findings) > 0 {
		t.Errorf("--reachable: %+v, %v", a, err)
	}
	a, err = engine{nodes[0]}.Account(context.Background(), admin.AccountRequest{Local: true, Scan: true})
	if err != nil || len(a.Modules) != 1 || len(a.Findings) > 0 {
		t.Errorf("--local: %+v, %v", a, err)
	}
}
