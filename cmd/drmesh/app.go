package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"drmesh/admin"
	"drmesh/admin/client"
)

// app is one run of the command: where it reads and writes, and the options
// that every command has. Tests build one with buffers.
type app struct {
	in  io.Reader
	out io.Writer
	err io.Writer
	env func(string) string

	dir    string
	addr   string // of a module that is reached over TCP; empty: by its directory
	token  string // access token, or @ and the file that holds it
	cert   string // file of a client certificate
	format string // table, json, jsonl, yaml
	ran    bool   // a command began: errors before that are the caller's
}

var formats = []string{"table", "json", "jsonl", "yaml"}

// run runs one command line and gives its exit code.
func (a *app) run(ctx context.Context, args []string) int {
	buffered := bufio.NewWriterSize(a.out, 64<<10)
	out := a.out
	a.out = buffered
	root := a.root()
	root.SetArgs(args)
	root.SetIn(a.in)
	root.SetOut(buffered)
	root.SetErr(a.err)
	err := root.ExecuteContext(ctx)
	if e := buffered.Flush(); err == nil && e != nil {
		err = fmt.Errorf("write to standard output: %w", e)
	}
	a.out = out
	if err == nil {
		return 0
	}
	if !a.ran {
		if e := (*admin.Error)(nil); !errors.As(err, &e) {
			err = usage("%v", err)
		}
		a.format = formatOf(args)
	}
	return a.report(ctx, err)
}

// formatOf finds the output format in a command line that could not be parsed.
func formatOf(args []string) string {
	for i, s := range args {
		for _, p := range []string{"-o", "--output"} {
			if s == p && i+1 < len(args) {
				s = p + "=" + args[i+1]
			}
			if v, ok := strings.CutPrefix(s, p+"="); ok && slices.Contains(formats, v) {
				return v
			}
		}
		if v, ok := strings.CutPrefix(s, "-o"); ok && slices.Contains(formats, v) {
			return v
		}
	}
	return "table"
}

// report tells an error, and gives the exit code that goes with it.
func (a *app) report(ctx context.Context, err error) int {
	e := (*admin.Error)(nil)
	if !errors.As(err, &e) {
		switch {
		case errors.Is(err, context.Canceled) && ctx.Err() != nil:
			e = admin.Errorf(admin.Interrupted, "interrupted", "", "interrupted")
		case errors.Is(err, context.DeadlineExceeded):
			e = admin.Errorf(admin.TimedOut, "timed_out", "", "%v", err)
		case errors.Is(err, os.ErrNotExist):
			e = admin.Errorf(admin.NotFound, "not_found", "", "%v", err)
		default:
			e = admin.AsError(err)
		}
	}
	if a.format == "json" || a.format == "jsonl" {
		b, merr := json.Marshal(map[string]*admin.Error{"error": e})
		if merr == nil {
			fmt.Fprintf(a.err, "%s\n", b)
			return int(e.Class)
		}
	}
	fmt.Fprintf(a.err, "drmesh: %s\n", strings.ReplaceAll(e.Message, "\n", "\ndrmesh: "))
	for _, p := range e.Problems {
		s := p.Text
		if p.Field != "" {
			s = p.Field + ": " + s
		}
		if p.Line > 0 {
			s = fmt.Sprintf("line %d: %s", p.Line, s)
		}
		fmt.Fprintf(a.err, "  %s\n", s)
	}
	if e.Hint != "" {
		fmt.Fprintf(a.err, "hint: %s\n", e.Hint)
	}
	return int(e.Class)
}

func usage(format string, args ...any) error {
	return admin.Errorf(admin.Usage, "usage", "see \"drmesh help\", or --help with the command", format, args...)
}

// root is the command tree.
func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "drmesh",
		Short:         "Mirror record files between any number of modules, in any direction, at the same time",
		SilenceErrors: true,
		SilenceUsage:  true,
		RunE:          group,
	}
	f := root.PersistentFlags()
	f.StringVar(&a.dir, "dir", a.env("DRMESH_DIR"), "the module's `directory` (or DRMESH_DIR)")
	f.StringVar(&a.addr, "addr", a.env("DRMESH_ADDR"), "`IP:PORT` of a module that is served with --admin (or DRMESH_ADDR)")
	f.StringVar(&a.cert, "cert", "", "`file` with a client certificate for --addr (or DRMESH_CERT)")
	f.StringVar(&a.token, "token", "", "access `token` for --addr, or @FILE that holds it (or DRMESH_TOKEN)")
	f.StringVarP(&a.format, "output", "o", "table", "output `form`: table, json, jsonl or yaml")
	root.PersistentPreRunE = func(c *cobra.Command, _ []string) error {
		if err := a.begin(); err != nil {
			return err
		}
		return notNegative(c)
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return usage("%s: %v", c.CommandPath(), err) })
	root.AddCommand(
		a.demoCommand(), a.initCommand(), a.tokenCommand(), a.userCommand(), a.auditCommand(), a.operationCommand(), a.joinCommand(), a.serveCommand(), a.leaveCommand(),
		a.moduleCommand(), a.statusCommand(), a.lagCommand(), a.linkCommand(), a.clockCommand(), a.controlCommand(), a.groupCommand(), a.switchoverCommand(), a.failoverCommand(), a.rejoinCommand(), a.lostCommand(),
		a.fileCommand(), a.vosCommand(), a.journalCommand(), a.conflictCommand(), a.parkedCommand(), a.queueCommand(), a.accountCommand(), a.proofCommand(), a.syncCommand(),
		a.benchCommand(), a.simCommand(), a.versionCommand(),
	)
	return root
}

// notNegative refuses times and counts below 0, which no command has a use for.
func notNegative(c *cobra.Command) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		switch f.Value.Type() {
		case "duration", "int", "int64", "float64":
			if strings.HasPrefix(f.Value.String(), "-") && err == nil {
				err = usage("%s: --%s %s: give 0 or more", c.CommandPath(), f.Name, f.Value)
			}
		}
	})
	return err
}

// begin is called when the command line is parsed and a command starts.
func (a *app) begin() error {
	if !slices.Contains(formats, a.format) {
		bad := a.format
		a.format = "table"
		a.ran = true
		return usage("-o %s: give one of %s", bad, strings.Join(formats, ", "))
	}
	a.ran = true
	return nil
}

// group is what a command that only holds others does: it says which.
func group(c *cobra.Command, args []string) error {
	if len(args) == 0 && !c.HasParent() {
		return c.Help()
	}
	var names []string
	for _, s := range c.Commands() {
		if s.IsAvailableCommand() && s.Name() != "help" && s.Name() != "completion" {
			names = append(names, s.Name())
		}
	}
	if len(args) > 0 {
		return usage("%s: no command %q; there are %s", c.CommandPath(), args[0], strings.Join(names, ", "))
	}
	return usage("%s: give one of %s", c.CommandPath(), strings.Join(names, ", "))
}

// nest makes a command that only holds others.
func nest(use, short string, children ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, RunE: group}
	c.AddCommand(children...)
	return c
}

// open connects to the operators' door of the module: over TCP with --addr,
// else its socket.
func (a *app) open(ctx context.Context) (*client.Client, error) {
	c, err := a.dial(ctx)
	if err == nil {
		c.Watch = a.operations()
	}
	return c, err
}

func (a *app) dial(ctx context.Context) (*client.Client, error) {
	if a.addr == "" {
		return client.Open(ctx, a.dir)
	}
	token := a.token
	if token == "" {
		token = a.env("DRMESH_TOKEN")
	}
	if name, ok := strings.CutPrefix(token, "@"); ok {
		b, err := a.readFile(name, 4096)
		if err != nil {
			return nil, err
		}
		token = strings.TrimSpace(string(b))
	}
	cert := a.cert
	if cert == "" {
		cert = a.env("DRMESH_CERT")
	}
	return client.Dial(ctx, client.Remote{Addr: a.addr, Token: token, Cert: cert, Dir: a.dir})
}

// asking makes what a command runs of a function that asks the node: it opens
// the operators' door, and closes it afterwards.
func (a *app) asking(run func(c *cobra.Command, args []string, cl *client.Client) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, args []string) error {
		cl, err := a.open(c.Context())
		if err != nil {
			return err
		}
		defer cl.Close()
		return run(c, args, cl)
	}
}

// say writes words for people to standard error.
func (a *app) say(format string, args ...any) { fmt.Fprintf(a.err, format+"\n", args...) }
