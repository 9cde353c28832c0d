# Protected queues: what is received comes back if the transaction aborts [D], what is sent is seen when it commits.
program a
----

program b
----

program c
----

calls
a: create_file path=%s#d>main>q org=msgq
a: set_transaction_file path=%s#d>main>q sw=1
a: create_file path=%s#d>main>log org=sequential
a: set_transaction_file path=%s#d>main>log sw=1
a: msg_open path=%s#d>main>q io=requester
a: openpath path=%s#d>main>log io=update lock=implicit access=seq
b: msg_open path=%s#d>main>q io=server
c: msg_open path=%s#d>main>q io=server
a: msg_send p=1 data=x
a: start_transaction
a: msg_send p=1 data=one
a: msg_send p=1 count=3 data=two
a: seq_write p=2 data="sent two"
b: msg_read p=1 type=beginning
b: msg_receive p=1 nowait
a: commit_transaction
b: msg_receive p=1 nowait
----
ok
ok
ok
ok
ok port 1
ok port 2
ok port 1
ok port 1
e$no_transaction
ok
ok number 1
ok number 2
ok
e$end_of_file
e$no_transaction
ok
e$no_transaction

txns 1 1
----
write "\x13\x01\x00\x00\x00\x01\x00one" life 1 +
write "\x10\x01\x00\x00\x00\x02\x00two" life 1 +
write "sent two" life 1

# Two servers take different messages; an abort gives its message back, to who waits for it.
calls
b: start_transaction
c: start_transaction
b: msg_receive p=1
b: msg_read p=1 type=beginning
c: msg_receive p=1 nowait
c: msg_receive p=1 nowait
c: commit_transaction
c: start_transaction
c& msg_receive p=1
b: abort_transaction
c: .
c: abort_transaction
b: start_transaction
b: msg_receive p=1
b: commit_transaction
b: start_transaction
b: msg_receive p=1 nowait
b: abort_transaction
----
ok
ok
ok "two" number 2 priority 3
ok "one" number 1
ok "one" number 1
e$caller_must_wait
ok
ok
c waits
ok
ok "two" number 2 priority 3
ok
ok
ok "two" number 2 priority 3
ok
ok
e$caller_must_wait
ok

# A program that dies gives back what it took; its sends are gone.
calls
a: start_transaction
a: msg_send p=1 data=kept
a: commit_transaction
b: start_transaction
b: msg_receive p=1
c: start_transaction
c& msg_receive p=1
a: start_transaction
a: msg_send p=1 data=never
----
ok
ok number 3
ok
ok
ok "kept" number 3
ok
c waits
ok
ok number 4

end b
----

end a
----

calls
c: .
c: msg_read p=1 type=beginning
c: commit_transaction
c: msg_read p=1 type=beginning
----
ok "kept" number 3
e$end_of_file
ok
e$end_of_file

# Sent and received in one transaction: nobody ever sees it. Its own messages fill a queue.
program d
----

calls
d: set_max_queue_depth path=%s#d>main>q count=2
d: msg_open path=%s#d>main>q io=requester
d: msg_open path=%s#d>main>q io=server
d: start_transaction
d: msg_send p=1 data=1
d: msg_send p=1 data=2
d: msg_send p=1 data=3
d: msg_receive p=2
d: msg_send p=1 data=3
d: commit_transaction
d: start_transaction
d: msg_send p=1 data=4 nowait
d: msg_receive p=2
d: msg_receive p=2
d: commit_transaction
----
ok
ok port 1
ok port 2
ok
ok number 5
ok number 6
e$queue_full
ok "1" number 5
ok number 8
ok
ok
e$caller_must_wait
ok "2" number 6
ok "3" number 8
ok
