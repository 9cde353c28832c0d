package admin

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// metrics are what GET /metrics gives. The figures of the mesh are taken from
// the engine's status when somebody asks, so that they cost nothing else; what
// is unknown has no sample.
type metrics struct {
	api      *API
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(a *API) *metrics {
	m := &metrics{api: a, registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "drmesh_admin_requests_total", Help: "Requests of operators, by route and status."}, []string{"route", "status"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "drmesh_admin_request_seconds", Help: "How long requests of operators took.",
			Buckets: []float64{.001, .005, .02, .1, .5, 2, 10, 60}}, []string{"route"})}
	m.registry.MustRegister(m, m.requests, m.seconds, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) request(route string, status int, d time.Duration) {
	if status == 0 {
		status = http.StatusOK
	}
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(route).Observe(d.Seconds())
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("drmesh_"+name, help, labels, nil)
}

var (
	descUp          = desc("up", "1 while the module answers.", "module", "mesh", "version")
	descQuorum      = desc("control_quorum", "1 if a leader of control is known.")
	descEpoch       = desc("policy_epoch", "Policy epoch of the control tables in force here.")
	descAlarms      = desc("alarms", "Alarms that stand.")
	descConflicts   = desc("open_conflicts", "Conflicts that wait for a decision.")
	descWithheld    = desc("withheld_claims", "Claims whose index entry is withheld.")
	descParked      = desc("parked", "Versions whose effect cannot be shown here.")
	descLost        = desc("lost_transactions", "Open lost transactions in the files of this module.")
	descLoops       = desc("loops_suppressed_total", "Txns received though they were applied.")
	descBeyond      = desc("beyond_end_total", "Txns received that lie beyond the end of their stream; dropped.")
	descRSS         = desc("resident_bytes", "Resident memory.")
	descWritten     = desc("stream_written_seq", "Newest txn of a stream that is known of.", "stream")
	descReceived    = desc("stream_received_seq", "Newest txn of a stream that has come here.", "stream")
	descApplied     = desc("stream_applied_seq", "Newest txn of a stream that is durable here.", "stream")
	descLag         = desc("stream_lag_records", "Txns of a stream that are still to come here.", "stream")
	descLagS        = desc("stream_lag_seconds", "Age of the newest txn applied here, where some are still to come; else 0.", "stream")
	descPeerApplied = desc("stream_peer_applied_seq", "Newest txn of a stream that is durable at a neighbour.", "stream", "peer")
	descPeerLag     = desc("stream_peer_lag_records", "Txns of a stream that a neighbour lacks.", "stream", "peer")
	descLinkUp      = desc("link_up", "1 while this module can pull from the peer.", "peer")
	descLinkRTT     = desc("link_rtt_seconds", "Round trip to the peer.", "peer")
	descLinkIn      = desc("link_received_bytes_total", "Bytes of entries pulled from the peer.", "peer")
	descLinkOut     = desc("link_sent_bytes_total", "Bytes of entries served to the peer.", "peer")
	descClock       = desc("link_clock_offset_seconds", "The peer's clock less ours.", "peer")
	descClockMedian = desc("clock_offset_seconds", "The neighbours' clocks, by their median, less ours.")
	descClockHeld   = desc("clock_held_streams", "Streams that wait here for the time of their stamps.")
)

// Describe implements prometheus.Collector; what there is depends on the mesh.
func (m *metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(m.api.ctx, 5*time.Second)
	defer cancel()
	s, err := m.api.engine.Status(ctx)
	if err != nil || s == nil {
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	number := func(d *prometheus.Desc, v *uint64, labels ...string) {
		if v != nil {
			gauge(d, float64(*v), labels...)
		}
	}
	figure := func(d *prometheus.Desc, v *float64, scale float64, labels ...string) {
		if v != nil {
			gauge(d, *v*scale, labels...)
		}
	}
	flag := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	gauge(descUp, 1, s.Module, s.Mesh, s.Version)
	gauge(descQuorum, flag(s.Quorum))
	gauge(descEpoch, float64(s.Epoch))
	gauge(descAlarms, float64(len(s.Alarms)))
	gauge(descConflicts, float64(s.Conflicts))
	gauge(descWithheld, float64(s.Withheld))
	gauge(descParked, float64(s.Parked))
	if s.Lost != nil {
		gauge(descLost, float64(*s.Lost))
	}
	counter(descLoops, float64(s.Duplicates))
	counter(descBeyond, float64(s.Beyond))
	gauge(descRSS, s.ResidentMB*(1<<20))
	figure(descClockMedian, s.ClockMS, .001)
	gauge(descClockHeld, float64(s.ClockHeld))
	for _, x := range s.Streams {
		number(descWritten, x.Written, x.Stream)
		number(descReceived, x.Received, x.Stream)
		gauge(descApplied, float64(x.Durable), x.Stream)
		number(descLag, x.Lag, x.Stream)
		figure(descLagS, x.LagS, 1, x.Stream)
		for _, p := range x.Peers {
			number(descPeerApplied, p.Durable, x.Stream, p.Module)
			number(descPeerLag, p.Lag, x.Stream, p.Module)
		}
	}
	links, err := m.api.engine.Links(ctx)
	if err != nil {
		return
	}
	for _, l := range links {
		gauge(descLinkUp, flag(l.State == "up"), l.Peer)
		figure(descLinkRTT, l.RTTMS, .001, l.Peer)
		figure(descClock, l.ClockMS, .001, l.Peer)
		counter(descLinkIn, float64(l.ReceivedBytes), l.Peer)
		counter(descLinkOut, float64(l.SentBytes), l.Peer)
	}
}

func (a *API) metricsRoute() {
	r := route{id: "metrics", method: http.MethodGet, path: "/metrics", summary: "Metrics in the form of Prometheus", least: Viewer, here: true}
	op := r.operation()
	op.Responses = map[string]*huma.Response{"200": {Description: "Metrics", Content: map[string]*huma.MediaType{"text/plain": {}}}}
	h := promhttp.HandlerFor(a.metrics.registry, promhttp.HandlerOpts{MaxRequestsInFlight: 4, Timeout: 10 * time.Second, DisableCompression: true})
	huma.Register(a.huma, op, func(context.Context, *struct{}) (*huma.StreamResponse, error) {
		return &huma.StreamResponse{Body: func(hc huma.Context) {
			r, w := humago.Unwrap(hc)
			h.ServeHTTP(w, r)
		}}, nil
	})
}
