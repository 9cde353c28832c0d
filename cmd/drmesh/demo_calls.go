package main

import (
	"context"
	"errors"

	"drmesh/vosio/call"
)

// demoHandle is a file that the demo changes, opened at one module as any
// program would open it. One goroutine uses it.
type demoHandle struct {
	door *calls
	port int
}

// openDemo opens a file of this module for changes: by the keys of an index,
// or, without one, for appending.
func (x *demoModule) openDemo(ctx context.Context, path, index string) (*demoHandle, error) {
	door, err := (&app{dir: x.dir}).calls(ctx)
	if err != nil {
		return nil, err
	}
	o := call.OpenOptions{IO: call.Append, Lock: call.ImplicitLocking, Access: call.Sequential}
	if index != "" {
		o.IO, o.Access, o.Index = call.Update, call.Indexed, index
	}
	port, err := door.OpenPath(ctx, path, o)
	if err != nil {
		door.close()
		return nil, fileError("open "+path, err)
	}
	return &demoHandle{door, port}, nil
}

// rewrite reads a record by its key and replaces it.
func (f *demoHandle) rewrite(ctx context.Context, key string, rec []byte) error {
	if _, err := f.door.KeyedRead(ctx, f.port, "", []byte(key)); err != nil {
		return fileError("read", err)
	}
	if err := f.door.SeqRewrite(ctx, f.port, rec); err != nil {
		return fileError("rewrite", err)
	}
	return nil
}

// delete deletes a record by its key.
func (f *demoHandle) delete(ctx context.Context, key string) error {
	if err := f.door.KeyedDelete(ctx, f.port, []byte(key)); err != nil {
		return fileError("delete", err)
	}
	return nil
}

// append adds a record at the end.
func (f *demoHandle) append(ctx context.Context, rec []byte) error {
	if err := f.door.SeqWrite(ctx, f.port, rec); err != nil {
		return fileError("write", err)
	}
	return nil
}

// close ends the open and the connection.
func (f *demoHandle) close(ctx context.Context) error {
	defer f.door.close()
	return errors.Join(f.door.Close(ctx, f.port), f.door.Detach(ctx, f.port))
}
