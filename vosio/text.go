package vosio

import (
	"context"
	"fmt"
	"strings"

	"drmesh/vosio/call"
)

// Text that a program writes to its default output: the port of that name, on
// a file that it has open for writing. A line is a record. Text without an end
// stays at the port, as what s$seq_write_partial gives, and later output goes on
// behind it.

// defaultOutput is the name of the port.
const defaultOutput = "default_output"

// textWidth is where s$write_wrap breaks lines.
const textWidth = 80

func (p *Process) output() (*port, *file, error) {
	id, ok := p.names[defaultOutput]
	if !ok {
		return nil, nil, fmt.Errorf("write text: no port is attached as %s: %w", defaultOutput, call.InvalidPortNumber)
	}
	return p.toWrite(id)
}

// writeLines writes lines; the last stays open if partial says so.
func (p *Process) writeLines(ctx context.Context, lines []string, partial bool) error {
	x, f, err := p.output()
	if err != nil {
		return err
	}
	for i, l := range lines {
		if partial && i == len(lines)-1 {
			return p.addPartial(x, f, []byte(l))
		}
		var r call.Reply
		if err := p.insert(ctx, x, f, nil, x.whole([]byte(l)), &r); err != nil {
			return err
		}
		x.partial = nil
	}
	return nil
}

func (p *Process) writeTextCode(ctx context.Context, q *call.Request, _ *call.Reply) error {
	return p.writeLines(ctx, []string{string(q.Data)}, false)
}

func (p *Process) writeTextPartialCode(ctx context.Context, q *call.Request, _ *call.Reply) error {
	return p.writeLines(ctx, []string{string(q.Data)}, true)
}

// quietly is for the calls without a code: that they failed is not told. What
// ends a call from outside is.
func quietly(ctx context.Context, err error) error {
	if err == ErrClosed || ctx.Err() != nil {
		return err
	}
	return nil
}

func (p *Process) writeText(ctx context.Context, q *call.Request, r *call.Reply) error {
	return quietly(ctx, p.writeTextCode(ctx, q, r))
}

func (p *Process) writeTextPartial(ctx context.Context, q *call.Request, r *call.Reply) error {
	return quietly(ctx, p.writeTextPartialCode(ctx, q, r))
}

func (p *Process) writeWrap(ctx context.Context, q *call.Request, _ *call.Reply) error {
	return quietly(ctx, p.wrapped(ctx, q, false))
}

func (p *Process) writeWrapPartial(ctx context.Context, q *call.Request, _ *call.Reply) error {
	return quietly(ctx, p.wrapped(ctx, q, true))
}

func (p *Process) wrapped(ctx context.Context, q *call.Request, partial bool) error {
	x, _, err := p.output()
	if err != nil {
		return err
	}
	indent := int(min(max(q.Count, 0), textWidth/2))
	return p.writeLines(ctx, wrap(string(q.Data), len(x.partial), textWidth, indent), partial)
}

// wrap breaks text at blanks into lines of at most width bytes, of which the
// first begins at a column, and those after it with indent blanks. A word that
// is longer than a line is cut.
func wrap(text string, column, width, indent int) (lines []string) {
	room := width - column
	line, begun := "", false // begun: the line has a word
	next := func() {
		lines = append(lines, strings.TrimRight(line, " "))
		line, room, begun = strings.Repeat(" ", indent), width-indent, false
	}
	for _, word := range strings.Split(text, " ") {
		gap := 0
		if begun {
			gap = 1
		}
		if gap+len(word) > room && (begun || column > 0 && len(lines) == 0) {
			next()
			gap = 0
		}
		for len(word) > room && room > 0 && gap == 0 {
			line += word[:room]
			word = word[room:]
			next()
		}
		line += strings.Repeat(" ", gap) + word
		room -= gap + len(word)
		begun = true
	}
	return append(lines, line)
}
