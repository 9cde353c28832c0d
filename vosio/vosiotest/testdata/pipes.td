# Pipes: readers wait at the end while a writer has it open, and what is read is gone [D].
program w
----

program r
----

calls
w: create_file path=%s#d>alone>pipe org=sequential
w: create_file path=%s#d>alone>rel org=relative size=10
w: create_file path=%s#d>alone>keyed org=sequential
w: create_index path=%s#d>alone>keyed name=id parts=1,2
w: create_file path=%s#d>main>shared org=sequential
w: set_pipe_file path=%s#d>alone>rel sw=1
w: set_pipe_file path=%s#d>alone>keyed sw=1
w: set_pipe_file path=%s#d>main>shared sw=1
w: set_pipe_file path=%s#d>alone>nosuch sw=1
w: set_pipe_file path=%s#d>alone>pipe sw=1
w: create_index path=%s#d>alone>pipe name=id parts=1,2
w: set_transaction_file path=%s#d>alone>pipe sw=1
r: openpath path=%s#d>alone>pipe io=input lock=set access=seq
r: seq_read p=1
w: openpath path=%s#d>alone>pipe io=output lock=set access=seq
r& seq_read p=1
w: seq_write p=1 data=one
r: .
w: seq_write p=1 data=two
w: seq_write p=1 data=three
w: openpath path=%s#d>alone>pipe io=output lock=set access=seq
r: seq_position p=1 type=beginning
r: seq_read p=1 max=2
r: seq_read p=1
r: read_raw p=1
r: set_no_wait_mode p=1
r: seq_read p=1
r: set_wait_mode p=1
w: set_pipe_file path=%s#d>alone>pipe sw=0
----
ok
ok
ok
ok
ok
e$invalid_file_type
e$invalid_if_indexed
e$invalid_pipe_operation
e$object_not_found
ok
e$invalid_pipe_operation
e$invalid_file_type
ok port 1
e$end_of_file
ok port 1
r waits
ok
ok "one"
ok
ok
ok port 2
e$invalid_pipe_operation
e$long_record "tw" of 3
ok "two"
ok "three"
ok
e$caller_must_wait
ok
e$file_in_use

# The end comes when the last writer closes, or dies.
calls
w: close p=2
r& seq_read p=1
----
ok
r waits

end w
----

calls
r: .
r: close p=1
r: set_pipe_file path=%s#d>alone>pipe sw=0
r: openpath path=%s#d>alone>pipe io=update lock=set access=seq
r: seq_write p=2 data=stays
r: seq_position p=2 type=beginning
r: seq_read p=2
r: seq_position p=2 type=beginning
r: seq_read p=2
----
e$end_of_file
ok
ok
ok port 2
ok
ok
ok "stays"
ok
ok "stays"
