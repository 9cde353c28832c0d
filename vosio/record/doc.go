// Package record holds the byte forms under which a module stores registers:
// version sets, register addresses, file ids and index keys.
//
// All of it is pure: the same inputs give the same bytes on every module,
// which is what lets digests, claims and names agree without talk.
//
// A register's address says which record it is, in a form that every module
// computes alike:
//
//	'n' number(8)                                     fixed and relative files
//	'd' stamp(8) module(4) incarnation(4) seq(8) index(4)   sequential: the birth
//	'k' index(4) key                                  keyed sequential: identity key
//	'E' index(4) length(2) key birth(28)              a key given to the record of that birth
//	'T' index(4) length(2) key item(4)                an item of an item index
//	'W'                                               stream: what the file begins with
//	'P' generation(28) page(8)                        stream: 4096 bytes of that
//	'L' 00(8) module(4) incarnation(4) seq(8) index(4)      stream: a version of 'W' that is kept
//	'C' file(16)              catalog: a claim of a path
//	'N' file(16)              catalog: a file's present name
//	'A' file(16) name         catalog: an attribute
//	'I' file(16) name         catalog: an index definition
//	'D' path                  catalog: a directory
//
// Numbers are big endian, so that bytes sort as the order of the file.
package record
