// Command odd is what sample services are not: servers and clients that use connections in the
// less usual ways, break off, or talk rubbish. Every request's path ends in an id of its own.
package main

import (
	"fmt"
	"io"
	"os"
	"time"
)

var tasks = map[string]func(args []string) error{
	"serve":  serve,
	"blast":  blast,
	"stream": stream,
	"brief":  brief,
	"once":   once,
	"flash":  once,
	"secret": secret,

	"pipelined":   pipelined,
	"half-closed": halfClosed,
	"kept":        kept,
	"large":       large,
	"unix":        overUnix,
	"mptcp":       overMPTCP,
	"spliced":     spliced,
	"tls":         overTLS,

	"garbage": garbage,
}

func main() {
	if len(os.Args) < 2 || tasks[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "error: say what to do")
		os.Exit(2)
	}
	// An agent that is told whom to trace reads in /proc who it is.
	if task := os.Args[1]; task != "flash" && task != "brief" {
		time.Sleep(150 * time.Millisecond)
	}
	if err := tasks[os.Args[1]](os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// untilInputEnds lets a program end with the one that started it.
func untilInputEnds() { io.Copy(io.Discard, os.Stdin) }
