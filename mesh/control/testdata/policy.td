# Which policy a share has, under the tables of which policy epoch.
mesh
%east#m1 %west#m1 %north#m1
----
3 members

apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =policy         earliest

/=record_type    include
 =share_name     log
 =process_name   *
 =source_path    %east#d01>log>*
----
+ share main: group main, sync, policy earliest, directory %east#d01>data
+   at %east#m1: %east#d01>data
+   at %west#m1: %west#d01>data
+   at %north#m1: %north#d01>data
+ share log: group log, sync, directory %east#d01>log
+   at %east#m1: %east#d01>log
+   at %west#m1: %west#d01>log
+   at %north#m1: %north#d01>log
+ include main:* for *
+ include log:* for *
+ route main: from * to *
+ route log: from * to *
epoch 1

# By rank needs one.
check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =policy         rank
----
tin refused
line 5: policy: rank needs the field rank in a record of type group for main: names of modules, best first

# Not all are built.
check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =policy         merge

/=record_type    include
 =share_name     log
 =process_name   *
 =source_path    %east#d01>log>*
 =policy         wasm:mine

/=record_type    include
 =share_name     more
 =process_name   *
 =source_path    %east#d01>more>*
 =policy         newest
----
tin refused
line 5: policy: "merge" needs a feature that is not built yet: latest, earliest, rank, ask are allowed
line 11: policy: "wasm:mine" needs a feature that is not built yet: latest, earliest, rank, ask are allowed
line 17: policy: "newest" is not one of: latest, earliest, rank, merge, delta, both, ask

apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =group          ledger
 =policy         rank

/=record_type    group
 =group          ledger
 =rank           %north#m1 %east#m1
----
tin refused
line 1: group: the share main was in the group main: moving a share to another group is not built yet

apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =policy         rank

/=record_type    group
 =group          main
 =rank           %north#m1 %east#m1
----
- share log: its files stay on every module, and are mirrored no more
~ share main: policy earliest -> rank, for what is written from then on
- include log:* for *
+ group main: rank %north#m1 %east#m1
- route log: from * to *
epoch 2

# The same rank again is no change; another is.
apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =durability     interval
 =policy         rank

/=record_type    group
 =group          main
 =rank           %north#m1 %east#m1
----
~ share main: durability sync -> interval 10 ms
epoch 3

apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =policy         rank

/=record_type    group
 =group          main
 =rank           %west#m1
----
~ share main: durability interval 10 ms -> sync
- group main: rank %north#m1 %east#m1
+ group main: rank %west#m1
epoch 4

ask
policy main 0
policy main 1
policy main 2
policy main 3
policy main 4
policy main 9
policy log 4
policy none 1
----
policy main 0: latest since 0 []
policy main 1: earliest since 1 []
policy main 2: rank since 2 [3 1]
policy main 3: rank since 2 [3 1]
policy main 4: rank since 4 [2]
policy main 9: rank since 4 [2]
policy log 4: latest since 0 []
policy none 1: latest since 0 []
