# Events: s$notify_path wakes who waits, at every module that has the file [HAB].
program a 1
----

program b 2
----

calls
a: create_file path=%s#d>main>f org=sequential
a: create_file path=%s#d>alone>f org=sequential
a: notify_path path=%s#d>main>nosuch count=1
a: notify_path path=%s#d>alone>f count=1
a: attach_event path=%s#d>alone>f
a: notify_path path=%s#d>alone>f count=1
a: wait_event n=1
a: wait_event n=1 nowait
a: wait_event n=1 count=10
a: wait_event n=2
a: wait_event count=-1
a: detach_event n=1
a: detach_event n=1
a: wait_event
a: notify_path path=%s#d>alone>f count=1
a: attach_event path=%s#d>main>f sw=2
----
ok
ok
e$object_not_found
e$invalid_eventid
ok number 1
ok
ok {"event":1,"count":1,"status":1}
e$caller_must_wait
e$timeout
e$invalid_eventid
e$invalid_control_operation
ok
e$invalid_eventid
e$invalid_eventid
e$invalid_eventid
e$invalid_control_operation

ship 1 2
----
1 txns

# There it comes after all that was done to the file before.
calls
b: attach_event path=%s#d>main>f
b: openpath path=%s#d>main>f io=input lock=implicit access=seq
b& wait_event
a: attach_event path=%s#d>main>f
a: openpath path=%s#d>main>f io=append lock=implicit access=seq
a: seq_write p=1 data=one
a: notify_path path=%s#d>main>f count=7
a: wait_event n=1
----
ok number 1
ok port 1
b waits
ok number 1
ok port 1
ok
ok
ok {"event":1,"count":1,"status":7}

ship 1 2
----
2 txns

calls
b: .
b: all p=1
----
ok {"event":1,"count":1,"status":7}
one end

calls
a: notify_path path=%s#d>main>f count=1
a: notify_path path=%s#d>main>f count=-8
a: wait_event
----
ok
ok
ok {"event":1,"count":2,"status":-8}

ship 1 2
----
2 txns

# An event may tell of changes, too, of here and of elsewhere.
calls
b: wait_event nowait
b: attach_event path=%s#d>main>f sw=1
b& wait_event n=2
a: attach_event path=%s#d>main>f sw=1
a: wait_event n=2 nowait
a: seq_write p=1 data=two
a: wait_event
----
ok {"event":1,"count":2,"status":-8}
ok number 2
b waits
ok number 2
e$caller_must_wait
ok
ok {"event":2,"count":0,"status":-8,"changed":true}

ship 1 2
----
1 txns

calls
b: .
----
ok {"event":2,"count":0,"status":-8,"changed":true}

# s$control: a port keeps its prompt [HAB: 201, 208].
calls
a: control p=1 count=208 data="? "
a: control p=1 count=201
a: control p=1 count=1
a: control p=7 count=201
----
ok
ok {"version":1,"width":80,"prompt":"? "}
e$invalid_control_operation
e$invalid_port_number
