package main

import (
	"io"
	"math/rand"
	"net"
	"strings"
	"time"
)

// garbage does to a server what servers meet; what comes back is of no interest.
func garbage(args []string) error {
	noise := make([]byte, 20000)
	rand.New(rand.NewSource(1)).Read(noise)
	for _, text := range []string{
		string(noise),
		"GET /hello/g1 HTTP/1.1\r\nHost: x\r\nX-Half",
		"GET ",
		"POST /hello/g2 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nonly some",
		"POST /hello/g3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"POST /hello/g4 HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n",
		"GET /hello/g5 HTTP/1.1\r\nHost: x\r\nX-Long: " + strings.Repeat("a", 100000) + "\r\n\r\n",
		"GET /hello/g6 HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-Many: b\r\n", 9000) + "\r\n",
		"GET /hello/g7\x00\x00 HTTP/1.1\r\nHost: \x00\r\n\r\n",
		strings.Repeat("\x00", 5000),
		"GET /hello/g8 HTTP/1.1\r\n\r\n" + string(noise),
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + string(noise[:100]),
		"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + string(noise[:500]),
	} {
		c, err := net.Dial("tcp", args[0])
		if err != nil {
			return err
		}
		io.WriteString(c, text)
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		io.Copy(io.Discard, c)
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	// A client that leaves before the answer, and a reset in the middle of one.
	c, err := net.Dial("tcp", args[0])
	if err != nil {
		return err
	}
	io.WriteString(c, "GET /hold/g9 HTTP/1.1\r\nHost: x\r\n\r\n")
	time.Sleep(50 * time.Millisecond)
	c.Close()
	c, err = net.Dial("tcp", args[0])
	if err != nil {
		return err
	}
	defer c.Close()
	io.WriteString(c, "GET /cut/g10 HTTP/1.1\r\nHost: x\r\n\r\n")
	io.Copy(io.Discard, c)
	return nil
}
