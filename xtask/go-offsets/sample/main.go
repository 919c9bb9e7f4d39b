// Command sample uses all types whose offsets are wanted, so that the linker describes them.
package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "hi") })
	mux.HandleFunc("/call/", func(w http.ResponseWriter, r *http.Request) {
		var all sync.WaitGroup
		all.Add(1)
		go func() {
			defer all.Done()
			req, err := http.NewRequestWithContext(r.Context(), "GET", "http://"+r.Host+"/hello", nil)
			if err != nil {
				return
			}
			if resp, err := http.DefaultClient.Do(req); err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
		}()
		all.Wait()
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(listener.Addr())
	// Middleware that copies the request: the pattern is set on the copy.
	http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mux.ServeHTTP(w, r.WithContext(r.Context()))
	}))
}
