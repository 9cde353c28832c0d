# A group that one module at a time writes, and how it changes hands.
mesh
%east#m1 %west#m1 %north#m1 %south#m1=witness
----
4 members

apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =group          ledger

/=record_type    include
 =share_name     notes
 =process_name   *
 =source_path    %east#d01>notes>*

/=record_type    group
 =group          ledger
 =mode           owned
 =owner          %west#m1
 =rank           %west#m1 %east#m1
 =commit_scope   one
----
+ share main: group ledger, sync, directory %east#d01>data
+   at %east#m1: %east#d01>data
+   at %west#m1: %west#d01>data
+   at %north#m1: %north#d01>data
+ share notes: group notes, sync, directory %east#d01>notes
+   at %east#m1: %east#d01>notes
+   at %west#m1: %west#d01>notes
+   at %north#m1: %north#d01>notes
+ include main:* for *
+ include notes:* for *
+ group ledger: one module at a time writes it; first %west#m1; rank %west#m1 %east#m1; acknowledged by one other module
+ route ledger: from * to *
+ route notes: from * to *
epoch 1

ask
terms
originate ledger %west#m1
originate ledger %east#m1
----
terms: [ledger 1 %west#m1.1 from 0]
originate ledger %west#m1: true incarnation 1
originate ledger %east#m1: true incarnation 1

# Who cannot be the owner, or is it; what has no owner; an epoch that is not.
do
begin a ledger 1 %west#m1
begin a ledger 2 %east#m1
begin a ledger 1 %south#m1
begin a notes 1 %east#m1
begin a nosuch 1 %east#m1
end a
seal a %west#m1 1 7
leave %west#m1
----
begin a ledger 1 %west#m1: group ledger: the owner is changing: %west#m1 owns it already
begin a ledger 2 %east#m1: group ledger: the owner has changed: epoch 1 has begun, not 2
begin a ledger 1 %south#m1: group ledger: cannot be owned so: no route starts at %south#m1, or it is supplementary
begin a notes 1 %east#m1: group notes: cannot be owned so: it has no owner that could change
begin a nosuch 1 %east#m1: group nosuch: cannot be owned so: it has no owner that could change
end a: switch a: no such change of owner is under way: there is none
seal a %west#m1 1 7: switch a: no such change of owner is under way: there is none
leave %west#m1: %west#m1: the owner of a group cannot leave: it owns the group ledger: give that to another first, with: drmesh switchover start ledger MODULE

# One at a time; the new owner comes after the seal, and not before.
do
begin a ledger 1 %east#m1
begin b ledger 1 %north#m1
end a
seal a %east#m1 1 7
seal a %west#m1 1 7
seal a %west#m1 1 7
seal a %west#m1 1 8
end a
end a
drop a too late
----
begin a ledger 1 %east#m1: ok
begin b ledger 1 %north#m1: group ledger: the owner is changing: kim began one to %east#m1
end a: switch a: the owner is changing: %west#m1 has not sealed its stream
seal a %east#m1 1 7: switch a: malformed command: m1.1/g1 is not the stream that is to end
seal a %west#m1 1 7: ok
seal a %west#m1 1 7: ok
seal a %west#m1 1 8: switch a: the owner is changing: it was sealed at 7, not 8
end a: ok
end a: switch a: no such change of owner is under way: it ended as it should
drop a too late: switch a: no such change of owner is under way: it ended as it should

ask
terms
ends
receipts
originate ledger %west#m1
originate ledger %east#m1
----
terms: [ledger 1 %west#m1.1 from 0] [ledger 2 %east#m1.1 from 7]
ends: %west#m1.1/ledger:7
receipts: [a ledger: %west#m1 -> %east#m1, after 7, ""]
originate ledger %west#m1: true incarnation 2
originate ledger %east#m1: true incarnation 1

# Dropped: the owner goes on where it was. There and back: another incarnation.
do
begin c ledger 2 %west#m1
seal c %east#m1 1 3
drop c it took too long
begin c ledger 2 %west#m1
begin d ledger 2 %west#m1
seal d %east#m1 1 4
end d
begin e ledger 3 %east#m1
seal e %west#m1 1 9
seal e %west#m1 2 2
end e
----
begin c ledger 2 %west#m1: ok
seal c %east#m1 1 3: ok
drop c it took too long: ok
begin c ledger 2 %west#m1: switch: malformed command: it needs an id of its own
begin d ledger 2 %west#m1: ok
seal d %east#m1 1 4: ok
end d: ok
begin e ledger 3 %east#m1: ok
seal e %west#m1 1 9: switch e: malformed command: m2.1/g1 is not the stream that is to end
seal e %west#m1 2 2: ok
end e: ok

ask
terms
ends
receipts
----
terms: [ledger 1 %west#m1.1 from 0] [ledger 2 %east#m1.1 from 7] [ledger 3 %west#m1.2 from 11] [ledger 4 %east#m1.2 from 13]
ends: %east#m1.1/ledger:4 %west#m1.1/ledger:7 %west#m1.2/ledger:2
receipts: [a ledger: %west#m1 -> %east#m1, after 7, ""] [c ledger: %east#m1 -> %west#m1, after 0, "it took too long"] [d ledger: %east#m1 -> %west#m1, after 11, ""] [e ledger: %west#m1 -> %east#m1, after 13, ""]

# The owner is gone: who follows says where it ended.
do
failover f ledger 4 %west#m1
seal f %east#m1 2 5
end f
end f %west#m1 2 5
end f %east#m1 2 5
seal f %east#m1 2 6
----
failover f ledger 4 %west#m1: ok
seal f %east#m1 2 5: switch f: the owner is changing: it is a failover: %west#m1 says where the stream ends
end f: switch f: malformed command: a failover needs the place where the stream ends
end f %west#m1 2 5: switch f: malformed command: m2.2/g1 is not the stream that is to end
end f %east#m1 2 5: ok
seal f %east#m1 2 6: switch f: no such change of owner is under way: it ended as it should

ask
terms
ends
----
terms: [ledger 1 %west#m1.1 from 0] [ledger 2 %east#m1.1 from 7] [ledger 3 %west#m1.2 from 11] [ledger 4 %east#m1.2 from 13] [ledger 5 %west#m1.3 from 18]
ends: %east#m1.1/ledger:4 %east#m1.2/ledger:5 %west#m1.1/ledger:7 %west#m1.2/ledger:2

# A group keeps its mode; its first owner is no more than that.
check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =group          ledger
----
tin refused
line 1: mode: the group ledger has been owned: a group keeps its mode; name another

check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =group          ledger

/=record_type    group
 =group          ledger
 =mode           owned
 =owner          %north#m1
 =from_modules   %west#m1 %east#m1
----
tin refused
line 7: owner: no route of the group ledger starts at %north#m1: it could not write

check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =group          ledger

/=record_type    group
 =group          ledger
 =owner          %north#m1
 =commit_scope   some
----
tin refused
line 7: mode: the group ledger has been owned: a group keeps its mode; name another
line 10: commit_scope: "some" is not one of: local, one, system, all
