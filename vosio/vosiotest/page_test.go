package vosiotest

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"drmesh/vosio/call"
)

const pageFile = "../../docs/calls.md"

var writePage = flag.Bool("write-page", false, "write docs/calls.md anew")

// checkPage holds docs/calls.md, and the call table, against what worked in
// the transcripts.
func checkPage(t *testing.T, worked map[string]bool) {
	for _, table := range [][]call.Entry{call.Table, call.Unlisted, call.Extensions} {
		for _, e := range table {
			if e.Works != worked[e.Name] {
				t.Errorf("%s: the call table says works=%v, the transcripts say %v", e.Name, e.Works, worked[e.Name])
			}
		}
	}
	want := page(worked)
	if *writePage {
		if err := os.WriteFile(pageFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(pageFile)
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the transcripts say (%v): go test ./vosio/vosiotest -run TestTranscripts -write-page", pageFile, err)
	}
}

func page(worked map[string]bool) []byte {
	var b bytes.Buffer
	n, m := 0, 0
	for _, e := range call.Table {
		if n++; worked[e.Name] {
			m++
		}
	}
	fmt.Fprintf(&b, `# The calls

Made by a test from the call table and from what its transcripts exercised (vosio/vosiotest); do not edit.

DRMesh knows %d calls. %d of them work in this release; the others answer e$not_available (31046) and change nothing.
An argument is named by its letter in a request of D/app.sock (see formats/app-socket.md), in the order of the call.

Classes: M changes data, P reads or positions, L locks, C is about ports, T is about transactions.

| call | class | works | arguments |
|---|---|---|---|
`, n, m)
	rows(&b, call.Table, worked)
	b.WriteString("\n## Other calls of VOS\n\nThe list of mirrored calls has them not. What they change is mirrored, as everything.\n\n| call | class | works | arguments |\n|---|---|---|---|\n")
	rows(&b, call.Unlisted, worked)
	b.WriteString("\n## Calls of our own\n\nThey are at the same door, and are not mirrored as calls: what they change is, as everything.\n\n| call | class | works | arguments |\n|---|---|---|---|\n")
	rows(&b, call.Extensions, worked)
	b.WriteString(`
## Queues

s$create_file with organization 8 makes a message queue, 17 a one-way server queue, 16 a server queue, 18 a direct queue. A port on
one is opened by s$msg_open, or by s$attach_port and s$open, with io_type 6 or 8 to send, 7 or 9 to receive; max_msg_len bounds what
it sends, 3 MiB at most.

s$msg_send takes priority (q, 0 to 19), subject (n, at most 32 bytes) and message (d), and gives the message's number (u).
s$msg_receive takes the first message off: of the highest priority, and of equal ones the oldest. With a subject (n) it takes the
first that has it; one with stars stands for those that it matches. s$msg_read looks: at the first with type 1, at the one that
follows the last looked at without. s$msg_delete takes the message with a number away. A message longer than buffer_len stays where
it is, with e$long_record and its length.

Who finds no message, or a full queue (s$set_max_queue_depth; 32,767 messages, of message queues any number), waits: without bound,
or as long as s$set_io_time_limit says (ticks of 1/1024 s; e$timeout), or not at all with nowait (w) or after s$set_no_wait_mode
(e$caller_must_wait).

Message queues and one-way server queues may be protected by s$set_transaction_file. A transaction's messages come into the queue
when it commits; what it received is locked for others until then, and goes back when it aborts. Its own messages can fill a queue
for good, which is e$queue_full.

In a share they are mirrored, and one module delivers: the owner of the group, or of an active group the owner that the control
tables name for its queues. Everywhere else, and where no owner is named, s$msg_receive and s$msg_delete are e$not_owner. A message
that comes with e$durable_here was taken while the owner changed, and may be delivered there, too.

Server queues and direct queues are of one module, outside of shares, in memory, and not protected. Their requesters get replies:
s$msg_send_reply answers a message by its number, s$msg_receive_reply waits for the reply to one (u), or to any. s$msg_cancel_receive
gives a message back to the queue, as the end of its server's port does. A requester's end takes its messages along.

## Events and pipes

s$attach_event gives a number for the event of a file, s$wait_event waits for that, or for any (u 0), for q ticks at most if q is not
0, and gives count and status of what was notified since. s$notify_path notifies at every module that has the file, after all that
was done to it before. Attached with switch 1, an event tells of changes of the file, too, wherever they are made.

A file is a pipe after s$set_pipe_file: sequential, without indexes, outside of shares. What is read of it is gone, and its readers
wait at the end while another program has it open for writing.

## Parameters of transactions

s$set_tp_parameters sets, for the transactions that the program starts afterwards: type 1 the priority, 2 how many ticks one waits for
a lock before it is aborted (-1: any number; 61,440 at first), 3 how many it may last (0: any number). Type 0 sets nothing. It gives
all of them, and why the program's last transaction that was aborted from outside was. s$set_tp_default_parameters sets them for
programs that come.

## Stable input

Records that modules append to one sequential file at once stand in the order of their stamps, so what comes from elsewhere may
still have its place before what a program has read already. A port that is opened with io_type 101, ours, reads like INPUT, but
only what stands at the same places at all modules already and stays there: nothing can come any more that belongs before its end.
At the end of that it is told e$end_of_file, and reads on when more has become stable, which takes about a second where nobody
writes, and as long as a module that may write is not reachable. Records that are deleted leave, and rewritten ones change, when
that comes. It goes with access mode SEQUENTIAL, on sequential files; of others it is e$invalid_file_type or
e$invalid_access_mode. In files that are not shared all is stable.
`)
	b.WriteString("\n## Status codes\n\n0 is success. Numbers below 31001 are those of VOS; the others are of DRMesh, above all that VOS is known to use.\n\n| code | name | meaning |\n|---|---|---|\n")
	for _, c := range call.Codes() {
		fmt.Fprintf(&b, "| %d | %s | %s |\n", int(c), c.Name(), c.Text())
	}
	return b.Bytes()
}

func rows(b *bytes.Buffer, table []call.Entry, worked map[string]bool) {
	for _, e := range table {
		yes := "no"
		if worked[e.Name] {
			yes = "yes"
		}
		fmt.Fprintf(b, "| %s | %c | %s | %s |\n", e.Name, e.Class, yes, strings.TrimSpace(e.Args))
	}
}
