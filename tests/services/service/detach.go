//go:build !go1.21

package main

import (
	"context"
	"time"
)

// detached is ctx for work that outlives its handler, as programs wrote it before Go 1.21.
func detached(ctx context.Context) context.Context { return withoutCancel{ctx} }

type withoutCancel struct{ context.Context }

func (withoutCancel) Deadline() (time.Time, bool) { return time.Time{}, false }
func (withoutCancel) Done() <-chan struct{}       { return nil }
func (withoutCancel) Err() error                  { return nil }
