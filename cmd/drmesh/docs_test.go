package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

var update = flag.Bool("update", false, "write docs/cli.md anew")

const cliDoc = "../../docs/cli.md"

// cliHead is what holds for all commands. Scripts rely on it.
const cliHead = `# The commands

Made from the commands themselves by the test of cmd/drmesh; ` + "`go test ./cmd/drmesh -run TestDocs -update`" + ` writes it anew.

## What holds for all

- ` + "`--dir D`" + ` or ` + "`DRMESH_DIR`" + ` names the directory of a module. Its doors are ` + "`D/app.sock`" + ` (calls of programs) and ` + "`D/admin.sock`" + `
  (JSON over HTTP, see [admin-api.md](admin-api.md)), mode 0600. All commands but init, join, serve, demo, bench, completion and
  version go through one of them, and wait five seconds for the socket of a directory that holds a module.
- ` + "`--addr IP:PORT`" + ` or ` + "`DRMESH_ADDR`" + ` asks a module that is served with ` + "`--admin`" + `, from wherever. On another machine that takes
  ` + "`--token TOKEN`" + `, ` + "`--token @FILE`" + ` or ` + "`DRMESH_TOKEN`" + ` (an access token, of ` + "`drmesh user token create`" + `), or ` + "`--dir`" + ` with the directory of
  a member. What makes calls (` + "`file load`, `file dump`, `vos`" + `) needs the module's own machine.
- ` + "`-o table|json|jsonl|yaml`" + ` is an option of every command. Data goes to standard output and nothing else does; words, progress
  and errors go to standard error. An error begins with ` + "`drmesh: `" + `; a line ` + "`hint: `" + ` says what to do next. With ` + "`-o json`" + ` or ` + "`jsonl`" + ` an error is
  ` + "`{\"error\":{\"exit\":...,\"code\":...,\"detail\":...,\"hint\":...}}`" + `.
- Long work tells percent, rate and time left on a terminal, and JSON lines otherwise.
- A path is ` + "`%system#disk>dir>file`" + ` or ` + "`share:dir>file`" + `; the latter names one file on every module. A file of another system is
  exit 4, naming the system.
- A figure that nobody knows is ` + "`unknown`" + `, in JSON ` + "`null`" + `.

| exit | meaning |
|---|---|
| 0 | ok |
| 1 | failed: bad input data, full disk, an e$ code that has no exit of its own |
| 2 | usage |
| 3 | invalid configuration: control tables |
| 4 | not found; e$object_not_found |
| 5 | a precondition is not met: the directory is served or foreign, the name is taken, the file exists, changes are undelivered |
| 6 | finished with findings: differences, not a failure of its own |
| 7 | would lose data, and that was not accepted |
| 8 | partly done, can go on |
| 9 | waited too long |
| 10 | the node cannot be reached |
| 11 | not permitted: token, authority, peer; e$no_access |
| 12 | no quorum |
| 130 | interrupted |
`

// cliPage describes the tree.
func cliPage(root *cobra.Command) []byte {
	var b bytes.Buffer
	b.WriteString(cliHead)
	walk(root, func(c *cobra.Command) {
		if c.HasSubCommands() || !c.HasParent() || c.Name() == "help" {
			return
		}
		fmt.Fprintf(&b, "\n## %s\n\n", c.CommandPath())
		fmt.Fprintf(&b, "    %s\n\n", strings.TrimSuffix(c.UseLine(), " [flags]"))
		fmt.Fprintf(&b, "%s.\n", strings.TrimSuffix(c.Short, "."))
		if long := strings.TrimSpace(c.Long); long != "" && !strings.HasPrefix(long, c.Short) {
			fmt.Fprintf(&b, "\n%s\n", long)
		} else if _, rest, ok := strings.Cut(long, "\n"); ok {
			// The switches of a VOS command, indented already.
			fmt.Fprintf(&b, "\n%s\n", strings.ReplaceAll("\n"+strings.Trim(rest, "\n"), "\n", "\n  ")[1:])
		}
		var flags []string
		c.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if f.Name == "help" {
				return
			}
			value, text := pflag.UnquoteUsage(f)
			if value != "" {
				value = " " + strings.ToUpper(value)
			}
			if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "[]" && f.DefValue != "0" {
				text += " (default " + f.DefValue + ")"
			}
			flags = append(flags, fmt.Sprintf("- `--%s%s`: %s", f.Name, value, text))
		})
		if len(flags) > 0 {
			fmt.Fprintf(&b, "\n%s\n", strings.Join(flags, "\n"))
		}
	})
	return b.Bytes()
}

func TestDocsAreThoseOfTheCommands(t *testing.T) {
	a := &app{env: func(string) string { return "" }}
	got := cliPage(a.root())
	if *update {
		if err := os.WriteFile(cliDoc, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(cliDoc)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("docs/cli.md is not that of the commands: run this test with -update")
	}
}
