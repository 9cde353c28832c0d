package node

import (
	"context"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"drmesh/admin"
	"drmesh/mesh/control"
	"drmesh/mesh/quicnet"
	"drmesh/origin"
)

// maxSkew is the most that a joiner's clock may differ from a member's: a
// module further ahead stamps by counter, so it had better be set first.
const maxSkew = 10 * time.Second

// joinRequest is the first message of a joiner. Its proof is a MAC, keyed with
// the secret's SHA-256, over keying material that only the two ends of this
// connection share, so that nobody in the middle can use it.
type joinRequest struct {
	Token  string   `json:"token"`
	Proof  string   `json:"proof"`
	Module string   `json:"module"`
	Key    []byte   `json:"key"` // Ed25519 public key
	Listen []string `json:"listen"`
	Clock  int64    `json:"clock"` // unix ms
}

// joinReply is the member's answer: an error, or all that a new directory
// needs.
type joinReply struct {
	Error     *admin.Error  `json:"error,omitempty"`
	Number    origin.Module `json:"number,omitempty"`
	Mesh      string        `json:"mesh,omitempty"`
	Cert      []byte        `json:"cert,omitempty"`      // PEM
	Authority []byte        `json:"authority,omitempty"` // certificate, PEM
	Key       []byte        `json:"key,omitempty"`       // the authority's, PEM: any member admits
	Control   []byte        `json:"control,omitempty"`   // the control state at the member
}

func proof(s *quicnet.JoinStream, t token) (string, error) {
	ekm, err := s.ExportKeyingMaterial("EXPORTER-drmesh-join", []byte(t.ID), 32)
	if err != nil {
		return "", err
	}
	key := t.hash()
	m := hmac.New(sha256.New, key[:])
	m.Write(ekm)
	return hex.EncodeToString(m.Sum(nil)), nil
}

// JoinOptions say which module joins, and where it lives.
type JoinOptions struct {
	Token  string
	Dir    string
	Module string
	Listen []string
	Admin  string           // TCP address for operators, host:port; empty: none
	now    func() time.Time // nil: time.Now
}

// Join admits a new module with a token, and makes its directory. On return
// the mesh knows the module and the directory is durable; it may be served.
func Join(ctx context.Context, o JoinOptions) error {
	t, err := parseToken(o.Token)
	if err != nil {
		return err
	}
	if err := checkModule(o.Module); err != nil {
		return err
	}
	if len(o.Listen) == 0 {
		o.Listen = []string{"127.0.0.1:7102"}
	}
	if err := checkListen(o.Listen); err != nil {
		return err
	}
	if err := checkAdmin(o.Admin); err != nil {
		return err
	}
	if o.now == nil {
		o.now = time.Now
	}
	d, err := createDir(o.Dir)
	if err != nil {
		return err
	}
	joined := false
	defer func() {
		if !joined {
			os.Remove(d.file("keys"))
			os.Remove(d.path)
		}
	}()
	if d.key, err = quicnet.GenerateKey(); err != nil {
		return err
	}
	var last error
	for _, addr := range t.Addresses {
		reply, authority, meshID, err := askJoin(ctx, addr, t, d.key, o)
		if err != nil {
			if e := (*admin.Error)(nil); errors.As(err, &e) {
				return e
			}
			last = err
			continue
		}
		if d.cert, err = quicnet.ParseCertificate(reply.Cert); err != nil {
			return err
		}
		if d.authority, err = quicnet.LoadAuthority(reply.Authority, reply.Key); err != nil {
			return err
		}
		if d.authority.Fingerprint() != quicnet.Fingerprint(authority) {
			return failure(admin.NotPermitted, "wrong_authority", "make a new token at a member of the right mesh", "%s sent another authority than it showed", addr)
		}
		d.identity = identity{MeshID: meshID, Mesh: reply.Mesh, Module: o.Module, Number: reply.Number, Listen: o.Listen, Admin: o.Admin}
		if err := writeFile(d.file("control"), reply.Control); err != nil {
			return err
		}
		if err := d.save(); err != nil {
			return err
		}
		joined = true
		return nil
	}
	return last
}

func askJoin(ctx context.Context, addr string, t token, key ed25519.PrivateKey, o JoinOptions) (*joinReply, *x509.Certificate, string, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	s, err := quicnet.DialJoin(ctx, addr, t.Authority, nil)
	switch {
	case errors.Is(err, quicnet.ErrWrongAuthority), errors.Is(err, quicnet.ErrWrongMesh):
		return nil, nil, "", failure(admin.NotPermitted, "wrong_authority", "make a token with \"drmesh token create --dir D\" at a member of the mesh that is meant", "%v", err)
	case errors.Is(err, quicnet.ErrVersion):
		return nil, nil, "", failure(admin.Precondition, "version", "use a drmesh of the mesh's version", "%v", err)
	case err != nil:
		return nil, nil, "", failure(admin.Unreachable, "member_unreachable", "check that the member that made the token is served, and that UDP reaches it", "%v", err)
	}
	defer s.Close()
	p, err := proof(s, t)
	if err != nil {
		return nil, nil, "", err
	}
	b, err := json.Marshal(joinRequest{Token: t.ID, Proof: p, Module: o.Module, Key: key.Public().(ed25519.PublicKey), Listen: o.Listen, Clock: o.now().UnixMilli()})
	if err != nil {
		return nil, nil, "", err
	}
	if err := s.WriteMessage(b); err != nil {
		return nil, nil, "", fmt.Errorf("join at %s: %w", addr, err)
	}
	if b, err = s.ReadMessage(quicnet.MaxJoinMessage); err != nil {
		return nil, nil, "", fmt.Errorf("join at %s: %w", addr, err)
	}
	var r joinReply
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, nil, "", fmt.Errorf("join at %s: %w", addr, err)
	}
	if r.Error != nil {
		return nil, nil, "", r.Error
	}
	return &r, s.Authority(), s.MeshID(), nil
}

// serveJoin answers one joiner.
func (n *Node) serveJoin(ctx context.Context, s *quicnet.JoinStream) {
	r, err := n.admit(ctx, s)
	if err != nil {
		e := (*admin.Error)(nil)
		if !errors.As(err, &e) {
			e = failure(admin.Failed, "join_failed", "", "%v", err)
		}
		n.log.Warn("a join was refused", "from", s.RemoteAddr().String(), "err", e.Message)
		r = &joinReply{Error: e}
	}
	b, err := json.Marshal(r)
	if err != nil {
		return
	}
	if err := s.WriteMessage(b); err != nil {
		n.log.Warn("a joiner went away before its answer", "from", s.RemoteAddr().String(), "err", err)
	}
}

func (n *Node) admit(ctx context.Context, s *quicnet.JoinStream) (*joinReply, error) {
	b, err := s.ReadMessage(quicnet.MaxJoinMessage)
	if err != nil {
		return nil, err
	}
	var q joinRequest
	if err := json.Unmarshal(b, &q); err != nil {
		return nil, failure(admin.NotPermitted, "join_malformed", "", "join request: %v", err)
	}
	if err := checkModule(q.Module); err != nil {
		return nil, err
	}
	if err := checkListen(q.Listen); err != nil {
		return nil, err
	}
	if len(q.Key) != ed25519.PublicKeySize {
		return nil, failure(admin.NotPermitted, "join_malformed", "", "join request: a key of %d bytes", len(q.Key))
	}
	now := time.Now()
	if skew := now.Sub(time.UnixMilli(q.Clock)); skew.Abs() > maxSkew {
		return nil, failure(admin.NotPermitted, "clock_off", "set the joiner's clock, then join again with the same token",
			"the joiner's clock shows %s, this member's %s", time.UnixMilli(q.Clock).UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	secret, err := n.tokenSecret(ctx, q.Token)
	if err != nil {
		return nil, err
	}
	ekm, err := s.ExportKeyingMaterial("EXPORTER-drmesh-join", []byte(q.Token), 32)
	if err != nil {
		return nil, err
	}
	m := hmac.New(sha256.New, secret)
	m.Write(ekm)
	got, err := hex.DecodeString(q.Proof)
	if err != nil || !hmac.Equal(m.Sum(nil), got) {
		return nil, failure(admin.NotPermitted, "token_unknown", "make a token with \"drmesh token create --dir D\" at a member", "token %s: it is not known, or its secret is another", q.Token)
	}
	s.Extend(30 * time.Second)
	res, err := n.propose(ctx, &control.Command{Kind: control.KindAdmit, Admit: &control.Admit{
		Token: q.Token, Secret: secret, Module: q.Module, Addresses: q.Listen, Key: q.Key}})
	if err != nil {
		return nil, explainJoin(err, q)
	}
	cert, err := n.dir.authority.Issue(res.Module, q.Module, ed25519.PublicKey(q.Key))
	if err != nil {
		return nil, err
	}
	if err := n.ctl.wait(ctx, res.Index); err != nil {
		return nil, err
	}
	snap, err := n.ctl.state().Snapshot()
	if err != nil {
		return nil, err
	}
	key, err := n.dir.authority.KeyPEM()
	if err != nil {
		return nil, err
	}
	return &joinReply{Number: res.Module, Mesh: n.dir.Mesh, Cert: quicnet.CertificatePEM(cert),
		Authority: n.dir.authority.CertPEM(), Key: key, Control: snap}, nil
}

// tokenSecret finds the SHA-256 of a token's secret. A token made a moment ago
// at another module may not have come here yet, so it is asked for once more
// behind the leader.
func (n *Node) tokenSecret(ctx context.Context, id string) ([]byte, error) {
	find := func() *control.Token {
		for _, t := range n.ctl.state().Tokens {
			if t.ID == id {
				return &t
			}
		}
		return nil
	}
	t := find()
	for i := 0; t == nil && i < 20; i++ {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-n.ctl.changed():
		case <-time.After(50 * time.Millisecond):
		}
		t = find()
	}
	const hint = "make a token with \"drmesh token create --dir D\" at a member"
	if t == nil {
		return nil, failure(admin.NotPermitted, "token_unknown", hint, "token %s: it is not known, or its secret is another", id)
	}
	if t.Expires <= time.Now().UnixMilli() {
		return nil, failure(admin.NotPermitted, "token_expired", hint, "token %s expired at %s", id, time.UnixMilli(t.Expires).UTC().Format(time.RFC3339))
	}
	return t.Secret, nil
}

func explainJoin(err error, q joinRequest) error {
	const hint = "make a token with \"drmesh token create --dir D\" at a member"
	switch {
	case errors.Is(err, control.ErrTokenUsed):
		return failure(admin.NotPermitted, "token_used", hint, "token %s: another module joined with it", q.Token)
	case errors.Is(err, control.ErrTokenExpired):
		return failure(admin.NotPermitted, "token_expired", hint, "token %s: %v", q.Token, err)
	case errors.Is(err, control.ErrTokenUnknown):
		return failure(admin.NotPermitted, "token_unknown", hint, "token %s: %v", q.Token, err)
	case errors.Is(err, control.ErrNameTaken), errors.Is(err, control.ErrKeyTaken):
		return failure(admin.Precondition, "name_taken", "choose another name; \"drmesh module ls\" lists those in use", "%v", err)
	}
	return err
}
