package main

import (
	"github.com/spf13/cobra"

	"drmesh/node"
)

func (a *app) joinCommand() *cobra.Command {
	var o node.JoinOptions
	c := &cobra.Command{
		Use:   "join TOKEN --module %system#module",
		Short: "Make a module of an existing mesh, with a token from one of its members",
		Args:  cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if err := a.needDir(); err != nil {
				return err
			}
			if o.Module == "" {
				return usage("join: give --module, for example --module '%%west#m1'")
			}
			o.Token, o.Dir = args[0], a.dir
			if err := node.Join(c.Context(), o); err != nil {
				return err
			}
			return a.placed(placed{o.Module, a.dir, o.Listen})
		},
	}
	f := c.Flags()
	f.StringVar(&o.Module, "module", "", "`name` of the module, %system#module")
	f.StringArrayVar(&o.Listen, "listen", nil, "UDP `IP:PORT` that other modules reach this one at; each further one is a link more (127.0.0.1:7102)")
	f.StringVar(&o.Admin, "admin", "", "TCP `IP:PORT` for operators: in plain on a loopback address, else over TLS")
	return c
}
