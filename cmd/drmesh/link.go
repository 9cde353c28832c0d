package main

import (
	"strconv"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
)

func (a *app) linkCommand() *cobra.Command {
	var module string
	ls := &cobra.Command{
		Use:   "ls",
		Short: "List a module's links, each pair of addresses and each direction by itself",
		Args:  cobra.NoArgs,
		RunE: a.asking(func(c *cobra.Command, _ []string, cl *client.Client) error {
			l, err := cl.LinksOf(c.Context(), module)
			if err != nil {
				return err
			}
			return a.emit(list(l), func(t *table) {
				t.row("PEER", "LINK", "LOCAL", "REMOTE", "STATE", "SINCE_S", "RTT_MS", "HEARD_S", "RECEIVED", "RECEIVED_BYTES", "SENT", "SENT_BYTES", "CLOCK_MS", "LAST_ERROR")
				for _, x := range l {
					name, local, remote := "all", "", ""
					if len(x.Pairs) < 2 {
						name = "session"
						for _, p := range x.Pairs {
							local, remote = p.Local, p.Remote
						}
					}
					t.row(x.Peer, name, local, remote, x.State, x.SinceS, x.RTTMS, x.HeardS, x.Received, x.ReceivedBytes, x.Sent, x.SentBytes, x.ClockMS, x.LastError)
					for _, p := range x.Pairs {
						if len(x.Pairs) < 2 {
							break
						}
						name := "session"
						if p.Link > 0 {
							name = strconv.Itoa(p.Link)
						}
						t.row(x.Peer, name, p.Local, p.Remote, p.State, p.SinceS, p.RTTMS, "", p.Received, p.ReceivedBytes, p.Sent, p.SentBytes, "", p.LastError)
					}
				}
			})
		}),
	}
	ls.Flags().StringVar(&module, "module", "", "the links of this `module`, asked through the mesh")
	return nest("link", "Links between modules", ls,
		a.setLink("pause", "Stop data between two modules in both directions; control and gossip go on", true),
		a.setLink("resume", "Let data pass between two modules again", false))
}

func (a *app) setLink(use, short string, paused bool) *cobra.Command {
	var dry bool
	c := &cobra.Command{
		Use:   use + " MODULE MODULE",
		Short: short,
		Args:  cobra.ExactArgs(2),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			l := admin.LinkChange{A: args[0], B: args[1], Paused: paused}
			if dry {
				a.say("would %s the link %s - %s", use, l.A, l.B)
			} else if err := cl.SetLink(c.Context(), l); err != nil {
				return err
			}
			if a.format == "table" {
				return nil
			}
			return a.emit(l, nil)
		}),
	}
	c.Flags().BoolVar(&dry, "dry-run", false, "show what it would do")
	return c
}
