package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"sync"
)

// blast makes requests as fast as it can: first over connections that are kept, then one for each
// connection.
func blast(args []string) error {
	flags := flag.NewFlagSet("blast", flag.ExitOnError)
	target := flags.String("target", "", "base URL of the server")
	connections := flags.Int("connections", 50, "connections at once")
	kept := flags.Int("kept", 20000, "requests on connections that are kept")
	single := flags.Int("single", 3000, "requests with a connection of their own")
	flags.Parse(args)

	if err := rush(*target+"/hello/k", *connections, *kept, false); err != nil {
		return err
	}
	return rush(*target+"/hello/s", *connections, *single, true)
}

// rush makes exactly `count` requests, each tried once.
func rush(prefix string, connections, count int, single bool) error {
	var all sync.WaitGroup
	failed := make(chan error, connections)
	for i := 0; i < connections; i++ {
		i := i
		all.Add(1)
		go func() {
			defer all.Done()
			transport := &http.Transport{DisableKeepAlives: single, DisableCompression: true}
			defer transport.CloseIdleConnections()
			for n := i; n < count; n += connections {
				request, err := http.NewRequestWithContext(context.Background(), "GET", fmt.Sprint(prefix, n), nil)
				if err == nil {
					err = answered(transport.RoundTrip(request))
				}
				if err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}
