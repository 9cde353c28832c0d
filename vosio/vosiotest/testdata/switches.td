# What a file carries beside its records.
program a
----

# The safety switch keeps a file from being deleted and emptied, by whatever call.
calls
a: create_file path=%s#d>main>f org=sequential
a: openpath path=%s#d>main>f io=append lock=implicit access=seq
a: seq_write p=1 data=one
a: close p=1
a: set_safety_switch path=%s#d>main>f sw=1
a: delete_file path=%s#d>main>f
a: truncate_file path=%s#d>main>f
a: open p=1 io=output lock=implicit access=seq
a: open p=1 io=update lock=implicit access=seq
a: truncate_open_file p=1
a: seq_write p=1 data=two
a: all p=1
a: close p=1
a: create_file path=%s#d>main>g org=sequential
a: copy_file path=%s#d>main>g to=%s#d>main>f sw=1
a: copy_file path=%s#d>main>g to=%s#d>main>f sw=2
a: rename path=%s#d>main>f to=h
a: set_safety_switch path=%s#d>main>h sw=0
a: truncate_file path=%s#d>main>h
a: delete_file path=%s#d>main>h
a: set_safety_switch path=%s#d>main>h sw=1
----
ok
ok port 1
ok
ok
ok
e$safety_switch_on
e$safety_switch_on
e$safety_switch_on
ok
e$safety_switch_on
ok
end
ok
ok
e$safety_switch_on
e$safety_switch_on
ok
ok
ok
ok
e$object_not_found

# An expiration date, in seconds since 1980, does so for the delete until then.
calls
a: set_expiration_date path=%s#d>main>g count=2147483647
a: delete_file path=%s#d>main>g
a: truncate_file path=%s#d>main>g
a: set_expiration_date path=%s#d>main>g count=86400
a: copy_file path=%s#d>main>g to=%s#d>main>h
a: delete_file path=%s#d>main>g
a: set_expiration_date path=%s#d>main>h count=-1
a: set_expiration_date path=%s#d>main>h count=2147483647
a: set_expiration_date path=%s#d>main>h count=0
a: delete_file path=%s#d>main>h
----
ok
e$file_not_expired
ok
ok
ok
ok
e$invalid_control_operation
ok
ok
ok

# Blocks are kept with the file.
calls
a: create_allocated_file path=%s#d>main>a org=relative size=10 count=16
a: create_allocated_file path=%s#d>main>b org=relative size=10 count=-1
a: create_allocated_file path=%s#d>main>a org=relative size=10 count=16
a: set_file_allocation path=%s#d>main>a count=0
a: set_file_allocation path=%s#d>main>b count=8
----
ok
e$invalid_control_operation
e$file_exists
ok
e$object_not_found

# A clone is empty and like its source, also in its switches. A copy is not
# protected.
calls
a: create_file path=%s#d>main>k org=sequential
a: create_index path=%s#d>main>k name=id parts=1,4
a: create_index path=%s#d>main>k name=kind parts=5,1 sw=dup
a: openpath path=%s#d>main>k io=update lock=implicit access=indexed
a: seq_write p=2 data=k001a
a: seq_write p=2 data=k002a
a: detach_port p=2
a: set_safety_switch path=%s#d>main>k sw=1
a: set_transaction_file path=%s#d>main>k sw=1
a: clone_file path=%s#d>main>k to=%s#d>main>c
a: clone_file path=%s#d>main>k to=%s#d>main>c
a: clone_file path=%s#d>main>none to=%s#d>main>d
a: copy_file path=%s#d>main>k to=%s#d>main>d
a: openpath path=%s#d>main>c io=input lock=implicit access=indexed index=kind
a: all p=2
a: detach_port p=2
a: openpath path=%s#d>main>d io=input lock=implicit access=indexed index=kind
a: all p=2
a: detach_port p=2
a: delete_file path=%s#d>main>c
a: delete_file path=%s#d>main>d
a: openpath path=%s#d>main>c io=update lock=implicit access=indexed
a: seq_write p=2 data=k001b
a: detach_port p=2
----
ok
ok
ok
ok port 2
ok
ok
ok
ok
ok
ok
e$file_exists
e$object_not_found
ok
ok port 2
end
ok
ok port 2
k001a k002a end
ok
e$safety_switch_on
ok
ok port 2
e$no_transaction
ok

# An index can be deleted and made again; not the one that the records are
# addressed by.
calls
a: create_file path=%s#d>main>i org=sequential
a: create_index path=%s#d>main>i name=id parts=1,4
a: create_index path=%s#d>main>i name=mail parts=5,1
a: openpath path=%s#d>main>i io=update lock=implicit access=indexed index=id
a: seq_write p=2 data=k001a
a: seq_write p=2 data=k002a
a: delete_index path=%s#d>main>i name=mail
a: close p=2
a: delete_index path=%s#d>main>i name=none
a: delete_index path=%s#d>main>i name=id
a: delete_index path=%s#d>main>i name=mail
a: open p=2 io=update lock=implicit access=indexed index=mail
a: open p=2 io=update lock=implicit access=indexed index=id
a: keyed_read p=2 index=mail key=a
a: seq_write p=2 data=k002a
a: close p=2
a: create_index path=%s#d>main>i name=mail parts=5,1
a: create_index path=%s#d>main>i name=mail parts=5,1 sw=dup
a: open p=2 io=update lock=implicit access=indexed index=mail
a: all p=2
a: close p=2
a: delete_index path=%s#d>main>i name=mail
a: delete_index path=%s#d>main>i name=mail
a: create_index path=%s#d>main>i name=here parts=5,1 sw=here
a: delete_index path=%s#d>main>i name=here
----
ok
ok
ok
ok port 2
ok
e$invalid_duplicate_key
e$file_in_use
ok
e$index_not_found
e$invalid_index_type
ok
e$index_not_found
ok
e$index_not_found
ok
ok
e$invalid_duplicate_key
ok
ok
k001a k002a end
ok
ok
e$index_not_found
e$invalid_duplicate_key
e$index_not_found
