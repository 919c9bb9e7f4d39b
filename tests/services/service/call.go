package main

import (
	"context"
	"io"
	"net/http"
	"strings"
	"time"

	"threadline/services/truth"
)

// callOf says what to call and how the ground truth names it.
type callOf struct {
	kind    string // how the work got here
	path    string // pattern to call, ends in a slash
	hop     int    // which of the services after this one
	method  string // GET
	body    string
	timeout time.Duration // the client gives up after so long
}

// call makes one request for r, with the context where it is not nil, reads the whole answer and
// notes both. A service at the end of the chain calls nobody.
func (s *service) call(ctx context.Context, r *request, c callOf) error {
	if len(s.next) == 0 {
		return nil
	}
	if c.hop >= len(s.next) {
		c.hop = len(s.next) - 1
	}
	note := truth.Call{ID: r.child(), Kind: c.kind, Ctx: ctx != nil}
	if c.kind != "ticker" {
		note.Parent = r.id
	}
	req, err := newRequest(ctx, c, s.next[c.hop]+c.path+note.ID)
	if err != nil {
		return err
	}
	client := s.client
	if c.timeout > 0 {
		client = &http.Client{Transport: s.client.Transport, Timeout: c.timeout}
	}
	note.Start = truth.Now()
	resp, err := client.Do(req)
	if err == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
	note.End = truth.Now()
	if err != nil {
		note.Err = err.Error()
	}
	s.log.Call(note)
	return err
}

func newRequest(ctx context.Context, c callOf, url string) (*http.Request, error) {
	method, body := "GET", io.Reader(nil)
	if c.method != "" {
		method = c.method
	}
	if c.body != "" {
		body = strings.NewReader(c.body)
	}
	if ctx == nil {
		return http.NewRequest(method, url, body)
	}
	return http.NewRequestWithContext(ctx, method, url, body)
}
