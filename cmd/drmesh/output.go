package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/goccy/go-yaml"
)

// table is the form for people: rows of columns.
type table struct{ w *tabwriter.Writer }

// row writes one row, or an empty line. What a cell cannot show (nil) is
// "unknown".
func (t *table) row(cells ...any) {
	if len(cells) == 0 {
		io.WriteString(t.w, "\n")
		return
	}
	for i, c := range cells {
		if i > 0 {
			io.WriteString(t.w, "\t")
		}
		io.WriteString(t.w, cell(c))
	}
	io.WriteString(t.w, "\n")
}

func cell(c any) string {
	switch v := c.(type) {
	case nil:
		return "unknown"
	case *uint64:
		if v == nil {
			return "unknown"
		}
		return strconv.FormatUint(*v, 10)
	case *int:
		if v == nil {
			return "unknown"
		}
		return strconv.Itoa(*v)
	case *float64:
		if v == nil {
			return "unknown"
		}
		return strconv.FormatFloat(*v, 'f', 3, 64)
	case float64:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case *time.Time:
		if v == nil {
			return "unknown"
		}
		return v.UTC().Format("2006-01-02T15:04:05.000Z")
	case time.Time:
		return v.UTC().Format("2006-01-02T15:04:05.000Z")
	case bool:
		if v {
			return "yes"
		}
		return "no"
	case string:
		if v == "" {
			return "-"
		}
		return strings.Map(printable, v)
	case []string:
		if len(v) == 0 {
			return "-"
		}
		return strings.Map(printable, strings.Join(v, " "))
	case []byte:
		return image(v)
	}
	return fmt.Sprint(c)
}

// printable keeps what a module, a file or a record may hold from moving the
// cursor of a terminal.
func printable(r rune) rune {
	if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
		return '?'
	}
	return r
}

// image shows the bytes of a record on one line.
func image(b []byte) string {
	const most = 96
	s := strconv.QuoteToASCII(string(b[:min(len(b), most)]))
	if len(b) > most {
		s += fmt.Sprintf("... (%d bytes)", len(b))
	}
	return s
}

// emit writes an answer in the form that was asked for. v is the answer as a
// value; show writes it as a table.
func (a *app) emit(v any, show func(*table)) error {
	switch a.format {
	case "table":
		t := &table{tabwriter.NewWriter(a.out, 0, 8, 2, ' ', 0)}
		show(t)
		return t.w.Flush()
	case "yaml":
		b, err := yamlOf(v)
		if err != nil {
			return err
		}
		_, err = a.out.Write(b)
		return err
	}
	b, err := jsonOf(v)
	if err != nil {
		return err
	}
	if a.format == "jsonl" && len(b) > 0 && b[0] == '[' {
		var each []json.RawMessage
		if err := json.Unmarshal(b, &each); err != nil {
			return err
		}
		for _, e := range each {
			if _, err := fmt.Fprintf(a.out, "%s\n", e); err != nil {
				return err
			}
		}
		return nil
	}
	_, err = fmt.Fprintf(a.out, "%s\n", b)
	return err
}

// jsonOf is v in JSON without the escapes meant for HTML; a list that is nil
// is empty.
func jsonOf(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

func yamlOf(v any) ([]byte, error) {
	b, err := jsonOf(v)
	if err != nil {
		return nil, err
	}
	return yaml.JSONToYAML(b)
}

// list makes a nil slice an empty one, which JSON shows as [].
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// stream writes a run of values that may not end, each as soon as it is there.
type stream struct {
	a      *app
	head   []any
	widths []int // least widths of a table's columns: rows come one by one
	n      int
}

// put writes one value; cells is its row in a table.
func (s *stream) put(v any, cells ...any) error {
	s.n++
	switch s.a.format {
	case "table":
		if s.n == 1 {
			s.line(s.head)
		}
		return s.line(cells)
	case "yaml":
		b, err := yamlOf([]any{v})
		if err != nil {
			return err
		}
		_, err = s.a.out.Write(b)
		return err
	}
	b, err := jsonOf(v)
	if err != nil {
		return err
	}
	lead := ""
	if s.a.format == "json" {
		if lead = ",\n"; s.n == 1 {
			lead = "[\n"
		}
		_, err = fmt.Fprintf(s.a.out, "%s%s", lead, b)
		return err
	}
	_, err = fmt.Fprintf(s.a.out, "%s\n", b)
	return err
}

func (s *stream) line(cells []any) error {
	texts := make([]string, len(cells))
	for i, c := range cells {
		texts[i] = cell(c)
		if i < len(s.widths) {
			texts[i] = fmt.Sprintf("%-*s", s.widths[i], texts[i])
		}
	}
	_, err := fmt.Fprintln(s.a.out, strings.Join(texts, "  "))
	return err
}

// end closes the run.
func (s *stream) end() error {
	var err error
	switch {
	case s.a.format == "json" && s.n == 0:
		_, err = io.WriteString(s.a.out, "[]\n")
	case s.a.format == "json":
		_, err = io.WriteString(s.a.out, "\n]\n")
	case s.a.format == "yaml" && s.n == 0:
		_, err = io.WriteString(s.a.out, "[]\n")
	}
	return err
}

// flush passes on what is written so far, for runs that go on.
func (a *app) flush() error {
	if f, ok := a.out.(interface{ Flush() error }); ok {
		return f.Flush()
	}
	return nil
}
