package main

import (
	"context"
	"sync"
)

// job is one piece of a handler's work, handed to a pool.
type job struct {
	ctx  context.Context // nil: the handler kept it to itself
	req  *request
	done chan<- error
}

// Two pools, two worker functions: a tracer may learn from one what it must not use for the other.

func (s *service) workCtx(jobs <-chan job) {
	for j := range jobs {
		j.done <- s.call(j.ctx, j.req, callOf{kind: "pool-ctx", path: "/leaf/", hop: 1})
	}
}

func (s *service) work(jobs <-chan job) {
	for j := range jobs {
		j.done <- s.call(nil, j.req, callOf{kind: "pool-noctx", path: "/leaf/", hop: 1})
	}
}

// lazyPool starts its workers on first use, so that they descend from whichever handler came first.
type lazyPool struct {
	once sync.Once
	jobs chan job
}

const lazyWorkers = 4

func (p *lazyPool) start(worker func(<-chan job)) chan<- job {
	p.once.Do(func() {
		p.jobs = make(chan job)
		for i := 0; i < lazyWorkers; i++ {
			go worker(p.jobs)
		}
	})
	return p.jobs
}

func (s *service) lazyCtx(jobs <-chan job) {
	for j := range jobs {
		j.done <- s.call(j.ctx, j.req, callOf{kind: "once-pool-ctx", path: "/leaf/"})
	}
}

func (s *service) lazyNoCtx(jobs <-chan job) {
	for j := range jobs {
		j.done <- s.call(nil, j.req, callOf{kind: "once-pool-noctx", path: "/leaf/"})
	}
}

// hand gives n jobs to a pool and waits for them all.
func hand(pool chan<- job, ctx context.Context, r *request, n int) {
	done := make(chan error, n)
	for i := 0; i < n; i++ {
		pool <- job{ctx, r, done}
	}
	for i := 0; i < n; i++ {
		<-done
	}
}
