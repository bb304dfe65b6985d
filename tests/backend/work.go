package main

import (
	"context"
	"fmt"
	"log"
	"math"
	"math/rand/v2"
	"time"

	"github.com/pocketbase/dbx"
	"github.com/pocketbase/pocketbase/core"
	"github.com/pocketbase/pocketbase/tools/types"
)

// worker keeps the shop busy: orders arrive, and their items pass through staging.
// A little more can be finished than arrives, so that a backlog melts.
type worker struct {
	app    core.App
	faults *faults

	batch    int           // orders of one step, on average
	interval time.Duration // between two steps
	orders   int           // so far: numbers the next one
}

const stepsPerSecondMax = 20

func newWorker(app core.App, rate float64, faults *faults) *worker {
	batch := max(1, math.Round(rate/stepsPerSecondMax))
	interval := time.Duration(batch / rate * float64(time.Second))
	return &worker{app: app, faults: faults, batch: int(batch), interval: interval}
}

func (w *worker) run(ctx context.Context) {
	tick := time.NewTicker(w.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := w.app.RunInTransaction(w.step); err != nil {
				log.Printf("work: %v", err)
			}
		}
	}
}

func (w *worker) step(tx core.App) error {
	if err := w.move(tx, processing, completed, rand.IntN(3*w.batch+1)); err != nil {
		return err
	}
	if !w.faults.stalled.Load() {
		busy, err := tx.CountRecords("staging", dbx.HashExp{"status": processing})
		if err != nil {
			return err
		}
		if err := w.move(tx, pending, processing, 12*w.batch-int(busy)); err != nil {
			return err
		}
	}
	return w.receive(tx, rand.IntN(2*w.batch+1))
}

// move takes the oldest items of one state, at most limit, to the next.
func (w *worker) move(tx core.App, from, to string, limit int) error {
	if limit <= 0 {
		return nil
	}
	var items []*core.Record
	err := tx.RecordQuery("staging").
		AndWhere(dbx.HashExp{"status": from}).
		OrderBy("rowid").Limit(int64(limit)).All(&items)
	if err != nil {
		return err
	}
	for _, item := range items {
		item.Set("status", to)
		if to == completed {
			item.Set("completed", types.NowDateTime())
		}
		if err := tx.Save(item); err != nil {
			return err
		}
	}
	return nil
}

// receive takes new orders in, each with its item in staging.
func (w *worker) receive(tx core.App, count int) error {
	if w.orders == 0 {
		known, err := tx.CountRecords("orders")
		if err != nil {
			return err
		}
		w.orders = int(known)
	}
	for range count {
		number := fmt.Sprintf("L%07d", w.orders)
		if err := create(tx, "orders", map[string]any{"number": number, "total": 5 + rand.IntN(1000)}); err != nil {
			return err
		}
		if err := create(tx, "staging", map[string]any{"reference": number, "status": pending}); err != nil {
			return err
		}
		w.orders++
	}
	return nil
}

func create(tx core.App, name string, fields map[string]any) error {
	collection, err := tx.FindCachedCollectionByNameOrId(name)
	if err != nil {
		return err
	}
	record := core.NewRecord(collection)
	record.Load(fields)
	return tx.Save(record)
}
