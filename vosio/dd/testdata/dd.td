# The worked record: 200 bytes.
dd
fields: number    fixed bin (15),
        name      char (32),
        text      char (128) varying,
        class     char(18),
        class2    char(18);
end;
----
sequential, 200 bytes
  0 number bin(15), line 1
  2 name char(32), line 2
  34 text char(128) varying, line 3
  164 class char(18), line 4
  182 class2 char(18), line 5

# What is found in the wild: no commas, commas too many, bare bits, blanks.
dd
/* a table */
organization:   relative;
fields      :
 record_type       char (32) var default ('include'),
 count             bin (15)  default ('8'),
 limit             bin (15)  default (30),
 any               bit 1,
 one               bit (1)
 two               bit (1)
 three             bit,
 Text              char(3) varying,
end;
----
warning: line 9: a comma is missing before "two"
warning: line 10: a comma is missing before "three"
warning: line 12: the comma after the last field is too much
warning: line 12: a semicolon is missing before "end"
relative, 46 bytes
  0 record_type char(32) varying default "include", line 4
  34 count bin(15) default "8", line 5
  36 limit bin(15) default "30", line 6
  38 any bit(1), line 7
  38 one bit(1) from bit 1, line 8
  38 two bit(1) from bit 2, line 9
  38 three bit(1) from bit 3, line 10
  40 Text char(3) varying, line 11

# Thirty-two flags are four bytes; a run of bits ends on an even byte.
dd
fields: a bit, b bit(15), c bin(31), d bit(32), e char(1), f bit(3), g char(1), h bit(2);
end
----
warning: line 2: a semicolon is missing before the end of the text
sequential, 14 bytes
  0 a bit(1), line 1
  0 b bit(15) from bit 1, line 1
  2 c bin(31), line 1
  6 d bit(32), line 1
  10 e char(1), line 1
  11 f bit(3), line 1
  12 g char(1), line 1
  13 h bit(2), line 1

# Numbers stand on even bytes, and make the record even.
dd
fields: a char(1), b bin(31), c char(1), d bin(63), e char(1), f decimal(7,2), g picture '(4)9', h date_time, i char(1);
end;
----
sequential, 32 bytes
  0 a char(1), line 1
  2 b bin(31), line 1
  6 c char(1), line 1
  8 d bin(63), line 1
  16 e char(1), line 1
  17 f decimal(7,2), line 1
  21 g picture '(4)9', line 1
  26 h bin(31), line 1
  30 i char(1), line 1

dd
alignment: longmap;
fields: a char(1), b bin(31), c char(1), d bin(63), e char(1), f float bin(24), g char(1);
end;
----
sequential, 40 bytes, longmap
  0 a char(1), line 2
  4 b bin(31), line 2
  8 c char(1), line 2
  16 d bin(63), line 2
  24 e char(1), line 2
  28 f float bin(24), line 2
  32 g char(1), line 2

# Indexes.
dd
organization: sequential;
fields: name char(20), version char(10), arch char(8) varying, size bin(31);
index: primary (name, version);
index: by_arch (ARCH) duplicates;
index: by_size (size) no_duplicates
end;
----
warning: line 6: a semicolon is missing before "end"
sequential, 44 bytes
  0 name char(20), line 2
  20 version char(10), line 2
  30 arch char(8) varying, line 2
  40 size bin(31), line 2
  index primary name=1,20 version=21,10
  index by_arch arch=33,8 duplicates
  index by_size size=41,4

lines
bash|5.2|amd64|1469
|||0
a b|1|x~|-5
name~|1|x|1
a-name-of-over-twenty-bytes|1|x|1
a|1|ninechars|1
a|1|x|01
a|1|x|+1
a|1|x|-0
a|1|x|
a|1|x|2147483648
a|1|x
a|1|x|1|2
----
6261736820202020202020202020202020202020352e32202020202020200005616d643634202020000005bd
2020202020202020202020202020202020202020202020202020202020200000202020202020202000000000
61206220202020202020202020202020202020203120202020202020202000027820202020202020fffffffb
refused: name: a trailing blank, which char(20) does not keep
refused: name: 27 bytes, char(20) holds 20
refused: arch: 9 bytes, char(8) varying holds 8
refused: size: "01" is not a number in its plain form
refused: size: "+1" is not a number in its plain form
refused: size: "-0" is not a number in its plain form
refused: size: "" is not a number in its plain form
refused: size: "2147483648" is outside bin(31): -2147483648 to 2147483647
refused: 3 fields divided by '|', the layout has 4
refused: 5 fields divided by '|', the layout has 4

key
bash|5.2
----
"bash                5.2       "

key
bash
----
refused: 1 values, the key of primary has 2 parts

# Several kinds of numbers.
dd
fields: d decimal(5,2), p picture '99', f float bin(24), b bit(3), q decimal(2,2), t decimal(3);
end;
----
sequential, 16 bytes
  0 d decimal(5,2), line 1
  3 p picture '(2)9', line 1
  6 f float bin(24), line 1
  10 b bit(3), line 1
  12 q decimal(2,2), line 1
  14 t decimal(3,0), line 1

lines
123.45|07|1.5|101|0.12|7
-0.01|00|-3e+10|000|-0.99|-100
1234.56|07|1|101|0.12|7
1.5|07|1|101|0.12|7
01.50|07|1|101|0.12|7
-0.00|07|1|101|0.12|7
1.00|7|1|101|0.12|7
1.00|07|1.0|101|0.12|7
1.00|07|NaN|101|0.12|7
1.00|07|1|11|0.12|7
1.00|07|1|112|0.12|7
1.00|07|1|101|1.12|7
1.00|07|1|101|0.12|7.
1.00|07|1|101|0.12|1000
1.00|07|1|101|.12|7
----
12345c3037003fc00000a000012c007c
00001d303000d0df84760000099d100d
refused: d: "1234.56" is outside decimal(5,2)
refused: d: "1.5" is not a number with 2 digits after the point in its plain form
refused: d: "01.50" is not a number with 2 digits after the point in its plain form
refused: d: "-0.00" is not a number with 2 digits after the point in its plain form
refused: p: "7" is not 2 digits
refused: f: "1.0" is not a number in its shortest form
refused: f: "NaN" is not a number in its shortest form
refused: b: "11" is not 3 digits of 0 and 1
refused: b: "112" is not 3 digits of 0 and 1
refused: q: "1.12" is outside decimal(2,2)
refused: t: "7." is not a number with 0 digits after the point in its plain form
refused: t: "1000" is outside decimal(3,0)
refused: q: ".12" is not a number with 2 digits after the point in its plain form

dd
fields: a whatever; end;
----
refused:
line 1: a: "whatever" is not a type: char, bin, bit, decimal, float bin, picture, date_time are

dd
organization: keyed;
----
refused:
line 1: organization: "keyed" is not one of: fixed, relative, sequential, stream

dd
fields: a char(0); end;
----
refused:
line 1: a: the size is 0, allowed are 1 to 32767

dd
fields:
 a char(2),
 A bin;
end;
----
refused:
line 3: A: there is a field of that name already

dd
fields: a pointer; end;
----
refused:
line 1: a: a pointer means nothing in a file

dd
fields: a char(3) default ('long'); end;
----
refused:
line 1: a: its default does not fit: 4 bytes, char(3) holds 3

dd
fields: a bit; index: x (a); end;
----
refused:
line 1: x: the field a is a bit field: keys are made of whole bytes

dd
fields: a char(1); index: x (b); end;
----
refused:
line 1: x: there is no field "b"

dd
fields: a char(1; end;
----
refused:
line 1: ")" is expected, not ";"

dd
fields: a char(1) b char(2); end; more
----
refused:
line 1: "more" stands after the end

dd
fields: a 'x; end;
----
refused:
line 1: the quoted text does not end on its line

dd
fields: ; end;
----
refused:
line 1: the name of a field is expected, not ";"

dd
a char(1)
----
refused:
line 1: "fields" is expected, not "a"

dd
fields: a bin(64); end;
----
refused:
line 1: a: the size is 64, allowed are 1 to 63

dd
fields: a decimal(3,4); end;
----
refused:
line 1: a: 4 of 3 digits cannot stand after the point

dd
fields: a picture 'zz9'; end;
----
refused:
line 1: a: a picture is a quoted text of nines, such as '9999' or '(4)9', 255 at most

dd
fields: 9a char(1); end;
----
refused:
line 1: the name of a field is expected, not "9a"

dd
fields: a char(1) /* open
----
refused:
line 1: the comment that begins here does not end

dd
----
refused:
line 1: "fields" is expected, not the end of the text
