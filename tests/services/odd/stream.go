package main

import (
	"bufio"
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand"
	"net"
	"net/http"
	"sort"
	"strings"
	"sync"
	"time"
)

// digests are of what the server's ended connections read and wrote.
type digests struct {
	mu    sync.Mutex
	lines []string
}

func (d *digests) tell(w io.Writer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	sort.Strings(d.lines)
	io.WriteString(w, strings.Join(d.lines, "\n"))
	d.lines = nil
}

type listener struct {
	net.Listener
	digests *digests
}

func (l listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &hashed{TCPConn: c.(*net.TCPConn), in: sha256.New(), out: sha256.New(), digests: l.digests}, nil
}

// hashed is a connection that hashes what goes through it.
type hashed struct {
	*net.TCPConn
	mu      sync.Mutex
	in, out hash.Hash
	moved   int
	digests *digests
}

func (c *hashed) Read(b []byte) (int, error) {
	n, err := c.TCPConn.Read(b)
	c.mu.Lock()
	c.in.Write(b[:n])
	c.moved += n
	c.mu.Unlock()
	return n, err
}

func (c *hashed) Write(b []byte) (int, error) {
	n, err := c.TCPConn.Write(b)
	c.mu.Lock()
	c.out.Write(b[:n])
	c.moved += n
	c.mu.Unlock()
	return n, err
}

// ReadFrom keeps sendfile and splice, which hashing would else switch off. Its bytes are not hashed.
func (c *hashed) ReadFrom(r io.Reader) (int64, error) { return c.TCPConn.ReadFrom(r) }

func (c *hashed) Close() error {
	c.mu.Lock()
	line := fmt.Sprintf("%x %x", c.in.Sum(nil), c.out.Sum(nil))
	noted := c.moved > 0 && c.digests != nil
	c.moved = 0
	c.mu.Unlock()
	if noted {
		c.digests.mu.Lock()
		c.digests.lines = append(c.digests.lines, line)
		c.digests.mu.Unlock()
	}
	return c.TCPConn.Close()
}

const streams = 8

// stream sends the same pseudo-random requests each time it runs, in pieces of pseudo-random
// sizes, and prints the digests of each connection as the server should have seen it; it fails
// where the server has seen something else.
func stream(args []string) error {
	address := args[0]
	ask := func() (string, error) {
		response, err := http.Get("http://" + address + "/digests")
		if err != nil {
			return "", err
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		return string(body), err
	}
	http.DefaultTransport.(*http.Transport).DisableKeepAlives = false
	if _, err := ask(); err != nil {
		return err
	}
	lines := make([]string, streams)
	errs := make([]error, streams)
	var all sync.WaitGroup
	for i := range lines {
		i := i
		all.Add(1)
		go func() {
			defer all.Done()
			lines[i], errs[i] = one(address, int64(i))
		}()
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	sort.Strings(lines)
	want := strings.Join(lines, "\n")
	seen := ""
	for tries := 0; strings.Count(seen, "\n") != streams-1; tries++ {
		if tries == 50 {
			return fmt.Errorf("the server closed only some connections:\n%s", seen)
		}
		time.Sleep(100 * time.Millisecond)
		more, err := ask()
		if err != nil {
			return err
		}
		both := strings.Fields(strings.ReplaceAll(seen+"\n"+more, " ", "_"))
		sort.Strings(both)
		seen = strings.ReplaceAll(strings.Join(both, "\n"), "_", " ")
	}
	if seen != want {
		return fmt.Errorf("sent and received:\n%s\nseen by the server:\n%s", want, seen)
	}
	fmt.Println(want)
	return nil
}

// one connection: pseudo-random requests, the last of which closes it.
func one(address string, seed int64) (string, error) {
	random := rand.New(rand.NewSource(seed))
	c, err := net.Dial("tcp4", address)
	if err != nil {
		return "", err
	}
	conn := &hashed{TCPConn: c.(*net.TCPConn), in: sha256.New(), out: sha256.New()}
	defer conn.Close()
	answers := bufio.NewReader(struct{ io.Reader }{conn})
	const requests = 60
	for n := 0; n < requests; n++ {
		for text := request(random, seed, n, n == requests-1); len(text) > 0; {
			size := 1 + random.Intn(9000)
			if size > len(text) {
				size = len(text)
			}
			if _, err := conn.Write(text[:size]); err != nil {
				return "", err
			}
			text = text[size:]
		}
		if err := read(answers, 1); err != nil {
			return "", err
		}
	}
	if _, err := io.Copy(io.Discard, answers); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x %x", conn.out.Sum(nil), conn.in.Sum(nil)), nil
}

func request(random *rand.Rand, seed int64, n int, last bool) []byte {
	body := make([]byte, random.Intn(20000))
	random.Read(body)
	head := fmt.Sprintf("POST /hello/x%d-%d HTTP/1.1\r\nHost: x\r\nAuthorization: Basic %x\r\n", seed, n, body[:len(body)%17])
	if last {
		head += "Connection: close\r\n"
	}
	if n%3 == 0 {
		return append([]byte(fmt.Sprintf("%sTransfer-Encoding: chunked\r\n\r\n%x\r\n", head, len(body)+1)),
			append(append(body, '!'), "\r\n0\r\n\r\n"...)...)
	}
	return append([]byte(fmt.Sprintf("%sContent-Length: %d\r\n\r\n", head, len(body))), body...)
}
