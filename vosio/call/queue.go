package call

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// Message is one that was received, or looked at.
type Message struct {
	ID       int64 // as its sender's module counts
	Priority int
	Subject  string
	Data     []byte
}

// QueueInfo is what s$get_server_queue_info gives, in JSON.
type QueueInfo struct {
	Path       string    `json:"path"`
	Kind       string    `json:"kind"`
	Depth      int64     `json:"depth"` // messages
	Bytes      int64     `json:"bytes"`
	Limit      int64     `json:"limit"` // 0: none
	Protected  bool      `json:"protected"`
	Servers    int       `json:"servers"` // that have it open at this module
	Requesters int       `json:"requesters"`
	Delivers   string    `json:"delivers"`       // yes; no, and why; waits for the lease
	First      time.Time `json:"first,omitzero"` // when the message that is next was sent
}

// OpenQueue attaches and opens a port on a queue: io is Requester, Server,
// SendOnlyRequester or ReceiveOnlyServer; longest bounds the messages that it
// sends, 0: MaxMessage.
func (c Client) OpenQueue(ctx context.Context, path string, io, longest int) (int, error) {
	r, err := c.do(ctx, &Request{Call: "s$msg_open", Path: path, IO: io, Size: longest})
	if err != nil {
		return 0, err
	}
	return r.Port, nil
}

// Send adds a message to a queue and gives its number; it waits while the queue
// is full, unless the port is in no-wait mode.
func (c Client) Send(ctx context.Context, port, priority int, subject string, data []byte) (int64, error) {
	r, err := c.do(ctx, &Request{Call: "s$msg_send", Port: port, Count: int64(priority), Name: subject, Data: data})
	if err != nil {
		return 0, err
	}
	return r.Number, nil
}

// Receive takes the next message with a subject off a queue, ” is any, and
// waits for one; with noWait it gives CallerMustWait. With DurableHere comes the
// message, which another module may deliver too: its owner changed before other
// modules could confirm that it was taken.
func (c Client) Receive(ctx context.Context, port int, subject string, noWait bool) (Message, error) {
	return c.message(ctx, &Request{Call: "s$msg_receive", Port: port, Name: subject, NoWait: noWait})
}

// ReadMessage looks at the first message of a queue, or at the one that follows
// the last looked at; EndOfFile after the last.
func (c Client) ReadMessage(ctx context.Context, port int, first bool, subject string) (Message, error) {
	q := &Request{Call: "s$msg_read", Port: port, Name: subject}
	if first {
		q.Position = PosBeginning
	}
	return c.message(ctx, q)
}

func (c Client) message(ctx context.Context, q *Request) (Message, error) {
	r, err := c.do(ctx, q)
	if err != nil && !errors.Is(err, DurableHere) {
		return Message{}, err
	}
	return Message{r.Number, r.Priority, r.Subject, r.Data}, err
}

// DeleteMessage takes a message away unread.
func (c Client) DeleteMessage(ctx context.Context, port int, id int64) error {
	_, err := c.do(ctx, &Request{Call: "s$msg_delete", Port: port, Number: id})
	return err
}

// Reply answers a message that the port received from a server or direct queue.
func (c Client) Reply(ctx context.Context, port int, id int64, data []byte) error {
	_, err := c.do(ctx, &Request{Call: "s$msg_send_reply", Port: port, Number: id, Data: data})
	return err
}

// ReceiveReply waits for the reply to a message, or to any (0).
func (c Client) ReceiveReply(ctx context.Context, port int, id int64, noWait bool) (Message, error) {
	return c.message(ctx, &Request{Call: "s$msg_receive_reply", Port: port, Number: id, NoWait: noWait})
}

// CancelReceive gives a message that the port received back to its queue.
func (c Client) CancelReceive(ctx context.Context, port int, id int64) error {
	_, err := c.do(ctx, &Request{Call: "s$msg_cancel_receive", Port: port, Number: id})
	return err
}

// QueueInfo tells how a queue stands.
func (c Client) QueueInfo(ctx context.Context, path string) (i QueueInfo, err error) {
	r, err := c.do(ctx, &Request{Call: "s$get_server_queue_info", Path: path})
	if err != nil {
		return i, err
	}
	return i, json.Unmarshal(r.Info, &i)
}

// SetMaxQueueDepth bounds a queue; 0: as its kind has it.
func (c Client) SetMaxQueueDepth(ctx context.Context, path string, messages int64) error {
	_, err := c.do(ctx, &Request{Call: "s$set_max_queue_depth", Path: path, Count: messages})
	return err
}

// SetNoWait has the calls of a port that would wait answer CallerMustWait, or
// wait again.
func (c Client) SetNoWait(ctx context.Context, port int, noWait bool) error {
	q := &Request{Call: "s$set_wait_mode", Port: port}
	if noWait {
		q.Call = "s$set_no_wait_mode"
	}
	_, err := c.do(ctx, q)
	return err
}

// SetTimeLimit bounds the waits of a port, in ticks of 1/1024 s; 0 is no-wait
// mode, -1 no bound.
func (c Client) SetTimeLimit(ctx context.Context, port int, ticks int64) error {
	_, err := c.do(ctx, &Request{Call: "s$set_io_time_limit", Port: port, Count: ticks})
	return err
}
