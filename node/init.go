package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"net"

	"drmesh/admin"
	"drmesh/mesh/quicnet"
	"drmesh/vosio/path"
)

// InitOptions say what the first module of a new mesh is.
type InitOptions struct {
	Dir    string
	Module string   // %system#module
	Mesh   string   // name of the mesh; empty: drmesh
	Listen []string // UDP addresses, host:port
	Admin  string   // TCP address for operators, host:port; empty: none
}

// Init makes the directory of the first module of a new mesh, with the mesh's
// own authority. Nothing runs yet; on return the directory is durable.
func Init(o InitOptions) error {
	if err := checkModule(o.Module); err != nil {
		return err
	}
	if o.Mesh == "" {
		o.Mesh = "drmesh"
	}
	if len(o.Listen) == 0 {
		o.Listen = []string{"127.0.0.1:7101"}
	}
	if err := checkListen(o.Listen); err != nil {
		return err
	}
	if err := checkAdmin(o.Admin); err != nil {
		return err
	}
	d, err := createDir(o.Dir)
	if err != nil {
		return err
	}
	var id [16]byte
	rand.Read(id[:])
	d.identity = identity{MeshID: hex.EncodeToString(id[:]), Mesh: o.Mesh, Module: o.Module, Number: 1, Listen: o.Listen, Admin: o.Admin, Founder: true}
	if d.authority, err = quicnet.NewAuthority(d.MeshID, o.Mesh); err != nil {
		return err
	}
	if d.key, err = quicnet.GenerateKey(); err != nil {
		return err
	}
	if d.cert, err = d.authority.Issue(d.Number, d.Module, d.key.Public().(ed25519.PublicKey)); err != nil {
		return err
	}
	return d.save()
}

func checkModule(name string) error {
	if err := path.CheckModule(name); err != nil {
		return failure(admin.Usage, "bad_module_name", "a module's name looks like %east#m1", "%v", err)
	}
	return nil
}

func checkListen(addrs []string) error {
	for _, a := range addrs {
		host, port, err := net.SplitHostPort(a)
		if err != nil || port == "" {
			return failure(admin.Usage, "bad_address", "give IP:PORT, for example 127.0.0.1:7101", "listen address %q: not IP:PORT", a)
		}
		if ip := net.ParseIP(host); host != "" && ip == nil && host != "localhost" {
			return failure(admin.Usage, "bad_address", "give an IP address of this machine", "listen address %q: %q is no IP address", a, host)
		} else if host == "" || ip.IsUnspecified() {
			return failure(admin.Usage, "bad_address", "give the address at which other modules reach this one", "listen address %q: peers cannot dial it", a)
		}
	}
	return nil
}

// checkAdmin refuses what is no TCP address for operators.
func checkAdmin(addr string) error {
	if addr == "" {
		return nil
	}
	_, err := admin.Loopback(addr)
	return err
}
