# Two modules give keys at once.
program a 1
----

program b 2
----

calls
a: create_file path=%s#d>main>k
a: create_index path=%s#d>main>k name=name sw=separate
a: create_index path=%s#d>main>k name=tag sw=3
a: create_index path=%s#d>main>k name=item sw=item
a: openpath path=%s#d>main>k io=update lock=implicit access=indexed index=name
a: keyed_write p=1 key=r1 data=one
a: keyed_write p=1 key=r2 data=two
----
ok
ok
ok
ok
ok port 1
ok
ok

ship 1 2
----
6 txns

# A key is one operation with the record that it comes with.
txns 1 1
----
write "two" life 1 +
write "" life 1

# The same value for two records, and items of one key: the older has the entry.
# Duplicates stand in the order of their births.
calls
b: openpath path=%s#d>main>k io=update lock=implicit access=indexed index=name
a: keyed_read p=1 key=r2
a: add_key p=1 index=tag key=t
a: add_key p=1 key=x
a: add_item p=1 index=item key=i n=1
b: keyed_read p=1 key=r1
b: add_key p=1 index=tag key=t
b: add_key p=1 key=x
b: add_item p=1 index=item key=i n=2
b: keyed_read p=1 key=x
----
ok port 1
ok "two"
ok
ok
ok
ok "one"
ok
ok
ok
ok "one"

ship 1 2
----
3 txns

ship 2 1
----
3 txns

calls
a: keyed_read p=1 key=x
b: keyed_read p=1 key=x
a: keyed_position p=1 index=tag rel=first
a: all p=1
b: keyed_position p=1 index=tag rel=first
b: all p=1
a: get_item p=1 index=item key=i rel=eq
b: get_item p=1 index=item key=i rel=eq
----
ok "two"
ok "two"
ok
two one end
ok
two one end
ok number 1 key "i"
ok number 1 key "i"

withheld 2
----
k item "i" of item 2 of key "i"
k name "x" of born m1.1:5.0

# The holder goes, and what it held back comes.
calls
a: keyed_delete p=1 key=r2
b: keyed_read p=1 key=r1
b: seq_delete p=1
b: delete_item p=1 index=item key=i n=1
a: keyed_read p=1 key=x
----
ok
ok "one"
ok
ok
ok "one"

# A key that was given to a record that is deleted elsewhere leads nowhere.
calls
a: add_key p=1 index=tag key=late
----
ok

ship 1 2
----
2 txns

ship 2 1
----
2 txns

calls
a: keyed_read p=1 index=tag key=late
b: keyed_read p=1 index=tag key=late
a: get_item p=1 index=item rel=first
b: get_item p=1 index=item rel=first
a: keyed_write p=1 key=x data=new
b: keyed_position p=1 rel=first
----
e$record_not_found
e$record_not_found
ok number 2 key "i"
ok number 2 key "i"
ok
e$record_not_found

withheld 1
----
