# Item indexes: keys with numbers, and no records.
program a
----

calls
a: create_file path=%s#d>main>f
a: create_index path=%s#d>main>f name=i sw=item
a: create_index path=%s#d>main>f name=d sw=5
a: create_index path=%s#d>main>f name=s sw=separate
a: openpath path=%s#d>main>f io=update lock=implicit access=seq
a: add_item p=1 index=i key=b n=20
a: add_item p=1 index=i key=b n=21
a: add_item p=1 index=i key=a n=-1
a: add_item p=1 index=i key=c n=2147483648
a: add_item p=1 index=d key=k n=3
a: add_item p=1 index=d key=k n=1
a: add_item p=1 index=d key=k n=3
a: add_item p=1 index=s key=k n=3
a: add_item p=1 index=none key=k n=3
a: add_item p=1 index=i n=3
a: get_item p=1 index=i key=a rel=eq
a: get_item p=1 index=i key=a rel=greater
a: get_item p=1 index=i rel=first
a: get_item p=1 index=i rel=last
a: get_item p=1 index=i key=c rel=eq
a: get_item p=1 index=i key=c rel=less
a: get_item p=1 index=i key=c rel=12
a: get_item p=1 index=d key=k rel=eq
a: delete_item p=1 index=d key=k n=3
a: delete_item p=1 index=d key=k n=3
a: get_item p=1 index=d rel=prefix
a: seq_read p=1
----
ok
ok
ok
ok
ok port 1
ok
e$invalid_duplicate_key
ok
e$invalid_control_operation
ok
ok
e$invalid_duplicate_key
e$invalid_index_type
e$index_not_found
e$key_too_long
ok number -1 key "a"
ok number 20 key "b"
ok number -1 key "a"
ok number 20 key "b"
e$record_not_found
ok number 20 key "b"
e$invalid_control_operation
ok number 3 key "k"
ok
e$record_not_found
ok number 1 key "k"
e$end_of_file

# In a transaction they are seen by it alone, until it commits.
program b
----

calls
a: close p=1
a: set_transaction_file path=%s#d>main>f sw=1
a: openpath path=%s#d>main>f io=update lock=implicit access=seq
b: openpath path=%s#d>main>f io=update lock=implicit access=seq
a: add_item p=2 index=i key=t n=1
a: start_transaction
a: add_item p=2 index=i key=t n=1
a: delete_item p=2 index=i key=a n=-1
a: get_item p=2 index=i rel=last
b: get_item p=1 index=i rel=last
b: get_item p=1 index=i rel=first
a: commit_transaction
b: get_item p=1 index=i rel=last
b: get_item p=1 index=i rel=first
----
ok
ok
ok port 2
ok port 1
e$no_transaction
ok
ok
ok
ok number 1 key "t"
ok number 20 key "b"
ok number -1 key "a"
ok
ok number 1 key "t"
ok number 20 key "b"

# Collation 1 takes upper and lower case for alike. Keys of blanks alone are not
# entered where the index says so.
calls
a: create_file path=%s#d>main>c
a: create_index path=%s#d>main>c name=id parts=1,2 coll=1
a: create_index path=%s#d>main>c name=null parts=3,2 sw=null
a: create_index path=%s#d>main>c name=bad parts=3,2 coll=2
a: create_index path=%s#d>main>c name=sep sw=2 coll=1
a: openpath path=%s#d>main>c io=update lock=implicit access=indexed index=id
a: keyed_write p=3 data="aB  1"
a: keyed_write p=3 data="Ab  2"
a: keyed_write p=3 data="b   3"
a: keyed_write p=3 data="c xx4"
a: keyed_write p=3 data="d xx5"
a: keyed_read p=3 key=AB
a: add_key p=3 index=sep key=Key
a: keyed_read p=3 index=sep key=kEY
a: keyed_read p=3 index=null key="  "
a: keyed_position p=3 index=null rel=first
a: all p=3
a: keyed_read p=3 key=c
a: seq_rewrite p=3 data="c   4"
a: keyed_position_read p=3 index=null rel=first
a: keyed_rewrite p=3 key=ab data="ab yy"
a: keyed_position_read p=3 index=null rel=first
----
ok
ok
ok
e$not_available
ok
ok port 3
ok
e$invalid_duplicate_key
ok
ok
e$invalid_duplicate_key
ok "aB  1"
ok
ok "aB  1"
e$record_not_found
ok
c xx4 end
ok "c xx4"
ok
e$record_not_found
ok
ok "ab yy"
