package node

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"drmesh/admin"
	"drmesh/mesh/control"
)

// token is what admits one module once. Its text holds a secret: whoever has
// it may join.
type token struct {
	ID        string   `json:"i"`
	Secret    []byte   `json:"s"` // 32 bytes; control keeps its SHA-256 alone
	Authority string   `json:"a"` // fingerprint of the mesh's authority
	Addresses []string `json:"p"` // where members listen
}

const tokenPrefix = "drmesh1-"

func newToken(authority string, addresses []string) token {
	var b [40]byte
	rand.Read(b[:])
	return token{ID: hex.EncodeToString(b[:8]), Secret: b[8:], Authority: authority, Addresses: addresses}
}

// hash is what control keeps, and the key of the proof at join.
func (t token) hash() [32]byte { return sha256.Sum256(t.Secret) }

func (t token) String() string {
	b, err := json.Marshal(t)
	if err != nil {
		panic("node: token: " + err.Error()) // strings and bytes always marshal
	}
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}

func parseToken(s string) (token, error) {
	bad := failure(admin.NotPermitted, "token_malformed", "make one with \"drmesh token create --dir D\" at a member, and give it whole", "this is no token of DRMesh")
	var t token
	s = strings.TrimSpace(s)
	if !strings.HasPrefix(s, tokenPrefix) || len(s) > 8192 {
		return t, bad
	}
	b, err := base64.RawURLEncoding.DecodeString(s[len(tokenPrefix):])
	if err != nil || json.Unmarshal(b, &t) != nil || len(t.Secret) != 32 || t.ID == "" || len(t.Addresses) == 0 {
		return t, bad
	}
	return t, nil
}

// CreateToken implements admin.Engine.
func (e engine) CreateToken(ctx context.Context, r admin.TokenRequest) (*admin.Token, error) {
	n := e.n
	role := control.Role(r.Role)
	if role == "" {
		role = control.RoleMember
	}
	if role != control.RoleMember && role != control.RoleWitness && role != control.RoleLeaf {
		return nil, failure(admin.Usage, "bad_role", "member, witness or leaf", "role %q", r.Role)
	}
	if role != control.RoleLeaf && r.Limit != 0 {
		return nil, failure(admin.Usage, "bad_limit", "leave the limit out, or make it a leaf", "only a leaf has a limit, not a %s", role)
	}
	if r.Limit < 0 || r.Limit > 0 && r.Limit < leastLimit || r.Limit.Milliseconds() > control.MaxLeafLimit {
		return nil, failure(admin.Usage, "bad_limit", "give one of an hour to ten years", "a limit of %v", r.Limit)
	}
	if r.TTL <= 0 {
		r.TTL = time.Hour
	}
	t := newToken(n.dir.authority.Fingerprint(), n.joinAddresses())
	h := t.hash()
	exp := time.Now().Add(r.TTL)
	res, err := n.propose(ctx, &control.Command{Kind: control.KindCreateToken, CreateToken: &control.CreateToken{ID: t.ID, Secret: h[:], Role: role, Expires: exp.UnixMilli(), Limit: r.Limit.Milliseconds()}})
	if err != nil {
		return nil, err
	}
	if err := n.ctl.wait(ctx, res.Index); err != nil {
		return nil, err
	}
	return &admin.Token{Token: t.String(), Role: string(role), Expires: exp}, nil
}

// joinAddresses lists where a joiner may ask: here first.
func (n *Node) joinAddresses() []string {
	l := slices.Clone(n.dir.Listen)
	for _, m := range n.ctl.state().Members {
		if m.Standing() && m.Number != n.dir.Number && len(l) < 6 {
			l = append(l, m.Addresses...)
		}
	}
	return l
}
