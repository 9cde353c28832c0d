# The calls that lock by name: files.
program a
----

program b
----

# A port that was opened without locking does I/O with a lock of the file only.
# Positions are no I/O.
calls
a: create_file path=%s#d>main>n org=sequential
a: openpath path=%s#d>main>n io=update lock=none access=seq
b: openpath path=%s#d>main>n io=input lock=none access=seq
a: seq_write p=1 data=x
a: seq_position p=1 type=beginning
a: seq_read p=1
a: truncate_open_file p=1
a: unlock_file p=1
a: lock_file p=1 lock=3
a: lock_file p=1 lock=read
a: lock_file p=1 lock=read
a: seq_read p=1
a: seq_write p=1 data=x
b: lock_file p=1 lock=read
a: lock_file p=1 lock=write nowait
b: unlock_file p=1
a: lock_file p=1 lock=write
a: lock_file p=1 lock=read
a: seq_write p=1 data=one
a: seq_write p=1 data=two
b: lock_file p=1 lock=read nowait
b: seq_read p=1
b: openpath path=%s#d>main>n io=dirty lock=none access=seq
b: all p=2
----
ok
ok port 1
ok port 1
e$file_not_locked
ok
e$file_not_locked
e$file_not_locked
e$not_locked
e$invalid_control_operation
ok
e$already_locked
e$end_of_file
e$file_not_locked
ok
e$caller_must_wait
ok
ok
e$already_locked
ok
ok
e$caller_must_wait
e$file_not_locked
ok port 2
one two end

# The lock goes to who waits for it, when it is given back, and at the latest
# with the close.
calls
b& lock_file p=1 lock=read
a: unlock_file p=1
b: .
b: all p=1
a& lock_file p=1 lock=write
b: close p=1
a: .
a: truncate_open_file p=1
a: detach_port p=1
b: detach_port p=1
b: detach_port p=2
----
b waits
ok
ok
one two end
a waits
ok
ok
ok
ok
ok
ok

# What its open has locked needs no other lock. A port with record locking has
# the file for itself for a while.
calls
a: openpath path=%s#d>main>n io=update lock=set access=seq
a: lock_file p=1 lock=write
a: close p=1
a: open p=1 io=update lock=implicit access=seq
b: openpath path=%s#d>main>n io=update lock=implicit access=seq
a: lock_file p=1 lock=write nowait
b: close p=1
a: lock_file p=1 lock=write nowait
b: open p=1 io=update lock=implicit access=seq
----
ok port 1
e$already_locked
ok
ok
ok port 1
e$caller_must_wait
ok
ok
e$file_in_use

calls
b& open p=1 io=update lock=wait access=seq
a: seq_write p=1 data=alone
a: unlock_file p=1
a: close p=1
b: .
b: all p=1
b: close p=1
a: lock_file p=1 lock=write
a: unlock_file p=1
a: unlock_records p=1
a: lock_file p=77 lock=write
----
b waits
ok
ok
ok
ok
one two alone end
ok
e$port_not_open
e$port_not_open
e$port_not_open
e$invalid_port_number

end a
----

end b
----

# Records. A lock outlasts its call; the port's own calls pass it.
program a
----

program b
----

calls
a: create_file path=%s#d>main>k org=sequential
a: create_index path=%s#d>main>k name=id parts=1,4
a: openpath path=%s#d>main>k io=update lock=implicit access=indexed
b: openpath path=%s#d>main>k io=update lock=implicit access=indexed
a: keyed_write p=1 data=k001a
a: keyed_write p=1 data=k002b
a: keyed_write p=1 data=k003c
a: seq_position p=1 type=beginning
a: seq_lock_record p=1
a: seq_read p=1
a: seq_lock_record p=1 nowait
a: seq_rewrite p=1 data=k002x
b: seq_lock_record p=1 nowait
b: keyed_lock_record p=1 key=k002 nowait
b: keyed_lock_record p=1 key=k003 nowait
a: keyed_lock_record p=1 key=k003 nowait
a: keyed_lock_record p=1 key=k009
a: keyed_unlock_record p=1 key=k009
a: keyed_unlock_record p=1 key=k003
b: seq_read p=1
b: seq_unlock_record p=1
a: keyed_lock_record p=1 key=k003 nowait
b: unlock_records p=1
----
ok
ok
ok port 1
ok port 1
ok
ok
ok
ok
ok
ok "k001a"
ok
ok
e$caller_must_wait
e$caller_must_wait
ok
e$caller_must_wait
e$record_not_found
e$record_not_found
ok
ok "k003c"
ok
ok
ok

# Whoever else comes to such a record waits: reads, writes and locks.
calls
b& keyed_read p=1 key=k001
a: seq_position p=1 type=beginning
a: seq_unlock_record p=1
b: .
b& keyed_rewrite p=1 data=k002y
a: seq_write_unlock p=1 data=k002z
a: seq_write_unlock p=1 data=k004d
b: .
b: all p=1
a: keyed_lock_record p=1 key=k001 nowait
b& keyed_lock_record p=1 key=k001
a: keyed_write_unlock p=1 data=k005e
b: .
a: keyed_lock_record p=1 key=k001 nowait
a: seq_position p=1 type=end
a: seq_lock_record p=1
----
b waits
ok
ok
ok "k001a"
b waits
e$invalid_duplicate_key
ok
ok
k003c k004d end
ok
b waits
ok
ok
e$caller_must_wait
ok
e$end_of_file

# A port's locks go with its close, and a program's with its end.
calls
b: close p=1
a: keyed_lock_record p=1 key=k001 nowait
b: open p=1 io=update lock=implicit access=indexed
b& keyed_delete p=1 key=k001
----
ok
ok
ok
b waits

end a
----

calls
b: .
b: keyed_read p=1 key=k001
----
ok
e$record_not_found

# It takes a port for update with record locking.
program a
----

calls
a: openpath path=%s#d>main>k io=input lock=implicit access=seq
a: seq_lock_record p=1
b: close p=1
a: close p=1
a: open p=1 io=update lock=set access=indexed
a: seq_lock_record p=1
a: keyed_lock_record p=1 key=k002
a: rel_lock_record p=1 n=1
a: detach_port p=1
a: seq_unlock_record p=1
----
ok port 1
e$invalid_io_type
ok
ok
ok
e$invalid_locking_mode
e$invalid_locking_mode
e$invalid_locking_mode
ok
e$invalid_port_number

# Two ports of one program: it would wait for itself.
calls
a: openpath path=%s#d>main>k io=update lock=implicit access=indexed
a: openpath path=%s#d>main>k io=update lock=implicit access=indexed
a: keyed_lock_record p=1 key=k002
a: keyed_lock_record p=2 key=k002
a: keyed_read p=2 key=k002
a: unlock_records p=1
a: keyed_read p=2 key=k002
a: detach_port p=1
a: detach_port p=2
----
ok port 1
ok port 2
ok
e$record_in_use
e$record_in_use
ok
ok "k002y"
ok
ok

# By number: an empty slot of a relative file is reserved that way.
calls
a: create_file path=%s#d>main>r org=relative size=20
a: openpath path=%s#d>main>r io=update lock=implicit access=random
b: openpath path=%s#d>main>r io=update lock=implicit access=random
a: rel_write p=1 n=1 data=one
a: rel_lock_record p=1 n=5
a: seq_read p=1
a: rel_lock_record p=1 n=0
b: rel_lock_record p=2 n=5 nowait
b& rel_write p=2 n=5 data=theirs
a: rel_write_unlock p=1 n=5 data=ours
b: .
a: rel_lock_record p=1 n=1
a: seq_read p=1
a: rel_unlock_record p=1 n=1
a: rel_unlock_record p=1 n=1
b: rel_lock_record p=2 n=1 nowait
a: create_file path=%s#d>main>x org=fixed size=3
a: openpath path=%s#d>main>x io=update lock=implicit access=random
a: rel_lock_record p=2 n=1
a: rel_lock_record p=2 n=-1
a: openpath path=%s#d>main>k io=update lock=implicit access=random
a: rel_lock_record p=3 n=1
----
ok
ok port 1
ok port 2
ok number 1
ok
e$end_of_file
e$invalid_record_number
e$caller_must_wait
b waits
ok number 5
e$record_already_exists
ok
ok "one" number 1
ok
ok
ok
ok
ok port 2
e$record_not_found
e$invalid_record_number
ok port 3
e$invalid_file_type

end a
----

end b
----

# In a transaction, on a transaction file, locks are kept to its end.
program a
----

program b
----

calls
a: create_file path=%s#d>main>t org=sequential
a: set_transaction_file path=%s#d>main>t sw=1
a: create_index path=%s#d>main>t name=id parts=1,4
a: openpath path=%s#d>main>t io=update lock=implicit access=indexed
b: openpath path=%s#d>main>t io=update lock=implicit access=indexed
a: start_transaction
a: keyed_write p=1 data=k001a
a: keyed_write p=1 data=k002b
a: commit_transaction
a: start_transaction
a: keyed_lock_record p=1 key=k001
a: keyed_unlock_record p=1 key=k001
a: unlock_records p=1
b: start_transaction
b: keyed_lock_record p=1 key=k002
b: keyed_lock_record p=1 key=k001 nowait
b& keyed_lock_record p=1 key=k001
a: seq_write_unlock p=1 data=k003c
a: keyed_lock_record p=1 key=k001 nowait
a: commit_transaction
b: .
b: seq_read p=1
b: commit_transaction
a: keyed_lock_record p=1 key=k002 nowait
a: keyed_lock_record p=1 key=k001 nowait
a: close p=1
b: close p=1
----
ok
ok
ok
ok port 1
ok port 1
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
e$caller_must_wait
b waits
ok
ok
ok
ok
ok "k001a"
ok
ok
ok
ok
ok

# Without locking, the transaction's record locks are enough; a file lock that
# it has is kept to its end.
calls
a: open p=1 io=update lock=none access=indexed
b: open p=1 io=update lock=none access=indexed
a: keyed_read p=1 key=k001
a: start_transaction
a: keyed_read p=1 key=k001
a: lock_file p=1 lock=write
a: unlock_file p=1
b: lock_file p=1 lock=read nowait
a: abort_transaction
b: lock_file p=1 lock=read nowait
b: keyed_read p=1 key=k001
----
ok
ok
e$file_not_locked
ok
ok "k001a"
ok
ok
e$caller_must_wait
ok
ok
ok "k001a"
