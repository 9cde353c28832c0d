package main

import (
	"context"
	"encoding/json"
	"errors"

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
	if a.addr != "" && a.dir == "" {
		return nil, admin.Errorf(admin.Usage, "own_machine", "run it there with --dir D", "this makes calls, which go through D/app.sock on the module's own machine")
	}
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
	n, err := client.DialSocket(ctx, c.a.dir, "app.sock")
	if err != nil {
		return nil, err
	}
	s, err := socket.NewClient(ctx, n, processName)
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
	switch x.Kind {
	case record.IndexSeparate:
		switches |= call.IndexSeparateKey
	case record.IndexItem:
		switches |= call.IndexItem
	case record.IndexRecord:
		return c.CreateRecordIndex(ctx, path)
	case record.IndexDeleted:
		return c.CreateDeletedRecordIndex(ctx, path)
	}
	if x.NullKeys {
		switches |= call.IndexNullKeys
	}
	return c.CreateIndexCollated(ctx, path, x.Name, x.Components, switches, x.Collation)
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
	// Several reads are under way; the node carries them out in their order.
	type read struct {
		rep call.Reply
		ch  chan error
	}
	var under []*read
	drain := func() {
		for _, r := range under {
			<-r.ch
		}
	}
	conn := c.conns[0]
	for {
		for len(under) < readAhead {
			r := &read{ch: make(chan error, 1)}
			if err := conn.Go(ctx, &call.Request{Call: "s$seq_read", Port: port}, &r.rep, func(err error) { r.ch <- err }); err != nil {
				drain()
				return err
			}
			under = append(under, r)
		}
		r := under[0]
		under = under[1:]
		err := <-r.ch
		if err == nil {
			err = r.rep.Err()
		}
		if err == nil {
			err = fn(r.rep.Data)
		}
		if err != nil {
			drain()
			if errors.Is(err, call.EndOfFile) {
				return nil
			}
			return err
		}
	}
}

// readAhead is how many reads of a dump are under way.
const readAhead = 64

// writer adds records to a file, with many calls under way.
type writer struct {
	room chan struct{} // tokens of calls under way
	ways []way
	next int
}

// way is a port of one connection.
type way struct {
	conn *socket.Client
	port int
}

// writer opens a file for adding records over conns connections, with ahead
// calls under way in all. With one connection the records stand in the order
// of write.
func (c *calls) writer(ctx context.Context, path string, o call.OpenOptions, conns, ahead int) (*writer, error) {
	w := &writer{room: make(chan struct{}, ahead)}
	for range conns {
		s, err := c.connect(ctx)
		if err != nil {
			return nil, err
		}
		port, err := call.Client{Caller: s}.OpenPath(ctx, path, o)
		if err != nil {
			return nil, err
		}
		w.ways = append(w.ways, way{s, port})
	}
	return w, nil
}

// write sends one record; done is told once how it went, and must not block.
// It waits while as many calls as may be are under way.
func (w *writer) write(ctx context.Context, rec []byte, done func(error)) error {
	select {
	case w.room <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	x := w.ways[w.next%len(w.ways)]
	w.next++
	rep := new(call.Reply)
	err := x.conn.Go(ctx, &call.Request{Call: "s$seq_write", Port: x.port, Data: rec}, rep, func(err error) {
		if err == nil {
			err = rep.Err()
		}
		done(err)
		<-w.room
	})
	if err != nil {
		<-w.room
	}
	return err
}

// close waits for the calls that are under way, and lets the file go. What was
// answered is durable, whatever becomes of the connections now.
func (w *writer) close(ctx context.Context) {
	for range cap(w.room) {
		w.room <- struct{}{}
	}
	for _, x := range w.ways {
		call.Client{Caller: x.conn}.Detach(ctx, x.port)
	}
}
