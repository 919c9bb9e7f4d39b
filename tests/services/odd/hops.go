package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// asked is a raw request.
func asked(id string) string { return "GET /hello/" + id + " HTTP/1.1\r\nHost: x\r\n\r\n" }

// read takes responses off a connection.
func read(r *bufio.Reader, count int) error {
	for i := 0; i < count; i++ {
		if err := answered(http.ReadResponse(r, nil)); err != nil {
			return err
		}
	}
	return nil
}

// pipelined sends three requests at once, twice, the second time cut in odd places.
func pipelined(args []string) error {
	c, err := net.Dial("tcp", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	io.WriteString(c, asked("p0")+asked("p1")+asked("p2"))
	if err := read(answers, 3); err != nil {
		return err
	}
	text := asked("p3") + asked("p4") + asked("p5")
	for _, piece := range []string{text[:50], text[50:52], text[52:]} {
		io.WriteString(c, piece)
	}
	return read(answers, 3)
}

// halfClosed sends its last request and the end of the stream, then reads.
func halfClosed(args []string) error {
	c, err := net.Dial("tcp", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	io.WriteString(c, asked("h0"))
	if err := read(answers, 1); err != nil {
		return err
	}
	io.WriteString(c, asked("h1"))
	c.(*net.TCPConn).CloseWrite()
	return read(answers, 1)
}

// kept makes a request, says so, and makes more on the same connection when it is told to: the
// agent came in between.
func kept(args []string) error {
	c, err := net.Dial("tcp", args[0])
	if err != nil {
		return err
	}
	answers := bufio.NewReader(c)
	io.WriteString(c, asked("o0"))
	if err := read(answers, 1); err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := os.Stdin.Read(make([]byte, 1)); err != nil {
		return err
	}
	for _, id := range []string{"o1", "o2", "o3"} {
		io.WriteString(c, asked(id))
		if err := read(answers, 1); err != nil {
			return err
		}
	}
	return c.Close()
}

// large moves more than 4 GiB before its last request.
func large(args []string) error {
	const size = 9 << 29 // 4.5 GiB
	c, err := net.Dial("tcp", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	fmt.Fprintf(c, "POST /hello/l0 HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", uint64(size))
	zeroes := make([]byte, 4<<20)
	for sent := uint64(0); sent < size; sent += uint64(len(zeroes)) {
		if _, err := c.Write(zeroes); err != nil {
			return err
		}
	}
	if err := read(answers, 1); err != nil {
		return err
	}
	io.WriteString(c, asked("l1"))
	return read(answers, 1)
}

// over makes requests through a dialler.
func over(id string, dial func(ctx context.Context, network, address string) (net.Conn, error), address string) error {
	client := &http.Client{Transport: &http.Transport{DialContext: dial}}
	for i := 0; i < 3; i++ {
		if err := answered(client.Get(fmt.Sprintf("http://%s/hello/%s%d", address, id, i))); err != nil {
			return err
		}
	}
	return nil
}

func overUnix(args []string) error {
	return over("u", func(ctx context.Context, _, _ string) (net.Conn, error) {
		return net.Dial("unix", args[0])
	}, "x")
}

func overMPTCP(args []string) error {
	var dialler net.Dialer
	dialler.SetMultipathTCP(true)
	return over(args[1], dialler.DialContext, args[0])
}

// spliced makes requests whose bodies go by sendfile (from a file) and by splice (from another
// connection), and asks for a file, each followed by a plain request on the same connection.
func spliced(args []string) error {
	address, name := args[0], args[1]
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	follow := func(id, first string, body func() (io.Reader, error)) error {
		if _, err := io.WriteString(c, first); err != nil {
			return err
		}
		if body != nil {
			from, err := body()
			if err != nil {
				return err
			}
			if _, err := c.(*net.TCPConn).ReadFrom(from); err != nil {
				return err
			}
		}
		if err := read(answers, 1); err != nil {
			return err
		}
		io.WriteString(c, asked(id))
		return read(answers, 1)
	}
	post := func(id string, n int64) string {
		return fmt.Sprintf("POST /hello/%s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", id, n)
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if err := follow("f1", post("f0", info.Size()), func() (io.Reader, error) { return file, nil }); err != nil {
		return err
	}
	if err := follow("f3", strings.Replace(asked("f2"), "hello", "file", 1), nil); err != nil {
		return err
	}
	const piece = 300000
	return follow("f5", post("f4", piece), func() (io.Reader, error) { return pipe(piece) })
}

// pipe gives a connection that so many bytes come out of.
func pipe(n int) (io.Reader, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	go func() {
		if c, err := net.Dial("tcp4", l.Addr().String()); err == nil {
			c.Write(make([]byte, n))
			c.Close()
		}
	}()
	return l.Accept()
}
