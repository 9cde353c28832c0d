# A port's position: where it stands after each call (sequential file, physical order).
program a
----

calls
a: create_file path=%s#d>main>f org=sequential
a: openpath path=%s#d>main>f io=output lock=implicit access=seq
a: seq_write p=1 data=r1
a: seq_write p=1 data=r2
a: seq_write p=1 data=r3
a: seq_write p=1 data=r4
a: seq_read p=1
a: seq_rewrite p=1 data=x
a: close p=1
a: close p=1
a: detach_port p=1
a: seq_read p=1
----
ok
ok port 1
ok
ok
ok
ok
e$invalid_io_type
e$invalid_io_type
ok
e$port_not_open
ok
e$invalid_port_number

# After an open there is no current record; what is read next is the first.
calls
a: openpath path=%s#d>main>f io=update lock=implicit access=seq
a: seq_rewrite p=1 data=x
a: seq_delete p=1
a: seq_read p=1
a: seq_read p=1
----
ok port 1
e$no_current_record
e$no_current_record
ok "r1"
ok "r2"

# backward 0 reads the same again; forward n from record k gives k+n.
calls
a: seq_position p=1 type=backward count=0
a: seq_read p=1
a: seq_position p=1 type=forward count=2
a: seq_read p=1
a: seq_position p=1 type=backward count=2
a: seq_read p=1
a: seq_position p=1 type=backward count=9
a: seq_read p=1
a: seq_position p=1 type=forward count=9
a: seq_read p=1
a: seq_read p=1
a: seq_read p=1
----
ok
ok "r2"
ok
ok "r4"
ok
ok "r2"
e$beginning_of_file
ok "r3"
e$end_of_file
ok "r4"
e$end_of_file
e$end_of_file

# At the end a port stays; what another program adds is read then.
program b
----

calls
b: openpath path=%s#d>main>f io=append lock=implicit access=seq
b: seq_write p=1 data=r5
a: seq_read p=1
a: seq_read p=1
----
ok port 1
ok
ok "r5"
e$end_of_file

calls
a: seq_position p=1 type=beginning
a: seq_rewrite p=1 data=x
a: seq_read p=1
a: seq_position p=1 type=end
a: seq_read p=1
a: seq_position p=1 type=backward count=1
a: seq_read p=1
a: seq_position p=1 type=beginning
a: seq_position p=1 type=forward count=0
a: seq_read p=1
a: seq_position p=1 type=beginning
a: seq_position p=1 type=forward count=1
a: seq_read p=1
a: seq_position p=1 type=7
----
ok
ok
ok "x"
ok
e$end_of_file
ok
ok "r5"
ok
ok
ok "x"
ok
ok
ok "r2"
e$invalid_control_operation

# A delete: no current record, the follower is next; a second delete has nothing.
calls
a: seq_position_read p=1 type=beginning
a: seq_read p=1
a: seq_delete p=1
a: seq_delete p=1
a: seq_rewrite p=1 data=x
a: seq_read p=1
a: seq_position p=1 type=backward count=1
a: seq_read p=1
----
ok "x"
ok "r2"
ok
e$no_current_record
e$no_current_record
ok "r3"
ok
ok "x"

# A rewrite leaves the position: a read-rewrite loop meets each record once.
calls
a: seq_position p=1 type=beginning
a: seq_read p=1
a: seq_rewrite p=1 data=R1
a: seq_read p=1
a: seq_rewrite p=1 data="R3 is longer now"
a: seq_read p=1
a: seq_rewrite p=1 data=""
a: seq_read p=1
a: seq_read p=1
----
ok
ok "x"
ok
ok "r3"
ok
ok "r4"
ok
ok "r5"
e$end_of_file

# A write makes the new record current, wherever the port stood.
calls
a: seq_position p=1 type=beginning
a: seq_write p=1 data=r6
a: seq_read p=1
a: seq_rewrite p=1 data=R6
a: seq_position p=1 type=backward count=1
a: seq_read p=1
----
ok
ok
e$end_of_file
ok
ok
ok "r5"

calls
a: seq_position_rewrite p=1 type=beginning data=first
a: seq_position_read p=1 type=beginning
a: seq_position_rewrite p=1 type=forward count=1 data=second
a: seq_read p=1
a: seq_position_delete p=1 type=backward count=1
a: seq_position_delete p=1 type=forward count=99
a: seq_position p=1 type=beginning
a: all p=1
----
ok
ok "first"
ok
ok ""
ok
e$end_of_file
ok
first  r5 R6 end

# Deleted by another port while it is current.
calls
a: seq_position_read p=1 type=beginning
b: openpath path=%s#d>main>f io=update lock=implicit access=seq
b: seq_read p=2
b: seq_delete p=2
a: seq_rewrite p=1 data=late
a: seq_delete p=1
a: seq_read p=1
----
ok "first"
ok port 2
ok "first"
ok
e$record_not_found
e$record_not_found
ok ""

# Buffers that are too short are filled; the position moves on.
calls
a: seq_position p=1 type=beginning
a: seq_write p=1 data=longer
a: seq_position p=1 type=backward count=0
a: seq_read p=1 max=3
a: seq_read p=1 max=3
----
ok
ok
ok
e$long_record "lon" of 6
e$end_of_file
