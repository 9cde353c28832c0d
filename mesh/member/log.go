package member

import (
	"bytes"
	"context"
	"log"
	"log/slog"
)

// adapt lets memberlist log to ours: its lines begin with a level in brackets.
// Only what it calls an error is a warning here, since all of it is hints.
func adapt(l *slog.Logger) *log.Logger { return log.New(lines{l}, "", 0) }

type lines struct{ log *slog.Logger }

func (w lines) Write(b []byte) (int, error) {
	level := slog.LevelDebug
	switch {
	case bytes.HasPrefix(b, []byte("[DEBUG]")):
		return len(b), nil
	case bytes.HasPrefix(b, []byte("[ERR]")):
		level = slog.LevelWarn
	}
	if w.log.Enabled(context.Background(), level) {
		_, text, _ := bytes.Cut(bytes.TrimSpace(b), []byte("memberlist: "))
		w.log.Log(context.Background(), level, "gossip: "+string(text))
	}
	return len(b), nil
}
