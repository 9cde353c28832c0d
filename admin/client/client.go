// Package client asks a module's node over D/admin.sock.
//
// A Client is one operator's connection to one module: safe for concurrent
// use, holding nothing but idle connections. Errors are *admin.Error with the
// class that the node meant; a node that does not answer is class Unreachable.
//
// A directory that holds a module but whose node is still starting is waited
// for, Patience at most, so that scripts need no sleep after a start.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"drmesh/admin"
)

// Patience is how long a socket of an initialised directory is waited for.
const Patience = 5 * time.Second

// maxAnswer bounds one JSON value of a node.
const maxAnswer = 256 << 20

// maxSocketPath is the longest socket path that every system takes.
const maxSocketPath = 100

// Client asks one module.
type Client struct {
	dir  string
	http *http.Client
}

// New makes a client for the module in dir. Nothing is dialed yet.
func New(dir string) *Client {
	c := &Client{dir: dir}
	c.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return Dial(ctx, dir, "admin.sock") },
	}}
	return c
}

// Close drops idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Dial connects to one of a module's sockets, waiting for a node that starts.
func Dial(ctx context.Context, dir, name string) (net.Conn, error) {
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	if len(path) > maxSocketPath {
		return nil, admin.Errorf(admin.Precondition, "socket_path_too_long", "choose a directory with a shorter path, or make a short symbolic link to it",
			"%s: %d bytes; a socket's path may have %d", path, len(path), maxSocketPath)
	}
	if _, err := os.Stat(filepath.Join(dir, "module.json")); errors.Is(err, fs.ErrNotExist) {
		return nil, admin.Errorf(admin.Precondition, "no_module", "name the directory that \"drmesh init\" or \"drmesh join\" made with --dir", "%s holds no module", dir)
	} else if errors.Is(err, fs.ErrPermission) {
		return nil, admin.Errorf(admin.NotPermitted, "no_access", "run as the user whose node it is", "%v", err)
	}
	deadline := time.Now().Add(Patience)
	var d net.Dialer
	for {
		conn, err := d.DialContext(ctx, "unix", path)
		if err == nil {
			return conn, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, fs.ErrPermission) {
			return nil, admin.Errorf(admin.NotPermitted, "no_access", "run as the user whose node it is", "%v", err)
		}
		if time.Now().After(deadline) {
			return nil, admin.Errorf(admin.Unreachable, "no_node", "start it with \"drmesh serve --dir "+dir+"\"", "no node answers at %s", path)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// send makes one request and gives the answer's body, or the error it holds.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, body any) (io.ReadCloser, error) {
	u := url.URL{Scheme: "http", Host: "drmesh", Path: path, RawQuery: query.Encode()}
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, u.String(), r)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	if res.StatusCode == http.StatusOK {
		return res.Body, nil
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 4<<20))
	if err != nil {
		return nil, c.failed(ctx, err)
	}
	var e admin.Error
	if json.Unmarshal(b, &e) != nil || e.Class == 0 {
		return nil, admin.Errorf(admin.Failed, "bad_answer", "", "%s %s: status %d", method, path, res.StatusCode)
	}
	return nil, &e
}

// failed gives a broken exchange its class.
func (c *Client) failed(ctx context.Context, err error) error {
	var e *admin.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return admin.Errorf(admin.TimedOut, "timeout", "", "the node in %s did not answer in time", c.dir)
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return admin.Errorf(admin.Unreachable, "no_node", "look at the node's log", "the node in %s went away: %v", c.dir, err)
}

func ask[T any](ctx context.Context, c *Client, method, path string, query url.Values, body any) (*T, error) {
	r, err := c.send(ctx, method, path, query, body)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	v := new(T)
	if err := json.NewDecoder(io.LimitReader(r, maxAnswer)).Decode(v); err != nil {
		return nil, c.failed(ctx, err)
	}
	return v, nil
}

func list[T any](ctx context.Context, c *Client, path string, query url.Values) ([]T, error) {
	l, err := ask[[]T](ctx, c, http.MethodGet, path, query, nil)
	if err != nil {
		return nil, err
	}
	return *l, nil
}

// Status is the module's view of itself and the mesh.
func (c *Client) Status(ctx context.Context) (*admin.Status, error) {
	return ask[admin.Status](ctx, c, http.MethodGet, "/v1/status", nil, nil)
}

// Links lists the links of the module.
func (c *Client) Links(ctx context.Context) ([]admin.Link, error) {
	return list[admin.Link](ctx, c, "/v1/links", nil)
}

// SetLink pauses or resumes a link.
func (c *Client) SetLink(ctx context.Context, q admin.LinkChange) error {
	_, err := ask[struct{}](ctx, c, http.MethodPost, "/v1/links", nil, q)
	return err
}

// CreateToken makes a one-time token.
func (c *Client) CreateToken(ctx context.Context, q admin.TokenRequest) (*admin.Token, error) {
	return ask[admin.Token](ctx, c, http.MethodPost, "/v1/tokens", nil, q)
}

// Leave takes the module out of the mesh.
func (c *Client) Leave(ctx context.Context, acceptLoss bool) error {
	_, err := ask[struct{}](ctx, c, http.MethodPost, "/v1/leave", nil, map[string]bool{"accept_loss": acceptLoss})
	return err
}

// ControlText gives the tables in force.
func (c *Client) ControlText(ctx context.Context) (*admin.ControlText, error) {
	return ask[admin.ControlText](ctx, c, http.MethodGet, "/v1/control", nil, nil)
}

// ControlPlan tells what tables would change.
func (c *Client) ControlPlan(ctx context.Context, q admin.ControlChange) (*admin.ControlPlan, error) {
	return ask[admin.ControlPlan](ctx, c, http.MethodPost, "/v1/control/plan", nil, q)
}

// ControlApply puts tables in force.
func (c *Client) ControlApply(ctx context.Context, q admin.ControlChange) (*admin.ControlPlan, error) {
	return ask[admin.ControlPlan](ctx, c, http.MethodPost, "/v1/control/apply", nil, q)
}

// CaughtUp waits until the module has all that members had.
func (c *Client) CaughtUp(ctx context.Context, q admin.CaughtUpRequest) (*admin.CaughtUp, error) {
	return ask[admin.CaughtUp](ctx, c, http.MethodPost, "/v1/caught-up", nil, q)
}

// Files lists files; under is empty, a directory, a share or a star name.
func (c *Client) Files(ctx context.Context, under string) ([]admin.File, error) {
	return list[admin.File](ctx, c, "/v1/files", url.Values{"under": {under}})
}

// File describes one file.
func (c *Client) File(ctx context.Context, path string) (*admin.File, error) {
	return ask[admin.File](ctx, c, http.MethodGet, "/v1/file", url.Values{"path": {path}}, nil)
}

// Digest digests a file, at another module when one is named.
func (c *Client) Digest(ctx context.Context, module, path string) (*admin.Digest, error) {
	q := url.Values{"path": {path}}
	if module != "" {
		q.Set("module", module)
	}
	return ask[admin.Digest](ctx, c, http.MethodGet, "/v1/file/digest", q, nil)
}

// History lists the versions of one record; key is its number in digits, or
// the bytes of its key.
func (c *Client) History(ctx context.Context, path, key string) ([]admin.Change, error) {
	return list[admin.Change](ctx, c, "/v1/file/history", url.Values{"path": {path}, "key": {key}})
}

// Conflicts lists what lost, or all of one share.
func (c *Client) Conflicts(ctx context.Context, share string) ([]admin.Conflict, error) {
	return list[admin.Conflict](ctx, c, "/v1/conflicts", url.Values{"share": {share}})
}

// Conflict gives one, with its images.
func (c *Client) Conflict(ctx context.Context, id string) (*admin.Conflict, error) {
	return ask[admin.Conflict](ctx, c, http.MethodGet, "/v1/conflicts/"+url.PathEscape(id), nil, nil)
}

// Parked lists what cannot be shown at the module.
func (c *Client) Parked(ctx context.Context) ([]admin.Parked, error) {
	return list[admin.Parked](ctx, c, "/v1/parked", nil)
}

// Account balances what was acknowledged against what became of it.
func (c *Client) Account(ctx context.Context, scan bool) (*admin.Account, error) {
	q := url.Values{}
	if scan {
		q.Set("scan", "1")
	}
	return ask[admin.Account](ctx, c, http.MethodGet, "/v1/account", q, nil)
}

// Bench runs a load inside the node.
func (c *Client) Bench(ctx context.Context, q admin.BenchRequest) (*admin.BenchResult, error) {
	return ask[admin.BenchResult](ctx, c, http.MethodPost, "/v1/bench", nil, q)
}

// Journal gives the module's changes to emit, in its local order.
func (c *Client) Journal(ctx context.Context, q admin.JournalRequest, emit func(*admin.Change) error) error {
	v := url.Values{"from": {q.From}, "share": {q.Share}}
	if q.Follow {
		v.Set("follow", "1")
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	r, err := c.send(ctx, http.MethodGet, "/v1/journal", v, nil)
	if err != nil {
		return err
	}
	defer r.Close()
	d := json.NewDecoder(r)
	for {
		var line struct {
			admin.Change
			Error *admin.Error `json:"error"`
		}
		switch err := d.Decode(&line); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return c.failed(ctx, err)
		case line.Error != nil:
			return line.Error
		}
		if err := emit(&line.Change); err != nil {
			return err
		}
	}
}
