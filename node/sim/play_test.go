package sim

import (
	"errors"
	"strings"
	"testing"
)

// TestPlay plays a plan as a user gives it: each line is answered, twice alike.
func TestPlay(t *testing.T) {
	plan := `# two edits at a time
mesh 3
m1 create k keyed
m1 insert k 0001aaaaone
run 300
cut m1 m2
cut m2 m3
m1 put k 0001 0001aaaatwo
m2 put k 0001 0001aaaasix
heal
run 1000
conflicts
tables
/=record_type    include
 =share_name     orders
 =process_name   *
 =source_path    %site1#d1>shared>orders>*
 =from_modules   *
 =to_modules     *
end
check
`
	var first []string
	for range 2 {
		var out []string
		r, err := Play(3, plan, func(s string) { out = append(out, s) })
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Join(out, "\n")
		for _, want := range []string{"m1 create k keyed: m1:1..4", "conflicts: all open m", "tables: epoch 1", "check: all promises hold"} {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		if r.Modules != 3 || r.Txns != 7 || r.Account["written"] != 7 || r.Account["open"] != 1 {
			t.Errorf("report: %v", r)
		}
		if first != nil && text != strings.Join(first, "\n") {
			t.Error("the same plan went another way")
		}
		first = out
	}
}

// TestBadPlans: a plan that nobody understands is refused by its line.
func TestBadPlans(t *testing.T) {
	for plan, want := range map[string]string{
		"run 5":                           "line 1: a plan begins with a mesh",
		"mesh 99":                         "line 1: 99 is not between 1 and 9",
		"mesh two":                        `line 1: "two" is no number`,
		"mesh 2\nmesh 2":                  "line 2: a plan begins with a mesh",
		"mesh 2 quick":                    `line 1: mesh: "quick"`,
		"mesh 2\nm3 insert k x":           `line 2: module "m3"`,
		"mesh 2\nm1 dance k":              `line 2: verb "dance"`,
		"mesh 2\nm1 insert k":             "line 2: insert: 2 words follow, not 1",
		"mesh 2\nm1":                      `line 2: verb "m1"`,
		"mesh 2\n\ncut m1":                "line 3: cut: 2 words follow, not 1",
		"mesh 2\nm1 run 5":                "line 2: run is not said of a module",
		"mesh 2\ninsert k x":              "line 2: insert is said of a module",
		"mesh 2\nm1 starts":               "line 2: %site1#m1 is up",
		"mesh 2\nm1 power\nm1 insert k x": "line 3: %site1#m1 is down",
		"mesh 2\nm1 becomes what":         "line 2: %site1#m1: there is no copy what",
		"mesh 2\nrun -1":                  "line 2: -1 is not between",
		"mesh 2\ncut m1 m1":               "line 2: cut: m1 twice",
		"tables\nx":                       "line 1: tables without an end",
		"m1 insert k x":                   "line 1: there is no mesh yet",
		"mesh 2\nm1 other other dance":    `line 2: verb "dance"`,
	} {
		_, err := Play(1, plan, func(string) {})
		if !errors.Is(err, ErrPlan) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", plan, err, want)
		}
	}
}

// TestDiagram: a failure can be seen as a picture.
func TestDiagram(t *testing.T) {
	broken = func(e *mesh, step int) error {
		if step == 20 {
			return errors.New("planted")
		}
		return nil
	}
	defer func() { broken = nil }()
	_, err := Run(Options{Seed: 5, Modules: 3})
	var f *Failure
	if !errors.As(err, &f) {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(f.Diagram), "\n")
	if len(lines) < 10 || strings.Join(strings.Fields(lines[0]), " ") != "m1 m2 m3" {
		t.Fatalf("diagram:\n%s", f.Diagram)
	}
	if !strings.Contains(f.Diagram, "o----*") && !strings.Contains(f.Diagram, "*----o") {
		t.Errorf("nobody pulls in\n%s", f.Diagram)
	}
	if got := columns("%site1#m1 pulls m3.1/g1 after 0 from m3", 3); got != "*---------o    " {
		t.Errorf("%q", got)
	}
}
