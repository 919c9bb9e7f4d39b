// Command load sends requests to a sample service from concurrent clients and writes the ground
// truth of what it sent.
package main

import (
	"flag"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"threadline/services/truth"
)

// paths are what is asked for where -paths does not say. Those that end a request without an
// answer are POSTs, which net/http does not send again.
const paths = "chain,seq,fan-ctx,fan,nested-ctx,nested,pool-ctx,pool,once-ctx,mix,mix,fail,POST:abort," +
	"POST:panic,late-ctx,late,mw,client-timeout,timeout,retry"

func main() {
	target := flag.String("target", "", "base URL of the service")
	clients := flag.Int("clients", 8, "concurrent clients")
	last := flag.Duration("for", 20*time.Second, "how long")
	count := flag.Int64("requests", 0, "stop after so many requests (0: by time only)")
	pause := flag.Duration("pause", 0, "longest pause of a client between two requests")
	which := flag.String("paths", paths, "handlers to call, comma-separated")
	truthFile := flag.String("truth", "", "file for the ground truth")
	settle := flag.Duration("settle", 300*time.Millisecond, "wait at the end for work the services still do")
	flag.Parse()

	log, err := truth.Open("load", *truthFile)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	rand.Seed(time.Now().UnixNano())
	l := &load{log: log, target: *target, count: *count, until: time.Now().Add(*last)}
	for _, p := range strings.Split(*which, ",") {
		r := route{"GET", p}
		if i := strings.IndexByte(p, ':'); i >= 0 {
			r = route{p[:i], p[i+1:]}
		}
		l.routes = append(l.routes, r)
	}
	l.client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *clients, DisableCompression: true}}

	from := truth.Now()
	var all sync.WaitGroup
	for i := 0; i < *clients; i++ {
		all.Add(1)
		go func() {
			defer all.Done()
			l.run(*pause)
		}()
	}
	all.Wait()
	took := truth.Now() - from
	time.Sleep(*settle)
	log.Window(from, truth.Now())
	log.Flush()
	fmt.Printf("%d requests in %.1f s, %d of them without an answer\n", l.sent, float64(took)/1e9, l.failed)
}

type route struct{ method, name string }

type load struct {
	log    *truth.Log
	client *http.Client
	target string
	routes []route
	count  int64
	until  time.Time

	next, sent, failed int64
}

// run is one client: one request after the other.
func (l *load) run(pause time.Duration) {
	for time.Now().Before(l.until) {
		n := atomic.AddInt64(&l.next, 1) - 1
		if l.count > 0 && n >= l.count {
			return
		}
		l.one(n, l.routes[n%int64(len(l.routes))])
		if pause > 0 {
			time.Sleep(time.Duration(rand.Int63n(int64(pause))))
		}
	}
}

func (l *load) one(n int64, r route) {
	id := fmt.Sprintf("r%d", n)
	body := io.Reader(nil)
	if r.method == "POST" {
		body = strings.NewReader("body")
	}
	req, err := http.NewRequest(r.method, l.target+"/"+r.name+"/"+id, body)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	note := truth.Call{ID: id, Kind: "root", Start: truth.Now()}
	resp, err := l.client.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	note.End = truth.Now()
	atomic.AddInt64(&l.sent, 1)
	if err != nil {
		note.Err = err.Error()
		atomic.AddInt64(&l.failed, 1)
	}
	l.log.Call(note)
}
