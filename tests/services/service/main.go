// Command service is a sample HTTP service that knows nothing of tracing. Run under the names a,
// b and c it forms a chain; its handlers hand their work on in the ways real services do.
//
// Each request carries its id as the last segment of its path: the id of a call is the id of the
// request whose work it is, a dot and a number. That, written down by package truth, is the ground
// truth a tracer is compared with; the ids are nothing to the tracer but a path.
package main

import (
	"flag"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"syscall"
	"time"

	"threadline/services/truth"
)

// service is one running service: how it calls others, and the pools its handlers use.
type service struct {
	name   string
	log    *truth.Log
	client *http.Client
	next   []string // base URLs: the service after this one in the chain, then the one after that

	poolCtx   chan job // read by workers started with the program
	pool      chan job
	onceCtx   lazyPool // its workers are started by the first handler that needs them
	onceNoCtx lazyPool
}

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address to listen on")
	truthFile := flag.String("truth", "", "file for the ground truth (none: not written)")
	tick := flag.Duration("tick", 0, "call out from the background this often (0: never)")
	idle := flag.Duration("idle", 2*time.Minute, "close connections idle for so long")
	follow := flag.Bool("follow-stdin", false, "exit when standard input ends")
	plain := flag.Bool("plain", false, "leave the server's connections unwrapped (no ground truth of the server)")
	flag.Parse()

	name := filepath.Base(os.Args[0])
	log, err := truth.Open(name, *truthFile)
	check(err)
	s := newService(name, log, flag.Args())

	l, err := net.Listen("tcp", *listen)
	check(err)
	// The first line on standard output tells where it listens.
	fmt.Println(l.Addr())
	if !*plain {
		l = truth.Listener{Listener: l, Log: log}
	}
	server := &http.Server{
		Handler:     s.routes(),
		IdleTimeout: *idle,
		ErrorLog:    stdlog.New(io.Discard, "", 0), // panicking handlers are part of the show
	}
	go server.Serve(l)
	if *tick > 0 {
		go s.ticker(*tick)
	}

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	if *follow {
		go func() {
			io.Copy(io.Discard, os.Stdin)
			stop <- os.Interrupt
		}()
	}
	<-stop
	server.Close()
	log.Flush()
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func newService(name string, log *truth.Log, next []string) *service {
	s := &service{
		name: name,
		log:  log,
		next: next,
		client: &http.Client{Transport: &http.Transport{
			MaxIdleConnsPerHost: 1024,
			DisableCompression:  true,
		}},
		poolCtx: make(chan job),
		pool:    make(chan job),
	}
	for i := 0; i < 2*runtime.NumCPU(); i++ {
		go s.workCtx(s.poolCtx)
		go s.work(s.pool)
	}
	return s
}

// ticker calls out in the background, for no request's sake.
func (s *service) ticker(every time.Duration) {
	own := &request{id: "t" + s.name}
	for range time.Tick(every) {
		s.call(nil, own, callOf{kind: "ticker", path: "/leaf/", hop: len(s.next) - 1})
	}
}

// request is what handlers know of the request they work for.
type request struct {
	id    string
	calls int64
}

func (r *request) child() string {
	return fmt.Sprintf("%s.%d", r.id, atomic.AddInt64(&r.calls, 1)-1)
}
