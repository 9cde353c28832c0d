# Records that are written in parts, raw forms, and text to the default output.
program a
----

program b
----

# The next s$seq_write completes the record; nothing is to be read before.
calls
a: create_file path=%s#d>main>f org=sequential
a: openpath path=%s#d>main>f io=update lock=implicit access=seq
b: openpath path=%s#d>main>f io=input lock=implicit access=seq
a: seq_write_partial p=1 data="one, "
a: seq_write_partial p=1 data="two, "
b: seq_read p=1
a: seq_write p=1 data=three
b: seq_read p=1
a: seq_write p=1 data=four
b: seq_read p=1
b: seq_write_partial p=1 data=x
a: seq_write_partial p=2 data=x
----
ok
ok port 1
ok port 1
ok
ok
e$end_of_file
ok
ok "one, two, three"
ok
ok "four"
e$invalid_io_type
e$invalid_port_number

# So does the close, and the detach; what does not fit is refused, and what was
# there stays.
calls
a: seq_write_partial p=1 data=unfinished
a: close p=1
b: seq_read p=1
a: open p=1 io=append lock=implicit access=seq
a: seq_write_partial p=1 data="and this"
a: detach_port p=1
b: seq_read p=1
b: seq_read p=1
----
ok
ok
ok "unfinished"
ok
ok
ok
ok "and this"
e$end_of_file

# A program that dies closes its ports.
calls
a: openpath path=%s#d>main>f io=append lock=implicit access=seq
a: seq_write_partial p=1 data="last words"
----
ok port 1
ok

end a
----

calls
b: seq_read p=1
----
ok "last words"

# A record that is refused may be completed otherwise; a transaction that is
# undone takes its parts with it.
program a
----

calls
a: create_file path=%s#d>main>k org=sequential
a: create_index path=%s#d>main>k name=id parts=1,4
a: openpath path=%s#d>main>k io=update lock=implicit access=indexed
a: seq_write p=1 data=k001
a: seq_write_partial p=1 data=k00
a: seq_write p=1 data=1
a: seq_write p=1 data=2
a: seq_read p=1
a: seq_position p=1 type=beginning
a: all p=1
a: seq_write_partial p=1 data=k001
a: close p=1
a: open p=1 io=update lock=implicit access=indexed
a: all p=1
a: close p=1
a: set_transaction_file path=%s#d>main>k sw=1
a: open p=1 io=update lock=implicit access=indexed
a: start_transaction
a: seq_write_partial p=1 data=k0
a: abort_transaction
a: start_transaction
a: seq_write p=1 data=k03
a: commit_transaction
a: seq_position p=1 type=beginning
a: all p=1
a: detach_port p=1
----
ok
ok
ok port 1
ok
ok
e$invalid_duplicate_key
ok
e$end_of_file
ok
k001 k002 end
ok
e$invalid_duplicate_key
ok
k001 k002 end
ok
ok
ok
ok
ok
ok
ok
ok
ok
ok
k001 k002 k03 end
ok

# Numbered records have no parts.
calls
a: create_file path=%s#d>main>r org=relative size=10
a: openpath path=%s#d>main>r io=update lock=implicit access=random
a: seq_write_partial p=1 data=x
a: detach_port p=1
----
ok
ok port 1
e$invalid_file_type
ok

# The raw forms are, on files of records, those of s$seq_read and s$seq_write.
calls
a: openpath path=%s#d>main>f io=update lock=implicit access=seq
a: write_raw p=1 data="raw"
a: seq_position p=1 type=end
a: seq_position p=1 type=backward count=1
a: read_raw p=1 max=2
a: seq_position p=1 type=backward count=0
a: read_raw p=1
a: read_raw p=1
a: detach_port p=1
b: write_raw p=1 data=no
b: detach_port p=1
----
ok port 1
ok
ok
ok
e$long_record "ra" of 3
ok
ok "raw"
e$end_of_file
ok
e$invalid_io_type
ok

# Text goes to the port default_output. Without one the calls that have a code
# say so.
calls
a: write data=nowhere
a: write_wrap data=nowhere
a: write_code data=nowhere
a: write_partial_code data=nowhere
a: create_file path=%s#d>main>out org=sequential
a: attach_port name=default_output path=%s#d>main>out
a: write_code data="not open"
a: open p=1 io=append lock=implicit access=seq
a: write data="a line"
a: write_partial data="begun, "
a: write_partial_code data="and "
a: write_code data=ended
a: write_wrap data="0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789"
a: write_wrap_indent count=4 data="0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789"
a: write_partial data="it goes on: "
a: write_wrap_partial data="0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789"
a: write_wrap data=", the end"
b: openpath path=%s#d>main>out io=input lock=implicit access=seq
b: seq_read p=1
b: seq_read p=1
b: seq_read p=1
b: seq_read p=1
b: seq_read p=1
b: seq_read p=1
b: seq_read p=1
b: seq_read p=1
b: seq_read p=1
----
ok
ok
e$invalid_port_number
e$invalid_port_number
ok
ok port 1
e$port_not_open
ok
ok
ok
ok
ok
ok
ok
ok
ok
ok
ok port 1
ok "a line"
ok "begun, and ended"
ok "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789"
ok "0123456789 0123456789"
ok "0123456789 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789"
ok "    0123456789 0123456789"
ok "it goes on: 0123456789 0123456789 0123456789 0123456789 0123456789 0123456789"
ok "0123456789 0123456789, the end"
e$end_of_file

# s$control is for devices.
calls
a: control p=1 count=202
a: control p=7 count=201
----
e$invalid_control_operation
e$invalid_port_number
