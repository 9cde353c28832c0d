# Record numbers of a sequential file: by order; a hole keeps its number.
program a
----

calls
a: create_file path=%s#d>main>s org=sequential
a: openpath path=%s#d>main>s io=update lock=implicit access=random
a: seq_write p=1 data=one
a: seq_write p=1 data=two
a: seq_write p=1 data=three
a: rel_read p=1 n=2
a: close p=1
a: create_record_index path=%s#d>main>s
a: create_record_index path=%s#d>main>s
a: create_deleted_record_index path=%s#d>main>s
a: create_delete_record_index path=%s#d>main>s
a: openpath path=%s#d>main>s io=update lock=implicit access=random
a: rel_read p=2 n=2
a: rel_read p=2 n=4
a: rel_read p=2 n=0
a: seq_write p=2 data=four
a: rel_read p=2 n=4
a: rel_delete p=2 n=2
a: rel_read p=2 n=2
a: rel_position_read p=2 n=2
a: rel_rewrite p=2 n=3 data=drei
a: seq_read p=2
a: rel_write p=2 n=9 data=nine
----
ok
ok port 1
ok
ok
ok
e$invalid_file_type
ok
ok
e$index_exists
ok
e$index_exists
ok port 2
ok "two" number 2
e$end_of_file
e$invalid_record_number
ok
ok "four" number 4
ok
e$record_not_found
ok "three" number 3
ok
ok "four"
e$invalid_file_type

# New records go into the first hole that takes them, under its number.
calls
a: seq_write p=2 data=longer
a: rel_read p=2 n=5
a: seq_write p=2 data=2
a: seq_read p=2
a: seq_position p=2 type=backward count=1
a: seq_read p=2
a: rel_read p=2 n=2
a: rel_read p=2 n=6
a: rel_position p=2 n=0
a: all p=2
a: rel_position_delete p=2 n=1
a: rel_position_delete p=2 n=1
a: seq_write p=2 data=xx
a: seq_write p=2 data=y
a: seq_write p=2 data=z
a: rel_position p=2 n=0
a: all p=2
a: rel_position_rewrite p=2 n=6 data=end
a: rel_read p=2 n=6
----
ok
ok "longer" number 5
ok
e$end_of_file
ok
ok "one"
ok "2" number 2
e$end_of_file
ok
one 2 drei four longer end
ok
ok
ok
ok
ok
ok
xx y drei four longer z end
ok
ok "end" number 6

# An abort leaves the holes; a commit fills them.
calls
a: close p=2
a: set_transaction_file path=%s#d>main>s sw=1
a: openpath path=%s#d>main>s io=update lock=implicit access=random
a: start_transaction
a: rel_delete p=3 n=3
a: commit_transaction
a: start_transaction
a: seq_write p=3 data=gone
a: rel_read p=3 n=7
a: abort_transaction
a: rel_read p=3 n=3
a: start_transaction
a: seq_write p=3 data=neu
a: commit_transaction
a: seq_read p=3
a: rel_read p=3 n=3
a: rel_read p=3 n=7
a: truncate_open_file p=3
a: close p=3
a: set_transaction_file path=%s#d>main>s sw=0
a: truncate_file path=%s#d>main>s
a: openpath path=%s#d>main>s io=update lock=implicit access=random
a: rel_read p=4 n=1
a: seq_write p=4 data=first
a: rel_read p=4 n=1
a: close p=4
a: delete_index path=%s#d>main>s name=$record
a: delete_index path=%s#d>main>s name=$deleted_record
a: openpath path=%s#d>main>s io=update lock=implicit access=random
a: rel_read p=5 n=1
----
ok
ok
ok port 3
ok
ok
ok
ok
ok
ok "gone" number 7
ok
e$record_not_found
ok
ok
ok
e$end_of_file
ok "neu" number 3
e$end_of_file
e$no_transaction
ok
ok
ok
ok port 4
e$end_of_file
ok
ok "first" number 1
ok
ok
ok
ok port 5
e$invalid_file_type

# A file whose records are addressed by a key has no places; beside places no
# index becomes that key. Relative files fill their lowest empty number.
calls
a: create_file path=%s#d>main>k
a: create_index path=%s#d>main>k name=id parts=1,2
a: create_record_index path=%s#d>main>k
a: create_file path=%s#d>main>x org=extended size=16
a: create_file path=%s#d>main>y org=extended size=12
a: create_record_index path=%s#d>main>x
a: create_index path=%s#d>main>x name=id parts=1,2
a: openpath path=%s#d>main>x io=update lock=implicit access=indexed index=id
a: keyed_write p=6 data=aa1
a: keyed_write p=6 data=bb2
a: keyed_write p=6 data=aa3
a: keyed_delete p=6 key=aa
a: keyed_write p=6 data=aa4
a: rel_read p=6 n=3
a: rel_read p=6 n=1
a: create_file path=%s#d>main>r org=relative size=4
a: create_record_index path=%s#d>main>r
a: create_deleted_record_index path=%s#d>main>r
a: openpath path=%s#d>main>r io=update lock=implicit access=random
a: rel_write p=7 n=3 data=c
a: rel_write p=7 n=0 data=a
a: rel_write p=7 n=0 data=b
a: rel_write p=7 n=0 data=d
a: rel_delete p=7 n=2
a: seq_write p=7 data=e
a: create_file path=%s#d>main>f org=fixed size=4
a: create_deleted_record_index path=%s#d>main>f
a: clone_file path=%s#d>main>x to=%s#d>main>x2
a: copy_file path=%s#d>main>x to=%s#d>main>x3
a: openpath path=%s#d>main>x3 io=input lock=implicit access=random
a: rel_read p=8 n=2
----
ok
ok
e$invalid_file_type
ok
e$invalid_record_size
ok
ok
ok port 6
ok
ok
e$invalid_duplicate_key
ok
ok
ok "aa4" number 3
e$record_not_found
ok
e$invalid_file_type
ok
ok port 7
ok number 3
ok number 1
ok number 2
ok number 4
ok
ok number 2
ok
e$invalid_file_type
ok
ok
ok port 8
ok "aa4" number 2
