// Command drmesh is a module's node and everything that its operators need:
// making and joining a mesh, serving a directory, loading and dumping files,
// and looking at what the mesh does.
//
// The file of a subcommand holds its options, what it asks and how it shows the
// answer. All but init, join, serve, demo, bench, completion and version go
// through a door of a running node (D/admin.sock, D/app.sock), as any other
// program would. Data goes to standard output; words, progress and errors go to
// standard error. What scripts rely on (names, exit codes, JSON keys) stands in
// docs/cli.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, env: os.Getenv}
	code := a.run(ctx, commandLine(os.Args))
	stop()
	os.Exit(code)
}

// commandLine is what follows the program's name; called by the name of a VOS
// command, the program is that command.
func commandLine(args []string) []string {
	if v := findVOS(filepath.Base(args[0])); v != nil {
		return append([]string{"vos", v.name}, args[1:]...)
	}
	return args[1:]
}
