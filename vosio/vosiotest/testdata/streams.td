# Stream files: lines, bytes, positions by byte.
program a
----

calls
a: create_file path=%s#d>main>t org=stream size=99
a: create_index path=%s#d>main>t name=i parts=1,1
a: create_record_index path=%s#d>main>t
a: set_transaction_file path=%s#d>main>t sw=1
a: openpath path=%s#d>main>t io=update lock=implicit access=indexed
a: openpath path=%s#d>main>t io=update lock=implicit access=seq
a: seq_read p=1
a: read_raw p=1
a: seq_write p=1 data=one
a: seq_write p=1 data=""
a: seq_write_partial p=1 data=th
a: seq_write p=1 data=ree
a: write_raw p=1 data="fo"
a: write_raw p=1 data="ur\nfive"
a: seq_read p=1
a: seq_position p=1 type=beginning
a: all p=1
a: seq_read p=1
a: seq_position p=1 type=beginning
a: seq_read p=1 max=2
a: seq_read p=1
a: read_raw p=1 max=4
a: read_raw p=1
a: read_raw p=1
a: seq_position p=1 type=backward count=4
a: read_raw p=1 max=2
a: seq_position p=1 type=forward count=3
a: seq_position p=1 type=backward count=100
a: read_raw p=1
a: seq_position_read p=1 type=beginning
a: seq_position_read p=1 type=forward count=1000
a: seq_read p=1
a: seq_read p=1
a: seq_position p=1 type=9
----
ok
e$invalid_file_type
e$invalid_file_type
e$invalid_file_type
e$invalid_access_mode
ok port 1
e$end_of_file
e$end_of_file
ok
ok
ok
ok
ok
ok
e$end_of_file
ok
one  three four five end
e$end_of_file
ok
e$long_record "on" of 3
ok ""
ok "thre"
ok "e\nfour\nfive"
e$end_of_file
ok
ok "fi"
e$end_of_file
e$beginning_of_file
ok "ve"
ok "one"
e$end_of_file
ok ""
ok "three"
e$invalid_control_operation

# After a position s$write_raw writes there, over what stands; anything else at
# the end.
calls
a: seq_position p=1 type=beginning
a: write_raw p=1 data=ONE
a: read_raw p=1 max=7
a: write_raw p=1 data="\n"
a: seq_position p=1 type=end
a: seq_position p=1 type=backward count=1
a: write_raw p=1 data="!six"
a: write_raw p=1 data="7"
a: seq_write p=1 data=8
a: seq_position p=1 type=beginning
a: all p=1
a: seq_position p=1 type=beginning
a: seq_position p=1 type=forward count=4
a: truncate_open_file p=1
a: seq_read p=1
a: write_raw p=1 data=x
a: seq_position p=1 type=beginning
a: read_raw p=1
a: seq_position p=1 type=beginning
a: truncate_open_file p=1
a: read_raw p=1
a: seq_write p=1 data=again
a: seq_position_read p=1 type=beginning
----
ok
ok
ok "\n\nthree"
ok
ok
ok
ok
ok
ok
ok
ONE  three four five!six78 end
ok
ok
ok
e$end_of_file
ok
ok
ok "ONE\nx"
ok
ok
e$end_of_file
ok
ok "again"

# What does not go with streams.
calls
a: seq_rewrite p=1 data=x
a: seq_delete p=1
a: seq_position_delete p=1 type=beginning
a: keyed_read p=1 key=x
a: rel_read p=1 n=1
a: seq_lock_record p=1
a: add_key p=1 key=x
a: lock_file p=1 lock=write
a: unlock_file p=1
a: lock_region p=1 n=0 count=3 lock=write
a: enforce_region_locks path=%s#d>main>t sw=1
a: seq_write_unlock p=1 data=more
----
e$invalid_file_type
e$invalid_file_type
e$invalid_file_type
e$invalid_file_type
e$invalid_file_type
e$invalid_file_type
e$invalid_file_type
ok
ok
ok
ok
ok

program b
----

calls
b: openpath path=%s#d>main>t io=update lock=implicit access=seq
b: read_raw p=1 max=2
b: seq_position p=1 type=forward count=6
b: seq_read p=1
b: seq_position p=1 type=beginning
b: write_raw p=1 data=no
a: lock_region p=1 n=0 count=0 lock=0
b: write_raw p=1 data=NO
b: seq_position_read p=1 type=beginning
b: close p=1
a: close p=1
----
ok port 1
e$region_in_use
ok
ok "more"
ok
e$region_in_use
ok
ok
ok "NOain"
ok
ok

# Other opens, copies, sizes.
calls
a: openpath path=%s#d>main>t io=append lock=set access=seq
a: write_raw p=2 data="tail"
a: seq_position p=2 type=beginning
a: close p=2
a: copy_file path=%s#d>main>t to=%s#d>main>t2
a: clone_file path=%s#d>main>t to=%s#d>main>t3
a: openpath path=%s#d>main>t2 io=input lock=implicit access=seq
a: all p=3
a: write_raw p=3 data=x
a: openpath path=%s#d>main>t3 io=output org=stream64 lock=set access=seq
a: seq_write_partial p=4 data=closed
a: close p=4
a: openpath path=%s#d>main>t io=output lock=set access=seq
a: seq_write p=5 data=new
a: close p=5
a: openpath path=%s#d>main>t3 io=input lock=set access=seq
a: all p=6
a: openpath path=%s#d>main>t64 io=output org=stream64 lock=set access=seq
a: write_raw p=7 data=bytes
a: close p=7
a: openpath path=%s#d>main>t64 io=stable lock=implicit access=seq
a: openpath path=%s#d>main>t64 io=update lock=implicit access=seq
a: seq_position p=8 type=forward count=549755813889
a: read_raw p=8
----
ok port 2
ok
e$invalid_io_type
ok
ok
ok
ok port 3
NOain more tail end
e$invalid_io_type
ok port 4
ok
ok
ok port 5
ok
ok
ok port 6
closed end
ok port 7
ok
ok
e$invalid_file_type
ok port 8
e$invalid_control_operation
ok "bytes"
