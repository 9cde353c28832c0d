# Links, and directories that go with all they hold.
program a 1
----

program b 2
----

calls
a: drmesh$create_dir path=%s#d>main>dir
a: drmesh$create_dir path=%s#d>main>dir>deep
a: create_file path=main:dir>one org=sequential
a: seq_open path=main:dir>one io=output
a: seq_write p=1 data=x
a: detach_port p=1
a: drmesh$link path=main:dir>one to=main:first
a: drmesh$link path=main:dir to=%s#d>main>short
a: drmesh$link path=main:dir to=%s#d>main>short
a: drmesh$link path=main:dir>deep to=%s#d>main>short
a: drmesh$link path=main:dir>deep to=%s#d>main>short sw=1
a: drmesh$link path=main:dir to=%s#d>main>short sw=1
a: drmesh$list_links path=main:
a: drmesh$list path=main:*
a: drmesh$expand_path path=main:short>one
a: drmesh$link path=main:self to=main:self
a: drmesh$link path=main:x to=main:nodir>x
a: drmesh$create_dir path=main:short
a: create_file path=main:plain org=sequential
a: rename path=main:plain to=short
a: drmesh$unlink path=main:plain
----
ok
ok
ok
ok port 1
ok
ok
ok
ok
e$file_exists
e$file_exists
ok
ok
ok %s#d>main>first main:dir>one %s#d>main>short main:dir
ok %s#d>main>dir>
ok %s#d>main>dir>one
e$bad_pathname
e$object_not_found
e$file_exists
ok
e$file_exists
e$object_not_found

# They are at the other module, where the path is another, and lead there.
ship 1 2
----
9 txns

calls
b: drmesh$list_links path=main:
b: openpath path=main:short>one io=input lock=implicit access=seq
b: all p=1
b: drmesh$unlink path=main:first
b: openpath path=main:first io=input lock=implicit access=seq
b: drmesh$delete_dir path=main:short
b: drmesh$delete_dir path=main:
b: drmesh$delete_dir path=main:nodir
b: drmesh$delete_dir path=main:dir
b: detach_port p=1
b: set_safety_switch path=main:dir>one sw=1
b: drmesh$delete_dir path=main:dir
b: set_safety_switch path=main:dir>one sw=0
b: create_file path=main:dir>two org=sequential
b: drmesh$link path=main:dir>two to=main:dir>deep>link
b: drmesh$delete_dir path=main:dir
b: drmesh$list path=main:*
b: create_file path=main:short>x org=sequential
----
ok %s#d>main>first main:dir>one %s#d>main>short main:dir
ok port 1
x end
ok
e$object_not_found
e$object_not_found
e$file_in_use
e$object_not_found
e$file_in_use
ok
ok
e$safety_switch_on
ok
ok
ok
ok
ok %s#d>main>plain
e$object_not_found
