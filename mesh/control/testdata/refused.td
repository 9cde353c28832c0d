mesh
%east#m1 %west#m1 %north#m1 %watch#w1=witness %far#l1=leaf
----
5 members

# Fields and values.
check
/=record_type    include
 =process_name   *
 =source_path    %east#d01>data>*
 =compression    9
 =durability     sometimes
 =interval_ms    0
 =policy         earliest
 =twin_ports     yes
 =before_images  2
 =on_full        break

/=record_type    nonsense
 =a 1

/=record_type    include
 =share_name     my share

/=record_type    group
 =group          g
 =mode           owned
 =owner          %east#m1
 =failover       30
 =on_full        refuse

/=record_type    module
 =module         east
----
tin refused
line 4: compression: a record of type include has no such field; it has: auto_synchronize, before_images, delete_orphans, destination_dir, dont_send_reads, drms_server, durability, equalize_if_locked, equalize_if_modified, equalize_if_new, equalize_interval, extractor_file_id, from_modules, group, in_any_directory, interval_ms, on_full, policy, process_name, report_orphans, share_name, source_path, to_modules, twin_ports
line 5: durability: "sometimes" is not one of: sync, interval
line 6: interval_ms: "0" is not a number from 1 to 60000
line 8: twin_ports: "1" needs a feature that is not built yet: 0 is allowed
line 9: before_images: "2" is not 0 or 1 (no or yes, false or true)
line 10: on_full: "break" needs a feature that is not built yet: refuse is allowed
line 12: record_type: "nonsense" is not one of: include, exclude, map, group, module, equalize, global_settings, primary, backup, application, equalizer, drms_sync_vm
line 15: process_name: a record of type include needs it: star name of programs; required
line 15: source_path: a record of type include needs it: path, its last name may be a star name; required
line 16: share_name: "my share": a share name holds letters, digits and _ - . $ + only
line 23: on_full: a record of type group has no such field; it has: commit_scope, failover, from_modules, group, hook_timeout, mode, notify_hook, on_rejoin, on_rollback, on_timeout, owner, rank, start_hook, stop_hook, supplementary, to_modules
line 25: peers: a record of type module needs it: star names of modules, divided by blanks; required
line 26: module: "east": a module name is written %system#module

# Features that are not built yet, stated or at their defaults.
check
/=record_type        include
 =process_name       *
 =source_path        %east#d01>data>*
 =in_any_directory   maybe
 =extractor_file_id  200
 =equalize_interval  10
 =delete_orphans     true
 =policy             merge
/=record_type        EQUALIZE
 =source_path        %east#d01>data>*
/=record_type        EQUALIZER
/=record_type        SYNCHRONIZE_VM
/=record_type        GLOBAL_SETTINGS
 =disable_drms       1
----
tin refused
line 4: in_any_directory: "maybe" is not 0 or 1 (no or yes, false or true)
line 5: extractor_file_id: "200" needs a feature that is not built yet: 0 is allowed
line 6: equalize_interval: "10" needs a feature that is not built yet: nothing is allowed
line 7: delete_orphans: "1" needs a feature that is not built yet: 0 is allowed
line 8: policy: "merge" needs a feature that is not built yet: latest, earliest, rank, ask are allowed
line 9: record_type: equalize: the equalizer is not built yet
line 11: record_type: equalizer: the equalizer is not built yet
line 12: record_type: drms_sync_vm: mirrored memory regions are not built yet

check
/=record_type        include
 =process_name       *
 =source_path        %east#d01>data>*
 =in_any_directory   0
 =extractor_file_id  0
 =policy             LATEST
 =durability         sync
 =before_images      no
 =on_full            refuse
/=record_type        group
 =group              data
 =mode               active
 =commit_scope       local
 =failover           off
----
+ share data: group data, sync, directory %east#d01>data
+   at %east#m1: %east#d01>data
+   at %west#m1: %west#d01>data
+   at %north#m1: %north#d01>data
+   at %far#l1: %far#d01>data
+ include data:* for *
+ route data: from * to *

# Routes.
check
/=process_name *
 =source_path  %east#d01>a>x
 =to_modules   %wset#m1
/=process_name *
 =source_path  %east#d01>b>x
 =from_modules %watch#w1
/=process_name *
 =source_path  %south#d01>c>x
/=process_name *
 =source_path  %east#d01>d>x
 =to_modules   west
/=record_type  module
 =module       %nowhere#m1
 =peers        %east#m1
/=record_type  module
 =module       %west#m1
 =peers        %sowth#*
----
tin refused
line 3: to_modules: no member matches %wset#m1; members are: %east#m1 %west#m1 %north#m1 %far#l1
line 6: from_modules: %watch#w1 is a witness: it holds no data
line 7: source_path: no member is on the system %south; members are: %east#m1 %west#m1 %north#m1 %far#l1
line 11: to_modules: "west": a module name is written %system#module
line 13: module: no member is called %nowhere#m1; members are: %east#m1 %west#m1 %north#m1 %far#l1
line 17: peers: no member matches %sowth#*; members are: %east#m1 %west#m1 %north#m1 %far#l1

# All shares of a group go to the same modules.
check
/=process_name *
 =source_path  %east#d01>a>x
 =group        g
 =to_modules   %west#m1 %north#m1
/=process_name *
 =source_path  %east#d01>b>x
 =group        g
 =to_modules   %north#m1 %west#m1
/=process_name *
 =source_path  %east#d01>c>x
 =group        g
 =to_modules   %north#m1
/=record_type  group
 =group        h
 =to_modules   %west#m1
/=process_name *
 =source_path  %east#d01>d>x
 =group        h
 =to_modules   %north#m1
----
tin refused
line 12: to_modules: the group g has other routes (line 4): all shares of a group go to the same modules
line 19: to_modules: the group h has other routes (line 13): all shares of a group go to the same modules

# No chain of links: west is the only neighbour of east, and does not hold the
# group; the leaf passes nothing on.
check
/=record_type include
 =process_name *
 =source_path %east#d01>data>*
 =to_modules  %north#m1
/=record_type module
 =module      %east#m1
 =peers       %west#m1
----
tin refused
line 4: to_modules: no chain of linked modules that have the group data leads from %east#m1 to %north#m1

check
/=record_type include
 =process_name *
 =source_path %east#d01>data>*
/=record_type module
 =module      %east#m1
 =peers       %far#l1
----
tin refused
line 1: to_modules: no chain of linked modules that have the group data leads from %east#m1 to %west#m1 %north#m1

# Two shares on one path; one share in two places.
check
/=process_name *
 =share_name   a
 =source_path  %east#d01>data>*
/=process_name B
 =share_name   b
 =source_path  %east#d01>data>*
/=process_name *
 =share_name   c
 =source_path  %east#d01>c>*
/=process_name *
 =share_name   c
 =source_path  %east#d01>other>*
/=process_name *
 =share_name   c
 =source_path  %east#d01>c>x
 =destination_dir %west#d9>c
----
tin refused
line 6: source_path: the include on line 1 has the same one for the share a: a file is in one share
line 12: source_path: the share c has its directory at %east#d01>c (line 7): includes of one share have one directory
line 16: destination_dir: the share c has "" (line 7): includes of one share have one directory

check
/=process_name *
 =share_name   a
 =source_path  %east#d01>a>*
/=process_name *
 =share_name   b
 =source_path  %east#d01>b>*
/=record_type  map
 =share        b
 =module       %west#m1
 =directory    %west#d01>a
/=record_type  map
 =share        nosuch
 =module       %west#m1
 =directory    %west#d01>x
/=record_type  map
 =share        a
 =module       %south#m1
 =directory    %south#d01>a
/=record_type  map
 =share        a
 =module       %north#m1
 =directory    %west#d01>a
/=record_type  map
 =share        a
 =module       %watch#w1
 =directory    >a
----
tin refused
line 7: directory: %west#d01>a holds the share a at %west#m1 already: two shares do not stand in one directory
line 11: share: no include names the share nosuch
line 17: module: no member is called %south#m1; members are: %east#m1 %west#m1 %north#m1 %far#l1
line 22: directory: %west#d01>a is not on the system %north of the module %north#m1
line 26: directory: ">a": no current directory completes it: write %system#disk>dir>object or share:object

# Files that would meet at one module only.
check
/=process_name *
 =source_path  %east#d01>a>x*
 =destination_dir %west#d01>mirror
/=process_name *
 =source_path  %east#d01>b>*y
 =destination_dir %west#d01>mirror
----
tin refused
line 4: source_path: files of the shares a and b meet in %west#d01>mirror at %west#m1, but not at every module: give one another destination_dir or a map record

# Names that cannot meet may share a mirror; a share inside another one may be
# so on every module.
check
/=process_name *
 =source_path  %east#d01>a>x
 =destination_dir %west#d01>mirror
/=process_name *
 =source_path  %east#d01>b>y
 =destination_dir %west#d01>mirror
/=process_name *
 =source_path  %east#d01>all>deep>*
/=process_name *
 =source_path  %east#d01>all>*
----
+ share a: group a, sync, directory %east#d01>a
+   at %east#m1: %east#d01>a
+   at %west#m1: %west#d01>mirror
+   at %north#m1: %north#d01>mirror
+   at %far#l1: %far#d01>mirror
+ share b: group b, sync, directory %east#d01>b
+   at %east#m1: %east#d01>b
+   at %west#m1: %west#d01>mirror
+   at %north#m1: %north#d01>mirror
+   at %far#l1: %far#d01>mirror
+ share deep: group deep, sync, directory %east#d01>all>deep
+   at %east#m1: %east#d01>all>deep
+   at %west#m1: %west#d01>all>deep
+   at %north#m1: %north#d01>all>deep
+   at %far#l1: %far#d01>all>deep
+ share all: group all, sync, directory %east#d01>all
+   at %east#m1: %east#d01>all
+   at %west#m1: %west#d01>all
+   at %north#m1: %north#d01>all
+   at %far#l1: %far#d01>all
+ include a:x for *
+ include b:y for *
+ include deep:* for *
+ include all:* for *
+ route a: from * to *
+ route b: from * to *
+ route deep: from * to *
+ route all: from * to *

check
/=process_name *
 =source_path  %east#d01>all>*
/=process_name *
 =source_path  %east#d01>b>*
/=record_type  map
 =share        b
 =module       %west#m1
 =directory    %west#d01>all>b
----
tin refused
line 3: source_path: files of the shares all and b meet in %west#d01>all>b at %west#m1, but not at every module: give one another destination_dir or a map record

# Includes of one share must agree.
check
/=process_name A
 =share_name   s
 =source_path  %east#d01>a>*
 =group        g
 =durability   interval
 =interval_ms  20
/=process_name B
 =share_name   s
 =source_path  %east#d01>a>*
 =group        h
 =durability   sync
 =interval_ms  20
/=process_name B
 =share_name   t
 =source_path  %east#d01>t>*
 =interval_ms  20
----
tin refused
line 10: group: line 4 says "g" for the same share
line 11: durability: line 5 says "interval" for the same share
line 16: interval_ms: it goes with durability interval

# Paths.
check
/=process_name *
 =source_path  relative>x
/=process_name *
 =source_path  %east#d01
/=process_name *
 =source_path  %east#d01>x
/=process_name *
 =source_path  %east#d01>a*>x
/=process_name *
 =source_path  %east#d01>a>x
 =destination_dir %west#d01>*
/=source_path  %east#d01>a>x
/=process_name *
/=process_name PPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPPP
 =source_path  %east#d01>a>x
----
tin refused
line 2: source_path: "relative>x": no current directory completes it: write %system#disk>dir>object or share:object
line 4: source_path: it names a disk: name files, such as %east#d01>*
line 6: source_path: its directory "%east#d01" does not make a share's name: state share_name
line 8: source_path: "%east#d01>a*>x": "a*": a star has no place here
line 11: destination_dir: it names a directory: a star has no place in it
line 12: process_name: a record of type include needs it: star name of programs; required
line 13: source_path: a record of type include needs it: path, its last name may be a star name; required
line 14: process_name: it has 33 bytes, char(32) holds 32

# A share does not move to another group.
apply
/=process_name *
 =source_path  %east#d01>a>x
----
+ share a: group a, sync, directory %east#d01>a
+   at %east#m1: %east#d01>a
+   at %west#m1: %west#d01>a
+   at %north#m1: %north#d01>a
+   at %far#l1: %far#d01>a
+ include a:x for *
+ route a: from * to *
epoch 1

check
/=process_name *
 =source_path  %east#d01>a>x
 =group        new
----
tin refused
line 1: group: the share a was in the group a: moving a share to another group is not built yet

# It does not help to take it out first.
apply
/
 =record_type exclude
 =source_path %east#d01>zzz>*
----
warning: line 3: source_path: no share has files there: the exclude matches nothing
- share a: its files stay on every module, and are mirrored no more
- include a:x for *
+ exclude %east#d01>zzz>* for *
- route a: from * to *
epoch 2

check
/=process_name *
 =source_path  %east#d01>a>x
 =group        new
----
tin refused
line 1: group: the share a was in the group a: moving a share to another group is not built yet
