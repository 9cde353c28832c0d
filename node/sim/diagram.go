package sim

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// A space-time diagram of a trace has a column for each module and a line for
// each event, the latest last. What one module does is a mark in its column; a
// line from one column to another says who pulls from whom, or between whom
// something happened.

const columnWidth = 5

var (
	atModule = regexp.MustCompile(`%site(\d+)#m\d+`)
	byNumber = regexp.MustCompile(`\bm(\d+)\b`)
)

func diagram(trace []string, modules int) string {
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", 9))
	for m := range modules {
		fmt.Fprintf(&b, "%-*s", columnWidth, fmt.Sprintf("m%d", m+1))
	}
	b.WriteString("\n")
	for _, line := range trace {
		at, text, ok := strings.Cut(strings.TrimLeft(line, " "), "  ")
		if !ok {
			continue
		}
		text, _, _ = strings.Cut(text, "\n")
		fmt.Fprintf(&b, "%8s ", at)
		b.WriteString(columns(text, modules))
		b.WriteString(" " + atModule.ReplaceAllString(text, "m$1") + "\n")
	}
	return b.String()
}

// columns draws the marks of one event.
func columns(text string, modules int) string {
	row := []rune(strings.Repeat("|"+strings.Repeat(" ", columnWidth-1), modules))
	first, second := -1, -1
	for _, re := range []*regexp.Regexp{atModule, byNumber} {
		for _, x := range re.FindAllStringSubmatch(text, -1) {
			n, err := strconv.Atoi(x[1])
			if err != nil || n < 1 || n > modules || n-1 == first {
				continue
			}
			if first < 0 {
				first = n - 1
			} else if second < 0 {
				second = n - 1
			}
		}
	}
	if first < 0 {
		return string(row)
	}
	mark := '*'
	switch {
	case strings.Contains(text, "power cut"):
		mark = 'X'
	case strings.Contains(text, "starts"):
		mark = 'O'
	case strings.Contains(text, "alarm"):
		mark = '!'
	}
	if link := strings.Contains(text, "pulls") || strings.Contains(text, "fault:"); link && second >= 0 {
		from, to := min(first, second)*columnWidth, max(first, second)*columnWidth
		for i := from + 1; i < to; i++ {
			row[i] = '-'
		}
		row[second*columnWidth] = 'o'
	}
	row[first*columnWidth] = mark
	return string(row)
}
