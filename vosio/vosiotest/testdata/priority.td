# Of transactions that wait for each other the one of lower priority gives way.
program a
----

program b
----

calls
a: create_file path=%s#d>main>t org=sequential
a: create_index path=%s#d>main>t name=id parts=1,4
a: set_transaction_file path=%s#d>main>t sw=1
a: openpath path=%s#d>main>t io=update lock=implicit access=indexed
b: openpath path=%s#d>main>t io=update lock=implicit access=indexed
a: start_transaction
a: seq_write p=1 data=k001
a: seq_write p=1 data=k002
a: commit_transaction
a: start_priority_transaction count=10
a: start_priority_transaction count=-2
a: commit_transaction
a: start_priority_transaction count=3
a: start_priority_transaction count=3
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
e$invalid_priority
e$invalid_priority
e$no_transaction
ok
e$transaction_in_progress

# The elder of lower priority loses, though the younger one closed the circle.
calls
b: start_priority_transaction count=4
a: keyed_rewrite p=1 data=k001
b: keyed_rewrite p=1 data=k002
a& keyed_rewrite p=1 data=k002
b: keyed_rewrite p=1 data=k001
b: commit_transaction
a: .
a: abort_transaction
----
ok
ok
ok
a waits
ok
ok
e$tp_aborted
ok

# -1 loses to all.
calls
b: start_priority_transaction count=-1
a: start_transaction
a: keyed_rewrite p=1 data=k001
b: keyed_rewrite p=1 data=k002
a& keyed_rewrite p=1 data=k002
b: keyed_rewrite p=1 data=k001
a: .
a: commit_transaction
b: abort_transaction
----
ok
ok
ok
ok
a waits
e$tp_aborted
ok
ok
ok
