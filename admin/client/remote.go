package client

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"drmesh/admin"
)

// Remote is a module that is reached over TCP.
type Remote struct {
	Addr string // IP:PORT; https:// before it asks for TLS on this machine too
	// Token is an access token of that module; it also says which authority its
	// certificate is of.
	Token string
	// Cert is a file with a client certificate of that module, the authority's
	// and the key, in PEM.
	Cert string
	// Dir is the directory of a member of the same mesh on this machine. Without
	// a token its certificate lets in.
	Dir string
}

// Dial gives a client of a module over TCP: in plain on this machine, else over
// TLS to exactly the mesh that the token or the directory is of. It connects,
// so that a node that is not there is met at once.
func Dial(ctx context.Context, r Remote) (*Client, error) {
	addr, secure := strings.CutPrefix(r.Addr, "https://")
	r.Addr = addr
	loop, err := admin.Loopback(r.Addr)
	if err != nil {
		return nil, err
	}
	c := &Client{where: r.Addr, base: "http://" + r.Addr, token: r.Token, hint: "is it served with --admin? can it be reached from here?"}
	t := &http.Transport{MaxIdleConns: 4, IdleConnTimeout: 30 * time.Second, DialContext: (&net.Dialer{Timeout: Patience}).DialContext, TLSHandshakeTimeout: Patience}
	if !loop || secure {
		c.base = "https://" + r.Addr
		if t.TLSClientConfig, err = r.config(); err != nil {
			return nil, err
		}
	}
	c.http = &http.Client{Transport: t, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	if _, err := ask[*admin.Caller](ctx, c, "/v1/whoami", nil); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

var errAuthority = errors.New("its certificate is not of the mesh's authority")

// config is TLS to a module of one authority. Names mean nothing: modules are
// known by their certificates.
func (r Remote) config() (*tls.Config, error) {
	t := &tls.Config{MinVersion: tls.VersionTLS13, InsecureSkipVerify: true} // VerifyConnection does it
	pin, ok := admin.AccessAuthority(r.Token)
	switch {
	case r.Token != "" && !ok:
		return nil, admin.Errorf(admin.NotPermitted, "bad_credentials", "\"drmesh user token create\" on the module's machine makes one", "this is no access token")
	case r.Token == "" && r.Cert != "":
		b, err := os.ReadFile(r.Cert)
		if err != nil {
			return nil, admin.Errorf(admin.Precondition, "no_certificate", "\"drmesh user cert create\" on the module's machine makes one", "%v", err)
		}
		pair, err := tls.X509KeyPair(b, b)
		if err != nil || len(pair.Certificate) != 2 {
			return nil, admin.Errorf(admin.NotPermitted, "bad_credentials", "\"drmesh user cert create\" on the module's machine makes one", "%s: no client certificate with its authority and key (%v)", r.Cert, err)
		}
		sum := sha256.Sum256(pair.Certificate[1])
		pin = sum[:]
		pair.Certificate = pair.Certificate[:1]
		t.Certificates = []tls.Certificate{pair}
	case r.Token == "" && r.Dir != "":
		b, err := os.ReadFile(filepath.Join(r.Dir, "keys", "authority.crt"))
		if err != nil {
			return nil, admin.Errorf(admin.Precondition, "no_module", "give an access token with --token, or the directory of a member", "%v", err)
		}
		block, _ := pem.Decode(b)
		if block == nil {
			return nil, admin.Errorf(admin.Failed, "bad_authority", "", "%s: no certificate", filepath.Join(r.Dir, "keys", "authority.crt"))
		}
		sum := sha256.Sum256(block.Bytes)
		pin = sum[:]
		cert, err := tls.LoadX509KeyPair(filepath.Join(r.Dir, "keys", "module.crt"), filepath.Join(r.Dir, "keys", "module.key"))
		if err != nil {
			return nil, err
		}
		t.Certificates = []tls.Certificate{cert}
	case r.Token == "":
		return nil, admin.Errorf(admin.Usage, "no_credentials", "give --token (or DRMESH_TOKEN), --cert (or DRMESH_CERT), or --dir with the directory of a member", "another machine lets nobody in without a token or a certificate")
	}
	t.VerifyConnection = func(s tls.ConnectionState) error {
		for _, a := range s.PeerCertificates {
			sum := sha256.Sum256(a.Raw)
			if !slices.Equal(sum[:], pin) {
				continue
			}
			roots := x509.NewCertPool()
			roots.AddCert(a)
			_, err := s.PeerCertificates[0].Verify(x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
			return err
		}
		return errAuthority
	}
	return t, nil
}
