package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	stdlog "log"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// serve answers requests until its input ends. Its first line on standard output tells the
// addresses for IPv4, IPv6 (- where there is none) and MPTCP (likewise).
func serve(args []string) error {
	flags := flag.NewFlagSet("serve", flag.ExitOnError)
	unix := flags.String("unix", "", "listen on this unix socket, too")
	file := flags.String("file", "", "what /file/ answers")
	next := flags.String("next", "", "base URL of what /call/ calls")
	flags.Parse(args)

	digests := &digests{}
	server := &http.Server{
		Handler:  handlers(*file, *next, digests),
		ErrorLog: stdlog.New(io.Discard, "", 0),
	}
	plain, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go server.Serve(listener{plain, digests})
	addresses := []string{plain.Addr().String()}
	var multipath net.ListenConfig
	multipath.SetMultipathTCP(true)
	var single net.ListenConfig
	single.SetMultipathTCP(false)
	for _, other := range []struct {
		config  net.ListenConfig
		address string
	}{{single, "[::1]:0"}, {multipath, "127.0.0.1:0"}} {
		l, err := other.config.Listen(context.Background(), "tcp", other.address)
		if err != nil {
			addresses = append(addresses, "-")
			continue
		}
		go server.Serve(l)
		addresses = append(addresses, l.Addr().String())
	}
	if *unix != "" {
		l, err := net.Listen("unix", *unix)
		if err != nil {
			return err
		}
		go server.Serve(l)
	}
	fmt.Println(strings.Join(addresses, " "))
	untilInputEnds()
	return nil
}

func handlers(file, next string, digests *digests) http.Handler {
	mux := http.NewServeMux()
	ok := func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header()["Date"] = nil // the same bytes each time
		io.WriteString(w, "ok\n")
	}
	mux.HandleFunc("/hello/", ok)
	mux.HandleFunc("/secret/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "session="+planted+"-set-cookie")
		ok(w, r)
	})
	mux.HandleFunc("/hold/", func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-time.After(5 * time.Second):
		}
		ok(w, r)
	})
	// Files go by sendfile.
	mux.HandleFunc("/file/", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	mux.HandleFunc("/cut/", func(w http.ResponseWriter, r *http.Request) {
		if c, _, err := w.(http.Hijacker).Hijack(); err == nil {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
			c.(interface{ SetLinger(int) error }).SetLinger(0) // a reset
			c.Close()
		}
	})
	mux.HandleFunc("/call/", func(w http.ResponseWriter, r *http.Request) {
		get(r.Context(), next+"/hello/"+r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]+".0")
		ok(w, r)
	})
	mux.HandleFunc("/digests", func(w http.ResponseWriter, r *http.Request) { digests.tell(w) })
	return mux
}

func get(ctx context.Context, url string) error {
	request, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		return err
	}
	return answered(http.DefaultClient.Do(request))
}

func answered(response *http.Response, err error) error {
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return err
	}
	if response.StatusCode != 200 {
		return fmt.Errorf("status %d", response.StatusCode)
	}
	return nil
}

// once asks for each URL once, over one pool of connections.
func once(args []string) error {
	for _, url := range args {
		if err := get(context.Background(), url); err != nil {
			return err
		}
	}
	return nil
}

const planted = "pl4nted"

// secret sends what must never be seen again.
func secret(args []string) error {
	request, err := http.NewRequest("POST", args[0]+"/secret/s1?token="+planted+"-query&q="+planted+"-value",
		strings.NewReader("password="+planted+"-body"))
	if err != nil {
		return err
	}
	request.SetBasicAuth("user", planted)
	for _, header := range []string{"X-Auth-Token", "X-Api-Key", "Proxy-Authorization"} {
		request.Header.Set(header, planted+"-"+strings.ToLower(header))
	}
	request.AddCookie(&http.Cookie{Name: "session", Value: planted + "-cookie"})
	return answered(http.DefaultClient.Do(request))
}

// brief is a service that lives 200 ms: it asks itself, and its handler asks the target.
func brief(args []string) error {
	end := time.Now().Add(200 * time.Millisecond)
	target, id := args[0], args[1]
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(l, handlers("", target, &digests{}))
	time.Sleep(50 * time.Millisecond)
	if err := get(context.Background(), "http://"+l.Addr().String()+"/call/"+id); err != nil {
		return err
	}
	time.Sleep(time.Until(end))
	os.Exit(0)
	return nil
}
