package main

import (
	"fmt"
	"strings"

	"drmesh/vosio/call"
	"drmesh/vosio/record"
)

var indexCommands = []vosCommand{
	{name: "create_index", args: "PATH INDEX {-key POS,LEN... | -separate_key | -item} [-duplicates]", short: "Add an index of embedded keys, separate keys or items", least: 2, most: 2, run: vosCreateIndex,
		switches: []vosSwitch{{name: "key", value: "position,length", many: true, help: "a component of the key; positions are from 1"},
			{name: "duplicates", help: "several records may have one key"},
			{name: "separate_key", help: "programs give the keys"}, {name: "item", help: "programs give keys and items, and no records"},
			{name: "null_keys", help: "keys of blanks alone are not entered"},
			{name: "collation", value: "number", help: "4, unless given: bytes; 1: upper and lower case alike"}}},
	{name: "delete_index", args: "PATH INDEX", short: "Remove an index", least: 2, most: 2, run: vosDeleteIndex},
	{name: "create_record_index", args: "PATH", short: "Number the records of a sequential file", least: 1, most: 1, run: vosCreatePlaces},
	{name: "create_deleted_record_index", args: "PATH", short: "Have new records take the places of deleted ones", least: 1, most: 1, run: vosCreatePlaces},
}

func vosDeleteIndex(r *vosRun) error {
	if err := r.do("deleted index "+r.words[1]+" of", r.words[0], "", func() error {
		return r.call(&call.Request{Call: "s$delete_index", Path: r.words[0], Name: r.words[1]})
	}); err != nil {
		return err
	}
	return r.tell(false)
}

func vosCreatePlaces(r *vosRun) error {
	x := record.Index{Kind: record.IndexRecord}
	if strings.HasSuffix(r.name, "create_deleted_record_index") {
		x.Kind = record.IndexDeleted
	}
	if err := r.do("made "+strings.ReplaceAll(strings.TrimPrefix(r.name, "vos create_"), "_", " ")+" of", r.words[0], "", func() error { return r.door.createIndex(r.ctx, r.words[0], &x) }); err != nil {
		return err
	}
	return r.tell(false)
}

func vosCreateIndex(r *vosRun) error {
	x := record.Index{Name: r.words[1], Duplicates: r.has("duplicates"), NullKeys: r.has("null_keys")}
	switch c := r.text("collation", "4"); c {
	case "4":
		x.Collation = record.CollateBytes
	case "1":
		x.Collation = record.CollateAlike
	default:
		return usage("%s: -collation %s: there are 4, the order of bytes, and 1, upper and lower case alike", r.name, c)
	}
	switch separate, item := r.has("separate_key"), r.has("item"); {
	case separate && item, (separate || item) && len(r.given["key"]) > 0:
		return usage("%s: give one of -key, -separate_key and -item", r.name)
	case separate:
		x.Kind = record.IndexSeparate
	case item:
		x.Kind = record.IndexItem
	}
	for _, k := range r.given["key"] {
		var pos, n int
		if c, err := fmt.Sscanf(k, "%d,%d", &pos, &n); c != 2 || err != nil || pos < 1 || n < 1 || fmt.Sprintf("%d,%d", pos, n) != k {
			return usage("%s: -key %s: give position,length, for example 1,6", r.name, k)
		}
		x.Components = append(x.Components, record.Component{Position: pos, Length: n})
	}
	if len(x.Components) == 0 && x.Kind == "" {
		return usage("%s: give -key position,length..., -separate_key or -item", r.name)
	}
	if err := r.do("made index "+x.Name+" of", r.words[0], "", func() error { return r.door.createIndex(r.ctx, r.words[0], &x) }); err != nil {
		return err
	}
	return r.tell(false)
}
