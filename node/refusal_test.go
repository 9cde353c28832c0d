package node

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
)

// TestPromise8NobodyUnadmittedIsHeard has joiners come without a right to:
// each is told why, and leaves nothing behind.
func TestPromise8NobodyUnadmittedIsHeard(t *testing.T) {
	t.Parallel()
	nodes := meshReady(t, "%east#m1", "%west#m1")
	east := nodes[0]
	other := bareMesh(t, "%other#m1")[0] // of another mesh
	ctx := context.Background()
	fresh := func(n *Node, ttl time.Duration) token {
		t.Helper()
		k, err := engine{n}.CreateToken(ctx, admin.TokenRequest{TTL: ttl})
		if err != nil {
			t.Fatal(err)
		}
		p, err := parseToken(k.Token)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	used := fresh(east, 0)
	base := shortDir(t)
	if err := Join(ctx, JoinOptions{Token: used.String(), Dir: filepath.Join(base, "good"), Module: "%south#m1", Listen: []string{freePort(t)}}); err != nil {
		t.Fatal(err)
	}
	members := len(status(t, east).Members)
	expired := fresh(east, time.Millisecond)
	eventually(t, "the token expires", func() bool {
		for _, x := range east.ctl.state().Tokens {
			if x.ID == expired.ID && x.Expires > time.Now().UnixMilli() {
				return false
			}
		}
		return true
	})
	secret := fresh(east, 0)
	secret.Secret[0] ^= 1
	unknown := fresh(other, 0)
	unknown.Authority, unknown.Addresses = used.Authority, used.Addresses
	foreign := fresh(east, 0)
	foreign.Addresses = other.joinAddresses()
	nobody := fresh(east, 0)
	nobody.Addresses = []string{freePort(t)}
	for _, c := range []struct {
		what, text, module string
		class              admin.Class
		code               string
		words              string
	}{
		{"used token", used.String(), "%mid#m1", admin.NotPermitted, "token_used", used.ID},
		{"expired token", expired.String(), "%mid#m1", admin.NotPermitted, "token_expired", "expired at"},
		{"wrong secret", secret.String(), "%mid#m1", admin.NotPermitted, "token_unknown", secret.ID},
		{"unknown token", unknown.String(), "%mid#m1", admin.NotPermitted, "token_unknown", unknown.ID},
		{"member of another mesh", foreign.String(), "%mid#m1", admin.NotPermitted, "wrong_authority", ""},
		{"nobody there", nobody.String(), "%mid#m1", admin.Unreachable, "member_unreachable", ""},
		{"no token", "drmesh1-rubbish", "%mid#m1", admin.NotPermitted, "token_malformed", ""},
		{"half a token", used.String()[:30], "%mid#m1", admin.NotPermitted, "token_malformed", ""},
		{"name taken", fresh(east, 0).String(), "%west#m1", admin.Precondition, "name_taken", "%west#m1"},
		{"no name", fresh(east, 0).String(), "mid", admin.Usage, "bad_module_name", "mid"},
	} {
		t.Run(c.what, func(t *testing.T) {
			if c.what == "nobody there" {
				short, cancel := context.WithTimeout(ctx, 2*time.Second)
				defer cancel()
				refused(t, short, base, c.text, c.module, c.class, c.code, c.words)
				return
			}
			refused(t, ctx, base, c.text, c.module, c.class, c.code, c.words)
		})
	}
	if got := len(status(t, east).Members); got != members {
		t.Errorf("%d members after the refusals, %d before", got, members)
	}
	// A refusal for its name does not use the token up.
	again := fresh(east, 0)
	refused(t, ctx, base, again.String(), "%west#m1", admin.Precondition, "name_taken", "")
	if err := Join(ctx, JoinOptions{Token: again.String(), Dir: filepath.Join(base, "again"), Module: "%mid#m1", Listen: []string{freePort(t)}}); err != nil {
		t.Errorf("the token after a refusal for its bearer's name: %v", err)
	}
	works(t, nodes, "after")
}

// TestJoinerWhoseClockIsOff: a joiner whose clock is far from the member's is
// told both, and may join with the same token when it is set.
func TestJoinerWhoseClockIsOff(t *testing.T) {
	east := bareMesh(t, "%east#m1")[0]
	ctx := context.Background()
	k, err := engine{east}.CreateToken(ctx, admin.TokenRequest{})
	if err != nil {
		t.Fatal(err)
	}
	base := shortDir(t)
	for _, off := range []time.Duration{time.Hour, -time.Hour, maxSkew + 2*time.Second, -maxSkew - time.Second, 100 * 365 * 24 * time.Hour} {
		d := filepath.Join(base, "refused")
		var shown time.Time
		err := Join(ctx, JoinOptions{Token: k.Token, Dir: d, Module: "%west#m1", Listen: []string{freePort(t)},
			now: func() time.Time { shown = time.Now().Add(off); return shown }})
		var a *admin.Error
		if !errors.As(err, &a) || a.Class != admin.NotPermitted || a.Code != "clock_off" || a.Hint == "" {
			t.Errorf("off by %v: %v", off, err)
			continue
		}
		ours := shown.Add(-off)
		if !strings.Contains(a.Message, shown.UTC().Format(time.RFC3339)) ||
			!strings.Contains(a.Message, ours.UTC().Format(time.RFC3339)) && !strings.Contains(a.Message, ours.Add(time.Second).UTC().Format(time.RFC3339)) {
			t.Errorf("off by %v: %q does not tell both clocks, %v and %v", off, a.Message, shown.UTC(), ours.UTC())
		}
		if _, err := os.Stat(d); !os.IsNotExist(err) {
			t.Errorf("the refused directory is there: %v", err)
		}
		if got := len(status(t, east).Members); got != 1 {
			t.Errorf("%d members", got)
		}
	}
	if err := Join(ctx, JoinOptions{Token: k.Token, Dir: filepath.Join(base, "west"), Module: "%west#m1", Listen: []string{freePort(t)},
		now: func() time.Time { return time.Now().Add(maxSkew / 2) }}); err != nil {
		t.Errorf("with a clock that is a little off: %v", err)
	}
	put(t, east, "%east#own>notes", "local writes go on")
}

func refused(t *testing.T, ctx context.Context, base, text, module string, cl admin.Class, code, words string) {
	t.Helper()
	d := filepath.Join(base, "refused")
	err := Join(ctx, JoinOptions{Token: text, Dir: d, Module: module, Listen: []string{freePort(t)}})
	var a *admin.Error
	if !errors.As(err, &a) {
		t.Fatalf("joined, or no reason: %v", err)
	}
	if a.Class != cl || a.Code != code || !strings.Contains(a.Message, words) || a.Hint == "" {
		t.Errorf("class %d code %s: %q, hint %q; expected class %d code %s", a.Class, a.Code, a.Message, a.Hint, cl, code)
	}
	if _, err := os.Stat(d); !os.IsNotExist(err) {
		t.Errorf("the refused directory is there: %v", err)
	}
}

// TestDirectoriesThatAreRefused serves what must not be served.
func TestDirectoriesThatAreRefused(t *testing.T) {
	t.Parallel()
	east := bareMesh(t, "%east#m1")[0]
	other := bareMesh(t, "%other#m1")[0]
	is := func(what string, err error, code, words string) {
		t.Helper()
		var a *admin.Error
		if !errors.As(err, &a) || a.Class != admin.Precondition || a.Code != code || !strings.Contains(a.Message, words) {
			t.Errorf("%s: %v", what, err)
		}
	}
	ctx := context.Background()
	_, err := Open(ctx, ServeOptions{Dir: east.dir.path})
	is("a second node on one directory", err, "directory_served", "process")
	is("init over a module", Init(InitOptions{Dir: east.dir.path, Module: "%new#m1"}), "directory_in_use", "%east#m1")
	is("init over a module of another mesh", Init(InitOptions{Dir: other.dir.path, Module: "%new#m1"}), "directory_in_use", "%other#m1")
	full := shortDir(t)
	if err := os.WriteFile(filepath.Join(full, "letter"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	is("init over something else", Init(InitOptions{Dir: full, Module: "%new#m1"}), "directory_not_empty", full)
	_, err = Open(ctx, ServeOptions{Dir: full})
	is("serving no module", err, "no_module", full)
	long := filepath.Join(full, strings.Repeat("a", 100))
	is("a path too long for a socket", Init(InitOptions{Dir: long, Module: "%new#m1"}), "socket_path_too_long", "100")

	// The identity of one with the keys of another.
	d := east.dir.path
	shut(t, east)
	id, err := readIdentity(d)
	if err != nil {
		t.Fatal(err)
	}
	id.MeshID = other.dir.MeshID
	b, err := json.Marshal(id)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d, "module.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(ctx, ServeOptions{Dir: d})
	is("another mesh's identity", err, "foreign_directory", other.dir.MeshID)
	id.Format = 99
	if b, err = json.Marshal(id); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d, "module.json"), b, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(ctx, ServeOptions{Dir: d})
	is("a newer format", err, "unknown_format", "99")
}
