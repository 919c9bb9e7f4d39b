// Package truth writes down what really happened in a sample program, for a checker that compares
// it with what was seen from outside. Lines are kept in memory and written once a second, so that
// writing them disturbs as little as possible.
package truth

import (
	"os"
	"strconv"
	"sync"
	"time"
)

// Log collects the lines of one process.
type Log struct {
	svc  string
	mu   sync.Mutex
	buf  []byte
	file *os.File
}

// Open starts a log of service svc in a new file; no file name: nothing is written.
func Open(svc, path string) (*Log, error) {
	l := &Log{svc: svc}
	if path == "" {
		return l, nil
	}
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	l.file = f
	go func() {
		for range time.Tick(time.Second) {
			l.Flush()
		}
	}()
	return l, nil
}

// Flush writes what is in memory.
func (l *Log) Flush() {
	l.mu.Lock()
	buf := l.buf
	l.buf = nil
	l.mu.Unlock()
	if l.file != nil && len(buf) > 0 {
		l.file.Write(buf)
	}
}

// Call is a request that a program made.
type Call struct {
	ID     string // of the request made: "PARENT.INDEX", or a root's own
	Parent string // the request whose work it is, "" where there is none
	Kind   string // how the work got to the caller
	Ctx    bool   // the handler's context was passed to the call
	Start  int64  // before the call
	End    int64  // after the last byte of the body
	Err    string
}

// Call notes a finished call.
func (l *Log) Call(c Call) {
	l.line(func(b []byte) []byte {
		b = append(b, `{"t":"call"`...)
		b = text(b, "svc", l.svc)
		b = text(b, "id", c.ID)
		b = text(b, "parent", c.Parent)
		b = text(b, "kind", c.Kind)
		b = append(append(b, `,"ctx":`...), strconv.FormatBool(c.Ctx)...)
		b = number(b, "start", c.Start)
		b = number(b, "end", c.End)
		return text(b, "err", c.Err)
	})
}

// Server is a request that a program answered, as its connection saw it.
type Server struct {
	ID     string
	Path   string
	First  int64 // return of the read that brought the first byte
	Last   int64 // entry of the last write, 0: nothing was written
	Status int   // 0: no response
}

// Server notes a request whose response is over.
func (l *Log) Server(s Server) {
	l.line(func(b []byte) []byte {
		b = append(b, `{"t":"server"`...)
		b = text(b, "svc", l.svc)
		b = text(b, "id", s.ID)
		b = text(b, "path", s.Path)
		b = number(b, "first", s.First)
		b = number(b, "last", s.Last)
		return number(b, "status", int64(s.Status))
	})
}

// Window notes the time from which until which everything must have been seen.
func (l *Log) Window(from, to int64) {
	l.line(func(b []byte) []byte {
		b = append(b, `{"t":"window"`...)
		b = number(b, "from", from)
		return number(b, "to", to)
	})
}

func (l *Log) line(body func([]byte) []byte) {
	l.mu.Lock()
	l.buf = append(body(l.buf), "}\n"...)
	l.mu.Unlock()
}

func text(b []byte, key, value string) []byte {
	return strconv.AppendQuote(append(append(append(b, `,"`...), key...), `":`...), value)
}

func number(b []byte, key string, value int64) []byte {
	return strconv.AppendInt(append(append(append(b, `,"`...), key...), `":`...), value, 10)
}
