package main

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"drmesh/admin"
	"drmesh/admin/client"
	"drmesh/vosio/call"
)

func (a *app) queueCommand() *cobra.Command {
	return nest("queue", "Queues of this module", a.queueLs(), a.queueShow())
}

func (a *app) queueLs() *cobra.Command {
	return &cobra.Command{
		Use:   "ls [DIRECTORY|SHARE:]",
		Short: "List queues, how full they are, and whether this module delivers their messages",
		Args:  cobra.MaximumNArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			under := ""
			if len(args) > 0 {
				under = args[0]
			}
			l, err := cl.Queues(c.Context(), under)
			if err != nil {
				return err
			}
			return a.emit(list(l), func(t *table) {
				t.row("PATH", "KIND", "DEPTH", "LIMIT", "BYTES", "SERVERS", "REQUESTERS", "DELIVERS", "FIRST SENT")
				for i := range l {
					q := &l[i]
					t.row(q.Path, kindText(q), q.Depth, limitText(q), q.Bytes, q.Servers, q.Requesters, strings.SplitN(q.Delivers, ":", 2)[0], sentText(q))
				}
			})
		}),
	}
}

func kindText(q *admin.Queue) string {
	k := strings.ReplaceAll(q.Kind, "_", " ")
	if q.Protected {
		k += ", protected"
	}
	return k
}

func limitText(q *admin.Queue) string {
	if q.Limit == 0 {
		return "-"
	}
	return strconv.FormatInt(q.Limit, 10)
}

func sentText(q *admin.Queue) string {
	if q.First == nil {
		return "-"
	}
	return q.First.UTC().Format(time.RFC3339)
}

// queueView is what show gives of a queue.
type queueView struct {
	admin.Queue
	Messages []messageView `json:"messages"`
}

type messageView struct {
	Number   int64  `json:"number"`
	Priority int    `json:"priority"`
	Subject  string `json:"subject"`
	Bytes    int    `json:"bytes"`
	Text     string `json:"text"`
}

// maxShownText is how much show gives of a message.
const maxShownText = 60

func (a *app) queueShow() *cobra.Command {
	var limit int
	c := &cobra.Command{
		Use:   "show PATH",
		Short: "Describe one queue, with the messages that are next",
		Long: `Show describes one queue, with the messages that are next in the order of delivery. They stay where they are. Messages
that a program has received in a transaction which is still open are among them.`,
		Args: cobra.ExactArgs(1),
		RunE: a.asking(func(c *cobra.Command, args []string, cl *client.Client) error {
			ctx := c.Context()
			if limit < 0 {
				return usage("--messages %d: it is 0 or more", limit)
			}
			l, err := cl.Queues(ctx, args[0])
			if err != nil {
				return err
			}
			f, err := cl.File(ctx, args[0])
			if err != nil {
				return err
			}
			v := queueView{Messages: []messageView{}}
			for i := range l {
				if l[i].Path == f.Path {
					v.Queue = l[i]
				}
			}
			if v.Path == "" {
				return admin.Errorf(admin.Precondition, "no_queue", "\"drmesh queue ls\" lists queues", "%s is no queue, it is %s", f.Path, f.Org)
			}
			if limit > 0 && v.Depth > 0 {
				if v.Messages, err = a.messages(c, f.Path, limit); err != nil {
					return err
				}
			}
			return a.emit(v, func(t *table) {
				t.row("path", v.Path)
				t.row("kind", kindText(&v.Queue))
				t.row("messages", v.Depth)
				t.row("at most", limitText(&v.Queue))
				t.row("bytes", v.Bytes)
				t.row("servers here", v.Servers)
				t.row("requesters here", v.Requesters)
				t.row("delivers here", v.Delivers)
				t.row("first sent", sentText(&v.Queue))
				for _, m := range v.Messages {
					t.row("message "+strconv.FormatInt(m.Number, 10), "priority "+strconv.Itoa(m.Priority)+", subject "+strconv.Quote(m.Subject)+", "+strconv.Itoa(m.Bytes)+" bytes: "+m.Text)
				}
			})
		}),
	}
	c.Flags().IntVar(&limit, "messages", 10, "show so many `messages` at most; 0: none")
	return c
}

// messages looks at the first messages of a queue, through the door of programs.
func (a *app) messages(c *cobra.Command, path string, limit int) ([]messageView, error) {
	ctx := c.Context()
	door, err := a.calls(ctx)
	if err != nil {
		return nil, err
	}
	defer door.close()
	port, err := door.OpenQueue(ctx, path, call.ReceiveOnlyServer, 0)
	if err != nil {
		return nil, fileError("open "+path, err)
	}
	l := []messageView{}
	for len(l) < limit {
		m, err := door.ReadMessage(ctx, port, len(l) == 0, "")
		if errors.Is(err, call.EndOfFile) {
			break
		}
		if err != nil {
			return nil, fileError("look at "+path, err)
		}
		text := string(m.Data[:min(len(m.Data), maxShownText)])
		q := strconv.Quote(text)
		if len(m.Data) > maxShownText {
			q += "..."
		}
		l = append(l, messageView{m.ID, m.Priority, m.Subject, len(m.Data), q})
	}
	return l, nil
}
