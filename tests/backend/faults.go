package main

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/pocketbase/pocketbase/core"
)

// faults are the planted illnesses that the document tells operators to look for.
type faults struct {
	leakRate atomic.Uint64 // goroutines a second
	stalled  atomic.Bool   // nothing goes from pending to processing
}

type faultState struct {
	LeakRate uint64 `json:"leak_rate"`
	Stalled  bool   `json:"stalled"`
}

func (f *faults) addRoutes(r *routes, apiKey string) {
	r.POST("/faults/leak", func(e *core.RequestEvent) error {
		rate, err := strconv.ParseUint(e.Request.URL.Query().Get("rate"), 10, 16)
		if err != nil {
			return e.BadRequestError("rate must be goroutines a second, 0 to 65535", nil)
		}
		f.leakRate.Store(rate)
		return f.answer(e)
	}).BindFunc(requireKey(apiKey))

	r.POST("/faults/stall", func(e *core.RequestEvent) error {
		on, err := strconv.ParseBool(e.Request.URL.Query().Get("on"))
		if err != nil {
			return e.BadRequestError("on must be true or false", nil)
		}
		f.stalled.Store(on)
		return f.answer(e)
	}).BindFunc(requireKey(apiKey))
}

func (f *faults) answer(e *core.RequestEvent) error {
	return e.JSON(http.StatusOK, faultState{f.leakRate.Load(), f.stalled.Load()})
}

// leak starts goroutines that never end. Rate 0 starts no more of them, but frees none.
func (f *faults) leak(ctx context.Context) {
	const ticksPerSecond = 10
	tick := time.NewTicker(time.Second / ticksPerSecond)
	defer tick.Stop()

	var owed uint64 // in tenths of a goroutine
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for owed += f.leakRate.Load(); owed >= ticksPerSecond; owed -= ticksPerSecond {
				go func() { <-ctx.Done() }()
			}
		}
	}
}
