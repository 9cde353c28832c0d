# Control goes on without a majority, from what one module knew.
mesh
%east#m1 %west#m1 %north#m1
----
3 members

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
+ group ledger: one module at a time writes it
+ route ledger: from * to *
+ route notes: from * to *
epoch 1

do
begin a ledger 1 %north#m1
recover 0 5f3a1 %west#m1 %north#m1
recover 0 5f3a2 %west#m1
recover 5f3a1 5f3a1 %west#m1
recover 5f3a1 f %west#m1
recover 5f3a1 100000 %west#m1
----
begin a ledger 1 %north#m1: ok
recover 0 5f3a1 %west#m1 %north#m1: ok
recover 0 5f3a2 %west#m1: %west#m1: another lineage of control: it was to follow the lineage 0, 5f3a1 stands
recover 5f3a1 5f3a1 %west#m1: %west#m1: malformed command: the lineage 5f3a1 is out of bounds, or was there before
recover 5f3a1 f %west#m1: %west#m1: malformed command: the lineage f is out of bounds, or was there before
recover 5f3a1 100000 %west#m1: %west#m1: malformed command: the lineage 100000 is out of bounds, or was there before

# Who votes, who is behind; nobody is made an owner who has not followed; what
# nobody has written yet is written under numbers of the new lineage alone.
ask
lineages
members
voters
epoch
terms
ends
hooks a
originate ledger %east#m1
originate ledger %west#m1
originate notes %west#m1
----
lineages: [5f3a1 at %west#m1, with %north#m1, after 9]
members: %east#m1=1 behind; %west#m1=2; %north#m1=3 behind;
voters: %west#m1
epoch: 10000, text 10000
terms: [ledger 1 %east#m1.1 from 0]
ends: %west#m1.1/ledger:0 %north#m1.1/ledger:0
hooks a: "control was recovered"
originate ledger %east#m1: true incarnation 1
originate ledger %west#m1: true incarnation 1597640705
originate notes %west#m1: true incarnation 1

do
failover b ledger 1 %north#m1
vote %north#m1
failover b ledger 1 %west#m1
end b %east#m1 1 7
follow %north#m1
vote %north#m1
----
failover b ledger 1 %north#m1: %north#m1: another lineage of control: control went on without it, and it has not followed yet
vote %north#m1: %north#m1: malformed command: a member with status member does not vote
failover b ledger 1 %west#m1: ok
end b %east#m1 1 7: ok
follow %north#m1: ok
vote %north#m1: ok

ask
terms
voters
members
----
terms: [ledger 1 %east#m1.1 from 0] [ledger 2 %west#m1.1597640705 from 7]
voters: %west#m1
members: %east#m1=1 behind; %west#m1=2; %north#m1=3;

# Numbers of groups, modules and incarnations carry the lineage.
join
%south#m1
----
%south#m1 is 1597640708

apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =group          ledger

/=record_type    include
 =share_name     more
 =process_name   *
 =source_path    %east#d01>more>*

/=record_type    group
 =group          ledger
 =mode           owned
----
- share notes: its files stay on every module, and are mirrored no more
+ share more: group more, sync, directory %east#d01>more
+   at %east#m1: %east#d01>more
+   at %west#m1: %west#d01>more
+   at %north#m1: %north#d01>more
+   at %south#m1: %south#d01>more
- include notes:* for *
+ include more:* for *
- route notes: from * to *
+ route more: from * to *
epoch 10001

ask
groups
members
originate more %south#m1
originate ledger %south#m1
voters
epoch
----
groups: ledger=1 notes=2 more=1597640707
members: %east#m1=1 behind; %west#m1=2; %north#m1=3; %south#m1=1597640708;
originate more %south#m1: true incarnation 1597640705
originate ledger %south#m1: true incarnation 1597640705
voters: %west#m1 %north#m1 %south#m1
epoch: 10001, text 10001

# Once more, with a smaller number.
do
follow %east#m1
recover 5f3a1 10 %south#m1
----
follow %east#m1: ok
recover 5f3a1 10 %south#m1: ok

ask
lineages
members
originate ledger %west#m1
originate ledger %north#m1
epoch
----
lineages: [5f3a1 at %west#m1, with %north#m1, after 9] [10 at %south#m1, with , after 25]
members: %east#m1=1 behind; %west#m1=2 behind; %north#m1=3 behind; %south#m1=1597640708;
originate ledger %west#m1: true incarnation 1597640705
originate ledger %north#m1: true incarnation 65537
epoch: 20000, text 20000

join
%last#m1
----
%last#m1 is 65541

ask
members
groups
----
members: %east#m1=1 behind; %west#m1=2 behind; %north#m1=3 behind; %last#m1=65541; %south#m1=1597640708;
groups: ledger=1 notes=2 more=1597640707
