package quicnet

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"drmesh/origin"
)

const (
	// certificateLife is that of authorities and modules alike. It is long
	// because nothing renews certificates yet; a module is put out by
	// revocation (Config.Admit), never by waiting.
	certificateLife = 10 * 365 * 24 * time.Hour
	// backdate lets a module whose clock is up to a day behind accept a new
	// certificate.
	backdate = 24 * time.Hour
)

// meshIDs may stand in a URI host without escapes.
var meshIDs = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)

// An Authority issues the certificates of one mesh. Its key is Ed25519. Who
// holds the key can add members, so it stays where members are admitted.
type Authority struct {
	meshID string
	cert   *x509.Certificate
	key    ed25519.PrivateKey
}

// GenerateKey makes a module's identity key. The same key signs its heads.
func GenerateKey() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return key, err
}

// NewAuthority makes the authority of a new mesh. meshID is lower-case letters,
// digits, dots and hyphens; name is for people.
func NewAuthority(meshID, name string) (*Authority, error) {
	if !meshIDs.MatchString(meshID) {
		return nil, fmt.Errorf("new authority: mesh id %q is not of a-z 0-9 . - (63 at most)", meshID)
	}
	key, err := GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("new authority: %w", err)
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: name, Organization: []string{"drmesh"}},
		URIs:                  []*url.URL{{Scheme: "mesh", Host: meshID}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(certificateLife),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("new authority: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("new authority: %w", err)
	}
	return &Authority{meshID, cert, key}, nil
}

// LoadAuthority takes up an authority from the PEM forms that CertPEM and
// KeyPEM gave.
func LoadAuthority(certPEM, keyPEM []byte) (*Authority, error) {
	cert, err := ParseCertificate(certPEM)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	key, err := ParseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	id, err := AuthorityMesh(cert)
	if err != nil {
		return nil, fmt.Errorf("load authority: %w", err)
	}
	if pub, ok := cert.PublicKey.(ed25519.PublicKey); !ok || !pub.Equal(key.Public()) {
		return nil, errors.New("load authority: key does not belong to the certificate")
	}
	return &Authority{id, cert, key}, nil
}

// MeshID is the mesh whose authority this is.
func (a *Authority) MeshID() string { return a.meshID }

// Certificate is the authority's own certificate.
func (a *Authority) Certificate() *x509.Certificate { return a.cert }

// CertPEM is the certificate for keeping and handing out.
func (a *Authority) CertPEM() []byte { return CertificatePEM(a.cert) }

// KeyPEM is the secret key for keeping.
func (a *Authority) KeyPEM() ([]byte, error) { return KeyPEM(a.key) }

// Fingerprint is what a joining machine pins: see Fingerprint.
func (a *Authority) Fingerprint() string { return Fingerprint(a.cert) }

// Issue makes the certificate of a module: number and name (%system#module),
// for the holder of pub.
func (a *Authority) Issue(m origin.Module, name string, pub ed25519.PublicKey) (*x509.Certificate, error) {
	if m == 0 || name == "" || len(pub) != ed25519.PublicKeySize {
		return nil, fmt.Errorf("issue certificate for module %d %q: number, name and key are needed", m, name)
	}
	now := time.Now()
	t := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: name, Organization: []string{"drmesh"}},
		URIs:                  []*url.URL{{Scheme: "mesh", Host: a.meshID, Path: "/module/" + strconv.FormatUint(uint64(m), 10)}},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(certificateLife),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for module %d %s: %w", m, name, err)
	}
	return x509.ParseCertificate(der)
}

// IssueAccess makes the certificate of a person or a program that asks
// operators' doors: for the holder of pub, under the id by which the module
// that gives it out knows it. It is no module's: a mesh takes it for nothing.
func (a *Authority) IssueAccess(id, name string, pub any, until time.Time) (*x509.Certificate, error) {
	t := &x509.Certificate{
		SerialNumber:          newSerial(),
		Subject:               pkix.Name{CommonName: name, Organization: []string{"drmesh"}},
		URIs:                  []*url.URL{{Scheme: "mesh", Host: a.meshID, Path: "/access/" + id}},
		NotBefore:             time.Now().Add(-backdate),
		NotAfter:              until,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, pub, a.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate for %s: %w", name, err)
	}
	return x509.ParseCertificate(der)
}

// CertificateAccess reads mesh id and id from a certificate of IssueAccess; ok
// is false for any other. It verifies nothing.
func CertificateAccess(c *x509.Certificate) (meshID, id string, ok bool) {
	if len(c.URIs) != 1 || c.URIs[0].Scheme != "mesh" {
		return "", "", false
	}
	id, ok = strings.CutPrefix(c.URIs[0].Path, "/access/")
	return c.URIs[0].Host, id, ok
}

// CertificateModule reads mesh id, number and name from a module's
// certificate. It verifies nothing.
func CertificateModule(c *x509.Certificate) (meshID string, m origin.Module, name string, err error) {
	if len(c.URIs) != 1 || c.URIs[0].Scheme != "mesh" {
		return "", 0, "", ErrBadCertificate
	}
	u := c.URIs[0]
	digits, ok := strings.CutPrefix(u.Path, "/module/")
	n, perr := strconv.ParseUint(digits, 10, 32)
	// The number must be in its one written form: no sign, no leading zero.
	if !ok || perr != nil || n == 0 || strconv.FormatUint(n, 10) != digits || !meshIDs.MatchString(u.Host) {
		return "", 0, "", fmt.Errorf("%w: %s", ErrBadCertificate, u)
	}
	return u.Host, origin.Module(n), c.Subject.CommonName, nil
}

// AuthorityMesh reads the mesh id from an authority's certificate.
func AuthorityMesh(c *x509.Certificate) (string, error) {
	if !c.IsCA || len(c.URIs) != 1 || c.URIs[0].Scheme != "mesh" || c.URIs[0].Path != "" || !meshIDs.MatchString(c.URIs[0].Host) {
		return "", errors.New("not the certificate of a mesh's authority")
	}
	return c.URIs[0].Host, nil
}

// Fingerprint is the SHA-256 of a certificate in lower-case hexadecimal.
func Fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return hex.EncodeToString(sum[:])
}

// CertificatePEM is the form in which certificates are kept.
func CertificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// ParseCertificate reads what CertificatePEM wrote.
func ParseCertificate(b []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("no PEM certificate")
	}
	return x509.ParseCertificate(block.Bytes)
}

// KeyPEM is the form in which keys are kept (PKCS #8).
func KeyPEM(key ed25519.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// ParseKey reads what KeyPEM wrote.
func ParseKey(b []byte) (ed25519.PrivateKey, error) {
	block, _ := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("no PEM key")
	}
	k, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := k.(ed25519.PrivateKey)
	if !ok {
		return nil, errors.New("not an Ed25519 key")
	}
	return key, nil
}

func newSerial() *big.Int {
	var b [16]byte
	rand.Read(b[:])
	b[0] &= 0x7f
	b[0] |= 0x40 // never zero, always the same length
	return new(big.Int).SetBytes(b[:])
}
