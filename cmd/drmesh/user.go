package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

// userCommand holds what lets people and programs in. Modules are let in by
// "token create": the two kinds of token have other words and other texts.
func (a *app) userCommand() *cobra.Command {
	r := admin.AccessRequest{}
	var role string
	create := &cobra.Command{
		Use:   "create",
		Short: "Make an access token of this module; prints it alone, once",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if r.TTL <= 0 {
				return usage("user token create: --ttl %v: give a time above 0", r.TTL)
			}
			if r.Role = admin.Role(role); r.Role != admin.Viewer && r.Role != admin.Operator && r.Role != admin.Admin {
				return usage("user token create: --role %s: give viewer, operator or admin", role)
			}
			cl, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			t, err := cl.CreateAccess(c.Context(), r)
			if err != nil {
				return err
			}
			if a.format == "table" {
				a.say("access token %s, %s until %s; it is not shown again", t.ID, t.Role, cell(t.Expires))
				_, err := fmt.Fprintln(a.out, t.Token)
				return err
			}
			return a.emit(t, nil)
		},
	}
	f := create.Flags()
	f.StringVar(&role, "role", "viewer", "`role`: viewer looks, operator pauses links and changes tables, admin does all")
	f.DurationVar(&r.TTL, "ttl", 30*24*time.Hour, "how long the token may be used")
	f.StringVar(&r.Name, "name", "", "whose it is, for the audit")
	ls := &cobra.Command{
		Use:   "ls",
		Short: "List the access tokens of this module",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			l, err := cl.AccessTokens(c.Context())
			if err != nil {
				return err
			}
			return a.emit(list(l), func(t *table) {
				t.row("ID", "KIND", "ROLE", "NAME", "BY", "CREATED", "EXPIRES", "REVOKED")
				for _, x := range l {
					revoked := "-"
					if x.Revoked != nil {
						revoked = cell(x.Revoked)
					}
					kind := "token"
					if x.Certificate {
						kind = "certificate"
					}
					t.row(x.ID, kind, string(x.Role), x.Name, x.By, x.Created, x.Expires, revoked)
				}
			})
		}),
	}
	revoke := &cobra.Command{
		Use:   "revoke ID",
		Short: "Revoke an access token: it is refused from now on",
		Args:  cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			t, err := cl.RevokeAccess(c.Context(), args[0])
			if err != nil {
				return err
			}
			if a.format == "table" {
				return nil
			}
			return a.emit(t, nil)
		}),
	}
	return nest("user", "People and programs that ask from afar", nest("token", "Access tokens of this module, and its client certificates", create, ls, revoke), nest("cert", "Client certificates of this module", a.userCertCreate()))
}

// userCertCreate makes a key here and has the module certify it.
func (a *app) userCertCreate() *cobra.Command {
	r := admin.AccessRequest{}
	var role, out string
	c := &cobra.Command{
		Use:   "create",
		Short: "Make a client certificate for operators' doors, in a file with its key",
		Long: `Make a client certificate for operators' doors, in a file with its key.
The key is made by this command and never leaves the file. "drmesh user token ls" lists the certificate, and "user token revoke" ends it.`,
		Args: cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			if r.TTL <= 0 {
				return usage("user cert create: --ttl %v: give a time above 0", r.TTL)
			}
			if r.Role = admin.Role(role); r.Role != admin.Viewer && r.Role != admin.Operator && r.Role != admin.Admin {
				return usage("user cert create: --role %s: give viewer, operator or admin", role)
			}
			if out == "" {
				return usage("user cert create: --out: give the file that is to hold it")
			}
			// P-256: what browsers take too.
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				return err
			}
			if r.Key, err = x509.MarshalPKIXPublicKey(key.Public()); err != nil {
				return err
			}
			secret, err := x509.MarshalPKCS8PrivateKey(key)
			if err != nil {
				return err
			}
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return admin.Errorf(admin.Precondition, "no_file", "give the name of a file that is not there", "%v", err)
			}
			made, err := cl.CreateAccess(c.Context(), r)
			if err == nil {
				_, err = fmt.Fprintf(f, "%s%s", made.Chain, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
			}
			if err = errors.Join(err, f.Close()); err != nil {
				return errors.Join(err, os.Remove(out))
			}
			a.say("client certificate %s, %s until %s, is in %s", made.ID, made.Role, cell(made.Expires), out)
			return a.emit(made.AccessToken, func(t *table) { t.row(made.ID) })
		}),
	}
	f := c.Flags()
	f.StringVar(&role, "role", "viewer", "`role`: viewer looks, operator pauses links and changes tables, admin does all")
	f.DurationVar(&r.TTL, "ttl", 30*24*time.Hour, "how long it may be used")
	f.StringVar(&r.Name, "name", "", "whose it is, for the audit")
	f.StringVar(&out, "out", "", "`file` to make, with certificate and key")
	return c
}

func (a *app) auditCommand() *cobra.Command {
	limit := 0
	c := &cobra.Command{
		Use:   "audit",
		Short: "Show who changed what at this module, the newest last",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if limit < 1 || limit > 10000 {
				return usage("audit: --limit %d: 1 to 10000", limit)
			}
			cl, err := a.open(c.Context())
			if err != nil {
				return err
			}
			defer cl.Close()
			l, err := cl.Audit(c.Context(), limit)
			if err != nil {
				return err
			}
			return a.emit(list(l), func(t *table) {
				t.row("AT", "WHO", "ROLE", "VIA", "ROUTE", "OBJECT", "OUTCOME", "CODE")
				for _, x := range l {
					t.row(x.At, x.Who, string(x.Role), x.Via, x.Route, x.Object, x.Outcome, x.Code)
				}
			})
		},
	}
	c.Flags().IntVar(&limit, "limit", 100, "how many lines at most")
	return c
}
