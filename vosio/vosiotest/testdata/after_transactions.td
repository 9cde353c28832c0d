# Where ports stand when a transaction is over.
program a
----

calls
a: create_file path=%s#d>main>t org=sequential
a: set_transaction_file path=%s#d>main>t sw=1
a: openpath path=%s#d>main>t io=update lock=implicit access=seq
a: openpath path=%s#d>main>t io=input lock=implicit access=seq
a: start_transaction
a: seq_write p=1 data=one
a: seq_write p=1 data=two
a: seq_read p=2
a: commit_transaction
----
ok
ok
ok port 1
ok port 2
ok
ok
ok
ok "one"
ok

# After a commit a port reads on behind what the transaction wrote.
calls
a: seq_read p=1
a: start_transaction
a: seq_write p=1 data=three
a: commit_transaction
a: seq_read p=1
a: seq_read p=2
a: seq_position p=1 type=backward count=0
a: seq_read p=1
----
e$end_of_file
ok
ok
ok
e$end_of_file
ok "two"
ok
ok "three"

# So does one whose last record of the transaction is gone again.
calls
a: start_transaction
a: seq_write p=1 data=four
a: seq_delete p=1
a: commit_transaction
a: seq_read p=1
a: start_transaction
a: seq_write p=1 data=five
a: commit_transaction
a: seq_read p=1
a: seq_position p=1 type=beginning
a: all p=1
----
ok
ok
ok
ok
e$end_of_file
ok
ok
ok
e$end_of_file
ok
one two three five end

# A port that was positioned to a new record reads it after the commit.
calls
a: start_transaction
a: seq_write p=1 data=six
a: seq_position p=1 type=backward count=0
a: commit_transaction
a: seq_read p=1
a: seq_read p=1
----
ok
ok
ok
ok
ok "six"
e$end_of_file

# An abort puts a port that was opened meanwhile where its open put it.
calls
a: start_transaction
a: openpath path=%s#d>main>t io=update lock=implicit access=seq
a: seq_write p=3 data=seven
a: abort_transaction
a: seq_rewrite p=3 data=seven
a: seq_read p=3
a: start_transaction
a: close p=1
a: open p=1 io=update lock=implicit access=seq
a: seq_read p=1
a: seq_write p=1 data=eight
a: abort_transaction
a: seq_read p=1
----
ok
ok port 3
ok
ok
e$no_current_record
ok "one"
ok
ok
ok
ok "one"
ok
ok
ok "one"

# truncate_open_file in a transaction: an abort brings all back.
calls
a: truncate_open_file p=1
a: detach_port p=2
a: detach_port p=3
a: truncate_open_file p=1
a: start_transaction
a: truncate_open_file p=1
a: seq_position p=1 type=beginning
a: all p=1
a: abort_transaction
a: seq_position p=1 type=beginning
a: all p=1
a: seq_position p=1 type=beginning
a: seq_read p=1
a: seq_read p=1
a: start_transaction
a: truncate_open_file p=1
a: seq_write p=1 data=nine
a: commit_transaction
a: seq_position p=1 type=beginning
a: all p=1
----
e$file_in_use
ok
ok
e$no_transaction
ok
ok
ok
one end
ok
ok
one two three five six end
ok
ok "one"
ok "two"
ok
ok
ok
ok
ok
one two nine end

# Two keys change places in one transaction.
calls
a: create_file path=%s#d>main>k org=sequential
a: create_index path=%s#d>main>k name=id parts=1,1
a: openpath path=%s#d>main>k io=update lock=implicit access=indexed index=id
a: keyed_write p=2 data=1-one
a: keyed_write p=2 data=2-two
a: close p=2
a: set_transaction_file path=%s#d>main>k sw=1
a: open p=2 io=update lock=implicit access=indexed index=id
a: start_transaction
a: keyed_rewrite p=2 key=1 data=9-one
a: keyed_rewrite p=2 key=2 data=1-two
a: keyed_rewrite p=2 key=9 data=2-one
a: commit_transaction
a: abort_transaction
a: seq_position p=2 type=beginning
a: all p=2
----
ok
ok
ok port 2
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
e$no_transaction
ok
1-two 2-one end

# A key is left, and taken by a new record, in one transaction.
calls
a: start_transaction
a: keyed_rewrite p=2 key=1 data=5-moved
a: keyed_write p=2 data=1-new
a: commit_transaction
a: abort_transaction
a: seq_position p=2 type=beginning
a: all p=2
----
ok
ok
ok
ok
e$no_transaction
ok
1-new 2-one 5-moved end

txns 1 2
----
write "1-two" life 1 +
write "2-one" life 1
write "1-new" life 1 +
write "5-moved" life 1

# Two files have a record of one number.
calls
a: create_file path=%s#d>main>r1 org=relative size=9
a: create_index path=%s#d>main>r1 name=c parts=1,1 sw=dup
a: create_file path=%s#d>main>r2 org=relative size=9
a: create_index path=%s#d>main>r2 name=c parts=1,1 sw=dup
a: set_transaction_file path=%s#d>main>r1 sw=1
a: set_transaction_file path=%s#d>main>r2 sw=1
a: openpath path=%s#d>main>r1 io=update lock=implicit access=indexed index=c
a: openpath path=%s#d>main>r2 io=update lock=implicit access=indexed index=c
a: start_transaction
a: rel_write p=3 n=1 data=a1
a: rel_write p=4 n=1 data=a1
a: rel_write p=4 n=2 data=a2
a: rel_write p=3 n=2 data=a2
a: rel_position p=3 n=1
a: rel_position p=4 n=1
a: commit_transaction
a: keyed_position p=3 key=a rel=first
a: seq_position p=3 type=forward count=1
a: seq_read p=3
a: keyed_position p=4 key=a rel=first
a: seq_position p=4 type=forward count=1
a: seq_read p=4
----
ok
ok
ok
ok
ok
ok
ok port 3
ok port 4
ok
ok number 1
ok number 1
ok number 2
ok number 2
ok
ok
ok
ok
ok
ok "a2" number 2
ok
ok
ok "a2" number 2

# Each key kept its place in physical order.
calls
a: openpath path=%s#d>main>k io=input lock=implicit access=seq
a: all p=5
----
ok port 5
1-new 2-one 5-moved end
