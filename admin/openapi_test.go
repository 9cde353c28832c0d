package admin

import (
	"bytes"
	"flag"
	"os"
	"testing"
)

var writeOpenAPI = flag.Bool("write-openapi", false, "write docs/openapi.json anew")

// What programs were told stays so until somebody means to change it.
func TestOpenAPIIsTheOneThatIsKept(t *testing.T) {
	a := New(nothing{}, Options{Module: "%east#m1"})
	defer a.Close()
	got, err := a.OpenAPI()
	if err != nil {
		t.Fatal(err)
	}
	const path = "../docs/openapi.json"
	if *writeOpenAPI {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(got, want) {
		return
	}
	g, w := bytes.Split(got, []byte("\n")), bytes.Split(want, []byte("\n"))
	for i := range min(len(g), len(w)) {
		if !bytes.Equal(g[i], w[i]) {
			t.Fatalf("docs/openapi.json is not that of the routes; if that is meant: go test ./admin -write-openapi\nline %d: has %s\nshould be %s", i+1, w[i], g[i])
		}
	}
	t.Fatalf("docs/openapi.json has %d lines, the routes make %d", len(w), len(g))
}
