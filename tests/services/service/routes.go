package main

import (
	"context"
	"io"
	"math/rand"
	"net/http"
	"sync"
	"time"

	"threadline/services/truth"
)

// handler is a handler that was told which request it serves.
type handler func(w http.ResponseWriter, r *http.Request, own *request)

func (s *service) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, h := range map[string]handler{
		"/leaf/":           s.leaf,
		"/slow/":           s.slow,
		"/hold/":           s.hold,
		"/chain/":          s.chain,
		"/seq/":            s.seq,
		"/fan-ctx/":        s.fanCtx,
		"/fan/":            s.fan,
		"/nested-ctx/":     s.nestedCtx,
		"/nested/":         s.nested,
		"/pool-ctx/":       s.viaPoolCtx,
		"/pool/":           s.viaPool,
		"/once-ctx/":       s.viaOnceCtx,
		"/once/":           s.viaOnce,
		"/mix/":            s.mix,
		"/fail/":           s.fail,
		"/abort/":          s.abort,
		"/panic/":          s.panics,
		"/late-ctx/":       s.lateCtx,
		"/late/":           s.late,
		"/client-timeout/": s.clientTimeout,
		"/retry/":          s.retry,
	} {
		mux.HandleFunc(pattern, serve(h))
	}
	flaky := newFlaky()
	mux.HandleFunc("/flaky/", serve(flaky.handle))
	mux.Handle("/timeout/", http.TimeoutHandler(serve(s.slowInside), 100*time.Millisecond, "too slow"))

	// Middleware hands a copy of the request to a mux of its own.
	inner := http.NewServeMux()
	inner.HandleFunc("/mw/", serve(s.seq))
	mux.Handle("/mw/", middleware(inner))
	return mux
}

func serve(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		h(w, r, &request{id: truth.ID(r.URL.Path)})
	}
}

type userKey struct{}

func middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, "user")))
	})
}

// think stands for work: most services wait most of the time.
func think(least, most int) {
	time.Sleep(time.Duration(least+rand.Intn(most-least+1)) * time.Millisecond)
}

func (s *service) leaf(w http.ResponseWriter, r *http.Request, own *request) {
	io.Copy(io.Discard, r.Body)
	think(10, 50)
	io.WriteString(w, "ok\n")
}

func (s *service) slow(w http.ResponseWriter, r *http.Request, own *request) {
	think(80, 120)
	io.WriteString(w, "ok\n")
}

// hold keeps a request open for a second, to have many at once.
func (s *service) hold(w http.ResponseWriter, r *http.Request, own *request) {
	time.Sleep(time.Second)
	io.WriteString(w, "ok\n")
}

func (s *service) chain(w http.ResponseWriter, r *http.Request, own *request) {
	think(2, 20)
	s.call(r.Context(), own, callOf{kind: "sequential", path: "/chain/"})
	io.WriteString(w, "ok\n")
}

func (s *service) seq(w http.ResponseWriter, r *http.Request, own *request) {
	s.call(r.Context(), own, callOf{kind: "sequential", path: "/leaf/"})
	s.call(nil, own, callOf{kind: "sequential-noctx", path: "/leaf/", hop: 1})
	think(1, 10)
	s.call(r.Context(), own, callOf{kind: "sequential", path: "/leaf/", method: "POST", body: text(3000)})
	io.WriteString(w, text(2000))
}

func text(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + i%26)
	}
	return string(b)
}

func (s *service) fanCtx(w http.ResponseWriter, r *http.Request, own *request) {
	s.fanOut(r.Context(), own, "fanout-ctx")
	io.WriteString(w, "ok\n")
}

func (s *service) fan(w http.ResponseWriter, r *http.Request, own *request) {
	s.fanOut(nil, own, "fanout-noctx")
	io.WriteString(w, "ok\n")
}

func (s *service) fanOut(ctx context.Context, own *request, kind string) {
	var all sync.WaitGroup
	for i := 0; i < 4; i++ {
		i := i
		all.Add(1)
		go func() {
			defer all.Done()
			s.call(ctx, own, callOf{kind: kind, path: []string{"/leaf/", "/chain/"}[i%2], hop: i / 2})
		}()
	}
	all.Wait()
}

func (s *service) nestedCtx(w http.ResponseWriter, r *http.Request, own *request) {
	s.nest(r.Context(), own, "nested-ctx", 3)
	io.WriteString(w, "ok\n")
}

func (s *service) nested(w http.ResponseWriter, r *http.Request, own *request) {
	s.nest(nil, own, "nested-noctx", 3)
	io.WriteString(w, "ok\n")
}

// nest calls from a goroutine of a goroutine of ..., at each level.
func (s *service) nest(ctx context.Context, own *request, kind string, depth int) {
	if depth == 0 {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.call(ctx, own, callOf{kind: kind, path: "/leaf/", hop: depth % 2})
		s.nest(ctx, own, kind, depth-1)
	}()
	<-done
}

func (s *service) viaPoolCtx(w http.ResponseWriter, r *http.Request, own *request) {
	hand(s.poolCtx, r.Context(), own, 3)
	io.WriteString(w, "ok\n")
}

func (s *service) viaPool(w http.ResponseWriter, r *http.Request, own *request) {
	hand(s.pool, nil, own, 2)
	io.WriteString(w, "ok\n")
}

func (s *service) viaOnceCtx(w http.ResponseWriter, r *http.Request, own *request) {
	hand(s.onceCtx.start(s.lazyCtx), r.Context(), own, 3)
	io.WriteString(w, "ok\n")
}

func (s *service) viaOnce(w http.ResponseWriter, r *http.Request, own *request) {
	hand(s.onceNoCtx.start(s.lazyNoCtx), nil, own, 2)
	io.WriteString(w, "ok\n")
}

// mix does several of these for one request.
func (s *service) mix(w http.ResponseWriter, r *http.Request, own *request) {
	s.call(r.Context(), own, callOf{kind: "sequential", path: "/chain/"})
	s.fanOut(nil, own, "fanout-noctx")
	hand(s.poolCtx, r.Context(), own, 1)
	s.nest(r.Context(), own, "nested-ctx", 2)
	io.WriteString(w, "ok\n")
}
