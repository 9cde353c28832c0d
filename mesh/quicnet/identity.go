package quicnet

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"

	"drmesh/origin"
)

// Names in TLS's application protocol negotiation.
const (
	alpnMesh = "drmesh/1"
	alpnJoin = "drmesh-join/1"
)

// An Identity is what a module shows to its peers, and what it asks of them.
type Identity struct {
	Cert *x509.Certificate
	Key  ed25519.PrivateKey
	// Authorities issued the certificates that are accepted. The first is
	// sent with ours, for joiners to compare with the one they were told;
	// a second one is for the time of a change of authority.
	Authorities []*x509.Certificate
}

// identity is an Identity after it was checked.
type identity struct {
	Identity
	meshID string
	module origin.Module
	roots  *x509.CertPool
	tls    tls.Certificate
}

func (id Identity) check() (*identity, error) {
	if id.Cert == nil || len(id.Key) != ed25519.PrivateKeySize || len(id.Authorities) == 0 {
		return nil, errors.New("identity: certificate, key and authority are needed")
	}
	meshID, m, _, err := CertificateModule(id.Cert)
	if err != nil {
		return nil, fmt.Errorf("identity: %w", err)
	}
	if pub, ok := id.Cert.PublicKey.(ed25519.PublicKey); !ok || !pub.Equal(id.Key.Public()) {
		return nil, errors.New("identity: key does not belong to the certificate")
	}
	c := &identity{Identity: id, meshID: meshID, module: m, roots: x509.NewCertPool()}
	for _, a := range id.Authorities {
		c.roots.AddCert(a)
	}
	c.tls = tls.Certificate{
		Certificate: [][]byte{id.Cert.Raw, id.Authorities[0].Raw},
		PrivateKey:  id.Key,
		Leaf:        id.Cert,
	}
	return c, nil
}

// derive gives a secret that stays the same over restarts of this module, for
// one purpose.
func (id *identity) derive(purpose string) (k [32]byte) {
	h := hmac.New(sha256.New, id.Key.Seed())
	h.Write([]byte(purpose))
	h.Sum(k[:0])
	return k
}

// verify says which module the holder of these certificates is. It checks
// chain, time, use, mesh and form; membership is the caller's.
func (id *identity) verify(certs []*x509.Certificate) (origin.Module, error) {
	if len(certs) == 0 {
		return 0, ErrNoCertificate
	}
	leaf := certs[0]
	_, err := leaf.Verify(x509.VerifyOptions{Roots: id.roots, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		if inv, ok := errors.AsType[x509.CertificateInvalidError](err); ok && inv.Reason == x509.Expired {
			return 0, fmt.Errorf("%w: %v", ErrExpired, err)
		}
		return 0, fmt.Errorf("%w: %v", ErrWrongAuthority, err)
	}
	meshID, m, _, err := CertificateModule(leaf)
	if err != nil {
		return 0, err
	}
	if meshID != id.meshID {
		return 0, fmt.Errorf("%w: %s, this is %s", ErrWrongMesh, meshID, id.meshID)
	}
	if _, ok := leaf.PublicKey.(ed25519.PublicKey); !ok {
		return 0, fmt.Errorf("%w: its key is not Ed25519", ErrBadCertificate)
	}
	return m, nil
}

// serverTLS is made once; who we are is looked up for each connection, so that
// SetIdentity needs no restart.
func (n *Net) serverTLS() *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{alpnMesh, alpnJoin},
		SessionTicketsDisabled: true,
		GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
			id := n.identity.Load()
			c := &tls.Config{
				MinVersion:             tls.VersionTLS13,
				SessionTicketsDisabled: true,
				Certificates:           []tls.Certificate{id.tls},
			}
			for _, p := range hello.SupportedProtos {
				switch p {
				case alpnMesh:
					// A missing certificate is refused in check, not by
					// TLS, so that it is counted and named.
					c.NextProtos = []string{alpnMesh}
					c.ClientAuth = tls.RequestClientCert
					c.VerifyConnection = func(s tls.ConnectionState) error {
						_, err := n.check(id, s.PeerCertificates)
						if err != nil {
							n.refuse(err, remoteOf(hello.Conn))
						}
						return err
					}
					return c, nil
				case alpnJoin:
					if n.joins.handler.Load() == nil {
						continue
					}
					c.NextProtos = []string{alpnJoin}
					return c, nil
				}
			}
			err := fmt.Errorf("%w: it asks for %.100q", ErrProtocol, hello.SupportedProtos)
			n.refuse(err, remoteOf(hello.Conn))
			return nil, err
		},
	}
}

// clientTLS expects one certain module at the other end.
func (n *Net) clientTLS(id *identity, peer origin.Module) *tls.Config {
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		NextProtos:             []string{alpnMesh},
		SessionTicketsDisabled: true,
		Certificates:           []tls.Certificate{id.tls},
		// Names on the network prove nothing here: VerifyConnection does
		// all of the verification, against the mesh's own authority.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			m, err := n.check(id, s.PeerCertificates)
			if err == nil && m != peer {
				err = fmt.Errorf("%w: module %d, wanted %d", ErrWrongPeer, m, peer)
			}
			return err
		},
	}
}

// check is verify and membership. It runs before the peer has proven that it
// holds the key of its certificate; TLS sees to that before any stream exists.
func (n *Net) check(id *identity, certs []*x509.Certificate) (origin.Module, error) {
	m, err := id.verify(certs)
	if err != nil {
		return 0, err
	}
	if n.cfg.Admit != nil {
		if err := n.cfg.Admit(m, certs[0]); err != nil {
			return 0, fmt.Errorf("%w: module %d: %w", ErrNotAdmitted, m, err)
		}
	}
	return m, nil
}

func remoteOf(c net.Conn) string {
	if c == nil || c.RemoteAddr() == nil {
		return "?"
	}
	return c.RemoteAddr().String()
}
