# A group that all write, whose queues one module at a time takes messages off.
mesh
%east#m1 %west#m1 %north#m1
----
3 members

check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =group          g

/=record_type    group
 =group          g
 =rank           %west#m1
 =failover       10
 =stop_hook      /bin/true
----
tin refused
line 10: failover: only a group that has an owner has one
line 11: stop_hook: only a group with mode owned has one

apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =group          g

/=record_type    include
 =share_name     notes
 =process_name   *
 =source_path    %east#d01>notes>*

/=record_type    group
 =group          g
 =owner          %west#m1
 =rank           %west#m1 %east#m1
----
+ share main: group g, sync, directory %east#d01>data
+   at %east#m1: %east#d01>data
+   at %west#m1: %west#d01>data
+   at %north#m1: %north#d01>data
+ share notes: group notes, sync, directory %east#d01>notes
+   at %east#m1: %east#d01>notes
+   at %west#m1: %west#d01>notes
+   at %north#m1: %north#d01>notes
+ include main:* for *
+ include notes:* for *
+ group g: one module at a time takes messages off its queues; first %west#m1; rank %west#m1 %east#m1
+ route g: from * to *
+ route notes: from * to *
epoch 1

ask
terms
originate g %west#m1
originate g %east#m1
----
terms: [g 1 %west#m1.1 from 0]
originate g %west#m1: true incarnation 1
originate g %east#m1: true incarnation 1

# It changes hands; no stream ends, and nobody gets another incarnation.
do
begin a g 1 %east#m1
seal a %east#m1 1 7
seal a %west#m1 1 7
end a
begin b notes 1 %east#m1
leave %east#m1
----
begin a g 1 %east#m1: ok
seal a %east#m1 1 7: switch a: malformed command: m1.1/g1 is not the stream that is to end
seal a %west#m1 1 7: ok
end a: ok
begin b notes 1 %east#m1: group notes: cannot be owned so: it has no owner that could change
leave %east#m1: %east#m1: the owner of a group cannot leave: it owns the group g: give that to another first, with: drmesh switchover start g MODULE

ask
terms
ends
receipts
originate g %west#m1
originate g %east#m1
----
terms: [g 1 %west#m1.1 from 0] [g 2 %east#m1.1 from 0]
ends: 
receipts: [a g: %west#m1 -> %east#m1, after 7, ""]
originate g %west#m1: true incarnation 1
originate g %east#m1: true incarnation 1

# An owner that is gone.
do
failover c g 2 %north#m1
end c
end c %east#m1 1 9
----
failover c g 2 %north#m1: ok
end c: switch c: malformed command: a failover needs the place where the stream ends
end c %east#m1 1 9: ok
