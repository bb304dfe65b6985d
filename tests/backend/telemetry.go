package main

import (
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/pocketbase/dbx"
	"github.com/pocketbase/pocketbase/core"
	"github.com/pocketbase/pocketbase/tools/types"
)

// document is the answer of /api/v1/telemetry, its fields in the documented order.
type (
	document struct {
		Version  string         `json:"version"`
		Measured string         `json:"measured"`
		Runtime  runtimeFigures `json:"runtime"`
		Store    storeFigures   `json:"store"`
		Staging  stagingFigures `json:"staging"`
	}
	runtimeFigures struct {
		Goroutines   int    `json:"goroutines"`
		CPUCount     int    `json:"cpu_count"`
		AllocMB      uint64 `json:"alloc_mb"`
		TotalAllocMB uint64 `json:"total_alloc_mb"`
		SysMB        uint64 `json:"sys_mb"`
		NumGC        uint32 `json:"num_gc"`
		GCPauseNS    uint64 `json:"gc_pause_ns"`
	}
	storeFigures struct {
		Products  int64 `json:"products" db:"products"`
		Branches  int64 `json:"branches" db:"branches"`
		SKUs      int64 `json:"skus" db:"skus"`
		Orders    int64 `json:"orders" db:"orders"`
		Customers int64 `json:"customers" db:"customers"`
	}
	stagingFigures struct {
		Pending        int64 `json:"pending" db:"pending"`
		Processing     int64 `json:"processing" db:"processing"`
		CompletedToday int64 `json:"completed_today" db:"completed_today"`
	}
)

// telemetry measures runtime and staging for each request, and the store when its counts are older than refresh.
type telemetry struct {
	app     core.App
	refresh time.Duration

	mutex   sync.Mutex // concurrent requests count once
	store   storeFigures
	counted time.Time
}

func newTelemetry(app core.App, refresh time.Duration) *telemetry {
	return &telemetry{app: app, refresh: refresh}
}

func (t *telemetry) serve(e *core.RequestEvent) error {
	now := time.Now()
	store, err := t.countStore(now)
	if err != nil {
		return err
	}
	staging, err := t.countStaging(now)
	if err != nil {
		return err
	}
	return e.JSON(http.StatusOK, document{version, timestamp(now), readRuntime(), store, staging})
}

func readRuntime() runtimeFigures {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return runtimeFigures{
		Goroutines:   runtime.NumGoroutine(),
		CPUCount:     runtime.NumCPU(),
		AllocMB:      m.Alloc >> 20,
		TotalAllocMB: m.TotalAlloc >> 20,
		SysMB:        m.Sys >> 20,
		NumGC:        m.NumGC,
		GCPauseNS:    m.PauseNs[(m.NumGC+255)%256], // a ring: this is the last one
	}
}

// Each of the two counts is a single statement, so that its figures are of one moment.

func (t *telemetry) countStore(now time.Time) (storeFigures, error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()

	if now.Sub(t.counted) < t.refresh {
		return t.store, nil
	}
	var store storeFigures
	err := t.app.DB().NewQuery(`SELECT
		(SELECT count(*) FROM products) AS products,
		(SELECT count(*) FROM branches) AS branches,
		(SELECT count(*) FROM skus) AS skus,
		(SELECT count(*) FROM orders) AS orders,
		(SELECT count(*) FROM customers) AS customers`).One(&store)
	if err == nil {
		t.store, t.counted = store, now
	}
	return store, err
}

func (t *telemetry) countStaging(now time.Time) (staging stagingFigures, err error) {
	midnight := now.UTC().Truncate(24 * time.Hour).Format(types.DefaultDateLayout)
	err = t.app.DB().NewQuery(`SELECT
		(SELECT count(*) FROM staging WHERE status = 'pending') AS pending,
		(SELECT count(*) FROM staging WHERE status = 'processing') AS processing,
		(SELECT count(*) FROM staging WHERE status = 'completed' AND completed >= {:midnight}) AS completed_today`).
		Bind(dbx.Params{"midnight": midnight}).One(&staging)
	return staging, err
}
