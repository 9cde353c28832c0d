package raftgroup

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"sync"

	"github.com/hashicorp/go-hclog"
)

// adapt lets raft log to ours. What raft calls info (each step of its life) is
// debug to an operator.
func adapt(l *slog.Logger) hclog.Logger {
	h := hclog.NewInterceptLogger(&hclog.LoggerOptions{Name: "raft", Output: io.Discard, Level: hclog.Info})
	h.RegisterSink(sink{l})
	return h
}

type sink struct{ log *slog.Logger }

func (s sink) Accept(name string, level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case hclog.Trace, hclog.Debug:
		return
	case hclog.Warn:
		to = slog.LevelWarn
	case hclog.Error:
		to = slog.LevelError
	}
	if !s.log.Enabled(context.Background(), to) {
		return
	}
	attrs := make([]any, 0, len(args))
	for i, a := range args {
		if i%2 == 0 {
			attrs = append(attrs, fmt.Sprint(a))
			continue
		}
		switch v := a.(type) {
		case hclog.Format:
			if len(v) > 0 {
				if f, ok := v[0].(string); ok {
					a = fmt.Sprintf(f, v[1:]...)
				}
			}
		}
		attrs = append(attrs, a)
	}
	s.log.Log(context.Background(), to, name+": "+msg, attrs...)
}

// counters is raft-wal's collector of figures.
type counters struct {
	mu sync.Mutex
	m  map[string]uint64
}

func newCounters() *counters { return &counters{m: map[string]uint64{}} }

func (c *counters) IncrementCounter(name string, delta uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[name] += delta
}

func (c *counters) SetGauge(name string, val uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.m[name] = val
}

func (c *counters) all() map[string]uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.m)
}
