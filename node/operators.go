package node

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"drmesh/admin"
	"drmesh/admin/console"
	"drmesh/mesh/quicnet"
	"drmesh/origin"
)

// operators are the doors for operators: the socket, and the TCP address where
// one was given.
type operators struct {
	api    *admin.API
	audit  *admin.Audit
	socket *admin.Server
	tcp    *admin.Server // nil: no address
	tokens *admin.AccessTokens
}

func (n *Node) openOperators() (err error) {
	o := &n.operators
	if o.audit, err = admin.OpenAudit(n.dir.file("audit.log")); err != nil {
		return err
	}
	authority := n.dir.authority.Certificate()
	tokens, err := admin.OpenAccessTokens(n.dir.file("keys", "access.json"), sha256.Sum256(authority.Raw), func(id, name string, pub any, until time.Time) ([]byte, error) {
		c, err := n.dir.authority.IssueAccess(id, name, pub, until)
		if err != nil {
			return nil, err
		}
		return append(quicnet.CertificatePEM(c), n.dir.authority.CertPEM()...), nil
	})
	if err != nil {
		return err
	}
	o.tokens = tokens
	o.api = admin.New(engine{n}, admin.Options{Module: n.dir.Module, Events: n.events, Tokens: tokens, Audit: o.audit, Logger: n.log, Certified: n.certified,
		Pages: func(a *admin.API) http.Handler { return console.New(a) }})
	n.mesh.HandleRPC("ask", n.serveAsk)
	if o.socket, err = admin.Serve(n.dir.file("admin.sock"), o.api); err != nil {
		return err
	}
	if n.dir.Admin == "" {
		return nil
	}
	o.tcp, err = admin.ServeTCP(n.dir.Admin, n.operatorTLS(), o.api)
	if err != nil {
		return failure(admin.Precondition, "cannot_listen", "another process has the address, or it is not this machine's", "%v", err)
	}
	return nil
}

// operatorTLS shows operators our certificate, with that of the authority, and
// takes theirs if they have one.
func (n *Node) operatorTLS() *tls.Config {
	authority := n.dir.authority.Certificate()
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	return &tls.Config{
		MinVersion:   tls.VersionTLS13,
		Certificates: []tls.Certificate{{Certificate: [][]byte{n.dir.cert.Raw, authority.Raw}, PrivateKey: n.dir.key, Leaf: n.dir.cert}},
		ClientAuth:   tls.VerifyClientCertIfGiven,
		ClientCAs:    pool,
		NextProtos:   []string{"h2", "http/1.1"},
	}
}

func (o *operators) close() error {
	var errs []error
	if o.api != nil {
		o.api.Close()
	}
	for _, s := range []*admin.Server{o.tcp, o.socket} {
		if s != nil {
			errs = append(errs, s.Close())
		}
	}
	if o.audit != nil {
		errs = append(errs, o.audit.Close())
	}
	return errors.Join(errs...)
}

// certified tells who shows a certificate that the mesh's authority issued: a
// person, by what this module gave out, or a member. Who holds a member's key can do all that its module can.
func (n *Node) certified(raw [][]byte) (admin.Caller, error) {
	bad := func(format string, args ...any) (admin.Caller, error) {
		return admin.Caller{}, failure(admin.NotPermitted, "bad_credentials", "use the certificate of a member of this mesh, or an access token", format, args...)
	}
	cert, err := x509.ParseCertificate(raw[0])
	if err != nil {
		return bad("client certificate: %v", err)
	}
	if mesh, access, ok := quicnet.CertificateAccess(cert); ok && mesh == n.dir.MeshID {
		return n.operators.tokens.Certified(access, cert.RawSubjectPublicKeyInfo)
	}
	id, m, name, err := quicnet.CertificateModule(cert)
	if err != nil || id != n.dir.MeshID {
		return bad("client certificate of mesh %.70q: this is mesh %s", id, n.dir.MeshID)
	}
	x, ok := n.ctl.state().Member(m)
	if !ok || !x.Standing() {
		return bad("client certificate: %s is no member", name)
	}
	if len(x.Key) > 0 && !ed25519.PublicKey(x.Key).Equal(cert.PublicKey) {
		return bad("client certificate: %s has another key by now", x.Name)
	}
	return admin.Caller{Name: x.Name, Role: admin.Admin}, nil
}

// askRequest is what a member has another one answer for its caller. Members
// trust each other with whom they let in: each holds the authority's key.
type askRequest struct {
	Who admin.Caller `json:"who"`
	URI string       `json:"uri"`
}

// Forward implements admin.Engine.
func (e engine) Forward(ctx context.Context, module string, who admin.Caller, uri string) (*admin.Forwarded, error) {
	n := e.n
	m, ok := n.ctl.state().Named(module)
	if !ok {
		return nil, failure(admin.NotFound, "no_module", "\"drmesh module ls\" lists the modules", "no module %s", module)
	}
	if m.Number == n.dir.Number {
		return n.operators.api.Answer(ctx, who, uri), nil
	}
	b, err := json.Marshal(askRequest{who, uri})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	// An answer may take its time, but that nobody is there is to be told soon.
	if !n.heardLately(m.Number) {
		_, err = n.askVector(ctx, m.Number)
	}
	if err == nil {
		b, err = n.mesh.Call(ctx, m.Number, "ask", b)
	}
	if err != nil {
		return nil, failure(admin.Unreachable, "module_unreachable", "is it served? \"drmesh link ls\" tells what is heard of it", "%s does not answer: %v", module, err)
	}
	f := new(admin.Forwarded)
	return f, json.Unmarshal(b, f)
}

// heardLately tells whether a neighbour was heard a moment ago. It signs its
// heads once a second, also when nothing is written.
func (n *Node) heardLately(m origin.Module) bool {
	for _, l := range n.mesh.Links() {
		if l.Peer == m {
			return l.Up && time.Since(l.LastHeard) < 3*time.Second
		}
	}
	return false
}

func (n *Node) serveAsk(ctx context.Context, from origin.Module, b []byte) ([]byte, error) {
	var q askRequest
	if err := json.Unmarshal(b, &q); err != nil {
		return nil, err
	}
	q.Who.Name = fmt.Sprintf("%s at %s", q.Who.Name, n.moduleName(from))
	return json.Marshal(n.operators.api.Answer(ctx, q.Who, q.URI))
}

// Ready implements admin.Engine.
func (e engine) Ready(ctx context.Context, what, group string) (*admin.Readiness, error) {
	n := e.n
	r := &admin.Readiness{For: what, Reasons: []string{}}
	not := func(format string, args ...any) { r.Reasons = append(r.Reasons, fmt.Sprintf(format, args...)) }
	if what != "calls" {
		n.readyToWrite(not)
		if what == "write" {
			if err := n.takesWrites(group, not); err != nil {
				return nil, err
			}
		}
	}
	if what == "failover-target" {
		if err := n.readyToOwn(not); err != nil {
			return nil, err
		}
	}
	slices.Sort(r.Reasons)
	r.Ready = len(r.Reasons) == 0
	return r, nil
}

// readyToWrite tells why a shared file would take no writes here.
func (n *Node) readyToWrite(not func(format string, args ...any)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if a, full := n.alarms[diskFull]; full {
		not("%s: %s", diskFull, a.text)
	}
	for g, why := range n.need {
		not("group %d waits for the state of a neighbour: %s", g, why)
	}
	for s, why := range n.notCurrent {
		not("stream of group %d is not current: %s", s.Group, why)
	}
	if n.unproven.Load() {
		not("whether this directory is a copy is not known yet")
	}
	if len(n.rules.shares) == 0 {
		not("no share has a directory here")
	}
}

// takesWrites tells why no write of a group, or, without a name, of any, is
// taken here: another module owns it, or it has no owner at this moment.
func (n *Node) takesWrites(group string, not func(format string, args ...any)) error {
	st := n.ctl.state()
	if _, ok := st.Group(group); group != "" && !ok {
		return failure(admin.NotFound, "no_group", "\"drmesh group ls\" lists them", "there is no group %s", group)
	}
	n.mu.Lock()
	shares := n.rules.shares
	n.mu.Unlock()
	why := map[string]string{}
	for _, s := range shares {
		name := st.GroupName(s.Group)
		switch {
		case group != "" && name != group:
		case s.Owner != "":
			why[name] = s.Owner + " owns it"
		case s.Changing:
			why[name] = "its owner is being changed"
		case s.Lease != nil && !s.Lease():
			why[name] = "this module has no lease of it at the moment"
		case s.Stream == (origin.Stream{}):
			why[name] = cmp.Or(s.Stopped, "no route of it starts here, or its state is still on its way")
		default:
			return nil
		}
	}
	if group != "" && len(why) == 0 {
		not("group %s: no share of it has a directory here", group)
	}
	for name, text := range why {
		not("group %s: %s", name, text)
	}
	return nil
}

// maxBehind is how many txns a module may lack and still be one to take over.
const maxBehind = 1000

// readyToOwn tells why this module should not become an owner.
func (n *Node) readyToOwn(not func(format string, args ...any)) error {
	st := n.ctl.state()
	if _, ok := n.raft.Leader(); !ok {
		not("control has no leader that this module knows of")
	}
	for _, s := range n.streamStatus(st) {
		switch {
		case s.Own || s.Ended:
		case s.Written == nil:
			not("how far %s is is not known", s.Stream)
		case *s.Lag > maxBehind:
			not("%d txns of %s are still to come", *s.Lag, s.Stream)
		}
	}
	if p, err := n.eng.ParkedList(); err != nil {
		return err
	} else if len(p) > 0 {
		not("%d versions are parked", len(p))
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for k, a := range n.alarms {
		if !strings.HasPrefix(k, "module ") { // of another: this one may be the one to step in
			not("%s: %s", k, a.text)
		}
	}
	return nil
}
