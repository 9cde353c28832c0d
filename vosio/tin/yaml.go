package tin

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// maxYAMLLine bounds a line of YAML: a value of full length fits.
const maxYAMLLine = MaxValue + 512

// ParseYAML reads a list of maps. A value is a scalar, or a list of scalars,
// which is their texts with blanks between them. Anchors, aliases, tags and
// maps inside maps have no meaning here and are refused.
func ParseYAML(src []byte) (t *Table, err error) {
	var problems Problems
	if len(src) > MaxYAML {
		problems.Add(1, "", "the table has %d bytes, %d are allowed", len(src), MaxYAML)
		return nil, problems
	}
	if line, why := yamlLimits(src); why != "" {
		problems.Add(line, "", "%s", why)
		return nil, problems
	}
	// The library is known to panic on some broken texts; to the reader they
	// are broken texts.
	defer func() {
		if r := recover(); r != nil {
			problems = nil
			problems.Add(1, "", "the table is not YAML")
			t, err = nil, problems
		}
	}()
	file, perr := parser.ParseBytes(src, 0)
	if perr != nil {
		line, text := 1, perr.Error()
		var ye yaml.Error
		if errors.As(perr, &ye) {
			text = ye.GetMessage()
			if tk := ye.GetToken(); tk != nil && tk.Position != nil {
				line = tk.Position.Line
			}
		}
		problems.Add(line, "", "not YAML: %s (a value with a star or a percent sign first needs quotes)", clip(text))
		return nil, problems
	}
	y := yamlReader{table: &Table{Format: YAML}}
	for _, doc := range file.Docs {
		if doc.Body != nil {
			y.list(doc.Body)
		}
	}
	if err := y.problems.Err(); err != nil {
		return nil, err
	}
	return y.table, nil
}

// yamlLimits refuses, before the library looks, what costs it more time than
// the length of the text: deep nesting and long lines. A table needs neither.
func yamlLimits(src []byte) (line int, why string) {
	depth, line := 0, 0
	for l := range bytes.Lines(src) {
		line++
		if len(l) > maxYAMLLine {
			return line, fmt.Sprintf("the line has %d bytes, %d are allowed", len(l), maxYAMLLine)
		}
		lead := bytes.TrimLeft(l, " ")
		for range 4 {
			lead = bytes.TrimLeft(bytes.TrimPrefix(lead, []byte("-")), " ")
		}
		if bytes.HasPrefix(lead, []byte("- ")) || bytes.HasPrefix(lead, []byte("? ")) {
			return line, "lists nest too deep"
		}
		for _, c := range l {
			switch c {
			case '[', '{':
				if depth++; depth > 64 {
					return line, "brackets nest too deep"
				}
			case ']', '}':
				depth = max(depth-1, 0)
			}
		}
	}
	return 0, ""
}

type yamlReader struct {
	table    *Table
	problems Problems
}

func lineOf(n ast.Node) int {
	if n == nil || n.GetToken() == nil || n.GetToken().Position == nil {
		return 1
	}
	return n.GetToken().Position.Line
}

func (y *yamlReader) list(n ast.Node) {
	switch n := n.(type) {
	case *ast.SequenceNode:
		for _, v := range n.Values {
			if len(y.table.Records) == MaxRecords {
				y.problems.Add(lineOf(v), "", "a table has at most %d records", MaxRecords)
				return
			}
			y.record(v)
		}
	case *ast.NullNode, *ast.CommentGroupNode:
	default:
		y.problems.Add(lineOf(n), "", "a table in YAML is a list of maps; a table in TIN begins with /")
	}
}

func (y *yamlReader) record(n ast.Node) {
	var values []*ast.MappingValueNode
	switch n := n.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		y.problems.Add(lineOf(n), "", "a record is a map of field names to values")
		return
	}
	r := Record{Line: lineOf(n)}
	if len(values) > 0 {
		r.Line = lineOf(values[0].Key)
	}
	for _, v := range values {
		f := Field{Line: lineOf(v.Key)}
		key, ok := v.Key.(ast.ScalarNode)
		if !ok {
			y.problems.Add(f.Line, "", "a field's name is plain text")
			continue
		}
		f.Name = strings.ToLower(text(key))
		if why := checkFieldName(f.Name); why != "" {
			y.problems.Add(f.Line, clip(f.Name), "%s", why)
			continue
		}
		value, why := y.value(v.Value)
		if why == "" {
			why = checkValue(value)
		}
		if why != "" {
			y.problems.Add(f.Line, f.Name, "%s", why)
			continue
		}
		f.Value = value
		if g, ok := r.Get(f.Name); ok {
			y.problems.Add(f.Line, f.Name, "the record has this field already, on line %d", g.Line)
			continue
		}
		if len(r.Fields) == MaxFields {
			y.problems.Add(f.Line, f.Name, "a record has at most %d fields", MaxFields)
			return
		}
		r.Fields = append(r.Fields, f)
	}
	y.table.Records = append(y.table.Records, r)
}

func (y *yamlReader) value(n ast.Node) (v, why string) {
	switch n := n.(type) {
	case nil, *ast.NullNode:
		return "", ""
	case *ast.SequenceNode:
		parts := make([]string, 0, len(n.Values))
		for _, e := range n.Values {
			s, ok := scalar(e)
			if !ok {
				return "", "a list holds plain values only"
			}
			parts = append(parts, s)
		}
		return strings.Join(parts, " "), ""
	case *ast.AliasNode, *ast.AnchorNode:
		return "", "anchors and aliases have no meaning here; a value with a star or an ampersand first needs quotes"
	}
	if s, ok := scalar(n); ok {
		return s, ""
	}
	return "", "a value is plain text or a list of plain texts"
}

func scalar(n ast.Node) (string, bool) {
	s, ok := n.(ast.ScalarNode)
	if !ok {
		return "", false
	}
	switch n.(type) {
	case *ast.AliasNode, *ast.AnchorNode, *ast.TagNode:
		return "", false
	}
	return text(s), true
}

// text is a scalar as it was written: 007 and yes stay 007 and yes.
func text(n ast.ScalarNode) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return n.Value
	case *ast.LiteralNode:
		return strings.TrimRight(n.Value.Value, "\n")
	case *ast.NullNode:
		return ""
	}
	if tk := n.GetToken(); tk != nil {
		return tk.Value
	}
	return fmt.Sprint(n.GetValue())
}
