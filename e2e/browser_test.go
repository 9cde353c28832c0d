package e2e

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

var screenshots = flag.Bool("screenshots", false, "take the pictures of the console in docs/console anew")

// browserTools finds what drives a browser, or says what to install.
func browserTools() (chromium, node string, err error) {
	for _, name := range []string{"chromium", "chromium-browser"} {
		if chromium, err = exec.LookPath(name); err == nil {
			break
		}
	}
	if err != nil {
		return "", "", fmt.Errorf("there is no chromium: apt-get install chromium")
	}
	if node, err = exec.LookPath("node"); err != nil {
		return "", "", fmt.Errorf("there is no node: apt-get install nodejs npm")
	}
	if _, err := os.Stat("browser/node_modules/playwright-core"); err != nil {
		return "", "", fmt.Errorf("there is no playwright-core: npm ci --prefix e2e/browser")
	}
	return chromium, node, nil
}

// TestConsole drives a browser over the console of a real mesh: what it says is
// what the API says, a cut link shows by itself, it works by keyboard, on a
// narrow screen, in the dark and without scripts, and asks nobody else.
func TestConsole(t *testing.T) {
	chromium, node, err := browserTools()
	if err != nil {
		t.Skip(err)
	}
	ports, err := freePorts(4)
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"east", "west", "north"}
	n := newNodes(t, names...)
	base := fmt.Sprintf("127.0.0.1:%d", ports[3])
	for i, a := range names {
		args := []string{"init", "--dir", a, "--module", "%" + a + "#m1", "--listen", fmt.Sprintf("127.0.0.1:%d", ports[i])}
		if i == 0 {
			args = append(args, "--admin", base)
		} else {
			token := bytes.TrimSpace([]byte(n.drmesh(t, "token", "create", "--dir", "east")))
			args = append([]string{"join", string(token)}, args[1:]...)
		}
		n.drmesh(t, args...)
		if _, err := n.start(a); err != nil {
			t.Fatal(err)
		}
	}
	n.apply(t, "east", `/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*

/=record_type    include
 =share_name     ledger
 =process_name   *
 =source_path    %east#d01>ledger>*
 =group          ledger

/=record_type    group
 =group          ledger
 =mode           owned
`)
	n.caughtUp(t, names...)
	for name, text := range map[string]string{
		"stock.dd": "fields: article char(12), note char(24);\nindex: article (article);\nend;\n",
		"base.txt": "hammer|first\n", "east.txt": "nails|of the east\n", "west.txt": "nails|of the west\n",
	} {
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func(at, from string, more ...string) {
		n.drmesh(t, append([]string{"file", "load", "main:stock", "--from", from, "--layout", "stock.dd", "--dir", at}, more...)...)
	}
	load("east", "base.txt")
	n.caughtUp(t, names...)
	for _, other := range []string{"%east#m1", "%north#m1"} {
		n.drmesh(t, "link", "pause", "%west#m1", other, "--dir", "west")
	}
	load("east", "east.txt", "--append")
	load("west", "west.txt", "--append")
	for _, other := range []string{"%east#m1", "%north#m1"} {
		n.drmesh(t, "link", "resume", "%west#m1", other, "--dir", "west")
	}
	n.caughtUp(t, names...)

	shots := ""
	if *screenshots {
		if shots, err = filepath.Abs("../docs/console"); err != nil {
			t.Fatal(err)
		}
		if err := os.MkdirAll(shots, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), node, "drive.mjs")
	cmd.Dir, cmd.WaitDelay = "browser", 5*time.Second
	cmd.Env = append(os.Environ(), "BASE=http://"+base, "DRMESH="+binary, "EAST="+filepath.Join(n.dir, "east"), "CHROMIUM="+chromium, "SHOTS="+shots)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
