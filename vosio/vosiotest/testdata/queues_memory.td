# Queues of one module: server queues with replies, direct queues, one-way server queues.
program a
----

program b
----

program s
----

calls
a: create_file path=%s#d>main>sq org=serverq
a: create_file path=%s#d>alone>sq org=serverq
a: create_file path=%s#d>alone>dq org=directq
a: create_file path=%s#d>alone>oq org=onewayq
a: set_transaction_file path=%s#d>alone>sq sw=1
a: msg_open path=%s#d>alone>sq io=requester
b: msg_open path=%s#d>alone>sq io=requester
a: msg_send p=1 data=early
s: msg_open path=%s#d>alone>sq io=server
a: msg_send p=1 data="from a"
b: msg_send p=1 count=2 name=ask data="from b"
s: msg_read p=1 type=beginning
s: msg_read p=1
s: msg_read p=1
s: msg_receive p=1
s: msg_receive p=1
s: msg_receive p=1 nowait
b: msg_receive_reply p=1 n=2 nowait
b: msg_receive_reply p=1 n=1 nowait
s: msg_send_reply p=1 n=2 data="to b"
s: msg_send_reply p=1 n=2 data="again"
a: msg_receive_reply p=1 n=2
b: msg_receive_reply p=1 max=2
b: msg_receive_reply p=1
b: msg_receive_reply p=1
a& msg_receive_reply p=1
s: msg_send_reply p=1 n=1 data="to a"
a: .
----
e$invalid_file_type
ok
ok
ok
e$invalid_file_type
ok port 1
ok port 1
e$no_msg_server_for_queue
ok port 1
ok number 1
ok number 2
ok "from b" number 2 priority 2 subject "ask"
ok "from a" number 1
e$end_of_file
ok "from b" number 2 priority 2 subject "ask"
ok "from a" number 1
e$caller_must_wait
e$caller_must_wait
e$record_not_found
ok
e$record_not_found
e$record_not_found
e$long_record "to" of 4
ok "to b" number 2
e$record_not_found
a waits
ok
ok "to a" number 1

# A server may give a message back, or be gone; a requester may take it back.
calls
a: msg_send p=1 data=again
s: msg_receive p=1
s: msg_cancel_receive p=1 n=3
s: msg_receive p=1
a& msg_receive_reply p=1
----
ok number 3
ok "again" number 3
ok
ok "again" number 3
a waits

end s
----

calls
a: .
a: get_server_queue_info path=%s#d>alone>sq
a: msg_delete p=1 n=3
a: msg_delete p=1 n=3
b: msg_receive_reply p=1 n=3
----
e$no_msg_server_for_queue
ok {"path":"%s#d>alone>sq","kind":"server_queue","depth":1,"bytes":5,"limit":32767,"protected":false,"servers":0,"requesters":2,"delivers":"yes"}
ok
e$record_not_found
e$record_not_found

# Direct: one message of each client at a time.
program t
----

calls
t: msg_open path=%s#d>alone>dq io=server
a: msg_open path=%s#d>alone>dq io=requester
b: msg_open path=%s#d>alone>dq io=requester
a: msg_send p=2 data=1
a: msg_send p=2 data=2 nowait
b: msg_send p=2 data=3 nowait
t: msg_receive p=1
t: msg_send_reply p=1 n=1 data=one
a: msg_receive_reply p=2
a: msg_send p=2 data=2 nowait
----
ok port 1
ok port 2
ok port 2
ok number 1
e$caller_must_wait
ok number 2
ok "1" number 1
ok
ok "one" number 1
ok number 3

# One-way: no replies; it needs a server, and keeps what was sent when that goes.
calls
a: msg_open path=%s#d>alone>oq io=send_only
a: msg_send p=3 data=x
t: msg_open path=%s#d>alone>oq io=receive_only
a: msg_send p=3 data=x
t: msg_send_reply p=2 n=1 data=y
t: msg_cancel_receive p=2 n=1
t: close p=2
t: openpath path=%s#d>alone>oq io=receive_only
t: msg_receive p=3
a: msg_receive_reply p=3
----
ok port 3
e$no_msg_server_for_queue
ok port 2
ok number 1
e$invalid_io_type
e$invalid_file_type
ok
ok port 3
ok "x" number 1
e$invalid_io_type
