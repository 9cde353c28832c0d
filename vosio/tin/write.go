package tin

import (
	"fmt"
	"strings"
)

// Append writes records to b in the one canonical form of TIN: a blank line
// between records, values in one column, quotes where they are needed only.
// ParseTIN reads back the same names and values.
func Append(b []byte, records []Record) ([]byte, error) {
	for i, r := range records {
		if i > 0 {
			b = append(b, '\n')
		}
		if len(r.Fields) == 0 {
			b = append(b, "/\n"...)
			continue
		}
		width := 16
		for _, f := range r.Fields {
			width = max(width, len(f.Name))
		}
		for j, f := range r.Fields {
			why := checkFieldName(f.Name)
			if why == "" {
				why = checkValue(f.Value)
			}
			if why != "" {
				return b, fmt.Errorf("write table: record %d, field %q: %s", i+1, f.Name, why)
			}
			lead := " ="
			if j == 0 {
				lead = "/="
			}
			b = append(b, lead...)
			b = append(b, strings.ToLower(f.Name)...)
			if f.Value != "" {
				b = append(b, strings.Repeat(" ", width-len(f.Name)+1)...)
				b = append(b, quote(f.Value)...)
			}
			b = append(b, '\n')
		}
	}
	return b, nil
}

// quote puts quotes around v where its plain form would read as another text.
func quote(v string) string {
	if v[0] == '\'' || strings.Trim(v, " \t") != v || strings.Contains(v, "/*") || balance(v) != v {
		return "'" + strings.ReplaceAll(v, "'", "''") + "'"
	}
	return v
}
