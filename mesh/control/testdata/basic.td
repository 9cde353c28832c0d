mesh
%east#m1 %west#m1 %north#m1
----
3 members

# The table of the setting-up example.
apply
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
 =from_modules   *
 =to_modules     *
----
+ share main: group main, sync, directory %east#d01>data
+   at %east#m1: %east#d01>data
+   at %west#m1: %west#d01>data
+   at %north#m1: %north#d01>data
+ include main:* for *
+ route main: from * to *
epoch 1

ask
groups
source main
dir main %east#m1
dir main %west#m1
dir main %south#m1
locate %west#m1 %west#d01>data>packages
locate %west#m1 %west#d01>data>sub>packages
locate %west#m1 %west#d01>data
locate %west#m1 %west#d01>database>x
locate %west#m1 %east#d01>data>packages
write main packages anything
destinations main %east#m1
originate main %west#m1
originate nosuch %west#m1
linked %east#m1 %west#m1
linked %east#m1 %east#m1
directories %north#m1
voters
----
groups: main=1
source main: %east#m1
dir main %east#m1: %east#d01>data true
dir main %west#m1: %west#d01>data true
dir main %south#m1: false
locate %west#m1 %west#d01>data>packages: main:packages
locate %west#m1 %west#d01>data>sub>packages: main:sub>packages
locate %west#m1 %west#d01>data: not shared
locate %west#m1 %west#d01>database>x: not shared
locate %west#m1 %east#d01>data>packages: not shared
write main packages anything: true
destinations main %east#m1: [%west#m1 %north#m1]
originate main %west#m1: true incarnation 1
originate nosuch %west#m1: false incarnation 0
linked %east#m1 %west#m1: true
linked %east#m1 %east#m1: false
directories %north#m1: main=%north#d01>data
voters: %east#m1 %west#m1 %north#m1

# The same again changes nothing.
check
/=record_type    include
 =share_name     main
 =process_name   *
 =source_path    %east#d01>data>*
----
nothing changes

# A fourth module joins, and is in.
join
%south#m1
----
%south#m1 is 4

ask
dir main %south#m1
destinations main %east#m1
originate main %south#m1
----
dir main %south#m1: %south#d01>data true
destinations main %east#m1: [%west#m1 %north#m1 %south#m1]
originate main %south#m1: true incarnation 1

# A chain: no link between east and west; and files of their own.
apply
- record_type: include
  share_name: main
  process_name: 'Trade*'
  source_path: '%east#d01>data>*'
- {record_type: include, process_name: batch, source_path: '%east#d01>data>*.tab', share_name: main}
- {record_type: exclude, source_path: '*.kp'}
- {record_type: exclude, source_path: '%east#d01>data>tmp>*'}
- {record_type: exclude, process_name: TradeTest, source_path: '%east#d01>data>orders'}
- record_type: include
  process_name: '*'
  source_path: '%west#d02>log>a*'
  from_modules: '%west#*'
  to_modules: ['%north#m1', '%south#m1']
  destination_dir: '>mirror>log'
  durability: interval
- {record_type: module, module: '%east#m1', peers: '%north#m1 %south#*'}
- {record_type: map, share: main, module: '%south#m1', directory: '#disk7>main'}
----
~ share main at %south#m1: %south#d01>data -> %south#disk7>main
+ share log: group log, interval 10 ms, directory %west#d02>log
+   at %west#m1: %west#d02>log
+   at %north#m1: %north#d02>mirror>log
+   at %south#m1: %south#d02>mirror>log
- include main:* for *
+ include main:* for Trade*
+ include main:*.tab for batch
+ include log:a* for *
+ exclude *.kp in any directory for *
+ exclude %east#d01>data>tmp>* for *
+ exclude %east#d01>data>orders for TradeTest
+ route log: from %west#* to %north#m1 %south#m1
+ peers of %east#m1: %north#m1 %south#*
- link %east#m1 %west#m1
epoch 2

ask
groups
dir main %south#m1
dir log %west#m1
dir log %north#m1
dir log %east#m1
locate %south#m1 %south#disk7>main>x>y.z
locate %south#m1 %south#disk7>main>x>y.kp
locate %east#m1 %east#d01>data>tmp>a
locate %east#m1 %east#d01>data>tmp
locate %east#m1 %east#d01>data>orders
locate %north#m1 %north#d02>mirror>log>a1
locate %north#m1 %north#d02>mirror>log>b1
locate %north#m1 %north#d02>mirror>log>a1>x
write main orders TradeOne
write main orders TradeTest
write main other TradeTest
write main orders batch
write main x.tab batch
write main sub>x.tab batch
write main orders stranger
write log a1 stranger
originate log %west#m1
originate log %north#m1
destinations log %west#m1
destinations log %north#m1
destinations main %north#m1
holders log
linked %east#m1 %west#m1
linked %east#m1 %north#m1
linked %west#m1 %north#m1
----
groups: main=1 log=2
dir main %south#m1: %south#disk7>main true
dir log %west#m1: %west#d02>log true
dir log %north#m1: %north#d02>mirror>log true
dir log %east#m1: false
locate %south#m1 %south#disk7>main>x>y.z: main:x>y.z
locate %south#m1 %south#disk7>main>x>y.kp: not shared
locate %east#m1 %east#d01>data>tmp>a: not shared
locate %east#m1 %east#d01>data>tmp: main:tmp
locate %east#m1 %east#d01>data>orders: main:orders
locate %north#m1 %north#d02>mirror>log>a1: log:a1
locate %north#m1 %north#d02>mirror>log>b1: not shared
locate %north#m1 %north#d02>mirror>log>a1>x: not shared
write main orders TradeOne: true
write main orders TradeTest: false
write main other TradeTest: true
write main orders batch: false
write main x.tab batch: true
write main sub>x.tab batch: false
write main orders stranger: false
write log a1 stranger: true
originate log %west#m1: true incarnation 1
originate log %north#m1: false incarnation 0
destinations log %west#m1: [%north#m1 %south#m1]
destinations log %north#m1: [%south#m1]
destinations main %north#m1: [%east#m1 %west#m1 %south#m1]
holders log: [%west#m1 %north#m1 %south#m1]
linked %east#m1 %west#m1: false
linked %east#m1 %north#m1: true
linked %west#m1 %north#m1: true

# North leaves: its name is free, its number is not given out again.
leave
%north#m1
----
waits for %east#m1 %west#m1 %north#m1 %south#m1
%north#m1: left

join
%north#m1
----
%north#m1 is 5

ask
destinations main %east#m1
originate main %north#m1
----
destinations main %east#m1: [%west#m1 %south#m1 %north#m1]
originate main %north#m1: true incarnation 1

# What a table leaves out is removed.
apply
/* nothing is shared */
----
- share main: its files stay on every module, and are mirrored no more
- share log: its files stay on every module, and are mirrored no more
- include main:* for Trade*
- include main:*.tab for batch
- include log:a* for *
- exclude *.kp in any directory for *
- exclude %east#d01>data>tmp>* for *
- exclude %east#d01>data>orders for TradeTest
- route main: from * to *
- route log: from %west#* to %north#m1 %south#m1
- peers of %east#m1: %north#m1 %south#*
+ link %east#m1 %west#m1
epoch 3

# A name in any directory below that of the share; another is taken out of all.
mesh
%east#m1 %west#m1
----
2 members

apply
/=record_type       include
 =share_name        logs
 =process_name      *
 =source_path       %east#d01>data>tlf*
 =destination_dir   >mirror
 =in_any_directory  1
/=record_type       exclude
 =source_path       %east#d01>data>old>tlf9
 =in_any_directory  yes
/=record_type       exclude
 =source_path       tlf8
 =in_any_directory  1
----
+ share logs: group logs, sync, directory %east#d01>data
+   at %east#m1: %east#d01>data
+   at %west#m1: %west#d01>mirror
+ include logs:tlf* in any directory for *
+ exclude %east#d01>data>old>tlf9 in any directory for *
+ exclude tlf8 in any directory for *
+ route logs: from * to *
epoch 1

ask
locate %east#m1 %east#d01>data>tlf1
locate %east#m1 %east#d01>data>y24>june>tlf1
locate %west#m1 %west#d01>mirror>y24>tlf1
locate %east#m1 %east#d01>data>y24>other
locate %east#m1 %east#d01>data>tlf9
locate %east#m1 %east#d01>data>old>tlf9
locate %east#m1 %east#d01>data>old>june>tlf9
locate %east#m1 %east#d01>data>y24>tlf8
write logs y24>june>tlf1 anything
write logs tlf>june anything
----
locate %east#m1 %east#d01>data>tlf1: logs:tlf1
locate %east#m1 %east#d01>data>y24>june>tlf1: logs:y24>june>tlf1
locate %west#m1 %west#d01>mirror>y24>tlf1: logs:y24>tlf1
locate %east#m1 %east#d01>data>y24>other: not shared
locate %east#m1 %east#d01>data>tlf9: logs:tlf9
locate %east#m1 %east#d01>data>old>tlf9: not shared
locate %east#m1 %east#d01>data>old>june>tlf9: not shared
locate %east#m1 %east#d01>data>y24>tlf8: not shared
write logs y24>june>tlf1 anything: true
write logs tlf>june anything: false

# Without it the name stands in the directory itself alone.
check
/=record_type       include
 =share_name        logs
 =process_name      *
 =source_path       %east#d01>data>tlf*
 =destination_dir   >mirror
/=record_type       exclude
 =source_path       %east#d01>data>old>tlf9
----
- include logs:tlf* in any directory for *
+ include logs:tlf* for *
- exclude %east#d01>data>old>tlf9 in any directory for *
- exclude tlf8 in any directory for *
+ exclude %east#d01>data>old>tlf9 for *

# A mesh has to know where to look; and a share below must not have the same names.
check
/=process_name      *
 =source_path       tlf*
 =share_name        logs
 =in_any_directory  1
----
tin refused
line 2: source_path: "tlf*" says not where to look: name the directory whose files, and those of all directories below it, are meant, such as %system#disk>dir>tlf*

check
/=process_name      *
 =source_path       %east#d01>data>tlf*
 =share_name        logs
 =in_any_directory  1
/=process_name      *
 =source_path       %east#d01>data>y24>tlf1
 =share_name        other
/=record_type       map
 =share             other
 =module            %west#m1
 =directory         %west#d01>else
----
tin refused
line 5: source_path: files of the shares logs and other meet in %east#d01>data>y24 at %east#m1, but not at every module: give one another destination_dir or a map record
