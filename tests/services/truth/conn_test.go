package truth

import (
	"strings"
	"testing"
)

func lines(l *Log) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Split(strings.TrimSpace(string(l.buf)), "\n")
}

func TestRequestsSplitAtEveryByteAreTheSame(t *testing.T) {
	const in = "POST /seq/r1.2 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /leaf/r3 HTTP/1.1\r\n\r\n"
	for cut := 0; cut <= len(in); cut++ {
		log, _ := Open("a", "")
		c := &conn{log: log}
		c.feed([]byte(in[:cut]), 1)
		c.feed([]byte(in[cut:]), 2)
		c.note()
		got := lines(log)
		if len(got) != 2 || !strings.Contains(got[0], `"id":"r1.2"`) || !strings.Contains(got[1], `"id":"r3"`) {
			t.Fatalf("cut at %d: %q", cut, got)
		}
		if early := strings.Contains(got[1], `"first":1`); early != (cut > strings.Index(in, "GET")) {
			t.Fatalf("cut at %d: the second request began at %q", cut, got[1])
		}
	}
}

func TestStatusIsReadFromTheFirstWriteOnly(t *testing.T) {
	if s := status([]byte("HTTP/1.1 503 Service Unavailable\r\n")); s != 503 {
		t.Fatal(s)
	}
	if s := status([]byte("503")); s != 0 {
		t.Fatal(s)
	}
}
