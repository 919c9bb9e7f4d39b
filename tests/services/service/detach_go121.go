//go:build go1.21

package main

import "context"

// detached is ctx for work that outlives its handler.
func detached(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }
