package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/pocketbase/pocketbase/cmd"
	"github.com/pocketbase/pocketbase/core"
	"github.com/spf13/cobra"
)

type options struct {
	apiKey      string
	environment string
	refresh     time.Duration
	work        bool
	workRate    float64
	faults      bool
	measure     bool
}

// newServeCommand is PocketBase's own `serve` with some more flags.
func newServeCommand(app core.App) *cobra.Command {
	var o options
	serve := cmd.NewServeCommand(app, false)

	flags := serve.Flags()
	flags.StringVar(&o.apiKey, "api-key", "", "key of the telemetry route; better given in LINKIT_API_KEY, where /debug/vars does not show it")
	flags.StringVar(&o.environment, "environment", "development", "what /api/v1/health says")
	flags.DurationVar(&o.refresh, "refresh", 5*time.Second, "age at which the store counts are taken anew; 0: for each request")
	flags.BoolVar(&o.work, "work", false, "keep orders coming and items moving through staging")
	flags.Float64Var(&o.workRate, "work-rate", 20, "orders a second in work mode")
	flags.BoolVar(&o.faults, "faults", false, "serve POST /faults/leak and /faults/stall")
	flags.BoolVar(&o.measure, "measure", false, "serve POST /measure: a round of writing, timed")

	app.OnServe().BindFunc(func(e *core.ServeEvent) error { return o.serve(e) })
	return serve
}

// serve adds the routes and the background work, and says when the listener is up.
func (o *options) serve(e *core.ServeEvent) (err error) {
	e.InstallerFunc = nil // it would open a browser

	if o.apiKey == "" {
		o.apiKey = os.Getenv("LINKIT_API_KEY")
	}
	if o.work && o.workRate <= 0 {
		return fmt.Errorf("--work-rate must be above 0, not %v", o.workRate)
	}

	// Bound here, not by PocketBase, to know the port when 0 was asked for.
	if e.Listener, err = net.Listen("tcp", e.Server.Addr); err != nil {
		return err
	}

	faults := new(faults)
	addRoutes(e.Router, e.App, o)
	if o.faults {
		faults.addRoutes(e.Router, o.apiKey)
	}
	if o.measure {
		addMeasureRoute(e.Router, e.App, o.apiKey)
	}
	if err := e.Next(); err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(context.Background())
	var background sync.WaitGroup
	background.Go(func() { faults.leak(ctx) })
	if o.work {
		background.Go(func() { newWorker(e.App, o.workRate, faults).run(ctx) })
	}
	// The worker must be gone before PocketBase closes the database.
	e.App.OnTerminate().BindFunc(func(e *core.TerminateEvent) error {
		cancel()
		background.Wait()
		return e.Next()
	})

	fmt.Printf("linkit-backend listening on http://%s\n", e.Listener.Addr())
	return nil
}
