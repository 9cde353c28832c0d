package admin

import (
	"encoding/json"
	"testing"
)

func n(v uint64) *uint64    { return &v }
func fl(v float64) *float64 { return &v }

// Each figure is from who knows it best: the origin for what is written and
// acknowledged, the receiver for what is applied, a neighbour where the
// receiver does not answer. What nobody knows stays unknown.
func TestMatrix(t *testing.T) {
	east := &Status{Module: "%east#m1", Streams: []StreamStatus{{Stream: "e", Module: "%east#m1", Own: true, Written: n(100), Received: n(100), Durable: 100, Lag: n(0), LagS: fl(0),
		Peers: []PeerSeq{{Module: "%west#m1", Sent: n(95), Durable: n(88), Acknowledged: n(88), AgeS: fl(.2), Lag: n(12), LagBytes: n(1200), LagS: fl(3)}}}}}
	west := &Status{Module: "%west#m1", Streams: []StreamStatus{{Stream: "e", Module: "%east#m1", Written: n(97), Received: n(94), Durable: 90, HeadAge: fl(.5), Lag: n(7), LagS: fl(9),
		Peers: []PeerSeq{{Module: "%north#m1", Sent: n(60), Durable: n(50), AgeS: fl(8)}}}}}
	m := MeshView{Module: "%east#m1", Views: []View{{Module: "%east#m1", Status: east}, {Module: "%west#m1", Status: west, AgeS: .1},
		{Module: "%north#m1", AgeS: 30, Status: &Status{Streams: []StreamStatus{{Stream: "e", Module: "%east#m1", Durable: 40}}}, Problem: errNothing},
		{Module: "%south#m1", Problem: errNothing}}}
	got, err := json.Marshal(m.Matrix())
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"stream":"e","origin":"%east#m1","written":100,"age_s":0,"cells":[` +
		`{"module":"%east#m1","sent":null,"received":100,"applied":100,"acknowledged":null,"lag_records":0,"lag_bytes":0,"lag_s":0,"age_s":0,"absent":false},` +
		`{"module":"%north#m1","sent":60,"received":null,"applied":50,"acknowledged":null,"lag_records":50,"lag_bytes":null,"lag_s":null,"age_s":8.1,"absent":true},` +
		`{"module":"%south#m1","sent":null,"received":null,"applied":null,"acknowledged":null,"lag_records":null,"lag_bytes":null,"lag_s":null,"age_s":null,"absent":true},` +
		`{"module":"%west#m1","sent":95,"received":94,"applied":90,"acknowledged":88,"lag_records":10,"lag_bytes":1200,"lag_s":3,"age_s":0.1,"absent":false}]}]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
