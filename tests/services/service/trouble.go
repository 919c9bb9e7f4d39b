package main

import (
	"io"
	"net/http"
	"sync"
	"time"
)

func (s *service) fail(w http.ResponseWriter, r *http.Request, own *request) {
	s.call(r.Context(), own, callOf{kind: "sequential", path: "/leaf/"})
	http.Error(w, "failed", http.StatusInternalServerError)
}

func (s *service) abort(w http.ResponseWriter, r *http.Request, own *request) {
	s.call(r.Context(), own, callOf{kind: "sequential", path: "/leaf/"})
	panic(http.ErrAbortHandler)
}

func (s *service) panics(w http.ResponseWriter, r *http.Request, own *request) {
	s.call(r.Context(), own, callOf{kind: "sequential", path: "/leaf/"})
	panic("a handler that panics")
}

// lateBy is how long after its handler late work calls out: well after the response has left.
const lateBy = 30 * time.Millisecond

func (s *service) late(w http.ResponseWriter, r *http.Request, own *request) {
	go func() {
		time.Sleep(lateBy)
		s.call(nil, own, callOf{kind: "late-noctx", path: "/leaf/"})
	}()
	io.WriteString(w, "ok\n")
}

func (s *service) lateCtx(w http.ResponseWriter, r *http.Request, own *request) {
	ctx := detached(r.Context())
	go func() {
		time.Sleep(lateBy)
		s.call(ctx, own, callOf{kind: "late-ctx", path: "/leaf/"})
	}()
	io.WriteString(w, "ok\n")
}

// clientTimeout gives up on every second call or so.
func (s *service) clientTimeout(w http.ResponseWriter, r *http.Request, own *request) {
	s.call(r.Context(), own, callOf{kind: "client-timeout", path: "/slow/", timeout: 40 * time.Millisecond})
	s.call(r.Context(), own, callOf{kind: "client-timeout", path: "/leaf/", timeout: time.Second})
	io.WriteString(w, "ok\n")
}

// slowInside runs under http.TimeoutHandler: on a goroutine of its own, and sometimes for too long.
func (s *service) slowInside(w http.ResponseWriter, r *http.Request, own *request) {
	s.call(r.Context(), own, callOf{kind: "timeout-handler", path: "/leaf/"})
	think(1, 80)
	s.call(r.Context(), own, callOf{kind: "timeout-handler", path: "/leaf/", hop: 1})
	io.WriteString(w, "ok\n")
}

// retry calls a handler that hangs up the first time: net/http itself sends such a request again
// where the connection had served one before.
func (s *service) retry(w http.ResponseWriter, r *http.Request, own *request) {
	s.call(r.Context(), own, callOf{kind: "sequential", path: "/leaf/"})
	s.call(r.Context(), own, callOf{kind: "retry", path: "/flaky/"})
	io.WriteString(w, "ok\n")
}

// flaky hangs up on the first attempt of each request.
type flaky struct {
	mu   sync.Mutex
	seen map[string]bool
}

func newFlaky() *flaky { return &flaky{seen: make(map[string]bool)} }

func (f *flaky) first(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.seen[id] {
		delete(f.seen, id)
		return false
	}
	f.seen[id] = true
	return true
}

func (f *flaky) handle(w http.ResponseWriter, r *http.Request, own *request) {
	if f.first(own.id) {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			c.Close()
			return
		}
	}
	io.WriteString(w, "ok\n")
}
