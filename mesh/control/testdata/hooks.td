# What modules run when the owner of a group changes.
mesh
%east#m1 %west#m1
----
2 members

apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =group          ledger

/=record_type    group
 =group          ledger
 =mode           owned
 =stop_hook      /opt/app/stop   --quick now
 =start_hook     /opt/app/start
 =notify_hook    /opt/app/page
 =hook_timeout   2
----
+ share main: group ledger, sync, directory %east#d01>data
+   at %east#m1: %east#d01>data
+   at %west#m1: %west#d01>data
+ include main:* for *
+ group ledger: one module at a time writes it; stop hook /opt/app/stop --quick now; start hook /opt/app/start; notify hook /opt/app/page; hooks end after 2 s
+ route ledger: from * to *
epoch 1

# The owner writes on until its stop hook has ended; only then it may seal. The
# time that the change may take counts from then.
do
begin a ledger 1 %west#m1
seal a %east#m1 1 7
hook a start %west#m1 ok 5100
hook a stop %west#m1 ok 5100
hook a stop %east#m1 perhaps 5100
----
begin a ledger 1 %west#m1: ok
seal a %east#m1 1 7: switch a: the owner is changing: the stop hook at %east#m1 has not ended
hook a start %west#m1 ok 5100: hook: no such change of owner is under way: no start hook of the switch a is due at %west#m1
hook a stop %west#m1 ok 5100: hook: no such change of owner is under way: no stop hook of the switch a is due at %west#m1
hook a stop %east#m1 perhaps 5100: hook: malformed command: its state "perhaps" is not known

ask
switches
----
switches: [a holding true, froze 0, until 11000; stop at %east#m1 due (/opt/app/stop --quick now, 2000 ms)]

do
hook a stop %east#m1 ok 5800
hook a stop %east#m1 failed 5900
----
hook a stop %east#m1 ok 5800: ok
hook a stop %east#m1 failed 5900: ok

ask
switches
----
switches: [a holding false, froze 5800, until 9800; stop at %east#m1 ok (/opt/app/stop --quick now, 2000 ms)]

do
seal a %east#m1 1 7
end a
----
seal a %east#m1 1 7: ok
end a: ok

ask
hooks a
----
hooks a: ""; stop at %east#m1 ok (/opt/app/stop --quick now, 2000 ms); start at %west#m1 due (/opt/app/start, 2000 ms); notify at %east#m1 due (/opt/app/page, 2000 ms); notify at %west#m1 due (/opt/app/page, 2000 ms)

# Each is told once, by its own module.
do
hook a notify %east#m1 timeout 6000 killed after 2s
hook a start %west#m1 failed 6000 exit status 3
hook a start %west#m1 ok 6001
hook a start %east#m1 ok 6001
hook a notify %west#m1 ok 6001
hook nosuch notify %west#m1 ok 6001
----
hook a notify %east#m1 timeout 6000 killed after 2s: ok
hook a start %west#m1 failed 6000 exit status 3: ok
hook a start %west#m1 ok 6001: ok
hook a start %east#m1 ok 6001: hook: no such change of owner is under way: no start hook of the switch a is due at %east#m1
hook a notify %west#m1 ok 6001: ok
hook nosuch notify %west#m1 ok 6001: hook: no such change of owner is under way: no notify hook of the switch nosuch is due at %west#m1

ask
hooks a
----
hooks a: ""; stop at %east#m1 ok (/opt/app/stop --quick now, 2000 ms); start at %west#m1 failed (/opt/app/start, 2000 ms) exit status 3; notify at %east#m1 timeout (/opt/app/page, 2000 ms) killed after 2s; notify at %west#m1 ok (/opt/app/page, 2000 ms)

# A stop hook that does not succeed undoes the change: the owner starts again.
do
begin b ledger 2 %east#m1
hook b stop %west#m1 failed 5100 exit status 1
seal b %west#m1 1 3
begin c ledger 2 %east#m1
hook c stop %west#m1 timeout 5100 killed after 2s
----
begin b ledger 2 %east#m1: ok
hook b stop %west#m1 failed 5100 exit status 1: ok
seal b %west#m1 1 3: switch b: no such change of owner is under way: it ended: the stop hook at %west#m1 failed: exit status 1
begin c ledger 2 %east#m1: ok
hook c stop %west#m1 timeout 5100 killed after 2s: ok

ask
hooks b
hooks c
terms
switches
----
hooks b: "the stop hook at %west#m1 failed: exit status 1"; stop at %west#m1 failed (/opt/app/stop --quick now, 2000 ms) exit status 1; start at %west#m1 due (/opt/app/start, 2000 ms); notify at %west#m1 due (/opt/app/page, 2000 ms); notify at %east#m1 due (/opt/app/page, 2000 ms)
hooks c: "the stop hook at %west#m1 did not end in time: killed after 2s"; stop at %west#m1 timeout (/opt/app/stop --quick now, 2000 ms) killed after 2s; start at %west#m1 due (/opt/app/start, 2000 ms); notify at %west#m1 due (/opt/app/page, 2000 ms); notify at %east#m1 due (/opt/app/page, 2000 ms)
terms: [ledger 1 %east#m1.1 from 0] [ledger 2 %west#m1.1 from 7]
switches: 

# Dropped while it runs, or after: the same. It may tell late what became of it.
do
begin d ledger 2 %east#m1
drop d ended by kim
hook d stop %west#m1 ok 6000
hook d start %west#m1 ok 6000
begin e ledger 2 %east#m1
hook e stop %west#m1 ok 5100
drop e too late
----
begin d ledger 2 %east#m1: ok
drop d ended by kim: ok
hook d stop %west#m1 ok 6000: ok
hook d start %west#m1 ok 6000: ok
begin e ledger 2 %east#m1: ok
hook e stop %west#m1 ok 5100: ok
drop e too late: ok

ask
hooks d
hooks e
----
hooks d: "ended by kim"; stop at %west#m1 skipped (/opt/app/stop --quick now, 2000 ms); start at %west#m1 ok (/opt/app/start, 2000 ms); notify at %west#m1 due (/opt/app/page, 2000 ms); notify at %east#m1 due (/opt/app/page, 2000 ms)
hooks e: "too late"; stop at %west#m1 ok (/opt/app/stop --quick now, 2000 ms); start at %west#m1 due (/opt/app/start, 2000 ms); notify at %west#m1 due (/opt/app/page, 2000 ms); notify at %east#m1 due (/opt/app/page, 2000 ms)

# Who is gone is not stopped; it is notified when it is back.
do
failover f ledger 2 %east#m1
end f %west#m1 1 5
----
failover f ledger 2 %east#m1: ok
end f %west#m1 1 5: ok

ask
hooks f
----
hooks f: ""; start at %east#m1 due (/opt/app/start, 2000 ms); notify at %west#m1 due (/opt/app/page, 2000 ms); notify at %east#m1 due (/opt/app/page, 2000 ms)

# What tables may say.
check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =group          ledger

/=record_type    group
 =group          ledger
 =mode           owned
 =stop_hook      stop
 =start_hook     ../start
 =notify_hook    /opt/../bin/page
 =hook_timeout   0
----
tin refused
line 10: stop_hook: "stop" is not the full path of a program
line 11: start_hook: "../start" is not the full path of a program
line 12: notify_hook: "/opt/../bin/page" is not the full path of a program
line 13: hook_timeout: "0" is not a number from 1 to 3600

check
/=record_type    include
 =share_name     other
 =process_name   *
 =source_path    %east#d01>other>*

/=record_type    group
 =group          other
 =stop_hook      /opt/stop
 =hook_timeout   3601
----
tin refused
line 8: stop_hook: only a group with mode owned has one
line 9: hook_timeout: "3601" is not a number from 1 to 3600

check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =group          ledger

/=record_type    group
 =group          ledger
 =mode           owned
 =stop_hook      /opt/app/stop

/=record_type    group
 =group          ledger
 =mode           owned
 =stop_hook      /opt/app/stop harder
----
tin refused
line 15: stop_hook: an earlier record of the group ledger says "/opt/app/stop"
