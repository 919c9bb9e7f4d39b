// Command blast sends small requests at a steady rate over kept connections and prints one JSON
// line: what it sent, and how long answers took.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sort"
	"sync"
	"time"
)

func main() {
	target := flag.String("target", "", "base URL of the server")
	clients := flag.Int("clients", 16, "connections")
	rate := flag.Int("rate", 4000, "requests a second, in all (0: as fast as answers come)")
	last := flag.Duration("for", 5*time.Second, "how long")
	flag.Parse()

	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: *clients, DisableCompression: true}}
	var all sync.WaitGroup
	took := make([][]time.Duration, *clients)
	errors := make([]int, *clients)
	begin := time.Now()
	for i := 0; i < *clients; i++ {
		i := i
		all.Add(1)
		go func() {
			defer all.Done()
			every := time.Duration(0)
			if *rate > 0 {
				every = time.Second * time.Duration(*clients) / time.Duration(*rate)
			}
			due := begin.Add(every * time.Duration(i) / time.Duration(*clients))
			for time.Since(begin) < *last {
				time.Sleep(time.Until(due))
				due = due.Add(every)
				start := time.Now()
				resp, err := client.Get(*target + "/hello/x")
				if err != nil {
					errors[i]++
					continue
				}
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				took[i] = append(took[i], time.Since(start))
			}
		}()
	}
	all.Wait()
	seconds := time.Since(begin).Seconds()

	var sorted []time.Duration
	failed := 0
	for i := range took {
		sorted = append(sorted, took[i]...)
		failed += errors[i]
	}
	sort.Slice(sorted, func(a, b int) bool { return sorted[a] < sorted[b] })
	if len(sorted) == 0 {
		fmt.Fprintln(os.Stderr, "error: no request was answered")
		os.Exit(1)
	}
	us := func(percent int) float64 { return float64(sorted[(len(sorted)-1)*percent/100].Microseconds()) }
	json.NewEncoder(os.Stdout).Encode(map[string]any{
		"requests": len(sorted), "errors": failed, "seconds": seconds, "p50_us": us(50), "p99_us": us(99),
	})
}
