package control

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the field tables into the documentation")

// fieldTables is the part of the documentation that lists what the compiler
// knows.
func fieldTables() string {
	var b strings.Builder
	for _, k := range kinds {
		if k.refuse != "" || k.name == "primary" || k.name == "backup" || k.name == "application" {
			continue
		}
		name := "`" + k.name + "`"
		if k.table == "drms" {
			name += ", `primary`, `backup`, `application`"
		}
		fmt.Fprintf(&b, "\n### %s\n\n| field | allowed | default | |\n|---|---|---|---|\n", name)
		for _, f := range k.fields {
			remark := ""
			switch {
			case f.use == unbuilt:
				remark = "not built yet"
			case f.heeded != "":
				remark = "of `global_settings`: " + f.heeded
			case f.use == ignored || k.warn != "":
				remark = "no effect"
				if f.note != "" {
					remark += ": " + f.note
				}
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", f.name, f.allowed, f.normal, remark)
		}
	}
	return b.String() + "\n"
}

func TestFieldTables(t *testing.T) {
	const file = "../../docs/formats/control.md"
	const begin, end = "-update -->\n", "<!-- end of fields -->"
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(b), begin)
	have, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("the documentation has no place for the fields")
	}
	if have == fieldTables() {
		return
	}
	if !*update {
		t.Fatalf("%s does not list the fields as they are: run the test with -update", file)
	}
	if err := os.WriteFile(file, []byte(before+begin+fieldTables()+end+after), 0o666); err != nil {
		t.Fatal(err)
	}
}
