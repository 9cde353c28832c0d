# A mirrored queue: all modules send and hold, one delivers.
program a 1
----

program b 2
----

calls
a: create_file path=%s#d>main>q org=msgq
a: create_file path=%s#d>main>oneway org=onewayq
a: msg_open path=%s#d>main>q io=requester
a: msg_open path=%s#d>main>q io=server
a: msg_open path=%s#d>main>oneway io=requester
a: msg_send p=1 data=a1
a: msg_send p=3 data="the server may be elsewhere"
----
ok
ok
ok port 1
ok port 2
ok port 3
ok number 1
ok number 1

ship 1 2
----
4 txns

calls
b: msg_open path=%s#d>main>q io=requester
b: msg_open path=%s#d>main>q io=server
b: msg_send p=1 count=1 data=b1
b: msg_send p=1 data=b2
b: msg_read p=2 type=beginning
b: msg_receive p=2 nowait
b: msg_receive p=2
b: msg_delete p=1 n=1
----
ok port 1
ok port 2
ok number 1
ok number 2
ok "b1" number 1 priority 1
e$not_owner
e$not_owner
e$not_owner

# What comes from elsewhere wakes a receiver, and what it took is gone everywhere.
calls
a: msg_receive p=2
a& msg_receive p=2
----
ok "a1" number 1
a waits

ship 2 1
----
2 txns

calls
a: .
a: msg_receive p=2
----
ok "b1" number 1 priority 1
ok "b2" number 2

ship 1 2
----
3 txns

calls
b: msg_read p=2 type=beginning
----
e$end_of_file

counts 2
----
oneway 1 records 34 bytes
q 0 records 0 bytes
