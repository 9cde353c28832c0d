// Package client speaks to the operators' door of a module: D/admin.sock.
//
// It is what every command uses, so it waits a moment for the socket of a
// directory that is a module's (a node that was just started has not opened it
// yet), and turns answers that are problems back into the *admin.Error that the
// node made. It knows neither files nor network, and holds nothing durable.
package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"drmesh/admin"
)

// Patience is how long the socket of an initialised directory is waited for.
const Patience = 5 * time.Second

const (
	// maxAnswer bounds one answer, maxLine one line of a long one.
	maxAnswer = 256 << 20
	maxLine   = 1 << 20
	// maxSocketPath is what a socket's path may have on every system.
	maxSocketPath = 100
)

// A Client asks one module. It may be used by many goroutines.
type Client struct {
	where string // directory or address, for errors
	hint  string // what to do where it does not answer
	base  string // of URLs
	token string // shown with each request; empty: none
	http  *http.Client

	// Watch, set before the first call, is told how far long work is: soon after
	// it began, now and then, and when it has ended. It is called by the goroutine
	// that asked for the work.
	Watch func(admin.Operation)
}

// Initialised gives an error unless dir is a module's directory.
func Initialised(dir string) error {
	if dir == "" {
		return admin.Errorf(admin.Usage, "no_directory", "give --dir D, or set DRMESH_DIR", "no module directory was given")
	}
	_, err := os.Stat(filepath.Join(dir, "module.json"))
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrPermission):
		return admin.Errorf(admin.NotPermitted, "no_access", "run as the owner of the directory", "%v", err)
	}
	return admin.Errorf(admin.Precondition, "no_module", "make one with \"drmesh init\" or \"drmesh join\", or give another --dir",
		"%s holds no module", dir)
}

// DialSocket connects to the socket called name of a module's directory, and
// waits Patience for it when it is not there yet.
func DialSocket(ctx context.Context, dir, name string) (net.Conn, error) {
	if err := Initialised(dir); err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	if len(abs) > maxSocketPath {
		return nil, admin.Errorf(admin.Precondition, "socket_path_too_long", "use a directory with a shorter path, or a short symbolic link to it",
			"%s: %d bytes; a socket's path may have %d", abs, len(abs), maxSocketPath)
	}
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	var d net.Dialer
	for {
		c, err := d.DialContext(ctx, "unix", abs)
		if err == nil {
			return c, nil
		}
		if errors.Is(err, os.ErrPermission) {
			return nil, admin.Errorf(admin.NotPermitted, "no_access", "run as the owner of the directory", "%v", err)
		}
		select {
		case <-ctx.Done():
			return nil, admin.Errorf(admin.Unreachable, "node_unreachable", "start the node with \"drmesh serve --dir "+dir+"\"",
				"no node answers in %s: %v", dir, err)
		case <-time.After(25 * time.Millisecond):
		}
	}
}

// Open gives a client of the module in dir. It connects, so that a node that is
// not there is met at once.
func Open(ctx context.Context, dir string) (*Client, error) {
	first, err := DialSocket(ctx, dir, "admin.sock")
	if err != nil {
		return nil, err
	}
	ready := make(chan net.Conn, 1)
	ready <- first
	t := &http.Transport{
		MaxIdleConns:    4,
		IdleConnTimeout: 30 * time.Second,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case c := <-ready:
				return c, nil
			default:
				return DialSocket(ctx, dir, "admin.sock")
			}
		},
	}
	return &Client{where: dir, base: "http://module", hint: "look at the node's log; start it with \"drmesh serve --dir " + dir + "\"", http: &http.Client{Transport: t}}, nil
}

// Close lets the connections go.
func (c *Client) Close() { c.http.CloseIdleConnections() }

func (c *Client) send(ctx context.Context, method, route string, q url.Values, in any) (*http.Response, error) {
	u := c.base + route
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	var body io.Reader
	long, atOnce := in.(async)
	if atOnce {
		in = long.body
	}
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(b)
	}
	r, err := http.NewRequestWithContext(ctx, method, u, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	if atOnce {
		r.Header.Set("Prefer", "respond-async")
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return nil, c.lost(ctx, err)
	}
	if resp.StatusCode != http.StatusOK && !(atOnce && resp.StatusCode == http.StatusAccepted) {
		defer resp.Body.Close()
		return nil, problem(resp)
	}
	return resp, nil
}

// lost explains a connection that broke: the caller's own end, or the node's.
func (c *Client) lost(ctx context.Context, err error) error {
	if e := (*admin.Error)(nil); errors.As(err, &e) {
		return e
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Canceled
	case ctx.Err() != nil:
		return admin.Errorf(admin.TimedOut, "timed_out", "", "the node at %s did not answer in time", c.where)
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	if errors.Is(err, errAuthority) {
		return admin.Errorf(admin.NotPermitted, "wrong_authority", "check the address; a token is of the mesh that made it", "%s is not of this mesh: %v", c.where, err)
	}
	return admin.Errorf(admin.Unreachable, "node_gone", c.hint, "the node at %s does not answer: %v", c.where, err)
}

// problem reads an answer that is an error.
func problem(resp *http.Response) error {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxLine))
	if err != nil {
		return err
	}
	e := &admin.Error{}
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") && json.Unmarshal(b, e) == nil && e.Class != 0 {
		return e
	}
	return admin.Errorf(admin.Failed, "bad_answer", "is the node of another version?", "the node answered %s: %.200s", resp.Status, bytes.TrimSpace(b))
}

func (c *Client) do(ctx context.Context, method, route string, q url.Values, in, out any) error {
	resp, err := c.send(ctx, method, route, q, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return c.lost(ctx, err)
	}
	if out == nil {
		return nil
	}
	if err := json.Unmarshal(b, out); err != nil {
		return admin.Errorf(admin.Failed, "bad_answer", "is the node of another version?", "%s %s: %v", method, route, err)
	}
	return nil
}

// lines hands each line of a long answer to fn.
func (c *Client) lines(ctx context.Context, route string, q url.Values, fn func([]byte) error) error {
	resp, err := c.send(ctx, http.MethodGet, route, q, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	s := bufio.NewScanner(resp.Body)
	s.Buffer(make([]byte, 64<<10), maxLine)
	for s.Scan() {
		if len(bytes.TrimSpace(s.Bytes())) == 0 {
			continue
		}
		if err := fn(s.Bytes()); err != nil {
			return err
		}
	}
	if err := s.Err(); err != nil {
		return c.lost(ctx, err)
	}
	return nil
}
