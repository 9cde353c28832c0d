package node

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"drmesh/admin"
	"drmesh/mesh/quicnet"
	"drmesh/origin"
)

// dirFormat is the format of a module's directory. A newer one is refused.
const dirFormat = 1

// identity is D/module.json: who this directory is.
type identity struct {
	Format int           `json:"format"`
	MeshID string        `json:"mesh_id"`
	Mesh   string        `json:"mesh"`
	Module string        `json:"module"`
	Number origin.Module `json:"number"`
	Listen []string      `json:"listen"`
	Admin  string        `json:"admin,omitempty"`
	// Founder made the mesh: its first start sets up control.
	Founder bool `json:"founder,omitempty"`
}

// dir is a module's directory.
type dir struct {
	path string
	identity
	cert      *x509.Certificate
	key       ed25519.PrivateKey
	authority *quicnet.Authority
	lock      *os.File // held while a node serves the directory
}

func (d *dir) file(parts ...string) string {
	return filepath.Join(append([]string{d.path}, parts...)...)
}

// failure makes an error for operators: class of exit, what, and what to do.
func failure(class admin.Class, code, hint, format string, args ...any) *admin.Error {
	return &admin.Error{Class: class, Code: code, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// checkSocketPath refuses a directory whose sockets no program could reach.
func checkSocketPath(path string) error {
	abs, err := filepath.Abs(filepath.Join(path, "admin.sock"))
	if err != nil {
		return err
	}
	if len(abs) > 100 {
		return failure(admin.Precondition, "socket_path_too_long", "choose a directory with a shorter path, or make a short symbolic link to it",
			"%s: %d bytes; a socket's path may have 100", abs, len(abs))
	}
	return nil
}

// createDir makes a directory for a new module; one that has a module already
// is left alone.
func createDir(path string) (*dir, error) {
	if err := checkSocketPath(path); err != nil {
		return nil, err
	}
	if old, err := readIdentity(path); err == nil {
		return nil, failure(admin.Precondition, "directory_in_use", "choose an empty directory",
			"%s holds module %s of mesh %s already", path, old.Module, old.Mesh)
	}
	if l, err := os.ReadDir(path); err == nil && len(l) > 0 {
		return nil, failure(admin.Precondition, "directory_not_empty", "choose an empty directory", "%s is not empty and holds no module", path)
	}
	if err := os.MkdirAll(filepath.Join(path, "keys"), 0o700); err != nil {
		return nil, err
	}
	return &dir{path: path}, nil
}

// save writes identity and keys, the identity last: a directory without it is
// no module's.
func (d *dir) save() error {
	keyPEM, err := quicnet.KeyPEM(d.key)
	if err != nil {
		return err
	}
	authKey, err := d.authority.KeyPEM()
	if err != nil {
		return err
	}
	for name, b := range map[string][]byte{
		"keys/module.crt":    quicnet.CertificatePEM(d.cert),
		"keys/module.key":    keyPEM,
		"keys/authority.crt": d.authority.CertPEM(),
		"keys/authority.key": authKey,
	} {
		if err := writeFile(d.file(name), b); err != nil {
			return err
		}
	}
	d.Format = dirFormat
	b, err := json.MarshalIndent(d.identity, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(d.file("module.json"), append(b, '\n'))
}

func readIdentity(path string) (identity, error) {
	var id identity
	b, err := os.ReadFile(filepath.Join(path, "module.json"))
	if err != nil {
		return id, err
	}
	if err := json.Unmarshal(b, &id); err != nil {
		return id, fmt.Errorf("read %s: %w", filepath.Join(path, "module.json"), err)
	}
	return id, nil
}

// lockGrace is how long the lock of a directory is waited for.
const lockGrace = time.Second

// openDir reads a module's directory and takes its lock: one process serves
// it. One that was just killed keeps the lock until the system has put it away;
// who starts the next at once does not fail by that.
func openDir(ctx context.Context, path string) (*dir, error) {
	if err := checkSocketPath(path); err != nil {
		return nil, err
	}
	id, err := readIdentity(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, failure(admin.Precondition, "no_module", "make one with \"drmesh init\" or \"drmesh join\"", "%s holds no module", path)
	} else if err != nil {
		return nil, err
	}
	if id.Format != dirFormat {
		return nil, failure(admin.Precondition, "unknown_format", "use the drmesh that wrote it, or a newer one", "%s has format %d; this drmesh knows %d", path, id.Format, dirFormat)
	}
	d := &dir{path: path, identity: id}
	f, err := os.OpenFile(d.file("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	for until := time.Now().Add(lockGrace); err == syscall.EWOULDBLOCK && time.Now().Before(until) && ctx.Err() == nil; {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		holder := make([]byte, 32)
		n, _ := f.ReadAt(holder, 0)
		f.Close()
		return nil, failure(admin.Precondition, "directory_served", "stop that process first, or use another directory",
			"%s is served by process %s", path, string(holder[:n]))
	}
	d.lock = f
	f.Truncate(0)
	fmt.Fprintf(f, "%d", os.Getpid())
	if err := d.readKeys(); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *dir) readKeys() error {
	read := func(name string) ([]byte, error) { return os.ReadFile(d.file("keys", name)) }
	cert, err := read("module.crt")
	if err != nil {
		return err
	}
	key, err := read("module.key")
	if err != nil {
		return err
	}
	ac, err := read("authority.crt")
	if err != nil {
		return err
	}
	ak, err := read("authority.key")
	if err != nil {
		return err
	}
	if d.cert, err = quicnet.ParseCertificate(cert); err != nil {
		return err
	}
	if d.key, err = quicnet.ParseKey(key); err != nil {
		return err
	}
	if d.authority, err = quicnet.LoadAuthority(ac, ak); err != nil {
		return err
	}
	meshID, m, _, err := quicnet.CertificateModule(d.cert)
	if err != nil {
		return err
	}
	if meshID != d.MeshID || m != d.Number {
		return failure(admin.Precondition, "foreign_directory", "give the directory that init or join made",
			"%s: the certificate is of module %d of mesh %s, the directory of module %d of mesh %s", d.path, m, meshID, d.Number, d.MeshID)
	}
	return nil
}

func (d *dir) close() {
	if d.lock != nil {
		d.lock.Close()
	}
}

// writeFile replaces a file durably: old or new, never half.
func writeFile(path string, b []byte) error {
	tmp := path + ".new"
	f, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = f.Write(b); err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(tmp, path)
	}
	if err != nil {
		return err
	}
	p, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer p.Close()
	return p.Sync()
}
