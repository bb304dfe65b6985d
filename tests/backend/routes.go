package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"expvar"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/pocketbase/pocketbase/apis"
	"github.com/pocketbase/pocketbase/core"
	"github.com/pocketbase/pocketbase/tools/router"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

type (
	handler = func(*core.RequestEvent) error
	routes  = router.Router[*core.RequestEvent]

	pong struct {
		Message   string `json:"message"`
		Timestamp string `json:"timestamp"`
	}
	health struct {
		Status      string `json:"status"`
		Version     string `json:"version"`
		Environment string `json:"environment"`
		Timestamp   string `json:"timestamp"`
	}
	// A struct, because PocketBase sorts the keys of a map.
	failure struct {
		Code    int    `json:"code"`
		Error   string `json:"error"`
		Details string `json:"details"`
	}
)

func addRoutes(r *routes, app core.App, o *options) {
	get := func(path string, h handler) *router.Route[*core.RequestEvent] {
		// Without this each poll is a write into auxiliary.db.
		return r.GET(path, h).Bind(apis.SkipSuccessActivityLog())
	}

	get("/api/v1/telemetry", newTelemetry(app, o.refresh).serve).BindFunc(requireKey(o.apiKey))
	get("/api/v1/ping", func(e *core.RequestEvent) error {
		return e.JSON(http.StatusOK, pong{"pong", timestamp(time.Now())})
	})
	get("/api/v1/health", func(e *core.RequestEvent) error {
		return e.JSON(http.StatusOK, health{"healthy", version, o.environment, timestamp(time.Now())})
	})

	// What to copy for linkit-bridge: any one of the three is useful, all together are every figure.
	get("/debug/vars", apis.WrapStdHandler(expvar.Handler()))
	get("/debug/pprof/goroutine", apis.WrapStdHandler(pprof.Handler("goroutine")))
	get("/metrics", apis.WrapStdHandler(promhttp.Handler()))
}

// requireKey lets the raw key pass, and nothing if there is no key. Hashes, because they have one length.
func requireKey(key string) handler {
	want := sha256.Sum256([]byte(key))
	return func(e *core.RequestEvent) error {
		got := sha256.Sum256([]byte(e.Request.Header.Get("Authorization")))
		if key == "" || subtle.ConstantTimeCompare(got[:], want[:]) == 0 {
			return e.JSON(http.StatusUnauthorized, failure{http.StatusUnauthorized, "Unauthorized", "Valid API key required"})
		}
		return e.Next()
	}
}

// timestamp is in UTC with whole seconds and a Z, as in the document.
func timestamp(t time.Time) string {
	return t.UTC().Truncate(time.Second).Format(time.RFC3339)
}
