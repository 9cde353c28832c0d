# Parameters of transactions: priority, how long one waits for a lock, how long it may last.
program a
----

program b
----

calls
a: create_file path=%s#d>main>f org=relative size=10
a: set_transaction_file path=%s#d>main>f sw=1
a: openpath path=%s#d>main>f io=update lock=implicit access=random
b: openpath path=%s#d>main>f io=update lock=implicit access=random
a: set_tp_parameters
a: set_tp_parameters type=1 count=10
a: set_tp_parameters type=1 count=-2
a: set_tp_parameters type=4 count=1
a: set_tp_parameters type=1 count=3
a: set_tp_parameters type=2 count=-1
a: start_transaction
a: rel_write p=1 n=1 data=one
a: commit_transaction
b: set_tp_parameters
----
ok
ok
ok port 1
ok port 1
ok {"priority":0,"lock_wait":61440,"limit":0}
e$invalid_priority
e$invalid_control_operation
e$invalid_control_operation
ok {"priority":3,"lock_wait":61440,"limit":0}
ok {"priority":3,"lock_wait":-1,"limit":0}
ok
ok number 1
ok
ok {"priority":0,"lock_wait":61440,"limit":0}

# A wait that takes too long aborts; the reason is told, and positions come back.
calls
b: set_tp_parameters type=2 count=10
a: start_transaction
a: rel_rewrite p=1 n=1 data=two
b: rel_position p=1 n=1
b: start_transaction
b: rel_write p=1 n=2 data=other
b: rel_read p=1 n=1
b: rel_read p=1 n=2
b: commit_transaction
b: start_transaction
b: abort_transaction
b: set_tp_parameters
a: commit_transaction
b: seq_read p=1
b: seq_read p=1
----
ok {"priority":0,"lock_wait":10,"limit":0}
ok
ok
ok
ok
ok number 2
e$tp_aborted
e$tp_aborted
e$tp_aborted
e$transaction_in_progress
ok
ok {"priority":0,"lock_wait":10,"limit":0,"last_abort":"it waited for a lock for 10/1024 s"}
ok
ok "two" number 1
e$end_of_file

# One that lasts too long loses its locks to who waits.
calls
a: set_tp_parameters type=3 count=30
a: start_transaction
a: rel_rewrite p=1 n=1 data=three
b: set_tp_parameters type=2 count=-1
b: start_transaction
b: rel_rewrite p=1 n=1 data=four
b: commit_transaction
a: rel_rewrite p=1 n=1 data=five
a: commit_transaction
a: abort_transaction
a: set_tp_parameters type=3 count=0
b: seq_position p=1 type=beginning
b: all p=1
----
ok {"priority":3,"lock_wait":-1,"limit":30}
ok
ok
ok {"priority":0,"lock_wait":-1,"limit":0,"last_abort":"it waited for a lock for 10/1024 s"}
ok
ok
ok
e$tp_aborted
e$tp_aborted
ok
ok {"priority":3,"lock_wait":-1,"limit":0,"last_abort":"it lasted for more than 30/1024 s"}
ok
four end

# The module's defaults are for programs that come.
calls
a: set_tp_default_parameters type=1 count=-1
----
ok {"priority":-1,"lock_wait":61440,"limit":0,"last_abort":"it lasted for more than 30/1024 s"}

program c
----

calls
c: set_tp_parameters
a: set_tp_default_parameters type=1 count=0
----
ok {"priority":-1,"lock_wait":61440,"limit":0}
ok {"priority":0,"lock_wait":61440,"limit":0,"last_abort":"it lasted for more than 30/1024 s"}
