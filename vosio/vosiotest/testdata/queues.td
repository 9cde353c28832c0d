# Message queues: the higher priority first [D], equal ones first in, first out [D*].
program a
----

program s
----

calls
a: create_file path=%s#d>main>q org=msgq
a: msg_open path=%s#d>main>q io=requester
a: msg_open path=%s#d>main>nosuch io=requester
s: msg_open path=%s#d>main>q io=receive_only
a: msg_send p=1 data=first
a: msg_send p=1 count=5 name=orders data=urgent
a: msg_send p=1 data=second
a: msg_send p=1 count=19 name=stop data=now
a: msg_send p=1 count=5 name=orders data="urgent too"
----
ok
ok port 1
e$object_not_found
ok port 1
ok number 1
ok number 2
ok number 3
ok number 4
ok number 5

# s$msg_read looks, s$msg_receive takes [D*]; a server may select by subject [D*].
calls
s: msg_read p=1 type=beginning
s: msg_read p=1
s: msg_read p=1
s: msg_read p=1 name=orders
s: msg_read p=1 type=beginning name=or*
s: msg_receive p=1 name=orders
s: msg_receive p=1 max=2
s: msg_receive p=1
s: msg_receive p=1
s: msg_receive p=1 nowait
s: msg_receive p=1 nowait
s: msg_receive p=1 nowait
s: msg_read p=1 type=beginning
----
ok "now" number 4 priority 19 subject "stop"
ok "urgent" number 2 priority 5 subject "orders"
ok "urgent too" number 5 priority 5 subject "orders"
e$end_of_file
ok "urgent" number 2 priority 5 subject "orders"
ok "urgent" number 2 priority 5 subject "orders"
e$long_record "no" of 3
ok "now" number 4 priority 19 subject "stop"
ok "urgent too" number 5 priority 5 subject "orders"
ok "first" number 1
ok "second" number 3
e$caller_must_wait
e$end_of_file

# A receiver waits for its subject; what comes meanwhile stays for others.
calls
s& msg_receive p=1 name=reply
a: msg_send p=1 data=other
a: msg_send p=1 name=reply data=mine
s: .
s: set_io_time_limit p=1 count=20
s: msg_receive p=1 name=reply
s: set_no_wait_mode p=1
s: msg_receive p=1 name=reply
s: set_wait_mode p=1
s: set_io_time_limit p=1 count=-1
s: msg_receive p=1
----
s waits
ok number 6
ok number 7
ok "mine" number 7 subject "reply"
ok
e$timeout
ok
e$caller_must_wait
ok
ok
ok "other" number 6

# Requesters send only, servers receive only [D]; arguments at and past their limits.
calls
a: msg_receive p=1 nowait
s: msg_send p=1 data=x
a: msg_send p=1 count=20 data=x
a: msg_send p=1 count=-1 data=x
a: msg_send p=1
a: msg_send p=1 name=123456789012345678901234567890123 data=x
a: msg_send p=1 name=12345678901234567890123456789012 data=x
a: msg_delete p=1 n=8
a: msg_delete p=1 n=8
a: msg_open path=%s#d>main>q io=send_only size=4
a: msg_send p=2 data=12345
a: msg_send p=2 data=1234
s: msg_receive p=1
a: msg_open path=%s#d>main>q io=requester size=3145729
a: msg_open path=%s#d>main>q io=input
a: openpath path=%s#d>main>q io=update lock=implicit access=seq
a: openpath path=%s#d>main>q io=server
a: seq_write p=2 data=x
s: seq_read p=1
a: msg_send p=9 data=x
a: detach_port p=2
a: msg_send p=2 data=x
----
e$invalid_io_type
e$invalid_io_type
e$invalid_priority
e$invalid_priority
e$record_too_long
e$record_too_long
ok number 8
ok
e$record_not_found
ok port 2
e$record_too_long
ok number 9
ok "1234" number 9
e$invalid_record_size
e$invalid_io_type
e$invalid_io_type
ok port 3
e$invalid_io_type
e$invalid_io_type
e$invalid_port_number
ok
e$invalid_port_number

# What is for files of records is not for queues; an open queue keeps calls by path out.
calls
a: delete_file path=%s#d>main>q
a: detach_port p=1
a: detach_port p=3
s: detach_port p=1
a: create_index path=%s#d>main>q name=i parts=1,2
a: delete_index path=%s#d>main>q name="$priority"
a: truncate_file path=%s#d>main>q
a: copy_file path=%s#d>main>q to=%s#d>main>q2
a: clone_file path=%s#d>main>q to=%s#d>main>q2
a: create_file path=%s#d>main>f org=sequential
a: msg_open path=%s#d>main>f io=server
a: set_max_queue_depth path=%s#d>main>f count=1
a: get_server_queue_info path=%s#d>main>f
a: delete_file path=%s#d>main>q
----
e$file_in_use
ok
ok
ok
e$invalid_file_type
e$invalid_file_type
e$invalid_file_type
e$invalid_file_type
ok
ok
e$invalid_file_type
e$invalid_file_type
e$invalid_file_type
ok

# A full queue: the sender waits for room [D*].
calls
a: set_max_queue_depth path=%s#d>main>q2 count=2
a: msg_open path=%s#d>main>q2 io=requester
s: msg_open path=%s#d>main>q2 io=server
a: msg_send p=1 data=1
a: msg_send p=1 data=2
a: msg_send p=1 data=3 nowait
a: set_io_time_limit p=1 count=10
a: msg_send p=1 data=3
a: set_io_time_limit p=1 count=-1
a& msg_send p=1 data=three
s: msg_receive p=1
a: .
s: msg_receive p=1
s: msg_receive p=1
----
ok
ok port 1
ok port 1
ok number 1
ok number 2
e$caller_must_wait
ok
e$timeout
ok
a waits
ok "1" number 1
ok number 5
ok "2" number 2
ok "three" number 5

# A program that dies while it waits waits no more, and holds nothing.
program d
----

calls
d: msg_open path=%s#d>main>q2 io=server
d& msg_receive p=1
----
ok port 1
d waits

end d
----

calls
a: detach_port p=1
s: detach_port p=1
a: rename path=%s#d>main>q2 to=q3
a: delete_file path=%s#d>main>q3
----
ok
ok
ok
ok
