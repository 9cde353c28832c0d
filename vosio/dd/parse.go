package dd

import (
	"slices"
	"strconv"
	"strings"

	"drmesh/origin"
	"drmesh/vosio/tin"
)

// token is a word, a number, a quoted text, or one sign.
type token struct {
	text   string
	quoted bool
	line   int
}

type parser struct {
	layout   *Layout
	problems tin.Problems
	tokens   []token
	last     int // line of the last token
}

// scan cuts the source into tokens, without comments.
func (p *parser) scan(s string) {
	line := 1
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '\n':
			line++
			i++
		case c == ' ' || c == '\t' || c == '\r':
			i++
		case strings.HasPrefix(s[i:], "/*"):
			n := strings.Index(s[i+2:], "*/")
			if n < 0 {
				p.problems.Add(line, "", "the comment that begins here does not end")
				return
			}
			line += strings.Count(s[i:i+2+n], "\n")
			i += n + 4
		case c == '\'':
			var b strings.Builder
			i++
			for {
				n := strings.IndexAny(s[i:], "'\n")
				if n < 0 || s[i+n] == '\n' {
					p.problems.Add(line, "", "the quoted text does not end on its line")
					return
				}
				b.WriteString(s[i : i+n])
				if i += n + 1; i >= len(s) || s[i] != '\'' {
					break
				}
				b.WriteByte('\'')
				i++
			}
			p.tokens = append(p.tokens, token{b.String(), true, line})
		case word(c):
			n := i
			for n < len(s) && word(s[n]) {
				n++
			}
			p.tokens = append(p.tokens, token{s[i:n], false, line})
			i = n
		case strings.IndexByte(":;,()", c) >= 0:
			p.tokens = append(p.tokens, token{s[i : i+1], false, line})
			i++
		default:
			p.problems.Add(line, "", "%q has no place in a dd", c)
			return
		}
	}
	p.last = line
}

func word(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '$' || c == '-' || c == '+' || c == '.'
}

func (p *parser) peek() token {
	if len(p.tokens) == 0 {
		return token{line: p.last}
	}
	return p.tokens[0]
}

func (p *parser) next() token {
	t := p.peek()
	if len(p.tokens) > 0 {
		p.tokens = p.tokens[1:]
	}
	return t
}

// is reports whether the tokens to come are words, in any case.
func (p *parser) is(words ...string) bool {
	for i, w := range words {
		if i >= len(p.tokens) || p.tokens[i].quoted || !strings.EqualFold(p.tokens[i].text, w) {
			return false
		}
	}
	return true
}

// take takes the words if they are next.
func (p *parser) take(words ...string) bool {
	if !p.is(words...) {
		return false
	}
	p.tokens = p.tokens[len(words):]
	return true
}

// expect takes one word or reports that it is missing.
func (p *parser) expect(w string) bool {
	if p.take(w) {
		return true
	}
	t := p.peek()
	p.problems.Add(t.line, "", "%q is expected, not %s", w, t)
	return false
}

func (t token) String() string {
	switch {
	case t.quoted:
		return "a quoted text"
	case t.text == "":
		return "the end of the text"
	case len(t.text) > 40:
		return strconv.Quote(t.text[:40] + "...")
	}
	return strconv.Quote(t.text)
}

// dd reads
//
//	dd    = [ "organization" ":" org ";" ] [ "alignment" ":" map ";" ]
//	        "fields" ":" field { "," field } [","] ";" { index } "end" ";"
//
// Punctuation that is missing or too much where the meaning is plain is a
// warning. The first thing that is not plain ends the reading.
func (p *parser) dd() {
	l := p.layout
	for {
		switch {
		case p.take("organization", ":"):
			t := p.next()
			l.Organization, l.Stated = strings.ToLower(t.text), true
			if !slices.Contains([]string{"fixed", "relative", "sequential", "stream"}, l.Organization) || t.quoted {
				p.problems.Add(t.line, "organization", "%s is not one of: fixed, relative, sequential, stream", t)
				return
			}
			p.semicolon()
			continue
		case p.take("alignment", ":"):
			t := p.next()
			switch strings.ToLower(t.text) {
			case "longmap":
				l.LongMap = true
			case "shortmap":
			default:
				p.problems.Add(t.line, "alignment", "%s is not one of: shortmap, longmap", t)
				return
			}
			p.semicolon()
			continue
		}
		break
	}
	if !p.expect("fields") || !p.expect(":") {
		return
	}
	for {
		if p.blockEnd() {
			break
		}
		if !p.field() {
			return
		}
		switch {
		case p.take(","):
			if p.is(";") || p.blockEnd() {
				p.layout.Warnings.Add(p.peek().line, "", "the comma after the last field is too much")
			}
		case p.is(";") || p.blockEnd():
		default:
			p.layout.Warnings.Add(p.peek().line, "", "a comma is missing before %s", p.peek())
		}
		if p.is(";") {
			break
		}
	}
	if len(l.Fields) == 0 {
		p.problems.Add(p.peek().line, "", "a record has one field at least")
		return
	}
	p.semicolon()
	for p.is("index", ":") {
		if !p.index() {
			return
		}
	}
	if len(p.tokens) == 0 {
		p.layout.Warnings.Add(p.last, "", "end; is missing")
		return
	}
	if !p.expect("end") {
		return
	}
	p.semicolon()
	if t := p.peek(); len(p.tokens) > 0 {
		p.problems.Add(t.line, "", "%s stands after the end", t)
	}
}

// semicolon takes one, or warns.
func (p *parser) semicolon() {
	if !p.take(";") {
		p.layout.Warnings.Add(p.peek().line, "", "a semicolon is missing before %s", p.peek())
	}
}

// blockEnd reports whether the list of fields ends here without a semicolon.
func (p *parser) blockEnd() bool {
	return len(p.tokens) == 0 || p.is("index", ":") || p.is("end", ";") || len(p.tokens) == 1 && p.is("end")
}

func (p *parser) name(what string) (token, bool) {
	t := p.next()
	c := byte(0)
	if t.text != "" {
		c = t.text[0]
	}
	switch {
	case t.quoted || c == 0 || c >= '0' && c <= '9' || !word(c) || strings.ContainsAny(t.text, ".+"):
		p.problems.Add(t.line, "", "the name of %s is expected, not %s", what, t)
		return t, false
	case len(t.text) > MaxName:
		p.problems.Add(t.line, t.text[:MaxName], "a name has at most %d bytes", MaxName)
		return t, false
	}
	return t, true
}

// field reads name, type and default.
func (p *parser) field() bool {
	t, ok := p.name("a field")
	if !ok {
		return false
	}
	if _, twice := p.layout.Field(t.text); twice {
		p.problems.Add(t.line, t.text, "there is a field of that name already")
		return false
	}
	if len(p.layout.Fields) == MaxFields {
		p.problems.Add(t.line, t.text, "a record has at most %d fields", MaxFields)
		return false
	}
	f := Field{Name: t.text, Line: t.line}
	if !p.fieldType(&f) {
		return false
	}
	if p.take("default") {
		if !p.expect("(") {
			return false
		}
		d := p.next()
		if !d.quoted && (d.text == "" || strings.Contains(":;,()", d.text)) {
			p.problems.Add(d.line, f.Name, "a default is a quoted text or a number, not %s", d)
			return false
		}
		f.Default = &d.text
		if !p.expect(")") {
			return false
		}
	}
	p.layout.Fields = append(p.layout.Fields, f)
	return true
}

// size reads (n) or (n,m), or n alone when bare is allowed; n is 0 if none of
// them is there.
func (p *parser) size(f *Field, bare bool, lo, hi int) bool {
	t := p.peek()
	num := func() (int, bool) {
		t := p.next()
		n, err := strconv.Atoi(t.text)
		if err != nil || t.quoted || n < 0 {
			p.problems.Add(t.line, f.Name, "a size is expected, not %s", t)
			return 0, false
		}
		return n, true
	}
	var ok bool
	switch {
	case p.take("("):
		if f.N, ok = num(); !ok {
			return false
		}
		if p.take(",") {
			if f.Scale, ok = num(); !ok {
				return false
			}
		}
		if !p.expect(")") {
			return false
		}
	case bare && t.text != "" && t.text[0] >= '0' && t.text[0] <= '9':
		if f.N, ok = num(); !ok {
			return false
		}
	}
	if f.N < lo || f.N > hi {
		p.problems.Add(t.line, f.Name, "the size is %d, allowed are %d to %d", f.N, lo, hi)
		return false
	}
	return true
}

func (p *parser) fieldType(f *Field) bool {
	t := p.peek()
	p.take("fixed") // it says nothing that bin and decimal do not
	switch {
	case p.take("char"), p.take("character"):
		f.Type, f.N = Char, 1
		if !p.size(f, false, 1, origin.MaxRecord) {
			return false
		}
		if p.take("var") || p.take("varying") {
			f.Type = Varying
		}
	case p.take("bin"), p.take("binary"):
		f.Type, f.N = Bin, 15
		if !p.size(f, false, 1, 63) {
			return false
		}
	case p.take("date_time"):
		f.Type, f.N = Bin, 31
	case p.take("float"):
		if !p.take("bin") && !p.take("binary") {
			p.problems.Add(t.line, f.Name, "float bin is expected")
			return false
		}
		f.Type, f.N = Float, 24
		if !p.size(f, false, 1, 53) {
			return false
		}
	case p.take("decimal"), p.take("dec"):
		f.Type, f.N = Decimal, 5
		if !p.size(f, false, 1, 18) {
			return false
		}
		if f.Scale > f.N {
			p.problems.Add(t.line, f.Name, "%d of %d digits cannot stand after the point", f.Scale, f.N)
			return false
		}
		return true
	case p.take("bit"):
		f.Type, f.N = Bit, 1
		if !p.size(f, true, 1, 8*origin.MaxRecord) {
			return false
		}
		if p.take("aligned") {
			if f.Type = BitAligned; f.N > 32 {
				p.problems.Add(t.line, f.Name, "bit aligned has at most 32 bits")
				return false
			}
		}
	case p.take("picture"), p.take("pic"):
		return p.picture(f)
	case p.is("pointer"), p.is("ptr"), p.is("entry"):
		p.problems.Add(t.line, f.Name, "a %s means nothing in a file", strings.ToLower(p.peek().text))
		return false
	default:
		p.problems.Add(t.line, f.Name, "%s is not a type: char, bin, bit, decimal, float bin, picture, date_time are", p.peek())
		return false
	}
	if f.Scale != 0 {
		p.problems.Add(t.line, f.Name, "only a decimal has digits after the point")
		return false
	}
	return true
}

// picture reads the digits of a picture: 9999 or (4)9.
func (p *parser) picture(f *Field) bool {
	t := p.next()
	s := t.text
	n := len(s)
	if rest, ok := strings.CutPrefix(s, "("); ok {
		count, nine, _ := strings.Cut(rest, ")")
		c, err := strconv.Atoi(count)
		if err != nil || nine != "9" {
			c = 0
		}
		n, s = c, "9"
	}
	if !t.quoted || n < 1 || n > 255 || strings.Trim(s, "9") != "" {
		p.problems.Add(t.line, f.Name, "a picture is a quoted text of nines, such as '9999' or '(4)9', 255 at most")
		return false
	}
	f.Type, f.N = Picture, n
	return true
}

// index reads "index" ":" name "(" field { "," field } ")" [ switch ] ";"
func (p *parser) index() bool {
	p.take("index", ":")
	t, ok := p.name("an index")
	if !ok || !p.expect("(") {
		return false
	}
	x := Index{Name: t.text, Line: t.line}
	if len(p.layout.Indexes) == MaxIndexes {
		p.problems.Add(t.line, x.Name, "a file has at most %d indexes", MaxIndexes)
		return false
	}
	if slices.ContainsFunc(p.layout.Indexes, func(y Index) bool { return y.Name == x.Name }) {
		p.problems.Add(t.line, x.Name, "there is an index of that name already")
		return false
	}
	for {
		t, ok := p.name("a field")
		if !ok {
			return false
		}
		i, ok := p.layout.Field(t.text)
		if !ok {
			p.problems.Add(t.line, x.Name, "there is no field %s", t)
			return false
		}
		if len(x.Parts) == MaxParts {
			p.problems.Add(t.line, x.Name, "a key has at most %d parts", MaxParts)
			return false
		}
		x.Parts = append(x.Parts, Part{Field: i})
		if !p.take(",") {
			break
		}
	}
	if !p.expect(")") {
		return false
	}
	if p.take("duplicates") {
		x.Duplicates = true
	} else {
		p.take("no_duplicates")
	}
	p.layout.Indexes = append(p.layout.Indexes, x)
	p.semicolon()
	return true
}
