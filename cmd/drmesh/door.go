package main

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"sync"

	"drmesh/admin"
	"drmesh/admin/client"
	"drmesh/vosio/call"
	"drmesh/vosio/record"
	"drmesh/vosio/socket"
)

// processName is what the rules of the control tables see of our commands.
const processName = "drmesh"

// calls is our side of D/app.sock: what any application does. The node
// carries out the calls of one connection one after the other, so that work
// that is to go on side by side takes several.
type calls struct {
	call.Client
	a     *app
	conns []*socket.Client
}

// calls connects to the module's door for applications.
func (a *app) calls(ctx context.Context) (*calls, error) {
	// The first connection waits for the door to open, and says why it stays
	// shut; it is of no further use.
	n, err := client.DialSocket(ctx, a.dir, "app.sock")
	if err != nil {
		return nil, err
	}
	n.Close()
	c := &calls{a: a}
	first, err := c.connect(ctx)
	if err != nil {
		return nil, err
	}
	c.Client = call.Client{Caller: first}
	return c, nil
}

// connect makes one more connection, which close closes.
func (c *calls) connect(ctx context.Context) (*socket.Client, error) {
	s, err := socket.Dial(ctx, filepath.Join(c.a.dir, "app.sock"), processName)
	if err != nil {
		return nil, admin.Errorf(admin.Unreachable, "node_unreachable", "look at the node's log", "connect to the node in %s: %v", c.a.dir, err)
	}
	c.conns = append(c.conns, s)
	return s, nil
}

func (c *calls) close() {
	for _, s := range c.conns {
		s.Close()
	}
}

// status describes a file; call.ObjectNotFound if there is none.
func (c *calls) status(ctx context.Context, path string) (*call.Status, error) {
	b, err := c.Status(ctx, path)
	if err != nil {
		return nil, err
	}
	s := new(call.Status)
	return s, json.Unmarshal(b, s)
}

// createIndex makes an index of a file.
func (c *calls) createIndex(ctx context.Context, path string, x *record.Index) error {
	switches := 0
	if x.Duplicates {
		switches = call.IndexDuplicates
	}
	return c.CreateIndex(ctx, path, x.Name, x.Components, switches)
}

// records hands each record of a file to fn, in the order of an index or, if
// index is empty, in which they stand in the file.
func (c *calls) records(ctx context.Context, path, index string, fn func([]byte) error) error {
	o := call.OpenOptions{IO: call.Input, Lock: call.ImplicitLocking, Access: call.Sequential}
	if index != "" {
		o.Access, o.Index = call.Indexed, index
	}
	port, err := c.OpenPath(ctx, path, o)
	if err != nil {
		return err
	}
	defer c.Detach(context.WithoutCancel(ctx), port)
	for {
		rec, err := c.SeqRead(ctx, port)
		if errors.Is(err, call.EndOfFile) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(rec); err != nil {
			return err
		}
	}
}

// writer adds records to a file, many at once.
type writer struct {
	jobs chan job
	wg   sync.WaitGroup
	ways []way
}

// way is a port of one connection.
type way struct {
	call.Client
	port int
}

// job is one record to add; done is told once how it went.
type job struct {
	rec  []byte
	done func(error)
}

// writer opens a file for adding records over conns connections, with ahead
// calls under way on each. With one connection and one call the records stand
// in the order of write.
func (c *calls) writer(ctx context.Context, path string, o call.OpenOptions, conns, ahead int) (*writer, error) {
	w := &writer{jobs: make(chan job)}
	for range conns {
		s, err := c.connect(ctx)
		if err != nil {
			return nil, err
		}
		x := way{Client: call.Client{Caller: s}}
		if x.port, err = x.OpenPath(ctx, path, o); err != nil {
			return nil, err
		}
		w.ways = append(w.ways, x)
	}
	for _, x := range w.ways {
		for range ahead {
			w.wg.Add(1)
			go func() {
				defer w.wg.Done()
				for j := range w.jobs {
					j.done(x.SeqWrite(ctx, x.port, j.rec))
				}
			}()
		}
	}
	return w, nil
}

// write hands over one record, which is copied; it waits while all calls are
// under way.
func (w *writer) write(ctx context.Context, rec []byte, done func(error)) error {
	select {
	case w.jobs <- job{append([]byte(nil), rec...), done}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// close waits for the calls that are under way, and lets the file go. What was
// answered is durable, whatever becomes of the connection now.
func (w *writer) close(ctx context.Context) {
	close(w.jobs)
	w.wg.Wait()
	for _, x := range w.ways {
		x.Detach(ctx, x.port)
	}
}
