# Stable input (io 101, ours): INPUT that shows only what can get no neighbour
# any more. One module alone, or a file that is not shared: all is stable.
program a
----

program b
----

calls
a: create_file path=%s#d>main>f org=sequential
a: openpath path=%s#d>main>f io=append lock=implicit access=seq
b: openpath path=%s#d>main>f io=stable lock=implicit access=seq
b: seq_read p=1
a: seq_write p=1 data=one
a: seq_write p=1 data=two
b: all p=1
a: seq_write p=1 data=three
b: all p=1
b: seq_position p=1 type=backward count=2
b: seq_read p=1
b: seq_position p=1 type=end
b: seq_position p=1 type=backward count=1
b: seq_read p=1
b: seq_write p=1 data=no
b: seq_delete p=1
b: detach_port p=1
----
ok
ok port 1
ok port 1
e$end_of_file
ok
ok
one two end
ok
three end
ok
ok "one"
ok
ok
ok "three"
e$invalid_io_type
e$invalid_io_type
ok

calls
a: create_file path=%s#own org=sequential
a: openpath path=%s#own io=append lock=implicit access=seq
a: seq_write p=2 data=mine
b: openpath path=%s#own io=stable lock=implicit access=seq
b: all p=1
b: openpath path=%s#own io=stable lock=implicit access=indexed
a: create_file path=%s#d>main>r org=relative size=10
b: openpath path=%s#d>main>r io=stable lock=implicit access=seq
b: openpath path=%s#own io=100 lock=implicit access=seq
----
ok
ok port 2
ok
ok port 1
mine end
e$invalid_access_mode
ok
e$invalid_file_type
e$invalid_io_type
