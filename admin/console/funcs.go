package console

import (
	"fmt"
	"html/template"
	"strconv"
	"time"

	"drmesh/admin"
)

// funcs show values. What is nil is unknown.
var funcs = template.FuncMap{
	"num": func(v *uint64) string {
		if v == nil {
			return "unknown"
		}
		return strconv.FormatUint(*v, 10)
	},
	"count": func(v *int64) string {
		if v == nil {
			return "unknown"
		}
		return strconv.FormatInt(*v, 10)
	},
	"whole": func(v *int) string {
		if v == nil {
			return "unknown"
		}
		return strconv.Itoa(*v)
	},
	"secs": secs,
	"ms": func(v *float64) string {
		if v == nil {
			return "unknown"
		}
		return fmt.Sprintf("%.1f ms", *v)
	},
	"offset": func(v *float64) string {
		if v == nil {
			return "unknown"
		}
		return fmt.Sprintf("%+.1f ms", *v)
	},
	"bytes": func(v *uint64) string {
		switch {
		case v == nil:
			return "unknown"
		case *v < 10_000:
			return fmt.Sprintf("%d B", *v)
		case *v < 10_000_000:
			return fmt.Sprintf("%d kB", *v/1000)
		}
		return fmt.Sprintf("%d MB", *v/1_000_000)
	},
	"clock": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"stamp": func(t *time.Time) string {
		if t == nil {
			return "unknown"
		}
		return t.UTC().Format("2006-01-02 15:04:05.000")
	},
	"cell": func(r admin.MatrixRow, module string) *admin.MatrixCell {
		for i := range r.Cells {
			if r.Cells[i].Module == module {
				return &r.Cells[i]
			}
		}
		return nil
	},
	"level": func(c *admin.MatrixCell) string {
		switch {
		case c.Absent || c.LagRecords == nil:
			return "unknown"
		case *c.LagRecords == 0:
			return "good"
		case c.LagS != nil && *c.LagS > behindS:
			return "watch"
		}
		return "moving"
	},
	"age": func(v float64) string { return secs(&v) },
}

func secs(v *float64) string {
	switch {
	case v == nil:
		return "unknown"
	case *v < 10:
		return fmt.Sprintf("%.1f s", *v)
	case *v < 120:
		return fmt.Sprintf("%.0f s", *v)
	}
	return time.Duration(*v * float64(time.Second)).Round(time.Second).String()
}
