package node

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/admin/client"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

// BenchmarkMatrix8 has one of eight modules ask all for how far they are, as
// "drmesh status --matrix" does.
func BenchmarkMatrix8(b *testing.B) {
	names := []string{"%east#m1"}
	for i := 1; i < 8; i++ {
		names = append(names, fmt.Sprintf("%%m%d#m1", i))
	}
	nodes := meshOf(b, names...)
	c, err := client.Open(b.Context(), nodes[0].dir.path)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	for b.Loop() {
		if _, err := c.Matrix(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkObserved tells how much more processor time a change takes while it
// is looked at: metrics once a second, and five browsers with the console, each
// following events and fetching the page anew with each, and every 5 s. Runs
// with and without alternate; it is the median of ten pairs, all modules and
// observers in this process.
func BenchmarkObserved(b *testing.B) {
	nodes := meshOf(b, "%east#m1", "%west#m1")
	s, err := admin.ServeTCP("127.0.0.1:0", nil, nodes[0].operators.api)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	base := "http://" + s.Addr().String()
	p := nodes[0].eng.NewProcess("drmesh")
	defer p.Close()
	c := call.Client{Caller: p}
	files := 0
	run := func(observed bool) float64 {
		files++ // keys are the same in each run
		file := fmt.Sprintf("main:observed%d", files)
		if err := c.CreateFile(b.Context(), file, call.OrgSequential, 0); err != nil {
			b.Fatal(err)
		}
		if err := c.CreateIndex(b.Context(), file, "key", []record.Component{{Position: 1, Length: 16}}, 0); err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		var wg sync.WaitGroup
		if observed {
			wg.Go(func() { every(ctx, time.Second, nil, base+"/metrics") })
			for i := range 5 {
				news := make(chan struct{}, 1)
				wg.Go(func() { followQuietly(ctx, base+"/v1/events", news) })
				wg.Go(func() {
					time.Sleep(time.Duration(i) * 300 * time.Millisecond) // browsers do not go in step
					every(ctx, 5*time.Second, news, base+"/console/main")
				})
			}
		}
		before := processorTime(b)
		r, err := engine{nodes[0]}.Bench(ctx, admin.BenchRequest{File: file, Callers: 16, Bytes: 100, Keys: "scattered", Duration: 3 * time.Second, Rate: 1000, Peer: "%west#m1"})
		spent := processorTime(b) - before
		cancel()
		wg.Wait()
		if err != nil {
			b.Fatal(err)
		}
		return spent.Seconds() / float64(r.Acked)
	}
	for b.Loop() {
		run(false)
		var more []float64
		for range 10 {
			without := run(false)
			more = append(more, 100*(run(true)/without-1))
		}
		slices.Sort(more)
		b.ReportMetric((more[4]+more[5])/2, "%more")
	}
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// every fetches a page now and then, and when there is news.
func every(ctx context.Context, pause time.Duration, news <-chan struct{}, url string) {
	t := time.NewTicker(pause)
	defer t.Stop()
	for ctx.Err() == nil {
		if q, err := http.NewRequestWithContext(ctx, "GET", url, nil); err == nil {
			if r, err := http.DefaultClient.Do(q); err == nil {
				io.Copy(io.Discard, r.Body)
				r.Body.Close()
			}
		}
		select {
		case <-t.C:
		case <-news:
		case <-ctx.Done():
		}
	}
}

func followQuietly(ctx context.Context, url string, news chan<- struct{}) {
	q, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return
	}
	r, err := http.DefaultClient.Do(q)
	if err != nil {
		return
	}
	defer r.Body.Close()
	for s := bufio.NewScanner(r.Body); s.Scan(); {
		if strings.HasPrefix(s.Text(), "event: ") {
			select {
			case news <- struct{}{}:
			default:
			}
		}
	}
}
