package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
)

// overTLS talks TLS to itself: some requests on each of some connections.
func overTLS([]string) error {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello")
	}))
	defer server.Close()
	client := server.Client()
	for connection := 0; connection < 5; connection++ {
		for request := 0; request < 3; request++ {
			response, err := client.Get(server.URL)
			if err != nil {
				return err
			}
			io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		client.CloseIdleConnections()
	}
	return nil
}
