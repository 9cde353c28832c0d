package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"drmesh/admin"
	"drmesh/admin/client"
)

// shown is what somebody shows at the operators' door.
type shown struct {
	name  string
	cert  *tls.Certificate
	token string
	role  admin.Role // what it is good for
	no    bool       // TLS itself lets nobody in with it
}

// TestEveryRouteWithEveryCertificate asks every route of the kept document over
// TLS, with certificates and tokens of each role, and with such as are forged,
// expired, revoked, or another mesh's: who has the role gets in, and nobody else.
func TestEveryRouteWithEveryCertificate(t *testing.T) {
	t.Parallel()
	east, other := meshOf(t, "%east#m1")[0], meshOf(t, "%east#m1")[0]
	door, err := admin.ServeTCP("0.0.0.0:0", east.operatorTLS(), east.operators.api)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { door.Close() })
	port := door.Addr().String()[strings.LastIndex(door.Addr().String(), ":")+1:]

	socket, err := client.Open(t.Context(), east.dir.path)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	access := func(n *Node, r admin.AccessRequest) (*admin.NewAccess, ed25519.PrivateKey) {
		t.Helper()
		c, err := client.Open(t.Context(), n.dir.path)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		pub, key, _ := ed25519.GenerateKey(rand.Reader)
		if r.Name == "cert" {
			if r.Key, err = x509.MarshalPKIXPublicKey(pub); err != nil {
				t.Fatal(err)
			}
		}
		a, err := c.CreateAccess(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return a, key
	}
	pair := func(chain string, key any) *tls.Certificate {
		x := &tls.Certificate{PrivateKey: key}
		for rest := []byte(chain); len(rest) > 0; {
			var b *pem.Block
			if b, rest = pem.Decode(rest); b == nil {
				break
			}
			x.Certificate = append(x.Certificate, b.Bytes)
		}
		return x
	}
	cards := []shown{{name: "nothing"}}
	for _, role := range []admin.Role{admin.Viewer, admin.Operator, admin.Admin} {
		a, key := access(east, admin.AccessRequest{Name: "cert", Role: role})
		cards = append(cards, shown{name: "a certificate of a " + string(role), cert: pair(a.Chain, key), role: role})
		a, _ = access(east, admin.AccessRequest{Name: "token", Role: role})
		cards = append(cards, shown{name: "a token of a " + string(role), token: a.Token, role: role})
	}
	good, key := access(east, admin.AccessRequest{Name: "cert", Role: admin.Admin})
	leaf, err := x509.ParseCertificate(pair(good.Chain, key).Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	// The same words in it, signed by itself.
	forged := *leaf
	forged.SerialNumber = big.NewInt(7)
	der, err := x509.CreateCertificate(rand.Reader, &forged, &forged, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cards = append(cards, shown{name: "a forged certificate", cert: &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, no: true})
	a, k := access(other, admin.AccessRequest{Name: "cert", Role: admin.Admin})
	cards = append(cards, shown{name: "a certificate of another mesh", cert: pair(a.Chain, k), no: true})
	a, _ = access(other, admin.AccessRequest{Name: "token", Role: admin.Admin})
	cards = append(cards, shown{name: "a token of another mesh", token: a.Token})
	late, err := east.dir.authority.IssueAccess(good.ID, "cert", key.Public(), time.Now().Add(-time.Second))
	if err != nil {
		t.Fatal(err)
	}
	cards = append(cards, shown{name: "an expired certificate", cert: &tls.Certificate{Certificate: [][]byte{late.Raw}, PrivateKey: key}, no: true})
	unknown, err := east.dir.authority.IssueAccess("0123456789abcdef", "cert", key.Public(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	cards = append(cards, shown{name: "a certificate that this module did not give out", cert: &tls.Certificate{Certificate: [][]byte{unknown.Raw}, PrivateKey: key}})
	_, another, _ := ed25519.GenerateKey(rand.Reader)
	swapped, err := east.dir.authority.IssueAccess(good.ID, "cert", another.Public(), time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	cards = append(cards, shown{name: "a certificate for another key", cert: &tls.Certificate{Certificate: [][]byte{swapped.Raw}, PrivateKey: another}})
	for what, r := range map[string]admin.AccessRequest{"certificate": {Name: "cert", Role: admin.Admin}, "token": {Name: "token", Role: admin.Admin}} {
		a, k := access(east, r)
		if _, err := socket.RevokeAccess(t.Context(), a.ID); err != nil {
			t.Fatal(err)
		}
		x := shown{name: "a revoked " + what, token: a.Token}
		if a.Chain != "" {
			x.cert = pair(a.Chain, k)
		}
		cards = append(cards, x)
	}
	tampered, _ := access(east, admin.AccessRequest{Name: "token", Role: admin.Admin})
	// Its id, its secret, and which authority to expect: a letter of the secret.
	letters := []byte(tampered.Token)
	if at := len(letters) - 60; letters[at] == 'A' {
		letters[at] = 'B'
	} else {
		letters[at] = 'A'
	}
	cards = append(cards, shown{name: "a token with one letter changed", token: string(letters)})

	b, err := os.ReadFile("../docs/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			ID   string          `json:"operationId"`
			Role string          `json:"x-role"`
			Body json.RawMessage `json:"requestBody"`
		}
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, card := range cards {
		conf := &tls.Config{InsecureSkipVerify: true}
		if card.cert != nil {
			// Shown whatever the other side asks for.
			conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return card.cert, nil }
		}
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: conf}, Timeout: 30 * time.Second}
		for path, methods := range doc.Paths {
			for method, r := range methods {
				if r.ID == "events" || r.ID == "journal" {
					continue // they go on; their guard is everybody's
				}
				// No body is one that a route takes: who gets in changes nothing.
				q, err := http.NewRequestWithContext(t.Context(), strings.ToUpper(method), "https://127.0.0.1:"+port+strings.NewReplacer("{id}", "0", "{group}", "g", "{name}", "g.1.1").Replace(path), strings.NewReader("[7"))
				if err != nil {
					t.Fatal(err)
				}
				if len(r.Body) > 0 {
					q.Header.Set("Content-Type", "application/json")
				}
				if card.token != "" {
					q.Header.Set("Authorization", "Bearer "+card.token)
				}
				want := "in"
				switch {
				case card.no:
					want = "no TLS"
				case r.Role == "none" && card.token == "" && card.cert == nil:
				case r.Role == "none":
					continue // whoever shows something bad may be told so, or not
				case card.role == "":
					want = "401"
				case !card.role.May(admin.Role(r.Role)):
					want = "403"
				}
				got := "no TLS"
				if resp, err := c.Do(q); err == nil {
					resp.Body.Close()
					if got = "in"; resp.StatusCode == 401 || resp.StatusCode == 403 {
						got = fmt.Sprint(resp.StatusCode)
					}
				}
				if got != want {
					t.Errorf("%s, %s: %s, want %s", r.ID, card.name, got, want)
				}
				asked++
			}
		}
		c.CloseIdleConnections()
	}
	if asked < 500 {
		t.Errorf("%d questions: too few to be all", asked)
	}
	if s := status(t, east); s.State != "serving" || len(s.Members) != 1 {
		t.Errorf("the module is %s, with %d members", s.State, len(s.Members))
	}
}
