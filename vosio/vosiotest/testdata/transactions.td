# Transactions: all or nothing, locks to the end.
program a
----

program b
----

calls
a: create_file path=%s#d>main>t org=sequential
a: create_index path=%s#d>main>t name=id parts=1,2
a: create_file path=%s#d>main>log org=sequential
a: set_transaction_file path=%s#d>main>t sw=1
a: set_transaction_file path=%s#d>main>log sw=1
a: openpath path=%s#d>main>t io=update lock=implicit access=indexed index=id
a: openpath path=%s#d>main>log io=update lock=implicit access=seq
a: keyed_write p=1 data=01-before
a: start_transaction
a: start_transaction
a: keyed_write p=1 data=01-one
a: keyed_write p=1 data=02-two
a: seq_write p=2 data=log1
a: seq_position p=2 type=beginning
a: all p=2
----
ok
ok
ok
ok
ok
ok port 1
ok port 2
e$no_transaction
ok
e$transaction_in_progress
ok
ok
ok
ok
log1 end

# Others do not see it before the commit; dirty readers see what is committed.
calls
b: openpath path=%s#d>main>t io=input lock=implicit access=indexed index=id
b: openpath path=%s#d>main>log io=dirty lock=implicit access=seq
b: all p=1
b: all p=2
a: commit_transaction
b: all p=1
b: all p=2
a: commit_transaction
a: abort_transaction
----
ok port 1
ok port 2
end
end
ok
01-one 02-two end
log1 end
e$no_transaction
e$no_transaction

txns 1 1
----
write "01-one" life 1 +
write "02-two" life 1 +
write "log1" life 1

# An abort takes all back, the positions too.
calls
a: seq_position p=2 type=beginning
a: start_transaction
a: keyed_rewrite p=1 key=01 data=01-changed
a: keyed_delete p=1 key=02
a: keyed_write p=1 data=03-three
a: seq_read p=2
a: seq_rewrite p=2 data=LOG1
a: keyed_read p=1 key=01
a: keyed_read p=1 key=02
a: abort_transaction
a: keyed_read p=1 key=01
a: keyed_read p=1 key=02
a: keyed_read p=1 key=03
a: seq_read p=2
----
ok
ok
ok
ok
ok
ok "log1"
ok
ok "01-changed"
e$record_not_found
ok
ok "01-one"
ok "02-two"
e$record_not_found
ok "log1"

# The net effect of many changes is one operation a record.
calls
a: start_transaction
a: keyed_write p=1 data=04-a
a: keyed_rewrite p=1 key=04 data=04-b
a: keyed_write p=1 data=05-gone
a: keyed_delete p=1 key=05
a: keyed_rewrite p=1 key=01 data=01-x
a: keyed_rewrite p=1 key=01 data=01-y
a: seq_write p=2 data=log2
a: seq_rewrite p=2 data=LOG2
a: commit_transaction
a: seq_rewrite p=2 data=nothere
----
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

txns 1 1
----
write "04-b" life 1 +
write "01-y" life 1 +
write "LOG2" life 1

# A writer's lock holds readers back until the commit.
calls
a: start_transaction
a: keyed_rewrite p=1 key=01 data=01-new
b& keyed_read p=1 key=01
a: commit_transaction
b: .
----
ok
ok
b waits
ok
ok "01-new"

# Two that wait for each other: the younger is aborted, and must say so.
calls
b: openpath path=%s#d>main>t io=update lock=implicit access=indexed index=id
a: start_transaction
b: start_transaction
a: keyed_rewrite p=1 key=01 data=01-a
b: keyed_rewrite p=3 key=02 data=02-b
a& keyed_rewrite p=1 key=02 data=02-a
b: keyed_rewrite p=3 key=01 data=01-b
a: .
b: keyed_read p=3 key=04
b: commit_transaction
b: start_transaction
b: abort_transaction
a: commit_transaction
b: keyed_read p=3 key=01
b: keyed_read p=3 key=02
----
ok port 3
ok
ok
ok
ok
a waits
e$tp_aborted
ok
e$tp_aborted
e$tp_aborted
e$transaction_in_progress
ok
ok
ok "01-a"
ok "02-a"

# The older asks last: the younger, which waits, is aborted.
calls
a: start_transaction
b: start_transaction
a: keyed_rewrite p=1 key=01 data=01-c
b: keyed_rewrite p=3 key=02 data=02-d
b& keyed_rewrite p=3 key=01 data=01-d
a: keyed_rewrite p=1 key=02 data=02-c
b: .
b: abort_transaction
a: commit_transaction
a: keyed_read p=1 key=02
----
ok
ok
ok
ok
b waits
ok
e$tp_aborted
ok
ok
ok "02-c"

# New records: the second waits for the first, and for its number or key.
calls
a: create_file path=%s#d>main>r org=relative size=9
a: set_transaction_file path=%s#d>main>r sw=1
a: openpath path=%s#d>main>r io=update lock=implicit access=random
b: openpath path=%s#d>main>r io=update lock=implicit access=random
a: start_transaction
b: start_transaction
a: rel_write p=3 n=0 data=a1
a: seq_write p=3 data=a2
b& seq_write p=4 data=b1
a: commit_transaction
b: .
b: commit_transaction
a: seq_position p=3 type=beginning
a: all p=3
a: start_transaction
b: start_transaction
a: keyed_write p=1 data=07-a
b& keyed_write p=3 data=07-b
a: commit_transaction
b: .
b: keyed_write p=3 data=08-b
b: commit_transaction
----
ok
ok
ok port 3
ok port 4
ok
ok
ok number 1
ok number 2
b waits
ok
ok number 3
ok
ok
a1 a2 b1 end
ok
ok
ok
b waits
ok
e$invalid_duplicate_key
ok
ok

# A record may move and go within one transaction.
calls
a: start_transaction
a: keyed_write p=1 data=10-new
a: keyed_rewrite p=1 key=10 data=11-moved
a: keyed_read p=1 key=10
a: keyed_read p=1 key=11
a: keyed_rewrite p=1 key=08 data=12-moved
a: keyed_delete p=1 key=07
a: keyed_write p=1 data=07-again
a: seq_position p=1 type=beginning
a: all p=1
a: commit_transaction
a: seq_position p=1 type=beginning
a: all p=1
----
ok
ok
ok
e$record_not_found
ok "11-moved"
ok
ok
ok
ok
01-c 02-c 04-b 07-again 11-moved 12-moved end
ok
ok
01-c 02-c 04-b 07-again 11-moved 12-moved end

txns 1 1
----
write "11-moved" life 1 +
delete "" life 2 +
write "12-moved" life 1 +
write "07-again" life 1

# A transaction ends with its program.
calls
b: start_transaction
b: keyed_rewrite p=3 key=01 data=01-lost
----
ok
ok

end b
----

calls
a: keyed_read p=1 key=01
----
ok "01-c"

# By path: not on a file that the transaction has touched.
calls
a: start_transaction
a: keyed_rewrite p=1 key=01 data=01-z
a: truncate_file path=%s#d>main>t
a: delete_file path=%s#d>main>t
a: close p=1
a: commit_transaction
a: detach_port p=1
a: detach_port p=2
a: delete_file path=%s#d>main>t
----
ok
ok
e$file_in_use
e$file_in_use
ok
ok
ok
ok
ok
