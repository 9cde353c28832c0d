package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"drmesh/node"
)

// placed is the answer of the commands that make a module's directory.
type placed struct {
	Module string   `json:"module"`
	Dir    string   `json:"dir"`
	Listen []string `json:"listen"`
}

func (a *app) initCommand() *cobra.Command {
	var o node.InitOptions
	c := &cobra.Command{
		Use:   "init --module %system#module",
		Short: "Make the first module of a new mesh",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if err := a.needDir(); err != nil {
				return err
			}
			if o.Module == "" {
				return usage("init: give --module, for example --module '%%east#m1'")
			}
			o.Dir = a.dir
			if err := node.Init(o); err != nil {
				return err
			}
			return a.placed(placed{o.Module, a.dir, o.Listen})
		},
	}
	f := c.Flags()
	f.StringVar(&o.Module, "module", "", "`name` of the module, %system#module")
	f.StringVar(&o.Mesh, "mesh", "", "`name` of the mesh (drmesh)")
	f.StringArrayVar(&o.Listen, "listen", nil, "UDP `IP:PORT` that other modules reach this one at; each further one is a link more (127.0.0.1:7101)")
	f.StringVar(&o.Admin, "admin", "", "TCP `IP:PORT` for operators: in plain on a loopback address, else over TLS")
	return c
}

// needDir refuses to go on without a directory.
func (a *app) needDir() error {
	if a.dir == "" {
		return usage("no module directory was given: give --dir D, or set DRMESH_DIR")
	}
	return nil
}

func (a *app) placed(p placed) error {
	p.Listen = list(p.Listen)
	if abs, err := filepath.Abs(p.Dir); err == nil && a.format != "table" {
		p.Dir = abs
	}
	a.say("module %s is in %s; start it with \"drmesh serve --dir %s\"", p.Module, p.Dir, p.Dir)
	if a.format == "table" {
		return nil
	}
	return a.emit(p, nil)
}
