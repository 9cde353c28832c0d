package admin

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// accessPrefix begins the text of an access token. Those that admit modules
	// begin otherwise, so that neither passes for the other.
	accessPrefix = "drmesh-access1-"
	maxAccess    = 1000
	maxAccessTTL = 366 * 24 * time.Hour
	// A token that cannot be used any more is listed for so long.
	keepDeadAccess = 30 * 24 * time.Hour
)

// AccessToken is what lets a person or a program in from afar, without its
// secret: a token, or a client certificate.
type AccessToken struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Role    Role       `json:"role" enum:"viewer,operator,admin"`
	By      string     `json:"by"`
	Created time.Time  `json:"created"`
	Expires time.Time  `json:"expires"`
	Revoked *time.Time `json:"revoked"`
	// Certificate says that it is one: its key is its secret.
	Certificate bool `json:"certificate,omitempty"`
}

// AccessRequest asks for an access token.
type AccessRequest struct {
	Name string        `json:"name" required:"false" maxLength:"100" doc:"Whose it is, for the audit"`
	Role Role          `json:"role" enum:"viewer,operator,admin"`
	TTL  time.Duration `json:"ttl_ns" required:"false" doc:"How long it may be used; 0: 30 days"`
	Key  []byte        `json:"public_key,omitempty" required:"false" maxLength:"2000" doc:"Make a client certificate for this public key (PKIX, DER) instead of a token"`
}

// NewAccess is a new access token; its text is a secret that cannot be had
// again.
type NewAccess struct {
	AccessToken
	Token string `json:"token,omitempty"`
	// Chain is a client certificate and that of the authority, in PEM.
	Chain string `json:"chain,omitempty"`
}

// storedAccess is a token as it is kept: the SHA-256 alone of its secret, or of
// its certificate's public key. A secret has 256 random bits, so that a slow
// hash would add nothing.
type storedAccess struct {
	AccessToken
	Hash string `json:"sha256"`
}

// AccessTokens are the access tokens of one module: what one module gave out is
// good there alone. A change is durable before it is answered.
type AccessTokens struct {
	path      string
	authority [32]byte // SHA-256 of the authority's certificate: what a client pins
	issue     IssueAccess

	mu  sync.Mutex // protects what follows; held across the small write of the file
	all []storedAccess
}

// IssueAccess makes a client certificate: it and that of the authority, in PEM.
type IssueAccess func(id, name string, pub any, until time.Time) (chain []byte, err error)

// OpenAccessTokens reads the tokens kept in a file; none if it is not there.
// authority is the SHA-256 of the certificate of the mesh's authority; without
// issue there are no client certificates.
func OpenAccessTokens(path string, authority [32]byte, issue IssueAccess) (*AccessTokens, error) {
	t := &AccessTokens{path: path, authority: authority, issue: issue}
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return t, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, &t.all); err != nil {
		return nil, fmt.Errorf("read access tokens %s: %w", path, err)
	}
	return t, nil
}

func (t *AccessTokens) save(all []storedAccess) error {
	b, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	tmp := t.path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(append(b, '\n')); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp, t.path)
	}
	if err != nil {
		return fmt.Errorf("write access tokens: %w", err)
	}
	d, err := os.Open(filepath.Dir(t.path))
	if err != nil {
		return err
	}
	defer d.Close()
	t.all = all
	return d.Sync()
}

func (t *AccessTokens) create(r AccessRequest, by string) (*NewAccess, error) {
	if _, ok := ranks[r.Role]; !ok || r.Role == Nobody {
		return nil, Errorf(Usage, "bad_role", "viewer, operator or admin", "role %q", r.Role)
	}
	if r.TTL == 0 {
		r.TTL = 30 * 24 * time.Hour
	}
	if r.TTL < 0 || r.TTL > maxAccessTTL {
		return nil, Errorf(Usage, "bad_ttl", "give a time above 0, 366 days at most", "a token for %v", r.TTL)
	}
	var b [72]byte // id(8), secret(32), authority(32)
	rand.Read(b[:40])
	copy(b[40:], t.authority[:])
	hash := sha256.Sum256(b[8:40])
	now := time.Now().UTC()
	s := storedAccess{AccessToken: AccessToken{ID: hex.EncodeToString(b[:8]), Name: r.Name, Role: r.Role, By: by, Created: now, Expires: now.Add(r.TTL)},
		Hash: hex.EncodeToString(hash[:])}
	made := &NewAccess{Token: accessPrefix + base64.RawURLEncoding.EncodeToString(b[:])}
	if len(r.Key) > 0 {
		pub, err := x509.ParsePKIXPublicKey(r.Key)
		if err != nil || t.issue == nil {
			return nil, Errorf(Usage, "bad_key", "give a public key in the form PKIX, DER", "a client certificate: %v", err)
		}
		chain, err := t.issue(s.ID, cmp.Or(r.Name, s.ID), pub, s.Expires)
		if err != nil {
			return nil, Errorf(Usage, "bad_key", "", "a client certificate: %v", err)
		}
		hash = sha256.Sum256(r.Key)
		s.Certificate, s.Hash = true, hex.EncodeToString(hash[:])
		made = &NewAccess{Chain: string(chain)}
	}
	made.AccessToken = s.AccessToken
	t.mu.Lock()
	defer t.mu.Unlock()
	all := slices.DeleteFunc(slices.Clone(t.all), func(x storedAccess) bool {
		return now.Sub(x.Expires) > keepDeadAccess || x.Revoked != nil && now.Sub(*x.Revoked) > keepDeadAccess
	})
	if len(all) >= maxAccess {
		return nil, Errorf(Precondition, "too_many_tokens", "revoke some", "%d access tokens are kept, no more are", len(all))
	}
	if err := t.save(append(all, s)); err != nil {
		return nil, err
	}
	return made, nil
}

func (t *AccessTokens) list() []AccessToken {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := make([]AccessToken, 0, len(t.all))
	for _, x := range t.all {
		l = append(l, x.AccessToken)
	}
	return l
}

func (t *AccessTokens) revoke(id string) (*AccessToken, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := slices.Clone(t.all)
	i := slices.IndexFunc(all, func(x storedAccess) bool { return x.ID == id })
	if i < 0 {
		return nil, Errorf(NotFound, "no_token", "\"drmesh user token ls\" lists them", "no access token %s", id)
	}
	if all[i].Revoked == nil {
		now := time.Now().UTC()
		all[i].Revoked = &now
		if err := t.save(all); err != nil {
			return nil, err
		}
	}
	x := all[i].AccessToken
	return &x, nil
}

// caller tells who shows a token.
func (t *AccessTokens) caller(text string) (Caller, error) {
	const hint = "an admin makes one with \"drmesh user token create --dir D\" on the module's machine"
	bad := Errorf(NotPermitted, "bad_credentials", hint, "this is no access token of this module")
	id, secret, _, ok := parseAccess(text)
	if !ok {
		return Caller{}, bad
	}
	return t.known(id, secret, false, bad, hint)
}

// Certified tells who shows a client certificate that the authority issued
// under an id, for a public key (PKIX, DER).
func (t *AccessTokens) Certified(id string, key []byte) (Caller, error) {
	const hint = "an admin makes one with \"drmesh user cert create --dir D\" on the module's machine"
	return t.known(id, key, true, Errorf(NotPermitted, "bad_credentials", hint, "this client certificate is not of this module"), hint)
}

// known finds what was given out by its id and secret; bad is the error where
// there is none such.
func (t *AccessTokens) known(id string, secret []byte, certificate bool, bad error, hint string) (Caller, error) {
	hash := sha256.Sum256(secret)
	word := "access token"
	if certificate {
		word = "client certificate"
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.all {
		x := &t.all[i]
		if x.ID != id || x.Certificate != certificate {
			continue
		}
		want, err := hex.DecodeString(x.Hash)
		if err != nil || subtle.ConstantTimeCompare(want, hash[:]) != 1 {
			return Caller{}, bad
		}
		switch {
		case x.Revoked != nil:
			return Caller{}, Errorf(NotPermitted, "token_revoked", hint, "%s %s was revoked at %s", word, id, x.Revoked.Format(time.RFC3339))
		case !time.Now().Before(x.Expires):
			return Caller{}, Errorf(NotPermitted, "token_expired", hint, "%s %s expired at %s", word, id, x.Expires.Format(time.RFC3339))
		}
		name := "token " + id
		if certificate {
			name = "certificate " + id
		}
		if x.Name != "" {
			name = x.Name + " (" + name + ")"
		}
		return Caller{Name: name, Role: x.Role}, nil
	}
	return Caller{}, bad
}

func parseAccess(text string) (id string, secret, authority []byte, ok bool) {
	s, ok := strings.CutPrefix(text, accessPrefix)
	if !ok || len(s) != 96 {
		return "", nil, nil, false
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 72 {
		return "", nil, nil, false
	}
	return hex.EncodeToString(b[:8]), b[8:40], b[40:], true
}

// AccessAuthority reads, from the text of an access token, the SHA-256 of the
// certificate of the authority that the module's certificate is of.
func AccessAuthority(text string) ([]byte, bool) {
	_, _, a, ok := parseAccess(text)
	return a, ok
}
