# Calls by path.
program a
----

calls
a: drmesh$create_dir path=%s#d>main>dir
a: drmesh$create_dir path=%s#d>main>dir
a: drmesh$create_dir path=%s#d>main>no>dir
a: create_file path=%s#d>main>dir>one org=sequential
a: create_file path=%s#d>main>dir>one org=sequential
a: create_file path=%s#d>main>nodir>one org=sequential
a: create_file path=one org=sequential
a: create_file path=%s#d>main>dir>bad?name org=sequential
a: create_file path=%other#d>x org=sequential
a: create_file path=%s#d>main>dir>queue org=9
a: drmesh$list path=%s#d>main>dir>*
a: drmesh$list path=main:dir>*
a: drmesh$list path=%s#d>main>*
a: drmesh$expand_path path=main:dir>one
----
ok
e$file_exists
e$object_not_found
ok
e$file_exists
e$object_not_found
e$bad_pathname
e$bad_pathname
e$object_not_found
e$not_available
ok %s#d>main>dir>one
ok %s#d>main>dir>one
ok %s#d>main>dir>
ok %s#d>main>dir>one

calls
a: rename path=%s#d>main>dir>one to=two
a: rename path=%s#d>main>dir>one to=three
a: rename path=%s#d>main>dir>two to=%s#d>main>three
a: rename path=%s#d>main>dir>two to=%s#d>main>dir>three
a: drmesh$list path=%s#d>main>dir>t*
a: drmesh$set_layout path=%s#d>main>dir>three value="fields: a char(4); end;"
a: drmesh$get_layout path=%s#d>main>dir>three
a: drmesh$get_layout path=%s#d>main>dir>four
----
ok
e$object_not_found
e$different_directory
ok
ok %s#d>main>dir>three
ok
ok "fields: a char(4); end;"
e$object_not_found

# Copies carry records, indexes and flags, but not the transaction switch.
calls
a: create_index path=%s#d>main>dir>three name=id parts=1,1
a: seq_open path=%s#d>main>dir>three io=output
a: seq_write p=1 data=b
a: seq_write p=1 data=a
a: detach_port p=1
a: copy_file path=%s#d>main>dir>three to=%s#d>main>dir>copy
a: copy_file path=%s#d>main>dir>three to=%s#d>main>dir>copy
a: drmesh$status path=%s#d>main>dir>copy
a: openpath path=%s#d>main>dir>copy io=input lock=set access=indexed index=id
a: all p=1
a: copy_file path=%s#d>main>dir>three to=%s#d>main>dir>copy sw=2
a: copy_file path=%s#d>main>dir>three to=%s#d>main>dir>copy sw=1
a: detach_port p=1
a: copy_file path=%s#d>main>dir>three to=%s#d>main>dir>copy sw=2
a: copy_file path=%s#d>main>dir>three to=%s#d>main>dir>copy sw=1
a: copy_file path=%s#d>main>dir>nothing to=%s#d>main>dir>copy sw=1
a: seq_open path=%s#d>main>dir>copy io=input
a: all p=1
a: detach_port p=1
a: truncate_file path=%s#d>main>dir>copy
a: seq_open path=%s#d>main>dir>copy io=input
a: all p=1
a: detach_port p=1
a: delete_file path=%s#d>main>dir>copy
a: delete_file path=%s#d>main>dir>copy
a: seq_open path=%s#d>main>dir>copy io=input
----
ok
ok port 1
ok
ok
ok
ok
e$file_exists
ok {"path":"%s#d\u003emain\u003edir\u003ecopy","organization":3,"record_size":0,"records":2,"bytes":2,"indexes":[{"name":"id","components":[{"pos":1,"len":1}],"empty":true,"collation":4}],"identity":"id","layout":"fields: a char(4); end;"}
ok port 1
a b end
e$file_in_use
e$file_in_use
ok
ok
ok
e$object_not_found
ok port 1
b a end
ok
ok
ok port 1
end
ok
ok
e$object_not_found
e$object_not_found

# OUTPUT makes a file, or empties the one that is there; APPEND makes or adds;
# INPUT and UPDATE do neither.
calls
a: openpath path=%s#d>main>new io=update lock=set access=seq
a: openpath path=%s#d>main>new io=append lock=set access=seq
a: seq_write p=1 data=one
a: close p=1
a: open p=1 io=append lock=set access=seq
a: seq_write p=1 data=two
a: seq_read p=1
a: close p=1
a: open p=1 io=input lock=set access=seq
a: all p=1
a: seq_write p=1 data=x
a: seq_delete p=1
a: open p=1 io=input lock=set access=seq
a: close p=1
a: open p=1 io=output lock=set access=seq
a: seq_write p=1 data=three
a: close p=1
a: open p=1 io=input lock=set access=seq
a: all p=1
----
e$object_not_found
ok port 1
ok
ok
ok
ok
e$invalid_io_type
ok
ok
one two end
e$invalid_io_type
e$invalid_io_type
e$port_already_open
ok
ok
ok
ok
ok
three end

# truncate_open_file: from next to the end.
calls
a: close p=1
a: open p=1 io=output lock=set access=seq
a: seq_write p=1 data=1
a: seq_write p=1 data=2
a: seq_write p=1 data=3
a: close p=1
a: open p=1 io=update lock=set access=seq
a: seq_read p=1
a: truncate_open_file p=1
a: seq_write p=1 data=4
a: seq_position p=1 type=beginning
a: all p=1
a: seq_position p=1 type=beginning
a: truncate_open_file p=1
a: all p=1
a: seq_write p=1 data=5
a: seq_position p=1 type=beginning
a: all p=1
a: close p=1
a: open p=1 io=input lock=set access=seq
a: truncate_open_file p=1
----
ok
ok
ok
ok
ok
ok
ok
ok "1"
ok
ok
ok
1 4 end
ok
ok
end
ok
ok
5 end
ok
ok
e$invalid_io_type

# Ports.
calls
a: attach_port name=in path=%s#d>main>new
a: attach_port name=in path=%s#d>main>new
a: attach_port path=%s#d>main>bad?name
a: open p=99 io=input lock=set access=seq
a: open p=2 io=10 lock=set access=seq
a: open p=2 io=input lock=9 access=seq
a: open p=2 io=input lock=set access=9
a: seq_read p=2
a: close p=2
a: detach_port p=2
a: detach_port p=2
a: attach_port name=in path=%s#d>main>new
----
ok port 2
e$port_already_attached
e$bad_pathname
e$invalid_port_number
e$invalid_io_type
e$invalid_locking_mode
e$invalid_access_mode
e$port_not_open
e$port_not_open
ok
e$invalid_port_number
ok port 2

# Calls of a later release, and no calls.
calls
a: seq_write_unlock p=1 data=x
a: create_delete_record_index path=%s#d>main>new
a: nonsense
----
e$invalid_io_type
e$file_in_use
e$not_available

# A program that no include record names reads and does not write.
program stranger
----

calls
stranger: create_file path=%s#d>main>mine org=sequential
stranger: openpath path=%s#d>main>new io=update lock=set access=seq
stranger: openpath path=%s#d>main>new io=input lock=set access=seq
stranger: all p=1
stranger: delete_file path=%s#d>main>new
stranger: create_file path=%s#d>own org=sequential
stranger: openpath path=%s#d>own io=update lock=set access=seq
stranger: seq_write p=2 data=mine
----
e$no_access
e$no_access
ok port 1
5 end
e$file_in_use
ok
ok port 2
ok

# At this module alone: an index, and a directory taken away.
calls
a: create_file path=%s#d>main>dir>p org=sequential
a: create_index path=%s#d>main>dir>p name=id parts=1,1
a: create_index path=%s#d>main>dir>p name=here parts=2,1 sw=here
a: seq_open path=%s#d>main>dir>p io=update
a: seq_write p=3 data=1x
a: seq_write p=3 data=2x
a: detach_port p=3
a: drmesh$delete_local_index path=%s#d>main>dir>p name=here
a: drmesh$delete_local_index path=%s#d>main>dir>p name=id
a: drmesh$remove_dir_here path=%s#d>main>dir
a: drmesh$status path=%s#d>main>dir>p
a: drmesh$restore_dir_here path=%s#d>main>dir
a: drmesh$status path=%s#d>main>dir>p
----
ok
ok
ok
ok port 3
ok
e$invalid_duplicate_key
ok
ok
e$index_not_found
ok
e$object_not_found
ok
ok {"path":"%s#d\u003emain\u003edir\u003ep","organization":3,"record_size":0,"records":1,"bytes":2,"indexes":[{"name":"id","components":[{"pos":1,"len":1}],"empty":true,"collation":4}],"identity":"id","layout":""}
