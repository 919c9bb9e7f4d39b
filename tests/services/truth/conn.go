package truth

import (
	"bytes"
	"net"
	"strconv"
	"strings"
	"sync"
)

// Listener stamps what its connections read and write.
type Listener struct {
	net.Listener
	Log *Log
}

// Accept wraps the next connection.
func (l Listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &conn{Conn: c, log: l.Log}, nil
}

// conn follows one server connection: which request is on it, when it came and when its response
// left. One request at a time, as net/http serves them.
type conn struct {
	net.Conn
	log *Log

	mu   sync.Mutex
	head []byte // of the request that is coming in
	body int    // bytes of its body still to come
	busy bool   // a request has begun and is not noted yet
	now  Server // that request
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		at := Now()
		c.mu.Lock()
		c.feed(b[:n], at)
		c.mu.Unlock()
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.now.Last = Now()
	if c.now.Status == 0 {
		c.now.Status = status(b)
	}
	c.mu.Unlock()
	return c.Conn.Write(b)
}

func (c *conn) Close() error {
	c.mu.Lock()
	c.note()
	c.mu.Unlock()
	return c.Conn.Close()
}

// CloseWrite is what net/http looks for on a connection.
func (c *conn) CloseWrite() error {
	if half, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return nil
}

// feed takes bytes that arrived. The first byte after a whole request begins the next one, and
// only then is it known that the last write of the one before was its last.
func (c *conn) feed(b []byte, at int64) {
	for len(b) > 0 {
		if c.body > 0 {
			n := min(c.body, len(b))
			c.body -= n
			b = b[n:]
			continue
		}
		if len(c.head) == 0 {
			c.note()
			c.busy, c.now = true, Server{First: at}
		}
		held := len(c.head)
		c.head = append(c.head, b...)
		end := bytes.Index(c.head, []byte("\r\n\r\n"))
		if end < 0 {
			return
		}
		b = b[end+4-held:]
		c.now.Path, c.now.ID, c.body = parse(c.head[:end])
		c.head = c.head[:0]
	}
}

func (c *conn) note() {
	if c.busy && c.now.ID != "" {
		c.log.Server(c.now)
	}
	c.busy, c.now = false, Server{}
}

// parse reads path, id (the path's last segment) and body length of a request's header block.
func parse(head []byte) (path, id string, body int) {
	lines := strings.Split(string(head), "\r\n")
	if words := strings.Fields(lines[0]); len(words) == 3 {
		path = words[1]
		id = ID(path)
	}
	for _, line := range lines[1:] {
		if i := strings.IndexByte(line, ':'); i > 0 && strings.EqualFold(line[:i], "content-length") {
			body, _ = strconv.Atoi(strings.TrimSpace(line[i+1:]))
		}
	}
	return path, id, body
}

// ID is the request's id: the last segment of its path.
func ID(path string) string {
	return path[strings.LastIndexByte(path, '/')+1:]
}

func status(b []byte) int {
	if len(b) < 12 || !bytes.HasPrefix(b, []byte("HTTP/1.")) {
		return 0
	}
	n, _ := strconv.Atoi(string(b[9:12]))
	return n
}

func min(a, b int) int {
	if a < b {
		return a
	}
	return b
}
