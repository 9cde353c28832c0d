package main

import (
	"slices"
	"strconv"
	"strings"
)

// vosSwitch is an option of a VOS command: a whole word behind one dash, which
// takes a value or none.
type vosSwitch struct {
	name  string
	value string // what it takes, for the help; empty: nothing
	many  bool   // takes all words up to the next switch
	help  string
}

// vosArgs are the arguments of a VOS command, parsed.
type vosArgs struct {
	words  []string            // those that belong to no switch
	given  map[string][]string // by switch; an empty list for one without a value
	dir    string
	output string
	help   bool
	dryRun bool
	long   map[string]string // our own options of one command, with two dashes
}

func (v *vosArgs) has(name string) bool { _, ok := v.given[name]; return ok }

// text is the value of a switch, or another.
func (v *vosArgs) text(name, other string) string {
	if l := v.given[name]; len(l) > 0 {
		return l[0]
	}
	return other
}

// number is the value of a switch as a number.
func (v *vosArgs) number(command, name string, other int) (int, error) {
	if !v.has(name) {
		return other, nil
	}
	n, err := strconv.Atoi(v.text(name, ""))
	if err != nil || n < 0 {
		return 0, usage("%s: -%s %s: give a number", command, name, v.text(name, ""))
	}
	return n, nil
}

// parseVOS reads the arguments of a VOS command. Its switches have one dash
// and may be shortened as far as they stay clear; options of ours have two
// dashes (and -o, which every command has) and may stand anywhere. Words after
// -- are never switches. long lists options of this command that take a value.
func parseVOS(command string, args []string, switches []vosSwitch, long ...string) (*vosArgs, error) {
	v := &vosArgs{given: map[string][]string{}, long: map[string]string{}}
	for i := 0; i < len(args); i++ {
		w := args[i]
		value := func(of string) (string, error) {
			if _, t, ok := strings.Cut(w, "="); ok && strings.HasPrefix(w, "--") {
				return t, nil
			}
			if i+1 >= len(args) {
				return "", usage("%s: %s needs a value", command, of)
			}
			i++
			return args[i], nil
		}
		var err error
		name, _, _ := strings.Cut(w, "=")
		switch {
		case w == "--":
			v.words = append(v.words, args[i+1:]...)
			return v, nil
		case w == "-o" || name == "--output":
			v.output, err = value(name)
		case strings.HasPrefix(w, "-o="):
			v.output = w[3:]
		case name == "--dir":
			v.dir, err = value(name)
		case w == "--help" || w == "-h":
			v.help = true
		case w == "--dry-run":
			v.dryRun = true
		case strings.HasPrefix(name, "--") && slices.Contains(long, name[2:]):
			v.long[name[2:]], err = value(name)
		case strings.HasPrefix(w, "--"):
			return nil, usage("%s: there is no option %s", command, name)
		case len(w) > 1 && w[0] == '-':
			var s *vosSwitch
			if s, err = findSwitch(command, w[1:], switches); err != nil {
				return nil, err
			}
			if v.has(s.name) {
				return nil, usage("%s: -%s is given twice", command, s.name)
			}
			v.given[s.name] = nil
			for s.value != "" {
				if i+1 >= len(args) || strings.HasPrefix(args[i+1], "-") {
					if len(v.given[s.name]) == 0 {
						return nil, usage("%s: -%s needs a value: %s", command, s.name, s.value)
					}
					break
				}
				i++
				v.given[s.name] = append(v.given[s.name], args[i])
				if !s.many {
					break
				}
			}
		default:
			v.words = append(v.words, w)
		}
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}

// findSwitch finds a switch by its name or by a beginning that only it has.
func findSwitch(command, word string, switches []vosSwitch) (*vosSwitch, error) {
	var found *vosSwitch
	var names []string
	for i := range switches {
		s := &switches[i]
		names = append(names, "-"+s.name)
		if s.name == word {
			return s, nil
		}
		if strings.HasPrefix(s.name, word) {
			if found != nil {
				return nil, usage("%s: -%s may be -%s or -%s", command, word, found.name, s.name)
			}
			found = s
		}
	}
	if found == nil {
		if len(names) == 0 {
			return nil, usage("%s: there is no switch -%s; the command has none", command, word)
		}
		return nil, usage("%s: there is no switch -%s; there are %s", command, word, strings.Join(names, ", "))
	}
	return found, nil
}
