# Keys that programs give: with s$keyed_write, or later to the current record.
program a
----

calls
a: create_file path=%s#d>main>k
a: create_index path=%s#d>main>k name=name sw=separate parts=1,2
a: create_index path=%s#d>main>k name=tag sw=3
a: create_index path=%s#d>main>k name=item sw=item
a: create_index path=%s#d>main>k name=odd sw=6
a: create_index path=%s#d>main>k name=odd sw=10
a: openpath path=%s#d>main>k io=update lock=implicit access=indexed index=item
a: openpath path=%s#d>main>k io=update lock=implicit access=indexed index=name
a: add_key p=1 key=x
a: keyed_write p=1 key=bob data=Bob
a: keyed_write p=1 key=alice data=Alice
a: keyed_write p=1 key=al data=Al
a: keyed_write p=1 key=bob data=Bobby
a: seq_write p=1 data=Nobody
a: keyed_read p=1 key=bob
a: seq_read p=1
a: keyed_read p=1 key=a
a: keyed_position p=1 key=a rel=prefix
a: all p=1
a: keyed_position_read p=1 key=al rel=greater
a: keyed_position_read p=1 key=alf rel=less
a: keyed_position_read p=1 key=alf rel=le
a: keyed_position_read p=1 key=alice rel=le
a: keyed_position_read p=1 rel=last
a: keyed_position_read p=1 rel=first
----
ok
ok
ok
ok
e$invalid_index_type
e$invalid_index_type
e$invalid_index_type
ok port 1
e$no_current_record
ok
ok
ok
e$invalid_duplicate_key
ok
ok "Bob"
e$end_of_file
e$record_not_found
ok
Al Alice Bob end
ok "Alice"
ok "Al"
ok "Al"
ok "Alice"
ok "Bob"
ok "Al"

# Several keys of one record; duplicates stand in the order in which they came.
calls
a: keyed_read p=1 key=bob
a: add_key p=1 index=tag key=red
a: keyed_read p=1 key=alice
a: add_key p=1 index=tag key=red
a: add_key p=1 index=tag key=blue
a: add_key p=1 index=tag key=red
a: add_key p=1 index=name key=bob
a: add_key p=1 index=name key=ally
a: add_key p=1 index=item key=ally
a: add_key p=1 index=none key=ally
a: add_key p=1 index=name key=
a: keyed_read p=1 index=tag key=red
a: seq_read p=1
a: seq_read p=1
a: seq_rewrite p=1 data=ALICE
a: keyed_read p=1 index=name key=ally
a: keyed_position p=1 index=tag rel=first
a: all p=1
a: keyed_read p=1 index=tag key=red
a: delete_key p=1 index=tag key=blue
a: delete_key p=1 index=tag key=red
a: delete_key p=1 index=tag key=red
a: keyed_position p=1 index=tag rel=first
a: all p=1
----
ok "Bob"
ok
ok "Alice"
ok
ok
e$invalid_duplicate_key
e$invalid_duplicate_key
ok
e$invalid_index_type
e$index_not_found
e$key_too_long
ok "Bob"
ok "Alice"
e$end_of_file
ok
ok "ALICE"
ok
ALICE Bob ALICE end
ok "Bob"
e$record_not_found
ok
e$record_not_found
ok
ALICE ALICE end

# A record's keys go with it; a rewrite by key leaves them.
calls
a: keyed_rewrite p=1 key=al data=AL
a: keyed_delete p=1 key=alice
a: keyed_read p=1 key=ally
a: keyed_position_read p=1 index=tag rel=first
a: keyed_write p=1 key=ally data=Ally2
a: keyed_position p=1 rel=first
a: all p=1
a: keyed_position p=1 rel=first
a: seq_delete p=1
a: seq_read p=1
a: seq_read p=1
a: keyed_delete p=1 key=al
----
ok
ok
e$record_not_found
e$record_not_found
ok
ok
AL Ally2 Bob end
ok
ok
ok "Ally2"
ok "Bob"
e$record_not_found

# In transactions.
calls
a: close p=1
a: set_transaction_file path=%s#d>main>k sw=1
a: openpath path=%s#d>main>k io=update lock=implicit access=indexed index=name
a: keyed_write p=2 key=z data=Z
a: start_transaction
a: keyed_write p=2 key=z data=Z
a: add_key p=2 index=tag key=last
a: keyed_write p=2 key=z data=again
a: keyed_read p=2 index=tag key=last
a: keyed_write p=2 key=y data=Y
a: keyed_delete p=2 key=y
a: keyed_read p=2 key=bob
a: add_key p=2 index=tag key=old
a: delete_key p=2 index=name key=bob
a: abort_transaction
a: keyed_read p=2 key=z
a: keyed_read p=2 key=bob
a: start_transaction
a: keyed_write p=2 key=z data=Z
a: add_key p=2 index=tag key=last
a: keyed_write p=2 key=y data=Y
a: keyed_delete p=2 key=y
a: keyed_read p=2 key=bob
a: add_key p=2 index=tag key=old
a: delete_key p=2 index=name key=bob
a: keyed_read p=2 index=tag key=last
a: commit_transaction
a: seq_read p=2
a: seq_position p=2 type=backward count=1
a: seq_read p=2
a: keyed_read p=2 key=bob
a: keyed_read p=2 key=y
a: keyed_position p=2 index=tag rel=first
a: all p=2
a: keyed_read p=2 index=tag key=last
a: start_transaction
a: seq_delete p=2
a: keyed_write p=2 key=z data=ZZ
a: commit_transaction
a: keyed_read p=2 index=name key=z
a: keyed_read p=2 index=tag key=last
----
ok
ok
ok port 2
e$no_transaction
ok
ok
ok
e$invalid_duplicate_key
ok "Z"
ok
ok
ok "Bob"
ok
ok
ok
e$record_not_found
ok "Bob"
ok
ok
ok
ok
ok
ok "Bob"
ok
ok
ok "Z"
ok
ok "Bob"
ok
ok "Z"
e$record_not_found
e$record_not_found
ok
Z Bob end
ok "Z"
ok
ok
ok
ok
ok "ZZ"
e$record_not_found

# Copies keep keys and items; an index that is made again is empty.
calls
a: close p=2
a: set_transaction_file path=%s#d>main>k sw=0
a: openpath path=%s#d>main>k io=update lock=implicit access=indexed index=name
a: add_item p=3 index=item key=i n=5
a: copy_file path=%s#d>main>k to=%s#d>main>k2
a: openpath path=%s#d>main>k2 io=update lock=implicit access=indexed index=name
a: keyed_read p=4 key=z
a: keyed_read p=4 index=tag key=old
a: get_item p=4 index=item key=i rel=eq
a: close p=3
a: delete_index path=%s#d>main>k name=name
a: create_index path=%s#d>main>k name=name sw=separate
a: openpath path=%s#d>main>k io=update lock=implicit access=indexed index=name
a: keyed_read p=5 key=z
a: keyed_read p=5 index=tag key=old
a: add_key p=5 key=z
a: keyed_read p=5 key=z
----
ok
ok
ok port 3
ok
ok
ok port 4
ok "ZZ"
ok "Bob"
ok number 5 key "i"
ok
ok
ok
ok port 5
e$record_not_found
ok "Bob"
ok
ok "Bob"

# Beside an identity key that changes, and on numbered records.
calls
a: create_file path=%s#d>main>id
a: create_index path=%s#d>main>id name=id parts=1,2
a: create_index path=%s#d>main>id name=alias sw=3
a: openpath path=%s#d>main>id io=update lock=implicit access=indexed index=id
a: keyed_write p=6 data=aa-1
a: add_key p=6 index=alias key=one
a: keyed_write p=6 data=bb-2
a: add_key p=6 index=alias key=two
a: keyed_read p=6 index=alias key=one
a: seq_rewrite p=6 data=cc-1
a: seq_read p=6
a: keyed_read p=6 index=alias key=one
a: keyed_read p=6 index=id key=cc
a: create_file path=%s#d>main>n org=relative size=10
a: create_index path=%s#d>main>n name=alias sw=separate
a: openpath path=%s#d>main>n io=update lock=implicit access=indexed index=alias
a: keyed_write p=7 key=one data=first
a: rel_write p=7 n=9 data=ninth
a: add_key p=7 key=nine
a: keyed_read p=7 key=nine
a: rel_delete p=7 n=9
a: rel_write p=7 n=9 data=other
a: keyed_read p=7 key=nine
a: keyed_read p=7 key=one
----
ok
ok
ok
ok port 6
ok
ok
ok
ok
ok "aa-1"
ok
ok "bb-2"
ok "cc-1"
ok "cc-1"
ok
ok
ok port 7
ok number 1
ok number 9
ok
ok "ninth" number 9
ok
ok number 9
e$record_not_found
ok "first" number 1
