package main

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/pocketbase/pocketbase/core"
)

// measure is a writer at a steady rate, and what it saw: who else uses the database must not slow it down.
type measure struct {
	worker *worker
	wal    string

	times       []time.Duration
	walPeak     int64
	checkpoints []time.Duration
	busy        int
}

// measured is the answer. A transaction's time goes from when it was due if the one before was in its way, so that
// a stall counts for everything that it held up.
type measured struct {
	Transactions    int     `json:"transactions"`
	Seconds         float64 `json:"seconds"`
	P50             int64   `json:"p50_us"`
	P99             int64   `json:"p99_us"`
	Max             int64   `json:"max_us"`
	WALPeak         int64   `json:"wal_peak_bytes"`
	Checkpoints     int     `json:"checkpoints"`
	CheckpointsBusy int     `json:"checkpoints_busy"`
	CheckpointMax   int64   `json:"checkpoint_max_us"`
}

// addMeasureRoute serves a round of writing: so many transactions a second for so long, with a checkpoint as
// PocketBase makes one at midnight every so often, or never.
func addMeasureRoute(r *routes, app core.App, apiKey string) {
	r.POST("/measure", func(e *core.RequestEvent) error {
		query := e.Request.URL.Query()
		rate, errRate := strconv.ParseFloat(query.Get("rate"), 64)
		length, errLength := time.ParseDuration(query.Get("for"))
		checkpoint, errCheckpoint := time.ParseDuration(query.Get("checkpoint"))
		if errRate != nil || errLength != nil || errCheckpoint != nil || rate <= 0 || length <= 0 {
			return e.BadRequestError("rate must be transactions a second, for and checkpoint durations (0s: no checkpoint)", nil)
		}
		m := measure{worker: newWorker(app, rate, new(faults)), wal: filepath.Join(app.DataDir(), "data.db-wal")}
		result, err := m.run(e.Request.Context(), rate, length, checkpoint)
		if err != nil {
			return err
		}
		return e.JSON(http.StatusOK, result)
	}).BindFunc(requireKey(apiKey))
}

func (m *measure) run(ctx context.Context, rate float64, length, checkpoint time.Duration) (measured, error) {
	// The WAL never shrinks by itself: each round begins with an empty one.
	if err := m.checkpoint(); err != nil {
		return measured{}, err
	}
	m.checkpoints, m.busy = nil, 0

	gap := time.Duration(float64(time.Second) / rate)
	began := time.Now()
	next := began.Add(checkpoint)
	for due := began; due.Before(began.Add(length)) && ctx.Err() == nil; due = due.Add(gap) {
		from := due
		if early := time.Until(due); early > 0 {
			time.Sleep(early)
			from = time.Now() // how late a timer wakes is not the database's doing
		}
		if err := m.worker.app.RunInTransaction(m.transaction); err != nil {
			return measured{}, err
		}
		m.times = append(m.times, time.Since(from))
		if info, err := os.Stat(m.wal); err == nil {
			m.walPeak = max(m.walPeak, info.Size())
		}
		if checkpoint > 0 && time.Now().After(next) {
			if err := m.checkpoint(); err != nil {
				return measured{}, err
			}
			next = time.Now().Add(checkpoint)
		}
	}
	return m.result(time.Since(began)), ctx.Err()
}

// transaction takes an order in, and completes the oldest item that waits.
func (m *measure) transaction(tx core.App) error {
	if err := m.worker.receive(tx, 1); err != nil {
		return err
	}
	return m.worker.move(tx, pending, completed, 1)
}

// checkpoint is what PocketBase does at 00:00 UTC.
func (m *measure) checkpoint() error {
	var busy, pages, moved int
	began := time.Now()
	err := m.worker.app.NonconcurrentDB().NewQuery("PRAGMA wal_checkpoint(TRUNCATE)").Row(&busy, &pages, &moved)
	m.checkpoints = append(m.checkpoints, time.Since(began))
	m.busy += busy
	return err
}

func (m *measure) result(took time.Duration) measured {
	slices.Sort(m.times)
	last := len(m.times) - 1
	r := measured{
		Transactions:    len(m.times),
		Seconds:         took.Seconds(),
		P50:             m.times[last*50/100].Microseconds(),
		P99:             m.times[last*99/100].Microseconds(),
		Max:             m.times[last].Microseconds(),
		WALPeak:         m.walPeak,
		Checkpoints:     len(m.checkpoints),
		CheckpointsBusy: m.busy,
	}
	if len(m.checkpoints) > 0 {
		r.CheckpointMax = slices.Max(m.checkpoints).Microseconds()
	}
	return r
}
