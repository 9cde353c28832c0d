package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"

	"github.com/danielgtaylor/huma/v2"
)

// maxDepth bounds how deep the values of a body lie in each other.
const maxDepth = 16

var jsonFormat = huma.Format{
	Marshal: func(w io.Writer, v any) error {
		b, err := marshal(v)
		if err != nil {
			return err
		}
		_, err = w.Write(b)
		return err
	},
	Unmarshal: func(b []byte, v any) error {
		if err := checkDepth(b); err != nil {
			return err
		}
		return json.Unmarshal(b, v)
	},
}

// marshal is JSON without the escapes meant for HTML. A list that is nil is
// empty: null is for what is unknown.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(withLists(v)); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// withLists gives v with empty lists in place of nil ones, in what it points to
// and holds by value. Maps are left alone.
func withLists(v any) any {
	x := reflect.ValueOf(v)
	if !x.IsValid() {
		return v
	}
	if x.Kind() == reflect.Slice && x.IsNil() {
		return reflect.MakeSlice(x.Type(), 0, 0).Interface()
	}
	if x.Kind() == reflect.Struct {
		p := reflect.New(x.Type())
		p.Elem().Set(x)
		fill(p.Elem())
		return p.Elem().Interface()
	}
	fill(x)
	return v
}

func fill(x reflect.Value) {
	switch x.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !x.IsNil() {
			fill(x.Elem())
		}
	case reflect.Struct:
		for i := range x.NumField() {
			if f := x.Field(i); f.CanSet() {
				fill(f)
			}
		}
	case reflect.Slice:
		if x.IsNil() {
			if x.CanSet() && x.Type().Elem().Kind() != reflect.Uint8 {
				x.Set(reflect.MakeSlice(x.Type(), 0, 0))
			}
			return
		}
		switch x.Type().Elem().Kind() {
		case reflect.Struct, reflect.Pointer, reflect.Slice, reflect.Interface:
			for i := range x.Len() {
				fill(x.Index(i))
			}
		}
	}
}

// checkDepth refuses JSON that is nested too deep, before anything is built of
// it.
func checkDepth(b []byte) error {
	depth, text := 0, false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case text && c == '\\':
			i++
		case c == '"':
			text = !text
		case text:
		case c == '{' || c == '[':
			if depth++; depth > maxDepth {
				return fmt.Errorf("values lie more than %d deep in each other", maxDepth)
			}
		case c == '}' || c == ']':
			depth--
		}
	}
	return nil
}
