package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

// maxConns bounds the connections of one door.
const maxConns = 256

// Server is one door: a unix socket, or a TCP address. Its goroutines end with
// Close.
type Server struct {
	api  *API
	http *http.Server
	l    net.Listener
	done chan struct{}
}

// Serve opens the socket at path, mode 0600, and answers until Close. A stale
// socket of a process that is gone is replaced: the caller holds the
// directory's lock. Who can open it has the role admin, if the kernel says
// that it is our own user or root.
func Serve(path string, a *API) (*Server, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, err
	}
	return a.serve(limit(l), a.local), nil
}

// ServeTCP opens a TCP address: on a loopback address in plain, on others only
// with the given TLS.
func ServeTCP(addr string, t *tls.Config, a *API) (*Server, error) {
	loop, err := Loopback(addr)
	if err != nil {
		return nil, err
	}
	if !loop && t == nil {
		return nil, fmt.Errorf("listen for operators on %s: a certificate is needed", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for operators: %w", err)
	}
	if loop {
		return a.serve(limit(l), func(r *http.Request) (Caller, error) { return a.remote(r, "tcp") }), nil
	}
	return a.serve(tls.NewListener(limit(l), t), func(r *http.Request) (Caller, error) { return a.remote(r, "tls") }), nil
}

// Loopback tells whether an address IP:PORT is reached on this machine alone.
func Loopback(addr string) (bool, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return false, Errorf(Usage, "bad_address", "give IP:PORT, for example 127.0.0.1:7201", "admin address %q: not IP:PORT", addr)
	}
	if host == "localhost" {
		return true, nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return false, Errorf(Usage, "bad_address", "give an IP address of this machine", "admin address %q: %q is no IP address", addr, host)
	}
	return ip.Unmap().IsLoopback(), nil
}

func (a *API) serve(l net.Listener, who func(*http.Request) (Caller, error)) *Server {
	s := &Server{api: a, l: l, done: make(chan struct{})}
	s.http = &http.Server{Handler: a.guard(who), ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 64 << 10,
		ErrorLog:    log.New(quiet{}, "", 0),
		HTTP2:       &http.HTTP2Config{MaxConcurrentStreams: 32},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connKey{}, c) }}
	go func() {
		defer close(s.done)
		s.http.Serve(s.l)
	}()
	return s
}

// Addr is where the door is.
func (s *Server) Addr() net.Addr { return s.l.Addr() }

// Close stops the door: requests under way have a second to end. The API's
// Close comes before, so that those that would go on end.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = s.http.Close()
	}
	<-s.done
	return err
}

// quiet drops what net/http says of connections that were no HTTP.
type quiet struct{}

func (quiet) Write(b []byte) (int, error) { return len(b), nil }

// limited accepts no more connections than there is room for.
type limited struct {
	net.Listener
	room chan struct{}
}

func limit(l net.Listener) net.Listener {
	return &limited{Listener: l, room: make(chan struct{}, maxConns)}
}

func (l *limited) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.room <- struct{}{}:
			return &limitedConn{Conn: c, room: l.room}, nil
		default:
			c.Close() // a caller can come again; waiting would keep everybody out
		}
	}
}

type limitedConn struct {
	net.Conn
	room chan struct{}
	once sync.Once
}

func (c *limitedConn) Close() error {
	c.once.Do(func() { <-c.room })
	return c.Conn.Close()
}

// CookieName is the cookie in which a browser keeps an access token.
const CookieName = "drmesh_access"

type connKey struct{}

// guard is before everything: it refuses what a browser was led to send from
// elsewhere, and finds out who asks.
func (a *API) guard(who func(*http.Request) (Caller, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := who(r)
		if err != nil {
			if AsError(err).status() == http.StatusUnauthorized {
				w.Header().Set("WWW-Authenticate", "Bearer")
			}
			a.metrics.request("refused", AsError(err).status(), 0)
			answerProblem(w, err)
			return
		}
		a.mux.ServeHTTP(w, r.WithContext(WithCaller(r.Context(), c)))
	})
}

// local finds out who is at the other end of the unix socket.
func (a *API) local(r *http.Request) (Caller, error) {
	c, _ := r.Context().Value(connKey{}).(net.Conn)
	if l, ok := c.(*limitedConn); ok {
		c = l.Conn
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return Caller{}, Errorf(NotPermitted, "no_access", "", "not a unix socket")
	}
	uid, err := peerUID(u)
	if err != nil {
		return Caller{}, Errorf(NotPermitted, "no_access", "", "who is at the socket: %v", err)
	}
	if own := uint32(os.Geteuid()); uid != own && uid != 0 {
		return Caller{}, Errorf(NotPermitted, "no_access", "run as the owner of the directory", "user %d may not use the socket of user %d", uid, own)
	}
	return Caller{Name: fmt.Sprintf("uid %d", uid), Role: Admin, Via: "socket"}, nil
}

// remote finds out who asks over TCP: the holder of an access token, or of a
// certificate. Who shows neither may look where that is only this machine.
func (a *API) remote(r *http.Request, via string) (Caller, error) {
	if err := foreign(r, via); err != nil {
		return Caller{}, err
	}
	if h := r.Header.Get("Authorization"); h != "" {
		text, ok := strings.CutPrefix(h, "Bearer ")
		if !ok || a.Tokens == nil {
			return Caller{}, Errorf(NotPermitted, "bad_credentials", "send an access token: Authorization: Bearer TOKEN", "the request's Authorization is of another kind")
		}
		c, err := a.Tokens.caller(strings.TrimSpace(text))
		c.Via = via
		return c, err
	}
	if r.TLS != nil && len(r.TLS.PeerCertificates) > 0 && a.Certified != nil {
		var raw [][]byte
		for _, c := range r.TLS.PeerCertificates {
			raw = append(raw, c.Raw)
		}
		c, err := a.Certified(raw)
		c.Via = via
		return c, err
	}
	if c, err := r.Cookie(CookieName); err == nil && a.Tokens != nil {
		// A browser sends it by itself, so it lets look and no more; one that is
		// good no longer is none.
		if text, err := url.QueryUnescape(c.Value); err == nil {
			if who, err := a.Tokens.caller(text); err == nil {
				return Caller{Name: who.Name, Role: Viewer, Via: via}, nil
			}
		}
	}
	if via == "tcp" {
		return Caller{Name: "this machine", Role: Viewer, Via: via}, nil
	}
	return Caller{Via: via}, nil
}

// foreign refuses requests that a browser sends for a page from elsewhere: a
// name that somebody else's name server answers with our address, or a page of
// another origin.
func foreign(r *http.Request, via string) error {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || via == "tcp" && !ip.Unmap().IsLoopback()) {
		return Errorf(NotPermitted, "foreign_host", "use the address of the module, not a name", "the request is for host %.100q", r.Host)
	}
	scheme := "http"
	if via == "tls" {
		scheme = "https"
	}
	if o := r.Header.Get("Origin"); o != "" {
		u, err := url.Parse(o)
		if err != nil || u.Scheme != scheme || u.Host != r.Host {
			return Errorf(NotPermitted, "foreign_origin", "use the page of the module itself", "the request comes from a page of %.100q", o)
		}
	}
	if s := r.Header.Get("Sec-Fetch-Site"); s == "cross-site" || s == "same-site" {
		return Errorf(NotPermitted, "foreign_origin", "use the page of the module itself", "the request comes from a page of another site")
	}
	return nil
}
