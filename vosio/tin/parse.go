package tin

import (
	"strings"
	"unicode/utf8"
)

// ParseTIN reads
//
//	table   = { blank | record }
//	record  = "/" "=" name value eol { "=" name value eol | blank }
//	value   = nothing | plain | "'" text "'"       '' in text stands for one '
//	comment = "/*" any "*/"                        outside quotes; may span lines
//
// with blanks and tabs free between all parts. A plain value is the rest of
// the line without trailing blanks and comments.
func ParseTIN(src []byte) (*Table, error) {
	p := reader{table: &Table{Format: TIN}}
	if len(src) > MaxSource {
		p.problems.Add(1, "", "the table has %d bytes, %d are allowed", len(src), MaxSource)
		return nil, p.problems
	}
	rest := strings.TrimPrefix(string(src), "\ufeff")
	for rest != "" && len(p.problems) < maxProblems {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		p.line++
		p.parseLine(strings.TrimSuffix(line, "\r"))
	}
	if p.comment > 0 {
		p.problems.Add(p.comment, "", "the comment that begins here does not end")
	}
	if err := p.problems.Err(); err != nil {
		return nil, err
	}
	return p.table, nil
}

type reader struct {
	table    *Table
	problems Problems
	line     int
	comment  int  // line on which the open comment began, 0: none is open
	skip     bool // the record at hand is over the limit: it was reported once
}

func (p *reader) parseLine(s string) {
	s = p.blank(s)
	if s == "" {
		return
	}
	if s[0] == '/' {
		if len(p.table.Records) == MaxRecords {
			if !p.skip {
				p.problems.Add(p.line, "", "a table has at most %d records", MaxRecords)
			}
			p.skip = true
			return
		}
		p.table.Records = append(p.table.Records, Record{Line: p.line})
		if s = p.blank(s[1:]); s == "" {
			return
		}
	}
	if s[0] != '=' {
		p.problems.Add(p.line, "", "a line begins with / (a new record) or = (a field), not with %q", clip(s))
		return
	}
	s = strings.TrimLeft(s[1:], " \t")
	n := 0
	for n < len(s) && s[n] != ' ' && s[n] != '\t' && !strings.HasPrefix(s[n:], "/*") {
		n++
	}
	name := strings.ToLower(s[:n])
	if why := checkFieldName(name); why != "" {
		p.problems.Add(p.line, clip(name), "%s", why)
		return
	}
	value, quoted, why := p.value(s[n:])
	if why == "" {
		why = checkValue(value)
	}
	if why != "" {
		p.problems.Add(p.line, name, "%s", why)
		return
	}
	if fixed := balance(value); !quoted && fixed != value {
		p.table.Warnings.Add(p.line, name, "%q is read as %s", value, fixed)
		value = fixed
	}
	p.add(Field{name, value, p.line})
}

func (p *reader) add(f Field) {
	if p.skip {
		return
	}
	if len(p.table.Records) == 0 {
		p.problems.Add(f.Line, f.Name, "no record has begun: a record begins with /")
		return
	}
	r := &p.table.Records[len(p.table.Records)-1]
	if g, ok := r.Get(f.Name); ok {
		p.problems.Add(f.Line, f.Name, "the record has this field already, on line %d", g.Line)
		return
	}
	if len(r.Fields) == MaxFields {
		p.problems.Add(f.Line, f.Name, "a record has at most %d fields", MaxFields)
		return
	}
	r.Fields = append(r.Fields, f)
}

// blank removes blanks and comments from the front of s, beginning inside the
// comment that is open, if one is.
func (p *reader) blank(s string) string {
	for {
		if p.comment > 0 {
			_, after, ok := strings.Cut(s, "*/")
			if !ok {
				return ""
			}
			p.comment, s = 0, after
		}
		s = strings.TrimLeft(s, " \t")
		if !strings.HasPrefix(s, "/*") {
			return s
		}
		p.comment, s = p.line, s[2:]
	}
}

// value reads the value of a field: all that is left of its line.
func (p *reader) value(s string) (v string, quoted bool, why string) {
	s = p.blank(s)
	if s == "" || s[0] != '\'' {
		v, after, comment := strings.Cut(s, "/*")
		if comment {
			p.comment = p.line
			if p.blank(after) != "" {
				return "", false, "text after the comment: a value ends where its comment begins"
			}
		}
		return strings.TrimRight(v, " \t"), false, ""
	}
	var b strings.Builder
	for s = s[1:]; ; {
		part, after, ok := strings.Cut(s, "'")
		if !ok {
			return "", true, "the quoted value does not end on its line"
		}
		b.WriteString(part)
		if !strings.HasPrefix(after, "'") {
			if rest := p.blank(after); rest != "" {
				return "", true, "text after the quoted value (inside quotes '' stands for one ')"
			}
			return b.String(), true, ""
		}
		b.WriteByte('\'')
		s = after[1:]
	}
}

// balance adds the parenthesis that a command function lacks, as in the
// manual's own current_module).
func balance(v string) string {
	word := strings.TrimSuffix(strings.TrimPrefix(v, "("), ")")
	if len(v) != len(word)+1 || checkFieldName(word) != "" {
		return v
	}
	return "(" + word + ")"
}

func clip(s string) string {
	n := 100
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "..."
}
